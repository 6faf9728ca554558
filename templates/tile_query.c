/* tile_query.c - the queries of a KV head as factors of tensor-core products, once
 * per piece of work.
 *
 * Factors are halves (bfloat16s for bfloat16 keys). A head's queries are first
 * brought to at most 2^15 by a power of two, so that halves neither overflow nor
 * lose small numbers; what is multiplied, is divided again where logits become
 * log2 units. Then queries that came in 16 bits are exact in one half. Those that came
 * as floats are two: the rounded one and what rounding left, 22 bits together; the
 * class `fast` does without the second.
 *
 * Scratch, in the order in which lanes load them: of two parts a quad per step of 16
 * dimensions, columns and lane (b0, b1, then what they left); of one part a quad per
 * two steps (b0, b1 of either). */
#include "tile_impl.h"

sk_tile_query sk_tile_query_of(const sk_spec *spec, uint32_t tier_slot)
{
    switch (sk_dec_seg(spec, tier_slot)->kind) {
    case SK_KEY_CODED: return SK_FACTORS_CODED;
    case SK_KEY_BF16: return SK_FACTORS_BF16;
    default: return SK_FACTORS_DENSE;
    }
}

bool sk_tile_needs_query(const sk_spec *spec, uint32_t query)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (sk_tile_query_of(spec, i) == query) return true;
    return false;
}

static bool two_parts(const sk_spec *spec, uint32_t query)
{
    if (query == SK_FACTORS_BF16) return spec->q_dtype != SPHKV_BF16;
    return spec->q_dtype == SPHKV_F32 && spec->accuracy != SPHKV_FAST;
}

/* Columns are so many times 8 heads. */
static uint32_t columns(const sk_spec *spec) { return (spec->heads_per_kv + 7) / 8; }

/* Steps that the factors are made for: of one part they come in twos. */
static uint32_t steps_made(const sk_spec *spec, uint32_t query)
{
    const uint32_t steps = spec->d / 16;
    return two_parts(spec, query) ? steps : (steps + 1) & ~1u;
}

uint32_t sk_tile_query_bytes(const sk_spec *spec, uint32_t query)
{
    if (!sk_tile_needs_query(spec, query)) return 0;
    return steps_made(spec, query) * columns(spec) * 32 * (two_parts(spec, query) ? 16 : 8);
}

/* ---- norms --------------------------------------------------------------------- */

static sk_ld_kind q_kind(const sk_spec *spec)
{
    return spec->q_dtype == SPHKV_F32 ? SK_LD_F32 : spec->q_dtype == SPHKV_F16 ? SK_LD_F16 : SK_LD_BF16;
}

/* The power of two that brings numbers of at most `most` to [2^14, 2^15), and its
 * inverse; within what a float can be, of either. */
static sk_val power(sk_tile *t, sk_val most, sk_val *inverse)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_val exponent = sk_shr(c, sk_ir_1(b, SK_OP_BITS, most), 23);
    sk_val up = sk_ir_2(b, SK_OP_SUB, sk_k(c, 127 + 14 + 127), exponent);
    up = sk_ir_2k(b, SK_OP_UMIN, up, 253);
    const sk_val down = sk_ir_2(b, SK_OP_SUB, sk_k(c, 254), up);
    *inverse = sk_ir_1(b, SK_OP_FLOAT, sk_shl(c, down, 23));
    return sk_ir_1(b, SK_OP_FLOAT, sk_shl(c, up, 23));
}

