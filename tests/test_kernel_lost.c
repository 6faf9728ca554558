/* test_kernel_lost.c - lists made so that integers lose what matters: logits are biases (the
 * query is zero), sinks hold no value at all, and the others' probabilities lie where rounding
 * is worst. Every row must keep its class, whatever the largest logit. */
#include "sk_test.h"

#include "kernel_cases.h"

#define PAGE 128u
#define PAGES 3u
#define LOW (-30.0) /* logits of the other pages, so that they count for nothing */

/* Logits of one page: sinks of weight 1 and `second`, then others of `steps` of the
 * largest probability each, `one` to it, spread by `spread`; like: they hold one value. */
typedef struct lost_list {
    const char *what;
    uint32_t sinks;
    double second, steps, spread;
    bool like;
} lost_list;

static const lost_list lists[] = {
    {"a sink, one of less", 1, 0.02, 0.006, 0.5, false},
    {"sinks, one of less, others visible", 3, 0.05, 1, 0.7, false},
    {"four sinks, others below half a step", 4, 0, 0.4, 0.1, false},
    {"six sinks, others below half a step", 6, 0, 0.4, 0.1, false},
    {"forty sinks, others below half a step", 40, 0, 0.4, 0.1, false},
    {"forty sinks, others visible", 40, 0, 1, 0.7, false},
    {"a page of sinks, one token below half a step", PAGE - 1, 0, 0.4, 0, false},
    {"twenty sinks, like tokens below a step and a half", 20, 0, 1.45, 0, true},
    {"a sink, like tokens below half a step", 1, 0, 0.45, 0, true},
    {"a sink, like tokens below two steps and a half", 1, 0, 2.45, 0, true},
    {"no sink, like tokens below half a step", 0, 0, 0.45, 0, true},
    {"no sink, like tokens below a step and a half", 0, 0, 1.45, 0, true},
};

typedef struct lost_case {
    kernel_built *b;
    sk_case c;
    sphkv_attn_args args; /* with an arena, queries and biases of their own */
    void *raw;
    uint8_t *arena;       /* aligned, in raw */
    float *q, *bias;
} lost_case;

/* Token t of a page gets the value of token `from`, or none. */
static void set_value(lost_case *x, uint32_t page, uint32_t t, bool none, uint32_t from)
{
    const sk_spec *spec = &x->b->spec;
    const uint64_t ref = x->args.table.refs[page];
    sk_page_layout lay;
    sk_page_layout_get(spec, sphkv_ref_tier(ref), &lay);
    for (uint32_t head = 0; head < KERNEL_HEADS; head++) {
        uint8_t *at = x->arena + (size_t)sphkv_ref_unit(ref) * SPHKV_UNIT_BYTES +
                      (size_t)head * lay.units * SPHKV_UNIT_BYTES + lay.value_off;
        for (uint32_t i = 0; i < spec->dv; i++) {
            const uint32_t to = sk_layout_value_index(spec, SK_VAL_I8, &lay, t, i);
            at[to] = none ? 0 : at[sk_layout_value_index(spec, SK_VAL_I8, &lay, from, i)];
        }
    }
}

static void fill_page(lost_case *x, const lost_list *l, uint32_t page, double one, sk_rng *rng)
{
    const uint32_t count = sphkv_ref_tokens(x->args.table.refs[page]);
    const uint32_t sinks = l->sinks + (l->second > 0), first = sk_rng_below(rng, count / 2);
    for (uint32_t t = 0; t < count; t++) {
        const uint32_t k = (t + count - first) % count; /* sinks are first */
        double logit = log(l->steps / one) + l->spread * sk_rng_normal(rng);
        if (k < sinks) logit = k < l->sinks ? 0 : log(l->second);
        if (sinks == 0 && k == 0) logit = 0;
        if (k < sinks || l->like) set_value(x, page, t, k < sinks, (first + sinks) % count);
        x->bias[page * PAGE + t] = (float)logit;
    }
}

