/* layout.c - every offset inside a page; see layout.h for the format. Offsets
 * inside a packed codebook set: layout_book.c; a whole page read back: layout_ref.c.
 *
 * 4-bit elements (ki4, vi4): element e is the low nibble of byte e/2 when e is
 * even, else the high one. Fields that kernels read by whole vectors (value
 * scales and minima) have Cp entries, the ones beyond Dv zero. */
#include "layout.h"

static uint32_t round_up(uint32_t x, uint32_t to) { return (x + to - 1) / to * to; }

/* Bits of one element of a dense key or of a value. */
static uint32_t key_bits(uint32_t kind)
{
    switch (kind) {
    case SK_KEY_F32:
        return 32;
    case SK_KEY_I8:
    case SK_KEY_F8:
        return 8;
    case SK_KEY_I4:
        return 4;
    default:
        return 16;
    }
}

static uint32_t value_bits(uint32_t kind)
{
    switch (kind) {
    case SK_VAL_F32:
        return 32;
    case SK_VAL_F8:
    case SK_VAL_I8:
        return 8;
    case SK_VAL_I4:
        return 4;
    case SK_VAL_KEY:
        return 0;
    default:
        return 16;
    }
}

/* Takes `bytes` at the next multiple of 16. */
static uint32_t take(uint32_t *at, uint32_t bytes)
{
    uint32_t off = round_up(*at, 16);
    *at = off + bytes;
    return off;
}

static void place_segment(const sk_spec *spec, const sk_segment *seg, uint32_t tp,
                          sk_seg_layout *out, uint32_t *at)
{
    uint32_t p = spec->page;
    out->groups = out->codes = out->spans = out->span_dims = 0;
    out->rscale_off = out->radius_off = out->code_off = SK_NO_FIELD;
    out->kscale_off = out->key_off = SK_NO_FIELD;
    if (seg->kind == SK_KEY_CODED) {
        out->groups = out->dims / seg->g;
        out->codes = out->groups * sk_segment_codes(seg);
        out->span_dims = seg->span == SK_SPAN_ALL ? out->dims : seg->span;
        out->spans = out->dims / out->span_dims;
        if (seg->rb < 16)
            out->rscale_off = take(at, out->spans * 2);
        out->radius_off = take(at, out->spans * p * seg->rb / 8);
        out->code_off = take(at, out->codes * p * seg->b / 8);
        return;
    }
    if (seg->kind == SK_KEY_I8 || seg->kind == SK_KEY_I4)
        out->kscale_off = take(at, round_up(out->dims, 32) / 32 * p * 2);
    if (seg->kind == SK_KEY_F8)
        out->kscale_off = take(at, 2);
    out->key_off = take(at, tp * out->dims * key_bits(seg->kind) / 8);
}

void sk_page_layout_get(const sk_spec *spec, uint32_t tier_slot, sk_page_layout *out)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    uint32_t at = 0, dim0 = 0;
    bool positions = (spec->variants & SPHKV_VARIANT_POSITIONS) != 0;
    *out = (sk_page_layout){.nseg = tier->nseg,
                            .vscale_off = SK_NO_FIELD,
                            .vmin_off = SK_NO_FIELD,
                            .value_off = SK_NO_FIELD,
                            .pos_off = SK_NO_FIELD,
                            .tp = round_up(spec->page, 16),
                            .cp = round_up(spec->dv, 16)};
    for (uint32_t i = 0; i < tier->nseg; i++) {
        const sk_segment *seg = &tier->seg[i];
        sk_seg_layout *to = &out->seg[i];
        to->dim0 = dim0;
        to->dims = seg->dims ? seg->dims : spec->d;
        dim0 += to->dims;
        positions |= seg->pre_rope;
        place_segment(spec, seg, out->tp, to, &at);
    }
    if (tier->value == SK_VAL_I8 || tier->value == SK_VAL_I4)
        out->vscale_off = take(&at, out->cp * 2);
    if (tier->value == SK_VAL_I4)
        out->vmin_off = take(&at, out->cp * 2);
    if (tier->value == SK_VAL_F8)
        out->vscale_off = take(&at, 2);
    if (tier->value != SK_VAL_KEY)
        out->value_off = take(&at, out->tp * out->cp * value_bits(tier->value) / 8);
    if (positions)
        out->pos_off = take(&at, spec->page * 4);
    out->bytes = at;
    out->units = round_up(at, SPHKV_UNIT_BYTES) / SPHKV_UNIT_BYTES;
}

