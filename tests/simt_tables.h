/* simt_tables.h - the specs of some tables of kernels, in their form for GPUs, as CUDA
 * text on the harness, judged by the double reference: with the default schedule,
 * every third with one by chance, too. One kernel of each lot goes through the whole
 * check. SK_CASES asks for that many schedules by chance for each spec. Several test
 * programs share this, so that they run side by side. */
#ifndef SIMT_TABLES_H
#define SIMT_TABLES_H

#include "simt_kernel.h"
#include "spec_random.h"

#define SIMT_WHOLE 16u /* one in so many has the whole check */
#define SIMT_SPECS 256u

typedef struct simt_tables {
    sk_target target;
    uint64_t seed;
    simt_lot lot;
    char *name[SIMT_LOT]; /* texts of spec and schedule */
    const char *met[SIMT_SPECS];
    uint32_t mets, kernels, refused; /* refused: no form for GPUs */
} simt_tables;

static inline void simt_tables_lot(simt_tables *r)
{
    sk_err err = {0};
    if (r->lot.n) simt_lot_compile(&r->lot);
    for (uint32_t i = 0; i < r->lot.n; i++) {
        const kernel_built *b = &r->lot.built[i];
        sk_case_params p = kernel_params(b, SK_IN_S1, false, r->seed + i);
        sk_status st = simt_lot_case(&r->lot, i, &p, &err);
        p = kernel_params(b, SK_IN_EDGE, true, r->seed + i + 1);
        if (st == SPHKV_OK) st = simt_lot_case(&r->lot, i, &p, &err);
        if (st == SPHKV_OK && i % SIMT_WHOLE == r->seed % SIMT_WHOLE)
            st = simt_lot_check(&r->lot, i, r->seed, &err);
        if (st != SPHKV_OK) fail_msg("%s: %s", r->name[i], err.message);
    }
    for (uint32_t i = 0; i < r->lot.n; i++) sk_free(r->name[i]);
    simt_lot_free(&r->lot);
}

static inline void simt_tables_add(simt_tables *r, const sk_spec *spec, const sk_schedule *schedule)
{
    sk_err err = {0};
    sk_text text = {0};
    sk_spec_print(spec, &text);
    sk_text_printf(&text, " ");
    sk_schedule_print(spec->kernel, schedule, &text);
    assert_false(text.failed);
    r->name[r->lot.n] = text.s;
    if (simt_lot_add(&r->lot, spec, schedule, &err) != SPHKV_OK)
        fail_msg("%s: %s", text.s, err.message);
    r->kernels++;
    if (r->lot.n == SIMT_LOT) simt_tables_lot(r);
}

static inline bool simt_tables_new(simt_tables *r, const char *spec)
{
    for (uint32_t i = 0; i < r->mets; i++)
        if (strcmp(r->met[i], spec) == 0) return false;
    assert_true(r->mets < SIMT_SPECS);
    r->met[r->mets++] = spec;
    return true;
}

/* A spec: the default schedule, then `more` that differ from it by chance. */
static inline void simt_tables_spec(simt_tables *r, const char *text, uint32_t more)
{
    sk_spec spec;
    sk_schedule first;
    sk_rng rng;
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse(text, &spec, &err), &err);
    const sk_kernel *kernel = sk_kernel_get(spec.kernel);
    if (!kernel->form[SK_BACKEND_CUDA]) {
        r->refused++;
        return;
    }
    sk_kernel_default(kernel, &spec, &r->target, &first);
    sk_assert_ok(sk_kernel_valid(kernel, &spec, &first, &r->target, &err), &err);
    simt_tables_add(r, &spec, &first);
    sk_rng_seed(&rng, r->seed + r->mets);
    for (uint32_t k = 0; k < more; k++) {
        sk_schedule s;
        (void)sk_random_schedule(&rng, (uint32_t)r->seed + r->mets * 7 + k, &spec, &r->target, &s);
        if (memcmp(&s, &first, sizeof s) != 0) simt_tables_add(r, &spec, &s);
    }
}

/* Rows first, first + step .. of the tables. */
static inline void simt_tables_test(simt_tables *r, const char *const *names, uint32_t n,
                                    uint32_t first, uint32_t step)
{
    sk_err err = {0};
    const uint32_t more = sk_test_cases(0);
    r->seed = sk_test_seed(11);
    sk_assert_ok(sk_target_cuda(90, false, &r->target, &err), &err);
    for (uint32_t i = 0; i < n; i++) {
        const kernel_table *t = kernel_table_get(names[i]);
        assert_non_null(t);
        for (uint32_t k = first; k < t->n; k += step)
            if (simt_tables_new(r, t->row[k].spec))
                simt_tables_spec(r, t->row[k].spec, more ? more : r->mets % 3 == r->seed % 3);
    }
    simt_tables_lot(r);
    print_message("%u kernels of %u specs; %u specs have no form for GPUs\n", r->kernels, r->mets,
                  r->refused);
    assert_true(r->kernels > 0);
}

/* The whole program: a test by that name over the tables, or over a share of their rows. */
#define SIMT_TABLES(test, ...) SIMT_SHARE(test, 0, 1, __VA_ARGS__)
#define SIMT_SHARE(test, first, step, ...)                                                         \
    static void test(void **state)                                                                 \
    {                                                                                              \
        static const char *const names[] = {__VA_ARGS__};                                          \
        static simt_tables tables;                                                                 \
        (void)state;                                                                               \
        simt_tables_test(&tables, names, SK_COUNT(names), first, step);                            \
    }                                                                                              \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {cmocka_unit_test(test)};                                \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }

#endif
