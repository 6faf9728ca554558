/* test_kernel_gpu_schedule.c - the work list that a GPU makes is the CPU's, word for
 * word, wherever sums of f32 are exact: pages of one dense tier whose weights are
 * multiples of 256. Tables by chance: empty lists, pages of few tokens and of none,
 * lists of one head and of all, runs over some of the heads, one part to more parts
 * than pages. */
#include "sk_test.h"

#include <stdlib.h>

#include "gpu_case.h"
#include "work.h"

#define SPEC "attn_schedule d64 v64 h1 p64 l1 qf32 of32 if32 tight kf16:vf16"
#define TABLES 300u

enum { BATCH = 9, HEADS = 5, LISTS = BATCH * HEADS, PAGES = 24, REFS = LISTS * PAGES };

typedef struct table {
    uint32_t indptr[LISTS + 1];
    uint64_t refs[REFS + 3];
    sphkv_schedule_args args;
} table;

static void draw(sk_rng *rng, table *t)
{
    const bool shared = sk_rng_below(rng, 2);
    const uint32_t per_seq = shared ? 1 : HEADS, batch = 1 + sk_rng_below(rng, BATCH);
    const uint32_t most = 1 + sk_rng_below(rng, PAGES), kind = sk_rng_below(rng, 3);
    uint32_t at = sk_rng_below(rng, 3);
    memset(t, 0, sizeof *t);
    for (uint32_t i = 0; i < batch * per_seq; i++) {
        t->indptr[i] = at;
        uint32_t n = sk_rng_below(rng, 4) ? sk_rng_below(rng, most + 1) : 0;
        if (kind == 0) n = most;
        for (; n > 0; n--) /* 64 tokens, or any, weigh 16384, or a multiple of 256, and 256 */
            t->refs[at++] = sphkv_page_ref(1, kind == 2 ? 64 : sk_rng_below(rng, 65), 0);
    }
    t->indptr[batch * per_seq] = at;
    t->args = (sphkv_schedule_args){.size = sizeof t->args, .batch = batch};
    t->args.table = (sphkv_page_table){t->indptr, t->refs, batch * per_seq, per_seq};
    t->args.parts = 1 + sk_rng_below(rng, sk_rng_below(rng, 2) ? 8 : 300);
    if (sk_rng_below(rng, 2)) {
        t->args.kv_head_first = sk_rng_below(rng, HEADS);
        t->args.kv_head_count = 1 + sk_rng_below(rng, HEADS - t->args.kv_head_first);
    }
}

static uint32_t *make_list(const gpu_built *b, const table *t, size_t bytes)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = BATCH, .kv_heads = HEADS,
                                 .pages_per_list = PAGES, .parts = 1};
    _Alignas(64) static uint8_t space[4096];
    sphkv_schedule_args a = t->args;
    sk_image image;
    sk_err err = {0};
    gpu_image(b, &maxima, 3, &image);
    assert_true(image.workspace <= sizeof space);
    a.schedule = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(a.schedule);
    memset(a.schedule, 0x5a, bytes);
    a.schedule_bytes = bytes;
    sk_kernel_workspace(image.kernel, &a, space, sizeof space);
    sk_assert_ok(image.form->run(&image, &a, 0, 1, &err), &err);
    return a.schedule;
}

static void compare(const table *t, const uint32_t *cpu, const uint32_t *gpu)
{
    const uint32_t at = sk_work_items_at(t->args.parts);
    for (uint32_t i = 0; i < SK_WORK_HEADER + t->args.parts + 1; i++)
        if (cpu[i] != gpu[i])
            fail_msg("word %u is %u, not %u (%u parts, batch %u, %u lists a sequence)", i, gpu[i],
                     cpu[i], t->args.parts, t->args.batch, t->args.table.lists_per_seq);
    for (uint32_t i = 0; i < cpu[SK_WORK_ITEMS] * 4; i++)
        if (cpu[at + i] != gpu[at + i])
            fail_msg("item %u, word %u is %#x, not %#x (%u parts)", i / 4, i % 4, gpu[at + i],
                     cpu[at + i], t->args.parts);
}

static void same_lists(void **state)
{
    (void)state;
    const char *const warps[] = {"warps=1", "warps=4", "warps=32"};
    gpu_built cpu, gpu[3];
    const uint64_t seed = sk_test_seed(5);
    gpu_build_for(SPEC, "", &(sk_target){.vector_bits = 256}, &cpu);
    for (uint32_t i = 0; i < 3; i++) gpu_build(&(gpu_row){SPEC, warps[i], 0}, &gpu[i]);
    for (uint32_t i = 0; i < sk_test_cases(TABLES); i++) {
        static table t;
        sk_rng rng;
        sk_rng_seed(&rng, seed + i);
        (void)sk_test_repeat(seed + i);
        draw(&rng, &t);
        const uint32_t first = t.args.kv_head_first, count = t.args.kv_head_count;
        const size_t bytes =
            sphkv_schedule_bytes(t.args.batch, count ? count : HEADS - first, t.args.parts);
        uint32_t *want = make_list(&cpu, &t, bytes), *got = make_list(&gpu[i % 3], &t, bytes);
        compare(&t, want, got);
        free(want);
        free(got);
    }
    gpu_built_free(&cpu);
    for (uint32_t i = 0; i < 3; i++) gpu_built_free(&gpu[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
