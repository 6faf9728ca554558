/* test_kernel_edges.c - the host side of kernels where its arithmetic ends: lists
 * that are empty, hold empty pages or are fewer than the parts; a part that
 * fails; strides that reach 2^32 and beyond; arenas, tables and rows that lie
 * farther than 4 GiB; keys and values that their scales cannot reach. */
#include "sk_test.h"

#include <math.h>
#include <sys/mman.h>

#include "kernel_cases.h"

#define SMALL "d16 v16 h1 p16 l1 qf32 of32 if32 tight "
#define GIB ((size_t)1 << 30)

/* Address space without memory; NULL where the machine has none to give. */
static void *far_map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void build(kernel_lab *lab, const char *spec, kernel_built *b)
{
    const kernel_row row = {spec, "", 0};
    kernel_build(lab, &row, b);
}

/* One item or list, most of everything. */
static void image(const kernel_built *b, bool compiled, uint32_t parts, sk_image *out)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 8, .kv_heads = 2,
                                 .pages_per_list = 64, .parts = parts};
    kernel_image(b, compiled, &maxima, out);
}

/* ---- lists and parts ---------------------------------------------------------- */

/* A case of uneven lists in which every third page becomes empty, and its table. */
typedef struct table {
    sk_case c;
    uint64_t *refs;
    double *want;
    float *got;
    size_t floats;
} table;

static void table_make(const kernel_built *b, bool shared, table *t)
{
    sk_err err = {0};
    sk_case_params p = {.spec = b->spec, .shape = {8, 2, 100, 1, 1}, .lists_per_seq = shared ? 1 : 2,
                        .input = SK_IN_EDGE, .seed = 3, .copies = 1, .uneven = true};
    sk_assert_ok(sk_case_make(&p, &t->c, &err), &err);
    sphkv_attn_args *a = &t->c.args.attn[0];
    const uint32_t n = a->table.indptr[a->table.lists];
    t->refs = sk_malloc(n * sizeof *t->refs);
    t->floats = (size_t)8 * 2 * b->spec.heads_per_kv * b->spec.dv;
    t->want = sk_malloc(t->floats * sizeof *t->want);
    t->got = sk_malloc(t->floats * sizeof *t->got);
    assert_true(t->refs && t->want && t->got);
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t ref = a->table.refs[i];
        t->refs[i] = i % 3 ? ref : sphkv_page_ref(sphkv_ref_unit(ref), 0, sphkv_ref_tier(ref));
    }
    a->table.refs = t->refs;
    a->out = t->got;
    a->out_stride_head = a->out_stride_seq = 0;
    sk_attn_truth truth = {.out = t->want};
    sk_assert_ok(sk_attn_reference(&b->spec, a, 2, &truth, &err), &err);
}

static void table_free(table *t)
{
    sk_case_free(&t->c);
    sk_free(t->refs);
    sk_free(t->want);
    sk_free(t->got);
}

static void table_compare(const table *t, uint32_t parts)
{
    for (size_t i = 0; i < t->floats; i++)
        if (!(fabs((double)t->got[i] - t->want[i]) < 1e-4))
            fail_msg("%u parts: element %zu is %g, not %g", parts, i, (double)t->got[i],
                     t->want[i]);
}

static void test_parts(void **state)
{
    static const uint32_t parts[] = {1, 2, 3, 7, 16, 40, 200};
    kernel_built b;
    build(*state, "attn_decode d16 v16 h3 p16 l1 qf32 of32 if32 exact g4b4r8:vi8,kf16:vf16", &b);
    for (uint32_t shared = 0; shared < 2; shared++)
        for (uint32_t i = 0; i < SK_COUNT(parts); i++) {
            table t;
            sk_image im;
            sk_err err = {0};
            table_make(&b, shared, &t);
            image(&b, b.code != NULL, parts[i], &im);
            memset(t.got, 0xff, t.floats * sizeof *t.got);
            sk_assert_ok(kernel_run(&im, sk_case_args(&t.c, 0), parts[i], &err), &err);
            table_compare(&t, parts[i]);
            table_free(&t);
        }
    kernel_built_free(&b);
}

