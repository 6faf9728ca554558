/* part_bytes_narrow.c - logits by 8-bit tables (part_bytes.h), of 8 lanes: a byte picks
 * among the 16 that its half of the vector holds, so a look-up is of one group, 4W tokens
 * of it, in tables that both halves have; those of 32 and 64 entries are several look-ups,
 * and bits 4 and 5 choose.
 *
 * Two walks over 64 tokens. The first leaves in scratch what all heads share: indices of
 * each group, and words of radii. The second takes 4W tokens and a few heads at a time.
 * With one radius entries are signed: two groups are zipped to pairs, weights make a sum
 * of 16 bits of each, and several words are added, as weights are small, before sums are
 * widened. With a radius per group four groups are zipped to words for a dot.
 *
 * Order of tokens in a vector of bytes, so that the sums end in order. Zips keep to groups
 * of 4 lanes; of group r byte p is token W(2(p / 8) + p % 2) + 4r + p % 8 / 2 where pairs
 * are made (as in row 1's blocks), W(p / 4) + 4r + p % 4 where words are. */
#include "part_bytes.h"

#include "part_unpack.h"

enum { VECTORS = 4 }; /* of W tokens, in a vector of bytes; groups of a word */

static uint32_t vector_bytes(const sk_dec *c) { return 4 * c->w; }

/* ---- what heads share ---------------------------------------------------------------------- */

/* Row 1's blocks (layout.h): 64 codes in 32 bytes, the first half of them low. */
static void blocked_codes(sk_dec *c, const sk_bytes_loop *l, sk_val field, uint32_t k, sk_val index[2])
{
    sk_builder *b = c->b;
    const sk_val row = sk_mul(c, sk_bytes_group(c, l, k), c->p / 2);
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, field, sk_add(c, row, sk_shr(c, l->t0, 1)), 0);
    const sk_val i = sk_and(c, c->lane, 3);
    const sk_val first = sk_add(c, sk_shl(c, sk_shr(c, i, 1), 3), sk_and(c, i, 1));
    const sk_val from = sk_add(c, sk_mul(c, first, 0x01010101u), sk_k(c, 0x06040200u));
    const sk_val all = l->t->radii ? sk_ir_2(b, SK_OP_LUT16, x, from) : x;
    index[0] = sk_and(c, all, 0x0f0f0f0fu);
    index[1] = sk_and(c, sk_shr(c, all, 4), 0x0f0f0f0fu);
}

/* Codes one a lane, four vectors of them, become bytes of one, in order. */
static sk_val plain_codes(sk_dec *c, const sk_bytes_loop *l, const sk_unpack u[VECTORS], sk_val field,
                          uint32_t k)
{
    sk_val all = SK_NONE;
    for (uint32_t v = 0; v < VECTORS; v++) {
        const sk_val x = sk_unpack_codes(c, &u[v], l->seg, field, sk_bytes_group(c, l, k));
        all = v == 0 ? x : sk_or(c, all, sk_shl(c, x, 8 * v));
    }
    const sk_val i = sk_and(c, c->lane, 3);
    const sk_val pairs = sk_add(c, sk_shl(c, sk_and(c, i, 1), 3), sk_shl(c, sk_shr(c, i, 1), 1));
    const sk_val from = sk_mul(c, l->t->radii ? i : pairs, 0x01010101u);
    const uint32_t first = l->t->radii ? 0x0c080400u : 0x05040100u;
    return sk_ir_2(c->b, SK_OP_LUT16, all, sk_add(c, from, sk_k(c, first)));
}

static sk_val row_of(sk_dec *c, const sk_bytes_loop *l) { return sk_mul(c, l->word, SK_BYTES_WORD); }

static void share_codes(sk_dec *c, const sk_bytes_loop *l, const sk_unpack u[2][VECTORS])
{
    const sk_val field = sk_ir_ptr_add(c->b, l->page, sk_k(c, l->lay->code_off), 1);
    for (uint32_t k = 0; k < VECTORS; k++) {
        sk_val index[2];
        if (sk_layout_codes_blocked(c->spec, l->seg)) {
            blocked_codes(c, l, field, k, index);
        } else {
            for (uint32_t n = 0; n < 2; n++) index[n] = plain_codes(c, l, u[n], field, k);
        }
        for (uint32_t n = 0; n < 2; n++)
            sk_ir_stv(c->b, l->words, row_of(c, l), (n * VECTORS + k) * vector_bytes(c), index[n]);
    }
}