/* Warps take heads in turn; columns without a head are as a head of zeros. */
void sk_tile_norms(sk_tile *t)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_tile_work *work = t->work;
    const sk_ld_kind kind = q_kind(c->spec);
    const bool mean = c->spec->book & SPHKV_BOOK_MEAN;
    const sk_val nothing = sk_ir_f32(b, 0.0f);
    const sk_val h = sk_ir_for(b, t->warp, sk_k(c, t->nt * 8), t->warps);
    const sk_val row = sk_ir_ptr_add(b, work->q, sk_ir_2(b, SK_OP_MUL, h, work->q_stride), 1);
    const sk_val is_head = sk_ir_2k(b, SK_OP_ULT, h, c->h);
    const sk_val most = sk_ir_var(b, SK_LANE, nothing), product = sk_ir_var(b, SK_LANE, nothing);
    const sk_val d = sk_add(c, sk_ir_for(b, c->zero, sk_k(c, c->d), 32), c->lane);
    const sk_val is_dim = sk_ir_2k(b, SK_OP_ULT, d, c->d);
    const sk_val some = sk_ir_2(b, SK_OP_PAND, is_head, is_dim);
    const sk_val x = sk_ir_ldg(b, kind, row, sk_mul(c, d, sk_ld_bytes(kind)), 0, some);
    sk_ir_set(b, most, sk_ir_2(b, SK_OP_FMAX, sk_ir_1(b, SK_OP_FABS, x), sk_ir_get(b, most)));
    if (mean) {
        const sk_val m = sk_ir_ldg(b, SK_LD_F32, work->book, sk_mul(c, d, 4),
                                   sk_codebook_mean_off(c->spec), some);
        sk_ir_set(b, product, sk_fma(c, x, m, sk_ir_get(b, product)));
    }
    sk_ir_end(b);
    sk_val down;
    const sk_val up = power(t, sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, most)), &down);
    const sk_val at = sk_mul(c, h, 4);
    sk_ir_stu(b, t->norm, at, 0, up);
    sk_ir_stu(b, t->unit, at, 0, sk_ir_2(b, SK_OP_FMUL, down, work->scale));
    if (mean) {
        const sk_val all = sk_ir_1(b, SK_OP_RED_FADD, sk_ir_get(b, product));
        sk_ir_stu(b, t->mean, at, 0, sk_ir_2(b, SK_OP_FMUL, all, work->scale));
    }
    sk_ir_end(b);
}

/* ---- factors ------------------------------------------------------------------- */

/* The lane's number k (0..3: b0 low, high, b1 low, high) of step s. */
static sk_val query_dim(sk_tile *t, uint32_t query, sk_val s, uint32_t k)
{
    static const uint32_t pairs[4] = {0, 1, 8, 9}, apart[4] = {0, 4, 8, 12};
    sk_dec *c = t->c;
    const sk_val first = query == SK_FACTORS_CODED ? sk_shl(c, t->t, 1) : t->t;
    const uint32_t more = query == SK_FACTORS_CODED ? pairs[k] : apart[k];
    return sk_add(c, sk_add(c, sk_shl(c, s, 4), first), sk_k(c, more));
}

static sk_val query_number(sk_tile *t, uint32_t query, sk_val s, uint32_t k, sk_val head)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_ld_kind kind = q_kind(c->spec);
    sk_val d = query_dim(t, query, s, k);
    const sk_val some = sk_ir_2(b, SK_OP_PAND, sk_ir_2k(b, SK_OP_ULT, d, c->d),
                                sk_ir_2k(b, SK_OP_ULT, head, c->h));
    if (query == SK_FACTORS_CODED && c->spec->book & SPHKV_BOOK_PERMUTATION) {
        d = sk_ir_ldg(b, SK_LD_U32, t->work->book, sk_mul(c, d, 4),
                      sk_codebook_permutation_off(c->spec), some);
        d = sk_ir_2k(b, SK_OP_UMIN, d, c->d - 1); /* a damaged set reads nothing else */
    }
    const sk_val row = sk_ir_2(b, SK_OP_MUL, head, t->work->q_stride);
    const sk_val off = sk_add(c, row, sk_mul(c, d, sk_ld_bytes(kind)));
    return sk_ir_ldg(b, kind, t->work->q, off, 0, some);
}