/* Nothing to do is no error, and leaves the workspace fit. */
static void test_nothing(void **state)
{
    kernel_built b;
    sk_image im;
    sk_err err = {0};
    const uint32_t none[1] = {0};
    sphkv_attn_args a = {.size = sizeof a, .table = {none, NULL, 0, 2}};
    build(*state, "attn_decode " SMALL "kf16:vf16", &b);
    image(&b, false, 3, &im);
    sk_assert_ok(kernel_run(&im, &a, 3, &err), &err);
    a.table.lists_per_seq = 1;
    sk_assert_ok(kernel_run(&im, &a, 3, &err), &err);
    kernel_built_free(&b);
}

/* A part that fails (here: the interpreter has no memory) must not shift who is
 * last in the run after it. */
static void test_failed_part(void **state)
{
    kernel_built b;
    table t;
    sk_image im;
    void *raw;
    sk_err err = {0};
    build(*state, "attn_decode d16 v16 h2 p16 l1 qf32 of32 if32 exact g4b4r8:vi8,kf16:vf16", &b);
    table_make(&b, false, &t);
    image(&b, false, 2, &im);
    sphkv_attn_args a = t.c.args.attn[0];
    a.workspace = kernel_workspace(im.workspace, &raw);
    a.workspace_bytes = im.workspace;
    a.scale = 2; /* what it leaves behind is wrong for the next run */
    (void)sk_alloc_fault(1, false);
    assert_int_equal(im.form->run(&im, &a, 0, 2, NULL), SPHKV_ENOMEM);
    (void)sk_alloc_fault(0, false);
    sk_assert_ok(im.form->run(&im, &a, 1, 2, &err), &err);
    a.scale = t.c.args.attn[0].scale;
    for (uint32_t n = 0; n < 2; n++) {
        memset(t.got, 0xff, t.floats * sizeof *t.got);
        for (uint32_t i = 0; i < 2; i++)
            sk_assert_ok(im.form->run(&im, &a, i, 2, &err), &err);
        table_compare(&t, 2);
    }
    sk_free(raw);
    table_free(&t);
    kernel_built_free(&b);
}

/* ---- strides ------------------------------------------------------------------- */

static void refused(const sk_image *im, const void *args, const char *word)
{
    sk_err err = {0};
    assert_int_equal(kernel_run(im, args, 1, &err), SPHKV_EINVAL);
    if (!strstr(err.message, word)) fail_msg("'%s' lacks '%s'", err.message, word);
}

/* Nothing behind q, out and k is read: the strides alone are refused. */
static void test_strides(void **state)
{
    kernel_built b;
    sk_image im;
    float x[16] = {0};
    const uint32_t empty[17] = {0};
    sphkv_attn_args a = {.size = sizeof a, .batch = 8, .q = x, .out = x,
                         .table = {empty, NULL, 16, 2}};
    build(*state, "attn_decode " SMALL "kf16:vf16", &b);
    image(&b, false, 1, &im);
    a.q_stride_head = 0xffffffffu;
    refused(&im, &a, "q spans");
    a.q_stride_head = 0;
    a.out_stride_head = 1u << 30; /* the second head begins at 4 GiB */
    refused(&im, &a, "out spans");
    a.out_stride_head = 0;
    a.q_stride_seq = 1u << 28; /* 7 of them are beyond it */
    refused(&im, &a, "q spans");
    a.q_stride_seq = 0;
    a.q = (const char *)x + 2;
    refused(&im, &a, "aligned");
    a.q = x;
    a.lse = x;
    a.lse_stride_seq = 1u << 28;
    refused(&im, &a, "lse spans");
    kernel_built_free(&b);
}

/* Rows of [KV head][row][D]: many rows times a large head stride is no offset. */
static void test_append_strides(void **state)
{
    kernel_built b;
    sk_image im;
    sk_err err = {0};
    sphkv_append_item item = {.unit = 0, .slot = 3, .count = 2, .row = 5000, .kv_head = 1};
    uint8_t *arena = far_map(GIB), *k = far_map(GIB);
    build(*state, "kv_append " SMALL "kf32:vf32", &b);
    image(&b, b.code != NULL, 1, &im);
    if (arena && k) {
        sphkv_append_args a = {.size = sizeof a, .items_count = 1, .items = &item, .k = k, .v = k,
                               .arena = arena, .arena_bytes = 1 << 16};
        a.k_stride_row = a.v_stride_row = 16;
        a.k_stride_head = a.v_stride_head = 1u << 22;
        ((float *)(void *)k)[((size_t)1 << 22) + 5001 * 16 + 9] = 3;
        sk_assert_ok(kernel_run(&im, &a, 1, &err), &err);
        assert_true(((float *)(void *)arena)[9 * 16 + 4] == 3);
        a.k_stride_row = 1u << 20;
        refused(&im, &a, "2^32");
        a.k_stride_row = 16;
        a.v_stride_head = 1u << 31;
        refused(&im, &a, "2^32");
        a.v_stride_head = 1u << 22;
        a.v = k + 2;
        refused(&im, &a, "aligned");
        munmap(arena, GIB);
        munmap(k, GIB);
    }
    kernel_built_free(&b);
}

