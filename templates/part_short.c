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
#include "part_segments.h"
#include "part_dense.h"
#include "rows.h"

#define WORD_TOP 32766.0f
#define SPLIT_TOP 32512.0f /* 127 times 256, and a signed byte below it */
#define BYTE_TOP 127.0f /* of a pair, too: rounded, two numbers come to 128 at most */
#define HALF_IN_QUERY 0x1p64f
#define HALF_IN_LOGIT 0x1p48f
#define CUT 0.002466f /* 7/16 of 2^-7, over a fraction 1 .. 2 whose logarithm is uniform */

sk_query_form sk_dec_query_form(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const int32_t query = sched->v[SK_T_query];
    const bool fast = spec->accuracy == SPHKV_FAST, pairs = query == SK_QUERY_I7 && fast;
    const bool bytes = query == SK_QUERY_DOTS && fast, dots = bytes && sched->v[SK_T_w] == 16;
    const bool exact = spec->accuracy == SPHKV_EXACT;
    if (sk_dec_seg(spec, tier_slot)->pre_rope) return SK_QUERY_AS_FLOATS; /* rotated first */
    switch (sk_dec_seg(spec, tier_slot)->kind) {
    case SK_KEY_I8:
    case SK_KEY_I4:
        if (pairs && sk_dec_seg(spec, tier_slot)->kind == SK_KEY_I8) return SK_QUERY_AS_PAIRS;
        if (bytes || pairs) return SK_QUERY_AS_BYTES;
        if (query == SK_QUERY_DOTS16 && !exact) return SK_QUERY_AS_SPLIT;
        return query == SK_QUERY_I16 && !exact ? SK_QUERY_AS_WORDS : SK_QUERY_AS_FLOATS;
    case SK_KEY_F16: return dots ? SK_QUERY_FOR_HALVES : SK_QUERY_AS_FLOATS;
    case SK_KEY_BF16: return dots ? SK_QUERY_FOR_BF16 : SK_QUERY_AS_FLOATS;
    default: return SK_QUERY_AS_FLOATS;
    }
}

bool sk_dec_query16(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return sk_dec_query_form(spec, sched, tier_slot) != SK_QUERY_AS_FLOATS;
}

bool sk_dec_uses_query(const sk_spec *spec, const sk_schedule *sched, sk_query_form form)
{
    for (sk_key_part k = {0}; sk_key_next(spec, sched, &k);)
        if (sk_dec_query_form(&k.spec, sched, k.slot) == form) return true;
    return false;
}

/* Dimensions of a block: those of a key's scale, or half. */
uint32_t sk_short_dims(const sk_spec *spec) { return spec->d % 32 == 0 ? 32 : 16; }

/* All of them where there are 32 registers of 16 lanes; with fewer a compiler that sees so
 * much at once keeps more than they hold. */
uint32_t sk_short_unroll(const sk_spec *spec, const sk_schedule *sched)
{
    return sched->v[SK_T_w] == 16 ? sk_short_dims(spec) : 8;
}

/* ---- queries --------------------------------------------------------------- */

static uint32_t blocks_of(const sk_dec *c) { return c->d / sk_short_dims(c->spec); }

/* Whether a tier that is not taken in parts has queries of this form. */
static bool form_here(const sk_dec *c, sk_query_form form)
{
    for (uint32_t i = 0; i < c->spec->ntiers; i++)
        if (!sk_key_parted(c->spec, c->sched, i) && sk_dec_query_form(c->spec, c->sched, i) == form) return true;
    return false;
}

static bool of_bytes(sk_query_form form)
{
    return form == SK_QUERY_AS_BYTES || form == SK_QUERY_AS_PAIRS || form == SK_QUERY_AS_SPLIT;
}

/* Bytes of a number; rows of them, the lower ones of all heads first. */
static uint32_t planes_of(sk_query_form form) { return form == SK_QUERY_AS_SPLIT ? 2 : 1; }

static bool of_integers(sk_query_form form) { return of_bytes(form) || form == SK_QUERY_AS_WORDS; }

/* Words of a row: a head's numbers, or one byte of each. */
static uint32_t row_words(const sk_dec *c, sk_query_form form)
{
    return of_bytes(form) ? c->d / 4 : c->d / 2;
}

/* Bytes of a form's queries: numbers of all heads; a last vector of them, which may be
 * longer; of integers a unit and a sum per head and block. */
static uint32_t form_bytes(const sk_dec *c, sk_query_form form)
{
    const uint32_t facts = of_integers(form) ? 2 * blocks_of(c) : 0;
    return (c->h * (planes_of(form) * row_words(c, form) + facts) + c->w) * 4;
}

/* Where they begin in q16. */
static uint32_t form_at(const sk_dec *c, sk_query_form form)
{
    uint32_t at = 0;
    for (uint32_t f = SK_QUERY_AS_FLOATS + 1; f < form; f++)
        if (form_here(c, (sk_query_form)f)) at += form_bytes(c, (sk_query_form)f);
    return at;
}

