/* part_probs.c - see part_probs.h. Four vectors of bytes, or two of 16 bits, are
 * merged by shifts, and one look-up puts their tokens in order: fewer shuffles than
 * packs that saturate inside of 16 bytes. Sums are taken of what was packed, by dot
 * products with ones: they are the sums of what is multiplied. */
#include "part_probs.h"

#include <math.h>

sk_probs sk_probs_of(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const uint32_t value = spec->tier[tier_slot].value;
    const bool whole = sk_dec_value_pairs(spec, tier_slot);
    if (spec->accuracy == SPHKV_EXACT) return SK_PROBS_F32;
    switch (sched->v[SK_T_prob]) {
    case SK_PROB_I16: return whole ? SK_PROBS_I16 : SK_PROBS_F32;
    case SK_PROB_U16: return whole ? SK_PROBS_U16 : SK_PROBS_F32;
    case SK_PROB_U8:
        if (spec->accuracy != SPHKV_FAST) return SK_PROBS_F32;
        if (value == SK_VAL_F16 || value == SK_VAL_BF16)
            return sched->v[SK_T_w] == 16 ? SK_PROBS_BF16 : SK_PROBS_F32;
        return whole ? SK_PROBS_U8 : SK_PROBS_F32;
    case SK_PROB_U7:
        if (spec->accuracy != SPHKV_FAST || !whole) return SK_PROBS_F32;
        return value == SK_VAL_I4 ? SK_PROBS_U8 : SK_PROBS_U7;
    default: return SK_PROBS_F32;
    }
}

bool sk_probs_dots(sk_probs form) { return form >= SK_PROBS_U8; }

/* Dots of bytes and picks from 64 of them of 16 lanes; of fewer, dots, or what adds pairs
 * in 16 bits. */
bool sk_probs_run(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot,
                  const sk_target *target)
{
    const uint32_t wide = SK_CPU_AVX512 | SK_CPU_VBMI | SK_CPU_VNNI, has = target->features;
    if (!sk_probs_dots(sk_probs_of(spec, sched, tier_slot))) return true;
    if (sched->v[SK_T_vch] % 16 != 0) return false;
    if (sched->v[SK_T_prob] == SK_PROB_U7) return has & (SK_CPU_SSE41 | SK_CPU_AVX2 | SK_CPU_AVX512);
    if (sched->v[SK_T_w] == 16) return (has & wide) == wide;
    return sched->v[SK_T_prob] == SK_PROB_U8 && has & (SK_CPU_VNNI | SK_CPU_AVXVNNI | SK_CPU_DOTPROD);
}

bool sk_probs_of_logits(const sk_dec *c, sk_probs form)
{
    return (form == SK_PROBS_U8 || form == SK_PROBS_U16) && c->w == 16;
}

uint32_t sk_probs_one(sk_probs form)
{
    switch (form) {
    case SK_PROBS_I16:
    case SK_PROBS_U16: return 32767;
    case SK_PROBS_U8: return 255;
    case SK_PROBS_U7: return 127;
    default: return 0;
    }
}

int32_t sk_probs_scale(const sk_spec *spec, uint32_t tier_slot, sk_probs form)
{
    return form == SK_PROBS_BF16 && spec->tier[tier_slot].value == SK_VAL_F16 ? 100 : 0;
}

/* Halves lose 0 to 7 of the 1024 to 2047 of their fraction where they are cut to
 * bfloat16: 3.5 on the average, of 1420 (log-uniform). */
float sk_probs_unit(const sk_spec *spec, uint32_t tier_slot, sk_probs form)
{
    const uint32_t one = sk_probs_one(form);
    if (one) return 1.0f / (float)one;
    const int32_t scale = sk_probs_scale(spec, tier_slot, form);
    return scale ? ldexpf(1.0f + 3.5f / 1420, 112 - scale) : 1.0f;
}

