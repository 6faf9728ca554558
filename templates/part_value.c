/* part_value.c - probabilities times values of one page, lanes = channels:
 *   acc[h][c] = acc[h][c] * alpha[h] + beta[h] * scale[c] * sum_t p[h][t] v[t][c]
 * V is read once for a tile of heads that fits the registers. vi8 pages in
 * pairs and vi4 pages take two tokens a step, as 16-bit pairs that are
 * multiplied as integers (prob = i16) or split to floats (the exact form).
 *
 * vi4: two tokens of 16 channels are 16 bytes; one byte look-up brings the byte
 * that holds its channel to each lane, and a mask the nibble. Odd channels keep
 * theirs where it is, as 16 times the code, and take a 16th of the scale. Codes
 * are 0..15 from the channel's minimum on: with integers the minimum enters once
 * per page, times the sum of the probabilities; floats are rebuilt token by
 * token, for where codes and minimum cancel a sum of f32 would keep too little. */
#include "part_value.h"
#include "part_vk.h"
#include "rows.h"

sk_value_form sk_value_form_of(const sk_dec *c, uint32_t tier_slot, uint32_t channels, bool i16)
{
    const uint32_t value = c->spec->tier[tier_slot].value;
    const uint32_t kind = value == SK_VAL_KEY ? SK_VAL_F32 : value; /* vals (part_vk.h) */
    sk_value_form f = {.value = kind, .kind = SK_LD_F32, .i16 = i16};
    f.pairs = sk_dec_value_pairs(c->spec, tier_slot);
    if (kind == SK_VAL_F16) f.kind = SK_LD_F16;
    if (kind == SK_VAL_BF16) f.kind = SK_LD_BF16;
    if (kind == SK_VAL_I8) f.kind = f.pairs ? SK_LD_S8X2 : SK_LD_S8;
    if (kind == SK_VAL_F8) f.kind = SK_LD_S8;
    if (kind == SK_VAL_I4) f.kind = SK_LD_U32;
    f.es = kind == SK_VAL_I4 ? 0 : f.pairs ? 2 : sk_ld_bytes(f.kind);
    f.step = kind == SK_VAL_I4 ? 16 : 16 * f.es;
    f.nv = channels / c->w;
    return f;
}

/* Place of vector x of a channel block, relative to the block. */
static uint32_t vector_disp(const sk_dec *c, const sk_value_form *f, uint32_t x)
{
    const uint32_t ch = x * c->w, tokens = f->pairs ? c->tp / 2 : c->tp;
    return ch / 16 * tokens * f->step + ch % 16 * f->es;
}

void sk_value_channels(sk_dec *c, sk_value_form *f, const sk_page_layout *lay, sk_val page,
                       sk_val c0)
{
    sk_builder *b = c->b;
    const bool four = f->value == SK_VAL_I4;
    const sk_val at = sk_mul(c, c0, 2);
    const sk_val odd = sk_ir_2(b, SK_OP_NE, sk_and(c, c->lane, 1), c->zero);
    for (uint32_t x = 0; x < f->nv; x++) {
        const uint32_t disp = x * c->w * 2;
        if (f->value == SK_VAL_F8) f->scale[x] = sk_ir_ldu(b, SK_LD_F16, page, c->zero, lay->vscale_off);
        if (f->value == SK_VAL_I8 || four)
            f->scale[x] = sk_ir_ldv(b, SK_LD_F16, page, at, lay->vscale_off + disp);
        if (four) f->least[x] = sk_ir_ldv(b, SK_LD_F16, page, at, lay->vmin_off + disp);
        sk_sizes_channels(c, f, x);
        if (!four || f->dots) continue;
        const sk_val part = sk_sel(c, odd, sk_ir_f32(b, 0x1p-4f), sk_ir_f32(b, 1.0f));
        f->scale[x] = sk_ir_2(b, SK_OP_FMUL, f->scale[x], part);
        const sk_val channel = sk_add(c, sk_add(c, c0, sk_k(c, x * c->w)), c->lane);
        const sk_val byte = sk_shr(c, sk_and(c, channel, 15), 1);
        f->pick[x] = sk_or(c, byte, sk_shl(c, sk_add(c, byte, sk_k(c, 8)), 16));
    }
    f->nibble = sk_sel(c, odd, sk_k(c, 0x00f000f0u), sk_k(c, 0x000f000fu));
}

