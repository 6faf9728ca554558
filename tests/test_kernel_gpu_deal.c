/* test_kernel_gpu_deal.c - how blocks of attn_decode on a GPU share the pages of a run:
 * tables by chance, from empty to very uneven, over all KV heads or some, more blocks
 * than pages, work lists; a plan's workspace used again and again while lists grow. Two
 * blocks that write a row are a race to the interpreter. */
#include "sk_test.h"

#include "gpu_deal.h"

/* A kind with so many blocks, joined either way. */
static void build_kind(uint32_t kind, uint32_t blocks, bool separate, gpu_built *out)
{
    char schedule[80];
    const char *spec = kind_row(kind, blocks, separate, schedule);
    gpu_build(&(gpu_row){spec, schedule, 90}, out);
}

static void tables_by_chance(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(11);
    const uint32_t cases = sk_test_cases(60);
    for (uint32_t n = 0; n < cases; n++) {
        sk_rng rng;
        world w;
        gpu_built b;
        sk_rng_seed(&rng, seed + n);
        const char *where = sk_test_repeat(seed + n);
        const uint32_t k = (uint32_t)((seed + n) % 1000);
        const deal_shape shape = any_shape(&rng, k);
        build_kind(k % SK_COUNT(kinds), 1u << k / 6 % 4, k / 9 % 3 == 0, &b);
        world_make(&w, &b, &shape, seed + n);
        for (uint32_t turn = 0; turn < 2; turn++) any_run(&rng, &w, k + turn, where);
        world_free(&w);
        gpu_built_free(&b);
    }
}

/* Many sequences, so that searches take several steps, and sums several vectors. */
static void many_sequences(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(12);
    for (uint32_t n = 0; n < 8; n++) {
        world w;
        gpu_built b;
        const deal_shape shape = {.batch = 150, .kv_heads = 3, .sms = 9, .shared = n / 2 % 2};
        build_kind(n % 2, 1, n == 3, &b);
        world_make(&w, &b, &shape, n);
        fill_table(&w, &rng, false);
        w.a.kv_head_first = n / 4;
        w.a.kv_head_count = n / 4 ? 1 : 3;
        run(&w, "many sequences");
        world_free(&w);
        gpu_built_free(&b);
    }
}

/* ---- a plan's life ------------------------------------------------------------------------ */

static void counters_are_zero(const world *w)
{
    const uint32_t *word = w->a.workspace;
    const uint32_t blocks = w->image.sms * (uint32_t)w->image.schedule.v[SK_T_blocks];
    for (uint32_t i = 0; i < blocks; i++) assert_int_equal(word[i], 0);
}

/* Steps of a decode: lists grow at their own pace, arguments stay. */
static void grow(uint32_t kind, uint64_t seed)
{
    sk_rng rng;
    world w;
    gpu_built b;
    const deal_shape shape = {.batch = 2, .kv_heads = 3, .sms = 6};
    build_kind(kind, 2, kind == 1, &b);
    sk_rng_seed(&rng, seed);
    world_make(&w, &b, &shape, seed);
    w.a.kv_head_count = 3;
    uint32_t length[6] = {0, 1, 0, 3, 0, 0};
    for (uint32_t step = 0; step < 12; step++) {
        uint32_t at = 0;
        for (uint32_t l = 0; l < w.lists; l++) {
            w.indptr[l] = at;
            fill_list(&w, &rng, w.refs + at, length[l]);
            at += length[l];
            length[l] += sk_rng_below(&rng, l == 3 ? 9 : 2);
            if (length[l] > ROOM) length[l] = ROOM;
        }
        w.indptr[w.lists] = at;
        run(&w, "growing");
        counters_are_zero(&w);
    }
    world_free(&w);
    gpu_built_free(&b);
}

static void contexts_grow(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(13);
    for (uint32_t kind = 0; kind < SK_COUNT(kinds); kind++) grow(kind, seed + kind);
}

/* A list of another batch, of more parts than there are blocks, or no list at all:
 * shares are even, as if there were none. */
static void foreign_lists_are_ignored(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(14);
    for (uint32_t n = 0; n < 7; n++) {
        world w;
        gpu_built b;
        const deal_shape shape = {.batch = 2, .kv_heads = 2, .sms = 4};
        build_kind(2, 1, false, &b);
        world_make(&w, &b, &shape, n);
        w.a.kv_head_count = 2;
        fill_table(&w, &rng, false);
        assert_int_equal(w.image.form->parts(&w.image), 4); /* 4 multiprocessors, blocks=1 */
        make_list(&w, 3);
        uint32_t *word = (uint32_t *)(void *)w.list;
        assert_int_equal(word[SK_WORK_MAGIC], SK_WORK_MAGIC_WORD);
        memset(word + sk_work_items_at(3), 0, 16 * word[SK_WORK_ITEMS]); /* who follows errs */
        if (n < 6)
            word[n] ^= 1u << (n == SK_WORK_PARTS ? 20 : 1);
        else
            memset(w.list, 0xab, sizeof w.list);
        run(&w, "a foreign work list");
        world_free(&w);
        gpu_built_free(&b);
    }
}

