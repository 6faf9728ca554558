/* compact_values.c - values on a CPU: 16 channels of a token lie side by side (of a pair
 * of tokens, where they do), a vector takes those of several tokens, each from its slot.
 * 16 channels are made of all runs before the next 16 are begun: what their codes are
 * multiplied by stays in registers, and they go out while the next are made, a vector for
 * each that is made. */
#include "compact.h"

bool sk_compact_values_fit(const sk_compact *c, const sk_compact_field *f)
{
    return !c->enc.gpu && (f->as == SK_AS_CHANNELS || f->as == SK_AS_PAIRS);
}

#define EVEN 0x00ff00ffu /* of pairs of bytes, the first */

/* How vectors lie: a unit is a token, or a pair. */
typedef struct form {
    const sk_compact_field *f;
    uint32_t tokens;         /* of a unit */
    uint32_t words;          /* of a unit's 16 channels */
    uint32_t run, units;     /* words of a unit in a vector, units in it */
    uint32_t codes, channels; /* of a word; channels that these are of */
} form;

static form form_of(const sk_compact *c, const sk_compact_field *f)
{
    form x = {.f = f, .tokens = f->as == SK_AS_PAIRS ? 2 : 1};
    x.words = x.tokens * f->bits / 2;
    x.run = x.words < c->dec.w ? x.words : c->dec.w;
    x.units = c->dec.w / x.run;
    x.codes = 32 / f->bits;
    x.channels = x.codes / x.tokens;
    return x;
}

static bool by_channel(const sk_compact_field *f) { return f->anew == SK_INT8_ANEW || f->anew == SK_INT4_ANEW; }

/* ---- factors ---------------------------------------------------------------- */

/* Of the 16 channels from c0 on, W in a vector, in a run: what codes (of vi8: in the
 * highest byte of a word) are multiplied by, and what is added to that (vi4). */
typedef struct ratios {
    sk_val by[4], add[4];
} ratios;

static ratios ratios_of(sk_compact *c, const form *x, const sk_compact_run *run, sk_val c0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_compact_field *s = &c->field[x->f->scale], *m = &c->field[s->scale];
    ratios r;
    for (uint32_t i = 0; i * d->w < 16; i++) {
        const sk_val at = sk_add(d, c0, sk_k(d, i * d->w)), at4 = sk_mul(d, at, 4);
        const sk_val to = sk_ir_1(b, SK_OP_F16LO, sk_ir_ldv(b, SK_LD_U32, c->scales, at4, c->at[x->f->scale]));
        r.by[i] = sk_compact_ratio(c, sk_compact_halves(c, s, run->page, s->off, at), to);
        if (x->f->anew == SK_INT8_ANEW) r.by[i] = sk_ir_2(b, SK_OP_FMUL, r.by[i], sk_ir_f32(b, 0x1p-24f));
        if (x->f->anew != SK_INT4_ANEW) continue;
        const sk_val low = sk_ir_1(b, SK_OP_F16LO, sk_ir_ldv(b, SK_LD_U32, c->scales, at4, c->at[s->scale]));
        const sk_val least = sk_compact_halves(c, s, run->page, m->off, at);
        r.add[i] = sk_compact_ratio(c, sk_ir_2(b, SK_OP_FSUB, least, low), to);
    }
    return r;
}

/* Those of channels `which`, a lane each. */
static sk_val pick(sk_dec *d, const sk_val *from, sk_val which)
{
    sk_val all = sk_shuf(d, from[0], which);
    for (uint32_t i = 1; i * d->w < 16; i++)
        all = sk_sel(d, sk_ir_2k(d->b, SK_OP_ULT, which, i * d->w), all, sk_shuf(d, from[i], which));
    return all;
}

/* ---- tables ------------------------------------------------------------------ */

/* With 16 lanes the 16 codes that 8 channels of vi4 can have are two vectors, and a code
 * anew is a look-up. */
static bool by_table(const sk_compact *c, const sk_compact_field *f)
{
    return f->anew == SK_INT4_ANEW && c->dec.w == 16;
}

/* [even, odd channels][8 of them][code], a byte each; of odd channels where their code
 * goes, in the high half. */
