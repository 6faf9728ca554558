/* part_short.c - logits of keys that are not coded, products with short queries: ki8
 * and ki4 with 16-bit integers (query=i16, and as two bytes query=dots16) or bytes
 * (query=dots), kf16 and kbf16 with bfloat16s (query=dots), the last two in class fast only.
 *
 * Codes stay integers: the query becomes integers with one unit per head and block of
 * dimensions, two dimensions of a token share a lane and one DOT2 does both, or four and
 * one DOT4US (part_quads.c), or one for either byte of a query, which takes as many as DOT2
 does but unpacks half as much: 256 times the upper sum is below 2^29; a block's sum meets
 scale and unit once. CPUs that have no
 * DOT4US, only sums of pairs of products in 16 bits (query=i7), widen those, with ki4 once a
 * block. With ki8 two products must fit: 255 (|a| + |b|) is at most 32767 where the two
 * numbers of a pair come to 128 together, which 7 bits of each would be; but the largest
 * pair of a block says it, not the largest number twice (of 32 normal numbers 3.3 of their
 * deviation, not 4.7), so that a unit is 0.7 of that of 7 bits, and where one number
 * outweighs the rest that of 8. Codes are taken as unsigned where
 * that is cheaper, and the excess, bias times the sum of the block's queries, is where a
 * sum begins. A unit per block, not per head: in models a few dimensions of a query are
 * far larger than the rest.
 *
 * Halves become bfloat16s without floats: shifted right by 3 they have their exponent and 7
 * bits of the fraction in place, and are 2^-112 of what they were. Half of that is in the
 * queries and the rest in the logits, so that neither runs out of exponents. Bits are cut
 * off, which makes keys smaller: by CUT of themselves, were all fractions as likely; the
 * logits have that back. Keys that are subnormal halves count as 0. */
#include "part_short.h"
#include "rows.h"

#define HALF_IN_LOGIT 0x1p48f
#define CUT 0.002466f /* 7/16 of 2^-7, over a fraction 1 .. 2 whose logarithm is uniform */

/* Dimensions of a block: those of a key's scale, or half. */
uint32_t sk_short_dims(const sk_spec *spec) { return spec->d % 32 == 0 ? 32 : 16; }

/* All of them where there are 32 registers of 16 lanes; with fewer a compiler that sees so
 * much at once keeps more than they hold. */
uint32_t sk_short_unroll(const sk_spec *spec, const sk_schedule *sched)
{
    return sched->v[SK_T_w] == 16 ? sk_short_dims(spec) : 8;
}

/* Number i of row r of the dimensions from where `off` is. */
static sk_val query(sk_dec *c, sk_query_form form, sk_val off, uint32_t r, uint32_t i)
{
    return sk_ir_ldu(c->b, SK_LD_U32, c->q16, off, sk_short_number_at(c, form, r) + i * 4);
}

/* ---- codes as pairs and quads ----------------------------------------------- */