/* ---- far away ------------------------------------------------------------------- */

#define FAR_UNIT ((uint32_t)(9 * (GIB / SPHKV_UNIT_BYTES)))

/* Rows beyond 4 GiB into a page beyond it, coded into one farther on, and read:
 * all offsets that are not 32 bits wide. Machine code only: the interpreter
 * keeps a shadow of what is written. */
static void test_far(void **state)
{
    kernel_built append, encode, attn;
    sk_image im;
    sk_err err = {0};
    const size_t arena_bytes = 10 * GIB, k_bytes = 9 * GIB, refs_bytes = 5 * GIB;
    uint8_t *arena = far_map(arena_bytes), *k = far_map(k_bytes);
    uint64_t *refs = far_map(refs_bytes);
    build(*state, "kv_append " SMALL "kf32:vf32", &append);
    build(*state, "kv_encode " SMALL "kf16:vf16,kf32:vf32", &encode);
    build(*state, "attn_decode " SMALL "kf16:vf16", &attn);
    if (arena && k && refs && append.code) {
        const uint32_t row = 8, first = (uint32_t)(4 * GIB / sizeof *refs);
        sphkv_append_item put = {.unit = FAR_UNIT, .slot = 0, .count = 1, .row = row};
        sphkv_append_args pa = {.size = sizeof pa, .items_count = 1, .items = &put, .k = k, .v = k,
                                .arena = arena, .arena_bytes = arena_bytes,
                                .k_stride_row = 1u << 28, .v_stride_row = 1u << 28};
        float *from = (float *)(void *)(k + (size_t)row * GIB), q[32] = {0}, out[32];
        for (uint32_t i = 0; i < 16; i++)
            from[i] = (float)i - 4;
        image(&append, true, 1, &im);
        sk_assert_ok(kernel_run(&im, &pa, 1, &err), &err);
        sphkv_encode_item code = {.src_unit = FAR_UNIT, .dst_unit = FAR_UNIT + 1000, .count = 1};
        sphkv_encode_args ea = {.size = sizeof ea, .items_count = 1, .items = &code,
                                .src_arena = arena, .src_arena_bytes = arena_bytes,
                                .dst_arena = arena, .dst_arena_bytes = arena_bytes};
        image(&encode, true, 1, &im);
        sk_assert_ok(kernel_run(&im, &ea, 1, &err), &err);
        const uint32_t indptr[3] = {first, first + 1, first + 1};
        sphkv_attn_args aa = {.size = sizeof aa, .batch = 1, .q = q, .out = out, .arena = arena,
                              .arena_bytes = arena_bytes, .table = {indptr, refs, 2, 2}};
        refs[first] = sphkv_page_ref(FAR_UNIT + 1000, 1, 0);
        image(&attn, true, 1, &im);
        sk_assert_ok(kernel_run(&im, &aa, 1, &err), &err);
        for (uint32_t i = 0; i < 16; i++) /* one token: its value */
            if (!(fabsf(out[i] - from[i]) < 1e-5f)) fail_msg("channel %u is %g", i, (double)out[i]);
    } else {
        print_message("left out: no address space or no compiler\n");
    }
    if (arena) munmap(arena, arena_bytes);
    if (k) munmap(k, k_bytes);
    if (refs) munmap(refs, refs_bytes);
    kernel_built_free(&append);
    kernel_built_free(&encode);
    kernel_built_free(&attn);
}

/* ---- numbers --------------------------------------------------------------------- */

/* Two tokens of 16 dimensions and channels through kv_encode, `read` back from
 * all slots, both ways: 16 keys, then 16 values a token. */