static void put_tables(sk_compact *c, const form *x, const ratios *r, sk_val table[4])
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_val words[4];
    for (uint32_t q = 0; q < 4; q++) {
        words[q] = d->zero;
        for (uint32_t k = 0; k < 4; k++) {
            const sk_val code = sk_compact_code(c, x->f, sk_k(d, 4 * q + k), r->by[0], r->add[0]);
            words[q] = sk_or(d, words[q], sk_shl(d, code, 8 * k));
        }
    }
    for (uint32_t o = 0; o < 4; o++) { /* lane: a channel, and four of its codes */
        const sk_val pair = sk_add(d, sk_shr(d, d->lane, 2), sk_k(d, o % 2 * 4));
        const sk_val from = sk_add(d, sk_shl(d, pair, 1), sk_k(d, o / 2)), q = sk_and(d, d->lane, 3);
        sk_val all = sk_shuf(d, words[0], from);
        for (uint32_t k = 1; k < 4; k++)
            all = sk_sel(d, sk_ir_2k(b, SK_OP_EQ, q, k), sk_shuf(d, words[k], from), all);
        table[o] = o < 2 ? all : sk_shl(d, all, 4);
    }
}

/* Two codes of each byte, anew. */
static sk_val looked_up(sk_compact *c, const sk_val table[4], sk_val word)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    /* bytes of a token: 8, each two channels */
    const sk_val row = sk_add(d, sk_mul(d, sk_and(d, d->lane, 1), 0x40404040u), sk_k(d, 0x30201000u));
    const sk_val even = sk_or(d, sk_and(d, word, 0x0f0f0f0fu), row);
    const sk_val odd = sk_or(d, sk_and(d, sk_shr(d, word, 4), 0x0f0f0f0fu), row);
    return sk_or(d, sk_ir_3(b, SK_OP_PERM8X2, table[0], table[1], even),
                 sk_ir_3(b, SK_OP_PERM8X2, table[2], table[3], odd));
}

/* ---- vectors ------------------------------------------------------------------ */

/* x[i] in the lanes of unit i: halves of halves, so that a lane's is known to be a scalar. */
static sk_val spread(sk_dec *d, const sk_val *x, uint32_t n, uint32_t first, uint32_t run)
{
    if (n == 1) return x[0];
    const sk_val low = spread(d, x, n / 2, first, run), high = spread(d, x + n / 2, n / 2, first + n / 2, run);
    return sk_sel(d, sk_ir_2k(d->b, SK_OP_ULT, d->lane, (first + n / 2) * run), low, high);
}

/* With 16 lanes one permutation takes the codes of both tokens from their pairs. */
static bool by_pair(const sk_compact *c, const form *x)
{
    return x->tokens == 2 && c->dec.w == 16 && c->dec.tp % 32 == 0;
}

/* Of each token, how far its unit in the source is from that of token 0; behind them, of
 * pairs of the source, how far up its codes are. Once for all channels. */
static void put_places(sk_compact *c, const form *x)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val t0 = sk_ir_for(b, d->zero, sk_k(d, d->tp), d->w), at = sk_mul(d, t0, 4);
    const sk_val slot = sk_ir_ldv(b, SK_LD_U32, c->slots, at, 0);
    const sk_val unit = x->tokens == 2 ? sk_shr(d, slot, 1) : slot;
    sk_ir_stv(b, c->places, at, 0, sk_mul(d, unit, x->words * 4));
    if (x->tokens == 2 && !by_pair(c, x))
        sk_ir_stv(b, c->places, at, d->tp * 4, sk_mul(d, sk_and(d, slot, 1), x->f->bits));
    sk_ir_end(b);
}

/* Behind the first of those, of each pair that is made: 1 in the bytes of a word whose token
 * is the second of its pair in the source. */
static void put_parities(sk_compact *c)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val u0 = sk_ir_for(b, d->zero, sk_k(d, d->tp / 2), d->w);
    sk_val slot[2], odd[2];
    for (uint32_t i = 0; i < 2; i++)
        slot[i] = sk_ir_ldv(b, SK_LD_U32, c->slots, sk_mul(d, u0, 8), i * 4 * d->w);
    for (uint32_t side = 0; side < 2; side++) odd[side] = sk_and(d, sk_compact_every_second(d, slot, side), 1);
    const sk_val all = sk_or(d, sk_mul(d, odd[0], 0x00010001u), sk_mul(d, odd[1], 0x01000100u));
    sk_ir_stv(b, c->places, sk_mul(d, u0, 4), d->tp * 4, all);
    sk_ir_end(b);
}

/* What is put in scratch at byte `off` for the units from u0 on, `step` bytes apart. */
static sk_val places_of(sk_compact *c, const form *x, sk_val u0, uint32_t off, uint32_t step)
{
    sk_dec *d = &c->dec;
    sk_val place[16];
    for (uint32_t i = 0; i < x->units; i++)
        place[i] = sk_ir_ldu(d->b, SK_LD_U32, c->places, sk_mul(d, u0, step), off + i * step);
    return spread(d, place, x->units, 0, x->run);
}

