/* test_kernel_schedule.c - attn_schedule: work lists of many tables against the
 * rules they must obey, attention along them, and what attention refuses: a list
 * is the caller's memory, and every word of it may be wrong. */
#include "sk_test.h"

#include "kernel_cases.h"
#include "work.h"

static kernel_lab lab;

static void every_row(void **state)
{
    (void)state;
    const kernel_table *t = kernel_table_get("schedule");
    for (uint32_t i = 0; i < t->n; i++) kernel_row_run(&lab, &t->row[i], true);
}

/* ---- attention along a work list ------------------------------------------------ */

typedef struct bench {
    kernel_built plan, attn;
    sk_case c;
    sk_image attn_image;
    sphkv_maxima maxima;
    _Alignas(64) uint8_t list[1 << 14];
} bench;

static bench b;

static void bench_make(const char *mix, uint32_t input, bool shared, uint32_t parts)
{
    char spec[200];
    sk_err err = {0};
    snprintf(spec, sizeof spec, "attn_decode d64 v64 h2 p32 l1 qf32 of32 if32 tight %s", mix);
    const kernel_row attn = {spec, "", 0};
    kernel_build(&lab, &attn, &b.attn);
    snprintf(spec, sizeof spec, "attn_schedule d64 v64 h1 p32 l1 qf32 of32 if32 tight %s", mix);
    const kernel_row plan = {spec, "", 0};
    kernel_build(&lab, &plan, &b.plan);
    sk_case_params p = kernel_params(&b.attn, (sk_input)input, shared, lab.seed + parts);
    p.shape.context = 5 * b.attn.spec.page;
    sk_assert_ok(sk_case_make(&p, &b.c, &err), &err);
    sk_case_maxima(&b.c, parts, &b.maxima);
    kernel_image(&b.attn, b.attn.code != NULL, &b.maxima, &b.attn_image);
}

static void bench_free(void)
{
    sk_case_free(&b.c);
    kernel_built_free(&b.plan);
    kernel_built_free(&b.attn);
}

/* The work list of the case's table. */
static void make_list(uint32_t parts, uint32_t first, uint32_t heads)
{
    const sphkv_attn_args *a = &b.c.args.attn[0];
    sk_image image;
    sk_err err = {0};
    const sphkv_schedule_args args = {.size = sizeof args, .batch = a->batch, .table = a->table,
                                      .parts = parts, .schedule = b.list, .kv_head_first = first,
                                      .kv_head_count = heads, .schedule_bytes = sizeof b.list};
    memset(b.list, 0xee, sizeof b.list);
    kernel_image(&b.plan, b.plan.code != NULL, &b.maxima, &image);
    sk_assert_ok(kernel_run(&image, &args, 1, &err), &err);
}

static sk_status attend(uint32_t parts, sk_err *err)
{
    sphkv_attn_args a = b.c.args.attn[0];
    a.schedule = b.list;
    a.schedule_bytes = sizeof b.list;
    sk_case_poison(&b.c, 0);
    return kernel_run(&b.attn_image, &a, parts, err);
}

static void attention_follows(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 5, 16};
    static const char *const mixes[] = {"good:vi8,kf16:vf16", "high:vf16"};
    for (uint32_t i = 0; i < SK_COUNT(counts); i++)
        for (uint32_t k = 0; k < 4; k++) {
            sk_err err = {0};
            double error, bound;
            bench_make(mixes[k / 2], k % 2 ? SK_IN_EDGE : SK_IN_S1, (i + k) % 2, counts[i]);
            make_list(counts[i], 0, 0);
            sk_assert_ok(attend(counts[i], &err), &err);
            sk_assert_ok(sk_case_judge(&b.c, 0, &error, &bound, &err), &err);
            bench_free();
        }
}

/* A list of a range of KV heads serves runs over that range only. */
static void ranges(void **state)
{
    (void)state;
    sk_err err = {0};
    bench_make("good:vi8,kf16:vf16", SK_IN_EDGE, false, 3);
    make_list(3, 1, 1);
    assert_int_equal(attend(3, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "made for"));
    bench_free();
}

/* No wrong word passes unless it means the same, and none is followed blindly:
 * pages, rows and workspace of the run lie between redzones. */
