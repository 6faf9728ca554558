/* test_simt_needed.c - syncs of whole kernels of attention, each left out by itself:
 * without what a kernel needs some case fails. Not all are needed: the emitter lets
 * lanes meet where it cannot see that they need not, a template puts a barrier that
 * some shapes could do without; how many are missed at least is known. One block
 * does all lists, or several blocks share them. */
#include "sk_test.h"

#include "simt_kernel.h"

#define A "attn_decode d64 v64 "
#define T " p64 l1 qf32 of32 if32 tight "

typedef struct needed_row {
    const char *spec, *schedule;
    uint32_t lanes, warps; /* __syncwarp and others that somebody misses, at least */
} needed_row;

static const needed_row rows[] = {
    {A "h2" T "good:vi8", "form=warp,warps=1,slab=16,stages=0,blocks=1", 14, 0},
    {A "h4" T "good:vi8", "form=tile,warps=4,slab=64,blocks=1", 0, 8},
};

static const struct {
    sk_input input;
    bool shared;
    uint32_t sms;
} runs[] = {
    {SK_IN_S1, false, 1}, {SK_IN_EDGE, true, 1}, {SK_IN_S1, true, 5}, {SK_IN_EDGE, false, 3}};

/* A case of a kernel without the sync of a line; 0: with all. */
static sk_status run_without(const simt_lot *lot, uint32_t i, sk_case *c, uint32_t sms,
                             uint64_t seed, uint32_t line, sk_err *err)
{
    sk_image image;
    sk_simt_device device;
    sphkv_maxima maxima;
    double error, bound;
    sk_case_maxima(c, 1, &maxima);
    simt_lot_image(lot, i, seed, &maxima, sms, &device, &image);
    device.without = line;
    sk_case_poison(c, 0);
    const sk_status st = kernel_run(&image, sk_case_args(c, 0), 1, err);
    return st == SPHKV_OK ? sk_case_judge(c, 0, &error, &bound, err) : st;
}

static bool is_missed(const simt_lot *lot, uint32_t i, sk_case *cases, uint64_t seed,
                      uint32_t line)
{
    sk_err err = {0};
    for (uint32_t k = 0; k < SK_COUNT(runs); k++)
        if (run_without(lot, i, &cases[k], runs[k].sms, seed + k, line, &err) != SPHKV_OK)
            return true;
    return false;
}

static void make_cases(const simt_lot *lot, uint32_t i, uint64_t seed, sk_case *cases)
{
    sk_err err = {0};
    for (uint32_t k = 0; k < SK_COUNT(runs); k++) {
        sk_case_params p = kernel_params(&lot->built[i], runs[k].input, runs[k].shared, seed + k);
        p.shape.batch = 2;
        sk_assert_ok(sk_case_make(&p, &cases[k], &err), &err);
        sk_assert_ok(run_without(lot, i, &cases[k], runs[k].sms, seed + k, 0, &err), &err);
    }
}

static void check_kernel(const simt_lot *lot, uint32_t i, uint64_t seed)
{
    sk_case cases[SK_COUNT(runs)];
    uint32_t line = 1, lanes = 0, missed = 0, warps = 0, warps_missed = 0;
    make_cases(lot, i, seed, cases);
    for (const char *at = lot->unit[i].text; *at; at += strcspn(at, "\n") + 1, line++) {
        if (!simt_is_sync(at)) continue;
        const bool of_warp = strncmp(at + strspn(at, " "), "__syncwarp", 10) == 0;
        const bool is = is_missed(lot, i, cases, seed, line);
        *(of_warp ? &lanes : &warps) += 1;
        *(of_warp ? &missed : &warps_missed) += is;
    }
    print_message("%s %s: %u of %u __syncwarp are missed, %u of %u others\n", rows[i].spec,
                  rows[i].schedule, missed, lanes, warps_missed, warps);
    for (uint32_t k = 0; k < SK_COUNT(runs); k++) sk_case_free(&cases[k]);
    assert_true(warps_missed >= rows[i].warps);
    assert_true(missed >= rows[i].lanes);
}

static void syncs_are_missed(void **state)
{
    (void)state;
    static simt_lot lot;
    sk_target target;
    sk_err err = {0};
    const uint64_t seed = sk_test_seed(5);
    sk_assert_ok(sk_target_cuda(90, false, &target, &err), &err);
    for (uint32_t i = 0; i < SK_COUNT(rows); i++) {
        sk_spec spec;
        sk_schedule s;
        sk_assert_ok(sk_spec_parse(rows[i].spec, &spec, &err), &err);
        const sk_kernel *kernel = sk_kernel_get(spec.kernel);
        sk_kernel_default(kernel, &spec, &target, &s);
        sk_assert_ok(sk_schedule_parse(spec.kernel, rows[i].schedule, &s, &err), &err);
        sk_assert_ok(sk_kernel_valid(kernel, &spec, &s, &target, &err), &err);
        sk_assert_ok(simt_lot_add(&lot, &spec, &s, &err), &err);
    }
    simt_lot_compile(&lot);
    for (uint32_t i = 0; i < SK_COUNT(rows); i++) check_kernel(&lot, i, seed);
    simt_lot_free(&lot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(syncs_are_missed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
