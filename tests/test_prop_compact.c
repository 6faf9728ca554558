/* test_prop_compact.c - token_compact: laws that need no judgement of codes. A page of
 * which everything stays is that page; attention over what was compacted is attention
 * over the tokens that stayed, as far as half a step of a scale lets it be; places
 * that overlap are refused. */
#include "sk_test.h"

#include <stdlib.h>

#include "kernel_cases.h"

#define C(p, tiers) "token_compact d64 v64 h1 p" p " l1 qf32 of32 if32 tight " tiers

static const kernel_row rows[] = {
    {C("64", "good:vi8"), "", 0},
    {C("128", "high:vi4"), "", 0},
    {C("64", "mid:vf8"), "store=plain", 0},
    {C("32", "fine:vf16"), "", 0},
    {C("48", "low:vi4"), "w=4", 0},
    {C("128", "lean:vi8"), "w=8", 256},
    {C("64", "ki8:vi8"), "", 0},
    {C("64", "ki4:vi4"), "", 0},
    {C("32", "kf8:vf8"), "", 0},
    {C("64", "kf16:vf32"), "", 0},
};

#define PAGES 4u

/* Pages of one tier, coded from rows, in an arena; behind them room for as many. */
typedef struct world {
    kernel_built built;
    sk_rng rng;
    sk_page_layout at;
    uint8_t *book, *arena;
    size_t bytes, book_bytes;
    double *k, *v; /* of all tokens, as the pages hold them */
} world;

static void world_make(kernel_lab *lab, const kernel_row *row, world *w)
{
    kernel_build(lab, row, &w->built);
    const sk_spec *spec = &w->built.spec;
    const uint32_t p = spec->page;
    sk_rng_seed(&w->rng, lab->seed);
    sk_page_layout_get(spec, 0, &w->at);
    w->bytes = (size_t)2 * PAGES * w->at.units * SPHKV_UNIT_BYTES;
    w->arena = aligned_alloc(SPHKV_UNIT_BYTES, w->bytes);
    w->book_bytes = sk_codebook_head_bytes(spec);
    w->book = sk_calloc(1, w->book_bytes + 64);
    w->k = sk_malloc((size_t)PAGES * p * spec->d * sizeof *w->k);
    w->v = sk_malloc((size_t)PAGES * p * spec->dv * sizeof *w->v);
    assert_true(w->arena && w->book && w->k && w->v);
    memset(w->arena, 0xee, w->bytes);
    for (size_t i = 0; i < w->book_bytes; i += 2)
        ((uint16_t *)(void *)w->book)[i / 2] = sk_f32_to_f16((float)sk_rng_normal(&w->rng) * 0.3f);
    for (uint32_t i = 0; i < PAGES; i++) {
        double *k = w->k + (size_t)i * p * spec->d, *v = w->v + (size_t)i * p * spec->dv;
        uint8_t *page = w->arena + (size_t)i * w->at.units * SPHKV_UNIT_BYTES;
        for (uint32_t e = 0; e < p * spec->d; e++) k[e] = sk_rng_normal(&w->rng) * (1 + i);
        for (uint32_t e = 0; e < p * spec->dv; e++) v[e] = sk_rng_normal(&w->rng) * (1 + i);
        sk_encode_page_ref(spec, 0, k, v, p, w->book, page);
        sk_page_decode_ref(spec, 0, page, p, w->book, k, v);
    }
}

static void world_free(world *w)
{
    kernel_built_free(&w->built);
    free(w->arena);
    sk_free(w->book);
    sk_free(w->k);
    sk_free(w->v);
}

static sk_status compact(world *w, bool compiled, const sphkv_compact_item *items, uint32_t n,
                         const sphkv_compact_token *tokens, uint32_t ntokens, sk_err *err)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = PAGES, .kv_heads = 1,
                                 .pages_per_list = 1, .parts = KERNEL_PARTS};
    const sphkv_compact_args args = {
        .size = sizeof args, .items_count = n, .items = items, .tokens = tokens,
        .tokens_count = ntokens, .src_arena = w->arena, .src_arena_bytes = w->bytes,
        .dst_arena = w->arena, .dst_arena_bytes = w->bytes};
    sk_image image;
    kernel_image(&w->built, compiled, &maxima, &image);
    return kernel_run(&image, &args, KERNEL_PARTS, err);
}

