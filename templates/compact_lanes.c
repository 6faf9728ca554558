/* compact_lanes.c - any field of a page by words of the destination, a lane each. For
 * every element that a word holds, its token says where it comes from; words are put
 * together in registers over all runs and stored once. */
#include "compact.h"

#define MOST 17u /* elements of two bits that touch a word, and one more */

/* What is known of an element before its run is. */
typedef struct element {
    sk_val token;
    sk_val base; /* elements before those of its row, block or channel: not the slot's part */
    sk_val which; /* its scale */
    sk_val up;    /* bits from the start of the word; SK_NONE: known, k * bits */
} element;

static sk_val op(sk_compact *c, sk_op o, sk_val x, sk_val y) { return sk_ir_2(c->dec.b, o, x, y); }
static sk_val opk(sk_compact *c, sk_op o, sk_val x, uint32_t y) { return sk_ir_2k(c->dec.b, o, x, y); }

/* Rows, and what lies in them: elements e of rows of n. */
static void split(sk_compact *c, sk_val e, uint32_t n, sk_val *row, sk_val *in)
{
    *row = opk(c, SK_OP_UDIV, e, n);
    *in = opk(c, SK_OP_UREM, e, n);
}

static element element_of(sk_compact *c, const sk_compact_field *f, sk_val word, uint32_t k)
{
    sk_dec *d = &c->dec;
    const uint32_t bits = f->bits, per = bits < 32 ? 32 / bits : 1;
    element x = {.up = SK_NONE, .which = d->zero};
    sk_val e = sk_add(d, sk_mul(d, word, per), sk_k(d, k)), row, in;
    if (32 % bits != 0) {
        e = sk_add(d, opk(c, SK_OP_UDIV, sk_mul(d, word, 32), bits), sk_k(d, k));
        x.up = op(c, SK_OP_SUB, sk_mul(d, e, bits), sk_mul(d, word, 32));
    }
    switch (f->as) {
    case SK_AS_ROWS:
        split(c, e, d->p, &row, &in);
        x.base = sk_mul(d, row, d->p);
        /* what is behind the field comes from no run */
        x.token = sk_sel(d, opk(c, SK_OP_ULT, e, f->n * d->p), in, sk_k(d, d->tp));
        x.which = row;
        break;
    case SK_AS_BLOCKS:
        split(c, word, d->p / 8, &row, &in);
        x.token = sk_compact_block_token(d, in, k);
        x.base = sk_mul(d, row, d->p);
        break;
    case SK_AS_DENSE:
        split(c, sk_shr(d, e, 4), f->n, &row, &in);
        x.token = sk_add(d, sk_shl(d, row, 4), sk_and(d, e, 15));
        x.base = sk_shl(d, in, 4);
        break;
    default: { /* values; of pairs, tokens two by two */
        const uint32_t two = f->as == SK_AS_PAIRS;
        split(c, sk_shr(d, e, f->lg + two), d->tp >> two, &row, &in);
        const sk_val channel = sk_and(d, sk_shr(d, e, two), (1u << f->lg) - 1);
        x.token = two ? sk_or(d, sk_shl(d, in, 1), sk_and(d, e, 1)) : in;
        x.base = sk_add(d, sk_mul(d, row, d->tp << f->lg), sk_shl(d, channel, two));
        if (f->anew != SK_FLOAT8_ANEW) x.which = sk_add(d, sk_shl(d, row, 4), channel);
        break;
    }
    }
    return x;
}

/* The element of a field that an element of the destination comes from. */
static sk_val source_of(sk_compact *c, const sk_compact_field *f, const element *x, sk_val slot)
{
    sk_dec *d = &c->dec;
    switch (f->as) {
    case SK_AS_ROWS: return sk_add(d, x->base, slot);
    case SK_AS_BLOCKS: return sk_add(d, x->base, sk_compact_block_place(d, slot));
    case SK_AS_DENSE:
        return sk_add(d, sk_add(d, sk_mul(d, sk_shr(d, slot, 4), f->n * 16), x->base), sk_and(d, slot, 15));
    case SK_AS_PAIRS:
        return sk_add(d, sk_add(d, x->base, sk_shl(d, sk_shr(d, slot, 1), 5)), sk_and(d, slot, 1));
    default: return sk_add(d, x->base, sk_shl(d, slot, f->lg));
    }
}

