/* compact_keys.c - dense keys on a CPU: 16 tokens are a block, which has a row of them for
 * each dimension, one behind the other; a vector holds a row or several. All vectors of a
 * block take their bytes from the same places of those of the source's blocks: one index
 * serves all dimensions. Blocks of the source are looked at two by two, since of a page
 * that loses half of its tokens 16 lie in two of them. */
#include "compact.h"

#define NIBBLES 0x0f0f0f0fu

static uint32_t row_bytes(const sk_compact_field *f) { return 2 * f->bits; }

bool sk_compact_keys_fit(const sk_compact *c, const sk_compact_field *f)
{
    return !c->enc.gpu && f->as == SK_AS_DENSE && f->anew == SK_KEPT &&
           row_bytes(f) <= 4 * c->dec.w && f->n * row_bytes(f) % (4 * c->dec.w) == 0;
}

/* Blocks of the source that a permutation takes from. */
static uint32_t tables(const sk_compact *c) { return c->dec.p % 32 == 0 ? 2 : 1; }

/* Where the bytes of a vector come from; of 4-bit keys those of one nibble of each. */
typedef struct bytes {
    sk_val index;    /* for the permutation */
    sk_val odd;      /* 4-bit keys: bit 7 where it is the high nibble of its byte */
    sk_val group[4]; /* of element k of a word: its blocks of the source; P: of another run */
} bytes;

static bool nibbles(const sk_compact_field *f) { return f->bits == 4; }
/* Elements that a word has an index for, and bytes of one. */
static uint32_t per_word(const sk_compact_field *f) { return nibbles(f) ? 4 : 32 / f->bits; }
static uint32_t per_element(const sk_compact_field *f) { return nibbles(f) ? 1 : f->bits / 8; }

/* Of the block that begins at token t0; side: of 4-bit keys, the nibble. */
static bytes find(sk_compact *c, const sk_compact_field *f, const sk_compact_run *run, sk_val t0,
                  uint32_t side)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t per = per_word(f), size = per_element(f), all = 0xffffffffu >> (32 - 8 * size);
    bytes x = {.index = d->zero, .odd = d->zero};
    const bool whole = d->w == 16; /* a block's slots are a vector */
    const sk_val slots = whole ? sk_ir_ldv(b, SK_LD_U32, c->slots, sk_mul(d, t0, 4), 0) : SK_NONE;
    for (uint32_t k = 0; k < per; k++) {
        sk_val e = sk_add(d, sk_mul(d, d->lane, per), sk_k(d, k));
        if (nibbles(f)) e = sk_add(d, sk_shl(d, e, 1), sk_k(d, side));
        const sk_val t = sk_add(d, t0, sk_and(d, e, 15));
        const sk_val slot = whole ? sk_shuf(d, slots, sk_and(d, e, 15))
                                  : sk_ir_ldg(b, SK_LD_U32, c->slots, sk_mul(d, t, 4), 0, SK_NONE);
        const sk_val in = sk_ir_2(b, SK_OP_ULT, sk_ir_2(b, SK_OP_SUB, t, run->begin), run->n);
        const sk_val place = sk_and(d, slot, 15), block = sk_shr(d, slot, 4);
        sk_val from = nibbles(f) ? sk_shr(d, place, 1) : sk_mul(d, place, size);
        from = sk_add(d, from, sk_mul(d, sk_shr(d, e, 4), row_bytes(f)));
        if (tables(c) == 2) from = sk_add(d, from, sk_mul(d, sk_and(d, block, 1), 4 * d->w));
        from = sk_add(d, sk_mul(d, from, 0x01010101u & all), sk_k(d, 0x03020100u & all));
        x.index = sk_or(d, x.index, sk_shl(d, from, 8 * size * k));
        x.odd = sk_or(d, x.odd, sk_shl(d, sk_and(d, place, 1), 8 * k + 7));
        x.group[k] = sk_sel(d, in, sk_shr(d, block, tables(c) - 1), sk_k(d, d->p));
    }
    return x;
}