/* Two pairs of dimensions, d0 + i .. d0 + i + 3, of vector u. */
static void key_pairs(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u,
                      sk_val *pair)
{
    sk_builder *b = c->b;
    if (k->kind == SK_KEY_I4) { /* 16 bytes: 16 tokens of two dimensions */
        const sk_val t = sk_dense_columns(c, k, u), off = sk_dense_row(c, k, d0, 8);
        const sk_val quad = sk_mul(c, sk_shr(c, t, 2), 0x02020202u);
        const sk_val bytes = sk_add(c, quad, sk_k(c, 0x09080100u));
        const sk_val by = sk_shl(c, sk_and(c, t, 3), 2);
        for (uint32_t n = 0; n < 2; n++) {
            const uint32_t disp = (u * c->w / 16 * c->d + i + 2 * n) * 8;
            const sk_val all = sk_ir_ldrows(b, SK_LD_U32, k->keys, off, disp, 4);
            const sk_val halves = sk_ir_2(b, SK_OP_LUT16, all, bytes);
            pair[n] = sk_and(c, sk_ir_2(b, SK_OP_SHR, halves, by), 0x000f000fu);
        }
        return;
    }
    sk_val off = sk_dense_row(c, k, d0, 16);
    if (c->w == 16) { /* 64 bytes: 16 tokens of four dimensions, transposed */
        const sk_val four = sk_ir_ldv(b, SK_LD_U32, k->keys, off, sk_dense_element(c, u, i));
        const sk_val row = sk_mul(c, sk_and(c, c->lane, 3), 4);
        const sk_val words = sk_shuf(c, four, sk_add(c, row, sk_shr(c, c->lane, 2)));
        const sk_val token = sk_mul(c, sk_and(c, c->lane, 3), 0x01010101u);
        const sk_val order = sk_add(c, token, sk_k(c, 0x0c040800u)); /* dims 0 2 1 3 */
        const sk_val bytes = sk_ir_2(b, SK_OP_LUT16, words, order);
        const sk_val up = sk_ir_2k(b, SK_OP_XOR, bytes, 0x80808080u);
        pair[0] = sk_and(c, up, 0x00ff00ffu);
        pair[1] = sk_and(c, sk_shr(c, up, 8), 0x00ff00ffu);
        return;
    }
    if (k->column != SK_NONE) off = sk_add(c, off, k->column);
    for (uint32_t n = 0; n < 2; n++) {
        const uint32_t at = sk_dense_element(c, u, i + 2 * n);
        const sk_val low = sk_and(c, sk_ir_ldv(b, SK_LD_S8, k->keys, off, at), 0xffff);
        const sk_val high = sk_ir_ldv(b, SK_LD_S8, k->keys, off, at + 16);
        pair[n] = sk_or(c, low, sk_shl(c, high, 16));
    }
}

/* What is added to every code. */
static uint32_t key_bias(const sk_dec *c, uint32_t kind, sk_query_form form)
{
    return kind == SK_KEY_I4 ? 8 : sk_short_of_bytes(form) || c->w == 16 ? 128 : 0;
}

/* ---- products of integers ------------------------------------------------------ */

/* Variables of a block: sums of head h of the tile and vector u; and of bytes whose
 * products are added in 16 bits, those that are not widened yet; of two bytes, those of the
 * upper one. */
typedef struct block_sums {
    sk_val sum[SK_HEAD_TILE][4], pairs[SK_HEAD_TILE][4], upper[SK_HEAD_TILE][4];
    bool in_pairs, late; /* whether there are such; whether they wait for the block's end */
} block_sums;

/* var += DOT2 of x and y */
static void add_dot2(sk_builder *b, sk_val var, sk_val x, sk_val y)
{
    sk_ir_set(b, var, sk_ir_3(b, SK_OP_DOT2, sk_ir_get(b, var), x, y));
}

static void add_words(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i,
                      const sk_head_tile *tile, const block_sums *s)
{
    const sk_val off = sk_mul(c, d0, 2);
    sk_val pair[4][2];
    for (uint32_t u = 0; u < k->nu; u++) key_pairs(c, k, d0, i, u, pair[u]);
    for (uint32_t n = 0; n < 2; n++)
        for (uint32_t h = 0; h < tile->n; h++) {
            const sk_val q = query(c, SK_QUERY_AS_WORDS, off, tile->h0 + h, i / 2 + n);
            for (uint32_t u = 0; u < k->nu; u++) add_dot2(c->b, s->sum[h][u], pair[u][n], q);
        }
}

/* Products with the upper bytes of head h's queries. */
static void add_upper(sk_dec *c, const sk_dense_keys *k, sk_query_form form, sk_val d0, uint32_t i,
                      uint32_t h, const sk_val *quad, const sk_val *sum)
{
    const sk_val q = query(c, form, d0, c->h + h, i / 4);
    for (uint32_t u = 0; u < k->nu; u++)
        sk_ir_set(c->b, sum[u], sk_ir_dot4us(c->b, sk_ir_get(c->b, sum[u]), quad[u], q));
}

