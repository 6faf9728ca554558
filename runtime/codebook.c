/* codebook.c - what all codebook sets have in common: their memory, the place of
 * every codeword, and whether a spec can use them. */
#include "codebook.h"

#include <string.h>

#define PACKED_ALIGN 64u

/* The coded tiers of a spec, keys only: what two specs must share to share a set. */
static void coded_part_of(const sk_spec *spec, sk_spec *out)
{
    memset(out, 0, sizeof *out);
    out->d = spec->d;
    out->book = spec->book;
    for (uint32_t t = 0; t < spec->ntiers; t++) {
        if (sk_tier_is_dense(&spec->tier[t]))
            continue;
        out->tier[out->ntiers] = spec->tier[t];
        out->tier[out->ntiers++].value = SK_VAL_F32;
    }
}

sk_status sk_codebook_take_spec(sphkv_codebook *cb, const sk_spec *spec, sk_err *err)
{
    coded_part_of(spec, &cb->spec);
    for (uint32_t t = 0; t < cb->spec.ntiers; t++) {
        sk_text key = {0};
        sk_key_print(&cb->spec.tier[t], &key);
        bool failed = key.failed || key.len >= SK_CODEBOOK_KEY;
        if (!failed)
            memcpy(cb->key[t], key.s, key.len + 1);
        sk_text_free(&key);
        if (failed)
            return sk_fail(err, SPHKV_ENOMEM, "out of memory for a codebook set");
    }
    return SPHKV_OK;
}

sk_status sk_codebook_new(const sk_spec *spec, uint32_t kv_heads, sphkv_codebook **out, sk_err *err)
{
    *out = NULL;
    if (kv_heads < 1 || kv_heads > 65536)
        return sk_fail(err, SPHKV_EINVAL, "%u KV heads: must be 1 to 65536", kv_heads);
    sphkv_codebook *cb = sk_calloc(1, sizeof *cb);
    if (!cb)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for a codebook set");
    cb->kv_heads = kv_heads;
    sk_status st = sk_codebook_take_spec(cb, spec, err);
    if (st != SPHKV_OK) {
        sphkv_codebook_free(cb);
        return st;
    }
    if (cb->spec.ntiers) {
        cb->head_bytes = sk_codebook_head_bytes(&cb->spec);
        size_t bytes = (size_t)cb->head_bytes * kv_heads;
        cb->block = sk_calloc(1, bytes + PACKED_ALIGN);
        if (!cb->block) {
            sphkv_codebook_free(cb);
            return sk_fail(err, SPHKV_ENOMEM, "out of memory for %zu bytes of codebooks", bytes);
        }
        size_t past = (uintptr_t)cb->block % PACKED_ALIGN;
        cb->packed = (uint8_t *)cb->block + (PACKED_ALIGN - past) % PACKED_ALIGN;
    }
    *out = cb;
    return SPHKV_OK;
}

void sphkv_codebook_free(sphkv_codebook *cb)
{
    if (!cb)
        return;
    sk_free(cb->block);
    sk_free(cb->mean);
    sk_free(cb->permutation);
    sk_free(cb->transform);
    sk_free(cb->signs);
    sk_free(cb);
}

const uint8_t *sk_codebook_head(const sphkv_codebook *cb, uint32_t kv_head)
{
    return cb->packed ? cb->packed + (size_t)cb->head_bytes * kv_head : NULL;
}

const void *sphkv_codebook_data(const sphkv_codebook *cb, size_t *head_stride, size_t *bytes)
{
    bool give = cb && cb->packed && sk_codebook_agrees(cb, NULL) == SPHKV_OK;
    if (head_stride)
        *head_stride = give ? cb->head_bytes : 0;
    if (bytes)
        *bytes = give ? (size_t)cb->head_bytes * cb->kv_heads : 0;
    return give ? cb->packed : NULL;
}

/* What a set holds against what a spec says of it. */
static sk_status check_flags(uint32_t has, uint32_t says, sk_err *err)
{
    for (uint32_t bit = 0; sk_book_name(bit); bit++) {
        if ((has ^ says) >> bit & 1)
            return sk_fail(err, SPHKV_EINVAL,
                           says >> bit & 1 ? "the spec asks for a %s, the codebook set has none"
                                           : "the codebook set has a %s, which the spec (its "
                                             "field book) does not ask for",
                           sk_book_name(bit));
    }
    return SPHKV_OK;
}

