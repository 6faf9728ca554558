/* test_prop_retier.c - page_retier: laws. Under the same codewords a key keeps its codes
 * and radii, also by way of keys that were rotated, or back; attention over a page that was moved is attention over what the double
 * reference makes of it; slots behind count become zeros; what cannot be is refused by
 * name. */
#include "sk_test.h"

#include <stdlib.h>

#include "kernel_cases.h"

#define R(p, tiers) "page_retier d64 v64 h1 p" p " l1 qf32 of32 if32 tight " tiers

/* Spans of a group: a code is the codeword of largest inner product, itself if all are
 * of length 1. */
static const kernel_row same_words[] = {
    {R("64", "high:vi4,high:vi8"), "", 0},
    {R("32", "g8b4r16:vf16,g8b4r16:vi4"), "w=4", 0},
    {R("64", "g32b5r4:vi8,g32b5r4:vf8") " mean", "", 0},
    {R("64", "g8b7r8p:vi4,g8b7r8p:vi8"), "w=8,etok=2", 256},
};

/* From keys before RoPE (p) to others or the other way, and back again. */
static const struct {
    kernel_row there, back;
} turned[] = {
    {{R("64", "kf32:vf32,g8b7r8p:vf32") " positions", "", 0},
     {R("64", "g8b7r8p:vf32,kf32:vf32") " positions", "", 0}},
    {{R("32", "kf32p:vf32,g8b5r16:vf32") " mean positions", "w=4", 0},
     {R("32", "g8b5r16:vf32,kf32p:vf32") " mean positions", "w=8", 256}},
    {{R("48", "kf32p:vf32,32@g4b4r8+32@g16b6r8:vf32") " positions", "", 0},
     {R("48", "32@g4b4r8+32@g16b6r8:vf32,kf32p:vf32") " positions", "w=4", 0}},
};

static const kernel_row others[] = {
    {R("64", "low:vi8,good:vi8"), "", 0},
    {R("32", "high:vf16,fine:vi4") " mean", "", 0},
    {R("64", "kf16:vf16,good:vi8") " mean", "", 0},
    {R("64", "ki8:vf8,lean:vf8"), "", 0},
    {R("48", "mid:vi8,ki4:vi8"), "w=4", 0},
    {R("64", "kf8:vf32,kf32:vi4"), "w=8", 256},
    {R("64", "thin:vi8,sharp:vi8"), "", 0},
};

#define PAGES 3u
#define ROTATIONS 100u

typedef struct world {
    kernel_built built;
    sk_rng rng;
    sk_page_layout at[2];
    uint8_t *src, *dst, *book;
    size_t bytes[2], book_bytes;
    double *k, *v; /* rows of a page */
    sphkv_encode_item items[PAGES];
    float table[ROTATIONS][64]; /* where one tier is p */
    bool turns;
} world;

/* Codewords of a segment; of length 1 where they may be. */
static void fill_words(world *w, uint32_t tier, uint32_t s, double size)
{
    const sk_spec *spec = &w->built.spec;
    const sk_segment *seg = &spec->tier[tier].seg[s];
    if (seg->kind != SK_KEY_CODED) return;
    uint16_t *to = (uint16_t *)(void *)(w->book + sk_codebook_tier_off(spec, tier, s));
    const uint32_t codes = 1u << seg->b, dims = seg->dims ? seg->dims : spec->d;
    for (uint32_t j = 0; j < dims / seg->g; j++)
        for (uint32_t c = 0; c < codes; c++) {
            double x[32], norm = 0;
            for (uint32_t i = 0; i < seg->g; i++) x[i] = sk_rng_normal(&w->rng), norm += x[i] * x[i];
            for (uint32_t i = 0; i < seg->g; i++)
                to[(j * seg->g + i) * codes + c] = sk_f32_to_f16((float)(x[i] * size / sqrt(norm)));
        }
}

static void fill_rotations(world *w)
{
    for (uint32_t x = 0; x < ROTATIONS; x++)
        for (uint32_t i = 0; i < 32; i++) {
            const double angle = x * pow(10000, -2.0 * i / 64);
            w->table[x][i] = (float)cos(angle);
            w->table[x][32 + i] = (float)sin(angle);
        }
}

/* Of a source page. */
static void fill_positions(world *w, uint8_t *page)
{
    for (uint32_t t = 0; w->at[1].pos_off != SK_NO_FIELD && t < w->built.spec.page; t++) {
        const uint32_t x = sk_rng_below(&w->rng, ROTATIONS);
        memcpy(page + w->at[1].pos_off + t * 4, &x, 4);
    }
}

