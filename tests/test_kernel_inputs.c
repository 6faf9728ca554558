/* test_kernel_inputs.c - the inputs that kernels are checked and timed on: the
 * same for a seed, of the spread they promise, big ones quickly made and refused
 * when the machine has no room, nothing lost when memory runs out on the way. */
#include "sk_test.h"

#include <math.h>

#include "case.h"

#define MIX "attn_decode d64 v64 h2 p32 l1 qf32 of32 if32 tight good:vi8,kf16:vf16"

static sk_case_params params_of(const char *spec, sk_input input, bool shared)
{
    sk_case_params p = {.input = input, .seed = 5, .copies = 1, .uneven = input != SK_IN_S1};
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse(spec, &p.spec, &err), &err);
    p.shape = (sk_shape){.batch = 4, .kv_heads = 2, .context = 150, .threads = 1};
    p.lists_per_seq = shared ? 1 : 2;
    return p;
}

static void make(const sk_case_params *p, sk_case *c)
{
    sk_err err = {0};
    sk_assert_ok(sk_case_make(p, c, &err), &err);
}

/* Pages lie inside the arena, on no other page, and every list is sorted. */
static void check_table(const sk_case *c)
{
    const sphkv_attn_args *a = &c->args.attn[0];
    const sphkv_page_table *t = &a->table;
    uint32_t subs = t->lists_per_seq == 1 ? c->p.shape.kv_heads : 1, tokens = 0, longest = 0;
    uint8_t *used = sk_calloc(a->arena_bytes / SPHKV_UNIT_BYTES, 1);
    assert_non_null(used);
    for (uint32_t l = 0; l < t->lists; l++) {
        uint32_t length = 0;
        for (uint32_t i = t->indptr[l]; i < t->indptr[l + 1]; i++) {
            sk_page_layout at;
            uint32_t tier = sphkv_ref_tier(t->refs[i]), unit = sphkv_ref_unit(t->refs[i]);
            assert_true(tier < c->p.spec.ntiers);
            assert_true(i == t->indptr[l] || tier >= sphkv_ref_tier(t->refs[i - 1]));
            assert_true(sphkv_ref_tokens(t->refs[i]) <= c->p.spec.page);
            sk_page_layout_get(&c->p.spec, tier, &at);
            assert_true((uint64_t)unit + at.units * subs <= a->arena_bytes / SPHKV_UNIT_BYTES);
            for (uint32_t u = 0; u < at.units * subs; u++) {
                assert_int_equal(used[unit + u], 0);
                used[unit + u] = 1;
            }
            length += sphkv_ref_tokens(t->refs[i]);
        }
        tokens += length;
        if (length > longest) longest = length;
    }
    assert_int_equal(longest, c->p.shape.context);
    if (!c->p.uneven) assert_int_equal(tokens, c->p.shape.context * t->lists);
    sk_free(used);
}

static void test_tables(void **state)
{
    (void)state;
    for (uint32_t input = 0; input < SK_INPUT_COUNT; input++)
        for (uint32_t shared = 0; shared < 2; shared++) {
            sk_case c;
            sk_case_params p = params_of(MIX, (sk_input)input, shared);
            make(&p, &c);
            check_table(&c);
            sk_case_free(&c);
        }
}

static double max_logit(const sk_case *c)
{
    sk_err err = {0};
    sk_attn_truth truth = {0};
    sk_assert_ok(sk_attn_reference(&c->p.spec, &c->args.attn[0], c->p.shape.kv_heads, &truth, &err),
                 &err);
    return truth.max_logit;
}

/* Largest logits: 4 standard deviations of a few hundred tokens or so on S1,
 * what the set says where it is scaled by its largest; a sink's share of the
 * weight sets its own. */
