/* encode_pack.c - numbers of scratch, a word each, packed to fields of the page.
 *
 * In general a word gathers the numbers that touch it. On a CPU a gather costs as
 * much as a dozen shuffles, and all the codes of a page by gathers more than their
 * search (good:vi8, Zen 4: 32 ns of a token): where fields are whole vectors, codes
 * are loaded in order and brought together by packs and shuffles. */
#include "encode.h"

/* ---- gathers -------------------------------------------------------------- */

/* Codes that do not divide a word straddle: every code that touches word i is
 * shifted into place, up or down; shifts beyond 31 bits vanish. */
static void gather_plain(sk_enc *c, sk_val from, uint32_t n, uint32_t bits, uint32_t to)
{
    sk_builder *b = c->b;
    const uint32_t words = (n * bits + 31) / 32, per_word = (31 + bits) / bits + (32 % bits ? 1 : 0);
    const sk_val w0 = sk_enc_turns(c, words, c->w);
    const sk_val word = sk_op2(c, SK_OP_ADD, w0, c->lane);
    const sk_val inside = sk_opk(c, SK_OP_ULT, word, words);
    const sk_val first = sk_opk(c, SK_OP_UDIV, sk_times(c, word, 32), bits);
    sk_val all = c->zero;
    for (uint32_t i = 0; i < per_word; i++) {
        const sk_val e = sk_opk(c, SK_OP_ADD, first, i);
        const sk_val x =
            sk_ir_ldg(b, SK_LD_U32, from, sk_times(c, e, 4), 0, sk_opk(c, SK_OP_ULT, e, n));
        const sk_val up = sk_op2(c, SK_OP_SUB, sk_times(c, e, bits), sk_times(c, word, 32));
        const sk_val down = sk_op2(c, SK_OP_SUB, c->zero, up);
        const sk_val above = sk_op2(c, SK_OP_SHL, x, up), below = sk_op2(c, SK_OP_SHR, x, down);
        all = sk_op2(c, SK_OP_OR, all, sk_op2(c, SK_OP_OR, above, below));
    }
    sk_ir_stg(b, c->dst_page, sk_times(c, word, 4), to, all, inside);
    sk_ir_end(b);
}

/* 4-bit codes of row 1, see layout.h: word i of a block of 64 tokens. */
static void gather_blocked(sk_enc *c, uint32_t n, uint32_t to)
{
    sk_builder *b = c->b;
    const sk_val w0 = sk_enc_turns(c, n / 8, c->w);
    const sk_val word = sk_op2(c, SK_OP_ADD, w0, c->lane);
    const bool whole = n / 8 % c->w == 0; /* not: 16 lanes, an odd number of blocks */
    const sk_val inside = whole ? SK_NONE : sk_opk(c, SK_OP_ULT, word, n / 8);
    const sk_val block = sk_times(c, sk_opk(c, SK_OP_SHR, word, 3), 64);
    const sk_val i = sk_opk(c, SK_OP_AND, word, 7);
    const sk_val high = sk_opk(c, SK_OP_SHR, i, 2); /* which 16 bytes */
    const sk_val half = sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_SHR, i, 1), 1);
    const sk_val pair = sk_opk(c, SK_OP_AND, i, 1);
    sk_val token = sk_op2(c, SK_OP_ADD, block, sk_times(c, half, 16));
    token = sk_op2(c, SK_OP_ADD, token, sk_times(c, high, 4));
    token = sk_op2(c, SK_OP_ADD, token, sk_times(c, pair, 2));
    sk_val all = c->zero;
    for (uint32_t nib = 0; nib < 8; nib++) {
        const uint32_t byte = nib / 2, add = 8 * (byte % 2) + byte / 2 + 32 * (nib % 2);
        const sk_val x = sk_ir_ldg(b, SK_LD_U32, c->code, sk_times(c, token, 4), add * 4, inside);
        all = sk_op2(c, SK_OP_OR, all, sk_opk(c, SK_OP_SHL, x, nib * 4));
    }
    if (whole)
        sk_ir_stv(b, c->dst_page, sk_times(c, w0, 4), to, all);
    else
        sk_ir_stg(b, c->dst_page, sk_times(c, word, 4), to, all, inside);
    sk_ir_end(b);
}

/* ---- vectors -------------------------------------------------------------- */

static sk_val load_codes(sk_enc *c, sk_val from, sk_val at, uint32_t u)
{
    return sk_ir_ldv(c->b, SK_LD_U32, from, at, u * c->w * 4);
}

/* W numbers of `size` bits, one a lane, side by side in the lowest lanes; the others 0. */
static sk_val side_by_side(sk_enc *c, sk_val x, uint32_t size)
{
    const uint32_t words = c->w * size / 32, touch = (32 + size - 2) / size + 1;
    if (size == 32) return x;
    const sk_val first = sk_opk(c, SK_OP_UDIV, sk_times(c, c->lane, 32), size);
    sk_val all = c->zero;
    for (uint32_t i = 0; i < touch; i++) {
        const sk_val from = sk_opk(c, SK_OP_ADD, first, i);
        const sk_val part = sk_ir_2(c->b, SK_OP_SHUFFLE, x, from);
        const sk_val up = sk_op2(c, SK_OP_SUB, sk_times(c, from, size), sk_times(c, c->lane, 32));
        const sk_val moved = i == 0 ? sk_op2(c, SK_OP_SHR, part, sk_op2(c, SK_OP_SUB, c->zero, up))
                                    : sk_op2(c, SK_OP_SHL, part, up);
        all = sk_op2(c, SK_OP_OR, all, moved);
    }
    return sk_pick(c, sk_opk(c, SK_OP_ULT, c->lane, words), all, c->zero);
}

