/* compact_rows.c - radii and angle codes of 2 bits on a CPU: the codes of all tokens of a
 * page in one group are one or two vectors, and so are those of the page they come from. A
 * shuffle brings to each lane the word that a code of its own word is in; which, and
 * how far the code is in it, is the same in all rows. */
#include "compact.h"

#define MOST 16u /* codes of a word */
#define ROWS_LEAST 4u /* what is alike in all rows costs about as much as two */

static uint32_t row_words(const sk_compact *c, const sk_compact_field *f) { return c->dec.p * f->bits / 32; }

bool sk_compact_rows_fit(const sk_compact *c, const sk_compact_field *f)
{
    const uint32_t w = c->dec.w;
    return !c->enc.gpu && f->as <= SK_AS_BLOCKS && f->n >= ROWS_LEAST && f->bits <= 8 &&
           32 % f->bits == 0 && c->dec.p * f->bits % (32 * w) == 0 && row_words(c, f) <= 2 * w;
}

/* With 16 lanes codes of 8 bits are brought by one permutation of bytes. */
static bool by_bytes(const sk_compact *c, const sk_compact_field *f) 
{
    return f->bits == 8 && sk_compact_by_bytes(c);
}

/* Of W words of a row: for each code the word that it comes from, the bit, its token; or
 * the bytes of all. */
typedef struct places {
    sk_val word[MOST], shift[MOST], low[MOST], token[MOST];
    sk_val bytes;
} places;

static void find(sk_compact *c, const sk_compact_field *f, uint32_t first, places *out)
{
    sk_dec *d = &c->dec;
    const uint32_t per = 32 / f->bits;
    const sk_val word = sk_add(d, d->lane, sk_k(d, first));
    if (by_bytes(c, f)) out->bytes = sk_ir_ldv(d->b, SK_LD_U32, c->slot8, d->zero, first * 4);
    for (uint32_t k = 0; k < per; k++) {
        const sk_val t = sk_add(d, sk_mul(d, word, per), sk_k(d, k));
        out->token[k] = t;
        if (by_bytes(c, f)) continue;
        const sk_val from = sk_ir_ldg(d->b, SK_LD_U32, c->slots, sk_mul(d, t, 4), 0, SK_NONE);
        const sk_val bit = sk_mul(d, from, f->bits);
        out->word[k] = sk_shr(d, bit, 5);
        out->shift[k] = sk_and(d, bit, 31);
        out->low[k] = sk_ir_2k(d->b, SK_OP_ULT, out->word[k], d->w);
    }
}

/* The bits of those words that a run has. */
static sk_val mask_of(sk_compact *c, const sk_compact_field *f, const places *at, const sk_compact_run *run)
{
    sk_dec *d = &c->dec;
    sk_val mask = d->zero;
    for (uint32_t k = 0; k < 32 / f->bits; k++) {
        const sk_val in = sk_ir_2(d->b, SK_OP_ULT, sk_ir_2(d->b, SK_OP_SUB, at->token[k], run->begin), run->n);
        mask = sk_or(d, mask, sk_sel(d, in, sk_k(d, ((1u << f->bits) - 1) << (k * f->bits)), d->zero));
    }
    return mask;
}

/* The codes of a row as they were, each in a word of its own: of W words of the
 * destination, from those of the source. */
static void codes_of(sk_compact *c, const sk_compact_field *f, const places *at, const sk_val x[2],
                     sk_val code[MOST])
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t bits = f->bits, all = (1u << bits) - 1;
    sk_val y = SK_NONE;
    if (by_bytes(c, f))
        y = x[1] == SK_NONE ? sk_ir_2(b, SK_OP_PERM8, x[0], at->bytes)
                            : sk_ir_3(b, SK_OP_PERM8X2, x[0], x[1], at->bytes);
    for (uint32_t k = 0; k < 32 / bits; k++) {
        if (by_bytes(c, f)) {
            code[k] = sk_and(d, sk_shr(d, y, k * bits), all);
            continue;
        }
        code[k] = sk_shuf(d, x[0], at->word[k]);
        if (x[1] != SK_NONE) code[k] = sk_sel(d, at->low[k], code[k], sk_shuf(d, x[1], at->word[k]));
        code[k] = sk_and(d, sk_ir_2(b, SK_OP_SHR, code[k], at->shift[k]), all);
    }
}

/* Factor of the codes of row j. */
static sk_val ratio_of(sk_compact *c, const sk_compact_field *f, const sk_compact_run *run, sk_val j)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val to = sk_ir_ldu(b, SK_LD_U32, c->scales, sk_mul(d, j, 4), c->at[f->scale]);
    const sk_val from = sk_ir_ldu(b, SK_LD_F16, run->page, sk_mul(d, j, 2), c->field[f->scale].off);
    return sk_compact_ratio(c, from, sk_ir_1(b, SK_OP_F16LO, to));
}

/* n times W words of row j, from word `first` on. */
static void row_of(sk_compact *c, const sk_compact_field *f, const places *at, const sk_val *mask,
                   const sk_compact_run *run, sk_val j, uint32_t first, uint32_t n)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t words = row_words(c, f);
    const sk_val row = sk_mul(d, j, words * 4);
    sk_val x[2] = {SK_NONE, SK_NONE}, code[MOST];
    for (uint32_t i = 0; i * d->w < words; i++)
        x[i] = sk_ir_ldv(b, SK_LD_U32, run->page, row, f->off + i * d->w * 4);
    const sk_val ratio = f->anew != SK_KEPT ? ratio_of(c, f, run, j) : SK_NONE;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t to = f->off + (first + i * d->w) * 4;
        sk_val all = d->zero;
        codes_of(c, f, &at[i], x, code);
        for (uint32_t k = 0; k < 32 / f->bits; k++)
            all = sk_or(d, all, sk_shl(d, sk_compact_code(c, f, code[k], ratio, SK_NONE), k * f->bits));
        all = sk_ir_2(b, SK_OP_AND, all, mask[i]);
        sk_ir_stv(b, c->enc.dst_page, row, to, sk_or(d, all, sk_ir_ldv(b, SK_LD_U32, c->enc.dst_page, row, to)));
    }
}

/* Of bytes all vectors of a row at once: what is found for others would not stay in registers. */
void sk_compact_rows(sk_compact *c, const sk_compact_field *f)
{
    sk_builder *b = c->dec.b;
    const uint32_t w = c->dec.w, words = row_words(c, f), n = by_bytes(c, f) ? words / w : 1;
    for (uint32_t first = 0; first < words; first += n * w) {
        places at[2];
        sk_val mask[2];
        for (uint32_t i = 0; i < n; i++) find(c, f, first + i * w, &at[i]);
        const sk_compact_run run = sk_compact_each_run(c);
        for (uint32_t i = 0; i < n; i++) mask[i] = mask_of(c, f, &at[i], &run);
        const sk_val j = sk_ir_for(b, c->dec.zero, sk_k(&c->dec, f->n), 1);
        sk_compact_ask(c, f, 2 * f->n * words / (n * w));
        row_of(c, f, at, mask, &run, j, first, n);
        sk_ir_end(b);
        sk_ir_end(b);
    }
}