static void all_that_stays_is_as_it_was(void **state)
{
    kernel_test *t = *state;
    world w;
    sk_err err = {0};
    world_make(t->lab, &t->row, &w);
    const uint32_t p = w.built.spec.page;
    sphkv_compact_token tokens[PAGES * 256];
    sphkv_compact_item items[PAGES];
    for (uint32_t i = 0; i < PAGES; i++) {
        items[i] = (sphkv_compact_item){(2 * PAGES - 1 - i) * w.at.units, 0, i * p, p};
        for (uint32_t k = 0; k < p; k++) tokens[i * p + k] = (sphkv_compact_token){i * w.at.units, k};
    }
    for (uint32_t both = 0; both < (w.built.code ? 2u : 1u); both++) {
        memset(w.arena + w.bytes / 2, 0xee, w.bytes / 2);
        sk_assert_ok(compact(&w, both == 1, items, PAGES, tokens, PAGES * p, &err), &err);
        for (uint32_t i = 0; i < PAGES; i++)
            assert_memory_equal(w.arena + (size_t)items[i].dst_unit * SPHKV_UNIT_BYTES,
                                w.arena + (size_t)i * w.at.units * SPHKV_UNIT_BYTES,
                                w.at.units * SPHKV_UNIT_BYTES);
    }
    world_free(&w);
}

/* ---- attention ------------------------------------------------------------------ */

static void attend(const double *q, const double *k, const double *v, const uint32_t *token, uint32_t n,
                   uint32_t d, uint32_t dv, double *out)
{
    double sum = 0;
    memset(out, 0, dv * sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        const double *kt = k + (size_t)token[i] * d, *vt = v + (size_t)token[i] * dv;
        double x = 0;
        for (uint32_t e = 0; e < d; e++) x += q[e] * kt[e];
        x = exp(x / sqrt((double)d) / 4);
        sum += x;
        for (uint32_t e = 0; e < dv; e++) out[e] += x * vt[e];
    }
    for (uint32_t e = 0; e < dv; e++) out[e] /= sum;
}

/* Half a step of a channel's codes in a page that was made. */
static double half_step(const world *w, const sphkv_compact_item *item, uint32_t channel)
{
    const uint8_t *page = w->arena + (size_t)item->dst_unit * SPHKV_UNIT_BYTES;
    const uint32_t value = w->built.spec.tier[0].value;
    uint16_t bits;
    if (w->at.vscale_off == SK_NO_FIELD) return 0;
    memcpy(&bits, page + w->at.vscale_off + (value == SK_VAL_F8 ? 0 : 2 * channel), 2);
    return (double)sk_f16_to_f32(bits) * (value == SK_VAL_F8 ? 16 : 0.5); /* of the largest number */
}

/* Half of all tokens, in an order by chance, page by page; attention over the pages
 * that they become against attention over them where they were. */
static void attention_is_that_over_what_stays(void **state)
{
    kernel_test *t = *state;
    world w;
    sk_err err = {0};
    world_make(t->lab, &t->row, &w);
    const sk_spec *spec = &w.built.spec;
    const uint32_t p = spec->page, n = PAGES * p / 2;
    sphkv_compact_token tokens[PAGES * 256];
    uint32_t order[PAGES * 256], stays[PAGES * 256], same[PAGES * 256], m = 0;
    for (uint32_t i = 0; i < PAGES; i++) {
        sk_rng_order(&w.rng, order, p);
        for (uint32_t k = 0; k < p / 2; k++, m++) {
            stays[m] = i * p + order[k];
            same[m] = m;
            tokens[m] = (sphkv_compact_token){i * w.at.units, order[k]};
        }
    }
    assert_int_equal(m, n);
    sphkv_compact_item items[PAGES];
    const uint32_t made = (n + p - 1) / p;
    for (uint32_t i = 0; i < made; i++)
        items[i] = (sphkv_compact_item){(PAGES + i) * w.at.units, 0, i * p, n - i * p < p ? n - i * p : p};
    sk_assert_ok(compact(&w, w.built.code != NULL, items, made, tokens, n, &err), &err);
    double *k = sk_malloc((size_t)made * p * spec->d * sizeof *k);
    double *v = sk_malloc((size_t)made * p * spec->dv * sizeof *v);
    double q[64], was[64], is[64], off = 0, size = 0;
    assert_true(k && v && spec->d == 64 && spec->dv == 64);
    for (uint32_t i = 0; i < made; i++)
        sk_page_decode_ref(spec, 0, w.arena + (size_t)items[i].dst_unit * SPHKV_UNIT_BYTES, items[i].count,
                           w.book, k + (size_t)i * p * spec->d, v + (size_t)i * p * spec->dv);
    for (uint32_t e = 0; e < 64; e++) q[e] = sk_rng_normal(&w.rng);
    attend(q, w.k, w.v, stays, n, 64, 64, was);
    attend(q, k, v, same, n, 64, 64, is);
    for (uint32_t e = 0; e < 64; e++) off += (was[e] - is[e]) * (was[e] - is[e]), size += was[e] * was[e];
    double most = 0;
    for (uint32_t e = 0; e < 64; e++) {
        double step = 0;
        for (uint32_t i = 0; i < made; i++) step = fmax(step, half_step(&w, &items[i], e));
        most += step * step;
    }
    /* no mean of values is off by more than they are; radii of 8 bits shift logits a little */
    if (!(sqrt(off) <= sqrt(most) + 0.02 * sqrt(size)))
        fail_msg("off by %.3g of %.3g, at most %.3g", sqrt(off), sqrt(size), sqrt(most));
    sk_free(k);
    sk_free(v);
    world_free(&w);
}

