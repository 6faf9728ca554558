/* part_dots.c - probabilities times values in dot products: what 64 bytes hold of 16
 * channels is 4 tokens of vi8, 8 of vi4, 2 of vf16 and vbf16. Values are loaded and put
 * in order once for a tile of heads; each head then takes one dot product of bytes, or
 * of bfloat16s, a plane of its probabilities.
 *
 *   vi8  16 lanes: a byte look-up brings the four tokens of its channel to a lane. Fewer:
 *        two loads are two pairs of tokens, zipped; of 8 lanes that ends with the
 *        channels 0-3 8-11 and 4-7 12-15.
 *   vi4  bytes hold an even and an odd channel of a token. 16 lanes: two look-ups bring
 *        tokens 0-3 and 4-7 of its channel to a lane, a shift of the odd lanes its
 *        nibble. Fewer: a look-up brings four tokens of a byte to a lane, and the even
 *        channels are one vector, the odd ones another.
 *   vf16 halves become bfloat16s of 2^-112 of the value by a shift: the sign stays
 *        and the exponent of 5 bits becomes the low end of one of 8. Subnormal halves
 *        count as 0, the cut of three bits is made good on the average (part_probs.c).
 *
 * CPUs that only add pairs of products, in 16 bits and saturating (prob=u7): four pairs
 * of vi4 fit those, 4 * 2 * 15 * 255, and one of vi8, 2 * 128 * 127; then they are
 * widened.
 *
 * A product with 0 is 0 whatever integers or halves a slot holds; a vbf16 that nobody
 * wrote may be NaN, so the second token of an odd pair is masked. */
#include "part_value.h"
#include "rows.h"

/* Sums of a tile of heads that stay in registers, of 32, and of 16. */
#define MOST_SUMS 20u
#define FEW_SUMS 10u

typedef struct dots {
    sk_value_form f;
    sk_probs form;
    const sk_page_layout *lay;
    uint32_t tier_slot, tokens; /* of a step */
    uint32_t parts;             /* operands of a step, a look-up each: 2 of vi4 */
    uint32_t planes;            /* of probabilities */
    uint32_t pairs;             /* products added up in 16 bits before they are widened; 0:
                                   dot products */
    uint32_t h0, hn, row;       /* tile of heads; bytes of a row of probabilities */
    sk_val order[2], shift;     /* indices of the look-ups; of vi4: to the nibble */
    sk_val v0, next, c0, block; /* values; page that is prefetched; first channel, its block */
    /* variables: sums of head, plane and vector, in this order */
    sk_val acc[MOST_SUMS];
} dots;

static uint32_t acc_at(const dots *d, uint32_t h, uint32_t plane, uint32_t x)
{
    return (h * d->planes + plane) * d->f.nv + x;
}

/* ---- operands ------------------------------------------------------------------------- */

/* What brings a step's tokens side by side; of vi4 the first four. */
static sk_val token_order(sk_dec *c, const dots *d)
{
    if (d->form == SK_PROBS_BF16) /* halves: of channel c, 16 + c */
        return sk_add(c, sk_mul(c, c->lane, 0x00010001u), sk_k(c, 0x00100000u));
    if (d->f.value == SK_VAL_I8) /* bytes 2c, 2c + 1 of the first pair, and of the second */
        return sk_add(c, sk_mul(c, c->lane, 0x02020202u), sk_k(c, 0x21200100u));
    /* byte c/2 of tokens 0-3, 8 bytes each; of fewer lanes byte c */
    const sk_val byte = c->w == 16 ? sk_shr(c, c->lane, 1) : c->lane;
    return sk_add(c, sk_mul(c, byte, 0x01010101u), sk_k(c, 0x18100800u));
}