static void add_bytes(sk_dec *c, const sk_dense_keys *k, sk_query_form form, sk_val d0, uint32_t i,
                      const sk_head_tile *tile, const block_sums *s)
{
    sk_builder *b = c->b;
    sk_val quad[4];
    sk_dense_quads(c, k, d0, i, quad);
    for (uint32_t h = 0; h < tile->n; h++) {
        const sk_val q = query(c, form, d0, tile->h0 + h, i / 4);
        for (uint32_t u = 0; u < k->nu; u++) {
            const sk_val sum = s->sum[h][u], pairs = s->pairs[h][u];
            if (!s->in_pairs) {
                sk_ir_set(b, sum, sk_ir_dot4us(b, sk_ir_get(b, sum), quad[u], q));
                continue;
            }
            const sk_val two = sk_ir_2(b, SK_OP_MADD8, quad[u], q);
            if (s->late)
                sk_ir_set(b, pairs, sk_ir_2(b, SK_OP_ADD16X2, sk_ir_get(b, pairs), two));
            else
                add_dot2(b, sum, two, sk_k(c, 0x00010001u));
        }
        if (sk_short_planes(form) == 2) add_upper(c, k, form, d0, i, tile->h0 + h, quad, s->upper[h]);
    }
}

/* Sums begin with what codes have too much. */
static block_sums begin_block(sk_dec *c, const sk_dense_keys *k, sk_query_form form, sk_val block,
                              const sk_head_tile *tile)
{
    sk_builder *b = c->b;
    block_sums s = {.in_pairs = sk_short_of_bytes(form) && c->sched->v[SK_T_query] == SK_QUERY_I7};
    s.late = s.in_pairs && form == SK_QUERY_AS_BYTES;
    for (uint32_t h = 0; h < tile->n; h++) {
        const sk_val all = sk_ir_ldu(b, SK_LD_U32, c->q16, block, sk_short_unit_at(c, form, tile->h0 + h, 1));
        const sk_val excess = sk_mul(c, all, key_bias(c, k->kind, form));
        for (uint32_t u = 0; u < k->nu; u++) {
            s.sum[h][u] = sk_ir_var(b, SK_LANE, sk_ir_2(b, SK_OP_SUB, c->zero, excess));
            if (s.late) s.pairs[h][u] = sk_ir_var(b, SK_LANE, c->zero);
            if (sk_short_planes(form) == 2) s.upper[h][u] = sk_ir_var(b, SK_LANE, c->zero);
        }
    }
    return s;
}

static void end_block(sk_dec *c, const sk_dense_keys *k, sk_query_form form, sk_val d0, sk_val block,
                      const sk_head_tile *tile, const block_sums *s)
{
    sk_builder *b = c->b;
    for (uint32_t u = 0; u < k->nu; u++) {
        const sk_val scale = sk_short_of_bytes(form) ? sk_dense_quad_scales(c, k, d0, u)
                                            : sk_dense_scales(c, k, d0, u);
        for (uint32_t h = 0; h < tile->n; h++) {
            const sk_val unit =
                sk_ir_ldu(b, SK_LD_F32, c->q16, block, sk_short_unit_at(c, form, tile->h0 + h, 0));
            if (s->late)
                add_dot2(b, s->sum[h][u], sk_ir_get(b, s->pairs[h][u]), sk_k(c, 0x00010001u));
            sk_val sum = sk_ir_get(b, s->sum[h][u]);
            if (sk_short_planes(form) == 2) sum = sk_add(c, sum, sk_shl(c, sk_ir_get(b, s->upper[h][u]), 8));
            const sk_val x = sk_ir_1(b, SK_OP_I2F, sum);
            const sk_val acc = tile->acc[h][u], each = sk_ir_2(b, SK_OP_FMUL, scale, unit);
            sk_ir_set(b, acc, sk_fma(c, x, each, sk_ir_get(b, acc)));
        }
    }
}