static void test_spread(void **state)
{
    (void)state;
    static const struct {
        sk_input input;
        double lo, hi;
    } want[] = {
        {SK_IN_S1, 8, 24}, {SK_IN_PEAKY, 39, 41}, {SK_IN_EXTREME, 31, 33}, {SK_IN_CANCEL, 4, 12},
        {SK_IN_SINK, 8, 20}};
    static const char *const specs[] = {
        MIX, "attn_decode d64 v64 h2 p32 l0 qf32 of32 if32 tight high:vf16",
        "attn_decode d128 v128 h1 p32 l0 qf16 of16 if32 tight lean:vi8"};
    for (uint32_t s = 0; s < SK_COUNT(specs); s++)
        for (uint32_t i = 0; i < SK_COUNT(want); i++) {
            sk_case c;
            sk_case_params p = params_of(specs[s], want[i].input, false);
            make(&p, &c);
            double most = max_logit(&c);
            if (!(most >= want[i].lo && most <= want[i].hi))
                fail_msg("%s %s: largest logit %.3g", specs[s], sk_input_name(want[i].input), most);
            sk_case_free(&c);
        }
}

static void assert_same(const sk_case *a, uint32_t i, const sk_case *b, uint32_t j, bool same)
{
    const sphkv_attn_args *x = &a->args.attn[i], *y = &b->args.attn[j];
    size_t q = (size_t)x->batch * x->q_stride_seq * sizeof(float);
    assert_true(x->arena != y->arena && x->q != y->q && x->codebook != y->codebook);
    assert_int_equal(x->arena_bytes == y->arena_bytes &&
                         memcmp(x->arena, y->arena, x->arena_bytes) == 0 &&
                         memcmp(x->codebook, y->codebook, x->codebook_bytes) == 0 &&
                         memcmp(x->q, y->q, q) == 0,
                     same);
}

static void test_seed(void **state)
{
    (void)state;
    sk_case a, b, other;
    sk_case_params p = params_of(MIX, SK_IN_EDGE, true);
    make(&p, &a);
    p.copies = 3;
    make(&p, &b);
    p.seed++;
    make(&p, &other);
    for (uint32_t i = 0; i < 3; i++) {
        assert_same(&a, 0, &b, i, true);
        assert_same(&a, 0, &other, i, false);
    }
    sk_case_free(&a);
    sk_case_free(&b);
    sk_case_free(&other);
}

/* A shape as it is timed; pages of the pool hold what the reference coded, so
 * the reference can say what comes out. */
static void test_quick(void **state)
{
    (void)state;
    sk_case c;
    sk_case_params p = {.seed = 9, .copies = 2, .lists_per_seq = 8, .quick_fill = true,
                        .shape = {.batch = 1, .kv_heads = 8, .context = 8192, .threads = 1}};
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse("attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight "
                               "good:vi8,kf16:vf16",
                               &p.spec, &err),
                 &err);
    make(&p, &c);
    check_table(&c);
    assert_same(&c, 0, &c, 1, true);
    /* 63 coded pages and one dense one per head: every number of tokens is full */
    sk_page_layout coded, dense;
    sk_page_layout_get(&p.spec, 0, &coded);
    sk_page_layout_get(&p.spec, 1, &dense);
    assert_int_equal(c.read_bytes, 8u * (63u * coded.bytes + dense.bytes) +
                                       8u * sk_codebook_head_bytes(&p.spec) + 32u * 128u * 4u);
    sk_case_free(&c);
}

/* The same lists in few places: within the bytes, and pages of different lists or tiers
 * on each other nowhere. */
static void test_cached(void **state)
{
    (void)state;
    enum { BYTES = 512 << 10, UNITS = 2 * BYTES / SPHKV_UNIT_BYTES };
    sk_case c;
    static uint32_t owner[UNITS]; /* list and tier that a unit is of, from 1 */
    sk_case_params p = {.seed = 9, .copies = 1, .lists_per_seq = 8, .quick_fill = true,
                        .cached = BYTES,
                        .shape = {.batch = 1, .kv_heads = 8, .context = 8192, .threads = 1}};
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse("attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight "
                               "good:vi8,kf16:vf16",
                               &p.spec, &err),
                 &err);
    make(&p, &c);
    const sphkv_attn_args *a = &c.args.attn[0];
    assert_true(a->arena_bytes > 0 && a->arena_bytes <= 2 * BYTES);
    for (uint32_t l = 0; l < 8; l++) {
        uint32_t tokens = 0;
        for (uint32_t i = a->table.indptr[l]; i < a->table.indptr[l + 1]; i++) {
            sk_page_layout at;
            const uint32_t tier = sphkv_ref_tier(a->table.refs[i]);
            const uint32_t unit = sphkv_ref_unit(a->table.refs[i]), of = 1 + 2 * l + tier;
            tokens += sphkv_ref_tokens(a->table.refs[i]);
            sk_page_layout_get(&p.spec, tier, &at);
            for (uint32_t u = unit; u < unit + at.units; u++) {
                assert_true(u < UNITS && (owner[u] == 0 || owner[u] == of));
                owner[u] = of;
            }
        }
        assert_int_equal(tokens, 8192);
    }
    sk_case_free(&c);
}

