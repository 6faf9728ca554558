/* case_judge_pages.c - pages that kv_encode or page_retier wrote, judged: against the
 * numbers that the source page holds, read in double. Codes are case_judge_codes.c's
 * affair; what is stored as floats must be a copy, and whatever holds no number of a valid
 * slot must be zero. */
#include <string.h>

#include "case_judge_pages.h"
#include "kv_encode.h"

/* What is stored as floats is a copy with one rounding: the reference's page
 * must agree bit for bit there. `model` is that page; fields judged otherwise
 * are zero in j->rest already. */
static void forget_exact(sk_encode_judge *j, const uint8_t *model)
{
    const sk_tier *tier = &j->spec->tier[0];
    const sk_page_layout *at = j->at;
    for (uint32_t s = 0; s < at->nseg; s++) {
        if (at->seg[s].key_off == SK_NO_FIELD || at->seg[s].kscale_off != SK_NO_FIELD) continue;
        uint32_t key_bytes = at->tp * at->seg[s].dims * (tier->seg[s].kind == SK_KEY_F32 ? 4 : 2);
        for (uint32_t i = at->seg[s].key_off; i < at->seg[s].key_off + key_bytes; i++)
            j->rest[i] ^= model[i];
    }
    if (tier->value >= SK_VAL_F8) return; /* codes, or none */
    uint32_t bytes = at->tp * at->cp * (tier->value == SK_VAL_F32 ? 4 : 2);
    for (uint32_t i = at->value_off; i < at->value_off + bytes; i++)
        j->rest[i] ^= model[i];
}

/* A float at byte `at` for x: its rounding, after f32 arithmetic that was off by no more
 * than the hair; a zero of either sign. */
static void forget_near(sk_encode_judge *j, uint32_t at, uint32_t dtype, double x, double hair)
{
    if (sk_case_near(sk_case_get(j->page + at, dtype, 0), x, hair, dtype))
        memset(j->rest + at, 0, sk_case_dtype_bytes(dtype));
}

/* The same of all floats, where what they are made of is no copy. */
static void forget_rounded(sk_encode_judge *j)
{
    const sk_spec *spec = j->spec;
    const sk_tier *tier = &spec->tier[0];
    static const uint8_t key_dtype[] = {[SK_KEY_F32] = SPHKV_F32, [SK_KEY_F16] = SPHKV_F16,
                                        [SK_KEY_BF16] = SPHKV_BF16};
    static const uint8_t value_dtype[] = {[SK_VAL_F32] = SPHKV_F32, [SK_VAL_F16] = SPHKV_F16,
                                          [SK_VAL_BF16] = SPHKV_BF16};
    bool copied = !sk_encode_turns(spec);
    for (uint32_t s = 0; s < spec->tier[1].nseg; s++) {
        const uint32_t from = spec->tier[1].seg[s].kind;
        copied = copied && (from == SK_KEY_F32 || from == SK_KEY_F16 || from == SK_KEY_BF16);
    }
    for (uint32_t s = 0; s < j->at->nseg && !copied; s++) {
        const sk_seg_layout *at = &j->at->seg[s];
        if (at->key_off == SK_NO_FIELD || at->kscale_off != SK_NO_FIELD) continue;
        const uint32_t dtype = key_dtype[tier->seg[s].kind], size = sk_case_dtype_bytes(dtype);
        for (uint32_t i = 0; i < j->count * at->dims; i++) {
            const uint32_t t = i / at->dims, d = i % at->dims;
            const size_t of = (size_t)t * spec->d + at->dim0 + d;
            forget_near(j, at->key_off + sk_layout_key_index(at, d, t) * size, dtype, j->k[of],
                        j->hair[of]);
        }
    }
    if (tier->value >= SK_VAL_F8 || spec->tier[1].value < SK_VAL_F8) return;
    const uint32_t dtype = value_dtype[tier->value], size = sk_case_dtype_bytes(dtype);
    for (uint32_t i = 0; i < j->count * spec->dv; i++) {
        const uint32_t t = i / spec->dv, c = i % spec->dv;
        const uint32_t e = sk_layout_value_index(spec, tier->value, j->at, t, c);
        forget_near(j, j->at->value_off + e * size, dtype, j->v[i], sk_case_value_hair(spec, 1, j->v[i]));
    }
}

