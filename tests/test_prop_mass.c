/* test_prop_mass.c - page_mass: laws that need no reference. The masses of a list add up to
 * query heads times queries that see a token, those of a page to what is given for the
 * page; a sum that is given (lse) changes nothing; a later query sees a token that an
 * earlier one does not; tokens whose biases are all minus infinity have equal shares. */
#include "sk_test.h"

#include "kernel_cases.h"

#define M(h, p, tiers) "page_mass d64 v64 h" h " p" p " l1 qf32 of32 if32 tight " tiers

static const kernel_row rows[] = {
    {M("4", "64", "good:vi8,kf16:vf16"), "", 0},
    {M("18", "32", "high:vi4,kf32:vf32"), "", 0},
    {M("1", "16", "low:vf8,ki8:vi4"), "w=4", 0},
};

static const kernel_row biased[] = {
    {M("4", "64", "good:vi8,kf16:vf16") " bias", "", 0},
    {M("18", "16", "mid:vf8,ki8:vi4") " sink bias", "w=8", 0},
    {"page_mass d64 v64 h2 p32 l1 qf16 of32 if32 fast lean:vi8 bias", "", 0},
};

static double sum_of(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(x[i] >= 0);
        sum += (double)x[i];
    }
    return sum;
}

static void run_it(const kernel_built *b, sk_case *c, const sphkv_mass_args *a)
{
    sphkv_maxima maxima;
    sk_image image;
    sk_err err = {0};
    sk_case_maxima(c, KERNEL_PARTS, &maxima);
    kernel_image(b, b->code != NULL, &maxima, &image);
    sk_case_poison(c, 0);
    sk_assert_ok(kernel_run(&image, a, KERNEL_PARTS, &err), &err);
}

/* Masses of the list of KV head h of sequence s, and their number of tokens. */
static double list_mass(const kernel_built *b, const sphkv_mass_args *a, uint32_t list, uint32_t h,
                        uint32_t *tokens)
{
    const bool shared = a->table.lists_per_seq == 1;
    double sum = 0;
    *tokens = 0;
    for (uint32_t i = a->table.indptr[list]; i < a->table.indptr[list + 1]; i++) {
        const size_t row = shared ? (size_t)i * KERNEL_HEADS + h : i;
        const double page = sum_of(a->mass + row * b->spec.page, b->spec.page);
        if (a->page_mass && !(fabs(page - (double)a->page_mass[row]) <= 1e-4 * (page + 1e-3)))
            fail_msg("page %u has %.7g, its slots %.7g", i, (double)a->page_mass[row], page);
        sum += page;
        *tokens += sphkv_ref_tokens(a->table.refs[i]);
    }
    return sum;
}

static void masses_add_up(void **state)
{
    kernel_test *t = *state;
    kernel_built b;
    sk_err err = {0};
    kernel_build(t->lab, &t->row, &b);
    for (uint32_t input = 0; input < SK_INPUT_COUNT; input++) {
        sk_case c;
        const sk_case_params p = kernel_params(&b, (sk_input)input, input % 2 == 1, t->lab->seed + input);
        sk_assert_ok(sk_case_make(&p, &c, &err), &err);
        const sphkv_mass_args *a = c.args.mass;
        run_it(&b, &c, a);
        for (uint32_t n = 0; n < p.shape.batch * KERNEL_HEADS; n++) {
            uint32_t tokens;
            const uint32_t list = p.lists_per_seq == 1 ? n / KERNEL_HEADS : n;
            const double got = list_mass(&b, a, list, n % KERNEL_HEADS, &tokens);
            const double want = (double)b.spec.heads_per_kv * (tokens < a->q_len ? tokens : a->q_len);
            if (!(fabs(got - want) <= 1e-3 * want))
                fail_msg("input %s: list %u has %.7g, not %.7g", sk_input_name(input), list, got, want);
        }
        sk_case_free(&c);
    }
    kernel_built_free(&b);
}

/* With the sum of the softmax, or without; and of one query less. */
static void sums_that_are_given(void **state)
{
    kernel_test *t = *state;
    kernel_built b;
    sk_err err = {0};
    sk_case c;
    kernel_build(t->lab, &t->row, &b);
    const sk_case_params p = kernel_params(&b, SK_IN_SINK, false, t->lab->seed);
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    sphkv_mass_args a = c.args.mass[0];
    const size_t n = (size_t)a.table.indptr[a.table.lists] * b.spec.page;
    float *with = sk_malloc(n * sizeof *with);
    assert_true(with && a.lse && a.q_len > 1);
    run_it(&b, &c, &a);
    memcpy(with, a.mass, n * sizeof *with);
    a.lse = NULL;
    run_it(&b, &c, &a);
    const double all = sum_of(with, n);
    double off = 0;
    for (size_t i = 0; i < n; i++) off += fabs((double)with[i] - (double)a.mass[i]);
    if (!(off <= 2e-3 * all)) fail_msg("given and found differ by %.3g of %.3g", off, all);
    /* the last slot of a list is seen by the last query alone */
    const uint64_t ref = a.table.refs[a.table.indptr[1] - 1];
    const float *last = a.mass + (size_t)(a.table.indptr[1] - 1) * b.spec.page + sphkv_ref_tokens(ref) - 1;
    assert_true((double)*last <= b.spec.heads_per_kv * 1.001);
    a.q = (const float *)a.q + (size_t)a.q_stride_tok * (a.q_len - 1);
    a.q_len = 1;
    const double was = (double)*last;
    run_it(&b, &c, &a);
    if (!(fabs(was - (double)*last) <= 1e-4 * (was + 1e-3))) fail_msg("%.7g of the last query, %.7g of all", (double)*last, was);
    sk_free(with);
    sk_case_free(&c);
    kernel_built_free(&b);
}

