/* attn_gpu.h - the GPU form of attn_decode: one launch does everything (two where
 * merge=separate), and all that depends on lengths is read on the device. Parts, one
 * file each:
 *   attn_gpu.c         the host side: plan, workspace, arguments, the launch
 *   attn_gpu_choice.c  schedules
 *   attn_gpu_build.c   the programs: what a block does from beginning to end
 *   attn_gpu_row.c     the row of all pages, and who is where in it
 *   attn_gpu_deal.c    which pages are a block's
 *   attn_gpu_merge.c   lists that several blocks share
 *   attn_gpu_warp.c    form "warp": the parts of the CPU, a block is one warp
 *   tile.c and others  form "tile": tensor cores (tile.h), where they can do the spec
 *   attn_raw.c         form "raw": text written by hand, for one common spec
 *
 * The pages of all pairs of a sequence and a KV head, pair by pair (attn_run.h), form
 * one row; block b of G takes an equal share of it, whatever the lists' lengths. The
 * page table's indptr is the running sum, so that a block finds its place by a search,
 * and no launch comes before; or it takes part b of a work list. A list that borders
 * cut goes to partials, slot 2b of who goes on with one, 2b + 1 of who begins it, and
 * who finishes last merges, or in a second launch who began. */
#ifndef SK_ATTN_GPU_H
#define SK_ATTN_GPU_H

#include "tile.h"

/* The parameters, in this order; kernels written by hand take the same. Pointers:
 *   q  codebook  arena  indptr  refs  out  lse  page_ml
 *   work      a work list of attn_schedule
 *   counters  [G], zero between runs: how many partials are there of the list that
 *             begins in block b and goes on in others
 *   partials  [2 G]
 *   tables    what does not fit in scratch, per block; then, per block and query token,
 *             what each token has of its own
 * u32:
 *   flags  batch  kv_heads  kv_first  kv_count
 *   q_seq_bytes  q_head_bytes  out_seq_bytes  out_head_bytes  lse_seq (elements)
 *   blocks    G
 * f32:
 *   scale_log2e
 * and those of variants (part_variant.c) and of keys before RoPE (part_rope.c), which
 * text written by hand does not know. */
#define SK_GPU_LSE     1u /* of flags: lse is wanted */
#define SK_GPU_PAGE_ML 2u /* page_ml is */
#define SK_GPU_LISTED  4u /* there is a work list; one that is not of this run is ignored */
#define SK_GPU_SHARED  8u /* one list for all KV heads of a sequence */
#define SK_GPU_SINK    16u /* sinks are given */

/* What a block knows, in scratch: words that one warp finds and all read. */
enum {
    SK_DEAL_FIRST,  /* its pairs, or items of the work list: [FIRST, END) */
    SK_DEAL_END,
    SK_DEAL_AT,     /* place in the row of the first pair's first page */
    SK_DEAL_TOTAL,  /* length of the row */
    SK_DEAL_LO,     /* its share of the row: [LO, HI) */
    SK_DEAL_HI,
    SK_DEAL_PAIR,   /* of the piece at work, what its end needs; in scratch, since */
    SK_DEAL_SLOT,   /* decoding has no registers to spare for it */
    SK_DEAL_PLACE,
    SK_DEAL_PAGES,
    SK_DEAL_BLOCK,  /* of a list that is cut: block that begins it, */
    SK_DEAL_COUNT,  /* how many blocks have some of it, */
    SK_DEAL_ITEM,   /* its first item in the work list */
    SK_DEAL_READY,  /* whether all its partials are there */
    SK_DEAL_WORDS
};

/* A program under construction. */
typedef struct sk_grid {
    sk_dec *c;           /* q, codebook, arena, tables, scale, q_stride are there */
    sk_val indptr, refs, out, lse, page_ml, work, counters, partials;
    sk_val flags, batch, kv_heads, kv_first, kv_count;
    sk_val q_seq, out_seq, out_head, lse_seq, blocks;
    sk_val shared;       /* predicates: lists are shared; */
    sk_val partly;       /* the run's lists are not one stretch of the table; */
    sk_val listed;       /* there is a work list for this run */
    sk_val block;        /* whose share is at work */
    sk_val deal;         /* SK_DEAL_WORDS in scratch */
    sk_val at;           /* variable: place in the row of the next pair */
    sk_tile *tile;       /* NULL: form "warp" */
} sk_grid;

/* Pages of one list that a block works at: all values of block scope. */
typedef struct sk_piece {
    sk_val pair, seq, head; /* KV head, counted from the plan's first */
    sk_val lo, hi;          /* references */
    sk_val slot;            /* of the partial, or SK_ITEM_FINAL */
    sk_val at, pages;       /* of the whole list: its place in the row, its pages */
} sk_piece;

static inline sk_val sk_grid_op(sk_grid *g, sk_op o, sk_val x, sk_val y)
{
    return sk_ir_2(g->c->b, o, x, y);
}

/* attn_gpu_grid.c. Arena units to add to a page of the piece, and which rows of page
 * statistics are its: row of refs[i] i * step + add, step 0 when not wanted. */
sk_val sk_grid_units(sk_grid *g, const sk_piece *piece, uint32_t tier_slot);
typedef struct sk_grid_statistics {
    sk_val step, add;
} sk_grid_statistics;
sk_grid_statistics sk_grid_statistics_of(sk_grid *g, const sk_piece *piece);
/* Leaves in scratch where the rows of a piece go. */
void sk_grid_put_item(sk_grid *g, const sk_piece *piece);

