/* encode_ints.c - keys of a dense page into ki8 and ki4: per token and 32
 * dimensions one f16 scale, the largest magnitude over the largest code, and
 * codes to the nearest. Lanes are tokens, 16 of a dimension side by side;
 * elements go out in memory order, so that one lane owns each word. Slots from
 * count on are zeros: scale 0, and for ki4 the nibble 0 too, not the code 0. */
#include "encode.h"

/* Vector x of W consecutive key elements from element e (a multiple of 16) of
 * the 16 tokens from t0 on. */
static sk_val load_keys(sk_enc *c, sk_val e, sk_val token, uint32_t x)
{
    const sk_ld_kind from = c->from_kind;
    const uint32_t es = sk_ld_bytes(from);
    const sk_val k = sk_ir_ldv(c->b, from, c->src_page, sk_times(c, e, es),
                               c->from->key_off + x * c->w * es);
    return sk_encode_masked(c, token, k);
}

static uint32_t top_of(const sk_enc *c) { return c->seg->kind == SK_KEY_I8 ? 127 : 7; }

/* Codes of vector x of elements from e on. */
static sk_val code_of(sk_enc *c, sk_val e, sk_val token, uint32_t x, sk_val inv)
{
    const sk_val q = sk_encode_code(c, load_keys(c, e, token, x), inv, top_of(c));
    if (c->seg->kind == SK_KEY_I8) return q;
    const sk_val used = sk_op2(c, SK_OP_ULT, token, c->count);
    return sk_pick(c, used, sk_opk(c, SK_OP_ADD, q, 8), c->zero);
}

/* W words of codes, those of the elements from e on. */
static void put_codes(sk_enc *c, sk_val e, const sk_val *q)
{
    const bool bytes = c->seg->kind == SK_KEY_I8;
    const sk_val at = bytes ? e : sk_opk(c, SK_OP_SHR, e, 1);
    sk_ir_stv(c->b, c->dst_page, at, c->to->key_off,
              bytes ? sk_rows_pack8(c->b, q) : sk_rows_pack4(c->b, q));
}

/* Dimensions d0 .. d0 + dims - 1, one block, of 16 tokens. */
static void int_block(sk_enc *c, sk_val t0, sk_val d0, uint32_t dims)
{
    sk_builder *b = c->b;
    const bool bytes = c->seg->kind == SK_KEY_I8;
    const uint32_t n = 16 / c->w, out = bytes ? 4 : 8;
    sk_val token[4], most[4], inv[4];
    for (uint32_t x = 0; x < n; x++) {
        token[x] = sk_op2(c, SK_OP_ADD, t0, sk_opk(c, SK_OP_ADD, c->lane, x * c->w));
        most[x] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    }
    const sk_val row = sk_op2(c, SK_OP_ADD, sk_times(c, t0, c->to->dims), sk_times(c, d0, 16));
    const sk_val from = sk_encode_from(c, t0, d0, row);
    sk_val i = sk_ir_for(b, c->zero, sk_u32(c, dims), 1);
    sk_val e = sk_op2(c, SK_OP_ADD, from, sk_times(c, i, 16));
    for (uint32_t x = 0; x < n; x++) {
        const sk_val k = sk_ir_1(b, SK_OP_FABS, load_keys(c, e, token[x], x));
        sk_ir_set(b, most[x], sk_op2(c, SK_OP_FMAX, sk_ir_get(b, most[x]), k));
    }
    sk_ir_end(b);
    const sk_val slot = sk_times(c, sk_opk(c, SK_OP_SHR, d0, 5), c->spec->page);
    for (uint32_t x = 0; x < n; x++) {
        sk_val bits;
        inv[x] = sk_encode_scale(c, sk_ir_get(b, most[x]), top_of(c), &bits);
        sk_ir_stv(b, c->ks, sk_times(c, sk_op2(c, SK_OP_ADD, slot, t0), 4), x * c->w * 4, bits);
    }
    i = sk_ir_for(b, c->zero, sk_u32(c, dims), out / n);
    e = sk_op2(c, SK_OP_ADD, from, sk_times(c, i, 16));
    sk_val q[8];
    for (uint32_t x = 0; x < out; x++) q[x] = code_of(c, e, token[x % n], x, inv[x % n]);
    put_codes(c, from == row ? e : sk_op2(c, SK_OP_ADD, row, sk_times(c, i, 16)), q);
    sk_ir_end(b);
}

