/* encode_values.c - values of a dense page into float values of another kind, and
 * dense keys into dense keys: elements in memory order, W at a time, packed to
 * words. Tokens beyond count become zeros, whatever the source holds there. */
#include "encode.h"

sk_val sk_encode_masked(sk_enc *c, sk_val token, sk_val x)
{
    const sk_val used = sk_op2(c, SK_OP_ULT, token, c->count);
    return sk_ir_3(c->b, SK_OP_SELECT, used, x, sk_ir_f32(c->b, 0.0f));
}

/* Stores n vectors of consecutive float elements at byte `at` + disp. */
static void store_floats(sk_enc *c, sk_ld_kind kind, sk_val at, uint32_t disp, const sk_val *x,
                         uint32_t n)
{
    const uint32_t es = sk_ld_bytes(kind);
    for (uint32_t i = 0; i < n; i += kind == SK_LD_F32 ? 1 : 2) {
        const sk_val words = kind == SK_LD_F32 ? x[i] : sk_rows_pack16(c->b, kind, c->w, x[i], x[i + 1]);
        sk_ir_stv(c->b, c->dst_page, at, disp + i * c->w * es, words);
    }
}

/* Elements taken at once: whole rows of 16, and two vectors at least. */
static uint32_t float_step(const sk_enc *c) { return 2 * c->w > 16 ? 2 * c->w : 16; }

void sk_encode_dense_keys(sk_enc *c)
{
    sk_builder *b = c->b;
    const sk_ld_kind from = c->from_kind;
    const sk_ld_kind to = sk_rows_key_kind(c->seg->kind);
    const uint32_t step = float_step(c), n = step / c->w;
    sk_val t0, d0;
    sk_enc_nest(c, c->spec->page, 16, c->to->dims, step / 16, &t0, &d0);
    const sk_val e = sk_op2(c, SK_OP_ADD, sk_times(c, t0, c->to->dims), sk_times(c, d0, 16));
    const sk_val at = sk_encode_from(c, t0, d0, e);
    sk_val x[8];
    for (uint32_t i = 0; i < n; i++) {
        const sk_val col = sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_ADD, c->lane, i * c->w), 15);
        x[i] = sk_ir_ldv(b, from, c->src_page, sk_times(c, at, sk_ld_bytes(from)),
                         c->from->key_off + i * c->w * sk_ld_bytes(from));
        x[i] = sk_encode_masked(c, sk_op2(c, SK_OP_ADD, t0, col), x[i]);
    }
    store_floats(c, to, sk_times(c, e, sk_ld_bytes(to)), c->to->key_off, x, n);
    sk_enc_nest_end(c);
}

sk_val sk_encode_load_values(sk_enc *c, sk_val e, sk_val t0, uint32_t x)
{
    const sk_ld_kind from = sk_rows_value_kind(c->spec->tier[1].value);
    const uint32_t es = sk_ld_bytes(from);
    const sk_val v = sk_ir_ldv(c->b, from, c->src_page, sk_times(c, e, es),
                               c->src.value_off + x * c->w * es);
    sk_val token = sk_opk(c, SK_OP_ADD, t0, x * c->w / 16);
    if (c->w > 16) token = sk_op2(c, SK_OP_ADD, token, sk_opk(c, SK_OP_SHR, c->lane, 4));
    return sk_encode_masked(c, token, v);
}

static void float_values(sk_enc *c)
{
    const sk_ld_kind to = sk_rows_value_kind(c->spec->tier[0].value);
    const uint32_t step = float_step(c), n = step / c->w;
    sk_val c0, t0;
    sk_enc_nest(c, c->dst.cp, 16, c->dst.tp, step / 16, &c0, &t0);
    const sk_val e = sk_op2(c, SK_OP_ADD, sk_times(c, c0, c->dst.tp), sk_times(c, t0, 16));
    sk_val x[8];
    for (uint32_t i = 0; i < n; i++) x[i] = sk_encode_load_values(c, e, t0, i);
    store_floats(c, to, sk_times(c, e, sk_ld_bytes(to)), c->dst.value_off, x, n);
    sk_enc_nest_end(c);
}

/* ---- integers and their scales ------------------------------------------ */

sk_val sk_encode_inverse(sk_enc *c, sk_val bits, sk_val zero)
{
    const sk_val stored = sk_ir_1(c->b, SK_OP_F16LO, bits);
    const sk_val some = sk_op2(c, SK_OP_ULT, c->zero, bits); /* a CPU compares halves one by one */
    return sk_pick(c, some, sk_op2(c, SK_OP_FDIV, sk_ir_f32(c->b, 1.0f), stored), zero);
}

sk_val sk_encode_scale(sk_enc *c, sk_val most, uint32_t top, sk_val *bits)
{
    sk_builder *b = c->b;
    const sk_val zero = sk_ir_f32(b, 0.0f);
    sk_val exact = sk_op2(c, SK_OP_FDIV, most, sk_ir_f32(b, (float)top));
    exact = sk_op2(c, SK_OP_FMIN, exact, sk_ir_f32(b, 65504.0f)); /* f32 and bf16 reach further */
    *bits = sk_op2(c, SK_OP_PACKF16, exact, zero);
    return sk_encode_inverse(c, *bits, zero);
}

sk_val sk_encode_nearest(sk_enc *c, sk_val x, uint32_t low, uint32_t top)
{
    const sk_val cut = sk_op2(c, SK_OP_FMIN, sk_ir_f32(c->b, (float)top), x);
    return sk_opk(c, SK_OP_SMAX, sk_ir_1(c->b, SK_OP_F2I, cut), low);
}

sk_val sk_encode_code(sk_enc *c, sk_val v, sk_val inv, uint32_t top)
{
    return sk_encode_nearest(c, sk_op2(c, SK_OP_FMUL, v, inv), 0 - top, top);
}

void sk_encode_values(sk_enc *c)
{
    if (sk_rows_value_kind(c->spec->tier[0].value) == SK_LD_KINDS)
        sk_encode_coded_values(c);
    else
        float_values(c);
}