/* Factors of the codes of a word; in these channels and this part of a unit. */
typedef struct factors {
    sk_val by[8], add[8];
    sk_val table[4]; /* or these */
} factors;

static factors factors_of(sk_compact *c, const form *x, const ratios *r, uint32_t part,
                          const sk_compact_run *run)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    factors f;
    for (uint32_t k = 0; k < 8; k++) f.by[k] = f.add[k] = SK_NONE;
    if (by_table(c, x->f)) {
        put_tables(c, x, r, f.table);
        return f;
    }
    const sk_val word = sk_add(d, sk_and(d, d->lane, x->run - 1), sk_k(d, part * x->run));
    for (uint32_t k = 0; by_channel(x->f) && k < x->channels; k++) {
        const sk_val channel = sk_add(d, sk_mul(d, word, x->channels), sk_k(d, k));
        f.by[k] = pick(d, r->by, channel);
        if (x->f->anew == SK_INT4_ANEW) f.add[k] = pick(d, r->add, channel);
    }
    if (x->f->anew == SK_FLOAT8_ANEW) {
        const sk_val to = sk_ir_ldu(b, SK_LD_U32, c->scales, d->zero, c->at[x->f->scale]);
        const sk_val from = sk_ir_ldu(b, SK_LD_F16, run->page, d->zero, c->field[x->f->scale].off);
        f.by[0] = sk_compact_ratio(c, from, sk_ir_1(b, SK_OP_F16LO, to));
        for (uint32_t k = 1; k < 8; k++) f.by[k] = f.by[0];
    }
    return f;
}

/* The codes of a word, anew. */
static sk_val codes_anew(sk_compact *c, const form *x, const factors *by, sk_val word)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    if (x->f->anew == SK_KEPT) return word; /* of up to 32 bits */
    const uint32_t bits = x->f->bits, mask = (1u << bits) - 1;
    sk_val all = d->zero;
    if (by_table(c, x->f)) return looked_up(c, by->table, word);
    for (uint32_t k = 0; k < x->codes; k++) {
        const sk_val ratio = by->by[k / x->tokens];
        sk_val now;
        if (x->f->anew == SK_INT8_ANEW) { /* as sk_compact_code, of 2^24 codes */
            const sk_val high = sk_and(d, sk_shl(d, word, 24 - 8 * k), 0xff000000u);
            const sk_val sum = sk_fma(d, sk_ir_1(b, SK_OP_I2F, high), ratio, sk_ir_f32(b, 12582912.0f));
            now = sk_and(d, sk_ir_1(b, SK_OP_BITS, sum), mask);
        } else {
            const sk_val code = sk_and(d, sk_shr(d, word, k * bits), mask);
            now = sk_compact_code(c, x->f, code, ratio, by->add[k / x->tokens]);
        }
        all = sk_or(d, all, sk_shl(d, now, k * bits));
    }
    return all;
}

/* The codes of units from u0 on, each from its slot; of the 16 channels at `from`. */
static sk_val load_units(sk_compact *c, const form *x, sk_val from, sk_val u0, uint32_t off)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_val y[2];
    for (uint32_t side = 0; side < x->tokens; side++) {
        y[side] = sk_ir_ldrows(b, SK_LD_U32, from, places_of(c, x, u0, side * 4, x->tokens * 4), off, x->run);
        if (x->tokens == 1) return y[0];
        if (by_pair(c, x)) continue;
        y[side] = sk_ir_2(b, SK_OP_SHR, y[side], places_of(c, x, u0, d->tp * 4 + side * 4, 8));
    }
    if (by_pair(c, x)) {
        const sk_val even = sk_add(d, sk_mul(d, d->lane, 0x04040404u), sk_k(d, 0x42024000u));
        return sk_ir_3(b, SK_OP_PERM8X2, y[0], y[1], sk_or(d, even, places_of(c, x, u0, d->tp * 4, 4)));
    }
    return sk_or(d, sk_and(d, y[0], EVEN), sk_shl(d, sk_and(d, y[1], EVEN), x->f->bits));
}

