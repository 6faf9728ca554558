/* compact_values.c - values on a CPU: 16 channels of a token lie side by side (of a pair
 * of tokens, where they do), a vector takes those of several tokens, each from its slot.
 * What codes are multiplied by is found once a run, and put so that a vector of it is
 * loaded as it is wanted. */
#include "compact.h"

bool sk_compact_values_fit(const sk_compact *c, const sk_compact_field *f)
{
    return !c->enc.gpu && (f->as == SK_AS_CHANNELS || f->as == SK_AS_PAIRS);
}

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

/* Those of a run: [16 channels][channel in a word][word], what is added behind all. */
static void put_factors(sk_compact *c, const form *x, const sk_compact_run *run)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_compact_field *s = &c->field[x->f->scale], *m = &c->field[s->scale];
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, d->cp), d->w), at4 = sk_mul(d, c0, 4);
    const sk_val to = sk_ir_1(b, SK_OP_F16LO, sk_ir_ldv(b, SK_LD_U32, c->scales, at4, c->at[x->f->scale]));
    const sk_val from = sk_compact_halves(c, s, run->page, s->off, c0);
    const sk_val channel = sk_add(d, c0, d->lane), in = sk_and(d, channel, 15);
    const uint32_t words = 16 / x->channels, lg = (uint32_t)__builtin_ctz(x->channels);
    const sk_val row = sk_mul(d, sk_and(d, in, x->channels - 1), words);
    const sk_val place = sk_add(d, sk_and(d, channel, ~15u), sk_add(d, row, sk_shr(d, in, lg)));
    sk_ir_stg(b, c->factor, sk_mul(d, place, 4), 0, sk_compact_ratio(c, from, to), SK_NONE);
    if (x->f->anew == SK_INT4_ANEW) {
        const sk_val low =
            sk_ir_1(b, SK_OP_F16LO, sk_ir_ldv(b, SK_LD_U32, c->scales, at4, c->at[s->scale]));
        const sk_val least = sk_compact_halves(c, s, run->page, m->off, c0);
        const sk_val above = sk_compact_ratio(c, sk_ir_2(b, SK_OP_FSUB, least, low), to);
        sk_ir_stg(b, c->factor, sk_mul(d, place, 4), d->cp * 4, above, SK_NONE);
    }
    sk_ir_end(b);
}

/* ---- tables ------------------------------------------------------------------ */

/* With 16 lanes the 16 codes that 8 channels of vi4 can have are two vectors, and a code
 * anew is a look-up. */
static bool by_table(const sk_compact *c, const sk_compact_field *f)
{
    return f->anew == SK_INT4_ANEW && c->dec.w == 16;
}

/* Those of a run: [16 channels][even, odd channels][8 of them][code], a byte each; of odd
 * channels where their code goes, in the high half. */
static void put_tables(sk_compact *c, const form *x, const sk_compact_run *run)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, d->cp), 16);
    sk_val add, words[4];
    const sk_val inside = sk_ir_2(b, SK_OP_EQ, d->zero, d->zero), channel = sk_add(d, c0, d->lane);
    const sk_val ratio = sk_compact_ratios(c, x->f, run->page, channel, inside, &add);
    for (uint32_t q = 0; q < 4; q++) {
        words[q] = d->zero;
        for (uint32_t k = 0; k < 4; k++) {
            const sk_val code = sk_compact_code(c, x->f, sk_k(d, 4 * q + k), ratio, add);
            words[q] = sk_or(d, words[q], sk_shl(d, code, 8 * k));
        }
    }
    for (uint32_t o = 0; o < 4; o++) { /* lane: a channel, and four of its codes */
        const sk_val pair = sk_add(d, sk_shr(d, d->lane, 2), sk_k(d, o % 2 * 4));
        const sk_val from = sk_add(d, sk_shl(d, pair, 1), sk_k(d, o / 2)), q = sk_and(d, d->lane, 3);
        sk_val all = sk_shuf(d, words[0], from);
        for (uint32_t k = 1; k < 4; k++)
            all = sk_sel(d, sk_ir_2k(b, SK_OP_EQ, q, k), sk_shuf(d, words[k], from), all);
        sk_ir_stv(b, c->factor, sk_mul(d, c0, 16), o * 64, o < 2 ? all : sk_shl(d, all, 4));
    }
    sk_ir_end(b);
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

