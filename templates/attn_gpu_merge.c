/* attn_gpu_merge.c - a list that several blocks share, by the one that finishes last:
 * with m = max m_i and w_i = exp2(m_i - m) its state is m, sum w_i l_i, sum w_i acc_i,
 * as if one block had decoded it (part_merge.c does the same for a CPU, whose lists
 * have few partials). Lanes are partials where the weights are found, channels where
 * rows are added up; warps share the heads. Nobody waits for anybody: each block
 * counts its partial when that is written, and the one that makes the count complete
 * goes on. It leaves the counter at zero for the next run, also when a work list is
 * older than the table: partials are counted, which the list says, not pages. */
#include "attn_gpu.h"

#include <math.h>

void sk_grid_arrive(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_dec_one(g->c);
    sk_grid_cut(g, piece);
    sk_dec_one_end(g->c);
    sk_dec_barrier(g->c); /* all of the partial is written */
    sk_dec_one(g->c);
    const sk_val at = sk_shl(c, sk_grid_word(g, SK_DEAL_BLOCK), 2);
    const sk_val one = sk_k(c, 1), count = sk_grid_word(g, SK_DEAL_COUNT);
    const sk_val all = sk_add(c, sk_ir_atom_add(b, g->counters, at, 0, one), one);
    const sk_val last = sk_grid_op(g, SK_OP_EQ, all, count);
    sk_grid_put(g, SK_DEAL_READY, sk_sel(c, last, one, c->zero));
    sk_ir_if(b, last);
    sk_ir_stu(b, g->counters, at, 0, c->zero);
    sk_ir_end(b);
    sk_dec_one_end(g->c);
    sk_dec_barrier(g->c);
}

/* ---- joining ------------------------------------------------------------------------ */

/* One head of the list. */
typedef struct joined {
    sk_val h;     /* its number in the turn, a value; and in all of them */
    sk_val row;
    sk_val count; /* partials */
    sk_val m;     /* largest logit of all */
} joined;

/* Partials i0 .. i0+W-1, a lane each. */
typedef struct batch {
    sk_val at;     /* byte offset of the head's pair */
    sk_val inside; /* there is one */
} batch;

static batch partials_at(sk_grid *g, const joined *j, sk_val i0)
{
    sk_dec *c = g->c;
    const sk_val i = sk_add(c, i0, c->lane);
    batch p = {.inside = sk_grid_op(g, SK_OP_ULT, i, j->count)};
    const sk_val slot = sk_grid_slots(g, i, p.inside);
    const sk_val at = sk_mul(c, sk_dec_query_index(c, slot), sk_dec_partial_bytes(c->spec));
    p.at = sk_add(c, at, sk_mul(c, j->row, 64));
    return p;
}

static sk_val load(sk_grid *g, const batch *p, uint32_t word)
{
    return sk_ir_ldg(g->c->b, SK_LD_F32, g->partials, p->at, word * 4, p->inside);
}

/* exp2(m_i - m); 0 of one without tokens, whose m is -inf, also when all are. */
static sk_val weight(sk_grid *g, const joined *j, const batch *p, sk_val *l)
{
    sk_builder *b = g->c->b;
    const sk_val none = sk_ir_f32(b, 0.0f);
    *l = load(g, p, 1);
    const sk_val w = sk_ir_exp2(b, sk_grid_op(g, SK_OP_FSUB, load(g, p, 0), j->m), false);
    return sk_sel(g->c, sk_grid_op(g, SK_OP_FLT, none, *l), w, none);
}

/* m and l of the head, into stat too. */
static void join_pair(sk_grid *g, joined *j)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val least = sk_ir_f32(b, -INFINITY);
    const sk_val top = sk_ir_var(b, SK_LANE, least), sum = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    batch p = partials_at(g, j, sk_ir_for(b, c->zero, j->count, c->w));
    const sk_val m = sk_sel(c, p.inside, load(g, &p, 0), least);
    sk_ir_set(b, top, sk_grid_op(g, SK_OP_FMAX, sk_ir_get(b, top), m));
    sk_ir_end(b);
    j->m = sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, top));
    p = partials_at(g, j, sk_ir_for(b, c->zero, j->count, c->w));
    sk_val l;
    const sk_val w = weight(g, j, &p, &l);
    sk_ir_set(b, sum, sk_fma(c, w, l, sk_ir_get(b, sum)));
    sk_ir_end(b);
    const sk_val at = sk_mul(c, j->h, 4);
    sk_ir_stu(b, c->stat, at, c->stat_m, j->m);
    sk_ir_stu(b, c->stat, at, c->stat_l, sk_ir_1(b, SK_OP_RED_FADD, sk_ir_get(b, sum)));
}

