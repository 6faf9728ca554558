/* decode.h - the shared state of the parts that build the attention kernel:
 * where things lie in scratch, and the values every part needs. The parts are
 * IR-building functions, one file a part:
 *   part_query.c    the query as dense and coded tiers want it
 *   part_tables.c   look-up tables of coded tiers (also the lut_build entry)
 *   part_logits.c   logits of one page into s[head][token]
 *   part_dense.c    the same for keys that are not coded
 *   part_short.c, part_short_query.c  their products with queries of 16 bits and fewer
 *   part_segments.c keys of several segments, each like a head of its own
 *   part_vk.c       values that are dimensions of keys
 *   part_rebuild.c, part_halves.c, part_rebuilt.c  coded keys as numbers, and their
 *                   logits
 *   part_mask.c     soft-cap, bias, who is seen: between logits and softmax
 *   part_rope.c     the rotation of keys that are kept before RoPE
 *   part_turn.c     the transform of a codebook set: queries, and keys back
 *   part_softmax.c  page softmax: probabilities, factors, running (m, l)
 *   part_probs.c    probabilities in the form that the value product wants
 *   part_exps.c     those in bytes straight from logits
 *   part_sinks.c    what integer probabilities lose, where it is too much
 *   part_value.c    probabilities times values into acc[head][channel]
 *   part_dots.c     the same in dot products of bytes or bfloat16s
 *   part_prefetch.c the lines of a later page, spread over logits and values
 *   part_variant.c  parameters of variants; the loop over query tokens; the learned sink
 *   part_out.c      rows of the output in its dtype (attn_finish.c: the end of an item)
 *
 * Query heads take turns, at most SK_HEAD_TILE at once: the pages of an item are gone
 * through once a turn.
 *
 * With the variant queries each query token has its own qs, qc, qt, qm, q16, lut, acc
 * and stat, one behind the other in memory of the workspace (parameter `tables`), and
 * a page is gone through once a token while the caches hold it.
 *
 * Scratch of one block (f32 unless said otherwise), H = query heads of a turn:
 *   qs   [H][D]      q * scale * log2(e): all logits are in units of log2
 *   qc   [H][D]      the same for coded tiers: permuted and transformed when the set says
 *                    so, else qs
 *   qt   [D][HR]     qc transposed and padded (rows form)
 *   qm   [HR]        <q, mean> of the KV head in the same units, where there is one
 *   q16              queries of 16 bits and fewer (part_short_query.c): pairs [H][D/2] or quads
 *                    [H][D/4], of integers then per head a unit and a sum per block
 *   lut              tables of the tier at work; form by sk_lut_form
 *   off  [8][W]      byte offsets of table rows for W tokens of the groups that
 *                    are added together (rows form)
 *   bytes            8-bit tables of the page, and their units (part_bytes.h)
 *   rad  [spans]     what a radius code of the page is multiplied by
 *   book, where, keys, halves  of keys that are rebuilt (part_rebuild.h)
 *   turned [D][W]    keys of W tokens before the transform is undone (part_turn.c)
 *   vals [Cp/16][Tp][16]  values of the page at work that are dimensions of its keys
 *   cosines [D][W]   cosines, then sines, of W tokens (part_rope.c)
 *   s    [H][Tp]     logits, then probabilities in f32
 *   acc  [H][Cp]     unnormalised output
 *   probs [H][Tp/2]  other probabilities, in rows of words (part_probs.c)
 *   stat [7][H]      m, l, alpha, beta, mass, m of the page (part_softmax.c); a factor
 *                    (part_sinks.c) */
#ifndef SK_DECODE_H
#define SK_DECODE_H

#include "kernel.h"

/* The work item, 16 words, written by the host side (attn_run.c). */
enum {
    SK_ITEM_Q,        /* byte offset of the first query head's row */
    SK_ITEM_OUT,      /* byte offset of its output row */
    SK_ITEM_HEAD,     /* KV head, selects the codebook */
    SK_ITEM_PARTIAL,  /* slot of the partial, or SK_ITEM_FINAL */
    SK_ITEM_TIER,     /* tier k covers refs [item[TIER+k], item[TIER+k+1]) */
    SK_ITEM_UNITS = SK_ITEM_TIER + SPHKV_MAX_TIERS + 1, /* per tier, arena units to
                         add to a page: the sub-page of shared lists */
    SK_ITEM_LSE = SK_ITEM_UNITS + SPHKV_MAX_TIERS, /* byte offset of the first query
                         head's LSE, or SK_ITEM_NONE */
    SK_ITEM_ML_STEP,  /* rows of page statistics a reference has; 0: not wanted */
    SK_ITEM_ML_ADD,   /* which of them is this KV head's */
    SK_ITEM_WORDS,
    /* of specs with variants */
    SK_ITEM_BEFORE = SK_ITEM_WORDS, /* tokens of the list before the item's first page */
    SK_ITEM_TOKENS,   /* of the whole list */
    SK_ITEM_QUERY,    /* index of the sequence's first query position */
    SK_ITEM_SINK,     /* byte offset of the first query head's sink, or SK_ITEM_NONE */
    SK_ITEM_WORDS_ALL
};
static inline uint32_t sk_item_words(const sk_spec *spec)
{
    return spec->variants ? SK_ITEM_WORDS_ALL : SK_ITEM_WORDS;
}
#define SK_ITEM_FINAL 0xffffffffu
#define SK_ITEM_NONE 0xffffffffu