static void integer_block(sk_dec *c, const sk_dense_keys *k, sk_query_form form, sk_val next,
                          const sk_head_tile *tile)
{
    sk_builder *b = c->b;
    const uint32_t dims = sk_short_dims(c->spec);
    const uint32_t unroll = sk_dense_unroll(c->spec, c->sched, k->tier_slot);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), dims);
    const sk_val block = sk_mul(c, sk_shr(c, d0, (uint32_t)__builtin_ctz(dims)), 4);
    const block_sums s = begin_block(c, k, form, block, tile);
    const sk_val d1 = unroll < dims ? sk_ir_for(b, d0, sk_add(c, d0, sk_k(c, dims)), unroll) : d0;
    const sk_val turn = sk_dense_turn(c, k, d1);
    for (uint32_t i = 0; i < unroll; i += 4) {
        if (sk_short_of_bytes(form))
            add_bytes(c, k, form, d1, i, tile, &s);
        else
            add_words(c, k, d1, i, tile, &s);
        if (tile->h0 == 0) sk_prefetch_share(c, k->tier_slot, next, turn, i / 4, unroll / 4);
    }
    if (unroll < dims) sk_ir_end(b);
    end_block(c, k, form, d0, block, tile, &s);
    sk_ir_end(b);
}

/* ---- products of bfloat16s ------------------------------------------------------ */

/* W tokens of the dimensions d0 + i and d0 + i + 1, a half of a dimension of a token. */
static sk_val key_halves(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u)
{
    sk_builder *b = c->b;
    const sk_val off = sk_dense_row(c, k, d0, 32);
    const sk_val two = sk_ir_ldv(b, SK_LD_U32, k->keys, off, sk_dense_element(c, u, i) * 2);
    const sk_val order = sk_add(c, sk_mul(c, c->lane, 0x00010001u), sk_k(c, 0x00100000u));
    const sk_val pair = sk_ir_2(b, SK_OP_PERM16, two, order);
    return k->kind == SK_KEY_BF16 ? pair : sk_and(c, sk_ir_sra16x2(b, pair, 3), 0x8fff8fffu);
}

static void bf16_block(sk_dec *c, const sk_dense_keys *k, sk_query_form form, sk_val next,
                       const sk_head_tile *tile)
{
    sk_builder *b = c->b;
    const uint32_t dims = sk_short_dims(c->spec);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), dims), turn = sk_dense_turn(c, k, d0);
    const sk_val off = sk_mul(c, d0, 2);
    for (uint32_t i = 0; i < dims; i += 2) {
        sk_val x[4];
        for (uint32_t u = 0; u < k->nu; u++) x[u] = key_halves(c, k, d0, i, u);
        if (tile->h0 == 0) sk_prefetch_share(c, k->tier_slot, next, turn, i / 2, dims / 2);
        for (uint32_t h = 0; h < tile->n; h++) {
            const sk_val q = query(c, form, off, tile->h0 + h, i / 2);
            for (uint32_t u = 0; u < k->nu; u++) {
                const sk_val acc = tile->acc[h][u];
                sk_ir_set(b, acc, sk_ir_bdot2(b, sk_ir_get(b, acc), x[u], q));
            }
        }
    }
    sk_ir_end(b);
    if (form != SK_QUERY_FOR_HALVES) return;
    const sk_val back = sk_ir_f32(b, HALF_IN_LOGIT * (1.0f + CUT));
    for (uint32_t h = 0; h < tile->n; h++)
        for (uint32_t u = 0; u < k->nu; u++) {
            const sk_val acc = tile->acc[h][u];
            sk_ir_set(b, acc, sk_ir_2(b, SK_OP_FMUL, sk_ir_get(b, acc), back));
        }
}

void sk_short_block(sk_dec *c, const sk_dense_keys *k, sk_val next, const sk_head_tile *tile)
{
    const sk_query_form form = sk_dec_query_form(c->spec, c->sched, k->tier_slot);
    if (sk_short_of_integers(form))
        integer_block(c, k, form, next, tile);
    else
        bf16_block(c, k, form, next, tile);
}

void sk_short_order(sk_dec *c, const sk_dense_keys *k, sk_val x[4])
{
    const sk_query_form form = sk_dec_query_form(c->spec, c->sched, k->tier_slot);
    if (!sk_short_of_bytes(form) || !sk_dense_quads_apart(c, k)) return;
    for (uint32_t u = 0; u < k->nu; u += 2) sk_rows_interleave(c->b, c->w, x + u);
}