static void world_make(kernel_lab *lab, const kernel_row *row, bool same, world *w)
{
    kernel_build(lab, row, &w->built);
    const sk_spec *spec = &w->built.spec;
    const uint32_t p = spec->page;
    sk_rng_seed(&w->rng, lab->seed);
    w->turns = sk_tier_pre_rope(&spec->tier[0]) != sk_tier_pre_rope(&spec->tier[1]);
    fill_rotations(w);
    for (uint32_t i = 0; i < 2; i++) {
        sk_page_layout_get(spec, i, &w->at[i]);
        w->bytes[i] = (size_t)PAGES * w->at[i].units * SPHKV_UNIT_BYTES;
    }
    w->dst = aligned_alloc(SPHKV_UNIT_BYTES, w->bytes[0]);
    w->src = aligned_alloc(SPHKV_UNIT_BYTES, w->bytes[1]);
    w->book_bytes = sk_codebook_head_bytes(spec);
    w->book = aligned_alloc(SPHKV_UNIT_BYTES, (w->book_bytes + 255) & ~(size_t)127);
    w->k = sk_malloc((size_t)p * spec->d * sizeof *w->k);
    w->v = sk_malloc((size_t)p * spec->dv * sizeof *w->v);
    assert_true(w->src && w->dst && w->book && w->k && w->v);
    memset(w->dst, 0xee, w->bytes[0]);
    memset(w->book, 0, w->book_bytes);
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t s = 0; s < spec->tier[i].nseg; s++) {
            const sk_segment *seg = &spec->tier[i].seg[s];
            fill_words(w, i, s, same || seg->kind != SK_KEY_CODED ? 1 : sqrt((double)seg->g / spec->d));
        }
    if (same && !w->turns)
        memcpy(w->book + sk_codebook_tier_off(spec, 0, 0), w->book + sk_codebook_tier_off(spec, 1, 0),
               (size_t)spec->d * 2 << spec->tier[1].seg[0].b);
    const uint32_t at = spec->book & SPHKV_BOOK_MEAN ? sk_codebook_mean_off(spec) : 0;
    float *mean = (float *)(void *)(w->book + at);
    for (uint32_t i = 0; spec->book & SPHKV_BOOK_MEAN && i < spec->d; i++)
        mean[i] = (float)sk_rng_normal(&w->rng);
    for (uint32_t i = 0; i < PAGES; i++) {
        for (uint32_t e = 0; e < p * spec->d; e++) w->k[e] = sk_rng_normal(&w->rng) * (1 + i);
        for (uint32_t e = 0; e < p * spec->dv; e++) w->v[e] = sk_rng_normal(&w->rng) * (1 + i);
        sk_encode_page_ref(spec, 1, w->k, w->v, p, w->book,
                           w->src + (size_t)i * w->at[1].units * SPHKV_UNIT_BYTES);
        fill_positions(w, w->src + (size_t)i * w->at[1].units * SPHKV_UNIT_BYTES);
        w->items[i] = (sphkv_encode_item){i * w->at[1].units, (PAGES - 1 - i) * w->at[0].units,
                                          i == 0 ? p : 1 + sk_rng_below(&w->rng, p), 0};
    }
}

static void world_free(world *w)
{
    kernel_built_free(&w->built);
    free(w->src);
    free(w->dst);
    free(w->book);
    sk_free(w->k);
    sk_free(w->v);
}

static void retier(world *w, bool compiled)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = PAGES, .kv_heads = 1,
                                 .pages_per_list = 1, .parts = KERNEL_PARTS};
    const sphkv_rope rope = {.table = w->turns ? w->table[0] : NULL, .positions = w->turns ? ROTATIONS : 0};
    const sphkv_encode_args args = {
        .size = sizeof args, .items_count = PAGES, .items = w->items, .src_arena = w->src,
        .src_arena_bytes = w->bytes[1], .dst_arena = w->dst, .dst_arena_bytes = w->bytes[0],
        .codebook = w->book, .codebook_bytes = w->book_bytes, .rope = rope};
    sk_image image;
    sk_err err = {0};
    kernel_image(&w->built, compiled, &maxima, &image);
    sk_assert_ok(kernel_run(&image, &args, KERNEL_PARTS, &err), &err);
}

static const uint8_t *page_of(const world *w, uint32_t tier, uint32_t i)
{
    const uint32_t unit = tier ? w->items[i].src_unit : w->items[i].dst_unit;
    return (tier ? w->src : w->dst) + (size_t)unit * SPHKV_UNIT_BYTES;
}

