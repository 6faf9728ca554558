/* attn_gpu_row.c - the row of all pages of a run: its length, and which pair is at a
 * place of it, found by one warp.
 *
 * The place at which a list begins is a difference of two entries of indptr, so place x
 * is looked for in indptr: W entries a step. Lists that all KV heads share count once
 * for each of them. Of a run over some KV heads of lists per head the entries are not
 * one stretch: there the sequences are added up W at a time, and only the heads of one
 * sequence are searched. */
#include "attn_gpu.h"
#include "gpu.h"

static sk_val select(sk_grid *g, sk_val p, sk_val x, sk_val y) { return sk_sel(g->c, p, x, y); }

/* How many pairs share a list. */
static sk_val times(sk_grid *g) { return select(g, g->shared, g->kv_count, sk_k(g->c, 1)); }

/* ---- search ------------------------------------------------------------------- */

void sk_grid_search(sk_grid *g, const sk_grid_keys k[2], const sk_val n[2], const sk_val x[2],
                    sk_val found[2])
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const uint32_t bits = (uint32_t)__builtin_ctz(c->w), steps = (30 + bits - 1) / bits;
    sk_val lo[2], left[2], len[2], word[2];
    for (uint32_t t = 0; t < 2; t++) {
        lo[t] = sk_ir_var(b, SK_WARP, c->zero);
        left[t] = sk_ir_var(b, SK_WARP, n[t]);
    }
    (void)sk_ir_for(b, c->zero, sk_k(c, steps), 1);
    for (uint32_t t = 0; t < 2; t++) len[t] = sk_ir_get(b, left[t]);
    const sk_val one = sk_k(c, 1);
    sk_ir_if(b, sk_grid_op(g, SK_OP_ULT, one, sk_grid_op(g, SK_OP_UMAX, len[0], len[1])));
    sk_val step[2], here[2];
    for (uint32_t t = 0; t < 2; t++) {
        step[t] = sk_shr(c, sk_add(c, len[t], sk_k(c, c->w - 1)), bits);
        const sk_val i = sk_grid_op(g, SK_OP_MUL, c->lane, step[t]);
        here[t] = sk_grid_op(g, SK_OP_ULT, i, len[t]);
        const sk_val at = sk_mul(c, sk_add(c, sk_ir_get(b, lo[t]), i), k[t].stride);
        word[t] = sk_ir_ldg(b, SK_LD_U32, k[t].base, at, 0, here[t]);
    }
    for (uint32_t t = 0; t < 2; t++) {
        const sk_val key = sk_grid_op(g, SK_OP_MUL, sk_grid_op(g, SK_OP_SUB, word[t], k[t].zero), k[t].times);
        const sk_val yes = sk_grid_op(g, SK_OP_PAND, here[t], sk_grid_op(g, SK_OP_ULE, key, x[t]));
        const sk_val count = sk_ir_1(b, SK_OP_RED_UADD, select(g, yes, one, c->zero));
        const sk_val past = sk_grid_op(g, SK_OP_MUL, sk_grid_op(g, SK_OP_SUB, count, one), step[t]);
        sk_ir_set(b, lo[t], sk_add(c, sk_ir_get(b, lo[t]), past));
        sk_ir_set(b, left[t], sk_grid_op(g, SK_OP_UMIN, step[t], sk_grid_op(g, SK_OP_SUB, len[t], past)));
    }
    sk_ir_end(b);
    sk_ir_end(b);
    for (uint32_t t = 0; t < 2; t++) found[t] = sk_ir_get(b, lo[t]);
}

/* ---- sequences of a run over some KV heads --------------------------------------- */

/* Pages of sequences s0 .. s0+W-1, a lane each; 0 behind the last. */
static sk_val sequence_pages(sk_grid *g, sk_val s0)
{
    sk_dec *c = g->c;
    const sk_val s = sk_add(c, s0, c->lane), here = sk_grid_op(g, SK_OP_ULT, s, g->batch);
    const sk_val first = sk_add(c, sk_grid_op(g, SK_OP_MUL, s, g->kv_heads), g->kv_first);
    sk_val bound[2];
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val i = k ? sk_add(c, first, g->kv_count) : first;
        bound[k] = sk_ir_ldg(c->b, SK_LD_U32, g->indptr, sk_mul(c, i, 4), 0, here);
    }
    return sk_grid_op(g, SK_OP_SUB, bound[1], bound[0]);
}

/* The sequences that hold places x, and the places at which they begin: behind all
 * whose end is at most x. */
