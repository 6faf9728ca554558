/* tile_keys.c - logits of a slab from coded keys. The lanes rebuild keys straight
 * into the factors of a product, 16 tokens by 16 dimensions at a time: a word of
 * two dimensions is one look-up (two of groups of one dimension), and the product
 * serves all query heads. The radius of a span meets the sums of its dimensions, or
 * of the whole head.
 *
 * Lane 4g + t holds dimensions 2t, 2t + 1 (half 0) and 2t + 8, 2t + 9 (half 1) of
 * a step of 16, of rows g and g + 8, see sk_tile_base. Codes of a group come for all
 * tokens of the slab in one word where they are blocked (layout.h, row 1), else for a
 * pair of tokens at a time. */
#include "tile_impl.h"

/* What the look-ups of a slab have in common. */
typedef struct rebuild {
    sk_tile *t;
    const sk_slab *s;
    uint32_t g, bits, codes;
    uint32_t scale;      /* log2 of a codeword's bytes: 2g */
    sk_val code_lane;    /* byte offset of the lane's codes in a group's, and of its group */
    sk_val shift;        /* plain codes that stand nowhere in particular: first bit */
    sk_val book_lane;    /* byte offset of the lane's words in a codeword, and of its group */
    sk_val index_lane;   /* blocked codes of whole words: 16 times its group, in every byte */
    uint32_t held;       /* group whose codes are in `off`; SK_NONE: none */
    sk_val off[SK_TILE_MOST][2]; /* places of the codewords of rows g, g + 8 */
} rebuild;

static sk_val lane_group(const rebuild *r) /* 2t / g: the lane's group in a step */
{
    sk_dec *c = r->t->c;
    if (r->g == 1) return sk_shl(c, r->t->t, 1);
    return r->g == 2 ? r->t->t : r->g == 4 ? sk_shr(c, r->t->t, 1) : c->zero;
}

/* Blocked: row g is word (g & 6) / 2 with its low bit to the third place and g & 1
 * in the middle, so that pairs of tokens come in order (see sk_tile_base). */
static sk_val blocked_word(sk_tile *t)
{
    sk_dec *c = t->c;
    const sk_val low = sk_and(c, sk_shr(c, t->g, 1), 1);
    return sk_or(c, sk_or(c, low, sk_shl(c, sk_and(c, t->g, 1), 1)), sk_and(c, t->g, 4));
}

static rebuild rebuild_begin(sk_tile *t, const sk_slab *s)
{
    sk_dec *c = t->c;
    rebuild r = {.t = t, .s = s, .g = s->seg->g, .bits = s->seg->b, .codes = 1u << s->seg->b,
                 .held = SK_NONE, .shift = SK_NONE, .index_lane = SK_NONE};
    r.scale = 1 + (uint32_t)__builtin_ctz(r.g);
    const sk_val group = lane_group(&r);
    const sk_val codes_of = sk_mul(c, group, s->field[SK_FIELD_CODE].stride);
    if (s->blocked) {
        r.code_lane = sk_add(c, codes_of, sk_mul(c, blocked_word(t), 4));
    } else {
        const sk_val bit = sk_mul(c, sk_tile_row(t, s), r.bits);
        const bool bytes = r.bits == 4 || r.bits == 8;
        const sk_val at = bytes ? sk_shr(c, bit, 3) : sk_shl(c, sk_shr(c, bit, 4), 1);
        r.code_lane = sk_add(c, codes_of, at);
        if (!bytes) r.shift = sk_and(c, bit, 15);
    }
    if (s->blocked && r.g <= 2) r.index_lane = sk_mul(c, group, 0x10101010u);
    r.book_lane = sk_mul(c, group, r.codes << r.scale);
    if (r.g > 2) r.book_lane = sk_or(c, r.book_lane, sk_mul(c, sk_and(c, t->t, r.g / 2 - 1), 4));
    return r;
}