uint32_t sk_probs_step(const sk_spec *spec, uint32_t tier_slot, sk_probs form)
{
    if (!sk_probs_dots(form)) return sk_dec_value_pairs(spec, tier_slot) ? 2 : 1;
    return form == SK_PROBS_BF16 ? 2 : spec->tier[tier_slot].value == SK_VAL_I4 ? 8 : 4;
}

uint32_t sk_probs_vectors(sk_probs form)
{
    return form == SK_PROBS_F32 ? 1 : form == SK_PROBS_I16 || form == SK_PROBS_BF16 ? 2 : 4;
}

uint32_t sk_probs_row_bytes(const sk_dec *c, sk_probs form)
{
    return c->tp * 4 / sk_probs_vectors(form);
}

uint32_t sk_probs_planes(sk_probs form) { return form == SK_PROBS_U16 ? 2 : 1; }

/* ---- packing -------------------------------------------------------------------- */

/* x | y << n */
static sk_val above(sk_dec *c, sk_val x, sk_val y, uint32_t n) { return sk_or(c, x, sk_shl(c, y, n)); }

/* Lane L's four bytes of a look-up that puts bytes in order: tokens 4L .. 4L+3 are
 * in lanes 4 (L mod W/4) .. + 3 of vector v = L / (W/4); `at`: bytes to the first
 * lane of that vector, a value of v; 4 bytes a lane. */
static sk_val byte_order(sk_dec *c, sk_val at)
{
    const sk_val first = sk_add(c, sk_shl(c, sk_and(c, c->lane, c->w / 4 - 1), 4), at);
    return sk_add(c, sk_mul(c, first, 0x01010101u), sk_k(c, 0x0c080400u));
}

sk_probs_packed sk_probs_bytes(sk_dec *c, sk_val words)
{
    const sk_val v = sk_shr(c, c->lane, (uint32_t)__builtin_ctz(c->w / 4));
    return (sk_probs_packed){{sk_ir_2(c->b, SK_OP_PERM8, words, byte_order(c, v)), SK_NONE}};
}

/* What stands for 1 at most: where logits are large, the step from 1 to it is below what
 * their difference is rounded to, and more would be in the neighbour's bits. */
static sk_val at_most(sk_dec *c, sk_probs form, sk_val p)
{
    return sk_ir_2k(c->b, SK_OP_UMIN, p, sk_probs_one(form));
}

static sk_probs_packed pack_bytes(sk_dec *c, sk_probs form, const sk_val *from)
{
    sk_val p[4];
    for (uint32_t k = 0; k < 4; k++) p[k] = at_most(c, form, from[k]);
    const sk_val low = above(c, p[0], p[1], 8), high = above(c, p[2], p[3], 8);
    return sk_probs_bytes(c, above(c, low, high, 16));
}

/* Vectors 0, 1 share the words of one vector and 2, 3 of another, 4W bytes behind. */
sk_probs_packed sk_probs_halves(sk_dec *c, sk_val low, sk_val high)
{
    const sk_val v = sk_shr(c, c->lane, (uint32_t)__builtin_ctz(c->w / 4));
    const sk_val at = sk_add(c, sk_shl(c, sk_and(c, v, 1), 1), sk_mul(c, sk_shr(c, v, 1), 4 * c->w));
    sk_probs_packed r;
    for (uint32_t k = 0; k < 2; k++)
        r.plane[k] = sk_ir_3(c->b, SK_OP_PERM8X2, low, high, byte_order(c, sk_add(c, at, sk_k(c, 1 - k))));
    return r;
}

static sk_probs_packed pack_u16(sk_dec *c, const sk_val *from)
{
    sk_val p[4];
    for (uint32_t k = 0; k < 4; k++) p[k] = at_most(c, SK_PROBS_U16, from[k]);
    return sk_probs_halves(c, above(c, p[0], p[1], 16), above(c, p[2], p[3], 16));
}