/* The merge job: byte offset of the first output row, byte offset of the first
 * LSE or SK_ITEM_NONE, number of partials, their slots. */
enum { SK_JOB_OUT, SK_JOB_LSE, SK_JOB_COUNT, SK_JOB_SLOTS };

/* The entries, in order. */
enum { SK_DEC_DECODE, SK_DEC_MERGE, SK_DEC_LUT };

#define SK_HEAD_TILE 16u
/* Bytes of `stat` for each of them. */
#define SK_STAT_BYTES 32u

/* Queries of a segment of a key (part_segments.h): scratch addresses, or SK_NONE. */
typedef struct sk_dec_part {
    sk_val qs, qt, q16;
} sk_dec_part;
/* What variants bring; only what the spec has is set. */
typedef struct sk_dec_variants {
    sk_val q_len, q_tok, out_tok, lse_tok; /* queries: tokens; bytes from one to the next */
    sk_val window;
    sk_val cap_down, cap_up;  /* softcap: from log2 units to half of tanh's argument, back */
    sk_val head_scale, sinks, bias, q_positions; /* addresses */
    sk_val sink_at;           /* SK_ITEM_SINK of the list, in the merge entry */
    sk_val query;             /* the query token at work, of q_len; SK_NONE: there is one */
    sk_val before;            /* variable: tokens of the list before the page at work */
} sk_dec_variants;

struct sk_dec;
/* A page of the walk: of tier_slot, its row of statistics, the tokens in it, the address
 * of their biases (SK_NONE: none have one). */
typedef struct sk_dec_at {
    uint32_t tier_slot;
    sk_val row, page, count, lut, next, bias;
} sk_dec_at;
typedef void sk_dec_page(struct sk_dec *c, const sk_dec_at *at);

typedef struct sk_dec {
    sk_builder *b;
    const sk_spec *spec;
    const sk_schedule *sched;
    uint32_t h, w, d, dv, p;   /* query heads of a turn, lanes, dims, tokens of a page */
    uint32_t heads, turns;     /* of the KV head, and the turns they take */
    uint32_t warps;            /* of a block; more than one on GPUs only */
    uint32_t tp, cp;           /* P and Dv rounded up to 16 */
    uint32_t run, hr;          /* rows form: run length n, row length in words */
    uint32_t stat_m, stat_l, stat_alpha, stat_beta, stat_mass, stat_page,
        stat_rest, stat_size; /* byte offsets in stat */
    sk_val item, q, q_stride, arena, codebook, tables; /* parameters */
    sk_val scale;
    sk_val qs, qc, qt, qm, q16, lut, off, bytes, rad, s, probs, acc, stat; /* scratch addresses */
    sk_val book, where, keys, halves; /* the same, where keys are rebuilt; */
    uint32_t keys_d;           /* dimensions of a token in `keys`; 0 = d */
    sk_val cosines;            /* where they are rotated; */
    sk_val turned;             /* where a transform is undone; */
    sk_val rope, rope_dims, rope_last; /* parameters of that (part_rope.h) */
    sk_val vals;               /* and where they are values */
    uint32_t vdims, vdim0;     /* dimensions of the key, or part, that are; the first channel */
    sk_val zero, lane;         /* u32 0; lane index */
    sk_val warp;               /* its index, where there are several */
    sk_val ml_wanted, ml;      /* whether page statistics are; where this page's go */
    sk_val h0;                 /* first head of the turn; SK_NONE where there is one turn */
    sk_dec_part part[SK_MAX_TIERS][SK_MAX_SEGMENTS]; /* of tiers taken in parts */
    sk_val part_qm[SK_MAX_TIERS]; /* qm over their coded dimensions, where not all are */
    /* of a part: */
    const sk_spec *whole;      /* the kernel's spec, else NULL; its tier and segment */
    uint32_t tier, seg;
    bool more;                 /* logits are added to what s holds */
    sk_val plus;               /* per head, added to logits, or SK_NONE */
    sk_dec_variants var;
    sk_dec_page *page_step;    /* what is done with a page in place of attention; else NULL */
    void *page_user;
} sk_dec;