/* Place of the codeword whose code stands at bit `bit` of x. */
static sk_val place(const rebuild *r, sk_val x, uint32_t bit)
{
    sk_dec *c = r->t->c;
    const sk_val moved = bit >= r->scale ? sk_shr(c, x, bit - r->scale) : sk_shl(c, x, r->scale - bit);
    return sk_or(c, sk_and(c, moved, (r->codes - 1) << r->scale), r->book_lane);
}

/* Places of a word of blocked codes. Numbers of codewords come as bytes, the lane's
 * group in their upper halves, so that one operation picks and the address scales. */
static void blocked_places(rebuild *r, sk_val word)
{
    sk_tile *t = r->t;
    sk_dec *c = t->c;
    sk_val index[2]; /* even nibbles, odd ones */
    for (uint32_t k = 0; k < 2; k++)
        index[k] = sk_or(c, sk_and(c, sk_shr(c, word, 4 * k), 0x0f0f0f0fu), r->index_lane);
    for (uint32_t i = 0; i < t->tiles; i++)
        for (uint32_t y = 0; y < 2; y++) {
            const uint32_t nibble = (t->slab == 64 ? i : 2 * i) + 4 * y;
            const sk_val one = sk_ir_prmt(c->b, index[nibble & 1], c->zero, sk_k(c, 0x4440 + nibble / 2));
            r->off[i][y] = sk_shl(c, one, r->scale);
        }
}

/* The codes of a pair of tokens, low bits first. */
static sk_val code_pair(const rebuild *r, uint32_t disp)
{
    sk_tile *t = r->t;
    sk_dec *c = t->c;
    const sk_val at = r->s->field[SK_FIELD_CODE].at;
    if (r->shift == SK_NONE)
        return sk_tile_load(t, r->bits == 8 ? SK_LD_U16 : SK_LD_U8, at, r->code_lane, disp);
    const sk_val low = sk_tile_load(t, SK_LD_U16, at, r->code_lane, disp);
    const sk_val high = sk_tile_load(t, SK_LD_U16, at, r->code_lane, disp + 2);
    return sk_ir_2(c->b, SK_OP_SHR, sk_or(c, low, sk_shl(c, high, 16)), r->shift);
}

/* Codes of group `group` plus the lane's. */
static void fetch(rebuild *r, uint32_t group)
{
    sk_tile *t = r->t;
    if (r->held == group) return;
    r->held = group;
    const uint32_t disp = group * r->s->field[SK_FIELD_CODE].stride;
    sk_val word = SK_NONE;
    if (r->s->blocked) {
        word = sk_tile_load(t, SK_LD_U32, r->s->field[SK_FIELD_CODE].at, r->code_lane, disp);
        if (t->slab == 32) word = sk_ir_2(t->c->b, SK_OP_SHR, word, r->s->half);
    }
    if (r->index_lane != SK_NONE) {
        blocked_places(r, word);
        return;
    }
    for (uint32_t i = 0; i < t->tiles; i++) {
        const uint32_t nibble = t->slab == 64 ? i : 2 * i;
        if (!r->s->blocked) word = code_pair(r, disp + 2 * r->bits * i);
        for (uint32_t y = 0; y < 2; y++)
            r->off[i][y] = place(r, word, r->s->blocked ? 4 * (nibble + 4 * y) : r->bits * y);
    }
}

/* Factors of half h of step s: w[tile][y]. */
static void words(rebuild *r, uint32_t s, uint32_t h, sk_val w[SK_TILE_MOST][2])
{
    sk_tile *t = r->t;
    const sk_val book = t->book[r->s->tier];
    const uint32_t dim = 16 * s + 8 * h, ones = r->g == 1 ? 2 : 1;
    for (uint32_t e = 0; e < ones; e++) {
        const uint32_t group = (dim + e) / r->g;
        const uint32_t disp = (group * r->codes << r->scale) + dim % r->g * 2;
        fetch(r, group);
        for (uint32_t i = 0; i < t->tiles; i++)
            for (uint32_t y = 0; y < 2; y++) {
                const sk_ld_kind kind = ones == 2 ? SK_LD_U16 : SK_LD_U32;
                const sk_val x = sk_tile_load(t, kind, book, r->off[i][y], disp);
                w[i][y] = e == 0 ? x : sk_prmt(t, w[i][y], x, 0x5410);
            }
    }
}