static void share_radii(sk_dec *c, const sk_bytes_loop *l)
{
    sk_builder *b = c->b;
    const uint32_t per_span = l->lay->span_dims / l->seg->g;
    const sk_val order = sk_add(c, sk_shl(c, sk_and(c, c->lane, 3), 1), sk_shr(c, c->lane, 2));
    for (uint32_t n = 0; n < 2; n++) {
        sk_val x[VECTORS];
        for (uint32_t k = 0; k < VECTORS; k++) {
            const sk_val span = sk_ir_2(b, SK_OP_UDIV, sk_bytes_group(c, l, k), sk_k(c, per_span));
            const sk_val at = sk_add(c, sk_mul(c, span, c->p), l->t0);
            const uint32_t disp = l->lay->radius_off + n * vector_bytes(c);
            x[k] = sk_shuf(c, sk_ir_ldv(b, SK_LD_U32, l->page, at, disp), order);
        }
        sk_bytes_zip8(b, x);
        sk_bytes_zip16(b, x);
        for (uint32_t k = 0; k < VECTORS; k++)
            sk_ir_stv(b, l->radii, row_of(c, l), (n * VECTORS + k) * vector_bytes(c), x[k]);
    }
}

static void share(sk_dec *c, sk_bytes_loop *l)
{
    sk_unpack u[2][VECTORS] = {0};
    for (uint32_t n = 0; n < 2 * VECTORS; n++)
        u[n / VECTORS][n % VECTORS] =
            sk_unpack_begin(c, l->tier_slot, sk_add(c, l->t0, sk_k(c, n * c->w)));
    l->word = sk_ir_for(c->b, c->zero, sk_k(c, l->t->words), 1);
    share_codes(c, l, u);
    if (l->t->radii) share_radii(c, l);
    sk_ir_end(c->b);
}

/* ---- heads -------------------------------------------------------------------------------- */

enum { HEADS = 4 }; /* whose sums of 16 bits stay in registers */

/* Heads h0 .. h0 + hn - 1, tokens 4Wn of the 64 on, and their sums. */
typedef struct narrow_heads {
    uint32_t h0, hn, n;
    sk_val sum[HEADS][VECTORS];
} narrow_heads;

/* Bytes of the table of group k of the word, of head h. */
static sk_val find_bytes(sk_dec *c, const sk_bytes_loop *l, uint32_t h, uint32_t k, sk_val index)
{
    sk_builder *b = c->b;
    const uint32_t slots = l->t->slots, table = sk_bytes_table(l->t), disp = h * table + k * slots;
    const sk_val at = sk_mul(c, l->word, l->t->heads * table);
    sk_val x[4];
    for (uint32_t n = 0; n < slots / 16; n++) {
        const sk_val entries = sk_ir_ldrows(b, SK_LD_U32, l->entries, at, disp + n * 16, 4);
        x[n] = sk_ir_2(b, SK_OP_LUT16, entries, index);
    }
    for (uint32_t left = slots / 16, up = 3; left > 1; left /= 2, up--) {
        const sk_val by = sk_shl(c, index, up); /* bit 7 says */
        for (uint32_t i = 0; i < left / 2; i++)
            x[i] = sk_ir_3(b, SK_OP_SEL8, by, x[2 * i + 1], x[2 * i]);
    }
    return x[0];
}

/* Indices of the four groups, in the bits of codes. */
static void load_indices(sk_dec *c, const sk_bytes_loop *l, uint32_t n, sk_val index[VECTORS])
{
    for (uint32_t k = 0; k < VECTORS; k++) {
        const uint32_t disp = (n * VECTORS + k) * vector_bytes(c);
        const sk_val x = sk_ir_ldv(c->b, SK_LD_U32, l->words, row_of(c, l), disp);
        index[k] = sk_and(c, x, (l->t->slots - 1) * 0x01010101u);
    }
}

static sk_val add16(sk_dec *c, sk_val x, sk_val y)
{
    return x == SK_NONE ? y : sk_ir_2(c->b, SK_OP_ADD16X2, x, y);
}

/* Adds the groups of t->block words from l->word on. */
static void add_weighted(sk_dec *c, const sk_bytes_loop *first, const narrow_heads *at)
{
    sk_builder *b = c->b;
    const sk_bytes *t = first->t;
    sk_bytes_loop l = *first;
    sk_val acc[HEADS][2], index[VECTORS], x[VECTORS];
    for (uint32_t i = 0; i < t->block; i++) {
        if (i > 0) l.word = sk_add(c, first->word, sk_k(c, i));
        load_indices(c, &l, at->n, index);
        for (uint32_t h = 0; h < at->hn; h++) {
            for (uint32_t k = 0; k < VECTORS; k++)
                x[k] = find_bytes(c, &l, at->h0 + h, k, index[k]);
            sk_bytes_zip8(b, x);
            for (uint32_t k = 0; k < VECTORS; k++) {
                const uint32_t disp = t->weights + (at->h0 + h) * t->row * 2 + k / 2 * 4;
                const sk_val by = sk_ir_ldu(b, SK_LD_U32, l.lut, sk_mul(c, l.word, 8), disp);
                const sk_val two = sk_ir_2(b, SK_OP_MADD8, by, x[k]);
                acc[h][k % 2] = add16(c, i + k / 2 == 0 ? SK_NONE : acc[h][k % 2], two);
            }
        }
    }
    for (uint32_t h = 0; h < at->hn; h++)
        for (uint32_t k = 0; k < VECTORS; k++) {
            const sk_val sum = at->sum[h][k], pick = sk_k(c, k % 2 ? 0x00010000u : 0x00000001u);
            sk_ir_set(b, sum, sk_ir_3(b, SK_OP_DOT2, sk_ir_get(b, sum), acc[h][k / 2], pick));
        }
}

