/* part_value.c - probabilities times values of one page, lanes = channels:
 *   acc[h][c] = acc[h][c] * alpha[h] + beta[h] * scale[c] * sum_t p[h][t] v[t][c]
 * V is read once for a tile of heads that fits the registers. vi8 pages in
 * pairs take two tokens a step: widened to 16 bits and multiplied as integers
 * (prob = i16), or split to floats (the exact form). */
#include "decode.h"

typedef struct value_form {
    sk_ld_kind kind;   /* of a load of W channels */
    bool pairs, i16;
    uint32_t step;     /* bytes from a token (pair) to the next */
    uint32_t nv;       /* vectors per block of channels */
    uint32_t es;       /* bytes per channel of a token (pair) */
} value_form;

static value_form value_form_of(const sk_dec *c, uint32_t tier_slot)
{
    const uint32_t kind = c->spec->tier[tier_slot].value;
    value_form f = {.kind = SK_LD_F32};
    f.pairs = sk_layout_values_paired(c->spec, kind);
    f.i16 = sk_dec_prob16(c->spec, c->sched, tier_slot);
    if (kind == SK_VAL_F16) f.kind = SK_LD_F16;
    if (kind == SK_VAL_BF16) f.kind = SK_LD_BF16;
    if (kind == SK_VAL_I8) f.kind = f.pairs ? SK_LD_S8X2 : SK_LD_S8;
    f.es = f.pairs ? 2 : sk_ld_bytes(f.kind);
    f.step = 16 * f.es;
    f.nv = (uint32_t)c->sched->v[SK_T_vch] / c->w;
    return f;
}

/* Place of vector x of a channel block, relative to the block. */
static uint32_t vector_disp(const sk_dec *c, const value_form *f, uint32_t x)
{
    const uint32_t ch = x * c->w, tokens = f->pairs ? c->tp / 2 : c->tp;
    return ch / 16 * tokens * f->step + ch % 16 * f->es;
}

