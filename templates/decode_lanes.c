/* decode_lanes.c - keys of a page as numbers on a GPU (decode_lanes.h): pieces of dimensions
 * as they are, and those that are made of all of them from keys in scratch. */
#include "decode_lanes.h"

#include "lanes.h"
#include "part_rebuild.h"
#include "part_rope.h"
#include "transform.h"

/* 32 KiB of scratch at most. */
static uint32_t framed_tokens(const sk_spec *spec)
{
    return spec->d <= 256 ? 32 : spec->d <= 512 ? 16 : 8;
}

/* Whether dimensions of a tier's keys are made of all of them. */
static bool is_whole(const sk_spec *spec, uint32_t tier_slot)
{
    return !sk_key_parted(spec, NULL, tier_slot) && sk_turns_back(spec, tier_slot);
}

void sk_numbers_init(sk_numbers *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched,
                     uint32_t step)
{
    *c = (sk_numbers){.first = SK_NONE, .step = step, .tokens = framed_tokens(spec)};
    c->dec = (sk_dec){.b = b, .spec = spec, .sched = sched, .w = 32, .d = spec->d, .dv = spec->dv,
                      .p = spec->page, .tp = (spec->page + 15) / 16 * 16};
}

uint32_t sk_numbers_where_bytes(const sk_spec *spec)
{
    return spec->book & SPHKV_BOOK_PERMUTATION ? spec->d * 4 : 0;
}

uint32_t sk_numbers_framed_bytes(const sk_spec *spec)
{
    bool any = false;
    for (uint32_t i = 0; i < spec->ntiers; i++) any |= is_whole(spec, i);
    return any ? spec->d * framed_tokens(spec) * 4 : 0;
}

/* What a damaged permutation names nowhere stays where it is. */
static void invert_permutation(sk_numbers *c)
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

static dim_at model_dim(sk_numbers *c, sk_val d0, uint32_t i)
{
    if (c->dec.d % c->step == 0) return (dim_at){d0, i};
    const sk_val dim = sk_add(&c->dec, d0, sk_k(&c->dec, i));
    return (dim_at){sk_ir_2k(c->dec.b, SK_OP_UMIN, dim, c->dec.d - 1), 0};
}

static dim_at coded_of(sk_numbers *c, dim_at model)
{
    if (!(c->dec.spec->book & SPHKV_BOOK_PERMUTATION)) return model;
    const sk_val at = sk_mul(&c->dec, model.dim, 4);
    return (dim_at){sk_ir_ldu(c->dec.b, SK_LD_U32, c->where, at, model.plus * 4), 0};
}

static void take_group(sk_numbers *c, const sk_lanes *k, dim_at coded, group_at *at)
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
static sk_val codeword_sum(sk_numbers *c, const sk_lanes *k, dim_at coded, const group_at *at)
{
    sk_dec *d = &c->dec;
    const sk_val first = k->seg->more ? sk_add(d, coded.dim, at->apart) : coded.dim;
    sk_val x = sk_lanes_codewords(k, first, coded.plus, at->code[0]);
    for (uint32_t i = 1; i < sk_segment_codes(k->seg); i++)
        x = sk_ir_2(d->b, SK_OP_FADD, x,
                    sk_lanes_codewords(k, first, coded.plus + i * k->seg->g, at->code[i]));
    return x;
}

/* Coded dimension j of the tokens in scratch, a lane each, as often as lanes are more. */
static sk_val framed_dim(sk_numbers *c, sk_val j)
{
    sk_dec *d = &c->dec;
    const sk_val row = sk_mul(d, j, c->tokens * 4);
    if (!sk_numbers_fewer(c)) return sk_ir_ldv(d->b, SK_LD_F32, c->framed, row, 0);
    const sk_val at = sk_add(d, row, sk_mul(d, sk_and(d, d->lane, c->tokens - 1), 4));
    return sk_ir_ldg(d->b, SK_LD_F32, c->framed, at, 0, SK_NONE);
}

/* Coded dimension j before the transform, of all of the key, which is in scratch; of a
 * Hadamard transform scratch has it. */
