/* page_decode_gpu.c - page_decode on a GPU: a block is one item. Keys: a warp takes 32
 * tokens, a lane each, and 64 bytes of their rows, 16 or 32 dimensions; a codeword's
 * element is read where the packed set has it, for its row is short and lanes share
 * it; 16-bit outputs are packed in pairs, and a transposition in registers makes of
 * 16 words of 32 rows 16 vectors, a piece of two rows each. All of a row's 128 bytes
 * at once would take twice the registers. Of a set with a transform 32 tokens are rebuilt
 * in scratch by all warps, as they are coded, before dimensions are made of all of them.
 * Values: a lane is a word of a row. */
#include <string.h>

#include "decode_rows.h"
#include "gpu.h"
#include "items.h"
#include "lanes.h"
#include "part_rope.h"
#include "part_unpack.h"
#include "rows.h"
#include "transform.h"

#define WORDS 16u /* of a row, at once */

/* A page of 128 tokens and dimensions is 16 or 32 pieces. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec, (void)target;
    out->v[SK_T_warps] = 8;
}

/* ---- building ------------------------------------------------------------- */

enum { ITEM_UNIT, ITEM_TIER, ITEM_COUNT, ITEM_ROW, ITEM_HEAD, ITEM_WORDS };

typedef struct unrow {
    sk_dec dec;
    uint32_t es;             /* bytes of an output element */
    uint32_t step;           /* dimensions of WORDS words */
    bool turned;             /* keys before RoPE are rotated */
    sk_val where;            /* scratch: the coded dimension that one of the model's is */
    sk_val framed;           /* scratch: [D][32] f32, of a transform: tokens as they are coded */
    sk_val set, count;       /* of the item */
    sk_val rows, stride;     /* its first row, elements to the next */
} unrow;

static sk_val out_row(unrow *c, sk_val t)
{
    sk_builder *b = c->dec.b;
    return sk_ir_ptr_add(b, c->rows, sk_ir_2(b, SK_OP_MUL, t, c->stride), c->es);
}

static sk_op pack_op(const unrow *c)
{
    return c->dec.spec->out_dtype == SPHKV_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16;
}

/* What a damaged permutation names nowhere stays where it is. */
static void invert_permutation(unrow *c)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val i = sk_add(d, sk_gpu_turns(b, sk_k(d, d->d), 32), d->lane);
        const sk_val inside = sk_ir_2k(b, SK_OP_ULT, i, d->d), at = sk_mul(d, i, 4);
        sk_val to = i;
        if (k == 1) {
            to = sk_ir_ldg(b, SK_LD_U32, c->set, at, sk_codebook_permutation_off(d->spec), inside);
            to = sk_ir_2k(b, SK_OP_UMIN, to, d->d - 1);
        }
        sk_ir_stg(b, c->where, sk_mul(d, to, 4), 0, i, inside);
        sk_ir_end(b);
        sk_ir_barrier(b);
    }
}

/* Coded keys: what the groups of a piece share. */
typedef struct group_at {
    sk_val code[SK_MAX_CODES], radius;
    sk_val apart; /* of several codes, as in part_rebuild.h */
} group_at;

/* Dimension d0 + i as a value and what to add; the last one instead of what is behind. */
typedef struct dim_at {
    sk_val dim;
    uint32_t plus;
} dim_at;

static dim_at model_dim(unrow *c, sk_val d0, uint32_t i)
{
    if (c->dec.d % c->step == 0) return (dim_at){d0, i};
    const sk_val dim = sk_add(&c->dec, d0, sk_k(&c->dec, i));
    return (dim_at){sk_ir_2k(c->dec.b, SK_OP_UMIN, dim, c->dec.d - 1), 0};
}

static dim_at coded_of(unrow *c, dim_at model)
{
    if (!(c->dec.spec->book & SPHKV_BOOK_PERMUTATION)) return model;
    const sk_val at = sk_mul(&c->dec, model.dim, 4);
    return (dim_at){sk_ir_ldu(c->dec.b, SK_LD_U32, c->where, at, model.plus * 4), 0};
}