/* Part `part` of a step at byte `off` + disp of its block of 16 channels; 16 lanes. */
static sk_val whole_operand(sk_dec *c, const dots *d, sk_val off, uint32_t disp, uint32_t part)
{
    sk_builder *b = c->b;
    const sk_val raw = sk_ir_ldv(b, SK_LD_U32, d->v0, off, disp);
    if (d->form == SK_PROBS_BF16) {
        const sk_val two = sk_ir_2(b, SK_OP_PERM16, raw, d->order[0]);
        if (d->f.value != SK_VAL_F16) return two;
        return sk_and(c, sk_ir_sra16x2(b, two, 3), 0x8fff8fffu);
    }
    const sk_val four = sk_ir_2(b, SK_OP_PERM8, raw, d->order[part]);
    if (d->f.value == SK_VAL_I8) return four;
    return sk_and(c, sk_ir_2(b, SK_OP_SHR, four, d->shift), 0x0f0f0f0fu);
}

/* The same of fewer lanes: 16 / W vectors, in the order of the file's head. */
static void narrow_operands(sk_dec *c, const dots *d, sk_val off, uint32_t disp, uint32_t part,
                            sk_val *v)
{
    sk_builder *b = c->b;
    const bool four = d->f.value == SK_VAL_I4;
    for (uint32_t x = 0; x < 16 / c->w; x += 2) {
        const uint32_t at = disp + part * 32, here = x / 2 * c->w * 4;
        const sk_val low = sk_ir_ldv(b, SK_LD_U32, d->v0, off, four ? at : at + here);
        const bool far = !four || c->w < 8; /* 32 bytes are more than a vector */
        const uint32_t next = four ? at + c->w * 4 : at + 32 + here;
        const sk_val high = far ? sk_ir_ldv(b, SK_LD_U32, d->v0, off, next) : SK_NONE;
        if (!four) {
            for (uint32_t k = 0; k < 2; k++) v[x + k] = sk_ir_zip16(b, low, high, k);
            continue;
        }
        const sk_val order = sk_add(c, d->order[0], sk_k(c, x / 2 * c->w * 0x01010101u));
        const sk_val bytes = far ? sk_ir_3(b, SK_OP_PERM8X2, low, high, order)
                                 : sk_ir_2(b, SK_OP_PERM8, low, order);
        v[x] = sk_and(c, bytes, 0x0f0f0f0fu);
        v[x + 1] = sk_and(c, sk_shr(c, bytes, 4), 0x0f0f0f0fu);
    }
}

static void load_part(sk_dec *c, const dots *d, sk_val off, uint32_t i, uint32_t part, sk_val v[8])
{
    const uint32_t stripe = c->tp / d->tokens * 64, each = 16 / c->w;
    for (uint32_t x = 0; x < d->f.nv; x += each) {
        const uint32_t disp = x / each * stripe + i * 64;
        if (each > 1)
            narrow_operands(c, d, off, disp, part, v + x);
        else
            v[x] = whole_operand(c, d, off, disp, part);
    }
}

/* Sums of vectors x and x + 1 to channels in order. */
static void sort_channels(sk_dec *c, const dots *d, sk_val sum[2])
{
    sk_builder *b = c->b;
    const sk_val first = sum[0], second = sum[1];
    if (d->f.value == SK_VAL_I4) {
        sk_rows_interleave(b, c->w, sum);
    } else if (c->w == 8) {
        const sk_val low = sk_ir_2(b, SK_OP_ULT, c->lane, sk_k(c, 4));
        const sk_val other = sk_ir_2k(b, SK_OP_XOR, c->lane, 4);
        sum[0] = sk_sel(c, low, first, sk_shuf(c, second, other));
        sum[1] = sk_sel(c, low, sk_shuf(c, first, other), second);
    }
}

/* ---- products ------------------------------------------------------------------------- */

/* Probabilities of operand i, of head h of the tile. */
static sk_val load_probs(sk_dec *c, const dots *d, sk_val off, uint32_t h, uint32_t plane, uint32_t i)
{
    const uint32_t disp = (plane * c->h + d->h0 + h) * d->row + i * 4;
    return sk_ir_ldu(c->b, SK_LD_U32, c->probs, off, disp);
}