/* Two numbers as one word of factors; left: what rounding leaves of them. */
static sk_val pack(sk_tile *t, uint32_t query, const sk_val x[2], sk_val left[2])
{
    sk_builder *b = t->c->b;
    const bool bf16 = query == SK_FACTORS_BF16;
    const sk_val word = sk_ir_2(b, bf16 ? SK_OP_PACKBF16 : SK_OP_PACKF16, x[0], x[1]);
    for (uint32_t k = 0; k < 2; k++) {
        sk_val y = bf16 ? sk_ir_1(b, SK_OP_FLOAT, k ? sk_and(t->c, word, 0xffff0000u) : sk_shl(t->c, word, 16))
                        : sk_ir_1(b, k ? SK_OP_F16HI : SK_OP_F16LO, word);
        left[k] = sk_ir_2(b, SK_OP_FSUB, x[k], y);
    }
    return word;
}

void sk_tile_queries(sk_tile *t, uint32_t query)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const bool two = two_parts(c->spec, query);
    const sk_val count = sk_k(c, steps_made(c->spec, query) * t->nt);
    const sk_val i = sk_ir_for(b, t->warp, count, t->warps);
    const sk_val s = t->nt == 2 ? sk_shr(c, i, 1) : i, n = t->nt == 2 ? sk_and(c, i, 1) : c->zero;
    const sk_val head = sk_add(c, sk_shl(c, n, 3), t->g);
    const sk_val norm = sk_ir_ldg(b, SK_LD_F32, t->norm, sk_mul(c, head, 4), 0, SK_NONE);
    sk_val word[2], low[2];
    for (uint32_t k = 0; k < 2; k++) {
        sk_val x[2], left[2], none[2];
        for (uint32_t e = 0; e < 2; e++)
            x[e] = sk_ir_2(b, SK_OP_FMUL, query_number(t, query, s, 2 * k + e, head), norm);
        word[k] = pack(t, query, x, left);
        low[k] = two ? pack(t, query, left, none) : SK_NONE;
    }
    if (two) {
        const sk_val at = sk_mul(c, sk_add(c, sk_shl(c, i, 5), c->lane), 16);
        sk_ir_stq(b, t->query[query], at, 0, sk_ir_quad(b, word[0], word[1], low[0], low[1]), SK_NONE);
    } else {
        const sk_val row = sk_add(c, sk_mul(c, sk_shr(c, s, 1), t->nt), n);
        sk_val at = sk_mul(c, sk_add(c, sk_shl(c, row, 5), c->lane), 16);
        at = sk_add(c, at, sk_shl(c, sk_and(c, s, 1), 3));
        for (uint32_t k = 0; k < 2; k++) sk_ir_stg(b, t->query[query], at, k * 4, word[k], SK_NONE);
    }
    sk_ir_end(b);
}

uint32_t sk_tile_factor_bytes(const sk_tile *t, uint32_t query, uint32_t steps)
{
    return (two_parts(t->c->spec, query) ? steps : steps / 2) * t->nt * 512;
}

sk_tile_factor sk_tile_factors(sk_tile *t, uint32_t query, uint32_t s, uint32_t n)
{
    sk_dec *c = t->c;
    const bool two = two_parts(c->spec, query);
    const uint32_t row = (two ? s : s / 2) * t->nt + n, first = two ? 0 : 2 * (s % 2);
    const sk_val q = sk_ir_ldq(c->b, t->query[query], sk_mul(c, c->lane, 16), row * 512, SK_NONE);
    sk_tile_factor f = {.low = {SK_NONE, SK_NONE}};
    for (uint32_t k = 0; k < 2; k++) {
        f.b[k] = sk_ir_word(c->b, q, first + k);
        if (two) f.low[k] = sk_ir_word(c->b, q, 2 + k);
    }
    return f;
}

sk_val sk_tile_multiply(sk_tile *t, sk_val a, const sk_tile_factor *f, sk_val sum, bool bf16)
{
    sk_builder *b = t->c->b;
    if (f->low[0] != SK_NONE) sum = sk_ir_mma(b, a, f->low[0], f->low[1], sum, bf16);
    return sk_ir_mma(b, a, f->b[0], f->b[1], sum, bf16);
}