static void take_group(unrow *c, const sk_lanes *k, dim_at coded, group_at *at)
{
    sk_dec *d = &c->dec;
    const uint32_t g = k->seg->g;
    const sk_seg_layout *lay = &k->lay->seg[0];
    const sk_val j = sk_ir_2k(d->b, SK_OP_UDIV, sk_add(d, coded.dim, sk_k(d, coded.plus)), g);
    const uint32_t codes = sk_segment_codes(k->seg);
    for (uint32_t i = 0; i < codes; i++)
        at->code[i] = sk_lanes_codes(k, codes > 1 ? sk_add(d, sk_mul(d, j, codes), sk_k(d, i)) : j);
    if (codes > 1) at->apart = sk_mul(d, j, g * (codes - 1));
    if (lay->spans > 1)
        at->radius = sk_lanes_radii(k, sk_ir_2k(d->b, SK_OP_UDIV, j, lay->span_dims / g));
}

/* A coded dimension from its group, before the radius. */
static sk_val codeword_sum(unrow *c, const sk_lanes *k, dim_at coded, const group_at *at)
{
    sk_dec *d = &c->dec;
    const sk_val first = k->seg->more ? sk_add(d, coded.dim, at->apart) : coded.dim;
    sk_val x = sk_lanes_codewords(k, first, coded.plus, at->code[0]);
    for (uint32_t i = 1; i < sk_segment_codes(k->seg); i++)
        x = sk_ir_2(d->b, SK_OP_FADD, x,
                    sk_lanes_codewords(k, first, coded.plus + i * k->seg->g, at->code[i]));
    return x;
}

/* Of a set with a transform: from all of the key, which is in scratch. */
static sk_val turned_value(unrow *c, dim_at model, dim_at coded)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val j = sk_add(d, coded.dim, sk_k(d, coded.plus));
    const uint32_t off = sk_codebook_transform_off(d->spec);
    sk_val x;
    if (d->spec->book & SPHKV_BOOK_TRANSFORM) {
        const sk_val sum = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
        const sk_val column = sk_ir_ptr_add(b, c->set, j, d->d * 4);
        const sk_val i = sk_ir_for(b, d->zero, sk_k(d, d->d), 1);
        const sk_val t = sk_ir_ldu(b, SK_LD_F32, column, sk_mul(d, i, 4), off);
        sk_ir_set(b, sum, sk_fma(d, sk_ir_ldv(b, SK_LD_F32, c->framed, sk_mul(d, i, 128), 0), t,
                                 sk_ir_get(b, sum)));
        sk_ir_end(b);
        x = sk_ir_get(b, sum);
    } else {
        x = sk_ir_2(b, SK_OP_FMUL, sk_ir_ldv(b, SK_LD_F32, c->framed, sk_mul(d, j, 128), 0),
                    sk_ir_ldu(b, SK_LD_F32, c->set, sk_mul(d, j, 4), off));
    }
    if (!(d->spec->book & SPHKV_BOOK_MEAN)) return x;
    return sk_ir_2(b, SK_OP_FADD, x,
                   sk_ir_ldu(b, SK_LD_F32, c->set, sk_mul(d, model.dim, 4),
                             sk_codebook_mean_off(d->spec) + model.plus * 4));
}

/* A dimension of the model's key from the group that it is coded in. */
static sk_val coded_value(unrow *c, const sk_lanes *k, dim_at model, dim_at coded, const group_at *at)
{
    sk_dec *d = &c->dec;
    const sk_val x = codeword_sum(c, k, coded, at);
    if (!(d->spec->book & SPHKV_BOOK_MEAN)) return sk_ir_2(d->b, SK_OP_FMUL, x, at->radius);
    const uint32_t off = sk_dec_mean_off(d) + model.plus * 4;
    const sk_val mean = sk_ir_ldu(d->b, SK_LD_F32, k->set, sk_mul(d, model.dim, 4), off);
    return sk_fma(d, x, at->radius, mean);
}