static void wrong_words(void **state)
{
    (void)state;
    enum { PARTS = 3 };
    sk_err err = {0};
    bench_make("good:vi8,kf16:vf16", SK_IN_EDGE, false, PARTS);
    make_list(PARTS, 0, 0);
    uint32_t *word = (uint32_t *)(void *)b.list, refused = 0;
    const uint32_t items = word[SK_WORK_ITEMS], n = sk_work_items_at(PARTS) + 4 * items;
    assert_true(items > PARTS);
    for (uint32_t i = 0; i < n; i++) {
        static const uint32_t wrong[] = {0, 1, 7, 0x7fffffff, 0xfffffffe, SK_ITEM_FINAL};
        const uint32_t right = word[i];
        /* what no one reads: the header's end, and the padding of the first items */
        bool unread = i >= SK_WORK_ITEMS + 1 && i < SK_WORK_HEADER;
        unread |= i > SK_WORK_HEADER + PARTS && i < sk_work_items_at(PARTS);
        for (uint32_t k = 0; k < SK_COUNT(wrong) && !unread; k++) {
            if (wrong[k] == right) continue;
            word[i] = wrong[k];
            if (attend(PARTS, &err) != SPHKV_EINVAL)
                fail_msg("word %u is %#x instead of %#x and passes", i, wrong[k], right);
            assert_non_null(strstr(err.message, "schedule"));
            sk_assert_ok(sk_case_intact(&b.c, 0, &err), &err);
            refused++;
        }
        word[i] = right;
    }
    assert_true(refused > 100);
    sk_assert_ok(attend(PARTS, &err), &err);
    assert_int_equal(attend(2, &err), SPHKV_EINVAL); /* made for three */
    bench_free();
}

/* Pages that each weigh less than half a last place of what lies before them in the
 * table: a sequence of 2^14 pages of 2 KiB a token, then one of 2^18 nearly empty
 * ones, in all eight shares of a part. No part may take all of those. */
enum { HEAVY = 1 << 14, LIGHT = 1 << 18, MANY = 1024 };

static double heaviest_part(const sk_spec *spec, const sphkv_schedule_args *a, double *total)
{
    const uint32_t *word = a->schedule, *first = word + SK_WORK_HEADER;
    const sk_work_item *item = (const sk_work_item *)(const void *)(word + sk_work_items_at(MANY));
    double most = *total = 0;
    for (uint32_t part = 0; part < MANY; part++) {
        double sum = 0;
        for (uint32_t i = first[part]; i < first[part + 1]; i++)
            for (uint32_t k = item[i].lo; k < item[i].hi; k++)
                sum += sk_work_weight(spec, 0, sphkv_ref_tokens(a->table.refs[k]));
        *total += sum;
        most = fmax(most, sum);
    }
    return most;
}

static void light_behind_heavy(void **state)
{
    (void)state;
    static const kernel_row row = {"attn_schedule d256 v256 h1 p256 l1 qf32 of32 if32 tight kf32:vf32",
                                   "", 0};
    const uint32_t indptr[3] = {0, HEAVY, HEAVY + LIGHT};
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 2, .kv_heads = 1,
                                 .pages_per_list = LIGHT, .parts = MANY};
    const size_t bytes = sphkv_schedule_bytes(2, 1, MANY);
    kernel_built built;
    void *raw;
    uint64_t *refs = sk_calloc(HEAVY + LIGHT, sizeof *refs);
    assert_non_null(refs);
    for (uint32_t i = 0; i < HEAVY + LIGHT; i++) refs[i] = (i < HEAVY ? (uint64_t)256 << 32 : 0) | i;
    const sphkv_schedule_args a = {
        .size = sizeof a, .batch = 2, .parts = MANY, .schedule_bytes = bytes,
        .schedule = kernel_workspace(bytes, &raw),
        .table = {.indptr = indptr, .refs = refs, .lists = 2, .lists_per_seq = 1}};
    kernel_build(&lab, &row, &built);
    for (uint32_t compiled = 0; compiled <= (built.code != NULL); compiled++) {
        sk_err err = {0};
        sk_image image;
        double all, wanted = 0;
        kernel_image(&built, compiled, &maxima, &image);
        sk_assert_ok(kernel_run(&image, &a, 1, &err), &err);
        const double most = heaviest_part(&built.spec, &a, &all);
        const double page = sk_work_weight(&built.spec, 0, 256);
        wanted = HEAVY * page + LIGHT * sk_work_weight(&built.spec, 0, 0);
        if (all != wanted || most > all / MANY + page + 1e-4 * all)
            fail_msg("%s: a part weighs %.6g of %.6g (%.6g wanted) in %d parts",
                     compiled ? "compiled" : "interpreted", most, all, wanted, MANY);
    }
    kernel_built_free(&built);
    sk_free(raw);
    sk_free(refs);
}