enum { VECTORS = 4, AHEAD = 4 }; /* of channels at once; partials whose loads overlap */

/* Adds AHEAD partials from j0 of the batch on to the sums. row: byte offset of the
 * channels in a partial's row, less that of the head's pair; places: bytes of channels
 * that a lane has in a row of Cp. */
static void add_rows(sk_grid *g, const batch *p, sk_val w, sk_val j0, sk_val left, sk_val row,
                     sk_val channel, const sk_val *acc)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    for (uint32_t u = 0; u < AHEAD; u++) {
        const sk_val i = sk_add(c, j0, sk_k(c, u));
        const sk_val here = sk_grid_op(g, SK_OP_ULT, i, left);
        const sk_val wi = sk_shuf(c, w, i), at = sk_add(c, sk_shuf(c, p->at, i), row);
        for (uint32_t v = 0; v < VECTORS; v++) {
            const sk_val ch = sk_add(c, channel, sk_k(c, v * c->w));
            const sk_val live = sk_grid_op(g, SK_OP_PAND, here, sk_grid_op(g, SK_OP_ULT, ch, sk_k(c, c->cp)));
            const sk_val x = sk_ir_ldg(b, SK_LD_F32, g->partials, at, v * c->w * 4, live);
            sk_ir_set(b, acc[v], sk_fma(c, x, wi, sk_ir_get(b, acc[v])));
        }
    }
}

static void join_rows(sk_grid *g, const joined *j)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_val acc[VECTORS], l;
    const sk_val c0 = sk_ir_for(b, c->zero, sk_k(c, c->cp), VECTORS * c->w);
    const sk_val channel = sk_add(c, c0, c->lane);
    for (uint32_t v = 0; v < VECTORS; v++) acc[v] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val i0 = sk_ir_for(b, c->zero, j->count, c->w);
    const batch p = partials_at(g, j, i0);
    const sk_val w = weight(g, j, &p, &l);
    const sk_val left = sk_grid_op(g, SK_OP_UMIN, sk_grid_op(g, SK_OP_SUB, j->count, i0), sk_k(c, c->w));
    /* behind the pairs of all heads, less what p.at has of this head's */
    const sk_val rows = sk_add(c, sk_mul(c, j->row, c->cp * 4 - 64), sk_k(c, c->heads * 64));
    const sk_val row = sk_add(c, rows, sk_mul(c, channel, 4));
    const sk_val j0 = sk_ir_for(b, c->zero, left, AHEAD);
    add_rows(g, &p, w, j0, left, row, channel, acc);
    sk_ir_end(b);
    sk_ir_end(b);
    const sk_val to = sk_ir_ptr_add(b, c->acc, j->h, c->cp * 4);
    for (uint32_t v = 0; v < VECTORS; v++) {
        const sk_val at = sk_mul(c, sk_add(c, c0, sk_k(c, v * c->w)), 4);
        const sk_val here = sk_grid_op(g, SK_OP_ULT, sk_add(c, channel, sk_k(c, v * c->w)), sk_k(c, c->cp));
        sk_ir_stg(b, to, sk_add(c, at, sk_mul(c, c->lane, 4)), 0, sk_ir_get(b, acc[v]), here);
    }
    sk_ir_end(b);
}

void sk_grid_merge(sk_grid *g)
{
    sk_dec *c = g->c;
    joined j = {.count = sk_grid_word(g, SK_DEAL_COUNT)};
    const sk_val first = c->warps > 1 ? c->warp : c->zero;
    j.h = sk_ir_for(c->b, first, sk_k(c, c->h), c->warps);
    j.row = c->h0 == SK_NONE ? j.h : sk_add(c, j.h, c->h0);
    join_pair(g, &j);
    join_rows(g, &j);
    sk_ir_end(c->b);
    sk_dec_barrier(g->c);
}
