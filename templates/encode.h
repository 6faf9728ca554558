/* encode.h - the shared state of the parts that build kv_encode, and the destination of
 * page_retier:
 *   encode_keys.c    the codes and radii of a page
 *   encode_search.c  the codes of one group, by products with all codewords in f32
 *   encode_dots.c    by products of 16-bit integers, where these leave no doubt
 *   encode_sorted.c  of single dimensions whose codewords are sorted
 *   encode_frame.c   keys in the frame that the codebook set gives them
 *   encode_pack.c    numbers of scratch packed to fields of the page
 *   encode_values.c  values (and float keys) of a page, converted
 *   encode_vcodes.c  values of a page as vi8 or vi4
 *   encode_vpack.c   such codes packed
 *   encode_vbounds.c their largest and smallest, on a CPU
 *   encode_halves.c  the same of halves, by integers
 *   encode_float8.c  keys and values as kf8 and vf8
 *   encode_ints.c    ki8 and ki4 keys
 *   encode_run.c     items on a CPU: checks, their order, the loop over them
 *
 * On a CPU a block is one warp. On a GPU it is several: what is one step of a loop is
 * dealt to them in turns, behind a barrier what they have left in scratch is read by
 * all, and scales are found apart from the codes that they are for. What a number is
 * computed from, and in which order, is the same in both: so are its bits.
 *
 * Scratch of one block; the segments of a key follow each other in it, D is the
 * dimensions of the largest:
 *   cb    [D * x][2^b]   f32 codewords, as in the packed set; x: codes of a group
 *   hn    [rows][2^b]    -1/2 of their squared norms; rows: groups * x
 *   tree  [rows][2^b]    search=sorted: bounds between neighbours, see encode_sorted.c
 *   leaf  [rows][2^b]    and the codewords in their order, with their codes
 *   pair  [rows][g/2][2^b]  search=dots: codewords, 16 bits, two dimensions a word
 *   two   [P][g/2]       the same of the keys of the group at work, vector by vector
 *   key   [span][T]      CPU: keys of the chunk and span at work, f32, where vectors are
 *                        free: they are met again when the radius is known; search=dots:
 *                        of all chunks
 *   rad   [spans][P]     radii, f32, then their stored form as u32
 *   code  [rows][P]      codes, u32
 *   turn  [P/W][D][W]    of a set with a transform: all keys in its frame, f32
 *   rs    [spans]        r_scale as stored, f32
 *   ks    [D/32][P]      ki8, ki4: scales as stored, f16 bits in u32
 *   vs    [Cp]           value scales as stored, f16 bits in u32
 *   vm    [Cp]           value minima (vi4), the same
 *   red   [2][32]        GPU: what each warp has found, for keys and for values */
#ifndef SK_ENCODE_H
#define SK_ENCODE_H

#include "gpu.h"
#include "rows.h"

typedef struct sk_enc {
    sk_builder *b;
    const sk_spec *spec;
    const sk_spec *set;        /* says where a packed set has permutation, mean and transform */
    sk_page_layout dst, src;   /* tier 0 and tier 1 */
    const sk_segment *seg;     /* of the destination's key, the one at work */
    const sk_seg_layout *to;   /* its fields */
    const sk_seg_layout *from; /* the source's segment that it begins in */
    sk_ld_kind from_kind;      /* of elements there */
    uint32_t w, t, codes;      /* lanes, tokens of a chunk, 2^b */
    sk_val src_page, dst_page, book, count, head;
    sk_val src_arena, src_unit, next_unit; /* CPU: the source's place, and the next item's */
    sk_val fresh;              /* whether scratch has the codewords of another head; SK_NONE: always */
    sk_val words;              /* codewords of the segment in the packed set */
    uint32_t search;           /* CPU: the tunable */
    bool gpu;                  /* warps take turns */
    bool direct;               /* codewords are read where the set has them: no cb */
    bool rebuilt;              /* the source page is scratch: nothing of it is asked for ahead */
    sk_val room;               /* GPU: where scratch lies if not in shared memory, or SK_NONE */
    sk_val cb, hn, tree, leaf, pair, two, key, rad, code, turn, rs, ks, vs, vm, red;
    sk_val zero, lane;
} sk_enc;

