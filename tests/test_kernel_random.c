/* test_kernel_random.c - specs, schedules, shapes and inputs by chance: whatever
 * `supported` and `valid` say yes to must build, run and be right, by the
 * double reference, interpreted and compiled, and both the same. The tables of
 * the other test_kernel_ programs hold what somebody thought of; this holds the
 * rest, and says what it met.
 *
 * Case c (a number) is of spec c / EACH ($SK_EACH sets another number of cases for
 * each) and repeats alone: from those numbers follows everything, also for which CPU
 * it is compiled. */
#include "sk_test.h"

#include <stdlib.h>

#include "kernel_cases.h"
#include "spec_random.h"

#define CASES 2000u
#define EACH 8u /* cases of a spec */
#define FAILURES_MOST 20u
#define DIMS 256u
#define WIDE 1u /* the target with the widest vectors */

typedef struct run {
    kernel_lab *lab;
    sk_target target[4];
    uint32_t targets, compiled[4], interpreted; /* specs */
    sk_seen seen;
    uint64_t *hash; /* of the specs that were met */
    uint32_t each, hashes, cases, failures;
} run;

/* This CPU twice as often as lesser ones; a wider one is interpreted only. */
static void find_targets(run *r)
{
    static const char *const names[] = {"host", "host", "x86-64", "x86-64-v3"};
    sk_err err = {0};
    for (uint32_t i = 0; i < SK_COUNT(names); i++) {
        sk_assert_ok(sk_cpu_target_named(names[i], &r->target[i], &err), &err);
        if (i == WIDE && r->target[i].vector_bits < 512) r->target[i].vector_bits = 512;
    }
    r->targets = SK_COUNT(names);
}

static void say_failure(run *r, uint64_t number, const kernel_built *b, const sk_err *err)
{
    kernel_say(b, number, err);
    r->failures++;
}

static void remember_spec(run *r, const sk_spec *spec, const sk_schedule *schedule)
{
    sk_text text = {0};
    uint64_t h = 0xcbf29ce484222325u;
    sk_spec_print(spec, &text);
    for (size_t i = 0; i < text.len; i++)
        h = (h ^ (uint8_t)text.s[i]) * 0x100000001b3u;
    sk_text_free(&text);
    sk_seen_spec(&r->seen, spec, schedule);
    r->hash[r->hashes++] = h;
}

/* Spec, schedule and target of a number; another target when its schedule is for
 * wider vectors. Compiling takes longer than linear, and with no conversion of
 * halves in the CPU much longer: most kernels are short. */
static uint32_t draw(const run *r, uint64_t number, sk_spec *spec, sk_schedule *schedule)
{
    uint32_t which = (uint32_t)(number / 3 % r->targets), most = number % 10 == 7 ? 4500 : 1500;
    for (uint64_t seed = number;; seed += (uint64_t)1 << 40, most += most / 8) {
        const uint32_t share = r->target[which].features & SK_CPU_AVX2 ? 1 : 3;
        if (!sk_random_sample(seed, (uint32_t)number, &r->target[which], DIMS, spec, schedule) &&
            which != WIDE)
            which = WIDE;
        else if (kernel_length(spec, schedule) <= most / share)
            return which;
    }
}

/* What an engine does with a kernel before its first use. */
static sk_status whole_check(const kernel_built *b, uint64_t seed, sk_err *err)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 1,
                                 .pages_per_list = 1, .parts = 1};
    sk_image image;
    kernel_image(b, true, &maxima, &image);
    return sk_image_check(&image, seed, NULL, err);
}

/* Cases from .. to, all of one spec. */
static void run_spec(run *r, uint64_t from, uint64_t to)
{
    const uint64_t number = from / r->each;
    sk_spec spec;
    sk_schedule schedule;
    kernel_built b;
    sk_err err = {0};
    (void)sk_test_repeat(from);
    const uint32_t which = draw(r, number, &spec, &schedule);
    remember_spec(r, &spec, &schedule);
    sk_status st = kernel_make(r->lab, &spec, &schedule, &r->target[which], &b, &err);
    *(b.code ? &r->compiled[which] : &r->interpreted) += 1;
    for (uint64_t c = from; c < to && st == SPHKV_OK; c++) {
        sk_rng rng;
        sk_rng_seed(&rng, ~c);
        (void)sk_test_repeat(c);
        const sk_case_params p = sk_random_case(&rng, &spec);
        sk_err why = {0};
        sk_seen_case(&r->seen, &p);
        if (kernel_case_both(&b, &p, 1 + sk_rng_below(&rng, 4), &why) != SPHKV_OK)
            say_failure(r, c, &b, &why);
        r->cases++;
    }
    if (st == SPHKV_OK && b.code && number % 16 == 5) st = whole_check(&b, number, &err);
    if (st != SPHKV_OK) say_failure(r, from, &b, &err);
    kernel_built_free(&b);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static uint32_t different(run *r)
{
    uint32_t n = 0;
    qsort(r->hash, r->hashes, sizeof *r->hash, by_value);
    for (uint32_t i = 0; i < r->hashes; i++)
        n += i == 0 || r->hash[i] != r->hash[i - 1];
    return n;
}

static void say_all(run *r, uint32_t specs)
{
    sk_text text = {0};
    sk_seen_print(&r->seen, &text);
    print_message("%u cases, %u different specs, %u failures\n", r->cases, specs, r->failures);
    for (uint32_t i = 0; i < r->targets; i++)
        print_message("compiled for %s: %u; ", r->target[i].cpu, r->compiled[i]);
    print_message("interpreted only: %u\n", r->interpreted);
    fputs(text.s ? text.s : "", stdout); /* cmocka cuts what is long */
    sk_text_free(&text);
}

static void test_random(void **state)
{
    run r = {.lab = *state, .each = sk_test_each(EACH)};
    const uint64_t seed = r.lab->seed, end = seed + sk_test_cases(CASES);
    uint32_t first, step;
    sk_test_shard(&first, &step);
    find_targets(&r);
    r.hash = sk_calloc((end - seed) / r.each + 2, sizeof *r.hash);
    assert_non_null(r.hash);
    for (uint64_t c = seed, next; c < end && r.failures < FAILURES_MOST; c = next) {
        const uint64_t number = c / r.each;
        next = (number + 1) * r.each < end ? (number + 1) * r.each : end;
        if (number % step == first) run_spec(&r, c, next);
    }
    const uint32_t specs = different(&r);
    const char *missing = sk_seen_missing(&r.seen);
    say_all(&r, specs);
    sk_free(r.hash);
    assert_int_equal(r.failures, 0);
    if (r.cases >= CASES && missing) fail_msg("not met: %s", missing);
    assert_true(specs >= r.cases / r.each * 2 / 5);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_random, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