/* Adds a product to sum `at`, or to the pairs that wait to be widened. */
static void multiply(sk_dec *c, const dots *d, uint32_t at, sk_val p, sk_val v, sk_val *wait)
{
    sk_builder *b = c->b;
    if (d->pairs > 0) {
        const sk_val two = sk_ir_2(b, SK_OP_MADD8, p, v);
        *wait = *wait == SK_NONE ? two : sk_ir_2(b, SK_OP_ADD16X2, *wait, two);
        return;
    }
    const sk_op op = d->form == SK_PROBS_BF16 ? SK_OP_BDOT2 : SK_OP_DOT4US;
    sk_ir_set(b, d->acc[at], sk_ir_3(b, op, sk_ir_get(b, d->acc[at]), p, v));
}

static void widen(sk_dec *c, const dots *d, sk_val wait[MOST_SUMS])
{
    sk_builder *b = c->b;
    for (uint32_t i = 0; i < acc_at(d, d->hn, 0, 0); i++) {
        if (wait[i] == SK_NONE) continue;
        const sk_val sum = sk_ir_get(b, d->acc[i]);
        sk_ir_set(b, d->acc[i], sk_ir_3(b, SK_OP_DOT2, sum, wait[i], sk_k(c, 0x00010001u)));
        wait[i] = SK_NONE;
    }
}

/* n steps from t on; `mask`: of the values, SK_NONE for all. */
static void dots_steps(sk_dec *c, const dots *d, sk_val t, uint32_t n, sk_val mask)
{
    sk_builder *b = c->b;
    const sk_val off = sk_add(c, d->block, sk_mul(c, t, 64));
    const sk_val poff = sk_mul(c, t, d->parts == 2 ? 8 : 4);
    sk_val wait[MOST_SUMS], v[8];
    for (uint32_t i = 0; i < MOST_SUMS; i++) wait[i] = SK_NONE;
    for (uint32_t i = 0; i < n * d->parts; i++) {
        load_part(c, d, off, i / d->parts, i % d->parts, v);
        for (uint32_t x = 0; mask != SK_NONE && x < d->f.nv; x++)
            v[x] = sk_ir_2(b, SK_OP_AND, v[x], mask);
        for (uint32_t h = 0; h < d->hn; h++)
            for (uint32_t plane = 0; plane < d->planes; plane++) {
                const sk_val p = load_probs(c, d, poff, h, plane, i);
                for (uint32_t x = 0; x < d->f.nv; x++) {
                    const uint32_t at = acc_at(d, h, plane, x);
                    multiply(c, d, at, p, v[x], &wait[at]);
                }
            }
        if (d->pairs > 0 && ((i + 1) % d->pairs == 0 || i + 1 == n * d->parts)) widen(c, d, wait);
    }
}

/* Steps lo .. hi-1, `unroll` at once. The rest of an unrolled loop (unroll 1)
 * prefetches nothing. */
static void dots_loop(sk_dec *c, const dots *d, sk_val lo, sk_val hi, uint32_t unroll)
{
    const sk_val t = sk_ir_for(c->b, lo, hi, unroll);
    if (unroll == (uint32_t)c->sched->v[SK_T_vtok])
        sk_value_prefetch(c, d->tier_slot, d->next, d->c0, t, c->tp / d->tokens, unroll);
    dots_steps(c, d, t, unroll, SK_NONE);
    sk_ir_end(c->b);
}

static void dots_fold(sk_dec *c, const dots *d)
{
    sk_builder *b = c->b;
    sk_val sum[SK_HEAD_TILE][8];
    for (uint32_t h = 0; h < d->hn; h++)
        for (uint32_t x = 0; x < d->f.nv; x++) {
            sk_val all = sk_ir_get(b, d->acc[acc_at(d, h, 0, x)]);
            /* at most 256 tokens of 128 times 32767: below 2^31 */
            if (d->planes == 2)
                all = sk_add(c, sk_shl(c, all, 8), sk_ir_get(b, d->acc[acc_at(d, h, 1, x)]));
            sum[h][x] = d->form == SK_PROBS_BF16 ? all : sk_ir_1(b, SK_OP_I2F, all);
            if (c->w < 16 && x % 2 == 1) sort_channels(c, d, &sum[h][x - 1]);
        }
    sk_value_fold(c, &d->f, d->c0, d->h0, d->hn, sum);
}

