/* test_run_rope.c - keys that are kept before RoPE through sphkv.h: what a run refuses of
 * tables of rotations and of positions, each alone and changing nothing; where pages say
 * that positions are; and a context that is shifted in place. */
#include "sk_test.h"

#include <math.h>

#include "run_case.h"

enum { D = 64, PAGE = 64, HEADS = 2, KV = 2 };

static sphkv_spec_params spec_of(uint32_t kernel, const char *tiers)
{
    return (sphkv_spec_params){.size = sizeof(sphkv_spec_params), .kernel = kernel, .head_dim = D,
                               .heads_per_kv = HEADS, .page_tokens = PAGE, .tiers = tiers};
}

/* A call of a case that is right. */
typedef struct bench {
    run_spec spec;
    sphkv_plan *plan;
    sk_case c;
    run_call good, bad;
    uint8_t *before;
    size_t bytes;
} bench;

static void bench_make(bench *b, sphkv_context *ctx, uint32_t kernel, const char *tiers)
{
    *b = (bench){.spec = {spec_of(kernel, tiers), {2, KV, 150, 1, 1}}};
    b->plan = run_plan(ctx, &b->spec);
    run_case_make(&b->spec, SK_IN_S1, false, 9, &b->c);
    b->good = run_call_make(b->plan, &b->c);
    const uint8_t *out = sk_case_result(&b->c, 0, &b->bytes);
    b->before = run_zeros(b->bytes);
    memcpy(b->before, out, b->bytes);
    b->bad = b->good;
}

static void bench_free(bench *b)
{
    run_parts(b->plan, &b->good, 1);
    run_judge(&b->c); /* so the right call was right */
    free(b->before);
    run_call_free(&b->good);
    sk_case_free(&b->c);
    sphkv_plan_destroy(b->plan);
}

static void refused(bench *b, const char *what)
{
    size_t bytes;
    const sphkv_status st = sphkv_run(b->plan, &b->bad.args, 0, 1);
    if (st != SPHKV_EINVAL) fail_msg("%s: status %d", what, (int)st);
    if (memcmp(b->before, sk_case_result(&b->c, 0, &bytes), b->bytes) != 0)
        fail_msg("%s: the output was written", what);
    b->bad = b->good;
}

#define REFUSED(change) ((void)(change), refused(&b, #change))

static void bad_tables(bench *at, sphkv_rope *rope)
{
    bench b = *at;
    rope = (sphkv_rope *)(void *)((char *)rope - (char *)at + (char *)&b);
    REFUSED(rope->table = (const float *)(const void *)((const char *)rope->table + 2));
    REFUSED(rope->positions = 0);
    REFUSED(rope->dims = 8);
    REFUSED(rope->dims = 20);
    REFUSED(rope->dims = D + 8);
    REFUSED(rope->positions = 1u << 27);
    REFUSED((rope->dims = D, rope->positions = (1u << 30) / D + 1)); /* 4 GiB and a row */
}

/* Every position of a page in turn. */
static void bad_positions(bench *b, uint8_t *at, uint32_t count)
{
    for (uint32_t t = 0; t < count; t += 7) {
        const uint32_t far = t % 2 ? UINT32_MAX : 1000000;
        uint32_t keep;
        memcpy(&keep, at + (size_t)t * 4, 4);
        memcpy(at + (size_t)t * 4, &far, 4);
        refused(b, "a position beyond the table");
        memcpy(at + (size_t)t * 4, &keep, 4);
    }
}

static uint32_t positions_at(const bench *b, uint32_t tier)
{
    sphkv_page_info info = {.size = sizeof info};
    sphkv_error err = {0};
    sk_assert_ok(sphkv_page_info_get(&b->spec.params, tier, &info, &err), &err);
    assert_true(info.positions > 0);
    assert_true(info.positions + PAGE * 4 <= info.bytes);
    return info.positions;
}

static void attention(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    bench b;
    bench_make(&b, ctx, SPHKV_ATTN_DECODE, "sharp:vi8,kf16p:vf16");
    bad_tables(&b, &b.bad.args.attn.rope);
    REFUSED(b.bad.args.attn.rope.table = NULL);
    REFUSED(b.bad.args.attn.rope.positions = 1);
    const sphkv_attn_args *a = &b.good.args.attn;
    for (uint32_t i = a->table.indptr[0]; i < a->table.indptr[1]; i++) {
        const uint64_t ref = a->table.refs[i];
        uint8_t *page = (uint8_t *)(uintptr_t)a->arena + (size_t)sphkv_ref_unit(ref) * SPHKV_UNIT_BYTES;
        bad_positions(&b, page + positions_at(&b, sphkv_ref_tier(ref)), sphkv_ref_tokens(ref));
    }
    bench_free(&b);
    sphkv_close(ctx);
}

static void rows(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    bench b;
    bench_make(&b, ctx, SPHKV_PAGE_DECODE, "sharp:vi8,kf16p:vf16");
    bad_tables(&b, &b.bad.args.decode.rope);
    REFUSED(b.bad.args.decode.rope.positions = 1);
    const sphkv_decode_args *a = &b.good.args.decode;
    for (uint32_t i = 0; i < a->items_count; i++) {
        uint8_t *page = (uint8_t *)(uintptr_t)a->arena + (size_t)a->items[i].unit * SPHKV_UNIT_BYTES;
        bad_positions(&b, page + positions_at(&b, a->items[i].tier_slot), a->items[i].count);
    }
    bench_free(&b);
    sphkv_close(ctx);
}