/* A list that is cut inside of a part: its second piece would be merged by no one. */
static void cut_inside(void **state)
{
    (void)state;
    sk_err err = {0};
    bench_make("kf16:vf16", SK_IN_S1, true, 1);
    make_list(1, 0, 0);
    uint32_t *word = (uint32_t *)(void *)b.list, *first = word + SK_WORK_HEADER;
    sk_work_item *item = (sk_work_item *)(void *)(word + sk_work_items_at(1));
    const uint32_t n = word[SK_WORK_ITEMS];
    assert_true(item[n - 1].hi - item[n - 1].lo > 1);
    item[n] = item[n - 1];
    item[n - 1].hi = item[n].lo = item[n].hi - 1;
    item[n - 1].slot = 1;
    item[n].slot = 0;
    word[SK_WORK_ITEMS] = first[1] = n + 1;
    assert_int_equal(attend(1, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "does not fit"));
    bench_free();
}

static void bad_args(void **state)
{
    (void)state;
    sk_err err = {0};
    sk_image image;
    bench_make("good:vi8,kf16:vf16", SK_IN_S1, false, 2);
    kernel_image(&b.plan, b.plan.code != NULL, &b.maxima, &image);
    const sphkv_attn_args *c = &b.c.args.attn[0];
    const uint32_t heads = b.maxima.kv_heads;
    const sphkv_schedule_args good = {
        .size = sizeof good, .batch = c->batch, .table = c->table, .parts = 2, .schedule = b.list,
        .schedule_bytes = sphkv_schedule_bytes(c->batch, heads, 2)};
    sk_assert_ok(kernel_run(&image, &good, 2, &err), &err);
    memset(b.list, 0xee, sizeof b.list);
#define REFUSED(change, word)                                                                      \
    for (uint32_t parts = 1; parts <= 2; parts++) { /* the last one is asked first */              \
        sphkv_schedule_args a = good;                                                              \
        change;                                                                                    \
        assert_int_equal(kernel_run(&image, &a, parts, &err), SPHKV_EINVAL);                       \
        if (!strstr(err.message, word)) fail_msg("%s: %s", #change, err.message);                  \
    }
    REFUSED(a.size -= 4, "size");
    REFUSED(a.reserved = 1, "reserved");
    REFUSED(a.batch++, "batch");
    REFUSED(a.batch--, "table.lists");
    REFUSED(a.parts = 0, "parts is 0");
    REFUSED(a.parts = SPHKV_MAX_PARTS + 1, "parts is 1025");
    REFUSED(a.kv_head_first = heads, "KV heads");
    REFUSED(a.kv_head_count = heads + 1, "KV heads");
    REFUSED(a.table.lists_per_seq = 7, "lists_per_seq");
    REFUSED(a.table.indptr = NULL, "indptr");
    REFUSED(a.table.refs = NULL, "refs");
    REFUSED(a.schedule = NULL, "schedule");
    REFUSED(a.schedule = b.list + 32, "schedule");
    REFUSED(a.schedule_bytes--, "schedule");
#undef REFUSED
    for (size_t i = 0; i < sizeof b.list; i++) assert_int_equal(b.list[i], 0xee);
    bench_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(attention_follows),
        cmocka_unit_test(ranges),
        cmocka_unit_test(wrong_words),
        cmocka_unit_test(light_behind_heavy),
        cmocka_unit_test(cut_inside),
        cmocka_unit_test(bad_args),
    };
    kernel_lab_open(&lab);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