/* attn_gpu_row.c */
/* Keys that never fall: (word at base + i * stride, less `zero`) * times. */
typedef struct sk_grid_keys {
    sk_val base, zero, times;
    uint32_t stride;
} sk_grid_keys;
/* For two x at once, so that one waits for memory while the other does: the last of n
 * keys that is at most x, of which the first is. W candidates a step, spread evenly. */
void sk_grid_search(sk_grid *g, const sk_grid_keys k[2], const sk_val n[2], const sk_val x[2],
                    sk_val found[2]);
sk_val sk_grid_length(sk_grid *g);
/* The pairs that hold places x of the row, and the places at which they begin. */
void sk_grid_find(sk_grid *g, const sk_val x[2], sk_val pair[2], sk_val at[2]);

/* attn_gpu_deal.c */
sk_val sk_grid_entry(sk_grid *g, sk_val array, sk_val i); /* word i, a value */
void sk_grid_look(sk_grid *g); /* sets shared, partly, listed */
void sk_grid_deal(sk_grid *g); /* FIRST, END, AT, TOTAL; ends with a barrier */
sk_val sk_grid_word(sk_grid *g, uint32_t i);
void sk_grid_put(sk_grid *g, uint32_t i, sk_val x);
/* Pair v's sequence and KV head, and bounds of its list. */
typedef struct sk_grid_list {
    sk_val seq, head, begin, end;
} sk_grid_list;
sk_grid_list sk_grid_pair(sk_grid *g, sk_val v);
/* Begins a loop over the pieces of the block; the body, run where there are pages,
 * ends with sk_grid_next. */
void sk_grid_pieces(sk_grid *g, sk_piece *piece);
void sk_grid_next(sk_grid *g);
/* Leaves in scratch what the end of a piece needs, by one warp; and finds it again:
 * pair, slot, at, pages. */
void sk_grid_keep(sk_grid *g, const sk_piece *piece);
sk_piece sk_grid_kept(sk_grid *g);
/* BLOCK, COUNT, ITEM of the list of a piece that is cut; by one warp. */
void sk_grid_cut(sk_grid *g, const sk_piece *piece);

/* Slots of partials i of that list, lanes; `inside`: there is one. */
sk_val sk_grid_slots(sk_grid *g, sk_val i, sk_val inside);

/* attn_gpu_merge.c: c->acc and c->stat (m, l) of the turn's heads from the partials of a
 * list that is cut, as if it had been decoded whole; ends with a barrier. */
void sk_grid_merge(sk_grid *g);
/* Counts a partial of the block; READY says whether it was the last. Ends with a
 * barrier. */
void sk_grid_arrive(sk_grid *g, const sk_piece *piece);

/* attn_gpu_warp.c. Tunables of the CPU's parts, which follow from the spec. */
void sk_warp_inner(const sk_spec *spec, sk_schedule *out);
/* Bytes of scratch, of a block in `tables`, and there of a query token of a block. */
typedef struct sk_warp_room {
    uint32_t scratch, tables, query;
} sk_warp_room;
/* own: bytes that the program takes beside the parts of a CPU; of attn_decode. */
sk_warp_room sk_warp_room_of(const sk_spec *spec, const sk_schedule *sched, uint32_t own);
uint32_t sk_grid_scratch(const sk_spec *spec);
/* Finds room for the parts: of what is global, block by block from `tables` on. */
void sk_warp_begin(sk_grid *g, const sk_schedule *sched);
/* The item of a piece, in scratch, but for where its rows go; and all that is done with it. */
void sk_warp_item(sk_grid *g, const sk_piece *piece);
void sk_warp_decode(sk_grid *g, const sk_piece *piece);

/* attn_gpu_grid.c: the rows of pairs b, b + G, ... whose lists have no pages: they are in
 * nobody's share. */
void sk_grid_clear_empty(sk_grid *g);
/* Declares the parameters; or those alone that other programs over lists have,
 * too: q to refs, flags to q_head_bytes. */
void sk_grid_params(sk_grid *g);
void sk_grid_params_read(sk_grid *g);
void sk_grid_params_of_run(sk_grid *g);

/* attn_raw.c */
sk_status sk_raw_valid(const sk_spec *spec, sk_err *err);
sk_status sk_raw_build(const sk_spec *spec, const sk_schedule *s, sk_arena *arena, sk_build *out,
                       sk_err *err);
#define SK_RAW_WARPS 4u
uint32_t sk_raw_scratch(void);

/* attn_gpu_choice.c: room and blocks of a form of one warp that takes `own` bytes beside the
 * parts of a CPU. */
sk_status sk_warp_valid(const sk_spec *spec, const sk_schedule *s, uint32_t own,
                        const sk_target *target, sk_err *err);
void sk_warp_default(const sk_spec *spec, uint32_t own, const sk_target *target, sk_schedule *out);

/* The form's functions, see kernel.h. */
sk_status sk_gpu_attn_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                            sk_err *err);
void sk_gpu_attn_default(const sk_spec *spec, const sk_target *target, sk_schedule *out);
sk_status sk_gpu_attn_build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                            sk_build *out, sk_err *err);
extern const sk_kernel_form sk_gpu_attn;

#endif