/* Query heads of a turn, and turns. The last turn ends with the last head: what two
 * turns have of heads is computed twice, to the same bits. */
uint32_t sk_dec_turns(const sk_spec *spec);
uint32_t sk_dec_turn_heads(const sk_spec *spec);
/* Around what every turn does. */
void sk_dec_turns_begin(sk_dec *c);
void sk_dec_turns_end(sk_dec *c);
/* A row of the turn's first head, from that of the KV head's first; `bytes` apart. */
sk_val sk_dec_turn_row(sk_dec *c, sk_val row, uint32_t bytes);
sk_val sk_dec_turn_row_by(sk_dec *c, sk_val row, sk_val bytes);

/* Sizes from spec and schedule (attn_scratch.c); everything else is empty. */
void sk_dec_init(sk_dec *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched);

/* An area of scratch; `table`: of look-up tables. */
typedef struct sk_dec_area {
    const char *name;
    uint32_t bytes;
    bool table;
    bool query; /* each query token has its own */
} sk_dec_area;
/* Finds room for an area: its address. */
typedef sk_val sk_dec_place(sk_dec *c, const sk_dec_area *area, void *user);
/* Gives the areas of decode their places; those that the spec has no use for are left
 * out. */
void sk_dec_areas(sk_dec *c, sk_dec_place *place, void *user);

/* Those of queries alone; tables: of who makes tables (decode, and the entry of that). */
void sk_dec_query_areas(sk_dec *c, bool tables, sk_dec_place *place, void *user);
/* Whether a tier that is not taken in parts is looked up in rows. */
bool sk_dec_uses_rows(const sk_spec *spec, const sk_schedule *sched);
static inline bool sk_dec_fused(const sk_schedule *sched)
{
    return sched->v[SK_T_lut_build] == SK_LUT_FUSED;
}

/* The pages of an item: references, and their rows of page statistics. */
typedef struct sk_dec_pages {
    sk_val refs, ml;
    sk_val step, add; /* row of refs[i]: i * step + add; of the item */
} sk_dec_pages;
/* Queries of the item in their forms, nothing accumulated; then all its pages. */
void sk_dec_start(sk_dec *c);
void sk_dec_walk(sk_dec *c, sk_dec_pages *pages); /* attn_walk.c */

