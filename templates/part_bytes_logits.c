/* part_bytes_logits.c - logits by tables of bytes (part_bytes.h), 64 tokens at a time.
 *
 * What does not depend on the head is done once for all: the codes of four groups
 * become indices (part_bytes_index.c), one byte a token and group, four groups of a token in one word, in
 * the order of tokens. A head then takes per 16 tokens and four groups one permute of
 * 64 (or 128) bytes of table and one dot. Tables of 64 entries a group are too large
 * for that: two groups of 32 tokens are looked up together, and the results of two
 * such pairs zipped. Larger ones are looked up group by group, and more is zipped. Planes of
 * 7 bits: what is found for two words is added, then zipped and multiplied once.
 *
 * Sums stay in registers, 16 vectors at most. Where indices are cheap to halve (blocks of
 * row 1) and there are two planes, four heads take 32 tokens at a time, for one set of
 * indices. Heads that are added up together go through the whole page before the next ones
 * do: their tables, which may fill the nearest cache, come once a page. */
#include "part_bytes.h"

#include "part_unpack.h"

/* ---- of 8 lanes, too ----------------------------------------------------------------------- */

sk_val sk_bytes_group(sk_dec *c, const sk_bytes_loop *l, uint32_t k)
{
    const sk_val j = sk_add(c, sk_mul(c, l->word, 4), sk_k(c, k));
    if (l->t->groups % 4 == 0) return j;
    return sk_ir_2(c->b, SK_OP_UMIN, j, sk_k(c, l->t->groups - 1));
}

sk_val sk_bytes_unit(sk_dec *c, const sk_bytes_loop *l, uint32_t h)
{
    const sk_bytes *t = l->t;
    if (!t->radii) return sk_ir_ldu(c->b, SK_LD_F32, l->lut, c->zero, t->units + h * 4);
    return sk_ir_ldu(c->b, SK_LD_F32, c->bytes, c->zero, sk_bytes_page_units(t) + h * t->row * 4);
}

/* ---- look-up ------------------------------------------------------------------------------ */

/* Bytes of table of head h for each vector of tokens. Vectors of indices share as many
 * tables as they have groups. */
static void find_bytes(sk_dec *c, const sk_bytes_loop *l, uint32_t h, uint32_t plane,
                       const sk_val index[SK_BYTES_VECTORS], sk_val x[SK_BYTES_VECTORS])
{
    sk_builder *b = c->b;
    const uint32_t size = sk_bytes_plane(l->t), table_bytes = sk_bytes_table(l->t);
    const sk_val at = sk_mul(c, l->word, sk_bytes_tables(l->t) * table_bytes);
    sk_val table[16];
    for (uint32_t k = 0; k < size / 64; k++)
        table[k] = sk_ir_ldv(b, SK_LD_U32, l->entries, at, h * table_bytes + plane * size + k * 64);
    for (uint32_t k = 0; k < l->nv; k++) {
        const sk_val i = index[k];
        const uint32_t first = size <= 128 ? 0 : size == 256 ? k / 2 * 2 : k * size / 256;
        const sk_val *own = table + first;
        x[k] = size == 64 ? sk_ir_2(b, SK_OP_PERM8, own[0], i)
                          : sk_ir_3(b, SK_OP_PERM8X2, own[0], own[1], i);
        if (size == 1024)
            x[k] = sk_ir_3(b, SK_OP_SEL8, i, sk_ir_3(b, SK_OP_PERM8X2, own[2], own[3], i), x[k]);
    }
}

/* The words at work, and their indices. */
typedef struct word_pair {
    sk_bytes_loop at[2];
    sk_val index[2][SK_BYTES_VECTORS];
} word_pair;

