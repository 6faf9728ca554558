/* test_simt_deal.c - attn_decode's CUDA text on the harness where blocks share lists:
 * tables by chance, work lists, both ways of joining, one warp and several, lanes and
 * blocks in an order by chance. test_kernel_gpu_deal.c does the same interpreted, and
 * more of it. */
#include "sk_test.h"

#include "gpu_deal.h"
#include "simt_case.h"

#define UNITS (2u * SK_COUNT(kinds))

typedef struct harness {
    gpu_built built[UNITS]; /* kinds joined by the last block, then by a launch */
    sk_simt_unit unit[UNITS];
    sk_simt_module *module;
} harness;

static void make(harness *h)
{
    sk_err err = {0};
    for (uint32_t i = 0; i < UNITS; i++) {
        char schedule[80];
        gpu_built *b = &h->built[i];
        const char *spec = kind_row(i / 2, 1u << i % 3, i % 2, schedule);
        gpu_build(&(gpu_row){spec, schedule, 90}, b);
        h->unit[i] = simt_unit((const sk_program *const *)b->build.program, b->build.n, &b->mem);
    }
    sk_assert_ok(sk_simt_compile(h->unit, UNITS, &h->module, &err), &err);
}

static void run_on(const harness *h, uint64_t number)
{
    const uint32_t k = (uint32_t)(number % 1000), i = k % UNITS;
    const sk_simt_unit *unit = &h->unit[i];
    const char *where = sk_test_repeat(number);
    sk_simt_device device = {.module = h->module, .unit = i, .n = unit->n, .seed = number,
                             .program = unit->program, .yields = SK_SIMT_YIELDS};
    sk_rng rng;
    world w;
    sk_rng_seed(&rng, number);
    const deal_shape shape = any_shape(&rng, k);
    world_make(&w, &h->built[i], &shape, number);
    w.image.launch = sk_simt_device_launch;
    w.image.launch_user = &device;
    w.image.launch_here = true;
    for (uint32_t turn = 0; turn < 2; turn++) any_run(&rng, &w, k + turn, where);
    world_free(&w);
}

static void tables_by_chance(void **state)
{
    (void)state;
    static harness h;
    const uint64_t seed = sk_test_seed(21);
    const uint32_t cases = sk_test_cases(3 * UNITS);
    make(&h);
    for (uint32_t n = 0; n < cases; n++) run_on(&h, seed + n);
    sk_simt_free(h.module);
    for (uint32_t i = 0; i < UNITS; i++) gpu_built_free(&h.built[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables_by_chance)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