/* All that follows from spec and schedule; no builder yet. */
void sk_encode_init(sk_enc *c, const sk_spec *spec, const sk_schedule *sched);
/* Bytes of scratch, all of it; and how it is laid out, at c->room or in the block's. */
uint32_t sk_encode_scratch_bytes(const sk_enc *c);
void sk_encode_scratch(sk_enc *c);
/* Makes segment s of the destination's key the one at work. */
void sk_encode_segment(sk_enc *c, uint32_t s);
/* The element of the source's segment that is the first of dimension d0 of the segment, of
 * the 16 tokens from t0 on; `to`: the same of the destination's. */
sk_val sk_encode_from(sk_enc *c, sk_val t0, sk_val d0, sk_val to);
/* The pages, codebook set and count of the item at an address; `set`: the spec that sets
 * are packed for. */
void sk_encode_begin(sk_enc *c, const sk_spec *set, sk_val item, sk_val src, sk_val dst, sk_val book);
/* The whole destination but for positions, which are those of the page `from`, at byte
 * `off`; nothing where the destination has none. */
void sk_encode_fields(sk_enc *c);
/* Zeros where the destination has no values: before the first field of it is stored, of
 * coded keys when they are known, since its lines have been asked for by then. */
void sk_encode_zeros(sk_enc *c);
void sk_encode_positions(sk_enc *c, sk_val from, uint32_t off);
/* All of it. */
void sk_encode_page(sk_enc *c, sk_val item, sk_val src, sk_val dst, sk_val book);

/* ---- small words of both parts ---- */

static inline sk_val sk_op2(sk_enc *c, sk_op op, sk_val x, sk_val y) { return sk_ir_2(c->b, op, x, y); }
static inline sk_val sk_opk(sk_enc *c, sk_op op, sk_val x, uint32_t y)
{
    return sk_ir_2k(c->b, op, x, y);
}
static inline sk_val sk_u32(sk_enc *c, uint32_t x) { return sk_ir_u32(c->b, x); }
static inline sk_val sk_times(sk_enc *c, sk_val x, uint32_t y) { return sk_opk(c, SK_OP_MUL, x, y); }
static inline sk_val sk_pick(sk_enc *c, sk_val p, sk_val x, sk_val y)
{
    return sk_ir_3(c->b, SK_OP_SELECT, p, x, y);
}

/* ---- what a GPU does otherwise ---- */

/* for (i = 0; i < end; i += step); on a GPU the warps take turns. */
static inline sk_val sk_enc_turns(sk_enc *c, uint32_t end, uint32_t step)
{
    if (c->gpu) return sk_gpu_turns(c->b, sk_u32(c, end), step);
    return sk_ir_for(c->b, c->zero, sk_u32(c, end), step);
}
/* Two such loops, one in the other; on a GPU all their steps are turns. */
void sk_enc_nest(sk_enc *c, uint32_t end, uint32_t step, uint32_t inner_end, uint32_t inner_step,
                 sk_val *outer, sk_val *inner);
void sk_enc_nest_end(sk_enc *c);
/* What warps have stored is there for all. */
static inline void sk_enc_sync(sk_enc *c)
{
    if (c->gpu) sk_ir_barrier(c->b);
}
/* Vector u of the tokens from t0 on, in a row of P words of scratch, at byte `at` for
 * the first. On a GPU the last vector of a row may be longer than it. */
void sk_enc_put_tokens(sk_enc *c, sk_val base, sk_val at, sk_val t0, uint32_t u, sk_val x);
sk_val sk_enc_get_tokens(sk_enc *c, sk_val base, sk_val at, sk_val t0);
/* Zeros in bytes from .. to - 1 of the destination page, multiples of 4. */
void sk_enc_zero(sk_enc *c, uint32_t from, uint32_t to);

/* ---- keys ---- */

#define SK_ENCODE_HELD 16u /* dimensions of a group that registers of a CPU hold well */
#define SK_ENCODE_DIMS 4u  /* of a longer one that are taken in a row */

/* A span of T tokens under coding. */
typedef struct sk_enc_span {
    sk_val t0;
    bool free_vectors;      /* it holds several groups, or groups several codes */
    bool kept;              /* its keys are in scratch: free vectors, long groups on a CPU */
    sk_val r[4], inv[4];    /* norms; inv: where vectors are free */
    sk_val num[4], den[4];  /* variables: sums of <k, c> and <c, c> */
    sk_val held[128];       /* keys of the group at work, [dim][u], or what is left of them */
} sk_enc_span;
/* What was found for a group, a vector of tokens each: its codes, <k, c> (of free vectors
 * over the radius) and <c, c>, c being their codewords' sum. */