/* What is found for them together, as words of four groups. */
static void look_up(sk_dec *c, const word_pair *w, uint32_t h, uint32_t plane, sk_val x[SK_BYTES_VECTORS])
{
    const sk_bytes_loop *l = &w->at[0];
    const uint32_t size = sk_bytes_plane(l->t);
    sk_val y[SK_BYTES_VECTORS];
    find_bytes(c, l, h, plane, w->index[0], x);
    if (sk_bytes_pair(l->t) == 2) {
        find_bytes(c, &w->at[1], h, plane, w->index[1], y);
        for (uint32_t k = 0; k < l->nv; k++) x[k] = sk_add(c, x[k], y[k]);
    }
    if (size > 256) sk_bytes_zip8(c->b, x);
    if (size > 128) sk_bytes_zip16(c->b, x);
}

/* Sums of a head: by plane and vector of tokens. */
typedef struct head_sums {
    sk_val v[2][SK_BYTES_VECTORS];
} head_sums;

/* Codes of the words at work, which are asked for a step ahead: look-ups of a step wait for
 * a chain of loads and permutes, and a step fills what the core sees of the loop at once.
 * They are variables, bytes of two codes; indices would take twice the registers. */
typedef struct codes_ahead {
    bool some; /* else codes come with their step */
    sk_val both[2][SK_BYTES_VECTORS / 2];
} codes_ahead;

/* Steps from the first touch of codes to their use. Heads that meet them first took twice as
 * long over cold pages as those behind, though all lines had been asked for a page before
 * (Zen 4, class tight; asked for near: fine:vi8 0.92, lean:vi4 0.96 of the time). */
#define NEAR 2u

/* Asks for codes of a later step, where they do not come as variables; heads that are added
 * up together after others find them near. Behind the codes are values. */
static void ask_codes(sk_dec *c, const sk_bytes_loop *l)
{
    const uint32_t bits = l->seg->b, row = c->p * bits / 8, rows = 4 * sk_bytes_pair(l->t);
    if (l->share > 0 || l->t->words < 4 || sk_layout_codes_blocked(c->spec, l->seg)) return;
    const sk_val field = sk_ir_ptr_add(c->b, l->page, sk_k(c, l->lay->code_off), 1);
    const sk_val at = sk_add(c, sk_mul(c, l->word, 4 * row), sk_mul(c, sk_shr(c, l->t0, 3), bits));
    for (uint32_t k = 0; k < rows; k++) { /* 64 tokens may end in the next line */
        const uint32_t from = (NEAR * rows + k) * row;
        sk_ir_prefetch_near(c->b, field, at, from);
        if (bits % 8 != 0) sk_ir_prefetch_near(c->b, field, at, from + 8 * bits - 1);
    }
}

static word_pair words_at(sk_dec *c, const sk_bytes_loop *l, sk_val word)
{
    word_pair w = {.at = {*l, *l}};
    w.at[0].word = word;
    if (sk_bytes_pair(l->t) == 2) w.at[1].word = sk_add(c, word, sk_k(c, 1));
    return w;
}

/* Whether there are such: of one plane a step is so short that the core sees the next one. The
 * last step asks for what lies behind the codes. */
static bool asks_ahead(const sk_dec *c, const sk_bytes_loop *l)
{
    sk_page_layout lay;
    sk_page_layout_get(c->spec, l->tier_slot, &lay);
    const uint32_t end = (l->t->words + sk_bytes_pair(l->t)) * 4 * (c->p / 2);
    return l->t->planes == 2 && sk_layout_codes_blocked(c->spec, l->seg) && l->t->groups % 4 == 0 &&
           l->lay->code_off + end <= lay.units * SPHKV_UNIT_BYTES;
}

/* Those of the first step. */
static codes_ahead first_codes(sk_dec *c, const sk_bytes_loop *l)
{
    codes_ahead a = {.some = asks_ahead(c, l)};
    const word_pair w = words_at(c, l, c->zero);
    for (uint32_t n = 0; a.some && n < sk_bytes_pair(l->t); n++) {
        sk_bytes_blocked(c, &w.at[n], a.both[n]);
        for (uint32_t k = 0; k < l->nv / 2; k++) a.both[n][k] = sk_ir_var(c->b, SK_LANE, a.both[n][k]);
    }
    return a;
}

