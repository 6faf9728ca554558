/* encode_float8.c - keys and values of a dense page as e4m3fn, kf8 and vf8: one f16
 * scale per page, the largest magnitude over 448. A first sweep finds the scale as it
 * is stored, a second one the codes against that. The largest is found with the new
 * one first: a NaN then counts for nothing, and its token alone suffers. */
#include "encode.h"

#define F8_TOP SK_FLOAT8_TOP

/* Elements of a field in memory order, rows of 16: vector x of W of them from row
 * `row` on. What a row and its elements are is the field's affair. */
typedef sk_val load_rows(sk_enc *c, sk_val row, uint32_t x);

/* Rows of values are tokens of 16 channels, block by block. */
static sk_val load_value_rows(sk_enc *c, sk_val row, uint32_t x)
{
    const sk_val token = sk_op2(c, SK_OP_UREM, row, sk_u32(c, c->dst.tp));
    return sk_encode_load_values(c, sk_times(c, row, 16), token, x);
}

/* Rows of keys are dimensions of 16 tokens, 16 tokens by 16 tokens; of a segment they are
 * not all of the source's. */
static sk_val load_key_rows(sk_enc *c, sk_val row, uint32_t x)
{
    const sk_ld_kind from = c->from_kind;
    const uint32_t es = sk_ld_bytes(from), d = c->to->dims;
    const sk_val in_row = sk_opk(c, SK_OP_ADD, c->lane, x * c->w);
    const sk_val here = sk_op2(c, SK_OP_ADD, row, sk_opk(c, SK_OP_SHR, in_row, 4));
    const sk_val block = sk_op2(c, SK_OP_UDIV, here, sk_u32(c, d));
    const sk_val token =
        sk_op2(c, SK_OP_ADD, sk_times(c, block, 16), sk_opk(c, SK_OP_AND, in_row, 15));
    sk_val at = row;
    if (c->from->dims > d) {
        const sk_val others = sk_times(c, sk_opk(c, SK_OP_UDIV, row, d), c->from->dims - d);
        at = sk_op2(c, SK_OP_ADD, sk_opk(c, SK_OP_ADD, row, c->to->dim0 - c->from->dim0), others);
    }
    const sk_val k = sk_ir_ldv(c->b, from, c->src_page, sk_times(c, at, 16 * es),
                               c->from->key_off + x * c->w * es);
    return sk_encode_masked(c, token, k);
}

/* Rows taken at once: a vector of words is 4 W elements. */
static uint32_t rows_of(const sk_enc *c) { return 4 * c->w / 16; }

/* The largest of all warps'; red: this field's part of the scratch for it. */
static sk_val most_of_block(sk_enc *c, sk_val most, sk_val red)
{
    sk_builder *b = c->b;
    if (!c->gpu) return most;
    sk_ir_stu(b, sk_ir_ptr_add(b, red, sk_ir_0(b, SK_OP_WARP, 0), 4), c->zero, 0, most);
    sk_enc_sync(c);
    most = sk_ir_f32(b, 0.0f);
    for (uint32_t i = 0; i < b->program->warps; i++)
        most = sk_op2(c, SK_OP_FMAX, most, sk_ir_ldu(b, SK_LD_F32, red, c->zero, i * 4));
    return most;
}

/* The scale of all elements, stored at byte `off`; its inverse returned. */
static sk_val float8_scale(sk_enc *c, load_rows *load, uint32_t rows, uint32_t off, sk_val red)
{
    sk_builder *b = c->b;
    sk_val bits;
    const sk_val most = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val row = sk_enc_turns(c, rows, rows_of(c));
    for (uint32_t x = 0; x < 4; x++) {
        const sk_val v = sk_ir_1(b, SK_OP_FABS, load(c, row, x));
        sk_ir_set(b, most, sk_op2(c, SK_OP_FMAX, v, sk_ir_get(b, most)));
    }
    sk_ir_end(b);
    const sk_val all = most_of_block(c, sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, most)), red);
    const sk_val inv = sk_encode_scale(c, all, F8_TOP, &bits);
    if (c->gpu) sk_ir_if(b, sk_op2(c, SK_OP_EQ, sk_ir_0(b, SK_OP_WARP, 0), c->zero));
    sk_ir_stu(b, c->dst_page, c->zero, off, bits);
    if (c->gpu) sk_ir_end(b);
    return inv;
}

static void float8_field(sk_enc *c, load_rows *load, uint32_t rows, uint32_t scale_off,
                         uint32_t off, sk_val red)
{
    sk_builder *b = c->b;
    const sk_val inv = float8_scale(c, load, rows, scale_off, red);
    const sk_val row = sk_enc_turns(c, rows, rows_of(c));
    sk_val q[4];
    for (uint32_t x = 0; x < 4; x++)
        q[x] = sk_rows_float8_code(b, sk_op2(c, SK_OP_FMUL, load(c, row, x), inv));
    sk_ir_stv(b, c->dst_page, sk_times(c, row, 16), off, sk_rows_pack8(b, q));
    sk_ir_end(b);
}

void sk_encode_float8_values(sk_enc *c)
{
    float8_field(c, load_value_rows, c->dst.cp / 16 * c->dst.tp, c->dst.vscale_off,
                 c->dst.value_off, c->gpu ? sk_ir_ptr_add(c->b, c->red, sk_u32(c, 32), 4) : SK_NONE);
}

void sk_encode_float8_keys(sk_enc *c)
{
    float8_field(c, load_key_rows, c->dst.tp / 16 * c->to->dims, c->to->kscale_off, c->to->key_off,
                 c->red);
}