static sk_val turned_dim(sk_numbers *c, sk_val j)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t off = sk_codebook_transform_off(d->spec), dims = d->spec->d;
    if (!(d->spec->book & SPHKV_BOOK_TRANSFORM)) return framed_dim(c, j);
    const sk_val sum = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val column = sk_ir_ptr_add(b, c->set, j, dims * 4);
    const sk_val i = sk_ir_for(b, d->zero, sk_k(d, dims), 1);
    const sk_val t = sk_ir_ldu(b, SK_LD_F32, column, sk_mul(d, i, 4), off);
    sk_ir_set(b, sum, sk_fma(d, framed_dim(c, i), t, sk_ir_get(b, sum)));
    sk_ir_end(b);
    return sk_ir_get(b, sum);
}

/* A dimension of the segment at work of keys that are in scratch. */
static sk_val turned_value(sk_numbers *c, dim_at of)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const dim_at model = {of.dim, of.plus + d->vdim0}, coded = coded_of(c, model);
    const sk_val x = turned_dim(c, sk_add(d, coded.dim, sk_k(d, coded.plus)));
    if (!(d->spec->book & SPHKV_BOOK_MEAN)) return x;
    return sk_ir_2(b, SK_OP_FADD, x,
                   sk_ir_ldu(b, SK_LD_F32, c->set, sk_mul(d, model.dim, 4),
                             sk_codebook_mean_off(d->spec) + model.plus * 4));
}

/* A dimension of the model's key from the group that it is coded in. */
static sk_val coded_value(sk_numbers *c, const sk_lanes *k, dim_at model, dim_at coded, const group_at *at)
{
    sk_dec *d = &c->dec;
    const sk_val x = codeword_sum(c, k, coded, at);
    if (!(d->spec->book & SPHKV_BOOK_MEAN)) return sk_ir_2(d->b, SK_OP_FMUL, x, at->radius);
    const uint32_t off = sk_dec_mean_off(d) + model.plus * 4;
    const sk_val mean = sk_ir_ldu(d->b, SK_LD_F32, k->set, sk_mul(d, model.dim, 4), off);
    return sk_fma(d, x, at->radius, mean);
}

/* Dimension d0 + i; something behind the last one. */
static sk_val coded_dim(sk_numbers *c, const sk_lanes *k, sk_val d0, uint32_t i, group_at *at)
{
    const uint32_t g = k->seg->g;
    const dim_at model = model_dim(c, d0, i);
    if (c->back) return turned_value(c, model);
    const dim_at coded = coded_of(c, model);
    const bool permuted = c->dec.spec->book & SPHKV_BOOK_PERMUTATION;
    const bool apart = c->step % g != 0 && g % c->step != 0; /* groups and pieces do not fit */
    if (permuted || apart || i % g == 0) take_group(c, k, coded, at); /* else it is the last one's */
    return coded_value(c, k, model, coded, at);
}

/* Dimension d0 + i before any rotation. */
static sk_val plain_dim(sk_numbers *c, const sk_lanes *k, sk_val d0, uint32_t i, group_at *at, sk_val scale)
{
    if (k->seg->kind == SK_KEY_CODED) return coded_dim(c, k, d0, i, at);
    const dim_at dim = model_dim(c, d0, i);
    return sk_lanes_dense(k, dim.dim, dim.plus, scale);
}

static sk_val coded_alone(sk_numbers *c, const sk_lanes *k, dim_at model, sk_val radius)
{
    group_at at = {.radius = radius};
    if (c->back) return turned_value(c, model);
    const dim_at coded = coded_of(c, model);
    take_group(c, k, coded, &at);
    return coded_value(c, k, model, coded, &at);
}

/* Of keys that are kept before RoPE: with the dimension that it is paired with, which
 * groups of the piece do not hold. */
