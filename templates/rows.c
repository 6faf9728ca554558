/* rows.c - see rows.h. Lanes of consecutive vectors are brought together by
 * shuffles; a 32-bit word is always written by one lane. */
#include "rows.h"

#include <string.h>

sk_ld_kind sk_rows_key_kind(uint32_t key_kind)
{
    switch (key_kind) {
    case SK_KEY_F32: return SK_LD_F32;
    case SK_KEY_F16: return SK_LD_F16;
    case SK_KEY_BF16: return SK_LD_BF16;
    default: return SK_LD_KINDS;
    }
}

bool sk_rows_float_keys(const sk_tier *tier)
{
    for (uint32_t s = 0; s < tier->nseg; s++)
        if (sk_rows_key_kind(tier->seg[s].kind) == SK_LD_KINDS) return false;
    return true;
}

sk_ld_kind sk_rows_value_kind(uint32_t value_kind)
{
    switch (value_kind) {
    case SK_VAL_F32: return SK_LD_F32;
    case SK_VAL_F16: return SK_LD_F16;
    case SK_VAL_BF16: return SK_LD_BF16;
    default: return SK_LD_KINDS;
    }
}

sk_ld_kind sk_rows_input_kind(uint32_t dtype)
{
    return dtype == SPHKV_F32 ? SK_LD_F32 : dtype == SPHKV_F16 ? SK_LD_F16 : SK_LD_BF16;
}

/* Its bits put under the sign and the low end of the exponent of an f32 are 2^-120
 * of the number, subnormals included. */
sk_val sk_rows_float8(sk_builder *b, sk_val code)
{
    const sk_val up = sk_ir_2k(b, SK_OP_SHL, code, 20);
    const sk_val bits = sk_ir_2k(b, SK_OP_AND, up, 0x87f00000u);
    return sk_ir_2(b, SK_OP_FMUL, sk_ir_1(b, SK_OP_FLOAT, bits), sk_ir_f32(b, 0x1p120f));
}

/* From 2^-6 on by adding half of what is cut off, less one where the bit that stays
 * last is even; below in steps of 2^-9, of which the eighth is the first normal number. */
sk_val sk_rows_float8_code(sk_builder *b, sk_val x)
{
    const sk_val low = sk_ir_2(b, SK_OP_FMAX, sk_ir_1(b, SK_OP_FABS, x), sk_ir_f32(b, 0.0f));
    const sk_val size = sk_ir_2(b, SK_OP_FMIN, low, sk_ir_f32(b, (float)SK_FLOAT8_TOP));
    const sk_val bits = sk_ir_1(b, SK_OP_BITS, size);
    const sk_val last = sk_ir_2k(b, SK_OP_AND, sk_ir_2k(b, SK_OP_SHR, bits, 20), 1);
    const sk_val up = sk_ir_2k(b, SK_OP_ADD, sk_ir_2(b, SK_OP_ADD, bits, last), 0x7ffff);
    const sk_val normal = sk_ir_2k(b, SK_OP_SUB, sk_ir_2k(b, SK_OP_SHR, up, 20), 120 << 3);
    const sk_val small = sk_ir_1(b, SK_OP_F2I, sk_ir_2(b, SK_OP_FMUL, size, sk_ir_f32(b, 0x1p9f)));
    const sk_val is_small = sk_ir_2(b, SK_OP_FLT, size, sk_ir_f32(b, 0x1p-6f));
    const sk_val code = sk_ir_3(b, SK_OP_SELECT, is_small, small, normal);
    const sk_val sign = sk_ir_2k(b, SK_OP_SRA, sk_ir_1(b, SK_OP_BITS, x), 31);
    return sk_ir_2(b, SK_OP_OR, code, sk_ir_2k(b, SK_OP_AND, sign, 0xffffff80u));
}

/* Even (odd) elements of the sequence x, y: lane i < W/2 from x, the rest from y. */
static sk_val every_second(sk_builder *b, uint32_t w, sk_val x, sk_val y, uint32_t odd)
{
    const sk_val lane = sk_ir_lane(b);
    const sk_val twice = sk_ir_2k(b, SK_OP_SHL, lane, 1);
    const sk_val from = sk_ir_2k(b, SK_OP_ADD, twice, odd);
    const sk_val low = sk_ir_2k(b, SK_OP_ULT, lane, w / 2);
    const sk_val a = sk_ir_2(b, SK_OP_SHUFFLE, x, from);
    const sk_val c = sk_ir_2(b, SK_OP_SHUFFLE, y, from);
    return sk_ir_3(b, SK_OP_SELECT, low, a, c);
}

sk_val sk_rows_pack16(sk_builder *b, sk_ld_kind kind, uint32_t w, sk_val x, sk_val y)
{
    const sk_val even = every_second(b, w, x, y, 0);
    const sk_val odd = every_second(b, w, x, y, 1);
    return sk_ir_2(b, kind == SK_LD_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16, even, odd);
}

/* Two numbers of `bits`, in the low and in the high half of a word, side by side. */
static sk_val close_up_pair(sk_builder *b, sk_val x, uint32_t bits)
{
    const sk_val low = sk_ir_2k(b, SK_OP_AND, x, (1u << bits) - 1);
    const sk_val down = sk_ir_2k(b, SK_OP_SHR, x, 16 - bits);
    const sk_val high = sk_ir_2k(b, SK_OP_AND, down, ((1u << bits) - 1) << bits);
    return sk_ir_2(b, SK_OP_OR, low, high);
}