/* One token, or a pair, for a tile of heads. */
static void value_token(sk_dec *c, const value_form *f, sk_val v0, sk_val off, sk_val poff,
                        uint32_t i, uint32_t h0, uint32_t hn, sk_val acc[][8])
{
    sk_builder *b = c->b;
    sk_val lo[8], hi[8];
    for (uint32_t x = 0; x < f->nv; x++) {
        lo[x] = sk_ir_ldv(b, f->kind, v0, off, i * f->step + vector_disp(c, f, x));
        if (f->i16) continue;
        if (f->pairs) {
            hi[x] = sk_ir_1(b, SK_OP_I2F, sk_ir_2(b, SK_OP_SRA, lo[x], sk_k(c, 16)));
            lo[x] = sk_ir_2(b, SK_OP_SRA, sk_shl(c, lo[x], 16), sk_k(c, 16));
        }
        if (f->kind == SK_LD_S8 || f->pairs) lo[x] = sk_ir_1(b, SK_OP_I2F, lo[x]);
    }
    for (uint32_t h = 0; h < hn; h++) {
        const uint32_t row = (h0 + h) * c->tp * 4;
        if (f->i16) {
            const sk_val p = sk_ir_ldu(b, SK_LD_U32, c->s, poff, row + i * 4);
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

/* The rest of the next page in even steps over all blocks and tokens, as two
 * streams: step k asks for what lies from k * stride on in either half. */
static void value_prefetch(sk_dec *c, uint32_t tier_slot, sk_val next, sk_val c0, sk_val t0,
                           uint32_t full)
{
    if (next == SK_NONE) return;
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    const uint32_t vch = (uint32_t)c->sched->v[SK_T_vch], vtok = (uint32_t)c->sched->v[SK_T_vtok];
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

/* Adds the block's sums to acc, with the page's factors. */
static void value_fold(sk_dec *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                       const value_form *f, sk_val c0, uint32_t h0, uint32_t hn, sk_val acc[][8])
{
    sk_builder *b = c->b;
    const bool scaled = c->spec->tier[tier_slot].value == SK_VAL_I8;
    const sk_val at = sk_mul(c, c0, 4);
    for (uint32_t x = 0; x < f->nv; x++) {
        const sk_val scale = scaled ? sk_ir_ldv(b, SK_LD_F16, page, sk_mul(c, c0, 2),
                                                lay->vscale_off + x * c->w * 2)
                                    : SK_NONE;
        for (uint32_t h = 0; h < hn; h++) {
            const sk_val alpha =
                sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_alpha + (h0 + h) * 4);
            const sk_val beta =
                sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_beta + (h0 + h) * 4);
            const uint32_t disp = ((h0 + h) * c->cp + x * c->w) * 4;
            sk_val sum = sk_ir_get(b, acc[h][x]);
            if (f->i16) sum = sk_ir_1(b, SK_OP_I2F, sum);
            if (scaled) sum = sk_ir_2(b, SK_OP_FMUL, sum, scale);
            const sk_val old = sk_ir_ldv(b, SK_LD_F32, c->acc, at, disp);
            const sk_val kept = sk_ir_2(b, SK_OP_FMUL, old, alpha);
            sk_ir_stv(b, c->acc, at, disp, sk_fma(c, sum, beta, kept));
        }
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
static void value_steps(sk_dec *c, const value_form *f, const value_place *at, sk_val lo, sk_val hi,
                        uint32_t unroll, uint32_t h0, uint32_t hn, sk_val acc[][8])
{
    const sk_val t0 = sk_ir_for(c->b, lo, hi, unroll);
    const sk_val off = sk_add(c, at->block, sk_mul(c, t0, f->step));
    const sk_val poff = sk_mul(c, t0, f->pairs && !f->i16 ? 8 : 4);
    if (unroll == (uint32_t)c->sched->v[SK_T_vtok])
        value_prefetch(c, at->tier_slot, at->next, at->c0, t0, at->tokens);
    for (uint32_t i = 0; i < unroll; i++) value_token(c, f, at->v0, off, poff, i, h0, hn, acc);
    sk_ir_end(c->b);
}

static void value_tile(sk_dec *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                       const value_form *f, sk_val steps, sk_val next, uint32_t h0, uint32_t hn)
{
    sk_builder *b = c->b;
    const uint32_t vch = (uint32_t)c->sched->v[SK_T_vch];
    const uint32_t vtok = (uint32_t)c->sched->v[SK_T_vtok];
    const uint32_t tokens = f->pairs ? c->tp / 2 : c->tp;
    const sk_val v0 = sk_ir_ptr_add(b, page, sk_k(c, lay->value_off), 1);
    const sk_val c0 = sk_ir_for(b, c->zero, sk_k(c, c->cp), vch);
    sk_val acc[SPHKV_MAX_HEADS_PER_KV][8];
    for (uint32_t h = 0; h < hn; h++)
        for (uint32_t x = 0; x < f->nv; x++)
            acc[h][x] = sk_ir_var(b, SK_LANE, f->i16 ? sk_k(c, 0) : sk_ir_f32(b, 0.0f));
    const sk_val block = sk_add(c, sk_mul(c, sk_shr(c, c0, 4), tokens * f->step),
                                sk_mul(c, sk_and(c, c0, 15), f->es));
    const value_place at = {v0, h0 > 0 ? SK_NONE : next, c0, block, tier_slot, tokens};
    const sk_val bulk = f->pairs || vtok == 1 ? steps : sk_and(c, steps, ~(vtok - 1));
    value_steps(c, f, &at, c->zero, bulk, vtok, h0, hn, acc);
    if (bulk != steps) value_steps(c, f, &at, bulk, steps, 1, h0, hn, acc);
    value_fold(c, tier_slot, lay, page, f, c0, h0, hn, acc);
    sk_ir_end(b);
}

void sk_part_values(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val next)
{
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    const value_form f = value_form_of(c, tier_slot);
    const uint32_t vtok = (uint32_t)c->sched->v[SK_T_vtok];
    /* int8 times a probability of 0 is 0 whatever the slot holds; a float that
     * nobody wrote may be NaN, so those end at the last token */
    sk_val steps = count;
    if (f.pairs) steps = sk_shr(c, sk_round_up(c, count, 2 * vtok), 1);
    /* sums of a tile of heads stay in registers: at most 12 of the usual 16 */
    uint32_t tile = 12 / f.nv;
    if (tile == 0) tile = 1;
    const uint32_t tiles = (c->h + tile - 1) / tile, even = (c->h + tiles - 1) / tiles;
    for (uint32_t h = 0; h < c->h; h += even)
        value_tile(c, tier_slot, &lay, page, &f, steps, next, h, c->h - h < even ? c->h - h : even);
}