/* What the source's numbers in f32 may be off. */
static void take_hairs(sk_encode_judge *j)
{
    for (uint32_t t = 0; t < j->count; t++) {
        const double *key = j->k + (size_t)t * j->spec->d;
        double *hair = j->hair + (size_t)t * j->spec->d;
        for (uint32_t d = 0; d < j->spec->d; d++)
            hair[d] = sk_case_key_hair(j->spec, 1, j->book, key, j->spec->d, d, 0);
    }
}

/* Where a set has a transform, dimensions of a segment are sums over the key without its
 * mean, in f32: some roundings of a key, whatever is left of it in a group. */
static void add_turn(const sk_encode_judge *j, const double *key, const double *row, double *hair,
                     const sk_seg_layout *at)
{
    if (!sk_spec_turned(j->spec)) return;
    const double most = sk_case_norm(key, j->spec->d) + sk_case_norm(row, j->spec->d);
    for (uint32_t d = 0; d < at->dims; d++) hair[at->dim0 + d] += most * 0x1p-24;
}

/* Coded segments of the source's keys with the mean off, transformed and permuted. */
static void take_coded_keys(sk_encode_judge *j)
{
    double key[1024]; /* the largest head, sk_spec_check */
    for (uint32_t t = 0; t < j->count; t++) {
        double *row = j->k + (size_t)t * j->spec->d;
        memcpy(key, row, j->spec->d * sizeof *key);
        for (uint32_t s = 0; s < j->at->nseg; s++) {
            const sk_seg_layout *at = &j->at->seg[s];
            if (j->spec->tier[0].seg[s].kind != SK_KEY_CODED) continue;
            sk_coded_key_ref(j->spec, j->book, key, at->dim0, at->dims, row + at->dim0);
            add_turn(j, key, row, j->hair + (size_t)t * j->spec->d, at);
        }
    }
}

/* Positions are those of the source. */
static void forget_positions(sk_encode_judge *j, const uint8_t *src)
{
    sk_page_layout from;
    if (j->at->pos_off == SK_NO_FIELD) return;
    sk_page_layout_get(j->spec, 1, &from);
    for (uint32_t i = 0; i < j->count * 4; i++) j->rest[j->at->pos_off + i] ^= src[from.pos_off + i];
}

static sk_status judge_page(sk_encode_judge *j, const uint8_t *src, uint8_t *model, sk_err *err)
{
    size_t bytes = (size_t)j->at->units * SPHKV_UNIT_BYTES;
    sk_page_decode_ref(j->spec, 1, src, j->count, j->book, j->k, j->v);
    if (sk_encode_turns(j->spec))
        sk_case_turn_keys(j->spec, j->rope, j->book, src, j->count, j->k, j->hair);
    else
        take_hairs(j);
    memcpy(j->rest, j->page, bytes);
    sk_encode_page_ref(j->spec, 0, j->k, j->v, j->count, j->book, model);
    take_coded_keys(j);
    sk_status st = SPHKV_OK;
    for (uint32_t s = 0; s < j->at->nseg && st == SPHKV_OK; s++) st = sk_judge_key(j, s, err);
    if (st == SPHKV_OK) st = sk_judge_values(j, err);
    if (st != SPHKV_OK) return st;
    forget_exact(j, model);
    forget_rounded(j);
    forget_positions(j, src);
    for (size_t i = 0; i < bytes; i++)
        if (j->rest[i])
            return sk_fail(
                err, SPHKV_EVERIFY,
                "%s: byte %zu of the page of item %u (%u tokens) is %#x: an unused "
                "slot or padding that is not zero, or a wrong copy",
                sk_kernel_name(j->spec->kernel), i, j->item, j->count, j->page[i]);
    return SPHKV_OK;
}

