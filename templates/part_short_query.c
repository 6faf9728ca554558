/* part_short_query.c - queries of 16 bits and fewer, for the products of part_short.c: which
 * tiers take them, where they stand in q16, and how a head's become integers, with a unit
 * and a sum per block of dimensions, or bfloat16s. */
#include "part_short.h"

#include "part_segments.h"
#include "rows.h"

#define WORD_TOP 32766.0f
#define SPLIT_TOP 32512.0f /* 127 times 256, and a signed byte below it */
#define BYTE_TOP 127.0f /* of a pair, too: rounded, two numbers come to 128 at most */
#define HALF_IN_QUERY 0x1p64f

sk_query_form sk_dec_query_form(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const int32_t query = sched->v[SK_T_query];
    const bool fast = spec->accuracy == SPHKV_FAST, pairs = query == SK_QUERY_I7 && fast;
    const bool bytes = query == SK_QUERY_DOTS && fast, dots = bytes && sched->v[SK_T_w] == 16;
    const bool exact = spec->accuracy == SPHKV_EXACT;
    if (sk_dec_seg(spec, tier_slot)->pre_rope) return SK_QUERY_AS_FLOATS; /* rotated first */
    switch (sk_dec_seg(spec, tier_slot)->kind) {
    case SK_KEY_I8:
    case SK_KEY_I4:
        if (pairs && sk_dec_seg(spec, tier_slot)->kind == SK_KEY_I8) return SK_QUERY_AS_PAIRS;
        if (bytes || pairs) return SK_QUERY_AS_BYTES;
        if (query == SK_QUERY_DOTS16 && !exact) return SK_QUERY_AS_SPLIT;
        return query == SK_QUERY_I16 && !exact ? SK_QUERY_AS_WORDS : SK_QUERY_AS_FLOATS;
    case SK_KEY_F16: return dots ? SK_QUERY_FOR_HALVES : SK_QUERY_AS_FLOATS;
    case SK_KEY_BF16: return dots ? SK_QUERY_FOR_BF16 : SK_QUERY_AS_FLOATS;
    default: return SK_QUERY_AS_FLOATS;
    }
}

bool sk_dec_query16(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return sk_dec_query_form(spec, sched, tier_slot) != SK_QUERY_AS_FLOATS;
}

bool sk_dec_uses_query(const sk_spec *spec, const sk_schedule *sched, sk_query_form form)
{
    for (sk_key_part k = {0}; sk_key_next(spec, sched, &k);)
        if (sk_dec_query_form(&k.spec, sched, k.slot) == form) return true;
    return false;
}

static uint32_t blocks_of(const sk_dec *c) { return c->d / sk_short_dims(c->spec); }

/* Whether a tier that is not taken in parts has queries of this form. */
static bool form_here(const sk_dec *c, sk_query_form form)
{
    for (uint32_t i = 0; i < c->spec->ntiers; i++)
        if (!sk_key_parted(c->spec, c->sched, i) && sk_dec_query_form(c->spec, c->sched, i) == form) return true;
    return false;
}

/* Words of a row: a head's numbers, or one byte of each. */
static uint32_t row_words(const sk_dec *c, sk_query_form form)
{
    return sk_short_of_bytes(form) ? c->d / 4 : c->d / 2;
}

/* Bytes of a form's queries: numbers of all heads; a last vector of them, which may be
 * longer; of integers a unit and a sum per head and block. */
static uint32_t form_bytes(const sk_dec *c, sk_query_form form)
{
    const uint32_t facts = sk_short_of_integers(form) ? 2 * blocks_of(c) : 0;
    return (c->h * (sk_short_planes(form) * row_words(c, form) + facts) + c->w) * 4;
}

/* Where they begin in q16. */
static uint32_t form_at(const sk_dec *c, sk_query_form form)
{
    uint32_t at = 0;
    for (uint32_t f = SK_QUERY_AS_FLOATS + 1; f < form; f++)
        if (form_here(c, (sk_query_form)f)) at += form_bytes(c, (sk_query_form)f);
    return at;
}

uint32_t sk_query16_bytes(const sk_dec *c) { return form_at(c, SK_QUERY_FORMS); }

uint32_t sk_short_number_at(const sk_dec *c, sk_query_form form, uint32_t r)
{
    return form_at(c, form) + r * row_words(c, form) * 4;
}
uint32_t sk_short_unit_at(const sk_dec *c, sk_query_form form, uint32_t h, uint32_t k)
{
    return sk_short_number_at(c, form, sk_short_planes(form) * c->h) + (c->w + (2 * h + k) * blocks_of(c)) * 4;
}

/* The numbers of a block, in vectors x, to row r: pairs or quads of them. Lanes beyond the
 * block's are overwritten by the next one's, and the next row's. */