/* ---- places inside a field ---------------------------------------------- */

bool sk_layout_codes_blocked(const sk_spec *spec, const sk_segment *seg)
{
    return spec->layout == 1 && seg->kind == SK_KEY_CODED && seg->b == 4 && spec->page % 64 == 0;
}

uint32_t sk_layout_code_bit(const sk_spec *spec, const sk_segment *seg, uint32_t row,
                            uint32_t token)
{
    if (!sk_layout_codes_blocked(spec, seg))
        return (row * spec->page + token) * seg->b;
    uint32_t block = row * (spec->page / 64) + token / 64, u = token % 64;
    uint32_t i = u % 8, q = u % 32 / 8;
    uint32_t byte = block * 32 + 16 * (i / 4) + 8 * (q / 2) + 2 * (i % 4) + q % 2;
    return byte * 8 + 4 * (u / 32);
}

bool sk_layout_values_paired(const sk_spec *spec, uint32_t value_kind)
{
    return spec->layout == 1 && value_kind == SK_VAL_I8;
}

bool sk_layout_same(const sk_spec *a, const sk_spec *b)
{
    for (uint32_t i = 0; i < a->ntiers; i++) {
        const sk_tier *t = &a->tier[i];
        if (sk_layout_values_paired(a, t->value) != sk_layout_values_paired(b, t->value))
            return false;
        for (uint32_t s = 0; s < t->nseg; s++)
            if (sk_layout_codes_blocked(a, &t->seg[s]) != sk_layout_codes_blocked(b, &t->seg[s]))
                return false;
    }
    return true;
}

uint32_t sk_layout_key_index(const sk_seg_layout *seg, uint32_t dim, uint32_t token)
{
    return (token / 16 * seg->dims + dim) * 16 + token % 16;
}

uint32_t sk_layout_value_index(const sk_spec *spec, uint32_t value_kind,
                               const sk_page_layout *layout, uint32_t token, uint32_t channel)
{
    uint32_t block = channel / 16, c = channel % 16;
    if (!sk_layout_values_paired(spec, value_kind))
        return (block * layout->tp + token) * 16 + c;
    return ((block * (layout->tp / 2) + token / 2) * 16 + c) * 2 + token % 2;
}

/* Byte by byte: a field may end with the page, so nothing behind it is read. */
uint32_t sk_bits_get(const uint8_t *base, uint32_t bit, uint32_t bits)
{
    uint32_t value = 0, have = 0;
    while (have < bits) {
        uint32_t shift = (bit + have) % 8, n = 8 - shift;
        if (n > bits - have)
            n = bits - have;
        uint32_t part = (uint32_t)base[(bit + have) / 8] >> shift & ((1u << n) - 1);
        value |= part << have;
        have += n;
    }
    return value;
}

void sk_bits_put(uint8_t *base, uint32_t bit, uint32_t bits, uint32_t value)
{
    uint32_t done = 0;
    while (done < bits) {
        uint32_t shift = (bit + done) % 8, n = 8 - shift;
        if (n > bits - done)
            n = bits - done;
        uint32_t mask = ((1u << n) - 1) << shift;
        uint8_t *to = &base[(bit + done) / 8];
        *to = (uint8_t)((*to & ~mask) | (value >> done << shift & mask));
        done += n;
    }
}
