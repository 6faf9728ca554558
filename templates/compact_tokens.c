/* compact_tokens.c - the tokens of an item, once per page: which slot each comes
 * from, where runs begin, and the scales that the codes of all runs can be coded to. */
#include <math.h>

#include "compact.h"

/* A token is so many bytes. */
#define TOKEN (uint32_t)sizeof(sphkv_compact_token)

/* W tokens from t0 on, a lane each. */
typedef struct read {
    sk_val unit, slot, before; /* variables; before: the unit of the token before */
} read;

/* Lane by lane, those that are used. */
static void read_some(sk_compact *c, sk_val t, sk_val used, const read *to)
{
    sk_builder *b = c->dec.b;
    const sk_val at = sk_mul(&c->dec, t, TOKEN);
    const sk_val later = sk_ir_2(b, SK_OP_PAND, used, sk_ir_2(b, SK_OP_NE, t, c->dec.zero));
    const sk_val last = sk_ir_2(b, SK_OP_SUB, at, sk_k(&c->dec, TOKEN));
    sk_ir_set(b, to->unit, sk_ir_ldg(b, SK_LD_U32, c->tokens, at, 0, used));
    sk_ir_set(b, to->slot, sk_ir_ldg(b, SK_LD_U32, c->tokens, at, 4, used));
    /* of token 0, which has none before it, nothing is read */
    sk_ir_set(b, to->before, sk_ir_ldg(b, SK_LD_U32, c->tokens, last, 0, later));
}

sk_val sk_compact_every_second(sk_dec *d, const sk_val x[2], uint32_t first)
{
    const sk_val from = sk_add(d, sk_shl(d, d->lane, 1), sk_k(d, first));
    return sk_sel(d, sk_ir_2k(d->b, SK_OP_ULT, d->lane, d->w / 2), sk_shuf(d, x[0], from),
                  sk_shuf(d, x[1], from));
}

/* All of them are used: whole vectors. What was read last has the token before. */
static void read_all(sk_compact *c, sk_val t0, const read *to)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val back = sk_ir_2(b, SK_OP_SUB, d->lane, sk_k(d, 1));
    const sk_val last = sk_shuf(d, sk_ir_get(b, to->unit), sk_k(d, d->w - 1));
    sk_val x[2];
    for (uint32_t i = 0; i < 2; i++)
        x[i] = sk_ir_ldv(b, SK_LD_U32, c->tokens, sk_mul(d, t0, TOKEN), i * 4 * d->w);
    const sk_val unit = sk_compact_every_second(d, x, 0), first = sk_ir_2(b, SK_OP_EQ, d->lane, d->zero);
    sk_ir_set(b, to->before, sk_sel(d, first, last, sk_shuf(d, unit, back)));
    sk_ir_set(b, to->unit, unit);
    sk_ir_set(b, to->slot, sk_compact_every_second(d, x, 1));
}

/* W tokens from t0 on: slots, and the numbers of those that begin a run. */
static void some_tokens(sk_compact *c, sk_val t0, const read *got, sk_val runs)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val t = sk_add(d, t0, d->lane), used = sk_ir_2(b, SK_OP_ULT, t, c->count);
    if (c->enc.gpu) {
        read_some(c, t, used, got);
    } else {
        sk_ir_if(b, sk_ir_2(b, SK_OP_ULE, sk_add(d, t0, sk_k(d, d->w)), c->count));
        read_all(c, t0, got);
        sk_ir_else(b);
        read_some(c, t, used, got);
        sk_ir_end(b);
    }
    const sk_val other = sk_ir_2(b, SK_OP_NE, sk_ir_get(b, got->unit), sk_ir_get(b, got->before));
    const sk_val first = sk_ir_2(b, SK_OP_EQ, t, d->zero);
    const sk_val begins = sk_ir_2(b, SK_OP_PAND, used, sk_ir_2(b, SK_OP_POR, first, other));
    const sk_val one = sk_sel(d, begins, sk_k(d, 1), d->zero);
    const sk_val some = sk_ir_1(b, SK_OP_RED_UADD, one), before = sk_ir_get(b, runs);
    const sk_val slot = sk_ir_2k(b, SK_OP_UMIN, sk_ir_get(b, got->slot), d->p - 1);
    if (!c->enc.gpu && d->tp % d->w == 0)
        sk_ir_stv(b, c->slots, sk_mul(d, t0, 4), 0, slot);
    else
        sk_ir_stg(b, c->slots, sk_mul(d, t, 4), 0, slot, sk_ir_2k(b, SK_OP_ULT, t, d->tp));
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, some, d->zero));
    const sk_val number = sk_add(d, before, sk_ir_2(b, SK_OP_SUB, sk_gpu_scan(b, d->w, one), sk_k(d, 1)));
    sk_ir_stg(b, c->starts, sk_mul(d, number, 4), 0, t, begins);
    sk_ir_set(b, runs, sk_add(d, before, some));
    sk_ir_end(b);
}