/* Adds the four groups of l->word times their radii. */
static void add_radii(sk_dec *c, const sk_bytes_loop *l, const narrow_heads *at)
{
    sk_builder *b = c->b;
    sk_val index[VECTORS], x[VECTORS];
    load_indices(c, l, at->n, index);
    for (uint32_t h = 0; h < at->hn; h++) {
        for (uint32_t k = 0; k < VECTORS; k++) x[k] = find_bytes(c, l, at->h0 + h, k, index[k]);
        sk_bytes_zip8(b, x);
        sk_bytes_zip16(b, x);
        for (uint32_t k = 0; k < VECTORS; k++) {
            const uint32_t disp = (at->n * VECTORS + k) * vector_bytes(c);
            const sk_val r = sk_ir_ldv(b, SK_LD_U32, l->radii, row_of(c, l), disp);
            const sk_val sum = at->sum[h][k];
            sk_ir_set(b, sum, sk_ir_dot4us(b, sk_ir_get(b, sum), r, x[k]));
        }
    }
}

static void finish_heads(sk_dec *c, const sk_bytes_loop *l, const narrow_heads *at)
{
    sk_builder *b = c->b;
    const sk_bytes *t = l->t;
    for (uint32_t k = 0; k < VECTORS; k++) {
        const uint32_t v = at->n * VECTORS + k;
        const sk_val t0 = sk_add(c, l->t0, sk_k(c, v * c->w));
        const sk_val r = t->radii ? SK_NONE : sk_unpack_radii(c, l->seg, l->lay, l->page, c->zero, t0);
        for (uint32_t i = 0; i < at->hn; i++) {
            const uint32_t h = at->h0 + i;
            const sk_val unit = sk_bytes_unit(c, l, h);
            const sk_val x = sk_ir_1(b, SK_OP_I2F, sk_ir_get(b, at->sum[i][k]));
            sk_store_coded(c, h, l->t0, v, sk_ir_2(b, SK_OP_FMUL, x, unit), r);
        }
    }
}

static void add_heads(sk_dec *c, sk_bytes_loop *l, narrow_heads *at, sk_val next)
{
    sk_builder *b = c->b;
    const sk_bytes *t = l->t;
    for (uint32_t h = 0; h < at->hn; h++) {
        sk_val start = c->zero;
        if (!t->radii) start = sk_ir_ldu(b, SK_LD_U32, l->lut, c->zero, t->starts + (at->h0 + h) * 4);
        for (uint32_t k = 0; k < VECTORS; k++) at->sum[h][k] = sk_ir_var(b, SK_LANE, start);
    }
    l->word = sk_ir_for(b, c->zero, sk_k(c, t->words), t->block);
    if (at->h0 == 0) {
        const sk_val half = sk_add(c, sk_shr(c, l->t0, (uint32_t)__builtin_ctz(vector_bytes(c))),
                                   sk_k(c, at->n));
        const sk_val step = sk_ir_2(b, SK_OP_UDIV, l->word, sk_k(c, t->block));
        const sk_val turn = sk_add(c, sk_mul(c, half, t->words / t->block), step);
        sk_prefetch_share(c, l->tier_slot, next, turn, 0, 1);
    }
    if (t->radii)
        add_radii(c, l, at);
    else
        add_weighted(c, l, at);
    sk_ir_end(b);
    finish_heads(c, l, at);
}

uint32_t sk_bytes_narrow_steps(const sk_dec *c, const sk_bytes *t)
{
    return c->p / vector_bytes(c) * (t->words / t->block);
}

void sk_bytes_narrow_logits(sk_dec *c, sk_bytes_loop *l, sk_val limit, sk_val next)
{
    sk_builder *b = c->b;
    const sk_bytes *t = l->t;
    l->words = sk_ir_ptr_add(b, c->bytes, sk_k(c, sk_bytes_words_at(t)), 1);
    if (t->radii) l->radii = sk_ir_ptr_add(b, l->words, sk_k(c, t->words * SK_BYTES_WORD), 1);
    l->t0 = sk_ir_for(b, c->zero, limit, 64);
    share(c, l);
    const uint32_t shares = (t->heads + HEADS - 1) / HEADS;
    for (uint32_t s = 0; s < shares; s++)
        for (uint32_t n = 0; n < 64 / vector_bytes(c); n++) {
            const uint32_t h0 = t->heads * s / shares;
            narrow_heads at = {.h0 = h0, .hn = t->heads * (s + 1) / shares - h0, .n = n};
            add_heads(c, l, &at, next);
        }
    sk_ir_end(b);
}
