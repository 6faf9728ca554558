/* test_kernel_gpu_attn.c - the GPU form of attn_decode on every spec that the CPU is tried
 * on, interpreted: right by the double reference, with few and with many blocks. */
#include "sk_test.h"

#include "gpu_case.h"
#include "kernel_tables.h"

#define HEADS 2u
#define WHOLE 16u /* one in so many specs goes through the whole check */

typedef struct device {
    uint32_t sm, sms;
} device;

static void fail_spec(const char *spec, const device *d, const sk_err *err)
{
    fail_msg("%s, sm_%u, %u multiprocessors: %s", spec, d->sm, d->sms, err->message);
}

static void check_whole(const gpu_built *b, const char *spec, const device *d, uint64_t seed)
{
    static const sphkv_maxima least = {.size = sizeof least, .batch = 1, .kv_heads = 1,
                                       .pages_per_list = 1, .parts = 1};
    sk_image image;
    sk_err err = {0};
    gpu_image(b, &least, d->sms, &image);
    if (sk_image_check(&image, seed, NULL, &err) != SPHKV_OK) fail_spec(spec, d, &err);
}

/* Even lists per head, or uneven ones that heads share. */
static void check_case(const gpu_built *b, const char *spec, const device *d, bool shared,
                       uint64_t seed)
{
    sk_case_params p = {.spec = b->spec, .input = shared ? SK_IN_EDGE : SK_IN_S1, .seed = seed,
                        .copies = 1, .uneven = shared};
    p.lists_per_seq = shared ? 1 : HEADS;
    p.shape = (sk_shape){.batch = shared ? 3 : 1, .kv_heads = HEADS};
    p.shape.context = (b->spec.ntiers + 1) * b->spec.page - 3;
    p.shape.q_len = b->spec.variants & SPHKV_VARIANT_QUERIES ? 3 : 1;
    sk_err err = {0};
    if (gpu_case(b, &p, d->sms, &err) != SPHKV_OK) fail_spec(spec, d, &err);
}

/* The form "warp" of a spec whose default is "tile". */
static void run_warp(const char *spec, const device *d, uint64_t seed)
{
    static const char *const rooms[] = {"room=shared", "room=tables", "room=global"};
    sk_target target;
    sk_schedule schedule;
    sk_text text = {0};
    gpu_built b;
    sk_err err = {0};
    sk_spec parsed;
    sk_assert_ok(sk_target_cuda(d->sm, false, &target, &err), &err);
    sk_assert_ok(sk_spec_parse(spec, &parsed, &err), &err);
    const sk_kernel *kernel = sk_kernel_get(parsed.kernel);
    for (uint32_t i = 0; i < SK_COUNT(rooms); i++) {
        sk_schedule_begin(SK_BACKEND_CUDA, &schedule);
        sk_text_free(&text);
        sk_text_printf(&text, "form=warp,warps=1,slab=16,stages=0,blocks=1,%s", rooms[i]);
        sk_assert_ok(sk_schedule_parse(parsed.kernel, text.s, &schedule, &err), &err);
        if (sk_kernel_valid(kernel, &parsed, &schedule, &target, &err) == SPHKV_OK) break;
    }
    gpu_build_for(spec, text.s, &target, &b);
    check_case(&b, spec, d, seed % 2, seed);
    sk_text_free(&text);
    gpu_built_free(&b);
}

static bool run_spec(const char *spec, uint32_t n, uint64_t seed)
{
    static const uint32_t sms[] = {1, 3, 40}, sm[] = {90, 75, 86, 120};
    const device d = {sm[n % SK_COUNT(sm)], sms[n % SK_COUNT(sms)]};
    const gpu_row row = {spec, "", d.sm};
    gpu_built b;
    gpu_build(&row, &b);
    const bool tiles = b.schedule.v[SK_T_form] == SK_ATTN_TILE;
    if (n % WHOLE == 0)
        check_whole(&b, spec, &d, seed);
    else
        check_case(&b, spec, &d, n % 2, seed);
    gpu_built_free(&b);
    if (tiles && n % 2) run_warp(spec, &d, seed);
    return tiles;
}

static bool met(const char *const *specs, uint32_t n, const char *spec)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(specs[i], spec) == 0) return true;
    return false;
}

static bool attends(const char *text)
{
    sk_spec spec;
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse(text, &spec, &err), &err);
    return spec.kernel == SPHKV_ATTN_DECODE;
}

static void every_spec(void **state)
{
    static const char *specs[512];
    const uint64_t seed = sk_test_seed(20250301);
    uint32_t n = 0, tiles = 0;
    (void)state;
    for (uint32_t t = 0; t < kernel_ntables; t++)
        for (uint32_t i = 0; i < kernel_tables[t].n; i++) {
            const char *spec = kernel_tables[t].row[i].spec;
            if (met(specs, n, spec) || !attends(spec)) continue;
            assert_true(n < SK_COUNT(specs));
            tiles += run_spec(spec, n, seed + n);
            specs[n++] = spec;
        }
    print_message("%u specs, %u by tiles\n", n, tiles);
    assert_true(tiles > 50 && n - tiles > 20);
}

/* Form "warp" in blocks with little shared memory: tables, or all scratch, in global memory. */
static void scratch_elsewhere(void **state)
{
    static const struct {
        const char *spec;
        uint32_t shared;
        int32_t room;
    } rows[] = {
        {"attn_decode d64 v64 h4 p32 l1 qf32 of32 if32 exact good:vi8,kf16:vf16", 8192,
         SK_ROOM_TABLES},
        {"attn_decode d64 v64 h4 p32 l1 qf32 of32 if32 exact good:vi8,kf16:vf16", 2048,
         SK_ROOM_GLOBAL},
        {"attn_decode d64 v64 h3 p32 l0 qf16 of16 if32 exact low:vi4,ki8:vf8", 1024,
         SK_ROOM_GLOBAL},
    };
    const uint64_t seed = sk_test_seed(3);
    (void)state;
    for (uint32_t i = 0; i < SK_COUNT(rows); i++) {
        const device d = {90, 5};
        sk_target target;
        gpu_built b;
        sk_err err = {0};
        sk_assert_ok(sk_target_cuda(d.sm, false, &target, &err), &err);
        target.shared_block = rows[i].shared;
        gpu_build_for(rows[i].spec, "", &target, &b);
        assert_int_equal(b.schedule.v[SK_T_room], rows[i].room);
        assert_true(b.build.program[0]->shared_bytes <= rows[i].shared);
        check_whole(&b, rows[i].spec, &d, seed + i);
        gpu_built_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_spec),
                                       cmocka_unit_test(scratch_elsewhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
