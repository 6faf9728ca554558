/* part_mask.c - what stands between the logits of a page and its softmax: soft-cap,
 * bias per token, and tokens that a query does not see (sphkv.h has the equation). One
 * pass over s[h][t], of its own, so that specs without variants have none of it.
 *
 * Who is seen follows from places in the list, or from the positions that pages store.
 * Places give a range of slots, which ends the page early and mostly needs no mask;
 * positions give any set. A page of which nothing is seen is left out before its keys
 * are read: then no softmax meets a row of nothing but minus infinity.
 *
 * tanh u = 2 a / (1 + a^2), a = tanh(u / 2) by the continued fraction up to its seventh
 * partial denominator: with u up to 9.9 relative error 2^-21, and one division. */
#include "decode.h"

#include <math.h>

#define LOG2E 1.44269504f

static sk_val f32(sk_dec *c, float x) { return sk_ir_f32(c->b, x); }
static sk_val op(sk_dec *c, sk_op o, sk_val x, sk_val y) { return sk_ir_2(c->b, o, x, y); }

/* Whether there are tokens that are not seen; page_mass: some are not, as with queries. */
static bool masked(const sk_spec *spec)
{
    return (spec->variants &
            (SPHKV_VARIANT_WINDOW | SPHKV_VARIANT_POSITIONS | SPHKV_VARIANT_QUERIES)) != 0 ||
           spec->kernel == SPHKV_PAGE_MASS;
}

bool sk_dec_counts(const sk_spec *spec)
{
    return masked(spec) && !(spec->variants & SPHKV_VARIANT_POSITIONS);
}

/* x - y, at least 0. */
static sk_val above(sk_dec *c, sk_val x, sk_val y)
{
    return sk_sel(c, op(c, SK_OP_ULT, y, x), op(c, SK_OP_SUB, x, y), c->zero);
}

/* ---- by places ------------------------------------------------------------------- */

static sk_dec_seen seen_by_place(sk_dec *c, sk_val count)
{
    sk_builder *b = c->b;
    const sk_dec_variants *v = &c->var;
    sk_val last = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_TOKENS * 4);
    if (v->query != SK_NONE) {
        const sk_val later = op(c, SK_OP_SUB, v->q_len, sk_add(c, v->query, sk_k(c, 1)));
        last = above(c, last, later);
    }
    const sk_val before = sk_ir_get(b, v->before);
    sk_dec_seen seen = {.begin = c->zero, .whole = SK_NONE};
    seen.end = op(c, SK_OP_UMIN, above(c, last, before), count);
    if (sk_dec_has(c, SPHKV_VARIANT_WINDOW)) {
        const sk_val first = above(c, last, v->window);
        seen.begin = op(c, SK_OP_UMIN, above(c, first, before), seen.end);
        seen.whole = op(c, SK_OP_EQ, seen.begin, c->zero);
    }
    seen.any = op(c, SK_OP_ULT, seen.begin, seen.end);
    return seen;
}

/* ---- by positions ---------------------------------------------------------------- */

sk_val sk_dec_positions(sk_dec *c, uint32_t tier_slot, sk_val page)
{
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    return sk_ir_ptr_add(c->b, page, sk_k(c, lay.pos_off), 1);
}

static sk_val query_position(sk_dec *c)
{
    const sk_val first = sk_ir_ldu(c->b, SK_LD_U32, c->item, c->zero, SK_ITEM_QUERY * 4);
    const sk_val at = c->var.query != SK_NONE ? sk_add(c, first, c->var.query) : first;
    return sk_ir_ldu(c->b, SK_LD_U32, c->var.q_positions, sk_mul(c, at, 4), 0);
}

sk_val sk_dec_sees_position(sk_dec *c, sk_val at, sk_val query)
{
    const sk_val yes = op(c, SK_OP_ULE, at, query);
    if (!sk_dec_has(c, SPHKV_VARIANT_WINDOW)) return yes;
    return op(c, SK_OP_PAND, yes, op(c, SK_OP_ULT, op(c, SK_OP_SUB, query, at), c->var.window));
}

sk_val sk_dec_sees(sk_dec *c, sk_val positions, sk_val query, sk_val t0, sk_val end)
{
    const sk_val at = sk_ir_ldv(c->b, SK_LD_U32, positions, sk_mul(c, t0, 4), 0);
    const sk_val yes = op(c, SK_OP_ULT, sk_add(c, t0, c->lane), end);
    return op(c, SK_OP_PAND, yes, sk_dec_sees_position(c, at, query));
}

static sk_dec_seen seen_by_position(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val count)
{
    sk_builder *b = c->b;
    const sk_val positions = sk_dec_positions(c, tier_slot, page), query = query_position(c);
    const sk_val n = sk_ir_var(b, SK_LANE, c->zero);
    const sk_val t0 = sk_ir_for(b, c->zero, count, c->w);
    const sk_val yes = sk_dec_sees(c, positions, query, t0, count);
    sk_ir_set(b, n, sk_add(c, sk_ir_get(b, n), sk_sel(c, yes, sk_k(c, 1), c->zero)));
    sk_ir_end(b);
    const sk_val all = sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, n));
    return (sk_dec_seen){.begin = c->zero,
                         .end = count,
                         .any = op(c, SK_OP_NE, all, c->zero),
                         .whole = op(c, SK_OP_EQ, all, count)};
}