/* The form a tier's keys are looked up in, given schedule and target width. */
typedef enum sk_lut_form {
    SK_FORM_DENSE,
    SK_FORM_ROWS,
    SK_FORM_PERM,
    SK_FORM_PAIR16,
    SK_FORM_BYTE,   /* part_bytes.h */
    SK_FORM_REBUILD /* none: codewords times radii, then like dense keys */
} sk_lut_form;
/* Whether a form has tables. */
static inline bool sk_form_looks_up(sk_lut_form form)
{
    return form != SK_FORM_DENSE && form != SK_FORM_REBUILD;
}
sk_lut_form sk_dec_form(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Whether keys of a tier, or of a part, are rebuilt whatever the schedule says. */
bool sk_dec_rebuilt(const sk_spec *spec, uint32_t tier_slot);
/* Bytes of a tier's tables in that form, a multiple of 64. */
uint32_t sk_dec_lut_bytes(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Offset of a tier's tables: 0 when built in scratch, stacked when separate. */
uint32_t sk_dec_lut_off(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
uint32_t sk_dec_lut_total(const sk_spec *spec, const sk_schedule *sched);
uint32_t sk_dec_row_run(uint32_t heads, uint32_t w);

/* qc from qs, transformed; no more is asked of a set without a transform than this. */
void sk_part_turn_queries(sk_dec *c);
/* Fills qs and, where it is not qs, qc (and qt when a tier uses rows) from q. */
void sk_part_query(sk_dec *c, bool rows);
/* What a tier's keys are multiplied by: all after the first are short, of 16 bits and
 * fewer, and stand in q16. */
typedef enum sk_query_form {
    SK_QUERY_AS_FLOATS,
    SK_QUERY_AS_WORDS,   /* 16-bit integers */
    SK_QUERY_AS_BYTES,
    SK_QUERY_AS_PAIRS,   /* bytes, such that two products with bytes fit 16 bits */
    SK_QUERY_AS_SPLIT,   /* 16-bit integers as two planes of bytes */
    SK_QUERY_FOR_HALVES, /* bfloat16s, for kf16 */
    SK_QUERY_FOR_BF16,   /* and for kbf16 */
    SK_QUERY_FORMS
} sk_query_form;
sk_query_form sk_dec_query_form(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Whether it is a short one. */
bool sk_dec_query16(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Short queries from qs: q16, of sk_query16_bytes. */
void sk_part_query16(sk_dec *c);
uint32_t sk_query16_bytes(const sk_dec *c);
/* Fills qm; and qm over the segments of a tier that are coded and not rotated. */
void sk_part_mean(sk_dec *c);
void sk_part_mean_coded(sk_dec *c, uint32_t tier_slot, sk_val qm);
/* Where the codewords of a tier are in a packed codebook set. */
uint32_t sk_dec_words_off(const sk_dec *c, uint32_t tier_slot);
/* And the mean of the key's dimensions, or the part's. */
uint32_t sk_dec_mean_off(const sk_dec *c);
/* The packed codebook set of the item's KV head. */
sk_val sk_dec_book(sk_dec *c);
/* f32 tables [group][head][code], of no fewer codes than lanes. */
void sk_tables_perm(sk_dec *c, const sk_segment *seg, sk_val cb, sk_val lut);
/* Tables of a tier, to address `lut`. */
void sk_part_tables(sk_dec *c, uint32_t tier_slot, sk_val lut);
/* Variants (part_variant.c). Parameters, which sk_attn_variant_slots (attn_run.h)
 * fills in the same order. */
void sk_dec_variant_params(sk_dec *c);
static inline bool sk_dec_has(const sk_dec *c, uint32_t variant)
{
    return (c->spec->variants & variant) != 0;
}
/* Around what every query token does; *one is c for it. No loop, and *one all of c,
 * where the spec has one query. tokens: without areas of a token's own. */
void sk_dec_queries_begin(sk_dec *c, sk_dec *one);
void sk_dec_tokens_begin(sk_dec *c, sk_dec *one);
void sk_dec_queries_end(sk_dec *c);
/* Bytes of the areas that each token has; 0 where the spec has one query. */
uint32_t sk_dec_query_bytes(const sk_spec *spec, const sk_schedule *sched);
/* Index or address of the query token at work among what each of them has. */
sk_val sk_dec_query_index(sk_dec *c, sk_val i);
sk_val sk_dec_query_row(sk_dec *c, sk_val row, sk_val bytes);
/* m, l of a list and the sink at sinks + at, SK_ITEM_NONE: none, taken together; keep:
 * what the output before is multiplied by. */
typedef struct sk_dec_sum {
    sk_val m, l, keep;
} sk_dec_sum;
sk_dec_sum sk_part_sink(sk_dec *c, sk_val at, uint32_t h, sk_val m, sk_val l);

/* Which slots of a page a query token sees (part_mask.c). */
typedef struct sk_dec_seen {
    sk_val begin, end; /* no others than these */
    sk_val any;        /* some */
    sk_val whole;      /* all of them, from the first slot on; SK_NONE: always so */
} sk_dec_seen;
bool sk_dec_counts(const sk_spec *spec); /* whether places in the list decide about that */
sk_dec_seen sk_part_seen(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val count);
/* Which of the slots t0 + lane hold tokens, before `end`, that a query at a position sees;
 * positions: address of theirs, for a page of a tier by sk_dec_positions. */
sk_val sk_dec_sees(sk_dec *c, sk_val positions, sk_val query, sk_val t0, sk_val end);
sk_val sk_dec_positions(sk_dec *c, uint32_t tier_slot, sk_val page);
/* The same of one that stands at `at`, which is a token's. */
sk_val sk_dec_sees_position(sk_dec *c, sk_val at, sk_val query);
/* W logits of the slots from t0 on as they enter the softmax, soft-capped and biased, where
 * the spec asks for it. */
sk_val sk_dec_bias_unit(sk_dec *c, sk_val x); /* a bias in units of log2 */
sk_val sk_dec_bias(sk_dec *c, sk_val bias, sk_val t0); /* W; SK_NONE where there are none */
sk_val sk_dec_logit(sk_dec *c, sk_val x, sk_val bias);
/* Logits of the page become what enters the softmax; bias: address of its slots'. */
void sk_part_mask(sk_dec *c, uint32_t tier_slot, sk_val page, const sk_dec_seen *seen, sk_val bias);
/* Logits of `count` tokens (rounded up to whole blocks) of one page. `next`:
 * the page to prefetch, or SK_NONE. */
void sk_part_logits(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val lut,
                    sk_val next);
/* What coded tiers end with: the sum of look-ups of head h times the radius of the
 * whole head, r, or SK_NONE where radii are in the sum already; plus <q, mean>, in
 * the same operation. */
void sk_store_coded(sk_dec *c, uint32_t h, sk_val t0, uint32_t u, sk_val x, sk_val r);
void sk_part_logits_dense(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                          sk_val limit, sk_val next);
/* The same of keys that are numbers in scratch: `tokens` of them from t0 on, in the order
 * of a kf32 page that begins with t0. */
void sk_part_logits_floats(sk_dec *c, uint32_t tier_slot, sk_val keys, sk_val t0, uint32_t tokens);
void sk_part_softmax(sk_dec *c, uint32_t tier_slot, sk_val count, sk_val next);
/* The statistics of a page without tokens. */
void sk_part_empty_page(sk_dec *c);
/* LSE in natural-log units from a running pair in log2; no tokens: -inf. */
sk_val sk_part_lse(sk_dec *c, sk_val m, sk_val l);
void sk_part_values(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val next);
/* Prefetch (part_prefetch.c): the logits ask for the first part of the page
 * `next` in equal shares, one a step of their innermost outer loop, the softmax for
 * some, the values for the rest. */
/* Asks for slice `slice` of `slices` of share `k` (a value). */
void sk_prefetch_share(sk_dec *c, uint32_t tier_slot, sk_val next, sk_val k, uint32_t slice,
                       uint32_t slices);
/* The share of the softmax, in its loops 0 and 1 over tokens from t0 on. */
void sk_prefetch_pause(sk_dec *c, uint32_t tier_slot, sk_val next, uint32_t loop, sk_val t0);
/* Dimensions that the dense form, groups that the rows form handles together. */
uint32_t sk_dense_unroll(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
uint32_t sk_rows_unroll(uint32_t groups);
/* Byte of the page where the share of the values begins. */
uint32_t sk_prefetch_values_from(const sk_dec *c, uint32_t tier_slot);
/* Whether this tier's values are multiplied two tokens at a time. */
bool sk_dec_value_pairs(const sk_spec *spec, uint32_t tier_slot);
/* Token vectors handled together by the logits of this tier: s is written, and
 * softmax and values may read, in blocks of W times this. */
uint32_t sk_dec_token_block(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);

/* W of the `words` words of a row, f32, from byte `at` of it on; 0 beyond its end,
 * where nothing is read or written. The row begins at row + disp. */
sk_val sk_part_row(sk_dec *c, sk_val row, sk_val at, uint32_t disp, uint32_t words);
void sk_part_row_put(sk_dec *c, sk_val row, sk_val at, uint32_t disp, uint32_t words, sk_val x);

/* W channels of an output row, f32: at = 4 * the first of them. */
typedef sk_val sk_out_channels(sk_dec *c, const void *of, sk_val at);
/* Stores a row of Dv channels at `row` in the output's dtype. */
void sk_part_out(sk_dec *c, sk_val row, sk_out_channels *channels, const void *of);
/* The end of an item (attn_finish.c): its list's rows, or a partial. */
typedef struct sk_dec_outputs {
    sk_val out, out_stride, partials, lse;
} sk_dec_outputs;
void sk_part_finish(sk_dec *c, const sk_dec_outputs *to);
/* Outputs of the query token at work. */
sk_dec_outputs sk_dec_query_outputs(sk_dec *c, const sk_dec_outputs *to);
/* Its two halves, and bytes of a partial. */
void sk_part_finish_list(sk_dec *c, const sk_dec_outputs *to);
void sk_part_finish_partial(sk_dec *c, sk_val partials, sk_val slot);
static inline uint32_t sk_dec_partial_bytes(const sk_spec *spec) /* of a query token */
{
    return spec->heads_per_kv * (16 + (spec->dv + 15) / 16 * 16) * 4;
}

bool sk_dec_uses_query16(const sk_spec *spec, const sk_schedule *sched); /* any tier */
/* Whether any tier, or part of one, takes queries in this form. */
bool sk_dec_uses_query(const sk_spec *spec, const sk_schedule *sched, sk_query_form form);

/* Schedules (attn_choice.c), see the contract in kernel.h. */
sk_status sk_attn_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                        sk_err *err);
void sk_attn_default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out);

/* The merge entry: partials of one list into its output rows. */
sk_status sk_build_merge(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                         sk_program **out, sk_err *err);
/* Host side of a launch (attn_run.c). */
void sk_attn_prepare(sk_image *image);
size_t sk_attn_workspace(const sk_image *image);
sk_status sk_attn_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                      sk_err *err);

#include "decode_ops.h"

#endif