typedef struct sk_enc_found {
    sk_val index[SK_MAX_CODES][4], dot[4], norm[4];
    sk_val word[4]; /* c, in place of these two: of free vectors of one dimension */
    bool words;     /* so it is */
} sk_enc_found;
/* Keys of the group, number in_span of its span, [dim][u], over their radius where
 * vectors are free. */
void sk_encode_hold(sk_enc *c, sk_enc_span *span, sk_val group, sk_val in_span);
void sk_encode_search(sk_enc *c, const sk_enc_span *span, sk_val group, sk_enc_found *to);
/* The same of one code by f32 products with all codewords. */
void sk_encode_search_scores(sk_enc *c, const sk_enc_span *span, sk_val row, sk_enc_found *to);
/* Whether groups are so long that they stay in scratch: a span of one group alone. */
static inline bool sk_encode_long(const sk_enc *c)
{
    return !c->gpu && c->seg->more == 0 && c->seg->g > SK_ENCODE_HELD &&
           c->seg->g % SK_ENCODE_DIMS == 0 && c->to->span_dims == c->seg->g;
}
/* The row of codes, and of codebooks, of code i of a group. */
static inline sk_val sk_encode_row(sk_enc *c, sk_val group, uint32_t i)
{
    const uint32_t codes = sk_segment_codes(c->seg);
    return codes == 1 ? group : sk_opk(c, SK_OP_ADD, sk_times(c, group, codes), i);
}
/* Whether the codewords of a segment are sorted. */
bool sk_encode_is_sorted(const sk_enc *c, const sk_segment *seg);
/* Sorts those of `rows` rows, which are in cb. */
void sk_encode_sort(sk_enc *c, uint32_t rows);
/* The same search of row j. */
void sk_encode_search_sorted(sk_enc *c, const sk_enc_span *span, sk_val j, sk_enc_found *to);
/* Whether unit vectors of a segment are searched by integers; what that makes of the codebook
 * of `rows` rows, which is in cb (most: the largest <c, c>); and the search. */
bool sk_encode_is_dots(const sk_enc *c, const sk_segment *seg, const sk_seg_layout *lay);
void sk_encode_pair(sk_enc *c, uint32_t rows, sk_val most);
void sk_encode_dots(sk_enc *c);
/* The sum of the squares of n numbers. */
sk_val sk_encode_squares(sk_enc *c, const sk_val *x, uint32_t n);
/* The least-squares radius of <k, c> and <c, c>, 0 where r, the norm, is. */
sk_val sk_encode_fit(sk_enc *c, sk_val dot, sk_val norm, sk_val r);
/* Asks for lines of the destination and of the page's values; of the next item's keys: those
 * of group j and the chunk at t0. */
void sk_encode_ask_dst(sk_enc *c, sk_val t0, sk_val j);
void sk_encode_ask_next(sk_enc *c, sk_val t0, sk_val j);
/* Dimension i of vector u of keys that are kept in scratch, from byte `at` on. */
sk_val sk_encode_kept(sk_enc *c, sk_val at, uint32_t i, uint32_t u);
/* Element i of the codewords `index` of row j, and <c, c> of them, a lane each. */
sk_val sk_encode_chosen(sk_enc *c, sk_val j, uint32_t i, sk_val index);
sk_val sk_encode_chosen_norm(sk_enc *c, sk_val j, sk_val index);
/* Whether keys are coded in the frame of a transform. */
static inline bool sk_encode_turned(const sk_enc *c)
{
    return sk_spec_turned(c->spec) && !sk_tier_is_dense(&c->spec->tier[0]);
}
/* Tokens of a page in whole chunks: of a GPU's the last one may be longer than it. */
static inline uint32_t sk_encode_tokens(const sk_enc *c)
{
    return (c->spec->page + c->t - 1) / c->t * c->t;
}
/* Keys of all tokens into `turn`, before any are coded (encode_frame.c). */
void sk_encode_turn(sk_enc *c);
/* Dimension d of vector u of the tokens from t0 on, as it is coded: permuted, with the mean
 * off, transformed; zero beyond count. */
