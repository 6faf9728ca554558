/* test_kernel_reference.c - the double references on examples small enough to
 * do by hand. Everything else is judged by them, so they are held against
 * numbers, not against other code. */
#include "sk_test.h"

#include <math.h>

#include "case.h"

static sk_spec spec_of(const char *text)
{
    sk_spec spec;
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse(text, &spec, &err), &err);
    return spec;
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * fmax(1, fabs(want)))) fail_msg("%.12g, not %.12g", got, want);
}

static void put_f16(void *base, size_t index, double x)
{
    uint16_t h = sk_f32_to_f16((float)x);
    memcpy((uint8_t *)base + index * 2, &h, 2);
}

static double get_f16(const void *base, size_t index)
{
    uint16_t h;
    memcpy(&h, (const uint8_t *)base + index * 2, 2);
    return (double)sk_f16_to_f32(h);
}

/* Four codewords along the axes of every group of two, of length `length`. */
static uint8_t *axis_book(const sk_spec *spec, double length)
{
    static const double axis[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
    uint8_t *book = sk_calloc(1, sk_codebook_head_bytes(spec));
    assert_non_null(book);
    uint8_t *at = book + sk_codebook_tier_off(spec, 0, 0);
    for (uint32_t group = 0; group < spec->d / 2; group++)
        for (uint32_t i = 0; i < 2; i++)
            for (uint32_t c = 0; c < 4; c++)
                put_f16(at, (group * 2 + i) * 4 + c, axis[c][i] * length);
    return book;
}

static uint32_t code_of(const sk_spec *spec, const uint8_t *page, uint32_t group, uint32_t token)
{
    sk_page_layout at;
    sk_page_layout_get(spec, 0, &at);
    const sk_segment *seg = &spec->tier[0].seg[0];
    return sk_bits_get(page + at.seg[0].code_off, sk_layout_code_bit(spec, seg, group, token),
                       seg->b);
}

static uint8_t *page_alloc(const sk_spec *spec, uint32_t tier, sk_page_layout *at)
{
    sk_page_layout_get(spec, tier, at);
    uint8_t *page = sk_malloc((size_t)at->units * SPHKV_UNIT_BYTES);
    assert_non_null(page);
    memset(page, 0xff, (size_t)at->units * SPHKV_UNIT_BYTES);
    return page;
}

/* ---- coding ------------------------------------------------------------------- */

static void test_code_span_all(void **state)
{
    (void)state;
    sk_spec spec = spec_of("attn_decode d8 v8 h1 p8 l0 qf32 of32 if32 tight g2b2r16sD:vf32");
    uint8_t *book = axis_book(&spec, 0.5);
    const double k[4][8] = {
        {2, 0, 0, 2, -2, 0, 0, -2}, /* a codeword each: radius 4 */
        {1, 1, -1, -1, 1, -1, 0, 0}, /* ties: the lowest index of equals */
        {0},                         /* nothing: all codes 0, radius 0 */
        {3, 1, 3, 1, 3, 1, 3, 1},    /* axis 0 everywhere: <k, c> = 6, <c, c> = 1 */
    };
    const uint32_t codes[4][4] = {{0, 1, 2, 3}, {0, 2, 0, 0}, {0}, {0}};
    const double radius[4] = {4, 1.5, 0, 6};
    double v[4][8] = {{0}}, back[4][8];
    for (uint32_t t = 0; t < 4; t++)
        v[t][t] = 1.0 + t;
    sk_page_layout at;
    uint8_t *page = page_alloc(&spec, 0, &at);
    sk_encode_page_ref(&spec, 0, &k[0][0], &v[0][0], 4, book, page);
    for (uint32_t t = 0; t < 4; t++) {
        for (uint32_t j = 0; j < 4; j++)
            assert_int_equal(code_of(&spec, page, j, t), codes[t][j]);
        assert_near(get_f16(page + at.seg[0].radius_off, t), radius[t]);
    }
    sk_page_decode_ref(&spec, 0, page, 4, book, &back[0][0], NULL);
    for (uint32_t i = 0; i < 8; i++) {
        assert_near(back[0][i], k[0][i]);
        assert_near(back[3][i], i % 2 ? 0 : 3);
    }
    for (uint32_t t = 4; t < 8; t++) /* unused slots */
        for (uint32_t j = 0; j < 4; j++)
            assert_int_equal(code_of(&spec, page, j, t), 0);
    sk_free(page);
    sk_free(book);
}

/* What is coded is k[perm[i]] - mean[perm[i]]: the same page as a plain set gives for
 * keys that are so already. A key that is the mean has no radius. */
static void test_code_mean_and_permutation(void **state)
{
    (void)state;
    static const char text[] = "attn_decode d8 v8 h1 p8 l0 qf32 of32 if32 tight g2b2r16sD:vf32";
    static const uint32_t order[8] = {2, 7, 0, 1, 6, 3, 5, 4};
    static const float mean[8] = {1, 2, 4, 8, 16, 32, 64, -128};
    sk_spec plain = spec_of(text), spec = plain;
    spec.book = SPHKV_BOOK_MEAN | SPHKV_BOOK_PERMUTATION;
    uint8_t *book = axis_book(&spec, 0.5);
    memcpy(book + sk_codebook_permutation_off(&spec), order, sizeof order);
    memcpy(book + sk_codebook_mean_off(&spec), mean, sizeof mean);
    const double coded[3][8] = {
        {2, 0, 0, 2, -2, 0, 0, -2}, {0}, {3, 1, 3, -1, 3, 1, -3, 1}};
    double k[3][8], v[3][8] = {{0}}, back[3][8];
    for (uint32_t t = 0; t < 3; t++)
        for (uint32_t i = 0; i < 8; i++)
            k[t][order[i]] = coded[t][i] + (double)mean[order[i]];
    sk_page_layout at;
    uint8_t *want = page_alloc(&plain, 0, &at), *page = page_alloc(&spec, 0, &at);
    sk_encode_page_ref(&plain, 0, &coded[0][0], &v[0][0], 3, book, want);
    sk_encode_page_ref(&spec, 0, &k[0][0], &v[0][0], 3, book, page);
    assert_memory_equal(page, want, (size_t)at.units * SPHKV_UNIT_BYTES);
    assert_near(get_f16(page + at.seg[0].radius_off, 0), 4);
    assert_near(get_f16(page + at.seg[0].radius_off, 1), 0);
    sk_page_decode_ref(&spec, 0, page, 3, book, &back[0][0], NULL);
    for (uint32_t i = 0; i < 8; i++) { /* codewords, and the mean, come back */
        assert_near(back[0][i], k[0][i]);
        assert_near(back[1][i], (double)mean[i]);
    }
    sk_free(want);
    sk_free(page);
    sk_free(book);
}

static void test_code_span_group(void **state)
{
    (void)state;
    sk_spec spec = spec_of("attn_decode d8 v8 h1 p8 l0 qf32 of32 if32 tight g2b2r8:vf16");
    uint8_t *book = axis_book(&spec, 1);
    double k[3][8] = {{3, 0, 0, 1, 0, 0, -8, 1}, {1.5, 0, 0, -1, 0, 0, 2, 0}, {-0.5, 0}},
           v[3][8] = {{0}};
    sk_page_layout at;
    uint8_t *page = page_alloc(&spec, 0, &at);
    sk_encode_page_ref(&spec, 0, &k[0][0], &v[0][0], 3, book, page);
    const uint32_t codes[3][4] = {{0, 1, 0, 2}, {0, 3, 0, 0}, {2, 0, 0, 0}};
    const double scales[4] = {3, 1, 0, 8}; /* the largest <k, c> of the span */
    /* 1.5 / 3 * 255 = 127.5 goes to the even 128; 0.5 / 3 * 255 = 42.5 to 42 */
    const uint32_t radii[4][3] = {{255, 128, 42}, {255, 255, 0}, {0, 0, 0}, {255, 64, 0}};
    for (uint32_t j = 0; j < 4; j++) {
        assert_near(get_f16(page + at.seg[0].rscale_off, j), scales[j]);
        for (uint32_t t = 0; t < 3; t++) {
            assert_int_equal(code_of(&spec, page, j, t), codes[t][j]);
            assert_int_equal(page[at.seg[0].radius_off + j * 8 + t], radii[j][t]);
        }
    }
    sk_free(page);
    sk_free(book);
}

static void test_values(void **state)
{
    (void)state;
    sk_spec spec = spec_of("attn_decode d8 v8 h1 p8 l0 qf32 of32 if32 tight "
                           "kf32:vi8,kf32:vi4,kf32:vf8,kf32:vbf16");
    const double v[3][8] = {{127, 0, 3.0, 1}, {-64.5, 0, 18.0, 2}, {0.5, 0, 4.5, -448}};
    double k[3][8] = {{0}}, back[3][8];
    sk_page_layout at;
    for (uint32_t tier = 0; tier < 4; tier++) {
        uint8_t *page = page_alloc(&spec, tier, &at);
        sk_encode_page_ref(&spec, tier, &k[0][0], &v[0][0], 3, NULL, page);
        sk_page_decode_ref(&spec, tier, page, 3, NULL, NULL, &back[0][0]);
        if (tier == 0) { /* scale 1: ties go to the even code; a zero channel stays zero */
            assert_near(back[0][0], 127);
            assert_near(back[1][0], -64);
            assert_near(back[2][0], 0);
            assert_near(back[1][1], 0);
        } else if (tier == 1) { /* channel 2: minimum 3, scale 1, 1.5 goes to 2 */
            assert_near(back[0][2], 3);
            assert_near(back[1][2], 18);
            assert_near(back[2][2], 5);
        } else if (tier == 2) { /* scale 1, three bits of fraction: 127 is nearer to 128 */
            assert_near(back[0][0], 128);
            assert_near(back[1][0], -64);
            assert_near(back[2][3], -448);
            assert_near(back[2][0], 0.5);
        } else {
            assert_near(back[0][0], 127);
            assert_near(back[1][0], -64.5);
        }
        sk_free(page);
    }
}

static void test_append(void **state)
{
    (void)state;
    sk_spec spec = spec_of("kv_append d8 v8 h1 p32 l0 qf32 of32 if32 tight kf16:vbf16");
    float k[8], v[8];
    sk_page_layout at;
    uint8_t *page = page_alloc(&spec, 0, &at), *before = page_alloc(&spec, 0, &at);
    for (uint32_t i = 0; i < 8; i++) {
        k[i] = 1.0f + (float)i + 0x1p-20f; /* rounds to 1 + i */
        v[i] = -1.0f - (float)i;
    }
    sk_append_ref(&spec, 0, k, v, 17, page); /* second block of 16, place 1 */
    for (uint32_t i = 0; i < 8; i++) {
        uint16_t bits;
        assert_near(get_f16(page + at.seg[0].key_off, (8 + i) * 16 + 1), 1 + i);
        memcpy(&bits, page + at.value_off + (17 * 16 + i) * 2, 2);
        assert_true(sk_bf16_to_f32(bits) == v[i]);
        memset(page + at.seg[0].key_off + ((8 + i) * 16 + 1) * 2, 0xff, 2);
        memset(page + at.value_off + (17 * 16 + i) * 2, 0xff, 2);
    }
    assert_memory_equal(page, before, (size_t)at.units * SPHKV_UNIT_BYTES);
    sk_free(page);
    sk_free(before);
}

/* ---- attention ---------------------------------------------------------------- */

/* A cache of two KV heads with dense f32 pages of 8 tokens, whose keys are a
 * number in dimension 0, and whose values are a number in channel 0. */
typedef struct tiny_cache {
    sk_spec spec;
    uint32_t units; /* of a page */
    uint8_t *arena;
    uint32_t indptr[5];
    uint64_t refs[8];
    float q[4][8]; /* [sequence 0: heads 0..3] */
    double out[4][8], mag[4][8], lse[4], ml[4][4], max_logit, max_terms; /* ml: [rows of pages][h, m l] */
} tiny_cache;

static void tiny_page(tiny_cache *c, uint32_t unit, uint32_t n, const double *keys,
                      const double *values)
{
    double k[8][8] = {{0}}, v[8][8] = {{0}};
    for (uint32_t t = 0; t < n; t++) {
        k[t][0] = keys[t];
        v[t][0] = values[t];
    }
    sk_encode_page_ref(&c->spec, 0, &k[0][0], &v[0][0], n, NULL,
                       c->arena + (size_t)unit * SPHKV_UNIT_BYTES);
}

static void tiny_make(tiny_cache *c)
{
    sk_page_layout at;
    memset(c, 0, sizeof *c);
    c->spec = spec_of("attn_decode d8 v8 h2 p8 l0 qf32 of32 if32 tight kf32:vf32");
    sk_page_layout_get(&c->spec, 0, &at);
    c->units = at.units;
    c->arena = sk_calloc(8, (size_t)at.units * SPHKV_UNIT_BYTES);
    assert_non_null(c->arena);
    for (uint32_t h = 0; h < 4; h++)
        c->q[h][0] = 1;
}

static sk_status tiny_run(tiny_cache *c, uint32_t lists_per_seq, float scale)
{
    sphkv_attn_args a = {
        .size = sizeof a, .batch = 1, .q = c->q, .arena = c->arena, .scale = scale};
    sk_err err = {0};
    a.arena_bytes = (size_t)8 * c->units * SPHKV_UNIT_BYTES;
    a.table = (sphkv_page_table){c->indptr, c->refs, lists_per_seq, lists_per_seq};
    sk_attn_truth truth = {
        .out = &c->out[0][0], .mag = &c->mag[0][0], .lse = c->lse, .page_ml = &c->ml[0][0]};
    sk_status st = sk_attn_reference(&c->spec, &a, 2, &truth, &err);
    c->max_logit = truth.max_logit;
    c->max_terms = truth.max_terms;
    return st;
}

static void test_attention_lists(void **state)
{
    (void)state;
    tiny_cache c;
    tiny_make(&c);
    const double ln3 = log(3), k0[2] = {ln3, 0}, v0[2] = {8, -4}, k1[1] = {0}, v1[1] = {100};
    tiny_page(&c, 0, 2, k0, v0);
    tiny_page(&c, c.units, 1, k1, v1);
    c.refs[0] = sphkv_page_ref(0, 2, 0);
    c.indptr[1] = c.indptr[2] = 1; /* KV head 1 has an empty list */
    c.q[1][0] = 0;                 /* head 1: equal logits */
    assert_int_equal(tiny_run(&c, 2, 1), SPHKV_OK);
    /* keys are stored as f32, so ln 3 is only that exact */
    assert_true(fabs(c.out[0][0] - (3 * 8.0 - 4) / 4) < 1e-6);
    assert_true(fabs(c.mag[0][0] - (3 * 8.0 + 4) / 4) < 1e-6);
    assert_near(c.out[1][0], 2);
    assert_near(c.out[2][0], 0);
    assert_near(c.out[3][0], 0);
    assert_true(fabs(c.max_logit - ln3) < 1e-7);
    assert_true(fabs(c.lse[0] - log(4)) < 1e-6 && fabs(c.lse[1] - log(2)) < 1e-6);
    assert_true(isinf(c.lse[2]) && c.lse[2] < 0 && isinf(c.lse[3]));
    assert_true(fabs(c.ml[0][0] - ln3) < 1e-7 && fabs(c.ml[0][1] - 4.0 / 3) < 1e-6);
    assert_near(c.ml[0][2], 0);
    assert_near(c.ml[0][3], 2);
    c.refs[1] = sphkv_page_ref(c.units, 1, 0); /* a second page; then only that one */
    c.indptr[1] = c.indptr[2] = 2;
    assert_int_equal(tiny_run(&c, 2, 1), SPHKV_OK);
    assert_true(fabs(c.out[0][0] - (3 * 8.0 - 4 + 100) / 5) < 1e-5);
    assert_true(fabs(c.lse[0] - log(5)) < 1e-6 && fabs(c.lse[1] - log(3)) < 1e-6);
    assert_near(c.ml[1][0], 0);
    assert_near(c.ml[1][1], 1);
    c.refs[1] = sphkv_page_ref(c.units, 0, 0); /* an empty page */
    assert_int_equal(tiny_run(&c, 2, 1), SPHKV_OK);
    assert_true(isinf(c.ml[1][0]) && c.ml[1][0] < 0 && c.ml[1][1] == 0);
    c.refs[1] = sphkv_page_ref(c.units, 1, 0);
    c.indptr[0] = 1;
    assert_int_equal(tiny_run(&c, 2, 1), SPHKV_OK);
    assert_near(c.out[0][0], 100);
    sk_free(c.arena);
}

static void test_attention_shared(void **state)
{
    (void)state;
    tiny_cache c;
    tiny_make(&c);
    const double k[3] = {0, 2, 5}, v0[3] = {1, 2, 1000}, v1[3] = {-1, -3, 1000};
    tiny_page(&c, c.units, 3, k, v0);
    tiny_page(&c, 2 * c.units, 3, k, v1);
    c.refs[0] = sphkv_page_ref(c.units, 2, 0); /* the third token is not ours */
    c.indptr[1] = 1;
    assert_int_equal(tiny_run(&c, 1, 0), SPHKV_OK); /* scale 1 / sqrt(8) */
    double p = 1 / (1 + exp(2 / sqrt(8)));
    assert_near(c.out[0][0], p + 2 * (1 - p));
    assert_near(c.out[3][0], -p - 3 * (1 - p));
    assert_near(c.max_logit, 2 / sqrt(8));
    assert_near(c.max_terms, c.max_logit); /* one dimension is not zero */
    for (uint32_t kv = 0; kv < 2; kv++) { /* a row of pairs per KV head */
        assert_near(c.ml[kv][0], 2 / sqrt(8));
        assert_near(c.ml[kv][3], 1 + exp(-2 / sqrt(8)));
        assert_near(c.lse[2 * kv], log(1 + exp(2 / sqrt(8))));
    }
    sk_free(c.arena);
}

static void test_attention_refuses(void **state)
{
    (void)state;
    tiny_cache c;
    tiny_make(&c);
    c.indptr[1] = c.indptr[2] = 1;
    c.refs[0] = sphkv_page_ref(8 * c.units, 1, 0);
    assert_int_equal(tiny_run(&c, 2, 1), SPHKV_EINVAL); /* behind the arena */
    c.refs[0] = sphkv_page_ref(0, 9, 0);
    assert_int_equal(tiny_run(&c, 2, 1), SPHKV_EINVAL); /* more tokens than slots */
    c.refs[0] = sphkv_page_ref(0, 1, 1);
    assert_int_equal(tiny_run(&c, 2, 1), SPHKV_EINVAL); /* no such tier */
    c.refs[0] = sphkv_page_ref(0, 1, 0);
    assert_int_equal(tiny_run(&c, 3, 1), SPHKV_EINVAL); /* lists of no such heads */
    assert_int_equal(tiny_run(&c, 2, 1), SPHKV_OK);
    sk_free(c.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_mean_and_permutation),
        cmocka_unit_test(test_code_span_all),   cmocka_unit_test(test_code_span_group),
        cmocka_unit_test(test_values),          cmocka_unit_test(test_append),
        cmocka_unit_test(test_attention_lists), cmocka_unit_test(test_attention_shared),
        cmocka_unit_test(test_attention_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
