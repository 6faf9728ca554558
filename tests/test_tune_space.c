/* test_tune_space.c - the search space: everything in it is valid, the default
 * is first, no code stands in it twice, and a walk visits each exactly once in
 * an order that a seed fixes. */
#include "sk_test.h"

#include "device.h"
#include "walk.h"

static const char *const specs[] = {
    "attn_decode d64 v64 h2 p32 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
    "attn_decode d64 v64 h1 p64 l0 qf16 of32 if32 exact kf16:vf16",
    "kv_append d64 v64 h1 p128 l1 qf32 of32 if32 tight kf16:vf16",
    "kv_encode d64 v64 h1 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
};

static sk_device device;

static void open_space(size_t i, sk_space *space)
{
    sk_spec spec;
    sk_err err;
    memset(&spec, 0, sizeof spec);
    sk_assert_ok(sk_spec_parse(specs[i], &spec, &err), &err);
    sk_assert_ok(sk_space_make(&spec, &device.target, space, &err), &err);
}

/* Resolves all; how many differ in their code. */
static uint32_t resolve_all(sk_space *space)
{
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < space->count; i++) {
        sk_err err;
        sk_assert_ok(sk_space_resolve(space, i, &err), &err);
        distinct += space->candidate[i].same_as == i;
    }
    return distinct;
}

static void contents(void **state)
{
    (void)state;
    for (size_t i = 0; i < SK_COUNT(specs); i++) {
        sk_space space;
        sk_schedule first;
        open_space(i, &space);
        const sk_kernel *kernel = sk_kernel_get(space.spec.kernel);
        memset(&first, 0, sizeof first);
        sk_kernel_default(kernel, &space.spec, &device.target, &first);
        assert_memory_equal(&first, &space.candidate[0].schedule, sizeof first);
        assert_true(space.count >= 1 && space.count <= space.combinations);
        for (uint32_t k = 0; k < space.count; k++) {
            sk_err err;
            const sk_schedule *s = &space.candidate[k].schedule;
            sk_assert_ok(sk_kernel_valid(kernel, &space.spec, s, &device.target, &err), &err);
            assert_int_equal(sk_space_find(&space, s), k); /* so nothing stands twice */
        }
        sk_space_free(&space);
    }
}

/* Equal hashes are one candidate; different ones stay apart. */
static void code_once(void **state)
{
    (void)state;
    for (size_t i = 1; i < SK_COUNT(specs); i++) { /* the first is large; the rest say enough */
        sk_space space;
        uint32_t seen = 0;
        open_space(i, &space);
        const uint32_t distinct = resolve_all(&space);
        for (uint32_t k = 0; k < space.count; k++) {
            const sk_candidate *c = &space.candidate[k];
            assert_true(c->resolved && c->same_as <= k);
            assert_int_equal(c->built, SPHKV_OK); /* valid means that it builds */
            assert_string_equal(c->ir_hash, space.candidate[c->same_as].ir_hash);
            seen += c->same_as == k;
            for (uint32_t m = 0; m < k && c->same_as == k; m++)
                assert_string_not_equal(c->ir_hash, space.candidate[m].ir_hash);
        }
        assert_int_equal(seen, distinct);
        assert_int_equal(space.candidate[0].same_as, 0);
        sk_space_free(&space);
    }
}

static uint32_t walk_all(size_t i, uint64_t seed, uint32_t best_at, uint32_t *order, uint32_t cap)
{
    sk_space space;
    sk_walk walk;
    sk_err err;
    uint32_t n = 0, index;
    bool more = true;
    open_space(i, &space);
    sk_assert_ok(sk_walk_start(&space, "local", 0, seed, &walk, &err), &err);
    for (;;) {
        sk_assert_ok(sk_walk_next(&walk, &index, &more, &err), &err);
        if (!more || n == cap) break;
        for (uint32_t k = 0; k < n; k++) assert_int_not_equal(order[k], index);
        order[n++] = index;
        sk_walk_tell(&walk, index, n == best_at ? 0.5 : n == 1 ? 1 : 2);
    }
    sk_walk_free(&walk);
    sk_space_free(&space);
    return n;
}

static void walks(void **state)
{
    (void)state;
    uint32_t a[4096], b[4096];
    uint64_t seed = sk_test_seed(11);
    for (size_t i = 1; i < SK_COUNT(specs); i++) {
        sk_space space;
        open_space(i, &space);
        const uint32_t distinct = resolve_all(&space);
        sk_space_free(&space);
        uint32_t n = walk_all(i, seed, 3, a, 4096);
        assert_int_equal(a[0], 0); /* the default first */
        assert_int_equal(n, distinct);
        assert_int_equal(walk_all(i, seed, 3, b, 4096), n);
        assert_memory_equal(a, b, n * sizeof *a);
    }
    uint32_t n = walk_all(0, seed, 5, a, 40), m = walk_all(0, seed + 1, 5, b, 40);
    assert_int_equal(n, m);
    assert_memory_not_equal(a, b, n * sizeof *a); /* another seed, another order */
}

/* Beginning at the default, its neighbours come early. */
static void neighbours(void **state)
{
    (void)state;
    uint32_t order[7], near = 0;
    sk_space space;
    assert_int_equal(walk_all(0, 5, 0, order, 7), 7);
    open_space(0, &space);
    for (uint32_t i = 1; i < 7; i++) {
        uint32_t apart = 0;
        for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
            apart += space.candidate[order[i]].schedule.v[t] != space.candidate[0].schedule.v[t];
        near += apart == 1;
    }
    assert_true(near >= 4);
    sk_space_free(&space);
}

static void unsupported(void **state)
{
    (void)state;
    sk_spec spec;
    sk_space space;
    sk_err err;
    memset(&spec, 0, sizeof spec);
    sk_assert_ok(sk_spec_parse("attn_decode d24 v24 h2 p32 l1 qf32 of32 if32 tight kf16:vf16", &spec,
                               &err),
                 &err);
    assert_int_equal(sk_space_make(&spec, &device.target, &space, &err), SPHKV_EUNSUPPORTED);
    sk_space_free(&space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents), cmocka_unit_test(code_once),   cmocka_unit_test(walks),
        cmocka_unit_test(neighbours), cmocka_unit_test(unsupported),
    };
    sk_device_host(&device);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