sk_status sk_codebook_fits(const sphkv_codebook *cb, const sk_spec *spec, uint32_t kv_heads,
                           sk_err *err)
{
    sk_spec want;
    coded_part_of(spec, &want);
    if (!want.ntiers)
        return SPHKV_OK;
    if (!cb)
        return sk_fail(err, SPHKV_EINVAL, "the mix has a coded tier, but no codebook set is given");
    if (cb->spec.d != want.d)
        return sk_fail(err, SPHKV_EINVAL, "the codebook set is for head dimension %u, not %u",
                       cb->spec.d, want.d);
    if (cb->kv_heads != kv_heads)
        return sk_fail(err, SPHKV_EINVAL, "the codebook set is for %u KV heads, not %u",
                       cb->kv_heads, kv_heads);
    sk_status st = check_flags(cb->spec.book, want.book, err);
    if (st != SPHKV_OK)
        return st;
    bool same = cb->spec.ntiers == want.ntiers;
    for (uint32_t t = 0; same && t < want.ntiers; t++)
        same = sk_tier_equal(&cb->spec.tier[t], &want.tier[t]);
    if (same)
        return SPHKV_OK;
    sk_text has = {0}, needs = {0};
    for (uint32_t t = 0; t < cb->spec.ntiers; t++) {
        sk_text_printf(&has, "%s", t ? "," : "");
        sk_key_print(&cb->spec.tier[t], &has);
    }
    for (uint32_t t = 0; t < want.ntiers; t++) {
        sk_text_printf(&needs, "%s", t ? "," : "");
        sk_key_print(&want.tier[t], &needs);
    }
    st = sk_fail(err, SPHKV_EINVAL, "the codebook set is for the coded keys %s, not %s",
                           has.s ? has.s : "(none)", needs.s ? needs.s : "?");
    sk_text_free(&has);
    sk_text_free(&needs);
    return st;
}

sk_status sk_codebook_agrees(const sphkv_codebook *cb, sk_err *err)
{
    uint32_t has = (cb->mean ? SPHKV_BOOK_MEAN : 0u) |
                   (cb->permutation ? SPHKV_BOOK_PERMUTATION : 0u) |
                   (cb->transform ? SPHKV_BOOK_TRANSFORM : 0u) |
                   (cb->signs ? SPHKV_BOOK_HADAMARD : 0u);
    return cb->spec.ntiers ? check_flags(has, cb->spec.book, err) : SPHKV_OK;
}

/* ---- places --------------------------------------------------------------- */

bool sk_codebook_part_get(const sphkv_codebook *cb, uint32_t i, sk_codebook_part *part)
{
    const sk_spec *spec = &cb->spec;
    for (uint32_t t = 0; t < spec->ntiers; t++) {
        const sk_tier *tier = &spec->tier[t];
        uint32_t dim0 = 0;
        for (uint32_t s = 0; s < tier->nseg; s++) {
            const sk_segment *seg = &tier->seg[s];
            uint32_t dims = seg->dims ? seg->dims : spec->d;
            dim0 += dims;
            if (seg->kind != SK_KEY_CODED || i--)
                continue;
            *part = (sk_codebook_part){.tier = t,
                                       .seg = s,
                                       .format = seg,
                                       .dim0 = dim0 - dims,
                                       .groups = dims / seg->g,
                                       .times = sk_segment_codes(seg),
                                       .rows = dims / seg->g * sk_segment_codes(seg),
                                       .g = seg->g,
                                       .codes = 1u << seg->b,
                                       .span_dims = seg->span == SK_SPAN_ALL ? dims : seg->span,
                                       .off = sk_codebook_tier_off(spec, t, s),
                                       .key = cb->key[t]};
            part->unit = part->span_dims == part->g && part->times == 1;
            return true;
        }
    }
    return false;
}

/* The table of one row in packed: [dim][code]. */
static uint8_t *row_table(const sphkv_codebook *cb, const sk_codebook_part *part,
                          uint32_t kv_head, uint32_t row)
{
    size_t words = (size_t)part->g * part->codes * 2;
    return cb->packed + (size_t)cb->head_bytes * kv_head + part->off + words * row;
}

void sk_codebook_words_get(const sphkv_codebook *cb, const sk_codebook_part *part, uint32_t kv_head,
                           uint32_t row, uint16_t *words)
{
    const uint8_t *table = row_table(cb, part, kv_head, row);
    for (uint32_t c = 0; c < part->codes; c++)
        for (uint32_t i = 0; i < part->g; i++)
            memcpy(&words[c * part->g + i], table + ((size_t)i * part->codes + c) * 2, 2);
}

void sk_codebook_words_put(sphkv_codebook *cb, const sk_codebook_part *part, uint32_t kv_head,
                           uint32_t row, const uint16_t *words)
{
    uint8_t *table = row_table(cb, part, kv_head, row);
    for (uint32_t c = 0; c < part->codes; c++)
        for (uint32_t i = 0; i < part->g; i++)
            memcpy(table + ((size_t)i * part->codes + c) * 2, &words[c * part->g + i], 2);
}

void sk_codebook_words_round(sphkv_codebook *cb, const sk_codebook_part *part, uint32_t kv_head,
                             uint32_t row, const float *words)
{
    uint8_t *table = row_table(cb, part, kv_head, row);
    for (uint32_t c = 0; c < part->codes; c++)
        for (uint32_t i = 0; i < part->g; i++) {
            uint16_t h = sk_f32_to_f16(words[c * part->g + i]);
            memcpy(table + ((size_t)i * part->codes + c) * 2, &h, 2);
        }
}

/* FNV-1a over everything that names the codebook. */
uint64_t sk_codebook_seed(uint64_t seed, const sk_codebook_part *part, uint32_t kv_head,
                          uint32_t group)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ seed;
    uint32_t place[3] = {kv_head, part->seg, group};
    for (const char *c = part->key; *c; c++)
        h = (h ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    for (uint32_t i = 0; i < 12; i++)
        h = (h ^ (place[i / 4] >> i % 4 * 8 & 255)) * UINT64_C(0x100000001b3);
    return h;
}