bool sk_compact_by_bytes(const sk_compact *c)
{
    return !c->enc.gpu && c->dec.w == 16 && c->dec.p % 64 == 0 && c->dec.p <= 256;
}

/* Slots as bytes, in order. */
static void put_bytes(sk_compact *c)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val t0 = sk_ir_for(b, d->zero, sk_k(d, d->p), 64);
    sk_val x[4];
    for (uint32_t i = 0; i < 4; i++) x[i] = sk_ir_ldv(b, SK_LD_U32, c->slots, sk_mul(d, t0, 4), i * 64);
    for (uint32_t i = 0; i < 2; i++) x[i] = sk_ir_2(b, SK_OP_PACK16, x[2 * i], x[2 * i + 1]);
    sk_ir_stv(b, c->slot8, t0, 0, sk_ir_2(b, SK_OP_PACK8, x[0], x[1]));
    sk_ir_end(b);
}

void sk_compact_tokens(sk_compact *c)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val runs = sk_ir_var(b, SK_WARP, d->zero);
    read got;
    got.unit = sk_ir_var(b, SK_LANE, d->zero);
    got.slot = sk_ir_var(b, SK_LANE, d->zero);
    got.before = sk_ir_var(b, SK_LANE, d->zero);
    if (c->enc.gpu) sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, sk_ir_0(b, SK_OP_WARP, 0), d->zero));
    const sk_val t0 = sk_ir_for(b, d->zero, sk_k(d, d->tp), d->w);
    some_tokens(c, t0, &got, runs);
    sk_ir_end(b);
    if (sk_compact_by_bytes(c)) put_bytes(c);
    sk_ir_stu(b, c->starts, sk_mul(d, sk_ir_get(b, runs), 4), 0, c->count);
    sk_ir_stu(b, c->starts, d->zero, (d->tp + 1) * 4, sk_ir_get(b, runs));
    if (c->enc.gpu) sk_ir_end(b);
    sk_enc_sync(&c->enc);
    c->runs = sk_ir_ldu(b, SK_LD_U32, c->starts, d->zero, (d->tp + 1) * 4);
}

static sk_compact_run run_at(sk_compact *c, sk_val r)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_compact_run run;
    run.begin = sk_ir_ldu(b, SK_LD_U32, c->starts, sk_mul(d, r, 4), 0);
    run.n = sk_ir_2(b, SK_OP_SUB, sk_ir_ldu(b, SK_LD_U32, c->starts, sk_mul(d, r, 4), 4), run.begin);
    const sk_val unit = sk_ir_ldu(b, SK_LD_U32, sk_ir_ptr_add(b, c->tokens, run.begin, TOKEN), d->zero, 0);
    run.page = sk_ir_ptr_add(b, c->src, unit, SPHKV_UNIT_BYTES);
    return run;
}

sk_compact_run sk_compact_each_run(sk_compact *c)
{
    return run_at(c, sk_ir_for(c->dec.b, c->dec.zero, c->runs, 1));
}

/* ---- scales --------------------------------------------------------------- */

sk_val sk_compact_halves(sk_compact *c, const sk_compact_field *f, sk_val page, uint32_t off, sk_val i0)
{
    sk_dec *d = &c->dec;
    if (f->n % d->w == 0) return sk_ir_ldv(d->b, SK_LD_F16, page, sk_mul(d, i0, 2), off);
    const sk_val i = sk_add(d, i0, d->lane);
    return sk_ir_ldg(d->b, SK_LD_F16, page, sk_mul(d, i, 2), off, sk_ir_2k(d->b, SK_OP_ULT, i, f->n));
}

/* Those at byte `off` of the pages of all runs, taken together by op, from `init` on; a
 * NaN counts for nothing. */
static sk_val over_runs(sk_compact *c, const sk_compact_field *f, sk_op op, float init, uint32_t off,
                        sk_val i0)
{
    sk_builder *b = c->dec.b;
    const sk_val all = sk_ir_var(b, SK_LANE, sk_ir_f32(b, init));
    const sk_compact_run run = sk_compact_each_run(c);
    const sk_val x = sk_compact_halves(c, f, run.page, off, i0);
    sk_ir_set(b, all, sk_ir_2(b, op, x, sk_ir_get(b, all)));
    sk_ir_end(b);
    return sk_ir_get(b, all);
}

/* The scale with which codes 0 .. 15 from `low` on reach what those of each run do.
 * Of runs that have one minimum it is the largest of theirs, to the bit. */