/* A list of a table that has grown since: whoever forgot to make it anew gets what the
 * list says, and the workspace is fit for the next run. */
static void old_lists_leave_the_workspace_fit(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(15);
    for (uint32_t kind = 0; kind < 2; kind++) {
        world w;
        gpu_built b;
        sk_err err = {0};
        const deal_shape shape = {.batch = 1, .kv_heads = 1, .sms = 3};
        build_kind(kind, 1, false, &b);
        world_make(&w, &b, &shape, kind);
        w.a.kv_head_count = 1;
        fill_list(&w, &rng, w.refs, 7);
        w.indptr[1] = 6;
        make_list(&w, 3);
        w.indptr[1] = 7;
        sk_assert_ok(w.image.form->run(&w.image, &w.a, 0, 1, &err), &err);
        counters_are_zero(&w);
        w.a.schedule = NULL;
        run(&w, "behind an old work list");
        world_free(&w);
        gpu_built_free(&b);
    }
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void refuse(const world *w, const sphkv_attn_args *a, uint32_t part, uint32_t parts,
                   const char *reason)
{
    sk_err err = {0};
    assert_int_equal(w->image.form->run(&w->image, a, part, parts, &err), SPHKV_EINVAL);
    if (!strstr(err.message, reason)) fail_msg("'%s' says nothing of '%s'", err.message, reason);
}

static sk_status no_launch(void *user, uint32_t entry, const sk_call *call, uint32_t blocks,
                           void *stream, sk_err *err)
{
    (void)entry, (void)call, (void)err;
    assert_ptr_equal(stream, &no_launch);
    *(uint32_t *)user += blocks;
    return SPHKV_OK;
}

#define REFUSED(change, reason)                                                                    \
    do {                                                                                           \
        sphkv_attn_args a = w.a;                                                                   \
        change;                                                                                    \
        refuse(&w, &a, 0, 1, reason);                                                              \
    } while (0)

/* On a device: what is wrong without a look behind pointers; nothing behind them is
 * read, be it senseless. */
static void arguments(void **state)
{
    (void)state;
    world w;
    uint32_t launched = 0;
    sk_err err = {0};
    gpu_built b;
    const deal_shape shape = {.batch = 2, .kv_heads = 2, .sms = 3};
    build_kind(2, 2, false, &b);
    world_make(&w, &b, &shape, 5);
    refuse(&w, &w.a, 0, 2, "a run on a GPU has one");
    refuse(&w, &w.a, 1, 1, "part 1");
    w.image.launch = no_launch;
    w.image.launch_user = &launched;
    w.a.stream = (void *)(uintptr_t)&no_launch;
    memset(w.indptr, 0xff, (w.lists + 1) * sizeof *w.indptr);
    sk_assert_ok(w.image.form->run(&w.image, &w.a, 0, 1, &err), &err);
    assert_int_equal(launched, 6); /* blocks: one launch */
    w.a.schedule = w.list;
    w.a.schedule_bytes = sizeof w.list;
    REFUSED(a.workspace_bytes--, "workspace");
    REFUSED(a.workspace = (uint8_t *)a.workspace + 4, "workspace");
    REFUSED(a.q = NULL, "q or out");
    REFUSED(a.arena = (const uint8_t *)a.arena + 64, "arena");
    REFUSED(a.codebook_bytes = 0, "codebook");
    REFUSED(a.batch = 3, "batch 3");
    REFUSED(a.table.lists = 3, "table.lists");
    REFUSED(a.table.indptr = NULL, "indptr");
    REFUSED(a.kv_head_count = 3, "KV heads");
    REFUSED(a.schedule = w.list + 4, "schedule");
    REFUSED(a.schedule_bytes = 64, "schedule");
    REFUSED(a.lse = (float *)(void *)((uint8_t *)a.lse + 2), "lse");
    assert_int_equal(launched, 6);
    w.a.batch = 0;
    w.a.table.lists = 0;
    sk_assert_ok(w.image.form->run(&w.image, &w.a, 0, 1, &err), &err); /* nothing to do */
    assert_int_equal(launched, 6);
    world_free(&w);
    gpu_built_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_by_chance),          cmocka_unit_test(many_sequences),
        cmocka_unit_test(contexts_grow),             cmocka_unit_test(foreign_lists_are_ignored),
        cmocka_unit_test(old_lists_leave_the_workspace_fit),
        cmocka_unit_test(arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