/* The bits of units from u0 on that a run has. */
static sk_val mask_of(sk_compact *c, const form *x, const sk_compact_run *run, sk_val u0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val unit = sk_add(d, u0, sk_shr(d, d->lane, (uint32_t)__builtin_ctz(x->run)));
    sk_val mask = d->zero;
    for (uint32_t side = 0; side < x->tokens; side++) {
        const sk_val t = sk_add(d, sk_mul(d, unit, x->tokens), sk_k(d, side));
        const sk_val in = sk_ir_2(b, SK_OP_ULT, sk_ir_2(b, SK_OP_SUB, t, run->begin), run->n);
        const uint32_t bits = x->tokens == 1 ? ~0u : side ? ~EVEN : EVEN;
        mask = sk_or(d, mask, sk_sel(d, in, sk_k(d, bits), d->zero));
    }
    return mask;
}

/* A part of the units from u0 on, of 16 channels that begin at `from` in the source and at
 * byte `block` of the page. What is not the run's was put there by those before it, or is
 * zero. */
static void put_units(sk_compact *c, const form *x, const factors *by, const sk_compact_run *run,
                      sk_val from, sk_val block, sk_val u0, uint32_t part)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t off = x->f->off + part * x->run * 4, step = x->units * x->tokens;
    const sk_val t0 = sk_mul(d, u0, x->tokens), end = sk_add(d, run->begin, run->n);
    const sk_val all = codes_anew(c, x, by, load_units(c, x, from, u0, off));
    const sk_val at = sk_add(d, block, sk_mul(d, u0, x->words * 4)), whole = sk_ir_var(b, SK_LANE, all);
    const sk_val before = sk_ir_2(b, SK_OP_ULT, t0, run->begin);
    sk_ir_if(b, sk_ir_2(b, SK_OP_POR, before, sk_ir_2(b, SK_OP_ULT, end, sk_add(d, t0, sk_k(d, step)))));
    sk_ir_set(b, whole, sk_ir_2(b, SK_OP_AND, all, mask_of(c, x, run, u0)));
    sk_ir_if(b, before);
    const sk_val old = sk_ir_ldv(b, SK_LD_U32, c->enc.dst_page, at, off);
    sk_ir_set(b, whole, sk_or(d, sk_ir_get(b, whole), old));
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_stv(b, c->enc.dst_page, at, off, sk_ir_get(b, whole));
}

/* The tokens that a run has, in the 16 channels from c0 on. */
static void put_run(sk_compact *c, const form *x, const sk_compact_run *run, sk_val c0, sk_val block)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t step = x->units * x->tokens, parts = x->words / x->run;
    const sk_val first = sk_ir_2k(b, SK_OP_UDIV, run->begin, step);
    const sk_val end = sk_ir_2k(b, SK_OP_UDIV, sk_add(d, sk_add(d, run->begin, run->n), sk_k(d, step - 1)), step);
    const sk_val from = sk_ir_ptr_add(b, run->page, block, 1);
    ratios r;
    if (by_channel(x->f)) r = ratios_of(c, x, run, c0);
    for (uint32_t part = 0; part < parts; part++) {
        const factors by = factors_of(c, x, &r, part, run);
        const sk_val turn = sk_ir_for(b, first, end, 1);
        sk_compact_ask(c, x->f, d->cp / 16 * parts * (d->tp / step));
        put_units(c, x, &by, run, from, block, sk_mul(d, turn, x->units), part);
        sk_compact_out_one(c, sk_add(d, block, sk_k(d, x->f->off))); /* of the channels before */
        sk_ir_end(b);
    }
}

/* Zeros in units that have no token. */
static void clear_rest(sk_compact *c, const form *x, sk_val block)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t step = x->units * x->tokens, bytes = x->words * 4;
    const sk_val first = sk_ir_2k(b, SK_OP_UDIV, sk_add(d, c->count, sk_k(d, step - 1)), step);
    const sk_val turn = sk_ir_for(b, first, sk_k(d, d->tp / step), 1);
    const sk_val at = sk_add(d, block, sk_mul(d, turn, x->units * bytes));
    for (uint32_t part = 0; part < x->words / x->run; part++)
        sk_ir_stv(b, c->enc.dst_page, at, x->f->off + part * x->run * 4, d->zero);
    sk_ir_end(b);
}

void sk_compact_values(sk_compact *c, const sk_compact_field *f)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const form x = form_of(c, f);
    const uint32_t bytes = d->tp * f->bits / 8; /* of a channel */
    put_places(c, &x);
    if (by_pair(c, &x)) put_parities(c);
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, d->cp), 16), block = sk_mul(d, c0, bytes);
    const sk_compact_run run = sk_compact_each_run(c);
    put_run(c, &x, &run, c0, block);
    sk_ir_end(b);
    clear_rest(c, &x, block);
    sk_ir_end(b);
}