/* ---- on a GPU: scales, then codes ---- */

/* Lanes are tokens, of one block of dimensions. */
static void token_scales(sk_enc *c)
{
    sk_builder *b = c->b;
    const sk_ld_kind from = c->from_kind;
    const uint32_t es = sk_ld_bytes(from), d = c->to->dims, page = c->spec->page;
    sk_val t0, d0, bits;
    sk_enc_nest(c, page, c->w, d, 32, &t0, &d0);
    const sk_val t = sk_op2(c, SK_OP_ADD, t0, c->lane), used = sk_op2(c, SK_OP_ULT, t, c->count);
    const sk_val row = sk_times(c, sk_opk(c, SK_OP_SHR, t, 4), c->from->dims * 16);
    sk_val first = sk_op2(c, SK_OP_ADD, row, sk_opk(c, SK_OP_AND, t, 15));
    const uint32_t before = c->to->dim0 - c->from->dim0;
    if (before > 0) first = sk_opk(c, SK_OP_ADD, first, before * 16);
    const sk_val end = sk_opk(c, SK_OP_UMIN, sk_opk(c, SK_OP_ADD, d0, 32), d);
    const sk_val most = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val i = sk_ir_for(b, d0, end, 1);
    const sk_val at = sk_times(c, sk_op2(c, SK_OP_ADD, first, sk_times(c, i, 16)), es);
    const sk_val k = sk_ir_ldg(b, from, c->src_page, at, c->from->key_off, used);
    sk_ir_set(b, most, sk_op2(c, SK_OP_FMAX, sk_ir_get(b, most), sk_ir_1(b, SK_OP_FABS, k)));
    sk_ir_end(b);
    (void)sk_encode_scale(c, sk_ir_get(b, most), top_of(c), &bits);
    const sk_val slot = sk_op2(c, SK_OP_ADD, sk_times(c, sk_opk(c, SK_OP_SHR, d0, 5), page), t);
    sk_ir_stg(b, c->ks, sk_times(c, slot, 4), 0, bits, sk_opk(c, SK_OP_ULT, t, page));
    sk_enc_nest_end(c);
    sk_enc_sync(c);
}

static void token_codes(sk_enc *c)
{
    sk_builder *b = c->b;
    const bool bytes = c->seg->kind == SK_KEY_I8;
    const uint32_t out = bytes ? 4 : 8; /* vectors of two dimensions of 16 tokens */
    sk_val t0, d0, q[8];
    sk_enc_nest(c, c->spec->page, 16, c->to->dims, out * c->w / 16, &t0, &d0);
    const sk_val token = sk_op2(c, SK_OP_ADD, t0, sk_opk(c, SK_OP_AND, c->lane, 15));
    const sk_val slot = sk_op2(c, SK_OP_ADD, sk_times(c, sk_opk(c, SK_OP_SHR, d0, 5), c->spec->page), token);
    const sk_val scale = sk_ir_ldg(b, SK_LD_U32, c->ks, sk_times(c, slot, 4), 0, SK_NONE);
    const sk_val inv = sk_encode_inverse(c, scale, sk_ir_f32(b, 0.0f));
    const sk_val e = sk_op2(c, SK_OP_ADD, sk_times(c, t0, c->to->dims), sk_times(c, d0, 16));
    const sk_val from = sk_encode_from(c, t0, d0, e);
    for (uint32_t x = 0; x < out; x++) q[x] = code_of(c, from, token, x, inv);
    put_codes(c, e, q);
    sk_enc_nest_end(c);
}

void sk_encode_int_keys(sk_enc *c)
{
    const uint32_t d = c->to->dims, whole = d & ~31u;
    if (c->gpu) {
        token_scales(c);
        token_codes(c);
    } else {
        const sk_val t0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->spec->page), 16);
        if (whole > 0) {
            const sk_val d0 = sk_ir_for(c->b, c->zero, sk_u32(c, whole), 32);
            int_block(c, t0, d0, 32);
            sk_ir_end(c->b);
        }
        if (whole < d) int_block(c, t0, sk_u32(c, whole), d - whole);
        sk_ir_end(c->b);
    }
    sk_encode_pack(c, c->ks, (d + 31) / 32 * c->spec->page, 16, c->to->kscale_off);
}
