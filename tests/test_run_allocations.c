/* test_run_allocations.c - sphkv_run of every kernel takes no memory from anybody:
 * neither through the library's allocator nor from malloc and its relatives, which
 * this program replaces by ones that count (sanitized builds count by a hook of
 * the sanitizer). Runs that refuse their arguments neither. */
#include "sk_test.h"

#include <errno.h>
#include <stdatomic.h>

#include "run_case.h"

static _Atomic bool counting;
static _Atomic uint64_t taken;

static void count(void)
{
    if (atomic_load_explicit(&counting, memory_order_relaxed))
        atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int __sanitizer_install_malloc_and_free_hooks(void (*take)(const volatile void *, size_t),
                                              void (*give)(const volatile void *));

static void hook_take(const volatile void *p, size_t bytes)
{
    (void)p;
    (void)bytes;
    count();
}

static void hook_give(const volatile void *p)
{
    (void)p;
}

static bool can_count(void)
{
    return __sanitizer_install_malloc_and_free_hooks(hook_take, hook_give) > 0;
}
#elif defined(__GLIBC__)
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t n, size_t bytes);
extern void *__libc_realloc(void *p, size_t bytes);
extern void *__libc_memalign(size_t align, size_t bytes);

void *malloc(size_t bytes)
{
    count();
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    count();
    return __libc_calloc(n, bytes);
}

void *realloc(void *p, size_t bytes)
{
    count();
    return __libc_realloc(p, bytes);
}

void *memalign(size_t align, size_t bytes)
{
    count();
    return __libc_memalign(align, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    return memalign(align, bytes);
}

int posix_memalign(void **out, size_t align, size_t bytes)
{
    void *p = memalign(align, bytes);
    if (p) *out = p;
    return p ? 0 : ENOMEM;
}

static bool can_count(void)
{
    return true;
}
#else
static bool can_count(void)
{
    return false;
}
#endif

static void count_begin(void)
{
    (void)sk_alloc_fault(1, true); /* any through our allocator would fail, and be counted */
    atomic_store(&taken, 0);
    atomic_store(&counting, true);
}

static uint64_t count_end(void)
{
    atomic_store(&counting, false);
    return atomic_load(&taken) + sk_alloc_fault(0, false);
}

/* A counter that cannot count would find nothing anywhere. */
static void counters_count(void **state)
{
    (void)state;
    void *volatile p[6] = {0};
    void *q = NULL;
    atomic_store(&taken, 0);
    atomic_store(&counting, true);
    p[0] = malloc(3);
    p[1] = calloc(3, 3);
    p[2] = realloc(NULL, 5);
    p[3] = aligned_alloc(64, 64);
    p[4] = posix_memalign(&q, 64, 64) == 0 ? q : NULL;
    p[5] = sk_malloc(7);
    atomic_store(&counting, false);
    const uint64_t seen = atomic_load(&taken);
    for (size_t i = 0; i < SK_COUNT(p); i++) {
        assert_non_null(p[i]);
        if (i < 5)
            free(p[i]);
        else
            sk_free(p[i]);
    }
    assert_true(seen >= 6);
}

/* A spec of any kernel, by what its row says it takes. */
static sphkv_spec_params spec_of(uint32_t kernel)
{
    const uint32_t takes = sk_kernel_row_get(kernel)->mix;
    sphkv_spec_params p = {.size = sizeof p, .kernel = kernel, .head_dim = 64, .heads_per_kv = 2,
                           .page_tokens = 64};
    if (takes == SPHKV_MIX_DENSE) p.tiers = "kf16:vf16";
    if (takes == SPHKV_MIX_TWO) p.tiers = "low:vi8,good:vi8";
    if (takes == SPHKV_MIX_ANY || takes == SPHKV_MIX_PAIR) p.tiers = "good:vi8,kf16:vf16";
    return p;
}

static void check_case(const sphkv_plan *plan, const sk_case *c, uint32_t parts)
{
    run_call call = run_call_make(plan, c);
    count_begin();
    for (uint32_t round = 0; round < 2; round++) run_parts(plan, &call, parts);
    const uint64_t run = count_end();
    call.args.size += 64;
    call.args.raw[c->args_size + 63] = 1; /* what no library of today knows */
    count_begin();
    const sphkv_status st = sphkv_run(plan, &call.args, 0, parts);
    const uint64_t refused = count_end();
    assert_int_equal(st, SPHKV_EINVAL);
    if (run || refused)
        fail_msg("%s, input %s: %llu allocations of two runs, %llu of one that is refused",
                 sphkv_plan_describe(plan), sk_input_name(c->p.input), (unsigned long long)run,
                 (unsigned long long)refused);
    run_judge(c); /* so it did run */
    run_call_free(&call);
}

static void check_kernel(sphkv_context *ctx, uint32_t kernel, sk_input input, bool shared)
{
    const uint32_t parts = 3;
    const sphkv_spec_params params = spec_of(kernel);
    sk_case_params p = {.shape = {3, 2, 300, parts}, .lists_per_seq = shared ? 1 : 2,
                        .input = input, .seed = 4, .copies = 1, .uneven = true};
    sphkv_maxima maxima;
    sphkv_plan *plan = NULL;
    sk_case c;
    sphkv_error err = {0};
    sk_assert_ok(sk_spec_from_params(&params, &p.spec, &err), &err);
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    sk_case_maxima(&c, parts, &maxima);
    sk_assert_ok(sphkv_plan_create(ctx, &params, &maxima, &plan, &err), &err);
    check_case(plan, &c, parts);
    check_case(plan, &c, 1);
    sphkv_plan_destroy(plan);
    sk_case_free(&c);
}

static void run_never_allocates(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    for (uint32_t kernel = 0; kernel < SPHKV_KERNEL_COUNT; kernel++) {
        check_kernel(ctx, kernel, SK_IN_EDGE, false);
        check_kernel(ctx, kernel, SK_IN_S1, true);
    }
    sphkv_close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_count),
        cmocka_unit_test_setup_teardown(run_never_allocates, run_place_make, run_place_free),
    };
    if (!can_count()) return sk_test_skip("nothing to count allocations with");
    if (!run_has_compiler()) return sk_test_skip("no compiler module: nothing can be planned");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