sk_val sk_value_block(sk_dec *c, const sk_value_form *f, sk_val c0)
{
    const uint32_t tokens = f->pairs ? c->tp / 2 : c->tp;
    return sk_add(c, sk_mul(c, sk_shr(c, c0, 4), tokens * f->step),
                  sk_mul(c, sk_and(c, c0, 15), f->es));
}

/* A 16-bit pair as two floats, in *lo and *hi. */
static void split_pair(sk_dec *c, const sk_value_form *f, uint32_t x, sk_val *lo, sk_val *hi)
{
    sk_builder *b = c->b;
    if (f->value == SK_VAL_I8) {
        *hi = sk_ir_1(b, SK_OP_I2F, sk_ir_2(b, SK_OP_SRA, *lo, sk_k(c, 16)));
        *lo = sk_ir_1(b, SK_OP_I2F, sk_ir_2(b, SK_OP_SRA, sk_shl(c, *lo, 16), sk_k(c, 16)));
        return;
    }
    *hi = sk_ir_1(b, SK_OP_I2F, sk_shr(c, *lo, 16));
    *lo = sk_ir_1(b, SK_OP_I2F, sk_and(c, *lo, 0xffff));
    *hi = sk_fma(c, *hi, f->scale[x], f->least[x]);
    *lo = sk_fma(c, *lo, f->scale[x], f->least[x]);
}

void sk_value_load(sk_dec *c, const sk_value_form *f, sk_val v0, sk_val off, uint32_t i, sk_val *lo,
                   sk_val *hi)
{
    sk_builder *b = c->b;
    sk_val both = SK_NONE;
    for (uint32_t x = 0; x < f->nv; x++) {
        const uint32_t disp = i * f->step + vector_disp(c, f, x);
        if (f->value == SK_VAL_I4) {
            if (x == 0 || x * c->w % 16 == 0) both = sk_ir_ldrows(b, SK_LD_U32, v0, off, disp, 4);
            const sk_val bytes = sk_ir_2(b, SK_OP_LUT16, both, f->pick[x]);
            lo[x] = sk_ir_2(b, SK_OP_AND, bytes, f->nibble);
        } else {
            lo[x] = sk_ir_ldv(b, f->kind, v0, off, disp);
        }
        if (f->i16) continue;
        if (f->pairs)
            split_pair(c, f, x, &lo[x], &hi[x]);
        else if (f->value == SK_VAL_F8)
            lo[x] = sk_rows_float8(b, lo[x]);
        else if (f->value == SK_VAL_I8)
            lo[x] = sk_ir_1(b, SK_OP_I2F, lo[x]);
    }
}

void sk_value_floats(sk_dec *c, const sk_value_form *f, sk_val v0, sk_val off, sk_val *lo,
                     sk_val *hi)
{
    sk_value_load(c, f, v0, off, 0, lo, hi);
    if (f->value != SK_VAL_I8 && f->value != SK_VAL_F8) return;
    for (uint32_t x = 0; x < f->nv; x++) {
        lo[x] = sk_ir_2(c->b, SK_OP_FMUL, lo[x], f->scale[x]);
        if (f->pairs) hi[x] = sk_ir_2(c->b, SK_OP_FMUL, hi[x], f->scale[x]);
    }
}

/* One token, or a pair, for a tile of heads. */
static void value_token(sk_dec *c, const sk_value_form *f, sk_val v0, sk_val off, sk_val poff,
                        uint32_t i, uint32_t h0, uint32_t hn, sk_val acc[][8])
{
    sk_builder *b = c->b;
    sk_val lo[8], hi[8];
    sk_value_load(c, f, v0, off, i, lo, hi);
    for (uint32_t h = 0; h < hn; h++) {
        const uint32_t row = (h0 + h) * c->tp * 4;
        if (f->i16) {
            const sk_val p = sk_ir_ldu(b, SK_LD_U32, c->probs, poff, row / 2 + i * 4);
            for (uint32_t x = 0; x < f->nv; x++)
                sk_ir_set(b, acc[h][x],
                          sk_ir_3(b, SK_OP_DOT2, sk_ir_get(b, acc[h][x]), lo[x], p));
            continue;
        }
        for (uint32_t k = 0; k < (f->pairs ? 2u : 1u); k++) {
            const uint32_t t = f->pairs ? 2 * i + k : i;
            const sk_val p = sk_ir_ldu(b, SK_LD_F32, c->s, poff, row + t * 4);
            for (uint32_t x = 0; x < f->nv; x++)
                sk_ir_set(b, acc[h][x],
                          sk_fma(c, k ? hi[x] : lo[x], p, sk_ir_get(b, acc[h][x])));
        }
    }
}

