/* What is predicted of GPU schedules: counts are of the program, times grow with the
 * work, a card with more of everything is not slower, and a ranking keeps the default
 * in front and is the same every time. No GPU and no compiler. */
#include "rank.h"
#include "sk_test.h"

static const char spec_text[] = "attn_decode d64 v64 h4 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16";

static void spec_of(const char *text, sk_spec *spec)
{
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse(text, spec, &err), &err);
}

static sk_card card_of(const char *arch)
{
    sk_err err = {0};
    sk_card card;
    sk_assert_ok(sk_card_parse(arch, &card, &err), &err);
    return card;
}

static sk_prediction predict(const sk_spec *spec, const sk_card *card, const sk_shape *shape)
{
    sk_err err = {0};
    sk_schedule schedule;
    sk_work work;
    sk_predict_at at;
    sk_prediction p;
    sk_kernel_default(sk_kernel_get(spec->kernel), spec, &card->target, &schedule);
    sk_assert_ok(sk_work_count(spec, &schedule, &work, &err), &err);
    sk_assert_ok(sk_predict_at_make(spec, shape, &at, &err), &err);
    sk_assert_ok(sk_predict(card->model, &card->target, &at, &schedule, &work, 0, &p, &err), &err);
    sk_predict_at_free(&at);
    return p;
}

static void archs(void **state)
{
    (void)state;
    sk_card card;
    static const char *const good[] = {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_90a",
                                       "sm_100", "sm_120"};
    static const char *const bad[] = {"", "sm_", "90", "sm_90b", "sm_90aa", "compute_90", "sm_61",
                                      "sm_90 "};
    for (size_t i = 0; i < SK_COUNT(good); i++) {
        card = card_of(good[i]);
        assert_string_equal(card.arch, good[i]);
        assert_true(card.target.backend == SK_BACKEND_CUDA && card.target.sms == card.model->sms);
    }
    assert_true(card_of("sm_90a").target.sm_exact);
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sk_err err = {0};
        assert_true(sk_card_parse(bad[i], &card, &err) != SPHKV_OK);
        assert_true(err.message[0] != '\0');
    }
}

/* The work of a copy is known: as many sectors read as written, none in scratch. */
static void counts_of_a_copy(void **state)
{
    (void)state;
    sk_err err = {0};
    sk_spec spec;
    sk_schedule schedule;
    sk_work work;
    sk_cost cost;
    const sk_card card = card_of("sm_90");
    const sk_kernel *kernel = sk_kernel_get(SPHKV_PAGE_GATHER);
    const sk_shape one = {.batch = 1, .kv_heads = 1, .context = 64, .threads = 1};
    spec_of("page_gather d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8", &spec);
    sk_kernel_default(kernel, &spec, &card.target, &schedule);
    sk_assert_ok(sk_work_count(&spec, &schedule, &work, &err), &err);
    kernel->cost(&spec, &one, &cost);
    const double sectors = (cost.read_bytes + cost.write_bytes) / 32 / cost.token_heads;
    const double seen = work.per_token[SK_UNIT_L1] + work.fixed[SK_UNIT_L1] / 64;
    assert_true(seen >= sectors && seen < 1.2 * sectors + 1);
    assert_true(work.per_token[SK_UNIT_SHARED] == 0 && work.per_token[SK_UNIT_MMA] == 0);
    assert_true(work.nentry == 1 && work.warps[0] >= 1);
}

static void grows_with_the_work(void **state)
{
    (void)state;
    sk_spec spec;
    spec_of(spec_text, &spec);
    const sk_card card = card_of("sm_90"), small = card_of("sm_75");
    double before = 0;
    for (uint32_t context = 1024; context <= 65536; context *= 4) {
        const sk_shape shape = {.batch = 8, .kv_heads = 8, .context = context, .threads = 1};
        const sk_prediction p = predict(&spec, &card, &shape);
        assert_true(p.us > before && p.us > SK_PREDICT_LAUNCH_US);
        assert_true(p.us >= p.memory_us && p.blocks >= 1 && p.blocks_per_sm >= 1);
        for (uint32_t u = 0; u < SK_UNIT_COUNT; u++) assert_true(p.us >= p.unit_us[u]);
        assert_true(predict(&spec, &small, &shape).us > p.us);
        before = p.us;
    }
    /* no faster than its bytes at the card's bandwidth */
    sk_cost cost;
    const sk_shape big = {.batch = 32, .kv_heads = 8, .context = 32768, .threads = 1};
    sk_kernel_get(SPHKV_ATTN_DECODE)->cost(&spec, &big, &cost);
    assert_true(predict(&spec, &card, &big).us >= cost.read_bytes / (card.model->gbps * 1e3));
}

/* A kernel without scratch, on a generation that keeps none for a block. */
static void without_scratch(void **state)
{
    (void)state;
    sk_spec spec;
    spec_of("page_gather d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8", &spec);
    const sk_card card = card_of("sm_75");
    const sk_shape shape = {.batch = 64, .kv_heads = 1, .context = 64, .threads = 1};
    assert_true(predict(&spec, &card, &shape).blocks_per_sm >= 1);
}

static void ranks(void **state)
{
    (void)state;
    sk_err err = {0};
    sk_spec spec;
    const sk_shape shape = {.batch = 1, .kv_heads = 8, .context = 4096, .threads = 1};
    const sk_card card = card_of("sm_80");
    uint32_t first[SK_RANK_KEPT] = {0}, n = 0, again[SK_RANK_KEPT] = {0}, m = 0;
    spec_of(spec_text, &spec);
    sk_ranking *r = sk_calloc(2, sizeof *r);
    assert_non_null(r);
    for (uint32_t i = 0; i < 2; i++)
        sk_assert_ok(sk_ranking_make(&spec, &shape, 1, &r[i], &err), &err);
    sk_assert_ok(sk_rank(&r[0], &card, 4, first, &n, &err), &err);
    sk_assert_ok(sk_rank(&r[1], &card, 4, again, &m, &err), &err);
    assert_true(n >= 1 && n <= 4 && n == m);
    assert_memory_equal(first, again, n * sizeof *first);
    sk_schedule base;
    sk_kernel_default(r[0].kernel, &spec, &card.target, &base);
    assert_memory_equal(r[0].counted[first[0]].schedule.v, base.v, sizeof base.v);
    double before = 0;
    for (uint32_t i = 1; i < n; i++) { /* behind the default: faster ones first, each once */
        const sk_counted *c = &r[0].counted[first[i]];
        sk_prediction p;
        sk_assert_ok(sk_kernel_valid(r[0].kernel, &spec, &c->schedule, &card.target, &err), &err);
        sk_assert_ok(sk_predict(card.model, &card.target, &r[0].at[0], &c->schedule, &c->work, 0,
                                &p, &err), &err);
        assert_true(p.us >= before);
        before = p.us;
        for (uint32_t k = 0; k < i; k++) assert_int_not_equal(first[i], first[k]);
    }
    for (uint32_t i = 0; i < 2; i++) sk_ranking_free(&r[i]);
    sk_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archs),
        cmocka_unit_test(counts_of_a_copy),
        cmocka_unit_test(grows_with_the_work),
        cmocka_unit_test(without_scratch),
        cmocka_unit_test(ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