/* ---- radii --------------------------------------------------------------------- */

/* Radii of span p for rows g, g + 8 of tile i. */
static void radii(sk_tile *t, const sk_slab *s, uint32_t p, uint32_t i, sk_val r[2])
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const uint32_t bits = s->seg->rb;
    const uint32_t disp = p * s->field[SK_FIELD_RADIUS].stride + sk_tile_base(t, s, i) * bits / 8;
    const sk_val row = sk_tile_row(t, s);
    const sk_val at = bits == 4 ? sk_shr(c, row, 1) : sk_mul(c, row, bits / 8);
    const sk_ld_kind kind = bits == 16 ? SK_LD_U32 : bits == 8 ? SK_LD_U16 : SK_LD_U8;
    const sk_val both = sk_tile_load(t, kind, s->field[SK_FIELD_RADIUS].at, at, disp);
    if (bits == 16) {
        r[0] = sk_ir_1(b, SK_OP_F16LO, both);
        r[1] = sk_ir_1(b, SK_OP_F16HI, both);
        return;
    }
    const sk_val page_scale = sk_ir_ldu(b, SK_LD_F16, s->field[SK_FIELD_RSCALE].at, c->zero, 2 * p);
    const sk_val unit = sk_ir_2(b, SK_OP_FMUL, page_scale,
                                sk_ir_f32(b, 1.0f / (float)((1u << bits) - 1)));
    r[0] = sk_ir_1(b, SK_OP_I2F, sk_and(c, both, (1u << bits) - 1));
    r[1] = sk_ir_1(b, SK_OP_I2F, sk_shr(c, both, bits));
    for (uint32_t y = 0; y < 2; y++) r[y] = sk_ir_2(b, SK_OP_FMUL, r[y], unit);
}

void sk_tile_fold(sk_tile *t, sk_val sum, const sk_val r[2], bool first, sk_val x[4])
{
    for (uint32_t k = 0; k < 4; k++) {
        const sk_val y = sk_quad_float(t, sum, k), by = r[k / 2];
        x[k] = first ? sk_ir_2(t->c->b, SK_OP_FMUL, y, by) : sk_fma(t->c, y, by, x[k]);
    }
}

/* ---- products ------------------------------------------------------------------ */

static void step_product(rebuild *r, uint32_t s, sk_val sum[2][SK_TILE_MOST])
{
    sk_tile *t = r->t;
    sk_val w[2][SK_TILE_MOST][2];
    for (uint32_t h = 0; h < 2; h++) words(r, s, h, w[h]);
    for (uint32_t n = 0; n < t->nt; n++) {
        const sk_tile_factor f = sk_tile_factors(t, SK_FACTORS_CODED, s, n);
        for (uint32_t i = 0; i < t->tiles; i++) {
            const sk_val a = sk_ir_quad(t->c->b, w[0][i][0], w[0][i][1], w[1][i][0], w[1][i][1]);
            sum[n][i] = sk_tile_multiply(t, a, &f, sum[n][i], false);
        }
    }
}

