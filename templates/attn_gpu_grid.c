/* attn_gpu_grid.c - what the blocks of attn_decode on a GPU have in common: parameters, where
 * the rows of a pair go, and the rows of lists that nobody has a piece of. */
#include "attn_gpu.h"
#include "part_rope.h"

#include <math.h>

/* ---- parameters ------------------------------------------------------------------ */

void sk_grid_params_read(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    c->q = sk_ir_param_ptr(b, "q", false);
    c->codebook = sk_ir_param_ptr(b, "codebook", false);
    c->arena = sk_ir_param_ptr(b, "arena", false);
    g->indptr = sk_ir_param_ptr(b, "indptr", false);
    g->refs = sk_ir_param_ptr(b, "refs", false);
}

void sk_grid_params_of_run(sk_grid *g)
{
    sk_builder *b = g->c->b;
    g->flags = sk_ir_param_u32(b, "flags");
    g->batch = sk_ir_param_u32(b, "batch");
    g->kv_heads = sk_ir_param_u32(b, "kv_heads");
    g->kv_first = sk_ir_param_u32(b, "kv_first");
    g->kv_count = sk_ir_param_u32(b, "kv_count");
    g->q_seq = sk_ir_param_u32(b, "q_seq_bytes");
    g->c->q_stride = sk_ir_param_u32(b, "q_head_bytes");
}

void sk_grid_params(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_grid_params_read(g);
    g->out = sk_ir_param_ptr(b, "out", true);
    g->lse = sk_ir_param_ptr(b, "lse", true);
    g->page_ml = sk_ir_param_ptr(b, "page_ml", true);
    g->work = sk_ir_param_ptr(b, "work", false);
    g->counters = sk_ir_param_ptr(b, "counters", true);
    g->partials = sk_ir_param_ptr(b, "partials", true);
    c->tables = sk_ir_param_ptr(b, "tables", true);
    sk_grid_params_of_run(g);
    g->out_seq = sk_ir_param_u32(b, "out_seq_bytes");
    g->out_head = sk_ir_param_u32(b, "out_head_bytes");
    g->lse_seq = sk_ir_param_u32(b, "lse_seq");
    g->blocks = sk_ir_param_u32(b, "blocks");
    c->scale = sk_ir_param_f32(b, "scale_log2e");
    sk_dec_variant_params(c);
    sk_rope_params(c);
}

/* ---- what pieces have in common ------------------------------------------------------ */

sk_val sk_grid_units(sk_grid *g, const sk_piece *piece, uint32_t tier_slot)
{
    sk_page_layout lay;
    sk_page_layout_get(g->c->spec, tier_slot, &lay);
    return sk_sel(g->c, g->shared, sk_mul(g->c, piece->head, lay.units), g->c->zero);
}

sk_grid_statistics sk_grid_statistics_of(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    const sk_val wanted = sk_grid_op(g, SK_OP_NE, sk_and(c, g->flags, SK_GPU_PAGE_ML), c->zero);
    const sk_val each = sk_sel(c, g->shared, g->kv_heads, sk_k(c, 1));
    return (sk_grid_statistics){.step = sk_sel(c, wanted, each, c->zero),
                                .add = sk_sel(c, g->shared, piece->head, c->zero)};
}

/* Where the rows of a pair go, as the parts read it from an item. */
static sk_val out_at(sk_grid *g, sk_val seq, sk_val head)
{
    const sk_val rows = sk_grid_op(g, SK_OP_MUL, sk_mul(g->c, head, g->c->heads), g->out_head);
    return sk_add(g->c, sk_grid_op(g, SK_OP_MUL, seq, g->out_seq), rows);
}

static sk_val lse_wanted(sk_grid *g)
{
    return sk_grid_op(g, SK_OP_NE, sk_and(g->c, g->flags, SK_GPU_LSE), g->c->zero);
}

static sk_val lse_at(sk_grid *g, sk_val seq, sk_val head)
{
    const sk_val rows = sk_mul(g->c, head, g->c->heads);
    return sk_shl(g->c, sk_add(g->c, sk_grid_op(g, SK_OP_MUL, seq, g->lse_seq), rows), 2);
}

/* Byte offset of the first query head's sink, or SK_ITEM_NONE. */
static sk_val sink_at(sk_grid *g, sk_val head)
{
    sk_dec *c = g->c;
    const sk_val wanted = sk_grid_op(g, SK_OP_NE, sk_and(c, g->flags, SK_GPU_SINK), c->zero);
    return sk_sel(c, wanted, sk_mul(c, head, c->heads * 4), sk_k(c, SK_ITEM_NONE));
}