/* As two streams: step k asks for what lies from k * stride on in either half. */
void sk_value_prefetch(sk_dec *c, uint32_t tier_slot, sk_val next, sk_val c0, sk_val t0,
                       uint32_t full, uint32_t vtok)
{
    if (next == SK_NONE) return;
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    const uint32_t vch = (uint32_t)c->sched->v[SK_T_vch];
    const uint32_t from = sk_prefetch_values_from(c, tier_slot), end = lay.units * SPHKV_UNIT_BYTES;
    const uint32_t steps = c->cp / vch * (full / vtok);
    if (from >= end) return;
    const uint32_t half = ((end - from) / 2 + 63) / 64 * 64;
    /* a multiple of vtok, so that t0 * stride / vtok is whole */
    const uint32_t stride = ((half + steps - 1) / steps + vtok - 1) / vtok * vtok;
    const sk_val block = sk_mul(c, sk_shr(c, c0, (uint32_t)__builtin_ctz(vch)), full / vtok * stride);
    const sk_val at = sk_add(c, block, sk_mul(c, t0, stride / vtok));
    for (uint32_t i = 0; i < stride; i += 64)
        for (uint32_t stream = 0; stream < 2; stream++)
            sk_ir_prefetch(c->b, next, at, from + stream * half + i);
}

/* The block's sum of one head in the units of its values. */
static sk_val value_sum(sk_dec *c, const sk_value_form *f, uint32_t x, uint32_t h, sk_val sum)
{
    sk_builder *b = c->b;
    if (f->value == SK_VAL_I4 && (f->i16 || f->dots)) {
        const sk_val mass = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_mass + h * 4);
        return sk_fma(c, sum, f->scale[x], sk_ir_2(b, SK_OP_FMUL, f->least[x], mass));
    }
    const bool scaled = f->value == SK_VAL_I8 || f->value == SK_VAL_F8;
    return scaled ? sk_ir_2(b, SK_OP_FMUL, sum, f->scale[x]) : sum;
}

void sk_value_fold(sk_dec *c, const sk_value_form *f, sk_val c0, uint32_t h0, uint32_t hn,
                   sk_val each[][8])
{
    sk_builder *b = c->b;
    const sk_val at = sk_mul(c, c0, 4);
    for (uint32_t x = 0; x < f->nv; x++)
        for (uint32_t h = 0; h < hn; h++) {
            const sk_val alpha =
                sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_alpha + (h0 + h) * 4);
            const uint32_t factor = f->rest ? c->stat_rest : c->stat_beta;
            const sk_val beta = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, factor + (h0 + h) * 4);
            const uint32_t disp = ((h0 + h) * c->cp + x * c->w) * 4;
            const sk_val sum = value_sum(c, f, x, h0 + h, each[h][x]);
            const sk_val old = sk_ir_ldv(b, SK_LD_F32, c->acc, at, disp);
            const sk_val kept = f->rest ? old : sk_ir_2(b, SK_OP_FMUL, old, alpha);
            const sk_val now = sk_fma(c, sum, beta, kept);
            sk_sizes_out(c, f, h0 + h, now);
            sk_ir_stv(b, c->acc, at, disp, now);
        }
}

/* Where a block of channels lies, for the loop over its steps. */
typedef struct value_place {
    sk_val v0, next;       /* values; page that is prefetched, or SK_NONE */
    sk_val c0, block;      /* first channel; byte offset of its block */
    uint32_t tier_slot, tokens;
} value_place;

/* Steps lo .. hi-1 of one block of channels, `unroll` at once. The rest of an
 * unrolled loop (unroll 1) prefetches nothing. */
static void value_steps(sk_dec *c, const sk_value_form *f, const value_place *at, sk_val lo, sk_val hi,
                        uint32_t unroll, uint32_t h0, uint32_t hn, sk_val acc[][8])
{
    const sk_val t0 = sk_ir_for(c->b, lo, hi, unroll);
    const sk_val off = sk_add(c, at->block, sk_mul(c, t0, f->step));
    const sk_val poff = sk_mul(c, t0, f->pairs && !f->i16 ? 8 : 4);
    if (unroll == (uint32_t)c->sched->v[SK_T_vtok])
        sk_value_prefetch(c, at->tier_slot, at->next, at->c0, t0, at->tokens, unroll);
    for (uint32_t i = 0; i < unroll; i++) value_token(c, f, at->v0, off, poff, i, h0, hn, acc);
    sk_ir_end(c->b);
}

