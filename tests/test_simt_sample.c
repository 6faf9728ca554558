/* test_simt_sample.c - specs, schedules for GPUs, shapes and inputs by chance, as CUDA
 * text on the harness: whatever `supported` and `valid` say yes to must be right, by
 * the double reference. Kernel c has two cases and repeats alone; the GPU that it is
 * for follows from c, too. */
#include "sk_test.h"

#include "simt_kernel.h"
#include "spec_random.h"

#define KERNELS 30u
#define DIMS 128u
#define LONGEST 2500u /* instructions; longer ones take the compiler's time, some have to */

static const uint32_t sms[] = {75, 80, 90, 120};

/* The kernel of a number, into the lot. */
static void draw(simt_lot *lot, uint64_t number)
{
    sk_target target;
    sk_err err = {0};
    sk_assert_ok(sk_target_cuda(sms[number / 3 % SK_COUNT(sms)], false, &target, &err), &err);
    uint32_t most = LONGEST;
    for (uint64_t seed = number;; seed += (uint64_t)1 << 40, most += most / 8) {
        sk_spec spec;
        sk_schedule schedule;
        (void)sk_random_sample(seed, (uint32_t)number, &target, DIMS, &spec, &schedule);
        if (kernel_length(&spec, &schedule) > most) continue;
        sk_assert_ok(simt_lot_add(lot, &spec, &schedule, &err), &err);
        return;
    }
}

static uint32_t run_lot(simt_lot *lot, const uint64_t *number, uint32_t *kernels)
{
    uint32_t failures = 0;
    simt_lot_compile(lot);
    for (uint32_t i = 0; i < lot->n; i++) {
        sk_status st = SPHKV_OK;
        (void)sk_test_repeat(number[i]);
        for (uint32_t k = 0; k < 2 && st == SPHKV_OK; k++) {
            sk_rng rng;
            sk_err err = {0};
            sk_rng_seed(&rng, ~(2 * number[i] + k));
            const sk_case_params p = sk_random_case(&rng, &lot->built[i].spec);
            st = simt_lot_case(lot, i, &p, &err);
            if (st != SPHKV_OK) kernel_say(&lot->built[i], number[i], &err);
        }
        failures += st != SPHKV_OK;
        kernels[lot->built[i].spec.kernel]++;
    }
    simt_lot_free(lot);
    return failures;
}

static void by_chance(void **state)
{
    (void)state;
    static simt_lot lot;
    const uint64_t seed = sk_test_seed(500);
    const uint32_t cases = sk_test_cases(KERNELS);
    uint64_t number[SIMT_LOT];
    uint32_t first, step, failures = 0, kernels[SPHKV_KERNEL_COUNT] = {0};
    sk_test_shard(&first, &step);
    for (uint32_t k = first; k < cases; k += step) {
        (void)sk_test_repeat(seed + k);
        number[lot.n] = seed + k;
        draw(&lot, seed + k);
        if (lot.n == SIMT_LOT || k + step >= cases) failures += run_lot(&lot, number, kernels);
    }
    for (uint32_t k = 0; k < SPHKV_KERNEL_COUNT; k++)
        print_message("%s: %u kernels\n", sk_kernel_name(k), kernels[k]);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_chance)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