/* What falls on slot `slot` of a list of n tokens whose queries weigh all they see alike. */
static double even_share(const kernel_built *b, const sphkv_mass_args *a, uint32_t n, uint32_t slot)
{
    double sum = 0;
    for (uint32_t i = 0; i < a->q_len; i++) {
        const uint32_t hidden = a->q_len - 1 - i, seen = n > hidden ? n - hidden : 0;
        if (slot < seen) sum += b->spec.heads_per_kv / (double)seen;
    }
    return sum;
}

/* Masses of the only list of a run, all of whose biases are minus infinity. */
static void all_alike(const kernel_built *b, sk_case *c, const sphkv_mass_args *a, double part,
                      const char *how)
{
    uint32_t slot = 0, n = 0;
    for (uint32_t i = a->table.indptr[0]; i < a->table.indptr[1]; i++) n += sphkv_ref_tokens(a->table.refs[i]);
    assert_true(n > a->q_len);
    run_it(b, c, a);
    for (uint32_t i = a->table.indptr[0]; i < a->table.indptr[1]; i++)
        for (uint32_t t = 0; t < sphkv_ref_tokens(a->table.refs[i]); t++, slot++) {
            const double got = (double)a->mass[(size_t)i * KERNEL_HEADS * b->spec.page + t];
            const double want = part * even_share(b, a, n, slot);
            if (!(fabs(got - want) <= 1e-5 * want))
                fail_msg("%s: %.7g fell on token %u of %u, not %.7g", how, got, slot, n, want);
        }
}

/* The LSE of such a query does not know how many tokens there are; found or given, the
 * masses are the same. */
static void nothing_but_masked(void **state)
{
    kernel_test *t = *state;
    kernel_built b;
    sk_err err = {0};
    sk_case c;
    kernel_build(t->lab, &t->row, &b);
    sk_case_params p = kernel_params(&b, SK_IN_SINK, true, t->lab->seed);
    p.lists_per_seq = 1;
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    sphkv_mass_args a = c.args.mass[0];
    const size_t n = (size_t)(a.table.indptr[a.table.lists] + 1) * b.spec.page;
    const size_t rows = (size_t)a.batch * a.lse_stride_seq;
    float *bias = sk_malloc(n * sizeof *bias), *lse = sk_malloc(rows * sizeof *lse);
    assert_true(bias && lse && a.q_len > 1 && a.lse);
    for (size_t i = 0; i < n; i++) bias[i] = i % 3 ? -INFINITY : NAN;
    for (size_t i = 0; i < rows; i++) lse[i] = -1e30f;
    a.bias = bias;
    a.sinks = NULL;
    a.lse = NULL;
    all_alike(&b, &c, &a, 1, "found");
    a.lse = lse;
    all_alike(&b, &c, &a, 1, "given");
    for (size_t i = 0; i < rows; i += b.spec.heads_per_kv) lse[i] = 3; /* has a sink */
    all_alike(&b, &c, &a, 1 - 1.0 / b.spec.heads_per_kv, "with a sink");
    sk_free(bias);
    sk_free(lse);
    sk_case_free(&c);
    kernel_built_free(&b);
}

#define TESTS (2 * SK_COUNT(rows) + SK_COUNT(biased))

int main(void)
{
    kernel_lab lab;
    struct CMUnitTest tests[TESTS];
    static kernel_test each[TESTS];
    kernel_lab_open(&lab);
    for (size_t i = 0; i < TESTS; i++) {
        kernel_test *t = &each[i];
        const bool plain = i / 2 < SK_COUNT(rows);
        const char *of = plain ? i % 2 ? "given sums" : "all of it" : "nothing but masked";
        t->lab = &lab;
        t->row = plain ? rows[i / 2] : biased[i - 2 * SK_COUNT(rows)];
        snprintf(t->name, sizeof t->name, "%s: %s", of, t->row.spec);
        tests[i] = (struct CMUnitTest){.name = t->name, .initial_state = t, .test_func = nothing_but_masked};
        if (plain) tests[i].test_func = i % 2 ? sums_that_are_given : masses_add_up;
    }
    const int failed = _cmocka_run_group_tests("mass", tests, SK_COUNT(tests), NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