static void value_tile(sk_dec *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                       sk_value_form *f, sk_val lo, sk_val steps, sk_val next, uint32_t h0, uint32_t hn)
{
    sk_builder *b = c->b;
    const uint32_t vch = (uint32_t)c->sched->v[SK_T_vch];
    const uint32_t vtok = f->rest ? 1 : (uint32_t)c->sched->v[SK_T_vtok];
    const uint32_t tokens = f->pairs ? c->tp / 2 : c->tp;
    const sk_val v0 = sk_ir_ptr_add(b, page, sk_k(c, lay->value_off), 1);
    sk_sizes_begin(c, f, h0, hn);
    const sk_val c0 = sk_ir_for(b, c->zero, sk_k(c, c->cp), vch);
    sk_val acc[SK_HEAD_TILE][8];
    sk_value_channels(c, f, lay, page, c0);
    for (uint32_t h = 0; h < hn; h++)
        for (uint32_t x = 0; x < f->nv; x++)
            acc[h][x] = sk_ir_var(b, SK_LANE, f->i16 ? sk_k(c, 0) : sk_ir_f32(b, 0.0f));
    const sk_val block = sk_value_block(c, f, c0);
    const value_place at = {v0, h0 > 0 ? SK_NONE : next, c0, block, tier_slot, tokens};
    const sk_val bulk = f->pairs || vtok == 1 ? steps : sk_and(c, steps, ~(vtok - 1));
    value_steps(c, f, &at, lo, bulk, vtok, h0, hn, acc);
    if (bulk != steps) value_steps(c, f, &at, bulk, steps, 1, h0, hn, acc);
    for (uint32_t h = 0; h < hn; h++)
        for (uint32_t x = 0; x < f->nv; x++) {
            acc[h][x] = sk_ir_get(b, acc[h][x]);
            if (f->i16) acc[h][x] = sk_ir_1(b, SK_OP_I2F, acc[h][x]);
        }
    sk_value_fold(c, f, c0, h0, hn, acc);
    sk_ir_end(b);
    sk_sizes_end(c, f, h0, hn);
}

void sk_part_values_rest(sk_dec *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                         sk_val count)
{
    sk_value_form f = sk_value_form_of(c, tier_slot, (uint32_t)c->sched->v[SK_T_vch], false);
    f.rest = true;
    value_tile(c, tier_slot, lay, page, &f, c->zero, sk_shr(c, sk_round_up(c, count, 2), 1), SK_NONE, 0, 1);
}

/* One token, or a pair, at a time. */
static void values_by_token(sk_dec *c, uint32_t tier_slot, const sk_page_layout *lay,
                            sk_value_sizes *sizes, sk_val page, sk_val count, sk_val next)
{
    const bool i16 = sizes != NULL; /* the only integers without dot products */
    sk_value_form f = sk_value_form_of(c, tier_slot, (uint32_t)c->sched->v[SK_T_vch], i16);
    f.sizes = sizes;
    const uint32_t vtok = (uint32_t)c->sched->v[SK_T_vtok];
    /* an integer times a probability of 0 is 0 whatever the slot holds; a float
     * that nobody wrote may be NaN, so those end at the last token */
    sk_val steps = count;
    if (f.pairs) steps = sk_shr(c, sk_round_up(c, count, 2 * vtok), 1);
    /* sums of a tile of heads stay in registers: at most 12 of the usual 16 */
    uint32_t tile = 12 / f.nv;
    if (tile == 0) tile = 1;
    const uint32_t tiles = (c->h + tile - 1) / tile, even = (c->h + tiles - 1) / tiles;
    for (uint32_t h = 0; h < c->h; h += even)
        value_tile(c, tier_slot, lay, page, &f, c->zero, steps, next, h,
                   c->h - h < even ? c->h - h : even);
}

void sk_part_values(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val next)
{
    const sk_probs form = sk_probs_of(c->spec, c->sched, tier_slot);
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    if (sk_dec_vk(c->spec, tier_slot)) {
        page = c->vals;
        lay.value_off = 0;
    }
    sk_value_sizes room, *const sizes = sk_probs_one(form) ? &room : NULL;
    if (sk_probs_dots(form))
        sk_part_dots(c, tier_slot, form, sizes, page, count, next);
    else
        values_by_token(c, tier_slot, &lay, sizes, page, count, next);
    if (sizes) sk_part_sinks(c, tier_slot, form, &lay, sizes, page, count);
}