/* Dimension d0 + i; something behind the last one. */
static sk_val coded_dim(unrow *c, const sk_lanes *k, sk_val d0, uint32_t i, group_at *at)
{
    const uint32_t g = k->seg->g;
    const dim_at model = model_dim(c, d0, i), coded = coded_of(c, model);
    if (sk_spec_turned(c->dec.spec)) return turned_value(c, model, coded);
    const bool permuted = c->dec.spec->book & SPHKV_BOOK_PERMUTATION;
    const bool apart = c->step % g != 0 && g % c->step != 0; /* groups and pieces do not fit */
    if (permuted || apart || i % g == 0) take_group(c, k, coded, at); /* else it is the last one's */
    return coded_value(c, k, model, coded, at);
}

/* WORDS words of the rows of 32 tokens, from word w0 on, to where they belong. */
static void put_rows(unrow *c, sk_val *x, sk_val t0, sk_val w0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_transpose(d, x, WORDS);
    const sk_val run = sk_and(d, d->lane, WORDS); /* a lane's token is that of lane 0, and 0 or 16 */
    const sk_val word = sk_add(d, w0, sk_and(d, d->lane, WORDS - 1));
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, word, d->vdims * c->es / 4);
    const sk_val far = sk_mul(d, sk_ir_2(b, SK_OP_MUL, run, c->stride), c->es);
    const sk_val off = sk_add(d, far, sk_mul(d, word, 4));
    for (uint32_t i = 0; i < WORDS; i++) {
        const sk_val t = sk_add(d, t0, sk_k(d, i));
        const sk_val used = sk_ir_2(b, SK_OP_ULT, sk_add(d, t, run), c->count);
        sk_ir_stg(b, out_row(c, t), off, 0, x[i], sk_ir_2(b, SK_OP_PAND, used, inside));
    }
}

/* Dimension d0 + i before any rotation. */
static sk_val plain_dim(unrow *c, const sk_lanes *k, sk_val d0, uint32_t i, group_at *at, sk_val scale)
{
    if (k->seg->kind == SK_KEY_CODED) return coded_dim(c, k, d0, i, at);
    const dim_at dim = model_dim(c, d0, i);
    return sk_lanes_dense(k, dim.dim, dim.plus, scale);
}

static sk_val coded_alone(unrow *c, const sk_lanes *k, dim_at model, sk_val radius)
{
    group_at at = {.radius = radius};
    const dim_at coded = coded_of(c, model);
    if (sk_spec_turned(c->dec.spec)) return turned_value(c, model, coded);
    take_group(c, k, coded, &at);
    return coded_value(c, k, model, coded, &at);
}

/* Of keys that are kept before RoPE: with the dimension that it is paired with, which
 * groups of the piece do not hold. */
static sk_val rotated_dim(unrow *c, const sk_lanes *k, sk_val d0, uint32_t i, sk_val radius,
                          const sk_rope_lanes *rope)
{
    sk_dec *d = &c->dec;
    const dim_at model = model_dim(c, d0, i);
    const sk_val dim = sk_add(d, model.dim, sk_k(d, model.plus));
    const sk_rope_turn turn = sk_rope_lanes_turn(d, rope, dim);
    sk_val x[2];
    for (uint32_t n = 0; n < 2; n++) {
        const sk_val from = n ? turn.partner : dim;
        const dim_at one = {from, 0};
        if (k->seg->kind == SK_KEY_CODED)
            x[n] = coded_alone(c, k, one, radius);
        else
            x[n] = sk_lanes_dense(k, from, 0, sk_lanes_scales(k, from));
    }
    return sk_fma(d, x[0], turn.c, sk_ir_2(d->b, SK_OP_FMUL, x[1], turn.s));
}