sk_dec_seen sk_part_seen(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val count)
{
    if (!masked(c->spec))
        return (sk_dec_seen){.begin = c->zero, .end = count, .any = SK_NONE, .whole = SK_NONE};
    return sk_dec_has(c, SPHKV_VARIANT_POSITIONS) ? seen_by_position(c, tier_slot, page, count)
                                                  : seen_by_place(c, count);
}

/* ---- the pass -------------------------------------------------------------------- */

/* cap * tanh(x / cap), in units of log2 as x. */
static sk_val soft_cap(sk_dec *c, sk_val x)
{
    const float most = 4.95f; /* tanh there is 1 - 2^-13, of twice of it 1 - 2^-27 */
    sk_val y = op(c, SK_OP_FMUL, x, c->var.cap_down);
    y = op(c, SK_OP_FMAX, op(c, SK_OP_FMIN, y, f32(c, most)), f32(c, -most));
    const sk_val z = op(c, SK_OP_FMUL, y, y);
    sk_val n = op(c, SK_OP_FADD, z, f32(c, 378.0f));
    n = sk_fma(c, n, z, f32(c, 17325.0f));
    n = op(c, SK_OP_FMUL, sk_fma(c, n, z, f32(c, 135135.0f)), y);
    sk_val d = sk_fma(c, z, f32(c, 28.0f), f32(c, 3150.0f));
    d = sk_fma(c, d, z, f32(c, 62370.0f));
    d = sk_fma(c, d, z, f32(c, 135135.0f));
    const sk_val twice = op(c, SK_OP_FMUL, op(c, SK_OP_FADD, n, n), d);
    const sk_val all = sk_fma(c, n, n, op(c, SK_OP_FMUL, d, d));
    return op(c, SK_OP_FMUL, op(c, SK_OP_FDIV, twice, all), c->var.cap_up);
}

sk_val sk_dec_bias_unit(sk_dec *c, sk_val x)
{
    return op(c, SK_OP_FMUL, op(c, SK_OP_FMAX, x, f32(c, -1e30f)), f32(c, LOG2E));
}

sk_val sk_dec_bias(sk_dec *c, sk_val bias, sk_val t0)
{
    if (!sk_dec_has(c, SPHKV_VARIANT_BIAS)) return SK_NONE;
    return sk_dec_bias_unit(c, sk_ir_ldv(c->b, SK_LD_F32, bias, sk_mul(c, t0, 4), 0));
}

sk_val sk_dec_logit(sk_dec *c, sk_val x, sk_val bias)
{
    if (sk_dec_has(c, SPHKV_VARIANT_SOFTCAP)) x = soft_cap(c, x);
    return bias == SK_NONE ? x : op(c, SK_OP_FADD, x, bias);
}

/* Which of W slots are seen, those below `end`; SK_NONE: all. */
static sk_val seen_here(sk_dec *c, sk_val positions, sk_val query, const sk_dec_seen *seen, sk_val t0)
{
    if (positions != SK_NONE) return sk_dec_sees(c, positions, query, t0, seen->end);
    if (seen->whole == SK_NONE) return SK_NONE;
    return op(c, SK_OP_ULE, seen->begin, sk_add(c, t0, c->lane));
}

void sk_part_mask(sk_dec *c, uint32_t tier_slot, sk_val page, const sk_dec_seen *seen, sk_val bias)
{
    sk_builder *b = c->b;
    const bool positions = sk_dec_has(c, SPHKV_VARIANT_POSITIONS);
    const bool rarely = !sk_dec_has(c, SPHKV_VARIANT_SOFTCAP) && !sk_dec_has(c, SPHKV_VARIANT_BIAS);
    if (rarely && seen->whole == SK_NONE) return;
    if (rarely) sk_ir_if(b, sk_ir_1(b, SK_OP_PNOT, seen->whole)); /* something is hidden */
    const sk_val at = positions ? sk_dec_positions(c, tier_slot, page) : SK_NONE;
    const sk_val query = positions ? query_position(c) : SK_NONE;
    const sk_val t0 = sk_ir_for(b, c->zero, seen->end, c->w);
    const sk_val add = sk_dec_bias(c, bias, t0);
    const sk_val here = seen_here(c, at, query, seen, t0);
    for (uint32_t h = 0; h < c->h; h++) {
        const uint32_t row = h * c->tp * 4;
        sk_val x = sk_ir_ldv(b, SK_LD_F32, c->s, sk_mul(c, t0, 4), row);
        x = sk_dec_logit(c, x, add);
        if (here != SK_NONE) x = sk_sel(c, here, x, f32(c, -INFINITY));
        sk_ir_stv(b, c->s, sk_mul(c, t0, 4), row, x);
    }
    sk_ir_end(b);
    if (rarely) sk_ir_end(b);
}
