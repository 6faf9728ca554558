/* test_prop_extend.c - what attn_extend must obey whatever its numbers are: every row is
 * what attn_decode gives for that query over the tokens it sees, in any number of parts
 * and whatever tile a token is of; a prefix without a mask joined with the rest is the
 * whole; sequences side by side are sequences alone. No reference takes part. */
#include "sk_test.h"

#include "prop_world.h"

#define QUERIES 70u

/* attn_extend over the list of a world, which runs attn_decode. */
typedef struct chunk {
    world one;
    kernel_built many;
    uint32_t n, mask, parts;
    uint32_t indptr[4], lists[4]; /* of up to three sequences, all of the same list */
    uint32_t batch;
    uint64_t refs[3 * 4 * PAGES];
    float q[QUERIES][MAX_H][MAX_D], out[QUERIES][MAX_H][MAX_D], lse[QUERIES][MAX_H];
} chunk;

static void chunk_run(chunk *c)
{
    const world *w = &c->one;
    const sk_spec *s = &c->many.spec;
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 3, .kv_heads = 1,
                                 .pages_per_list = SK_COUNT(w->refs), .parts = c->parts};
    sphkv_extend_args a = {.size = sizeof a, .batch = c->batch, .q_indptr = c->indptr, .q = c->q,
                           .out = c->out, .lse = &c->lse[0][0], .lse_stride_tok = MAX_H,
                           .scale = w->scale, .mask = c->mask, .arena = w->arena,
                           .arena_bytes = w->bytes, .codebook = w->book,
                           .codebook_bytes = sk_codebook_head_bytes(s)};
    a.q_stride_head = a.out_stride_head = MAX_D;
    a.q_stride_tok = a.out_stride_tok = MAX_D * MAX_H;
    a.table = (sphkv_page_table){c->lists, c->refs, c->batch, 1};
    sk_image image;
    sk_err err = {0};
    memset(c->out, 0xff, sizeof c->out);
    kernel_image(&c->many, c->many.code != NULL, &maxima, &image);
    sk_assert_ok(kernel_run(&image, &a, c->parts, &err), &err);
}

/* A world of `tiers` with n queries in one sequence. */
static void chunk_start(kernel_lab *lab, chunk *c, const char *about, const char *schedule, uint32_t n)
{
    char spec[2][160];
    sk_rng rng;
    memset(c, 0, sizeof *c);
    snprintf(spec[0], sizeof spec[0], "attn_decode %s", about);
    snprintf(spec[1], sizeof spec[1], "attn_extend %s", about);
    world_start(lab, &c->one, spec[0]);
    c->one.sums = true;
    kernel_build(lab, &(kernel_row){spec[1], schedule, 0}, &c->many);
    sk_rng_seed(&rng, lab->seed + 9);
    for (size_t i = 0; i < SK_COUNT(c->q) * MAX_H * MAX_D; i++)
        (&c->q[0][0][0])[i] = (float)(2 * sk_rng_normal(&rng));
    memcpy(c->refs, c->one.refs, PAGES * sizeof *c->refs);
    c->n = n;
    c->batch = c->parts = 1;
    c->indptr[1] = n;
    c->lists[1] = PAGES;
}

static void chunk_free(chunk *c)
{
    kernel_built_free(&c->many);
    world_free(&c->one);
}

/* attn_decode of query i over the first `tokens` tokens. */
static void decode_row(chunk *c, uint32_t i, uint32_t tokens)
{
    world *w = &c->one;
    w->indptr[1] = 0;
    for (uint32_t p = 0; p < PAGES && tokens > 0; p++) {
        const uint32_t all = sphkv_ref_tokens(c->refs[p]), n = all < tokens ? all : tokens;
        w->refs[p] = sphkv_page_ref(sphkv_ref_unit(c->refs[p]), n, sphkv_ref_tier(c->refs[p]));
        w->indptr[1]++;
        tokens -= n;
    }
    memcpy(w->q, c->q[i], sizeof w->q);
    world_run(w);
}

/* Row `row` of the chunk against the world's. */
static void assert_row(chunk *c, uint32_t row, double tolerance)
{
    const world *w = &c->one;
    assert_rows(w, c->out[row], tolerance);
    for (uint32_t h = 0; h < w->built.spec.heads_per_kv; h++) {
        if (c->lse[row][h] == w->lse[h]) continue; /* minus infinity, too */
        if (!(fabsf(c->lse[row][h] - w->lse[h]) <= 1e-5f * (1 + fabsf(w->lse[h]))))
            fail_msg("row %u, head %u: lse %.8g, not %.8g", row, h, (double)c->lse[row][h],
                     (double)w->lse[h]);
    }
}

/* ---- laws --------------------------------------------------------------------------- */

static void check_rows(kernel_lab *lab, const char *about, const char *schedule, double tolerance)
{
    chunk c;
    chunk_start(lab, &c, about, schedule, QUERIES);
    for (c.parts = 1; c.parts <= 5; c.parts += 2) {
        chunk_run(&c);
        for (uint32_t i = 0; i < QUERIES; i++) {
            decode_row(&c, i, TOKENS - QUERIES + i + 1);
            assert_row(&c, i, tolerance);
        }
    }
    c.mask = SPHKV_MASK_NONE;
    chunk_run(&c);
    for (uint32_t i = 0; i < QUERIES; i += 23) {
        decode_row(&c, i, TOKENS);
        assert_row(&c, i, tolerance);
    }
    chunk_free(&c);
}