static sk_val range_of_runs(sk_compact *c, const sk_compact_field *scales, sk_val low, sk_val i0)
{
    sk_builder *b = c->dec.b;
    const sk_val all = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_compact_run run = sk_compact_each_run(c);
    const sk_val scale = sk_compact_halves(c, scales, run.page, scales->off, i0);
    const sk_val least = sk_compact_halves(c, scales, run.page, c->field[scales->scale].off, i0);
    const sk_val above = sk_ir_2(b, SK_OP_FDIV, sk_ir_2(b, SK_OP_FSUB, least, low), sk_ir_f32(b, 15.0f));
    sk_ir_set(b, all, sk_ir_2(b, SK_OP_FMAX, sk_ir_2(b, SK_OP_FADD, above, scale), sk_ir_get(b, all)));
    sk_ir_end(b);
    return sk_ir_2(b, SK_OP_FMIN, sk_ir_get(b, all), sk_ir_f32(b, 65504.0f));
}

void sk_compact_scales(sk_compact *c, uint32_t field)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_compact_field *f = &c->field[field];
    const sk_val i0 = sk_enc_turns(&c->enc, f->n, d->w), i = sk_add(d, i0, d->lane);
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, i, f->n), zero = sk_ir_f32(b, 0.0f);
    const sk_val put = sk_mul(d, i, 4);
    sk_val scale;
    if (f->scale) {
        sk_val low = over_runs(c, f, SK_OP_FMIN, INFINITY, c->field[f->scale].off, i0);
        low = sk_sel(d, sk_ir_2(b, SK_OP_FLT, low, sk_ir_f32(b, INFINITY)), low, zero); /* no token */
        sk_ir_stg(b, c->scales, put, c->at[f->scale], sk_ir_2(b, SK_OP_PACKF16, low, zero), inside);
        scale = range_of_runs(c, f, low, i0);
    } else {
        scale = over_runs(c, f, SK_OP_FMAX, 0.0f, f->off, i0);
    }
    sk_ir_stg(b, c->scales, put, c->at[field], sk_ir_2(b, SK_OP_PACKF16, scale, zero), inside);
    sk_ir_end(b);
}

sk_val sk_compact_ratio(sk_compact *c, sk_val from, sk_val to)
{
    sk_builder *b = c->dec.b;
    /* no scale is below 0; LLVM compares halves one by one */
    const sk_val zero = sk_ir_f32(b, 0.0f), some = sk_ir_2k(b, SK_OP_NE, sk_ir_1(b, SK_OP_BITS, to), 0);
    return sk_sel(&c->dec, some, sk_ir_2(b, SK_OP_FDIV, from, to), zero);
}

sk_val sk_compact_ratios(sk_compact *c, const sk_compact_field *f, sk_val page, sk_val which,
                         sk_val inside, sk_val *add)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_compact_field *scales = &c->field[f->scale];
    const sk_val at = sk_mul(d, which, 2), got = sk_mul(d, which, 4);
    const sk_val to = sk_ir_1(b, SK_OP_F16LO, sk_ir_ldg(b, SK_LD_U32, c->scales, got, c->at[f->scale], inside));
    const sk_val from = sk_ir_ldg(b, SK_LD_F16, page, at, scales->off, inside);
    if (f->anew == SK_INT4_ANEW) {
        const sk_val least = sk_ir_ldg(b, SK_LD_F16, page, at, c->field[scales->scale].off, inside);
        const sk_val low = sk_ir_1(
            b, SK_OP_F16LO, sk_ir_ldg(b, SK_LD_U32, c->scales, got, c->at[scales->scale], inside));
        *add = sk_compact_ratio(c, sk_ir_2(b, SK_OP_FSUB, least, low), to);
    }
    return sk_compact_ratio(c, from, to);
}

sk_val sk_compact_code(sk_compact *c, const sk_compact_field *f, sk_val x, sk_val ratio, sk_val add)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t top = (1u << f->bits) - 1;
    if (f->anew == SK_KEPT) return x;
    if (f->anew == SK_INT8_ANEW || f->anew == SK_FLOAT8_ANEW)
        x = sk_ir_2k(b, SK_OP_SRA, sk_shl(d, x, 24), 24);
    if (f->anew == SK_FLOAT8_ANEW) {
        const sk_val v = sk_ir_2(b, SK_OP_FMUL, sk_rows_float8(b, x), ratio);
        return sk_and(d, sk_rows_float8_code(b, v), top);
    }
    const sk_val v = sk_ir_1(b, SK_OP_I2F, x);
    if (f->anew == SK_INT8_ANEW) { /* 1.5 * 2^23: the sum ends with the code's bits */
        const sk_val sum = sk_fma(d, v, ratio, sk_ir_f32(b, 12582912.0f));
        return sk_and(d, sk_ir_1(b, SK_OP_BITS, sum), top);
    }
    const sk_val code = sk_ir_1(b, SK_OP_F2I, f->anew == SK_INT4_ANEW ? sk_fma(d, v, ratio, add)
                                                                      : sk_ir_2(b, SK_OP_FMUL, v, ratio));
    return sk_ir_2k(b, SK_OP_UMIN, code, top); /* none is below 0 */
}