static sk_val rotated_dim(sk_numbers *c, const sk_lanes *k, sk_val d0, uint32_t i, sk_val radius,
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

/* The token of a lane: the last one of the page in place of what is behind. */
static sk_val token_of(sk_numbers *c, sk_val t0)
{
    sk_dec *d = &c->dec;
    const sk_val lane = sk_numbers_fewer(c) ? sk_and(d, d->lane, c->tokens - 1) : d->lane;
    return sk_ir_2k(d->b, SK_OP_UMIN, sk_add(d, t0, lane), d->p - 1);
}

/* A piece of the tokens from t0 on, of the key, or part, that is the first segment of
 * `lay`. */
static void make_piece(sk_numbers *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                       sk_val t0, sk_val d0)
{
    sk_dec *d = &c->dec;
    const bool coded = sk_dec_seg(d->spec, tier_slot)->kind == SK_KEY_CODED;
    const sk_val token = token_of(c, t0);
    const sk_lanes k = sk_lanes_begin(d, tier_slot, lay, page, c->set, token);
    group_at at = {.radius = SK_NONE};
    if (coded && !c->back && lay->seg[0].spans == 1) at.radius = sk_lanes_radii(&k, d->zero);
    const sk_val scale = coded ? SK_NONE : sk_lanes_scales(&k, d0); /* a piece is of one block */
    sk_val x[SK_NUMBERS_STEP];
    sk_rope_lanes rope = {SK_NONE, SK_NONE};
    const bool turned = c->turned && d->spec->tier[tier_slot].seg[c->seg].pre_rope;
    if (turned) rope = sk_rope_lanes_begin(d, sk_rope_positions(d, tier_slot), page, token);
    for (uint32_t i = 0; i < c->step; i++)
        x[i] = turned ? rotated_dim(c, &k, d0, i, at.radius, &rope)
                      : plain_dim(c, &k, d0, i, &at, scale);
    c->put_keys(c, x, t0, d0);
}

/* A segment of the tokens from t0 on as they are coded, groups dealt to the warps. */
static void rebuild_segment(const sk_numbers *c, const sk_key_part *p, const sk_page_layout *lay,
                            sk_val page, sk_val t0)
{
    sk_numbers one = *c;
    sk_page_layout at = *lay;
    sk_dec *d = &one.dec;
    sk_builder *b = d->b;
    sk_rebuilt_open(&c->dec, p, c->dec.d, d);
    d->spec = &p->spec;
    at.seg[0] = lay->seg[p->seg];
    const sk_lanes k = sk_lanes_begin(d, p->slot, &at, page, c->set, token_of(&one, t0));
    group_at group = {.radius = SK_NONE};
    if (at.seg[0].spans == 1) group.radius = sk_lanes_radii(&k, d->zero);
    const sk_val j = sk_gpu_turns(b, sk_k(d, at.seg[0].groups), 1);
    const sk_val dim = sk_mul(d, j, k.seg->g), row = sk_mul(d, dim, c->tokens * 4);
    const sk_val first = sk_ir_2k(b, SK_OP_ULT, d->lane, c->tokens);
    take_group(&one, &k, (dim_at){dim, 0}, &group);
    for (uint32_t i = 0; i < k.seg->g; i++) {
        const uint32_t disp = (d->vdim0 + i) * c->tokens * 4;
        const sk_val word = codeword_sum(&one, &k, (dim_at){dim, i}, &group);
        const sk_val x = sk_ir_2(b, SK_OP_FMUL, word, group.radius);
        if (sk_numbers_fewer(c))
            sk_ir_stg(b, c->framed, sk_add(d, row, sk_mul(d, d->lane, 4)), disp, x, first);
        else
            sk_ir_stv(b, c->framed, row, disp, x);
    }
    sk_ir_end(b);
}

/* The inverse of a Hadamard transform, in place: by one warp, signs by all. */
static void hadamard_back(sk_numbers *c)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t each = 32 / c->tokens, bits = (uint32_t)__builtin_ctz(c->tokens);
    sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, sk_ir_0(b, SK_OP_WARP, 0), 0));
    sk_hadamard_rows(b, c->framed, d->d, 32, c->tokens);
    sk_ir_end(b);
    sk_ir_barrier(b);
    const sk_val j0 = sk_gpu_turns(b, sk_k(d, d->d), each), at = sk_mul(d, j0, c->tokens * 4);
    const sk_val j = sk_add(d, j0, sk_shr(d, d->lane, bits));
    const sk_val sign = sk_ir_ldg(b, SK_LD_F32, c->set, sk_mul(d, j, 4),
                                  sk_codebook_transform_off(d->spec), SK_NONE);
    const sk_val x = sk_ir_ldv(b, SK_LD_F32, c->framed, at, 0);
    sk_ir_stv(b, c->framed, at, 0, sk_ir_2(b, SK_OP_FMUL, x, sign));
    sk_ir_end(b);
    sk_ir_barrier(b);
}