static void test_rows(void **state)
{
    check_rows(*state, "d64 v64 h4 p32 l1 qf32 of32 if32 exact good:vi8,kf16:vf16", "", 5e-6);
    check_rows(*state, "d64 v64 h4 p32 l1 qf32 of32 if32 exact good:vi8,kf16:vf16", "qtile=24", 5e-6);
    check_rows(*state, "d64 v64 h3 p32 l0 qf32 of32 if32 exact kf16:vf16", "qtile=48,qrows=8", 5e-6);
    check_rows(*state, "d64 v64 h2 p32 l1 qf32 of32 if32 exact lean:vf16", "w=4,qrows=4,qvec=1", 5e-6);
    check_rows(*state, "d64 v48 h3 p32 l1 qf32 of32 if32 exact 48@g16b8r16s48+16@kf16:vk,kf16:vk", "", 5e-6);
}

/* More queries than tokens: those before the beginning of the list see nothing. */
static void test_before_the_beginning(void **state)
{
    chunk c;
    chunk_start(*state, &c, "d64 v64 h3 p32 l0 qf32 of32 if32 exact kf16:vf16", "", 40);
    c.refs[0] = sphkv_page_ref(sphkv_ref_unit(c.refs[0]), 9, sphkv_ref_tier(c.refs[0]));
    c.lists[1] = 1;
    chunk_run(&c);
    for (uint32_t i = 0; i < 40; i++) {
        decode_row(&c, i, i < 31 ? 0 : i - 30);
        if (i < 31)
            for (uint32_t h = 0; h < 3; h++)
                assert_true(c.out[i][h][5] == 0 && isinf(c.lse[i][h]) && c.lse[i][h] < 0);
        else
            assert_row(&c, i, 5e-6);
    }
    chunk_free(&c);
}

/* The whole is a prefix that nobody masks and the rest, weighted by exp(lse). */
static void test_prefix_and_rest(void **state)
{
    chunk c;
    static float out[2][QUERIES][MAX_H][MAX_D], lse[2][QUERIES][MAX_H];
    chunk_start(*state, &c, "d64 v64 h4 p32 l1 qf32 of32 if32 exact good:vi8,kf16:vf16", "", 20);
    for (uint32_t k = 0; k < 2; k++) {
        c.lists[0] = k ? 3 : 0;
        c.lists[1] = k ? PAGES : 3;
        c.mask = k ? SPHKV_MASK_CAUSAL : SPHKV_MASK_NONE;
        chunk_run(&c);
        memcpy(out[k], c.out, sizeof out[k]);
        memcpy(lse[k], c.lse, sizeof lse[k]);
    }
    c.lists[0] = 0;
    chunk_run(&c);
    for (uint32_t i = 0; i < 20; i++)
        for (uint32_t h = 0; h < 4; h++) {
            const double w = 1 / (1 + exp((double)lse[1][i][h] - (double)lse[0][i][h]));
            for (uint32_t x = 0; x < 64; x++) {
                const double both = w * (double)out[0][i][h][x] + (1 - w) * (double)out[1][i][h][x];
                assert_true(fabs(both - (double)c.out[i][h][x]) <= 1e-4);
            }
        }
    chunk_free(&c);
}

/* Three sequences of other lengths at once, one of them without queries, are as each
 * alone, to the bit. */
static void test_sequences(void **state)
{
    static chunk all, one;
    const char *about = "d64 v64 h4 p32 l1 qf32 of32 if32 tight good:vi8,kf16:vf16";
    chunk_start(*state, &all, about, "", 60);
    chunk_start(*state, &one, about, "", 33);
    const uint32_t at[4] = {3, 36, 36, 60}, pages[3] = {PAGES, 2, 4};
    all.batch = 3;
    memcpy(all.indptr, at, sizeof at);
    for (uint32_t s = 0; s < 3; s++) {
        memcpy(all.refs + all.lists[s], one.one.refs, pages[s] * sizeof *all.refs);
        all.lists[s + 1] = all.lists[s] + pages[s];
    }
    all.parts = 4;
    chunk_run(&all);
    for (uint32_t s = 0; s < 3; s += 2) {
        const uint32_t n = at[s + 1] - at[s];
        one.indptr[1] = n;
        one.lists[1] = pages[s];
        memcpy(one.q, all.q[at[s]], n * sizeof *one.q);
        chunk_run(&one);
        assert_memory_equal(one.out, all.out[at[s]], n * sizeof *one.out);
    }
    for (uint32_t i = 0; i < 3; i++) assert_true(isnan(all.out[i][0][0])); /* nobody's */
    chunk_free(&all);
    chunk_free(&one);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_rows, &lab),
        cmocka_unit_test_prestate(test_before_the_beginning, &lab),
        cmocka_unit_test_prestate(test_prefix_and_rest, &lab),
        cmocka_unit_test_prestate(test_sequences, &lab),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
