/* transform.c - see transform.h. Three strides at once stay in registers. Additions are
 * those of the textbook, whatever the lanes and however many strides are taken together,
 * so every width gives the same bits. */
#include "transform.h"

static sk_val u32(sk_builder *b, uint32_t x) { return sk_ir_u32(b, x); }

/* Strides s, 2s ... of `many` vectors that stand s apart, once for all i and k. */
static void pass(sk_builder *b, sk_val base, uint32_t n, uint32_t w, uint32_t s, uint32_t many)
{
    sk_val x[8];
    const sk_val i = sk_ir_for(b, u32(b, 0), u32(b, n), s * many);
    const sk_val k = sk_ir_for(b, u32(b, 0), u32(b, s), 1);
    const sk_val at = sk_ir_2k(b, SK_OP_MUL, sk_ir_2(b, SK_OP_ADD, i, k), w * 4);
    for (uint32_t m = 0; m < many; m++) x[m] = sk_ir_ldv(b, SK_LD_F32, base, at, m * s * w * 4);
    for (uint32_t far = 1; far < many; far *= 2)
        for (uint32_t m = 0; m < many; m++) {
            if (m & far) continue;
            const sk_val low = x[m], high = x[m | far];
            x[m] = sk_ir_2(b, SK_OP_FADD, low, high);
            x[m | far] = sk_ir_2(b, SK_OP_FSUB, low, high);
        }
    for (uint32_t m = 0; m < many; m++) sk_ir_stv(b, base, at, m * s * w * 4, x[m]);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_hadamard_vectors(sk_builder *b, sk_val base, uint32_t n, uint32_t w)
{
    for (uint32_t s = 1; s < n;) {
        const uint32_t many = n / s < 8 ? n / s : 8;
        pass(b, base, n, w, s, many);
        s *= many;
    }
}

/* Strides of less than a vector of each of its vectors, `all` numbers. */
static void lane_passes(sk_builder *b, sk_val base, uint32_t all, uint32_t w, uint32_t apart)
{
    const sk_val lane = sk_ir_lane(b);
    const sk_val i = sk_ir_for(b, u32(b, 0), u32(b, all), w), at = sk_ir_2k(b, SK_OP_MUL, i, 4);
    sk_val x = sk_ir_ldv(b, SK_LD_F32, base, at, 0);
    for (uint32_t s = apart; s < w; s *= 2) {
        const sk_val other = sk_ir_2(b, SK_OP_SHUFFLE, x, sk_ir_2k(b, SK_OP_XOR, lane, s));
        const sk_val low = sk_ir_2(b, SK_OP_EQ, sk_ir_2k(b, SK_OP_AND, lane, s), u32(b, 0));
        x = sk_ir_3(b, SK_OP_SELECT, low, sk_ir_2(b, SK_OP_FADD, x, other),
                    sk_ir_2(b, SK_OP_FSUB, other, x));
    }
    sk_ir_stv(b, base, at, 0, x);
    sk_ir_end(b);
}

void sk_hadamard_rows(sk_builder *b, sk_val base, uint32_t n, uint32_t w, uint32_t apart)
{
    if (apart < w) lane_passes(b, base, n * apart, w, apart);
    if (n * apart > w) sk_hadamard_vectors(b, base, n * apart / w, w);
}

void sk_transform_sums(sk_builder *b, sk_val base, uint32_t d, uint32_t w, const sk_val *row,
                       uint32_t step, sk_val *sum)
{
    sk_val var[SK_TRANSFORM_ROWS];
    for (uint32_t r = 0; r < SK_TRANSFORM_ROWS; r++)
        var[r] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val i = sk_ir_for(b, u32(b, 0), u32(b, d), 1);
    const sk_val x = sk_ir_ldv(b, SK_LD_F32, base, sk_ir_2k(b, SK_OP_MUL, i, w * 4), 0);
    const sk_val off = sk_ir_2k(b, SK_OP_MUL, i, step);
    for (uint32_t r = 0; r < SK_TRANSFORM_ROWS; r++)
        sk_ir_set(b, var[r], sk_ir_3(b, SK_OP_FMA, x, sk_ir_ldu(b, SK_LD_F32, row[r], off, 0),
                                     sk_ir_get(b, var[r])));
    sk_ir_end(b);
    for (uint32_t r = 0; r < SK_TRANSFORM_ROWS; r++) sum[r] = sk_ir_get(b, var[r]);
}