/* ---- overlaps --------------------------------------------------------------------- */

static void overlaps_are_refused(void **state)
{
    kernel_test *t = *state;
    world w;
    sk_err err = {0};
    world_make(t->lab, &t->row, &w);
    const uint32_t u = w.at.units;
    const sphkv_compact_token tokens[3] = {{0, 1}, {2 * u, 2}, {u, 3}};
    const struct {
        sphkv_compact_item items[2];
        bool refused;
    } tries[] = {
        {{{4 * u, 0, 0, 2}, {5 * u, 0, 2, 1}}, false},
        {{{4 * u, 0, 0, 2}, {3 * u, 0, 2, 1}}, false}, /* of nobody's tokens */
        {{{4 * u, 0, 0, 2}, {5 * u - 1, 0, 2, 1}}, true},
        {{{4 * u, 0, 0, 2}, {4 * u, 0, 2, 1}}, true},
        {{{0, 0, 2, 1}, {4 * u, 0, 0, 2}}, true},
        {{{4 * u, 0, 0, 3}, {3 * u - 1, 0, 0, 0}}, true},
        {{{4 * u, 0, 0, 1}, {u, 0, 1, 1}}, false},
    };
    uint8_t *before = sk_malloc(w.bytes);
    assert_non_null(before);
    for (size_t i = 0; i < SK_COUNT(tries); i++) {
        memcpy(before, w.arena, w.bytes);
        const sk_status st = compact(&w, false, tries[i].items, 2, tokens, 3, &err);
        if (st != (tries[i].refused ? SPHKV_EINVAL : SPHKV_OK))
            fail_msg("try %zu: status %d (%s)", i, (int)st, err.message);
        if (!tries[i].refused) continue;
        assert_non_null(strstr(err.message, "overlap"));
        assert_memory_equal(before, w.arena, w.bytes);
    }
    sk_free(before);
    world_free(&w);
}

int main(void)
{
    kernel_lab lab;
    struct CMUnitTest tests[2 * SK_COUNT(rows) + 1];
    static kernel_test each[2 * SK_COUNT(rows)];
    size_t n = 0;
    kernel_lab_open(&lab);
    for (size_t i = 0; i < 2 * SK_COUNT(rows); i++) {
        kernel_test *t = &each[i];
        t->lab = &lab;
        t->row = rows[i / 2];
        snprintf(t->name, sizeof t->name, "%s: %s %s", i % 2 ? "attention" : "identity", t->row.spec,
                 t->row.schedule);
        tests[n++] = (struct CMUnitTest){
            .name = t->name, .initial_state = t,
            .test_func = i % 2 ? attention_is_that_over_what_stays : all_that_stays_is_as_it_was};
    }
    tests[n++] = (struct CMUnitTest){.name = "overlaps", .test_func = overlaps_are_refused,
                                     .initial_state = &each[0]};
    const int failed = _cmocka_run_group_tests("compact", tests, n, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