/* Vectors of numbers of a step in plain order. */
static uint32_t plain_vectors(const sk_enc *c, uint32_t n, uint32_t bits)
{
    return bits == 4 && n % (8 * c->w) == 0 ? 8 : 4;
}

/* Whether the last step's whole vector lies in this page: where values are dimensions of
 * keys (vk) nothing may follow the field. */
static bool in_page(const sk_enc *c, uint32_t n, uint32_t bits, uint32_t to)
{
    const uint32_t last = n - plain_vectors(c, n, bits) * c->w;
    return to + last * bits / 8 + 4 * c->w <= c->dst.units * SPHKV_UNIT_BYTES;
}

/* Plain order, up to 8 bits, 4 W numbers at a time. A step stores a whole vector: what is
 * behind its words is stored by the next one, and behind the last by the fields that
 * follow, which are stored later, or is the page's last bytes, which are zeros. */
static void vectors_plain(sk_enc *c, sk_val from, uint32_t n, uint32_t bits, uint32_t to)
{
    const uint32_t vectors = plain_vectors(c, n, bits);
    const sk_val i = sk_ir_for(c->b, c->zero, sk_u32(c, n), vectors * c->w);
    const sk_val at = sk_times(c, i, 4), out = sk_opk(c, SK_OP_SHR, sk_times(c, i, bits), 3);
    sk_val x[8];
    for (uint32_t u = 0; u < vectors; u++) x[u] = load_codes(c, from, at, u);
    const sk_val words = vectors == 8
                             ? sk_rows_pack4(c->b, x)
                             : side_by_side(c, sk_rows_quads(c->b, x, bits), 4 * bits);
    sk_ir_stv(c->b, c->dst_page, out, to, words);
    sk_ir_end(c->b);
}

/* 4-bit codes of row 1, W words at a time: 8 words are a block of 64 tokens. Nibbles
 * first; then pairs of neighbours by a pack, the pair 8 tokens further between them; then
 * words in their order. */
static void vectors_blocked(sk_enc *c, uint32_t n, uint32_t to)
{
    const uint32_t blocks = c->w / 8, per = 64 / c->w, half = per / 2;
    const sk_val i = sk_ir_for(c->b, c->zero, sk_u32(c, n), blocks * 64), at = sk_times(c, i, 4);
    const sk_val up4 = sk_opk(c, SK_OP_ADD, c->lane, 4);
    sk_val near[4], word[2];
    for (uint32_t k = 0; k < 4; k++) {
        const uint32_t u = k / half * per + k % half;
        const sk_val high = load_codes(c, c->code, at, u + half);
        near[k] = sk_op2(c, SK_OP_OR, load_codes(c, c->code, at, u), sk_opk(c, SK_OP_SHL, high, 4));
    }
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val pairs = sk_op2(c, SK_OP_PACK16, near[2 * k], near[2 * k + 1]);
        const sk_val far = sk_op2(c, SK_OP_SHUFFLE, pairs, up4);
        word[k] = sk_op2(c, SK_OP_OR, pairs, sk_opk(c, SK_OP_SHL, far, 8));
    }
    /* lane 4 h + 2 q + p: pair 2 h + p of the 16 tokens q */
    const sk_val q = sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_SHR, c->lane, 1), 1);
    const sk_val h = sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_SHR, c->lane, 2), 1);
    sk_val from = sk_op2(c, SK_OP_ADD, sk_times(c, h, 2), sk_opk(c, SK_OP_AND, c->lane, 1));
    sk_val first = sk_opk(c, SK_OP_EQ, q, 0);
    if (c->w == 16) {
        from = sk_op2(c, SK_OP_ADD, from, sk_times(c, q, 8));
        first = sk_opk(c, SK_OP_ULT, c->lane, 8);
    }
    const sk_val low = sk_op2(c, SK_OP_SHUFFLE, word[0], from);
    const sk_val high = sk_op2(c, SK_OP_SHUFFLE, word[1], from);
    sk_ir_stv(c->b, c->dst_page, sk_opk(c, SK_OP_SHR, i, 1), to, sk_pick(c, first, low, high));
    sk_ir_end(c->b);
}

/* ---- fields --------------------------------------------------------------- */

static bool in_vectors(const sk_enc *c) { return !c->gpu && c->w >= 8; }

void sk_encode_pack(sk_enc *c, sk_val from, uint32_t n, uint32_t bits, uint32_t to)
{
    if (in_vectors(c) && bits <= 8 && n % (4 * c->w) == 0 && in_page(c, n, bits, to))
        vectors_plain(c, from, n, bits, to);
    else
        gather_plain(c, from, n, bits, to);
}

void sk_encode_pack_blocked(sk_enc *c, uint32_t n, uint32_t to)
{
    if (in_vectors(c) && n % (8 * c->w) == 0)
        vectors_blocked(c, n, to);
    else
        gather_blocked(c, n, to);
}