/* The bits of a vector that these blocks of the source have. */
static sk_val mask_of(sk_compact *c, const sk_compact_field *f, const bytes *x, sk_val group)
{
    sk_dec *d = &c->dec;
    const uint32_t bits = 8 * per_element(f), all = 0xffffffffu >> (32 - bits);
    sk_val mask = d->zero;
    for (uint32_t k = 0; k < per_word(f); k++)
        mask = sk_or(d, mask, sk_sel(d, sk_ir_2(d->b, SK_OP_EQ, x->group[k], group),
                                     sk_k(d, all << (k * bits)), d->zero));
    return nibbles(f) ? sk_and(d, mask, NIBBLES) : mask;
}

/* What a permutation brings, in place. */
static sk_val moved(sk_compact *c, const sk_compact_field *f, const bytes *x, sk_val mask, const sk_val *from)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_val y = tables(c) == 2 ? sk_ir_3(b, SK_OP_PERM8X2, from[0], from[1], x->index)
                              : sk_ir_2(b, SK_OP_PERM8, from[0], x->index);
    if (nibbles(f)) y = sk_ir_3(b, SK_OP_SEL8, x->odd, sk_shr(d, y, 4), y);
    return sk_ir_2(b, SK_OP_AND, y, mask);
}

/* The block that begins at token t0, from some blocks of the source. */
static void move_block(sk_compact *c, const sk_compact_field *f, const sk_compact_run *run, sk_val t0,
                       const bytes *x, sk_val group)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t sides = nibbles(f) ? 2 : 1, step = 4 * d->w, block = f->n * row_bytes(f);
    const uint32_t unroll = block % (4 * step) == 0 ? 4 : 1;
    sk_val mask[2];
    for (uint32_t s = 0; s < sides; s++) mask[s] = mask_of(c, f, &x[s], group);
    const sk_val v = sk_ir_for(b, d->zero, sk_k(d, block), unroll * step);
    const sk_val from = sk_add(d, sk_mul(d, group, tables(c) * block), v);
    const sk_val to = sk_add(d, sk_mul(d, sk_shr(d, t0, 4), block), v);
    sk_compact_ask(c, f, c->dec.p / 16 * block / (unroll * step));
    for (uint32_t i = 0; i < unroll; i++) {
        sk_val in[2], y = SK_NONE;
        for (uint32_t k = 0; k < tables(c); k++)
            in[k] = sk_ir_ldv(b, SK_LD_U32, run->page, from, f->off + k * block + i * step);
        for (uint32_t s = 0; s < sides; s++) {
            const sk_val z = moved(c, f, &x[s], mask[s], in);
            y = s == 0 ? z : sk_or(d, y, sk_shl(d, z, 4));
        }
        const sk_val old = sk_ir_ldv(b, SK_LD_U32, c->enc.dst_page, to, f->off + i * step);
        sk_ir_stv(b, c->enc.dst_page, to, f->off + i * step, sk_or(d, old, y));
    }
    sk_ir_end(b);
}

void sk_compact_keys(sk_compact *c, const sk_compact_field *f)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t sides = nibbles(f) ? 2 : 1, groups = d->p / 16 / tables(c);
    const sk_compact_run run = sk_compact_each_run(c);
    const sk_val end = sk_add(d, run.begin, run.n);
    const sk_val t0 = sk_ir_for(b, sk_and(d, run.begin, ~15u), end, 16);
    bytes x[2];
    sk_val low = sk_k(d, groups), high = d->zero;
    for (uint32_t s = 0; s < sides; s++) {
        x[s] = find(c, f, &run, t0, s);
        for (uint32_t k = 0; k < per_word(f); k++) { /* P, of another run, is beyond all */
            const sk_val g = x[s].group[k], none = sk_ir_2(b, SK_OP_EQ, g, sk_k(d, d->p));
            low = sk_ir_2(b, SK_OP_UMIN, low, g);
            high = sk_ir_2(b, SK_OP_UMAX, high, sk_sel(d, none, d->zero, sk_add(d, g, sk_k(d, 1))));
        }
    }
    const sk_val group = sk_ir_for(b, sk_ir_1(b, SK_OP_RED_UMIN, low), sk_ir_1(b, SK_OP_RED_UMAX, high), 1);
    move_block(c, f, &run, t0, x, group);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_end(b);
}
