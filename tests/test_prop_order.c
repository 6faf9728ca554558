/* test_prop_order.c - bits do not depend on the order of arrival: a prompt that
 * is appended and coded in one go, tokens that come one by one, and anything in
 * between give identical coded pages and identical tails, by machine code and by
 * the interpreter, in any number of parts. */
#include "sk_test.h"

#include "kernel_cases.h"

#define HEADS  2u
#define TOKENS 83u /* two full pages of 32 and a tail */
#define PAGE   32u
#define D      64u

/* One way to fill a cache: its two arenas. Page p of KV head h is page
 * p * HEADS + h of either. */
typedef struct cache {
    uint8_t *dense, *coded, *dense_raw, *coded_raw;
    size_t dense_bytes, coded_bytes;
} cache;

typedef struct lab {
    kernel_lab base;
    kernel_built append, encode;
    sk_page_layout dense_at, coded_at;
    float *k, *v; /* [TOKENS][HEADS][D] */
    uint32_t positions[TOKENS]; /* in no order */
    uint8_t *book;
    bool compiled;
} lab;

static uint8_t *aligned(size_t bytes, uint8_t fill, uint8_t **raw)
{
    *raw = sk_malloc(bytes + 128);
    assert_non_null(*raw);
    memset(*raw, fill, bytes + 128);
    return (uint8_t *)(((uintptr_t)*raw + 127) & ~(uintptr_t)127);
}

static void cache_make(const lab *l, cache *c)
{
    uint32_t pages = (TOKENS + PAGE - 1) / PAGE * HEADS;
    c->dense_bytes = (size_t)pages * l->dense_at.units * SPHKV_UNIT_BYTES;
    c->coded_bytes = (size_t)pages * l->coded_at.units * SPHKV_UNIT_BYTES;
    c->dense = aligned(c->dense_bytes, 0, &c->dense_raw);
    c->coded = aligned(c->coded_bytes, 0xee, &c->coded_raw);
}

static void cache_free(cache *c)
{
    sk_free(c->dense_raw);
    sk_free(c->coded_raw);
}

static void run(const lab *l, const kernel_built *b, const void *args, uint32_t items,
                uint32_t parts)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = items, .kv_heads = HEADS,
                                 .pages_per_list = 1, .parts = parts};
    sk_image image;
    sk_err err = {0};
    kernel_image(b, l->compiled, &maxima, &image);
    sk_assert_ok(kernel_run(&image, args, parts, &err), &err);
}

/* Rows first .. first+n-1 of all heads, cut at page borders. */
static void append_rows(const lab *l, cache *c, uint32_t first, uint32_t n, uint32_t parts)
{
    sphkv_append_item items[64];
    uint32_t count = 0;
    for (uint32_t t = first; t < first + n;) {
        uint32_t slot = t % PAGE, take = PAGE - slot;
        if (take > first + n - t) take = first + n - t;
        for (uint32_t h = 0; h < HEADS; h++)
            items[count++] = (sphkv_append_item){.unit = (t / PAGE * HEADS + h) * l->dense_at.units,
                                                 .slot = slot,
                                                 .count = take,
                                                 .row = t,
                                                 .kv_head = h};
        t += take;
    }
    sphkv_append_args a = {.size = sizeof a, .items_count = count, .items = items, .k = l->k,
                           .v = l->v, .arena = c->dense, .arena_bytes = c->dense_bytes};
    if (l->dense_at.pos_off != SK_NO_FIELD) a.positions = l->positions;
    run(l, &l->append, &a, count, parts);
}

static void encode_pages(const lab *l, cache *c, uint32_t first, uint32_t end, uint32_t parts)
{
    sphkv_encode_item items[64];
    uint32_t count = 0;
    for (uint32_t p = first; p < end; p++)
        for (uint32_t h = 0; h < HEADS; h++, count++)
            items[count] = (sphkv_encode_item){(p * HEADS + h) * l->dense_at.units,
                                               (p * HEADS + h) * l->coded_at.units, PAGE, h};
    sphkv_encode_args a = {.size = sizeof a,
                           .items_count = count,
                           .items = items,
                           .src_arena = c->dense,
                           .src_arena_bytes = c->dense_bytes,
                           .dst_arena = c->coded,
                           .dst_arena_bytes = c->coded_bytes,
                           .codebook = l->book,
                           .codebook_bytes =
                               (size_t)sk_codebook_head_bytes(&l->encode.spec) * HEADS};
    if (count) run(l, &l->encode, &a, count, parts);
}