static void rebuild_chunk(sk_numbers *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                          sk_val t0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    for (sk_key_part p = {0}; sk_coded_next(d->spec, tier_slot, &p);)
        rebuild_segment(c, &p, lay, page, t0);
    sk_ir_barrier(b);
    if (d->spec->book & SPHKV_BOOK_HADAMARD) hadamard_back(c);
}

/* The pieces of a segment of keys that are in scratch, among the first `dims` dimensions. */
static void make_segment(const sk_numbers *c, const sk_key_part *p, const sk_page_layout *lay,
                         sk_val page, sk_val t0, uint32_t dims)
{
    sk_numbers one = *c;
    sk_page_layout at = *lay;
    sk_dec *d = &one.dec;
    sk_rebuilt_open(&c->dec, p, dims, d);
    if (d->vdims == 0) return;
    d->spec = c->dec.spec;
    one.seg = p->seg;
    at.seg[0] = lay->seg[p->seg];
    const uint32_t steps = (d->vdims + c->step - 1) / c->step;
    const sk_val d0 = sk_mul(d, sk_gpu_turns(d->b, sk_k(d, steps), 1), c->step);
    make_piece(&one, p->tier, &at, page, t0, d0);
    sk_ir_end(d->b);
}

/* Keys whose dimensions are made of all of them. */
static void whole_keys(const sk_numbers *from, uint32_t tier_slot, const sk_page_layout *lay,
                       sk_val page, uint32_t dims)
{
    sk_numbers one = *from, *c = &one;
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    c->back = true;
    if (d->spec->book & SPHKV_BOOK_PERMUTATION) invert_permutation(c);
    const sk_val t0 = sk_ir_for(b, c->first == SK_NONE ? d->zero : c->first, from->count, c->tokens);
    if (sk_numbers_fewer(c))
        c->count = sk_ir_2(b, SK_OP_UMIN, from->count, sk_add(d, t0, sk_k(d, c->tokens)));
    rebuild_chunk(c, tier_slot, lay, page, t0);
    for (sk_key_part p = {0}; sk_coded_next(d->spec, tier_slot, &p);)
        make_segment(c, &p, lay, page, t0, dims);
    sk_ir_barrier(b); /* scratch is the next tokens' then */
    sk_ir_end(b);
}

/* Of a key, or a part of one that is the first segment of `lay`. */
static void part_keys(sk_numbers *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const bool coded = sk_dec_seg(d->spec, tier_slot)->kind == SK_KEY_CODED;
    const uint32_t steps = (d->vdims + c->step - 1) / c->step, chunks = ((c->most ? c->most : d->p) + 31) / 32;
    if (coded && d->spec->book & SPHKV_BOOK_PERMUTATION) invert_permutation(c);
    const sk_val turn = sk_gpu_turns(b, sk_k(d, steps * chunks), 1);
    sk_val t0 = sk_mul(d, sk_ir_2k(b, SK_OP_UDIV, turn, steps), 32);
    if (c->first != SK_NONE) t0 = sk_add(d, t0, c->first);
    const sk_val d0 = sk_mul(d, sk_ir_2k(b, SK_OP_UREM, turn, steps), c->step);
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, t0, c->count));
    make_piece(c, tier_slot, lay, page, t0, d0);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_numbers_keys(sk_numbers *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                     uint32_t dims)
{
    if (is_whole(c->dec.spec, tier_slot)) {
        whole_keys(c, tier_slot, lay, page, dims);
        return;
    }
    for (sk_key_part p = {0}; sk_rebuilt_next(c->dec.spec, tier_slot, &p);) {
        sk_numbers one = *c;
        sk_page_layout at = *lay;
        sk_rebuilt_open(&c->dec, &p, dims, &one.dec);
        if (one.dec.vdims == 0) continue;
        at.seg[0] = lay->seg[p.seg];
        part_keys(&one, p.slot, &at, page);
    }
}