static void make(lost_case *x, kernel_built *b, const lost_list *l, uint32_t where, double one, sk_rng *rng)
{
    sk_err err = {0};
    sk_case_params p = kernel_params(b, SK_IN_S1, true, 7);
    p.shape.batch = 1;
    p.shape.context = PAGES * PAGE;
    p.shape.q_len = b->spec.variants & SPHKV_VARIANT_QUERIES ? 3 : 1;
    *x = (lost_case){.b = b};
    sk_assert_ok(sk_case_make(&p, &x->c, &err), &err);
    x->args = *(const sphkv_attn_args *)sk_case_args(&x->c, 0);
    x->args.page_ml = NULL;
    x->raw = sk_malloc(x->args.arena_bytes + 128);
    x->q = sk_calloc(x->args.q_stride_seq, sizeof *x->q);
    x->bias = sk_calloc((size_t)PAGES * PAGE, sizeof *x->bias);
    assert_true(x->raw && x->q && x->bias);
    x->arena = (uint8_t *)(((uintptr_t)x->raw + 127) & ~(uintptr_t)127);
    memcpy(x->arena, x->args.arena, x->args.arena_bytes);
    x->args.arena = x->arena;
    x->args.q = x->q;
    x->args.bias = x->bias;
    for (uint32_t page = 0; page < PAGES; page++) {
        if (page == where)
            fill_page(x, l, page, one, rng);
        else
            for (uint32_t t = 0; t < PAGE; t++)
                x->bias[page * PAGE + t] = (float)(LOW + sk_rng_normal(rng));
    }
}

/* The largest error of a row, as a share of its sum p|v|. */
static double worst(lost_case *x)
{
    const sk_spec *spec = &x->b->spec;
    const size_t rows = (size_t)sk_case_outputs(spec, &x->c.p.shape) / spec->dv;
    sk_attn_truth t = {.out = sk_malloc(rows * spec->dv * sizeof *t.out),
                       .mag = sk_malloc(rows * spec->dv * sizeof *t.mag)};
    sk_err err = {0};
    double most = 0;
    size_t n;
    assert_true(t.out && t.mag);
    sk_assert_ok(sk_attn_reference(spec, &x->args, KERNEL_HEADS, &t, &err), &err);
    const float *out = sk_case_output(&x->c, 0, &n);
    for (size_t r = 0; r < rows; r++) {
        double diff = 0, mag = 0;
        for (uint32_t i = 0; i < spec->dv; i++) {
            const size_t at = r * spec->dv + i;
            diff += ((double)out[at] - t.out[at]) * ((double)out[at] - t.out[at]);
            mag += t.mag[at] * t.mag[at];
        }
        most = fmax(most, sqrt(diff / mag));
    }
    sk_free(t.out);
    sk_free(t.mag);
    return most;
}

static void check(kernel_built *b, const lost_list *l, uint32_t where, double one, sk_rng *rng)
{
    lost_case x;
    sk_err err = {0};
    sphkv_maxima maxima;
    sk_image image;
    make(&x, b, l, where, one, rng);
    sk_case_maxima(&x.c, 1, &maxima);
    for (uint32_t compiled = 0; compiled < (b->code ? 2 : 1); compiled++) {
        kernel_image(b, compiled, &maxima, &image);
        sk_case_poison(&x.c, 0);
        sk_assert_ok(kernel_run(&image, &x.args, 1, &err), &err);
        const double error = worst(&x), class = sk_accuracy_bound(b->spec.accuracy);
        if (!(error <= class))
            fail_msg("%s, page %u, %s: error %.3g over %.3g", l->what, where,
                     compiled ? "compiled" : "interpreted", error, class);
    }
    sk_free(x.raw);
    sk_free(x.q);
    sk_free(x.bias);
    sk_case_free(&x.c);
}

static void test_lost(void **state)
{
    kernel_lab *lab = *state;
    const kernel_table *table = kernel_table_get("lost");
    sk_rng rng;
    sk_rng_seed(&rng, lab->seed);
    for (uint32_t i = 0; i < table->n; i++) {
        const kernel_row *row = &table->row[i];
        kernel_built b;
        print_message("%s %s\n", row->spec, row->schedule);
        kernel_build(lab, row, &b);
        const int32_t prob = b.schedule.v[SK_T_prob];
        const double one = prob == SK_PROB_U7 ? 127 : prob == SK_PROB_U8 ? 255 : 32767;
        for (uint32_t k = 0; k < SK_COUNT(lists); k++)
            for (uint32_t where = 0; where < PAGES; where++) check(&b, &lists[k], where, one, &rng);
        kernel_built_free(&b);
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_lost, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