/* Slots of token `side` of the units from u0 on. */
static sk_val slots_of(sk_compact *c, const form *x, sk_val u0, uint32_t side)
{
    sk_dec *d = &c->dec;
    sk_val slot[16];
    for (uint32_t i = 0; i < x->units; i++)
        slot[i] = sk_ir_ldu(d->b, SK_LD_U32, c->slots, sk_mul(d, u0, x->tokens * 4), (i * x->tokens + side) * 4);
    return spread(d, slot, x->units, 0, x->run);
}

/* Factors of the codes of a word; in these channels and this part of a unit. */
typedef struct factors {
    sk_val by[8], add[8];
    sk_val table[4]; /* or these */
} factors;

static factors factors_of(sk_compact *c, const form *x, sk_val c0, uint32_t part, const sk_compact_run *run)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t words = 16 / x->channels;
    factors f;
    for (uint32_t k = 0; k < 8; k++) f.by[k] = f.add[k] = SK_NONE;
    for (uint32_t k = 0; by_table(c, x->f) && k < 4; k++)
        f.table[k] = sk_ir_ldv(b, SK_LD_U32, c->factor, sk_mul(d, c0, 16), k * 64);
    if (by_table(c, x->f)) return f;
    for (uint32_t k = 0; by_channel(x->f) && k < x->channels; k++) {
        const uint32_t at = (k * words + part * x->run) * 4;
        const sk_val off = sk_mul(d, c0, 4);
        f.by[k] = sk_ir_ldrows(b, SK_LD_F32, c->factor, off, at, x->run);
        if (x->f->anew == SK_INT4_ANEW)
            f.add[k] = sk_ir_ldrows(b, SK_LD_F32, c->factor, off, at + d->cp * 4, x->run);
    }
    if (x->f->anew == SK_FLOAT8_ANEW) {
        const sk_val to = sk_ir_ldu(b, SK_LD_U32, c->scales, d->zero, c->at[x->f->scale]);
        const sk_val from = sk_ir_ldu(b, SK_LD_F16, run->page, d->zero, c->field[x->f->scale].off);
        f.by[0] = sk_compact_ratio(c, from, sk_ir_1(b, SK_OP_F16LO, to));
        for (uint32_t k = 1; k < 8; k++) f.by[k] = f.by[0];
    }
    return f;
}

/* The codes of token `side` in a word, anew; of the other token of a pair zeros. */
static sk_val codes_anew(sk_compact *c, const form *x, const factors *by, sk_val word, sk_val parity,
                         uint32_t side)
{
    sk_dec *d = &c->dec;
    const uint32_t bits = x->f->bits, mask = (1u << bits) - 1;
    sk_val all = d->zero;
    if (by_table(c, x->f)) return looked_up(c, by->table, word);
    if (x->tokens == 2) word = sk_ir_2(d->b, SK_OP_SHR, word, sk_mul(d, parity, bits)); /* codes at even places */
    for (uint32_t k = 0; k < x->channels; k++) {
        const sk_val code = sk_and(d, sk_shr(d, word, k * x->tokens * bits), mask);
        const sk_val now = sk_compact_code(c, x->f, code, by->by[k], by->add[k]);
        all = sk_or(d, all, sk_shl(d, now, (k * x->tokens + side) * bits));
    }
    return all;
}

/* A part of the units from u0 on, of the 16 channels at byte `block`. shared: the run
 * before has put tokens there. */