/* A piece of the rows of 32 tokens. */
static void put_piece(unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page, sk_val t0,
                      sk_val d0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const bool coded = sk_dec_seg(d->spec, tier_slot)->kind == SK_KEY_CODED;
    const sk_val token = sk_ir_2k(b, SK_OP_UMIN, sk_add(d, t0, d->lane), d->p - 1);
    const sk_lanes k = sk_lanes_begin(d, tier_slot, lay, page, c->set, token);
    group_at at = {.radius = SK_NONE};
    if (coded && lay->seg[0].spans == 1) at.radius = sk_lanes_radii(&k, d->zero);
    const sk_val scale = coded ? SK_NONE : sk_lanes_scales(&k, d0); /* a piece is of one block */
    sk_val x[2 * WORDS];
    sk_rope_lanes rope = {SK_NONE, SK_NONE};
    const bool turned = k.seg->pre_rope && c->turned;
    if (turned) rope = sk_rope_lanes_begin(d, sk_rope_positions(d, tier_slot), page, token);
    for (uint32_t i = 0; i < c->step; i++)
        x[i] = turned ? rotated_dim(c, &k, d0, i, at.radius, &rope)
                               : plain_dim(c, &k, d0, i, &at, scale);
    for (uint32_t i = 0; c->es == 2 && i < WORDS; i++)
        x[i] = sk_ir_2(b, pack_op(c), x[2 * i], x[2 * i + 1]);
    put_rows(c, x, t0, c->es == 2 ? sk_shr(d, d0, 1) : d0);
}

/* Of a set with a transform: 32 tokens as they are coded, groups dealt to the warps. */
static void rebuild_chunk(unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page, sk_val t0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val token = sk_ir_2k(b, SK_OP_UMIN, sk_add(d, t0, d->lane), d->p - 1);
    const sk_lanes k = sk_lanes_begin(d, tier_slot, lay, page, c->set, token);
    group_at at = {.radius = SK_NONE};
    if (lay->seg[0].spans == 1) at.radius = sk_lanes_radii(&k, d->zero);
    const sk_val j = sk_gpu_turns(b, sk_k(d, lay->seg[0].groups), 1);
    const sk_val dim = sk_mul(d, j, k.seg->g);
    take_group(c, &k, (dim_at){dim, 0}, &at);
    for (uint32_t i = 0; i < k.seg->g; i++)
        sk_ir_stv(b, c->framed, sk_mul(d, dim, 128), i * 128,
                  sk_ir_2(b, SK_OP_FMUL, codeword_sum(c, &k, (dim_at){dim, i}, &at), at.radius));
    sk_ir_end(b);
    sk_ir_barrier(b);
    if (d->spec->book & SPHKV_BOOK_TRANSFORM) return;
    sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, sk_ir_0(b, SK_OP_WARP, 0), 0));
    sk_hadamard_vectors(b, c->framed, d->d, 32);
    sk_ir_end(b);
    sk_ir_barrier(b);
}

/* Of a key, or a part of one that is the first segment of `lay`. */
static void part_keys(unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const bool coded = sk_dec_seg(d->spec, tier_slot)->kind == SK_KEY_CODED;
    const uint32_t steps = (d->vdims + c->step - 1) / c->step, chunks = (d->p + 31) / 32;
    if (coded && d->spec->book & SPHKV_BOOK_PERMUTATION) invert_permutation(c);
    if (coded && sk_spec_turned(d->spec)) {
        const sk_val t0 = sk_ir_for(b, d->zero, c->count, 32);
        rebuild_chunk(c, tier_slot, lay, page, t0);
        const sk_val d0 = sk_mul(d, sk_gpu_turns(b, sk_k(d, steps), 1), c->step);
        put_piece(c, tier_slot, lay, page, t0, d0);
        sk_ir_end(b);
        sk_ir_barrier(b); /* scratch is the next tokens' then */
        sk_ir_end(b);
        return;
    }
    const sk_val turn = sk_gpu_turns(b, sk_k(d, steps * chunks), 1);
    const sk_val t0 = sk_mul(d, sk_ir_2k(b, SK_OP_UDIV, turn, steps), 32);
    const sk_val d0 = sk_mul(d, sk_ir_2k(b, SK_OP_UREM, turn, steps), c->step);
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, t0, c->count));
    put_piece(c, tier_slot, lay, page, t0, d0);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* The first `dims` dimensions. */