/* Values that stay as they are, by whole words. */
static sk_compact_field by_words(sk_compact_field f)
{
    if (f.as != SK_AS_CHANNELS || f.anew != SK_KEPT || f.bits == 32) return f;
    f.n = f.n * f.bits / 32;
    f.lg -= f.bits == 16 ? 1 : f.bits == 8 ? 2 : 3;
    f.bits = 32;
    return f;
}

/* Elements that touch a word. */
static uint32_t touching(uint32_t bits) { return 32 % bits == 0 ? 32 / bits : (31 + bits) / bits + 1; }

/* The part of a word that comes from one run: its element k, in place. */
static sk_val part_of(sk_compact *c, const sk_compact_field *f, const sk_compact_run *run,
                      const element *x, sk_val slot, uint32_t k)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t bits = f->bits;
    const sk_val in = op(c, SK_OP_ULT, op(c, SK_OP_SUB, x->token, run->begin), run->n);
    const sk_val at = source_of(c, f, x, slot);
    sk_val code, ratio = SK_NONE, add = SK_NONE;
    if (bits == 32)
        code = sk_ir_ldg(b, SK_LD_U32, run->page, sk_mul(d, at, 4), f->off, in);
    else
        code = sk_lanes_numbers(d, run->page, f->off, sk_mul(d, at, bits), bits, in);
    if (f->anew != SK_KEPT) {
        ratio = sk_compact_ratios(c, f, run->page, x->which, in, &add);
        code = sk_compact_code(c, f, code, ratio, add);
    }
    code = sk_sel(d, in, code, d->zero);
    if (x->up == SK_NONE) return sk_shl(d, code, k * bits);
    const sk_val down = op(c, SK_OP_SUB, d->zero, x->up); /* shifts beyond 31 bits vanish */
    return sk_or(d, op(c, SK_OP_SHL, code, x->up), op(c, SK_OP_SHR, code, down));
}

/* Whether a predicate holds in some lane; CPUs have no op for it. */
static sk_val some_lane(sk_compact *c, sk_val pred)
{
    sk_dec *d = &c->dec;
    if (c->enc.gpu) return sk_ir_any(d->b, pred);
    return op(c, SK_OP_NE, sk_ir_1(d->b, SK_OP_RED_UMAX, sk_sel(d, pred, sk_k(d, 1), d->zero)), d->zero);
}

void sk_compact_lanes(sk_compact *c, const sk_compact_field *of)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_compact_field words_of = by_words(*of), *f = &words_of;
    const uint32_t elements = sk_compact_elements(d->spec, f), n = touching(f->bits);
    const uint32_t words = (elements * f->bits + 31) / 32;
    const sk_val word = sk_add(d, sk_enc_turns(&c->enc, words, d->w), d->lane);
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, word, words);
    const sk_val all = sk_ir_var(b, SK_LANE, d->zero);
    element x[MOST];
    sk_val slot[MOST];
    for (uint32_t k = 0; k < n; k++) {
        x[k] = element_of(c, f, word, k);
        x[k].token = sk_sel(d, inside, x[k].token, sk_k(d, d->tp));
        slot[k] = sk_ir_ldg(b, SK_LD_U32, c->slots, sk_mul(d, x[k].token, 4), 0,
                            sk_ir_2k(b, SK_OP_ULT, x[k].token, d->tp));
    }
    const sk_compact_run run = sk_compact_each_run(c);
    sk_val any = SK_NONE;
    for (uint32_t k = 0; k < n; k++) {
        const sk_val in = op(c, SK_OP_ULT, op(c, SK_OP_SUB, x[k].token, run.begin), run.n);
        any = any == SK_NONE ? in : op(c, SK_OP_POR, any, in);
    }
    sk_ir_if(b, some_lane(c, any));
    sk_val sum = sk_ir_get(b, all);
    for (uint32_t k = 0; k < n; k++) sum = sk_or(d, sum, part_of(c, f, &run, &x[k], slot[k], k));
    sk_ir_set(b, all, sum);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_stg(b, c->enc.dst_page, sk_mul(d, word, 4), f->off, sk_ir_get(b, all), inside);
    sk_ir_end(b);
}