static void dots_tile(sk_dec *c, dots *d, sk_val page, sk_val count)
{
    sk_builder *b = c->b;
    const uint32_t vtok = (uint32_t)c->sched->v[SK_T_vtok];
    const bool floats = d->form == SK_PROBS_BF16;
    sk_sizes_begin(c, &d->f, d->h0, d->hn);
    d->c0 = sk_ir_for(b, c->zero, sk_k(c, c->cp), (uint32_t)c->sched->v[SK_T_vch]);
    sk_value_channels(c, &d->f, d->lay, page, d->c0);
    d->block = sk_mul(c, sk_shr(c, d->c0, 4), c->tp / d->tokens * 64);
    for (uint32_t i = 0; i < acc_at(d, d->hn, 0, 0); i++)
        d->acc[i] = sk_ir_var(b, SK_LANE, floats ? sk_ir_f32(b, 0.0f) : c->zero);
    if (floats) {
        const sk_val pairs = sk_shr(c, count, 1), bulk = sk_and(c, pairs, ~(vtok - 1));
        dots_loop(c, d, c->zero, bulk, vtok);
        if (vtok > 1) dots_loop(c, d, bulk, pairs, 1);
        sk_ir_if(b, sk_ir_2(b, SK_OP_NE, sk_and(c, count, 1), c->zero));
        dots_steps(c, d, pairs, 1, sk_k(c, 0xffff));
        sk_ir_end(b);
    } else {
        const sk_val all = sk_round_up(c, count, vtok * d->tokens);
        dots_loop(c, d, c->zero, sk_shr(c, all, (uint32_t)__builtin_ctz(d->tokens)), vtok);
    }
    dots_fold(c, d);
    sk_ir_end(b);
    sk_sizes_end(c, &d->f, d->h0, d->hn);
}

void sk_part_dots(sk_dec *c, uint32_t tier_slot, sk_probs form, sk_value_sizes *sizes, sk_val page,
                  sk_val count, sk_val next)
{
    const uint32_t value = c->spec->tier[tier_slot].value;
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    dots d = {.form = form, .lay = &lay, .tier_slot = tier_slot};
    d.f = (sk_value_form){.value = value, .dots = true, .sizes = sizes};
    d.f.nv = (uint32_t)c->sched->v[SK_T_vch] / c->w;
    d.tokens = sk_probs_step(c->spec, tier_slot, form);
    d.parts = value == SK_VAL_I4 ? 2 : 1;
    d.planes = sk_probs_planes(form);
    if (c->sched->v[SK_T_prob] == SK_PROB_U7) d.pairs = value == SK_VAL_I4 ? 4 : 1;
    d.row = sk_probs_row_bytes(c, form);
    d.order[0] = token_order(c, &d);
    d.order[1] = sk_add(c, d.order[0], sk_k(c, 0x20202020u));
    d.shift = sk_shl(c, sk_and(c, c->lane, 1), 2);
    d.v0 = sk_ir_ptr_add(c->b, page, sk_k(c, lay.value_off), 1);
    uint32_t tile = (c->w == 8 ? FEW_SUMS : MOST_SUMS) / (d.f.nv * d.planes);
    if (tile == 0) tile = 1;
    const uint32_t tiles = (c->h + tile - 1) / tile, even = (c->h + tiles - 1) / tiles;
    for (d.h0 = 0; d.h0 < c->h; d.h0 += even) {
        d.hn = c->h - d.h0 < even ? c->h - d.h0 : even;
        d.next = d.h0 > 0 ? SK_NONE : next;
        dots_tile(c, &d, page, count);
    }
}