/* And sign-extended to 32 bits: so a saturating pack leaves them as they are. */
static sk_val close_up(sk_builder *b, sk_val x, uint32_t bits)
{
    const sk_val both = close_up_pair(b, x, bits);
    const sk_val up = sk_ir_2k(b, SK_OP_SHL, both, 16);
    return sk_ir_2k(b, SK_OP_SRA, up, 16);
}

sk_val sk_rows_quads(sk_builder *b, const sk_val x[4], uint32_t bits)
{
    sk_val half[2];
    for (uint32_t k = 0; k < 2; k++)
        half[k] = close_up(b, sk_ir_2(b, SK_OP_PACK16, x[2 * k], x[2 * k + 1]), bits);
    const sk_val all = sk_ir_2(b, SK_OP_PACK16, half[0], half[1]);
    return bits == 8 ? all : close_up_pair(b, all, 2 * bits);
}

sk_val sk_rows_pack8(sk_builder *b, const sk_val x[4]) { return sk_rows_quads(b, x, 8); }

sk_val sk_rows_pack4(sk_builder *b, const sk_val x[8])
{
    sk_val half[2];
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val bytes = sk_rows_pack8(b, x + 4 * k);
        /* nibbles of a pair of bytes, in either half of the word */
        const sk_val close = sk_ir_2(b, SK_OP_OR, bytes, sk_ir_2k(b, SK_OP_SHR, bytes, 4));
        half[k] = close_up(b, close, 8);
    }
    return sk_ir_2(b, SK_OP_PACK16, half[0], half[1]);
}

void sk_rows_interleave(sk_builder *b, uint32_t w, sk_val x[2])
{
    const sk_val even = x[0], odd = x[1], lane = sk_ir_lane(b);
    const sk_val second = sk_ir_2(b, SK_OP_NE, sk_ir_2k(b, SK_OP_AND, lane, 1), sk_ir_u32(b, 0));
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val half = sk_ir_2k(b, SK_OP_SHR, lane, 1);
        const sk_val at = sk_ir_2k(b, SK_OP_ADD, half, k * w / 2);
        x[k] = sk_ir_3(b, SK_OP_SELECT, second, sk_ir_2(b, SK_OP_SHUFFLE, odd, at),
                       sk_ir_2(b, SK_OP_SHUFFLE, even, at));
    }
}

sk_status sk_rows_entry(sk_builder *b, const sk_spec *spec, uint32_t w, uint32_t warps,
                        sk_arena *arena, const char *entry, sk_err *err)
{
    sk_text symbol = {0};
    sk_spec_symbol(spec, &symbol);
    if (*entry) sk_text_printf(&symbol, "_%s", entry);
    const bool ok = !symbol.failed;
    if (ok) sk_ir_begin(b, arena, symbol.s, w, warps);
    sk_text_free(&symbol);
    return ok ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "out of memory");
}

sk_status sk_rows_begin(sk_builder *b, const sk_spec *spec, const sk_schedule *sched,
                        sk_arena *arena, const char *entry, sk_err *err)
{
    const uint32_t warps = sched->v[SK_T_warps] ? (uint32_t)sched->v[SK_T_warps] : 1;
    const sk_status st = sk_rows_entry(b, spec, (uint32_t)sched->v[SK_T_w], warps, arena, entry, err);
    /* 512 threads a multiprocessor, 128 registers each: left alone, compilers keep to fewer
     * registers for the sake of more threads and spill some */
    if (st == SPHKV_OK && sched->backend == SK_BACKEND_CUDA)
        sk_ir_occupancy(b, warps < 16 ? 16 / warps : 1);
    return st;
}

int32_t sk_rows_default_width(const sk_target *target) { return target->vector_bits >= 256 ? 8 : 4; }

void sk_rows_only_width(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec;
    out->v[SK_T_w] = sk_rows_default_width(target);
}

sk_status sk_rows_valid(const sk_spec *spec, const sk_schedule *sched, const sk_target *target,
                        sk_err *err)
{
    (void)spec;
    return sk_rows_width(sched, target, err);
}

sk_status sk_rows_width(const sk_schedule *sched, const sk_target *target, sk_err *err)
{
    const uint32_t w = (uint32_t)sched->v[SK_T_w];
    if (w <= 8 || w * 32 <= target->vector_bits) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "w=%u: the target has %u-bit vectors", w,
                   target->vector_bits);
}

sk_status sk_rows_supported(const sk_spec *spec, const char *kernel, sk_err *err)
{
    if (spec->d % 16 != 0 || spec->dv % 16 != 0)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "%s: head dims %u/%u (multiples of 16 only)", kernel,
                       spec->d, spec->dv);
    if (spec->page % 16 != 0)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "%s: pages of %u tokens (multiples of 16 only)",
                       kernel, spec->page);
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        const sk_tier *tier = &spec->tier[i];
        for (uint32_t s = 0; s < tier->nseg; s++) {
            if (tier->seg[s].dims % 16 != 0)
                return sk_fail(err, SPHKV_EUNSUPPORTED,
                               "%s: a segment of %u dimensions (multiples of 16 only)", kernel,
                               tier->seg[s].dims);
        }
    }
    return SPHKV_OK;
}