static void test_no_room(void **state)
{
    (void)state;
    sk_case c;
    sk_err err = {0};
    sk_case_params p = params_of(MIX, SK_IN_S1, false);
    p.quick_fill = true;
    p.shape.context = 1u << 20;
    p.copies = 4096;
    assert_int_equal(sk_case_make(&p, &c, &err), SPHKV_ENOMEM);
    assert_non_null(strstr(err.message, "available"));
    p.shape.context = 1u << 27;
    assert_int_equal(sk_case_make(&p, &c, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "context 134217728"));
    p.shape = (sk_shape){.batch = 8u << 20, .kv_heads = 8, .context = 64, .threads = 1};
    assert_int_equal(sk_case_make(&p, &c, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "8388608 sequences, rows or pages: inputs are made of at "
                                        "most 1048576"));
}

static void test_refused(void **state)
{
    (void)state;
    sk_case c;
    sk_case_params good = params_of(MIX, SK_IN_S1, false), p = good;
    p.lists_per_seq = 3;
    assert_int_equal(sk_case_make(&p, &c, NULL), SPHKV_EINVAL);
    p = good;
    p.copies = 0;
    assert_int_equal(sk_case_make(&p, &c, NULL), SPHKV_EINVAL);
    p = good;
    p.shape.batch = 0;
    assert_int_equal(sk_case_make(&p, &c, NULL), SPHKV_EINVAL);
    p = good;
    p.tier_mask = 4;
    assert_int_equal(sk_case_make(&p, &c, NULL), SPHKV_EINVAL);
    p = good;
    p.input = SK_INPUT_COUNT;
    assert_int_equal(sk_case_make(&p, &c, NULL), SPHKV_EINVAL);
    p = params_of("kv_append d64 v64 h1 p32 l1 qf32 of32 if32 tight kf16:vi8", SK_IN_S1, true);
    assert_int_equal(sk_case_make(&p, &c, NULL), SPHKV_EUNSUPPORTED);
}

/* Fails every allocation in turn: an error, nothing leaked (a sanitizer says). */
static void test_memory(void **state)
{
    (void)state;
    static const char *const specs[] = {
        MIX, "kv_append d16 v16 h1 p16 l1 qf32 of32 if32 tight kf16:vf16",
        "kv_encode d16 v16 h1 p16 l1 qf32 of32 if32 tight good:vi8,kf16:vf16"};
    for (uint32_t s = 0; s < SK_COUNT(specs); s++) {
        sk_case_params p = params_of(specs[s], SK_IN_PEAKY, true);
        sk_status st = SPHKV_ENOMEM;
        p.copies = 2;
        uint64_t n = 0;
        while (st == SPHKV_ENOMEM) {
            sk_case c;
            sk_err err = {0};
            assert_true(++n < 1000);
            (void)sk_alloc_fault(n, false);
            st = sk_case_make(&p, &c, &err);
            (void)sk_alloc_fault(0, false);
            if (st == SPHKV_OK) sk_case_free(&c);
        }
        assert_int_equal(st, SPHKV_OK);
        assert_true(n > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),  cmocka_unit_test(test_spread),
        cmocka_unit_test(test_seed),    cmocka_unit_test(test_quick),
        cmocka_unit_test(test_no_room), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_memory),  cmocka_unit_test(test_cached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