/* Steps 0 .. count-1 of a slab; x: what is there already, or (first) nothing. */
static void logits_steps(sk_tile *t, const sk_slab *s, uint32_t count, bool first, sk_tile_logit x)
{
    rebuild r = rebuild_begin(t, s);
    const uint32_t span_steps = s->lay.seg[0].span_dims / 16;
    sk_val sum[2][SK_TILE_MOST];
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t n = 0; n < t->nt && k % span_steps == 0; n++)
            for (uint32_t i = 0; i < t->tiles; i++) sum[n][i] = sk_zero_quad(t);
        step_product(&r, k, sum);
        if ((k + 1) % span_steps != 0) continue;
        for (uint32_t i = 0; i < t->tiles; i++) {
            sk_val radius[2];
            radii(t, s, k / span_steps, i, radius);
            for (uint32_t n = 0; n < t->nt; n++)
                sk_tile_fold(t, sum[n][i], radius, first && k < span_steps, x[n][i]);
        }
    }
}

/* Steps that a turn of a loop over spans takes, or 0: no loop. Keys of many spans have
 * so many radii and codes that, all at once, they crowd the registers; only slabs
 * that are in scratch already can wait for each turn's. */
static uint32_t steps_of_turn(const sk_tile *t, const sk_slab *s)
{
    const uint32_t span = s->lay.seg[0].span_dims / 16, turn = span == 1 ? 2 : span;
    return t->stages > 0 && turn < t->steps && t->steps % turn == 0 ? turn : 0;
}

/* The slab with its fields, and the tile with its factors, from step `turn * p` on. */
static void move_to(sk_tile *t, sk_slab *s, uint32_t turn, sk_val p)
{
    sk_builder *b = t->c->b;
    const uint32_t dims = 16 * turn, span = s->lay.seg[0].span_dims;
    sk_tile_field *f = s->field;
    f[SK_FIELD_CODE].at = sk_ir_ptr_add(b, f[SK_FIELD_CODE].at, p, dims / s->seg->g * f[SK_FIELD_CODE].stride);
    f[SK_FIELD_RADIUS].at = sk_ir_ptr_add(b, f[SK_FIELD_RADIUS].at, p, dims / span * f[SK_FIELD_RADIUS].stride);
    if (s->seg->rb < 16)
        f[SK_FIELD_RSCALE].at = sk_ir_ptr_add(b, f[SK_FIELD_RSCALE].at, p, dims / span * 2);
    t->book[s->tier] = sk_ir_ptr_add(b, t->book[s->tier], p, dims * 2 << s->seg->b);
    t->query[SK_FACTORS_CODED] = sk_ir_ptr_add(b, t->query[SK_FACTORS_CODED], p,
                                               sk_tile_factor_bytes(t, SK_FACTORS_CODED, turn));
}

static void logits_loop(sk_tile *t, const sk_slab *s, uint32_t turn, sk_tile_logit x)
{
    sk_builder *b = t->c->b;
    const sk_val book = t->book[s->tier], query = t->query[SK_FACTORS_CODED];
    sk_tile_logit sum;
    sk_slab here = *s;
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t i = 0; i < 4 * t->tiles; i++)
            sum[n][i / 4][i % 4] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val p = sk_ir_for(b, t->c->zero, sk_k(t->c, t->steps / turn), 1);
    move_to(t, &here, turn, p);
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t i = 0; i < 4 * t->tiles; i++) x[n][i / 4][i % 4] = sk_ir_get(b, sum[n][i / 4][i % 4]);
    logits_steps(t, &here, turn, false, x);
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t i = 0; i < 4 * t->tiles; i++) sk_ir_set(b, sum[n][i / 4][i % 4], x[n][i / 4][i % 4]);
    sk_ir_end(b);
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t i = 0; i < 4 * t->tiles; i++) x[n][i / 4][i % 4] = sk_ir_get(b, sum[n][i / 4][i % 4]);
    t->book[s->tier] = book;
    t->query[SK_FACTORS_CODED] = query;
}

void sk_tile_logits(sk_tile *t, const sk_slab *s, sk_tile_logit x)
{
    const uint32_t turn = steps_of_turn(t, s);
    if (turn)
        logits_loop(t, s, turn, x);
    else
        logits_steps(t, s, t->steps, true, x);
}