static void decode_keys(unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                        uint32_t dims)
{
    for (sk_key_part p = {0}; sk_rebuilt_next(c->dec.spec, tier_slot, &p);) {
        unrow one = *c;
        sk_page_layout at = *lay;
        sk_rebuilt_open(&c->dec, &p, dims, &one.dec);
        if (one.dec.vdims == 0) continue;
        at.seg[0] = lay->seg[p.seg];
        if (one.dec.vdim0 > 0)
            one.rows = sk_ir_ptr_add(c->dec.b, c->rows, sk_k(&c->dec, one.dec.vdim0), c->es);
        part_keys(&one, p.slot, &at, page);
    }
}

static void decode_values(unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t per = 4 / c->es, words = d->dv / per;
    const sk_val w0 = sk_ir_for(b, d->zero, sk_k(d, words), 32), word = sk_add(d, w0, d->lane);
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, word, words), channel = sk_mul(d, word, per);
    sk_lane_values v[2];
    for (uint32_t k = 0; k < per; k++)
        v[k] = sk_lane_values_begin(d, tier_slot, lay, page, sk_add(d, channel, sk_k(d, k)), inside);
    const sk_val t = sk_gpu_turns(b, c->count, 1);
    sk_val x[2] = {SK_NONE, SK_NONE};
    for (uint32_t k = 0; k < per; k++) x[k] = sk_lane_value(&v[k], t, inside);
    const sk_val put = per == 1 ? sk_ir_1(b, SK_OP_BITS, x[0]) : sk_ir_2(b, pack_op(c), x[0], x[1]);
    sk_ir_stg(b, out_row(c, t), sk_mul(d, word, 4), 0, put, inside);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* The parameters of rows of keys (0) and values (1). */
typedef struct row_params {
    sk_val data, wanted, stride_row, stride_head;
} row_params;

static row_params row_params_of(sk_builder *b, bool values)
{
    row_params r;
    r.data = sk_ir_param_ptr(b, values ? "v" : "k", true);
    r.wanted = sk_ir_param_u32(b, values ? "v_wanted" : "k_wanted");
    r.stride_row = sk_ir_param_u32(b, values ? "v_row_stride" : "k_row_stride");
    r.stride_head = sk_ir_param_u32(b, values ? "v_head_stride" : "k_head_stride");
    return r;
}