static void keys_keep_their_codes(void **state)
{
    kernel_test *t = *state;
    world w;
    world_make(t->lab, &t->row, true, &w);
    for (uint32_t i = 0; i < PAGES; i++) w.items[i].count = w.built.spec.page;
    for (uint32_t both = 0; both < (w.built.code ? 2u : 1u); both++) {
        memset(w.dst, 0xee, w.bytes[0]);
        retier(&w, both == 1);
        const uint32_t end = w.at[1].vscale_off != SK_NO_FIELD ? w.at[1].vscale_off : w.at[1].value_off;
        assert_true(end > 0 && memcmp(&w.at[0].seg[0], &w.at[1].seg[0], sizeof w.at[0].seg[0]) == 0);
        for (uint32_t i = 0; i < PAGES; i++)
            assert_memory_equal(page_of(&w, 0, i), page_of(&w, 1, i), end);
    }
    world_free(&w);
}

/* Keys that were rotated and rotated back are what they were to 1e-6: nearest to the same
 * codewords, and radii round to the halves that they came from. */
static void there_and_back_is_the_page(void **state)
{
    kernel_test *t = *state;
    world there, back;
    size_t i = 0;
    while (i + 1 < SK_COUNT(turned) && turned[i].there.spec != t->row.spec) i++;
    world_make(t->lab, &turned[i].there, true, &there);
    world_make(t->lab, &turned[i].back, true, &back);
    assert_true(there.bytes[0] == back.bytes[1] && there.bytes[1] == back.bytes[0]);
    assert_true(there.book_bytes == back.book_bytes);
    memcpy(back.book, there.book, there.book_bytes);
    for (uint32_t k = 0; k < PAGES; k++) {
        there.items[k].count = back.items[k].count = there.built.spec.page;
        back.items[k].src_unit = there.items[k].dst_unit;
    }
    for (uint32_t both = 0; both < (there.built.code && back.built.code ? 2u : 1u); both++) {
        memset(there.dst, 0xee, there.bytes[0]);
        retier(&there, both == 1);
        memcpy(back.src, there.dst, there.bytes[0]);
        memset(back.dst, 0xee, back.bytes[0]);
        retier(&back, both == 1);
        for (uint32_t k = 0; k < PAGES; k++) {
            assert_memory_equal(page_of(&back, 0, k), page_of(&there, 1, k), there.bytes[1] / PAGES);
        }
    }
    world_free(&there);
    world_free(&back);
}

/* ---- attention ------------------------------------------------------------------ */

static void attend(const double *q, const double *k, const double *v, uint32_t n, double out[64])
{
    double sum = 0;
    memset(out, 0, 64 * sizeof *out);
    for (uint32_t t = 0; t < n; t++) {
        double x = 0;
        for (uint32_t e = 0; e < 64; e++) x += q[e] * k[t * 64 + e];
        x = exp(x / 8);
        sum += x;
        for (uint32_t e = 0; e < 64; e++) out[e] += x * v[t * 64 + e];
    }
    for (uint32_t e = 0; e < 64; e++) out[e] /= sum;
}

/* The page of an item as the double reference makes it: its rows in w->k and w->v. */
static void reference(world *w, uint32_t i, uint8_t *page)
{
    const sk_spec *spec = &w->built.spec;
    const uint32_t n = w->items[i].count;
    sk_page_decode_ref(spec, 1, page_of(w, 1, i), n, w->book, w->k, w->v);
    sk_encode_page_ref(spec, 0, w->k, w->v, n, w->book, page);
    sk_page_decode_ref(spec, 0, page, n, w->book, w->k, w->v);
}

static void attention_is_that_of_the_reference(void **state)
{
    kernel_test *t = *state;
    world w;
    world_make(t->lab, &t->row, false, &w);
    const uint32_t p = w.built.spec.page;
    uint8_t *page = sk_malloc((size_t)w.at[0].units * SPHKV_UNIT_BYTES);
    double *k = sk_malloc((size_t)p * 64 * sizeof *k), *v = sk_malloc((size_t)p * 64 * sizeof *v);
    double q[64], want[64], got[64];
    assert_true(page && k && v);
    retier(&w, w.built.code != NULL);
    for (uint32_t i = 0; i < PAGES; i++) {
        double off = 0, size = 0;
        reference(&w, i, page);
        sk_page_decode_ref(&w.built.spec, 0, page_of(&w, 0, i), w.items[i].count, w.book, k, v);
        for (uint32_t e = 0; e < 64; e++) q[e] = sk_rng_normal(&w.rng);
        attend(q, w.k, w.v, w.items[i].count, want);
        attend(q, k, v, w.items[i].count, got);
        for (uint32_t e = 0; e < 64; e++)
            off += (want[e] - got[e]) * (want[e] - got[e]), size += want[e] * want[e];
        if (!(sqrt(off) <= 1e-3 * sqrt(size)))
            fail_msg("page %u: off by %.3g of %.3g", i, sqrt(off), sqrt(size));
    }
    sk_free(page);
    sk_free(k);
    sk_free(v);
    world_free(&w);
}