static void find_sequences(sk_grid *g, const sk_val x[2], const sk_val seq[2],
                           const sk_val begin[2])
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val sum = sk_ir_var(b, SK_WARP, c->zero);
    const sk_val s0 = sk_ir_for(b, c->zero, g->batch, c->w);
    const sk_val pages = sequence_pages(g, s0), before = sk_ir_get(b, sum);
    const sk_val end = sk_add(c, before, sk_gpu_scan(g->c->b, g->c->w, pages));
    const sk_val inside = sk_grid_op(g, SK_OP_ULT, sk_add(c, s0, c->lane), g->batch);
    for (uint32_t t = 0; t < 2; t++) {
        const sk_val past = sk_grid_op(g, SK_OP_PAND, inside, sk_grid_op(g, SK_OP_ULE, end, x[t]));
        const sk_val n = sk_ir_1(b, SK_OP_RED_UADD, select(g, past, sk_k(c, 1), c->zero));
        const sk_val most = sk_ir_1(b, SK_OP_RED_UMAX, select(g, past, end, c->zero));
        sk_ir_set(b, seq[t], sk_add(c, sk_ir_get(b, seq[t]), n));
        sk_ir_set(b, begin[t], sk_grid_op(g, SK_OP_UMAX, sk_ir_get(b, begin[t]), most));
    }
    sk_ir_set(b, sum, sk_add(c, before, sk_ir_1(b, SK_OP_RED_UADD, pages)));
    sk_ir_end(b);
}

/* ---- the row --------------------------------------------------------------------- */

sk_val sk_grid_length(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val total = sk_ir_var(b, SK_WARP, c->zero);
    sk_ir_if(b, g->partly);
    const sk_val sum = sk_ir_var(b, SK_LANE, c->zero);
    const sk_val s0 = sk_ir_for(b, c->zero, g->batch, c->w);
    sk_ir_set(b, sum, sk_add(c, sk_ir_get(b, sum), sequence_pages(g, s0)));
    sk_ir_end(b);
    sk_ir_set(b, total, sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, sum)));
    sk_ir_else(b);
    const sk_val each = select(g, g->shared, sk_k(c, 1), g->kv_heads);
    const sk_val end = sk_grid_entry(g, g->indptr, sk_grid_op(g, SK_OP_MUL, g->batch, each));
    const sk_val all = sk_grid_op(g, SK_OP_SUB, end, sk_grid_entry(g, g->indptr, c->zero));
    sk_ir_set(b, total, sk_grid_op(g, SK_OP_MUL, all, times(g)));
    sk_ir_end(b);
    return sk_ir_get(b, total);
}

void sk_grid_find(sk_grid *g, const sk_val x[2], sk_val pair[2], sk_val at[2])
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_val seq[2], begin[2], n[2], rest[2], list[2];
    sk_grid_keys k[2];
    for (uint32_t t = 0; t < 2; t++) {
        seq[t] = sk_ir_var(b, SK_WARP, c->zero);
        begin[t] = sk_ir_var(b, SK_WARP, c->zero);
    }
    sk_ir_if(b, g->partly);
    find_sequences(g, x, seq, begin);
    sk_ir_end(b);
    const sk_val whole = select(g, g->shared, g->batch, sk_grid_op(g, SK_OP_MUL, g->batch, g->kv_heads));
    for (uint32_t t = 0; t < 2; t++) {
        seq[t] = sk_ir_get(b, seq[t]);
        begin[t] = sk_ir_get(b, begin[t]);
        n[t] = select(g, g->partly, g->kv_count, whole);
        rest[t] = sk_grid_op(g, SK_OP_SUB, x[t], begin[t]);
        const sk_val own = sk_add(c, sk_grid_op(g, SK_OP_MUL, seq[t], g->kv_heads), g->kv_first);
        const sk_val base = sk_ir_ptr_add(b, g->indptr, select(g, g->partly, own, c->zero), 4);
        k[t] = (sk_grid_keys){.base = base, .zero = sk_grid_entry(g, base, c->zero), .times = times(g), .stride = 4};
    }
    sk_grid_search(g, k, n, rest, list);
    for (uint32_t t = 0; t < 2; t++) {
        const sk_val lo = sk_grid_entry(g, k[t].base, list[t]);
        const sk_val hi = sk_grid_entry(g, k[t].base, sk_add(c, list[t], sk_k(c, 1)));
        const sk_val pages = sk_grid_op(g, SK_OP_SUB, hi, lo);
        const sk_val before = sk_grid_op(g, SK_OP_MUL, sk_grid_op(g, SK_OP_SUB, lo, k[t].zero), k[t].times);
        /* which of the pairs that share the list */
        const sk_val one = sk_grid_op(g, SK_OP_UDIV, sk_grid_op(g, SK_OP_SUB, rest[t], before), pages);
        at[t] = sk_add(c, begin[t], sk_add(c, before, sk_grid_op(g, SK_OP_MUL, one, pages)));
        const sk_val earlier = sk_grid_op(g, SK_OP_MUL, seq[t], g->kv_count);
        pair[t] = sk_add(c, sk_add(c, earlier, sk_grid_op(g, SK_OP_MUL, list[t], k[t].times)), one);
    }
}