uint32_t sk_query16_bytes(const sk_dec *c) { return form_at(c, SK_QUERY_FORMS); }

/* Where numbers, from dimension 0 of row r on, lie: of head r, and of c->h + r the upper bytes;
 * where units (k = 0) and sums (k = 1) of head h do, from block 0 on. */
static uint32_t number_at(const sk_dec *c, sk_query_form form, uint32_t r)
{
    return form_at(c, form) + r * row_words(c, form) * 4;
}
static uint32_t unit_at(const sk_dec *c, sk_query_form form, uint32_t h, uint32_t k)
{
    return number_at(c, form, planes_of(form) * c->h) + (c->w + (2 * h + k) * blocks_of(c)) * 4;
}

/* The numbers of a block, in vectors x, to row r: pairs or quads of them. Lanes beyond the
 * block's are overwritten by the next one's, and the next row's. */
static void put_block(sk_dec *c, sk_query_form form, uint32_t r, sk_val i, const sk_val *x, uint32_t n)
{
    sk_builder *b = c->b;
    const uint32_t dims = sk_short_dims(c->spec), at = number_at(c, form, r);
    for (uint32_t v = 0; of_bytes(form) && v < n; v += 4) {
        sk_val four[4] = {c->zero, c->zero, c->zero, c->zero};
        for (uint32_t k = 0; k < 4 && v + k < n; k++) four[k] = x[v + k];
        sk_ir_stv(b, c->q16, sk_mul(c, i, dims), at + v * c->w, sk_rows_pack8(b, four));
    }
    for (uint32_t v = 0; !of_bytes(form) && v < n; v += 2) {
        const sk_val pairs = sk_ir_2(b, SK_OP_PACK16, x[v], v + 1 < n ? x[v + 1] : c->zero);
        sk_ir_stv(b, c->q16, sk_mul(c, i, dims * 2), at + v / 2 * c->w * 4, pairs);
    }
}

/* What limits the unit: sizes of numbers, or of a pair of dimensions together. */
static sk_val sizes(sk_dec *c, sk_query_form form, sk_val x)
{
    const sk_val size = sk_ir_1(c->b, SK_OP_FABS, x);
    if (form != SK_QUERY_AS_PAIRS) return size;
    const sk_val other = sk_shuf(c, size, sk_ir_2k(c->b, SK_OP_XOR, c->lane, 1));
    return sk_ir_2(c->b, SK_OP_FADD, size, other);
}

static float top_of(sk_query_form form)
{
    return form == SK_QUERY_AS_WORDS ? WORD_TOP : form == SK_QUERY_AS_SPLIT ? SPLIT_TOP : BYTE_TOP;
}

/* A signed byte of numbers, the lower (plane 0) or what is left above it. */
static sk_val byte_of(sk_dec *c, sk_val x, uint32_t plane)
{
    sk_builder *b = c->b;
    const sk_val high = sk_ir_2(b, SK_OP_SRA, sk_add(c, x, sk_k(c, 128)), sk_k(c, 8));
    return plane ? high : sk_ir_2(b, SK_OP_SUB, x, sk_shl(c, high, 8));
}

/* Row r: numbers of a head, or one byte of them. */
static void integer_queries(sk_dec *c, sk_query_form form, uint32_t r)
{
    sk_builder *b = c->b;
    const uint32_t dims = sk_short_dims(c->spec), n = dims / c->w, h = r % c->h;
    const sk_val i = sk_ir_for(b, c->zero, sk_k(c, blocks_of(c)), 1);
    const sk_val from = sk_mul(c, i, dims * 4), at = sk_mul(c, i, 4);
    sk_val x[8], most = sk_ir_f32(b, 1e-30f), sum = c->zero;
    for (uint32_t v = 0; v < n; v++) {
        x[v] = sk_ir_ldv(b, SK_LD_F32, c->qs, from, (h * c->d + v * c->w) * 4);
        most = sk_ir_2(b, SK_OP_FMAX, most, sizes(c, form, x[v]));
    }
    most = sk_ir_1(b, SK_OP_RED_FMAX, most);
    const sk_val top = sk_ir_f32(b, top_of(form));
    const sk_val factor = sk_ir_2(b, SK_OP_FDIV, top, most);
    for (uint32_t v = 0; v < n; v++) {
        x[v] = sk_ir_1(b, SK_OP_F2I, sk_ir_2(b, SK_OP_FMUL, x[v], factor));
        sum = sk_add(c, sum, x[v]);
        if (planes_of(form) == 2) x[v] = byte_of(c, x[v], r / c->h);
    }
    put_block(c, form, r, i, x, n);
    sk_ir_stu(b, c->q16, at, unit_at(c, form, h, 0), sk_ir_2(b, SK_OP_FDIV, most, top));
    sk_ir_stu(b, c->q16, at, unit_at(c, form, h, 1), sk_ir_1(b, SK_OP_RED_UADD, sum));
    sk_ir_end(b);
}

