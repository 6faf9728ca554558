/* part_turn.c - the transform T of a codebook set (transform.h) in attention and in what
 * reads keys back. Look-ups, and keys that are rebuilt as they are coded, meet queries that
 * are transformed once; keys that must become the model's, since they are rotated or are
 * values, are multiplied by the inverse, W tokens at a time. So are, by a permutation
 * alone, keys of several segments. */
#include "part_rebuild.h"
#include "part_segments.h"
#include "transform.h"

/* Dimension of the model's key that coded dimension j (a value) comes from. An index
 * beyond the head is its last. */
static sk_val from_of(sk_dec *c, sk_val book, sk_val j)
{
    if (!(c->spec->book & SPHKV_BOOK_PERMUTATION)) return j;
    const uint32_t off = sk_codebook_permutation_off(c->spec);
    const sk_val from = sk_ir_ldu(c->b, SK_LD_U32, book, sk_mul(c, j, 4), off);
    return sk_ir_2k(c->b, SK_OP_UMIN, from, c->d - 1);
}

/* ---- queries ------------------------------------------------------------------ */

/* W dimensions of all heads at once: columns of T times one number of each head. */
static void multiply_queries(sk_dec *c, sk_val book)
{
    sk_builder *b = c->b;
    sk_val sum[SK_HEAD_TILE];
    const sk_val t = sk_ir_ptr_add(b, book, sk_k(c, sk_codebook_transform_off(c->spec)), 1);
    const sk_val i0 = sk_mul(c, sk_ir_for(b, c->zero, sk_k(c, c->d), c->w), 4);
    for (uint32_t h = 0; h < c->h; h++) sum[h] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val j = sk_ir_for(b, c->zero, sk_k(c, c->d), 1);
    const sk_val column = sk_ir_ldv(b, SK_LD_F32, sk_ir_ptr_add(b, t, j, c->d * 4), i0, 0);
    const sk_val from = sk_mul(c, from_of(c, book, j), 4);
    for (uint32_t h = 0; h < c->h; h++) {
        const sk_val q = sk_ir_ldu(b, SK_LD_F32, c->qs, from, h * c->d * 4);
        sk_ir_set(b, sum[h], sk_fma(c, column, q, sk_ir_get(b, sum[h])));
    }
    sk_ir_end(b);
    for (uint32_t h = 0; h < c->h; h++)
        sk_ir_stv(b, c->qc, i0, h * c->d * 4, sk_ir_get(b, sum[h]));
    sk_ir_end(b);
}

static void hadamard_queries(sk_dec *c, sk_val book)
{
    sk_builder *b = c->b;
    const uint32_t order = sk_codebook_permutation_off(c->spec);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), c->w), off = sk_mul(c, d0, 4);
    const sk_val sign = sk_ir_ldv(b, SK_LD_F32, book, off, sk_codebook_transform_off(c->spec));
    sk_val from = SK_NONE;
    if (order != SK_NO_FIELD) {
        from = sk_ir_2k(b, SK_OP_UMIN, sk_ir_ldv(b, SK_LD_U32, book, off, order), c->d - 1);
        from = sk_mul(c, from, 4);
    }
    for (uint32_t h = 0; h < c->h; h++) {
        const uint32_t row = h * c->d * 4;
        const sk_val x = from == SK_NONE ? sk_ir_ldv(b, SK_LD_F32, c->qs, off, row)
                                         : sk_ir_ldg(b, SK_LD_F32, c->qs, from, row, SK_NONE);
        sk_ir_stv(b, c->qc, off, row, sk_ir_2(b, SK_OP_FMUL, x, sign));
    }
    sk_ir_end(b);
    const sk_val h = sk_ir_for(b, c->zero, sk_k(c, c->h), 1);
    sk_hadamard_rows(b, sk_ir_ptr_add(b, c->qc, h, c->d * 4), c->d, c->w, 1);
    sk_ir_end(b);
}