static void put_block(sk_dec *c, sk_query_form form, uint32_t r, sk_val i, const sk_val *x, uint32_t n)
{
    sk_builder *b = c->b;
    const uint32_t dims = sk_short_dims(c->spec), at = sk_short_number_at(c, form, r);
    for (uint32_t v = 0; sk_short_of_bytes(form) && v < n; v += 4) {
        sk_val four[4] = {c->zero, c->zero, c->zero, c->zero};
        for (uint32_t k = 0; k < 4 && v + k < n; k++) four[k] = x[v + k];
        sk_ir_stv(b, c->q16, sk_mul(c, i, dims), at + v * c->w, sk_rows_pack8(b, four));
    }
    for (uint32_t v = 0; !sk_short_of_bytes(form) && v < n; v += 2) {
        const sk_val pairs = sk_ir_2(b, SK_OP_PACK16, x[v], v + 1 < n ? x[v + 1] : c->zero);
        sk_ir_stv(b, c->q16, sk_mul(c, i, dims * 2), at + v / 2 * c->w * 4, pairs);
    }
}

/* What limits the unit: sizes of numbers, or of a pair of dimensions together. */
static sk_val sizes(sk_dec *c, sk_query_form form, sk_val x)
{
    const sk_val size = sk_ir_1(c->b, SK_OP_FABS, x);
    if (form != SK_QUERY_AS_PAIRS) return size;
    const sk_val other = sk_shuf(c, size, sk_ir_2k(c->b, SK_OP_XOR, c->lane, 1));
    return sk_ir_2(c->b, SK_OP_FADD, size, other);
}

static float top_of(sk_query_form form)
{
    return form == SK_QUERY_AS_WORDS ? WORD_TOP : form == SK_QUERY_AS_SPLIT ? SPLIT_TOP : BYTE_TOP;
}

/* A signed byte of numbers, the lower (plane 0) or what is left above it. */
static sk_val byte_of(sk_dec *c, sk_val x, uint32_t plane)
{
    sk_builder *b = c->b;
    const sk_val high = sk_ir_2(b, SK_OP_SRA, sk_add(c, x, sk_k(c, 128)), sk_k(c, 8));
    return plane ? high : sk_ir_2(b, SK_OP_SUB, x, sk_shl(c, high, 8));
}

/* Row r: numbers of a head, or one byte of them. */
static void integer_queries(sk_dec *c, sk_query_form form, uint32_t r)
{
    sk_builder *b = c->b;
    const uint32_t dims = sk_short_dims(c->spec), n = dims / c->w, h = r % c->h;
    const sk_val i = sk_ir_for(b, c->zero, sk_k(c, blocks_of(c)), 1);
    const sk_val from = sk_mul(c, i, dims * 4), at = sk_mul(c, i, 4);
    sk_val x[8], most = sk_ir_f32(b, 1e-30f), sum = c->zero;
    for (uint32_t v = 0; v < n; v++) {
        x[v] = sk_ir_ldv(b, SK_LD_F32, c->qs, from, (h * c->d + v * c->w) * 4);
        most = sk_ir_2(b, SK_OP_FMAX, most, sizes(c, form, x[v]));
    }
    most = sk_ir_1(b, SK_OP_RED_FMAX, most);
    const sk_val top = sk_ir_f32(b, top_of(form));
    const sk_val factor = sk_ir_2(b, SK_OP_FDIV, top, most);
    for (uint32_t v = 0; v < n; v++) {
        x[v] = sk_ir_1(b, SK_OP_F2I, sk_ir_2(b, SK_OP_FMUL, x[v], factor));
        sum = sk_add(c, sum, x[v]);
        if (sk_short_planes(form) == 2) x[v] = byte_of(c, x[v], r / c->h);
    }
    put_block(c, form, r, i, x, n);
    sk_ir_stu(b, c->q16, at, sk_short_unit_at(c, form, h, 0), sk_ir_2(b, SK_OP_FDIV, most, top));
    sk_ir_stu(b, c->q16, at, sk_short_unit_at(c, form, h, 1), sk_ir_1(b, SK_OP_RED_UADD, sum));
    sk_ir_end(b);
}

/* Pairs of bfloat16s. */
static void bf16_queries(sk_dec *c, sk_query_form form, uint32_t h)
{
    sk_builder *b = c->b;
    const sk_val factor = sk_ir_f32(b, form == SK_QUERY_FOR_HALVES ? HALF_IN_QUERY : 1.0f);
    for (uint32_t d0 = 0; d0 < c->d; d0 += 2 * c->w) {
        sk_val x[2];
        for (uint32_t v = 0; v < 2; v++) {
            const uint32_t d = d0 + v * c->w;
            x[v] = d < c->d ? sk_ir_ldv(b, SK_LD_F32, c->qs, c->zero, (h * c->d + d) * 4)
                            : sk_ir_f32(b, 0.0f);
            x[v] = sk_ir_2(b, SK_OP_FMUL, x[v], factor);
        }
        sk_ir_stv(b, c->q16, c->zero, sk_short_number_at(c, form, h) + d0 * 2,
                  sk_rows_pack16(b, SK_LD_BF16, c->w, x[0], x[1]));
    }
}

void sk_part_query16(sk_dec *c)
{
    for (uint32_t f = SK_QUERY_AS_FLOATS + 1; f < SK_QUERY_FORMS; f++) {
        const sk_query_form form = (sk_query_form)f;
        for (uint32_t r = 0; r < sk_short_planes(form) * c->h && form_here(c, form); r++)
            if (sk_short_of_integers(form))
                integer_queries(c, form, r);
            else
                bf16_queries(c, form, r);
    }
}