/* Indices of word n of the step; its codes become those of the next step. */
static void take_codes(sk_dec *c, const codes_ahead *a, word_pair *w, uint32_t n)
{
    sk_builder *b = c->b;
    const sk_bytes_loop *l = &w->at[n];
    sk_bytes_loop later = *l;
    sk_val both[SK_BYTES_VECTORS / 2];
    for (uint32_t k = 0; k < l->nv / 2; k++) both[k] = sk_ir_get(b, a->both[n][k]);
    sk_bytes_of_blocked(c, l, both, w->index[n]);
    later.word = sk_add(c, l->word, sk_k(c, sk_bytes_pair(l->t)));
    sk_bytes_blocked(c, &later, both);
    for (uint32_t k = 0; k < l->nv / 2; k++) sk_ir_set(b, a->both[n][k], both[k]);
}

/* Adds the groups from l->word on, of a word or two, to the sums of heads h0 .. h0 + hn - 1. */
static void add_words(sk_dec *c, const sk_bytes_loop *l, const codes_ahead *ahead, uint32_t h0,
                      uint32_t hn, const head_sums *sums)
{
    sk_builder *b = c->b;
    const sk_bytes *t = l->t;
    word_pair w = words_at(c, l, l->word);
    sk_val radii[SK_BYTES_VECTORS], x[SK_BYTES_VECTORS];
    ask_codes(c, l);
    for (uint32_t n = 0; n < sk_bytes_pair(t); n++) {
        if (ahead->some)
            take_codes(c, ahead, &w, n);
        else
            sk_bytes_indices(c, &w.at[n], w.index[n]);
    }
    if (t->radii) sk_bytes_radii(c, l, radii);
    if (t->keys) look_up(c, &w, 0, 0, x);
    for (uint32_t i = 0; i < hn * t->planes; i++) {
        const uint32_t h = i / t->planes, plane = i % t->planes;
        if (!t->keys) look_up(c, &w, h0 + h, plane, x);
        sk_val weights = SK_NONE;
        if (!t->radii)
            weights = sk_ir_ldu(b, SK_LD_U32, l->lut, sk_mul(c, l->word, 4),
                                t->weights + (h0 + h) * t->row);
        for (uint32_t k = 0; k < l->nv; k++) {
            const sk_val to = sums[h].v[plane][k], old = sk_ir_get(b, to);
            sk_ir_set(b, to, t->radii ? sk_ir_dot4us(b, old, radii[k], x[k])
                                      : sk_ir_dot4us(b, old, x[k], weights));
        }
    }
}

static void finish_heads(sk_dec *c, const sk_bytes_loop *l, uint32_t h0, uint32_t hn,
                         const head_sums *sums)
{
    sk_builder *b = c->b;
    const sk_bytes *t = l->t;
    for (uint32_t k = 0; k < l->nv; k++) {
        const sk_val at = sk_add(c, l->t0, sk_k(c, sk_bytes_vector(l, k) * 16));
        const sk_val r =
            t->radii ? SK_NONE : sk_unpack_radii(c, l->seg, l->lay, l->page, c->zero, at);
        for (uint32_t h = h0; h < h0 + hn; h++) {
            const sk_val unit = sk_bytes_unit(c, l, h);
            sk_val sum = sk_ir_get(b, sums[h - h0].v[0][k]);
            if (t->planes == 2)
                sum = sk_add(c, sum, sk_shl(c, sk_ir_get(b, sums[h - h0].v[1][k]), t->bits));
            sum = sk_ir_1(b, SK_OP_I2F, sum);
            sk_store_coded(c, h, l->t0, sk_bytes_vector(l, k), sk_ir_2(b, SK_OP_FMUL, sum, unit), r);
        }
    }
}

/* Steps that ask for lines, of 64 tokens and a share of the heads. */
static uint32_t block_steps(const sk_bytes_loop *l)
{
    return l->t->words / sk_bytes_pair(l->t) * (SK_BYTES_VECTORS / l->nv);
}