void sk_part_turn_queries(sk_dec *c)
{
    const sk_val book = sk_dec_book(c);
    if (c->spec->book & SPHKV_BOOK_TRANSFORM)
        multiply_queries(c, book);
    else
        hadamard_queries(c, book);
}

/* ---- keys ----------------------------------------------------------------------- */

bool sk_turns_back(const sk_spec *spec, uint32_t tier_slot)
{
    if (sk_dec_seg(spec, tier_slot)->kind != SK_KEY_CODED) return false;
    return sk_spec_turned(spec) || spec->tier[tier_slot].nseg > 1;
}

/* W tokens as they are coded to `turned`. */
static void rebuild_coded(const sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                          sk_val set, sk_val t)
{
    for (sk_key_part key = {0}; sk_coded_next(c->spec, tier_slot, &key);) {
        sk_dec part, *p = &part;
        const sk_seg_layout at = sk_coded_open(c, &key, lay, p);
        sk_rebuild_at k = sk_rebuild_begin(p, key.slot, &at, page, set, t);
        if (at.spans == 1) k.radius = sk_unpack_radii(p, k.seg, &at, page, p->zero, t);
        const sk_val d0 = sk_ir_for(p->b, p->zero, sk_k(p, p->d), p->w), to = sk_mul(p, d0, p->w * 4);
        for (uint32_t i = 0; i < p->w; i++)
            sk_ir_stv(p->b, p->turned, to, (p->vdim0 + i) * p->w * 4,
                      sk_rebuild_dim(p, &k, d0, i, p->w));
        sk_ir_end(p->b);
    }
}

void sk_part_turn_back(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                       sk_val set, sk_val t, sk_val to)
{
    sk_builder *b = c->b;
    const bool matrix = (c->spec->book & SPHKV_BOOK_TRANSFORM) != 0;
    const bool signs = (c->spec->book & SPHKV_BOOK_HADAMARD) != 0;
    const uint32_t mean = sk_codebook_mean_off(c->spec);
    rebuild_coded(c, tier_slot, lay, page, set, t);
    if (signs) sk_hadamard_vectors(b, c->turned, c->d, c->w);
    const sk_val field =
        matrix || signs ? sk_ir_ptr_add(b, set, sk_k(c, sk_codebook_transform_off(c->spec)), 1) : SK_NONE;
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), SK_TRANSFORM_ROWS);
    sk_val from[SK_TRANSFORM_ROWS], row[SK_TRANSFORM_ROWS], x[SK_TRANSFORM_ROWS];
    for (uint32_t i = 0; i < SK_TRANSFORM_ROWS; i++) {
        from[i] = sk_add(c, d0, sk_k(c, i));
        if (c->spec->book & SPHKV_BOOK_PERMUTATION)
            from[i] = sk_ir_ldu(b, SK_LD_U32, c->where, sk_mul(c, d0, 4), i * 4);
        row[i] = matrix ? sk_ir_ptr_add(b, field, from[i], c->d * 4) : SK_NONE;
    }
    if (matrix) sk_transform_sums(b, c->turned, c->d, c->w, row, 4, x);
    for (uint32_t i = 0; i < SK_TRANSFORM_ROWS; i++) {
        if (!matrix) x[i] = sk_ir_ldv(b, SK_LD_F32, c->turned, sk_mul(c, from[i], c->w * 4), 0);
        if (signs)
            x[i] = sk_ir_2(b, SK_OP_FMUL, x[i],
                           sk_ir_ldu(b, SK_LD_F32, field, sk_mul(c, from[i], 4), 0));
        if (mean != SK_NO_FIELD)
            x[i] = sk_ir_2(b, SK_OP_FADD, x[i],
                           sk_ir_ldu(b, SK_LD_F32, set, sk_mul(c, d0, 4), mean + i * 4));
        sk_ir_stv(b, c->keys, sk_add(c, to, sk_mul(c, d0, 64)), i * 64, x[i]);
    }
    sk_ir_end(b);
}