/* Beside the mean of keys and the minima of vi4, which no slot can leave. */
static void slots_behind_count_are_zeros(void **state)
{
    kernel_test *t = *state;
    world w;
    world_make(t->lab, &t->row, false, &w);
    const sk_spec *spec = &w.built.spec;
    const bool mean = spec->book & SPHKV_BOOK_MEAN && spec->tier[0].seg[0].kind == SK_KEY_CODED;
    w.items[0].count = 1;
    retier(&w, w.built.code != NULL);
    for (uint32_t i = 0; i < PAGES; i++) {
        const uint32_t n = w.items[i].count;
        sk_page_decode_ref(spec, 0, page_of(&w, 0, i), spec->page, w.book, w.k, w.v);
        for (uint32_t e = n * 64; !mean && e < spec->page * 64; e++) assert_true(w.k[e] == 0);
        for (uint32_t e = n * 64; spec->tier[0].value != SK_VAL_I4 && e < spec->page * 64; e++)
            assert_true(w.v[e] == 0);
    }
    world_free(&w);
}

/* ---- what is refused -------------------------------------------------------------- */

static void refusals_name_what_is_missing(void **state)
{
    static const struct {
        const char *spec, *why;
    } rows[] = {
        {R("64", "sharp:vi8,good:vi8"), "keys after it in pages that store no positions"},
        {R("64", "kf16p:vf16,kf16:vf16"), "keys after it in pages that store no positions"},
        {R("64", "good:vi8,sharp:vi8") " mean", "with a mean, coded keys before RoPE (p) and after it"},
        {R("64", "good:vi8,high:vk"), "vi8 values from a source of vk"},
        {R("64", "32@good+32@kf16:vi8,fine:vi8") " mean", "some segments of either tier are dense"},
        {R("24", "low:vi8,good:vi8"), "pages of 24 tokens"},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(rows); i++) {
        sk_spec spec;
        sk_err err = {0};
        sk_assert_ok(sk_spec_parse(rows[i].spec, &spec, &err), &err);
        assert_int_equal(sk_kernel_get(spec.kernel)->supported(&spec, &err), SPHKV_EUNSUPPORTED);
        if (!strstr(err.message, rows[i].why)) fail_msg("%s: \"%s\"", rows[i].spec, err.message);
    }
}

typedef void law(void **state);

static size_t add(kernel_lab *lab, const kernel_row *row, const char *name, law *run, kernel_test *t,
                  struct CMUnitTest *to)
{
    t->lab = lab;
    t->row = *row;
    snprintf(t->name, sizeof t->name, "%s: %s %s", name, row->spec, row->schedule);
    *to = (struct CMUnitTest){.name = t->name, .initial_state = t, .test_func = run};
    return 1;
}

int main(void)
{
    kernel_lab lab;
    static kernel_test each[SK_COUNT(same_words) + SK_COUNT(turned) + 2 * SK_COUNT(others)];
    struct CMUnitTest tests[SK_COUNT(each) + 1];
    size_t n = 0;
    kernel_lab_open(&lab);
    for (size_t i = 0; i < SK_COUNT(same_words); i++)
        n += add(&lab, &same_words[i], "codes", keys_keep_their_codes, &each[n], &tests[n]);
    for (size_t i = 0; i < SK_COUNT(turned); i++)
        n += add(&lab, &turned[i].there, "turned", there_and_back_is_the_page, &each[n], &tests[n]);
    for (size_t i = 0; i < SK_COUNT(others); i++) {
        n += add(&lab, &others[i], "attention", attention_is_that_of_the_reference, &each[n], &tests[n]);
        n += add(&lab, &others[i], "zeros", slots_behind_count_are_zeros, &each[n], &tests[n]);
    }
    tests[n++] = (struct CMUnitTest){.name = "refusals", .test_func = refusals_name_what_is_missing};
    const int failed = _cmocka_run_group_tests("retier", tests, n, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