static void decode_item(unrow *c, uint32_t tier_slot, const sk_val f[ITEM_WORDS],
                        const row_params rows[2])
{
    sk_builder *b = c->dec.b;
    sk_page_layout lay;
    sk_page_layout_get(c->dec.spec, tier_slot, &lay);
    const sk_val page = sk_ir_ptr_add(b, c->dec.arena, f[ITEM_UNIT], SPHKV_UNIT_BYTES);
    for (uint32_t k = 0; k < 2; k++) {
        sk_ir_if(b, sk_ir_2(b, SK_OP_NE, rows[k].wanted, c->dec.zero));
        const sk_val head = sk_ir_2(b, SK_OP_MUL, f[ITEM_HEAD], rows[k].stride_head);
        const sk_val row = sk_ir_2(b, SK_OP_MUL, f[ITEM_ROW], rows[k].stride_row);
        c->rows = sk_ir_ptr_add(b, sk_ir_ptr_add(b, rows[k].data, head, c->es), row, c->es);
        c->stride = rows[k].stride_row;
        c->turned = k == 0; /* values are keys as they are stored */
        if (k == 0)
            decode_keys(c, tier_slot, &lay, page, c->dec.d);
        else if (c->dec.spec->tier[tier_slot].value == SK_VAL_KEY) {
            sk_ir_barrier(b); /* what keys have read of scratch is made anew */
            decode_keys(c, tier_slot, &lay, page, c->dec.dv);
        } else
            decode_values(c, tier_slot, &lay, page);
        sk_ir_end(b);
    }
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    unrow c = {.es = spec->out_dtype == SPHKV_F32 ? 4 : 2};
    c.step = WORDS * 4 / c.es;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    /* steps that fit no group hold many codes at once: 255 registers, if they ask for them */
    sk_ir_occupancy(b, sched->v[SK_T_warps] < 8 ? 8 / (uint32_t)sched->v[SK_T_warps] : 1);
    c.dec = (sk_dec){.b = b, .spec = spec, .sched = sched, .w = 32, .d = spec->d, .dv = spec->dv,
                     .p = spec->page, .tp = (spec->page + 15) / 16 * 16};
    const sk_val items = sk_ir_param_ptr(b, "items", false);
    c.dec.arena = sk_ir_param_ptr(b, "arena", false);
    c.dec.codebook = sk_ir_param_ptr(b, "codebook", false);
    row_params rows[2];
    for (uint32_t k = 0; k < 2; k++) rows[k] = row_params_of(b, k == 1);
    c.dec.zero = sk_ir_u32(b, 0);
    c.dec.lane = sk_ir_lane(b);
    if (spec->book & SPHKV_BOOK_PERMUTATION)
        c.where = sk_ir_name(b, sk_ir_shared(b, spec->d * 4), "where");
    if (sk_spec_turned(spec)) c.framed = sk_ir_name(b, sk_ir_shared(b, spec->d * 128), "framed");
    sk_rope_params(&c.dec);
    const sk_val item = sk_ir_ptr_add(b, items, sk_ir_block(b, 0), sizeof(sphkv_decode_item));
    sk_val f[ITEM_WORDS];
    for (uint32_t k = 0; k < ITEM_WORDS; k++) f[k] = sk_ir_ldu(b, SK_LD_U32, item, c.dec.zero, k * 4);
    c.count = f[ITEM_COUNT];
    c.set = sk_ir_ptr_add(b, c.dec.codebook, f[ITEM_HEAD], sk_codebook_head_bytes(spec));
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, f[ITEM_TIER], k));
        decode_item(&c, k, f, rows);
        sk_ir_end(b);
    }
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

/* Offsets of 32 bits reach the rows of 32 tokens. */
static sk_status check_stride(const sk_rows *rows, sk_err *err)
{
    if (rows->data == NULL || rows->stride_row <= UINT32_MAX / 128) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "rows of k or v are %u elements apart: at most %u on a GPU",
                   rows->stride_row, UINT32_MAX / 128);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sk_decode_call r = {.image = image};
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_decode_args(&r, args, err);
    if (st == SPHKV_OK) st = sk_gpu_items(r.a.items, r.a.items_count, err);
    if (st == SPHKV_OK) st = check_stride(&r.k, err);
    if (st == SPHKV_OK) st = check_stride(&r.v, err);
    if (st != SPHKV_OK || r.a.items_count == 0) return st;
    sk_call call = {0};
    sk_call_ptr(&call, r.a.items, r.a.items_count * sizeof *r.a.items);
    sk_call_ptr(&call, r.a.arena, r.a.arena_bytes);
    sk_call_ptr(&call, r.a.codebook, r.a.codebook_bytes);
    sk_decode_call_rows(&call, &r, &r.k);
    sk_decode_call_rows(&call, &r, &r.v);
    sk_rope_call(&call, &image->spec, &r.a.rope);
    return sk_image_launch(image, 0, &call, r.a.items_count, r.a.stream, err);
}

const sk_kernel_form sk_unrow_on_gpu = {
    .default_schedule = default_schedule,
    .valid = sk_gpu_valid,
    .build = build,
    .workspace = sk_gpu_no_workspace,
    .run = run,
};