void sk_grid_put_item(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    const sk_val lse = lse_at(g, piece->seq, piece->head);
    sk_dec_barrier(g->c); /* nobody is at the last piece any more */
    sk_dec_one(g->c);
    sk_ir_stu(c->b, c->item, c->zero, SK_ITEM_OUT * 4, out_at(g, piece->seq, piece->head));
    sk_ir_stu(c->b, c->item, c->zero, SK_ITEM_LSE * 4,
              sk_sel(c, lse_wanted(g), lse, sk_k(c, SK_ITEM_NONE)));
    if (sk_dec_has(c, SPHKV_VARIANT_SINK))
        sk_ir_stu(c->b, c->item, c->zero, SK_ITEM_SINK * 4, sink_at(g, piece->head));
    sk_grid_keep(g, piece);
    sk_dec_one_end(g->c);
}

/* ---- empty lists ----------------------------------------------------------------------- */

static sk_val no_channels(sk_dec *c, const void *of, sk_val at)
{
    (void)of;
    (void)at;
    return sk_ir_f32(c->b, 0.0f);
}

/* LSE of head h of a list without tokens. */
static sk_val empty_lse(sk_grid *g, sk_val kv_head, sk_val h)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    if (!sk_dec_has(c, SPHKV_VARIANT_SINK)) return sk_ir_f32(b, -INFINITY);
    const sk_val x = sk_ir_var(b, SK_WARP, sk_ir_f32(b, -INFINITY)), at = sink_at(g, kv_head);
    sk_ir_if(b, sk_grid_op(g, SK_OP_NE, at, sk_k(c, SK_ITEM_NONE)));
    sk_ir_set(b, x, sk_ir_ldu(b, SK_LD_F32, c->var.sinks, sk_add(c, at, sk_shl(c, h, 2)), 0));
    sk_ir_end(b);
    return sk_ir_get(b, x);
}

/* Rows of one query token. */
static void clear_rows(sk_grid *g, const sk_grid_list *l, sk_val out, sk_val lse)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val first = c->warps > 1 ? c->warp : c->zero;
    const sk_val rows = sk_ir_ptr_add(b, out, out_at(g, l->seq, l->head), 1);
    const sk_val h = sk_ir_for(b, first, sk_k(c, c->heads), c->warps);
    sk_part_out(c, sk_ir_ptr_add(b, rows, sk_grid_op(g, SK_OP_MUL, h, g->out_head), 1), no_channels, NULL);
    sk_ir_if(b, lse_wanted(g));
    const sk_val at = sk_add(c, lse_at(g, l->seq, l->head), sk_shl(c, h, 2));
    sk_ir_stu(b, lse, at, 0, empty_lse(g, l->head, h));
    sk_ir_end(b);
    sk_ir_end(b);
}

static void clear_pair(sk_grid *g, const sk_grid_list *l)
{
    sk_dec one;
    sk_dec_tokens_begin(g->c, &one);
    const sk_dec_outputs of =
        sk_dec_query_outputs(&one, &(sk_dec_outputs){.out = g->out, .lse = g->lse});
    clear_rows(g, l, of.out, of.lse);
    sk_dec_queries_end(g->c);
}

void sk_grid_clear_empty(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val pairs = sk_grid_op(g, SK_OP_MUL, g->batch, g->kv_count);
    const sk_val room = sk_add(c, sk_grid_op(g, SK_OP_SUB, pairs, g->block), g->blocks);
    const sk_val mine = sk_grid_op(g, SK_OP_UDIV, sk_grid_op(g, SK_OP_SUB, room, sk_k(c, 1)), g->blocks);
    const sk_val any = sk_grid_op(g, SK_OP_ULT, g->block, pairs);
    const sk_val i = sk_ir_for(b, c->zero, sk_sel(c, any, mine, c->zero), 1);
    const sk_grid_list l = sk_grid_pair(g, sk_add(c, g->block, sk_grid_op(g, SK_OP_MUL, i, g->blocks)));
    sk_ir_if(b, sk_grid_op(g, SK_OP_EQ, l.begin, l.end));
    clear_pair(g, &l);
    sk_ir_end(b);
    sk_ir_end(b);
}