/* Everything outside of the destination pages is as it was. */
static sk_status judge_neighbours(const sk_case *c, const uint8_t *dst, size_t bytes, sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    uint32_t n = c->p.shape.batch;
    size_t page = (size_t)s->at[0].units * SPHKV_UNIT_BYTES;
    uint8_t *seen = sk_malloc(bytes);
    if (!seen) return sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    memcpy(seen, dst, bytes);
    for (uint32_t i = 0; i < n; i++) {
        size_t at = (size_t)s->page[n + i].unit * SPHKV_UNIT_BYTES;
        memcpy(seen + at, s->before + at, page);
    }
    bool same = memcmp(seen, s->before, bytes) == 0;
    sk_free(seen);
    if (same) return SPHKV_OK;
    return sk_fail(err, SPHKV_EVERIFY, "%s: wrote outside of its pages",
                   sk_kernel_name(c->p.spec.kernel));
}

/* Keys that are coded whole on both sides, and not rotated, stay in the space of codes (page_retier.c): a
 * mean, a permutation and a transform are of no account. What a matrix that is orthogonal to
 * 1e-7 makes of there and back again would be no measure of groups far smaller than others. */
static bool stays_coded(const sk_spec *spec)
{
    if (sk_encode_turns(spec)) return false;
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t s = 0; s < spec->tier[k].nseg; s++)
            if (spec->tier[k].seg[s].kind != SK_KEY_CODED) return false;
    return true;
}

sk_status sk_case_judge_encode(const sk_case *c, uint32_t copy, double *error, double *bound,
                               sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sphkv_encode_args *a = &c->args.encode[copy];
    sk_spec judged = c->p.spec, *spec = &judged;
    size_t bytes = (size_t)s->at[0].units * SPHKV_UNIT_BYTES;
    if (stays_coded(spec)) judged.book = 0;
    sk_encode_judge j = {.spec = spec, .at = &s->at[0], .rope = &a->rope};
    sk_status st = judge_neighbours(c, a->dst_arena, a->dst_arena_bytes, err);
    if (st != SPHKV_OK) return st;
    j.k = sk_calloc((size_t)spec->page * (2 * spec->d + spec->dv + 2), sizeof *j.k);
    j.rest = sk_malloc(2 * bytes);
    if (!j.k || !j.rest) st = sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    for (uint32_t i = 0; i < a->items_count && st == SPHKV_OK; i++) {
        const sphkv_encode_item *item = &a->items[i];
        j.v = j.k + (size_t)spec->page * spec->d;
        j.hair = j.v + (size_t)spec->page * spec->dv;
        j.best = j.hair + (size_t)spec->page * spec->d;
        j.off = j.best + spec->page;
        j.item = i;
        j.count = item->count;
        j.page = (const uint8_t *)a->dst_arena + (size_t)item->dst_unit * SPHKV_UNIT_BYTES;
        j.book = a->codebook ? (const uint8_t *)a->codebook + (size_t)item->kv_head * s->book_stride
                             : NULL;
        st = judge_page(&j,
                        (const uint8_t *)a->src_arena + (size_t)item->src_unit * SPHKV_UNIT_BYTES,
                        j.rest + bytes, err);
    }
    sk_free(j.k);
    sk_free(j.rest);
    *error = j.worst;
    *bound = SK_CASE_CODE_BOUND;
    if (st == SPHKV_OK && !(j.worst <= *bound))
        st = sk_fail(err, SPHKV_EVERIFY,
                     "%s: a chosen codeword is farther than the nearest by %.3g (relative; "
                     "%.0e allowed)",
                     sk_kernel_name(spec->kernel), j.worst, *bound);
    return st;
}