static void ask(sk_dec *c, const sk_bytes_loop *l, sk_val next)
{
    const uint32_t pair = sk_bytes_pair(l->t);
    const sk_val block = sk_add(c, sk_shr(c, l->t0, 6), sk_k(c, l->share * (c->p / 64)));
    const sk_val word = sk_add(c, sk_shr(c, l->word, pair - 1), sk_k(c, l->half * l->t->words / pair));
    sk_prefetch_share(c, l->tier_slot, next, sk_add(c, sk_mul(c, block, block_steps(l)), word), 0, 1);
}

/* Heads whose sums stay in registers. The plane of the highest bytes begins with what
 * its entries have too much. */
static void add_heads(sk_dec *c, sk_bytes_loop *l, uint32_t h0, uint32_t hn, sk_val next)
{
    sk_builder *b = c->b;
    head_sums sums[4];
    for (uint32_t h = 0; h < hn; h++)
        for (uint32_t p = 0; p < l->t->planes; p++) {
            sk_val start = c->zero;
            if (!l->t->radii && p + 1 == l->t->planes)
                start = sk_ir_ldu(b, SK_LD_U32, l->lut, c->zero, l->t->starts + (h0 + h) * 4);
            for (uint32_t k = 0; k < l->nv; k++) sums[h].v[p][k] = sk_ir_var(b, SK_LANE, start);
        }
    const codes_ahead ahead = first_codes(c, l);
    l->word = sk_ir_for(b, c->zero, sk_k(c, l->t->words), sk_bytes_pair(l->t));
    ask(c, l, next);
    add_words(c, l, &ahead, h0, hn, sums);
    sk_ir_end(b);
    finish_heads(c, l, h0, hn, sums);
}

/* How tokens and heads are gone through: no values. */
static sk_bytes_loop loop_of(const sk_dec *c, uint32_t tier_slot, const sk_bytes *t)
{
    sk_bytes_loop l = {.t = t, .seg = sk_dec_seg(c->spec, tier_slot), .tier_slot = tier_slot, .nv = SK_BYTES_VECTORS};
    if (sk_bytes_pair(t) == 2 && t->slots == 16 && sk_layout_codes_blocked(c->spec, l.seg))
        l.nv = SK_BYTES_VECTORS / 2;
    const uint32_t most = 16 / (t->planes * l.nv);
    l.shares = (t->heads + most - 1) / most;
    return l;
}

uint32_t sk_bytes_steps(const sk_dec *c, uint32_t tier_slot)
{
    sk_bytes t;
    if (!sk_bytes_get(c->spec, c->sched, tier_slot, &t)) return 1;
    if (t.narrow) return sk_bytes_narrow_steps(c, &t);
    const sk_bytes_loop l = loop_of(c, tier_slot, &t);
    return l.shares * (c->p / 64) * block_steps(&l);
}

void sk_bytes_logits(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                     sk_val limit, sk_val lut, sk_val next)
{
    sk_bytes t;
    if (!sk_bytes_get(c->spec, c->sched, tier_slot, &t)) return;
    sk_bytes_loop l = loop_of(c, tier_slot, &t);
    l.lay = lay;
    l.page = page;
    l.lut = l.entries = lut;
    if (t.radii) {
        sk_bytes_page_tables(c, &t, l.seg, lay, page, lut);
        l.entries = c->bytes;
    }
    /* values that are rebuilt from keys (vk) want them, too */
    if (!t.radii || c->spec->tier[tier_slot].value == SK_VAL_KEY)
        sk_unpack_radius_scales(c, l.seg, lay, page);
    if (t.narrow) {
        sk_bytes_narrow_logits(c, &l, limit, next);
        return;
    }
    for (l.share = 0; l.share < l.shares; l.share++) {
        const uint32_t h0 = t.heads * l.share / l.shares, h1 = t.heads * (l.share + 1) / l.shares;
        l.t0 = sk_ir_for(c->b, c->zero, limit, 64);
        for (l.half = 0; l.half < SK_BYTES_VECTORS / l.nv; l.half++) add_heads(c, &l, h0, h1 - h0, next);
        sk_ir_end(c->b);
    }
}
