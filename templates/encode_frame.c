/* encode_frame.c - keys of the source as they are coded: the mean taken off, dimensions
 * permuted, and transformed where the set says so. A transform needs all of a key at once,
 * so it is applied to the page before any of it is coded: W tokens at a time, in scratch. */
#include "encode.h"
#include "transform.h"

/* The dimension of the model's key that is coded dimension d. A permutation that points
 * beyond the head reads its last dimension. */
static sk_val model_dim(sk_enc *c, sk_val d)
{
    const uint32_t order = sk_codebook_permutation_off(c->set);
    if (order == SK_NO_FIELD) return d;
    const sk_val from = sk_ir_ldu(c->b, SK_LD_U32, c->book, sk_times(c, d, 4), order);
    return sk_opk(c, SK_OP_UMIN, from, c->spec->d - 1);
}

/* Dimension `dim` of a segment s of the source, of the W tokens at t. */
static sk_val load_source(sk_enc *c, uint32_t s, sk_val dim, sk_val t, sk_val used)
{
    const sk_seg_layout *from = &c->src.seg[s];
    const sk_ld_kind kind = sk_rows_key_kind(c->spec->tier[1].seg[s].kind);
    const uint32_t es = sk_ld_bytes(kind);
    const sk_val group = sk_times(c, sk_opk(c, SK_OP_SHR, t, 4), from->dims);
    const sk_val row = sk_times(c, sk_op2(c, SK_OP_ADD, group, dim), 16 * es);
    const sk_val col = sk_times(c, sk_opk(c, SK_OP_AND, t, 15), es);
    const sk_val at = sk_op2(c, SK_OP_ADD, row, col);
    return c->gpu ? sk_ir_ldg(c->b, kind, c->src_page, at, from->key_off, used)
                  : sk_ir_ldv(c->b, kind, c->src_page, at, from->key_off);
}

/* Dimension `dim` of the model's key: which segment of the source it is in is known of
 * a segment that lies in one of them, and not permuted; else it is asked for each. */
static sk_val load_dim(sk_enc *c, sk_val dim, sk_val t, sk_val used)
{
    sk_builder *b = c->b;
    const bool inside = c->to->dim0 + c->to->dims <= c->from->dim0 + c->from->dims;
    if (c->src.nseg == 1) return load_source(c, 0, dim, t, used);
    if (inside && !sk_encode_turned(c) && sk_codebook_permutation_off(c->set) == SK_NO_FIELD)
        return load_source(c, (uint32_t)(c->from - c->src.seg),
                           sk_opk(c, SK_OP_SUB, dim, c->from->dim0), t, used);
    const sk_val x = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    for (uint32_t s = 0; s < c->src.nseg; s++) {
        const sk_val at = sk_opk(c, SK_OP_SUB, dim, c->src.seg[s].dim0);
        sk_ir_if(b, sk_opk(c, SK_OP_ULT, at, c->src.seg[s].dims));
        sk_ir_set(b, x, load_source(c, s, at, t, used));
        sk_ir_end(b);
    }
    return sk_ir_get(b, x);
}

/* Coded dimension d of the head before any transform. */
static sk_val plain_key(sk_enc *c, sk_val t0, uint32_t u, sk_val d)
{
    sk_builder *b = c->b;
    const sk_val from = model_dim(c, d);
    const uint32_t mean = sk_codebook_mean_off(c->set);
    sk_val t = sk_opk(c, SK_OP_ADD, t0, u * c->w);
    if (c->gpu) t = sk_op2(c, SK_OP_ADD, t, c->lane); /* W tokens are two rows of 16 */
    const sk_val used = sk_op2(c, SK_OP_ULT, c->gpu ? t : sk_op2(c, SK_OP_ADD, t, c->lane), c->count);
    sk_val x = load_dim(c, from, t, used);
    if (mean != SK_NO_FIELD)
        x = sk_op2(c, SK_OP_FSUB, x, sk_ir_ldu(b, SK_LD_F32, c->book, sk_times(c, from, 4), mean));
    return sk_pick(c, used, x, sk_ir_f32(b, 0.0f));
}

/* Where scratch has a vector of transformed keys: tokens t0 + u * W on, a multiple of W. */
static sk_val turned_at(sk_enc *c, sk_val t0, uint32_t u)
{
    const sk_val t = u > 0 ? sk_opk(c, SK_OP_ADD, t0, u * c->w) : t0;
    return sk_ir_ptr_add(c->b, c->turn, t, c->spec->d * 4);
}

sk_val sk_encode_load_key(sk_enc *c, sk_val t0, uint32_t u, sk_val d)
{
    if (c->to->dim0 > 0) d = sk_opk(c, SK_OP_ADD, d, c->to->dim0);
    if (!sk_encode_turned(c)) return plain_key(c, t0, u, d);
    return sk_ir_ldv(c->b, SK_LD_F32, turned_at(c, t0, u), sk_times(c, d, c->w * 4), 0);
}

/* x = T y by eight rows of T at a time: y is read anew for each, in eighths of what it
 * is multiplied. */
static void multiply(sk_enc *c, sk_val t0, sk_val to)
{
    sk_builder *b = c->b;
    const sk_val field = sk_ir_ptr_add(b, c->book, sk_u32(c, sk_codebook_transform_off(c->set)), 1);
    const sk_val i0 = sk_ir_for(b, c->zero, sk_u32(c, c->spec->d), SK_TRANSFORM_ROWS);
    sk_val sum[SK_TRANSFORM_ROWS];
    for (uint32_t r = 0; r < SK_TRANSFORM_ROWS; r++)
        sum[r] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val j = sk_ir_for(b, c->zero, sk_u32(c, c->spec->d), 1);
    const sk_val column = sk_ir_ptr_add(b, field, j, c->spec->d * 4);
    const sk_val y = plain_key(c, t0, 0, j);
    for (uint32_t r = 0; r < SK_TRANSFORM_ROWS; r++) {
        const sk_val t = sk_ir_ldu(b, SK_LD_F32, column, sk_times(c, i0, 4), r * 4);
        sk_ir_set(b, sum[r], sk_ir_3(b, SK_OP_FMA, y, t, sk_ir_get(b, sum[r])));
    }
    sk_ir_end(b);
    for (uint32_t r = 0; r < SK_TRANSFORM_ROWS; r++)
        sk_ir_stv(b, to, sk_times(c, i0, c->w * 4), r * c->w * 4, sk_ir_get(b, sum[r]));
    sk_ir_end(b);
}

static void hadamard(sk_enc *c, sk_val t0, sk_val to)
{
    sk_builder *b = c->b;
    const sk_val j = sk_ir_for(b, c->zero, sk_u32(c, c->spec->d), 1);
    const sk_val sign =
        sk_ir_ldu(b, SK_LD_F32, c->book, sk_times(c, j, 4), sk_codebook_transform_off(c->set));
    sk_ir_stv(b, to, sk_times(c, j, c->w * 4), 0,
              sk_op2(c, SK_OP_FMUL, plain_key(c, t0, 0, j), sign));
    sk_ir_end(b);
    sk_hadamard_vectors(b, to, c->spec->d, c->w);
}

void sk_encode_turn(sk_enc *c)
{
    const sk_val t0 = sk_enc_turns(c, sk_encode_tokens(c), c->w), to = turned_at(c, t0, 0);
    if (c->spec->book & SPHKV_BOOK_TRANSFORM)
        multiply(c, t0, to);
    else
        hadamard(c, t0, to);
    sk_ir_end(c->b);
    sk_enc_sync(c);
}
