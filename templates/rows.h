/* rows.h - what the kernels that write rows share: dense elements as f32 vectors,
 * and streams of f32 vectors packed into smaller elements. */
#ifndef SK_ROWS_H
#define SK_ROWS_H

#include "kernel.h"

/* Element kind of a dense key or float value; SK_LD_KINDS when it is neither. */
sk_ld_kind sk_rows_key_kind(uint32_t key_kind);
sk_ld_kind sk_rows_value_kind(uint32_t value_kind);
sk_ld_kind sk_rows_input_kind(uint32_t dtype);
/* Whether all segments of a key are such elements. */
bool sk_rows_float_keys(const sk_tier *tier);

/* The number of an e4m3fn code in the low byte, sign-extended (SK_LD_S8). */
sk_val sk_rows_float8(sk_builder *b, sk_val code);
/* The nearest such code, even in doubt, cut to the largest number; NaN becomes 0. A
 * byte, sign-extended. */
#define SK_FLOAT8_TOP 448u
sk_val sk_rows_float8_code(sk_builder *b, sk_val x);

/* Two vectors of W floats, consecutive elements, as W words of 16-bit floats
 * in order: word i of the lower half is (a[2i], a[2i+1]). */
sk_val sk_rows_pack16(sk_builder *b, sk_ld_kind kind, uint32_t w, sk_val x, sk_val y);
/* Four vectors of W integers in -128..127, consecutive elements, as W words of
 * bytes in order. */
sk_val sk_rows_pack8(sk_builder *b, const sk_val x[4]);
/* The same of `bits` (up to 8) each: word i holds 4 * bits of them, the others are 0. */
sk_val sk_rows_quads(sk_builder *b, const sk_val x[4], uint32_t bits);
/* Eight vectors of W integers in 0..15, consecutive elements, as W words of
 * nibbles in order. */
sk_val sk_rows_pack4(sk_builder *b, const sk_val x[8]);

/* Two vectors of W, even and odd elements of 2W, to these in order. */
void sk_rows_interleave(sk_builder *b, uint32_t w, sk_val x[2]);

/* Begins a program of a kernel: symbol, W, warps. `entry` tells it from others of the
 * kernel; "" for the first. */
sk_status sk_rows_entry(sk_builder *b, const sk_spec *spec, uint32_t w, uint32_t warps,
                        sk_arena *arena, const char *entry, sk_err *err);
/* W and warps of the schedule; on a GPU, so many blocks as registers are best spent on. */
sk_status sk_rows_begin(sk_builder *b, const sk_spec *spec, const sk_schedule *sched,
                        sk_arena *arena, const char *entry, sk_err *err);
/* W by default, and whether the target has vectors as wide as the schedule asks. */
int32_t sk_rows_default_width(const sk_target *target);
/* default_schedule and valid of kernels whose one tunable is W. */
void sk_rows_only_width(const sk_spec *spec, const sk_target *target, sk_schedule *out);
sk_status sk_rows_valid(const sk_spec *spec, const sk_schedule *sched, const sk_target *target,
                        sk_err *err);
sk_status sk_rows_width(const sk_schedule *sched, const sk_target *target, sk_err *err);

/* What no kernel that writes rows or pages does: odd dims and pages, segments. */
sk_status sk_rows_supported(const sk_spec *spec, const char *kernel, sk_err *err);

#endif