sk_val sk_encode_load_key(sk_enc *c, sk_val t0, uint32_t u, sk_val d);

/* ---- parts ---- */

void sk_encode_coded_keys(sk_enc *c);
void sk_encode_dense_keys(sk_enc *c);
void sk_encode_int_keys(sk_enc *c);
void sk_encode_values(sk_enc *c);
void sk_encode_coded_values(sk_enc *c);
void sk_encode_float8_values(sk_enc *c);
void sk_encode_float8_keys(sk_enc *c);
/* Vector x of W consecutive value elements of the source from element e, the
 * first of token t0; 0 from count on. */
sk_val sk_encode_load_values(sk_enc *c, sk_val e, sk_val t0, uint32_t x);
/* The same of vi8 and vi4 on a CPU: as they are, whatever count is. */
sk_val sk_encode_source_values(sk_enc *c, sk_val e, uint32_t x);
#define SK_ENCODE_STEP 8u /* tokens that are coded at once, at most */
/* First element of token t of the 16 channels from c0. */
static inline sk_val sk_encode_element(sk_enc *c, sk_val c0, sk_val t)
{
    return sk_op2(c, SK_OP_ADD, sk_times(c, c0, c->dst.tp), sk_times(c, t, 16));
}
/* Tokens that are coded, in whole steps of any kind; the rest of the page is zeros. */
sk_val sk_encode_coded_tokens(sk_enc *c);
/* Largest values of the 16 channels from c0, in vectors; of magnitudes without `low`, in which
 * the smallest come. Returns a number, or SK_NONE for 0: not 0 where all values are finite and
 * the page is full. */
sk_val sk_encode_channel_bounds(sk_enc *c, sk_val c0, sk_val *low, sk_val *high);
/* Whether a full page's may be found by integers, and the bounds so; returns whether a value
 * was not finite: then they are nothing. */
bool sk_encode_in_halves(const sk_enc *c);
sk_val sk_encode_half_bounds(sk_enc *c, sk_val c0, sk_val *low, sk_val *high);
/* x where token < count, else 0, whatever the source holds there. */
sk_val sk_encode_masked(sk_enc *c, sk_val token, sk_val x);
/* The scale of symmetric codes -top .. top whose largest magnitude is `most`:
 * f16 bits, cut to what is finite, and its inverse, 0 for a scale of 0. */
sk_val sk_encode_scale(sk_enc *c, sk_val most, uint32_t top, sk_val *bits);
/* The inverse alone, from the bits. zero: the f32. */
sk_val sk_encode_inverse(sk_enc *c, sk_val bits, sk_val zero);
/* The integer nearest to x from low (as signed) to top, low for NaN: cut from above as a
 * float, since what is beyond integers becomes the smallest of them, below as an integer. */
sk_val sk_encode_nearest(sk_enc *c, sk_val x, uint32_t low, uint32_t top);
/* v / scale to the nearest code. */
sk_val sk_encode_code(sk_enc *c, sk_val v, sk_val inv, uint32_t top);
/* Values as codes, in the bits of a number: of vi8 code + SK_CODE8_ORIGIN, where f32 steps by 1
 * and the code is the lowest byte; of vi4 v + SK_CODE4_ORIGIN for a v that rounds to the code,
 * half of a step up in it: f32 steps by 2^-16, and the code is the third byte. */
#define SK_CODE8_ORIGIN 0x1.8p23f
#define SK_CODE4_ORIGIN 128.5f
/* W words of the codes of consecutive elements, 8 bits each, or 4; or of two vectors of tokens
 * and the tokens that follow them, whose codes alternate. Of vi4 a 0 is a code, too. */
sk_val sk_encode_pack8(sk_enc *c, const sk_val bits[4]);
sk_val sk_encode_pack8_pairs(sk_enc *c, const sk_val even[2], const sk_val odd[2]);
sk_val sk_encode_pack4(sk_enc *c, const sk_val bits[8]);
/* n numbers of `bits` from u32s at scratch `from`, packed in plain order at
 * byte `to` of the destination page. */
void sk_encode_pack(sk_enc *c, sk_val from, uint32_t n, uint32_t bits, uint32_t to);
/* The n 4-bit codes of scratch in blocks of row 1, see layout.h. */
void sk_encode_pack_blocked(sk_enc *c, uint32_t n, uint32_t to);

#endif