/* Pairs of bfloat16s. */
static void bf16_queries(sk_dec *c, sk_query_form form, uint32_t h)
{
    sk_builder *b = c->b;
    const sk_val factor = sk_ir_f32(b, form == SK_QUERY_FOR_HALVES ? HALF_IN_QUERY : 1.0f);
    for (uint32_t d0 = 0; d0 < c->d; d0 += 2 * c->w) {
        sk_val x[2];
        for (uint32_t v = 0; v < 2; v++) {
            const uint32_t d = d0 + v * c->w;
            x[v] = d < c->d ? sk_ir_ldv(b, SK_LD_F32, c->qs, c->zero, (h * c->d + d) * 4)
                            : sk_ir_f32(b, 0.0f);
            x[v] = sk_ir_2(b, SK_OP_FMUL, x[v], factor);
        }
        sk_ir_stv(b, c->q16, c->zero, number_at(c, form, h) + d0 * 2,
                  sk_rows_pack16(b, SK_LD_BF16, c->w, x[0], x[1]));
    }
}

void sk_part_query16(sk_dec *c)
{
    for (uint32_t f = SK_QUERY_AS_FLOATS + 1; f < SK_QUERY_FORMS; f++) {
        const sk_query_form form = (sk_query_form)f;
        for (uint32_t r = 0; r < planes_of(form) * c->h && form_here(c, form); r++)
            if (of_integers(form))
                integer_queries(c, form, r);
            else
                bf16_queries(c, form, r);
    }
}

/* Number i of row r of the dimensions from where `off` is. */
static sk_val query(sk_dec *c, sk_query_form form, sk_val off, uint32_t r, uint32_t i)
{
    return sk_ir_ldu(c->b, SK_LD_U32, c->q16, off, number_at(c, form, r) + i * 4);
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
    return kind == SK_KEY_I4 ? 8 : of_bytes(form) || c->w == 16 ? 128 : 0;
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
        if (planes_of(form) == 2) add_upper(c, k, form, d0, i, tile->h0 + h, quad, s->upper[h]);
    }
}

/* Sums begin with what codes have too much. */
static block_sums begin_block(sk_dec *c, const sk_dense_keys *k, sk_query_form form, sk_val block,
                              const sk_head_tile *tile)
{
    sk_builder *b = c->b;
    block_sums s = {.in_pairs = of_bytes(form) && c->sched->v[SK_T_query] == SK_QUERY_I7};
    s.late = s.in_pairs && form == SK_QUERY_AS_BYTES;
    for (uint32_t h = 0; h < tile->n; h++) {
        const sk_val all = sk_ir_ldu(b, SK_LD_U32, c->q16, block, unit_at(c, form, tile->h0 + h, 1));
        const sk_val excess = sk_mul(c, all, key_bias(c, k->kind, form));
        for (uint32_t u = 0; u < k->nu; u++) {
            s.sum[h][u] = sk_ir_var(b, SK_LANE, sk_ir_2(b, SK_OP_SUB, c->zero, excess));
            if (s.late) s.pairs[h][u] = sk_ir_var(b, SK_LANE, c->zero);
            if (planes_of(form) == 2) s.upper[h][u] = sk_ir_var(b, SK_LANE, c->zero);
        }
    }
    return s;
}

static void end_block(sk_dec *c, const sk_dense_keys *k, sk_query_form form, sk_val d0, sk_val block,
                      const sk_head_tile *tile, const block_sums *s)
{
    sk_builder *b = c->b;
    for (uint32_t u = 0; u < k->nu; u++) {
        const sk_val scale = of_bytes(form) ? sk_dense_quad_scales(c, k, d0, u)
                                            : sk_dense_scales(c, k, d0, u);
        for (uint32_t h = 0; h < tile->n; h++) {
            const sk_val unit =
                sk_ir_ldu(b, SK_LD_F32, c->q16, block, unit_at(c, form, tile->h0 + h, 0));
            if (s->late)
                add_dot2(b, s->sum[h][u], sk_ir_get(b, s->pairs[h][u]), sk_k(c, 0x00010001u));
            sk_val sum = sk_ir_get(b, s->sum[h][u]);
            if (planes_of(form) == 2) sum = sk_add(c, sum, sk_shl(c, sk_ir_get(b, s->upper[h][u]), 8));
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
        if (of_bytes(form))
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
    if (of_integers(form))
        integer_block(c, k, form, next, tile);
    else
        bf16_block(c, k, form, next, tile);
}

void sk_short_order(sk_dec *c, const sk_dense_keys *k, sk_val x[4])
{
    const sk_query_form form = sk_dec_query_form(c->spec, c->sched, k->tier_slot);
    if (!of_bytes(form) || !sk_dense_quads_apart(c, k)) return;
    for (uint32_t u = 0; u < k->nu; u += 2) sk_rows_interleave(c->b, c->w, x + u);
}