/* Upper halves of the floats: lane L of the merged words holds tokens L and W + L. */
static sk_probs_packed pack_bf16(sk_dec *c, const sk_val *p)
{
    sk_builder *b = c->b;
    const sk_val low = sk_shr(c, sk_ir_1(b, SK_OP_BITS, p[0]), 16);
    const sk_val both = sk_or(c, low, sk_and(c, sk_ir_1(b, SK_OP_BITS, p[1]), 0xffff0000u));
    const sk_val v = sk_shr(c, c->lane, (uint32_t)__builtin_ctz(c->w / 2));
    const sk_val first = sk_add(c, sk_shl(c, sk_and(c, c->lane, c->w / 2 - 1), 2), v);
    const sk_val order = sk_add(c, sk_mul(c, first, 0x00010001u), sk_k(c, 0x00020000u));
    return (sk_probs_packed){{sk_ir_2(b, SK_OP_PERM16, both, order), SK_NONE}};
}

sk_probs_packed sk_probs_pack(sk_dec *c, sk_probs form, const sk_val *p)
{
    switch (form) {
    case SK_PROBS_I16: return (sk_probs_packed){{sk_ir_2(c->b, SK_OP_PACK16, p[0], p[1]), SK_NONE}};
    case SK_PROBS_U8:
    case SK_PROBS_U7: return pack_bytes(c, form, p);
    case SK_PROBS_U16: return pack_u16(c, p);
    case SK_PROBS_BF16: return pack_bf16(c, p);
    default: return (sk_probs_packed){{p[0], SK_NONE}};
    }
}

/* ---- rows ----------------------------------------------------------------------- */

static sk_val row_offset(sk_dec *c, sk_probs form, sk_val t0)
{
    return sk_shl(c, t0, 2 - (uint32_t)__builtin_ctz(sk_probs_vectors(form)));
}

void sk_probs_put(sk_dec *c, sk_probs form, const sk_probs_packed *x, sk_val rows, sk_val t0,
                  uint32_t disp)
{
    const uint32_t plane = c->h * sk_probs_row_bytes(c, form);
    for (uint32_t k = 0; k < sk_probs_planes(form); k++)
        sk_ir_stv(c->b, rows, row_offset(c, form, t0), disp + k * plane, x->plane[k]);
}

/* ---- sums ------------------------------------------------------------------------ */

static bool sums_float(sk_probs form) { return form == SK_PROBS_F32 || form == SK_PROBS_BF16; }

void sk_probs_sum_begin(sk_dec *c, sk_probs form, sk_val sum[2])
{
    for (uint32_t k = 0; k < sk_probs_planes(form); k++)
        sum[k] = sk_ir_var(c->b, SK_LANE, sums_float(form) ? sk_ir_f32(c->b, 0.0f) : c->zero);
}

/* x times ones, added to sum */
static sk_val plus(sk_dec *c, sk_probs form, sk_val sum, sk_val x)
{
    switch (form) {
    case SK_PROBS_F32: return sk_ir_2(c->b, SK_OP_FADD, sum, x);
    case SK_PROBS_I16: return sk_ir_3(c->b, SK_OP_DOT2, sum, x, sk_k(c, 0x00010001u));
    case SK_PROBS_BF16: return sk_ir_3(c->b, SK_OP_BDOT2, sum, x, sk_k(c, 0x3f803f80u));
    default: return sk_ir_dot4us(c->b, sum, x, sk_k(c, 0x01010101u));
    }
}

void sk_probs_sum(sk_dec *c, sk_probs form, const sk_probs_packed *x, const sk_val sum[2])
{
    for (uint32_t k = 0; k < sk_probs_planes(form); k++)
        sk_ir_set(c->b, sum[k], plus(c, form, sk_ir_get(c->b, sum[k]), x->plane[k]));
}

sk_val sk_probs_sum_end(sk_dec *c, sk_probs form, const sk_val sum[2])
{
    sk_builder *b = c->b;
    sk_val all = sk_ir_get(b, sum[0]);
    if (sums_float(form)) return sk_ir_1(b, SK_OP_RED_FADD, all);
    if (form == SK_PROBS_U16) all = sk_add(c, sk_shl(c, all, 8), sk_ir_get(b, sum[1]));
    return sk_ir_1(b, SK_OP_I2F, sk_ir_1(b, SK_OP_RED_UADD, all));
}