static void moved(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    bench b;
    bench_make(&b, ctx, SPHKV_PAGE_RETIER, "kf16:vf16,sharp:vi8");
    bad_tables(&b, &b.bad.args.encode.rope);
    REFUSED(b.bad.args.encode.rope.table = NULL);
    REFUSED(b.bad.args.encode.rope.positions = 1);
    const sphkv_encode_args *a = &b.good.args.encode;
    for (uint32_t i = 0; i < a->items_count; i++) {
        uint8_t *page = (uint8_t *)(uintptr_t)a->src_arena + (size_t)a->items[i].src_unit * SPHKV_UNIT_BYTES;
        bad_positions(&b, page + positions_at(&b, 1), a->items[i].count);
    }
    bench_free(&b);
    sphkv_close(ctx);
}

static void appended(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    bench b;
    bench_make(&b, ctx, SPHKV_KV_APPEND, "kf16p:vf16");
    REFUSED(b.bad.args.append.positions = NULL);
    REFUSED(b.bad.args.append.positions =
                (const uint32_t *)(const void *)((const char *)b.bad.args.append.positions + 2));
    bench_free(&b);
    bench_make(&b, ctx, SPHKV_KV_APPEND, "kf16:vf16");
    static const uint32_t none[64];
    REFUSED(b.bad.args.append.positions = none); /* pages have no place for them */
    bench_free(&b);
    sphkv_close(ctx);
}

/* What is coded from what. */
static void between_forms(void **state)
{
    (void)state;
    sphkv_error err = {0};
    sphkv_spec_params s = spec_of(SPHKV_KV_ENCODE, "sharp:vi8,kf16:vf16");
    assert_int_equal(sphkv_supported(NULL, &s, &err), SPHKV_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "kf16p"));
    s.tiers = "good:vi8,kf16p:vf16";
    assert_int_equal(sphkv_supported(NULL, &s, &err), SPHKV_EUNSUPPORTED);
    s.tiers = "sharp:vi8,kf16p:vf16";
    sk_assert_ok(sphkv_supported(NULL, &s, &err), &err);
    sphkv_page_info info = {.size = sizeof info};
    s.tiers = "good:vi8,kf16:vf16";
    sk_assert_ok(sphkv_page_info_get(&s, 0, &info, &err), &err);
    assert_int_equal(info.positions, 0);
}

/* Positions of all pages moved by 30, the query with them: the same output. */
static void shifted(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    bench b;
    bench_make(&b, ctx, SPHKV_ATTN_DECODE, "sharp:vi8,kf16p:vf16");
    sphkv_attn_args *a = &b.good.args.attn;
    const uint32_t rows = 300, by = 30, heads = KV * HEADS;
    float *table = run_zeros((size_t)rows * D * sizeof *table);
    float *q = run_zeros((size_t)a->batch * heads * D * sizeof *q), *out[2];
    for (uint32_t x = 0; x < rows; x++)
        for (uint32_t i = 0; i < D / 2; i++) {
            const double angle = x * pow(1000, -2.0 * i / D);
            table[x * D + i] = (float)cos(angle);
            table[x * D + D / 2 + i] = (float)sin(angle);
        }
    const sphkv_rope rope = {table, rows, 0};
    a->rope = rope;
    a->q_stride_head = a->q_stride_seq = a->out_stride_head = a->out_stride_seq = 0;
    for (uint32_t turn = 0; turn < 2; turn++) {
        out[turn] = run_zeros((size_t)a->batch * heads * D * sizeof *q);
        for (uint32_t row = 0; row < a->batch * heads; row++) {
            double x[D];
            for (uint32_t i = 0; i < D; i++) x[i] = cos(row * 7 + i * 3) * 4;
            sk_rope_ref(&rope, D, turn * by, false, x);
            for (uint32_t i = 0; i < D; i++) q[row * D + i] = (float)x[i];
        }
        for (uint32_t i = a->table.indptr[0]; turn && i < a->table.indptr[a->table.lists]; i++) {
            const uint64_t ref = a->table.refs[i];
            uint8_t *at = (uint8_t *)(uintptr_t)a->arena +
                          (size_t)sphkv_ref_unit(ref) * SPHKV_UNIT_BYTES +
                          positions_at(&b, sphkv_ref_tier(ref));
            for (uint32_t t = 0; t < sphkv_ref_tokens(ref); t++) {
                uint32_t x;
                memcpy(&x, at + (size_t)t * 4, 4);
                x += by;
                memcpy(at + (size_t)t * 4, &x, 4);
            }
        }
        a->q = q;
        a->out = out[turn];
        run_parts(b.plan, &b.good, 1);
    }
    for (uint32_t i = 0; i < a->batch * heads * D; i++)
        assert_true(fabs((double)out[0][i] - (double)out[1][i]) < 2e-3);
    free(table), free(q), free(out[0]), free(out[1]), free(b.before);
    run_call_free(&b.good);
    sk_case_free(&b.c);
    sphkv_plan_destroy(b.plan);
    sphkv_close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(attention, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(rows, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(moved, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(appended, run_place_make, run_place_free),
        cmocka_unit_test(between_forms),
        cmocka_unit_test_setup_teardown(shifted, run_place_make, run_place_free),
    };
    if (!run_has_compiler()) return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
