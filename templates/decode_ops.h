/* decode_ops.h - the IR's ops in the few letters that all parts of attention use. It is the
 * end of decode.h, which declares what they take: nobody else includes it. */
#ifndef SK_DECODE_OPS_H
#define SK_DECODE_OPS_H

static inline sk_val sk_k(sk_dec *c, uint32_t x) { return sk_ir_u32(c->b, x); }
static inline sk_val sk_add(sk_dec *c, sk_val x, sk_val y) { return sk_ir_2(c->b, SK_OP_ADD, x, y); }
static inline sk_val sk_mul(sk_dec *c, sk_val x, uint32_t y)
{
    return sk_ir_2k(c->b, SK_OP_MUL, x, y);
}
static inline sk_val sk_shr(sk_dec *c, sk_val x, uint32_t n)
{
    return sk_ir_2k(c->b, SK_OP_SHR, x, n);
}
static inline sk_val sk_shl(sk_dec *c, sk_val x, uint32_t n)
{
    return sk_ir_2k(c->b, SK_OP_SHL, x, n);
}
static inline sk_val sk_and(sk_dec *c, sk_val x, uint32_t m)
{
    return sk_ir_2k(c->b, SK_OP_AND, x, m);
}
static inline sk_val sk_or(sk_dec *c, sk_val x, sk_val y) { return sk_ir_2(c->b, SK_OP_OR, x, y); }
static inline sk_val sk_sel(sk_dec *c, sk_val p, sk_val x, sk_val y)
{
    return sk_ir_3(c->b, SK_OP_SELECT, p, x, y);
}
static inline sk_val sk_shuf(sk_dec *c, sk_val x, sk_val i)
{
    return sk_ir_2(c->b, SK_OP_SHUFFLE, x, i);
}
static inline sk_val sk_fma(sk_dec *c, sk_val x, sk_val y, sk_val z)
{
    return sk_ir_3(c->b, SK_OP_FMA, x, y, z);
}
/* ceil(count / block) * block as a value */
static inline sk_val sk_round_up(sk_dec *c, sk_val count, uint32_t block)
{
    return sk_and(c, sk_add(c, count, sk_k(c, block - 1)), ~(block - 1));
}
/* Logits of vector u of the tokens from t0 on, for head h. */
static inline void sk_store_logits(sk_dec *c, uint32_t h, sk_val t0, uint32_t u, sk_val x)
{
    const uint32_t disp = (h * c->tp + u * c->w) * 4;
    const sk_val at = sk_mul(c, t0, 4);
    if (c->plus != SK_NONE)
        x = sk_ir_2(c->b, SK_OP_FADD, x, sk_ir_ldu(c->b, SK_LD_F32, c->plus, c->zero, h * 4));
    if (c->more) x = sk_ir_2(c->b, SK_OP_FADD, x, sk_ir_ldv(c->b, SK_LD_F32, c->s, at, disp));
    sk_ir_stv(c->b, c->s, at, disp, x);
}
/* Around what one warp does for a block of several, and their barrier. */
static inline void sk_dec_one(sk_dec *c)
{
    if (c->warps > 1) sk_ir_if(c->b, sk_ir_2(c->b, SK_OP_EQ, c->warp, c->zero));
}
static inline void sk_dec_one_end(sk_dec *c)
{
    if (c->warps > 1) sk_ir_end(c->b);
}
static inline void sk_dec_barrier(sk_dec *c)
{
    if (c->warps > 1) sk_ir_barrier(c->b);
}
/* What two numbers lose when they are packed as bfloat16s, packed the same way. */
static inline sk_val sk_bf16_rest(sk_dec *c, const sk_val x[2], sk_val packed)
{
    sk_val left[2];
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val bits = k ? sk_and(c, packed, 0xffff0000u) : sk_shl(c, packed, 16);
        left[k] = sk_ir_2(c->b, SK_OP_FSUB, x[k], sk_ir_1(c->b, SK_OP_FLOAT, bits));
    }
    return sk_ir_2(c->b, SK_OP_PACKBF16, left[0], left[1]);
}
/* The key of a tier that is not taken in parts. */
static inline const sk_segment *sk_dec_seg(const sk_spec *spec, uint32_t tier_slot)
{
    return &spec->tier[tier_slot].seg[0];
}

#endif