/* Tokens arrive in runs of 1 .. most; pages are coded as they fill up. */
static void fill_in_runs(const lab *l, cache *c, uint32_t most, sk_rng *rng, uint32_t parts)
{
    uint32_t at = 0;
    while (at < TOKENS) {
        uint32_t n = 1 + sk_rng_below(rng, most);
        if (n > TOKENS - at) n = TOKENS - at;
        append_rows(l, c, at, n, parts);
        encode_pages(l, c, at / PAGE, (at + n) / PAGE, parts);
        at += n;
    }
}

static void compare_orders(lab *l)
{
    static const uint32_t most[] = {1, 7, 50};
    cache whole, other;
    sk_rng rng;
    sk_rng_seed(&rng, l->base.seed);
    cache_make(l, &whole);
    append_rows(l, &whole, 0, TOKENS, 3);
    encode_pages(l, &whole, 0, TOKENS / PAGE, 3);
    for (uint32_t i = 0; i < SK_COUNT(most); i++) {
        cache_make(l, &other);
        fill_in_runs(l, &other, most[i], &rng, 1 + i);
        assert_memory_equal(other.dense, whole.dense, whole.dense_bytes);
        assert_memory_equal(other.coded, whole.coded, whole.coded_bytes);
        cache_free(&other);
    }
    cache_free(&whole);
}

static void lab_fill(lab *l)
{
    sk_rng rng;
    size_t n = (size_t)TOKENS * HEADS * D, head = sk_codebook_head_bytes(&l->encode.spec);
    sk_rng_seed(&rng, l->base.seed);
    l->k = sk_malloc(n * sizeof *l->k);
    l->v = sk_malloc(n * sizeof *l->v);
    l->book = sk_malloc(head * HEADS + 16);
    assert_true(l->k && l->v && l->book);
    for (size_t i = 0; i < n; i++) {
        l->k[i] = (float)sk_rng_normal(&rng);
        l->v[i] = (float)sk_rng_normal(&rng);
    }
    for (size_t i = 0; i < head * HEADS / 2; i++) {
        uint16_t word = sk_f32_to_f16((float)(0.15 * sk_rng_normal(&rng)));
        memcpy(l->book + 2 * i, &word, 2);
    }
    for (uint32_t t = 0; t < TOKENS; t++) l->positions[t] = (uint32_t)sk_rng_u64(&rng);
    sk_page_layout_get(&l->encode.spec, 0, &l->coded_at);
    sk_page_layout_get(&l->encode.spec, 1, &l->dense_at);
}

static void check_orders(kernel_lab *base, const char *encode, const char *append)
{
    lab l = {.base = *base};
    const kernel_row rows[2] = {{encode, "", 0}, {append, "", 0}};
    kernel_build(base, &rows[0], &l.encode);
    kernel_build(base, &rows[1], &l.append);
    lab_fill(&l);
    compare_orders(&l);
    l.compiled = l.encode.code && l.append.code;
    if (l.compiled) compare_orders(&l);
    kernel_built_free(&l.encode);
    kernel_built_free(&l.append);
    sk_free(l.k);
    sk_free(l.v);
    sk_free(l.book);
}

static void test_span_all(void **state)
{
    check_orders(*state, "kv_encode d64 v64 h1 p32 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
                 "kv_append d64 v64 h1 p32 l1 qf32 of32 if32 tight kf16:vf16");
}

static void test_span_group(void **state)
{
    check_orders(*state, "kv_encode d64 v64 h1 p32 l0 qf32 of32 if32 tight mid:vf16,kbf16:vf16",
                 "kv_append d64 v64 h1 p32 l0 qf32 of32 if32 tight kbf16:vf16");
}

static void test_before_rope(void **state)
{
    check_orders(*state, "kv_encode d64 v64 h1 p32 l1 qf32 of32 if32 tight sharp:vi8,kf16p:vf16",
                 "kv_append d64 v64 h1 p32 l1 qf32 of32 if32 tight kf16p:vf16");
}

/* A tail of the same segments: what latent attention fills its cache by. */
static void test_segments(void **state)
{
    check_orders(*state,
                 "kv_encode d64 v48 h1 p32 l1 qf32 of32 if32 tight "
                 "48@g16b8r16s48+16@kf16:vk,48@kf16+16@kf32:vk",
                 "kv_append d64 v48 h1 p32 l1 qf32 of32 if32 tight 48@kf16+16@kf32:vk");
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_span_all, &lab),
                                       cmocka_unit_test_prestate(test_span_group, &lab),
                                       cmocka_unit_test_prestate(test_before_rope, &lab),
                                       cmocka_unit_test_prestate(test_segments, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
