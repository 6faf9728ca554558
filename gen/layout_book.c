/* layout_book.c - every offset inside a packed codebook set; see layout.h for the
 * format. What a spec's set holds beside its tables stands behind them, so that a
 * plain set is what it was before there was anything else. */
#include "layout.h"

/* Every field starts at a cache line. */
static uint32_t field_bytes(uint32_t bytes) { return (bytes + 63) / 64 * 64; }

static uint32_t segment_codebook_bytes(const sk_spec *spec, const sk_segment *seg)
{
    uint32_t dims = seg->dims ? seg->dims : spec->d;
    if (seg->kind != SK_KEY_CODED)
        return 0;
    return field_bytes(dims * sk_segment_codes(seg) * (1u << seg->b) * 2);
}

uint32_t sk_codebook_tier_off(const sk_spec *spec, uint32_t tier_slot, uint32_t seg)
{
    uint32_t off = 0;
    for (uint32_t t = 0; t <= tier_slot; t++) {
        uint32_t end = t == tier_slot ? seg : spec->tier[t].nseg;
        for (uint32_t s = 0; s < end; s++)
            off += segment_codebook_bytes(spec, &spec->tier[t].seg[s]);
    }
    return off;
}

/* Behind the tables and the fields of `flags`, as far as the spec has them. */
static uint32_t book_off(const sk_spec *spec, uint32_t flags)
{
    uint32_t last = spec->ntiers - 1;
    uint32_t off = sk_codebook_tier_off(spec, last, spec->tier[last].nseg);
    if (spec->book & flags & SPHKV_BOOK_PERMUTATION)
        off += field_bytes(spec->d * 4);
    if (spec->book & flags & SPHKV_BOOK_MEAN)
        off += field_bytes(spec->d * 4);
    if (spec->book & flags & SPHKV_BOOK_TRANSFORM)
        off += field_bytes(spec->d * spec->d * 4);
    if (spec->book & flags & SPHKV_BOOK_HADAMARD)
        off += field_bytes(spec->d * 4);
    return off;
}

uint32_t sk_codebook_permutation_off(const sk_spec *spec)
{
    return spec->book & SPHKV_BOOK_PERMUTATION ? book_off(spec, 0) : SK_NO_FIELD;
}

uint32_t sk_codebook_mean_off(const sk_spec *spec)
{
    return spec->book & SPHKV_BOOK_MEAN ? book_off(spec, SPHKV_BOOK_PERMUTATION) : SK_NO_FIELD;
}

uint32_t sk_codebook_transform_off(const sk_spec *spec)
{
    return sk_spec_turned(spec) ? book_off(spec, SPHKV_BOOK_PERMUTATION | SPHKV_BOOK_MEAN)
                                : SK_NO_FIELD;
}

uint32_t sk_codebook_head_bytes(const sk_spec *spec) { return book_off(spec, ~0u); }

uint32_t sk_permutation_flaw(const uint32_t *permutation, uint32_t d)
{
    bool seen[1024] = {false}; /* the largest head, sk_spec_check */
    for (uint32_t i = 0; i < d; i++) {
        if (permutation[i] >= d || seen[permutation[i]])
            return i;
        seen[permutation[i]] = true;
    }
    return d;
}