static void encode_two(kernel_lab *lab, const char *tiers, const double *k, const double *v,
                       void (*check)(const double *k, const double *v))
{
    kernel_built b;
    sk_image im;
    sk_err err = {0};
    double read[2][16 * 16];
    sk_page_layout at[2];
    sk_text spec = {0};
    sk_text_printf(&spec, "kv_encode " SMALL "%s", tiers);
    build(lab, spec.s, &b);
    sk_text_free(&spec);
    sk_page_layout_get(&b.spec, 0, &at[0]);
    sk_page_layout_get(&b.spec, 1, &at[1]);
    const uint32_t units = at[0].units + at[1].units;
    void *raw;
    uint8_t *arena = kernel_workspace(units * SPHKV_UNIT_BYTES + 64, &raw);
    if ((uintptr_t)arena % 128) arena += 64;
    sk_encode_page_ref(&b.spec, 1, k, v, 2, NULL, arena);
    const sphkv_encode_item item = {.src_unit = 0, .dst_unit = at[1].units, .count = 2};
    sphkv_encode_args a = {.size = sizeof a, .items_count = 1, .items = &item, .src_arena = arena,
                           .src_arena_bytes = units * SPHKV_UNIT_BYTES, .dst_arena = arena,
                           .dst_arena_bytes = units * SPHKV_UNIT_BYTES};
    for (uint32_t compiled = 0; compiled < (b.code ? 2u : 1u); compiled++) {
        image(&b, compiled, 1, &im);
        sk_assert_ok(kernel_run(&im, &a, 1, &err), &err);
        sk_page_decode_ref(&b.spec, 0, arena + at[1].units * SPHKV_UNIT_BYTES, 2, NULL, read[0],
                           read[1]);
        for (uint32_t i = 0; i < 2 * 16; i++)
            assert_true(isfinite(read[0][i]) && isfinite(read[1][i]));
        check(read[0], read[1]);
    }
    sk_free(raw);
    kernel_built_free(&b);
}

/* Larger than 127 halves: cut, of the right sign, and never NaN. */
static void huge_values(const double *k, const double *v)
{
    const double top = 127.0 * 65504;
    (void)k;
    assert_true(v[3] == top && v[16 + 3] == -top && v[4] == -top);
    assert_true(fabs(v[5] - 2) < 0.01);
}

static void test_huge_values(void **state)
{
    double k[2 * 16] = {0}, v[2 * 16] = {0};
    v[3] = 1e30, v[16 + 3] = -1e38, v[4] = -2e7, v[5] = 2;
    encode_two(*state, "kf16:vi8,kf16:vbf16", k, v, huge_values);
}

/* One scale for all dimensions of a token: it is cut for the first, and too
 * small for a half in the second. */
static void huge_keys(const double *k, double top)
{
    assert_true(k[0] == 65504 * top && k[1] == -65504 * top && k[2] == 0);
    assert_true(k[3] == 65504);
    for (uint32_t i = 0; i < 16; i++)
        assert_true(k[16 + i] == 0);
}

static void huge_keys_i8(const double *k, const double *v)
{
    (void)v;
    huge_keys(k, 127);
}

static void huge_keys_i4(const double *k, const double *v)
{
    (void)v;
    huge_keys(k, 7);
}

/* Codes to the nearest, halves to the even one, in a scale of 1. */
static void even_keys(const double *k, const double *v)
{
    static const double want[] = {7, -7, 0, 2, 2, 0, -2, -2, 6, -4};
    (void)v;
    for (uint32_t i = 0; i < SK_COUNT(want); i++)
        assert_true(k[i] == want[i]);
}

static void test_extreme_keys(void **state)
{
    static const double even[2 * 16] = {7, -7, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 5.51, -4.49};
    double k[2 * 16] = {0}, v[2 * 16] = {0};
    k[0] = 3e38, k[1] = -1e30, k[2] = 30000, k[3] = 65504, k[16] = 1e-9, k[17] = -1e-38;
    encode_two(*state, "ki8:vf32,kf32:vf32", k, v, huge_keys_i8);
    encode_two(*state, "ki4:vf32,kf32:vf32", k, v, huge_keys_i4);
    encode_two(*state, "ki4:vf32,kf32:vf32", even, v, even_keys);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_parts, &lab),
        cmocka_unit_test_prestate(test_nothing, &lab),
        cmocka_unit_test_prestate(test_failed_part, &lab),
        cmocka_unit_test_prestate(test_strides, &lab),
        cmocka_unit_test_prestate(test_append_strides, &lab),
        cmocka_unit_test_prestate(test_far, &lab),
        cmocka_unit_test_prestate(test_huge_values, &lab),
        cmocka_unit_test_prestate(test_extreme_keys, &lab),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