static void put_units(sk_compact *c, const form *x, const factors *by, const sk_compact_run *run,
                      sk_val block, sk_val u0, uint32_t part, sk_val shared)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t bytes = x->words * 4, off = x->f->off + part * x->run * 4;
    const sk_val unit = sk_add(d, u0, sk_shr(d, d->lane, (uint32_t)__builtin_ctz(x->run)));
    sk_val all = SK_NONE;
    for (uint32_t side = 0; side < x->tokens; side++) {
        const sk_val slot = slots_of(c, x, u0, side), parity = sk_and(d, slot, 1);
        const sk_val from = sk_mul(d, x->tokens == 2 ? sk_shr(d, slot, 1) : slot, bytes);
        sk_val y = sk_ir_ldrows(b, SK_LD_U32, run->page, sk_add(d, block, from), off, x->run);
        if (x->f->anew != SK_KEPT) y = codes_anew(c, x, by, y, parity, side);
        const sk_val t = sk_add(d, sk_mul(d, unit, x->tokens), sk_k(d, side));
        const sk_val in = sk_ir_2(b, SK_OP_ULT, sk_ir_2(b, SK_OP_SUB, t, run->begin), run->n);
        y = sk_sel(d, in, y, d->zero);
        all = all == SK_NONE ? y : sk_or(d, all, y);
    }
    const sk_val at = sk_add(d, block, sk_mul(d, u0, bytes));
    const sk_val whole = sk_ir_var(b, SK_LANE, all);
    sk_ir_if(b, shared);
    sk_ir_set(b, whole, sk_or(d, all, sk_ir_ldv(b, SK_LD_U32, c->enc.dst_page, at, off)));
    sk_ir_end(b);
    sk_ir_stv(b, c->enc.dst_page, at, off, sk_ir_get(b, whole));
}

/* Zeros in units that have no token. */
static void clear_rest(sk_compact *c, const form *x)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t step = x->units * x->tokens, bytes = x->words * 4;
    const sk_val first = sk_ir_2k(b, SK_OP_UDIV, sk_add(d, c->count, sk_k(d, step - 1)), step);
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, d->cp), 16);
    const sk_val turn = sk_ir_for(b, first, sk_k(d, d->tp / step), 1);
    const sk_val block = sk_mul(d, c0, d->tp * x->f->bits / 8);
    const sk_val at = sk_add(d, block, sk_mul(d, turn, x->units * bytes));
    for (uint32_t part = 0; part < x->words / x->run; part++)
        sk_ir_stv(b, c->enc.dst_page, at, x->f->off + part * x->run * 4, d->zero);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_compact_values(sk_compact *c, const sk_compact_field *f)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const form x = form_of(c, f);
    const uint32_t step = x.units * x.tokens; /* tokens */
    const sk_compact_run run = sk_compact_each_run(c);
    if (by_table(c, f))
        put_tables(c, &x, &run);
    else if (by_channel(f))
        put_factors(c, &x, &run);
    const sk_val first = sk_ir_2k(b, SK_OP_UDIV, run.begin, step);
    const sk_val end = sk_ir_2k(b, SK_OP_UDIV, sk_add(d, sk_add(d, run.begin, run.n), sk_k(d, step - 1)), step);
    const sk_val inside = sk_ir_2(b, SK_OP_NE, sk_ir_2k(b, SK_OP_UREM, run.begin, step), d->zero);
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, d->cp), 16);
    const sk_val block = sk_mul(d, c0, d->tp * f->bits / 8);
    for (uint32_t part = 0; part < x.words / x.run; part++) {
        const factors by = factors_of(c, &x, c0, part, &run);
        const sk_val turn = sk_ir_for(b, first, end, 1);
        sk_compact_ask(c, f, d->cp / 16 * (x.words / x.run) * (d->tp / step));
        const sk_val shared = sk_ir_2(b, SK_OP_PAND, inside, sk_ir_2(b, SK_OP_EQ, turn, first));
        put_units(c, &x, &by, &run, block, sk_mul(d, turn, x.units), part, shared);
        sk_ir_end(b);
    }
    sk_ir_end(b);
    sk_ir_end(b);
    clear_rest(c, &x);
}
