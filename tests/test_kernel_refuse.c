/* test_kernel_refuse.c - what page_decode and attn_schedule refuse: one thing wrong
 * at a time in the arguments of a case that runs, in one clear line, with nothing
 * written. What the other kernels refuse: test_run_args.c, test_kernel_merge.c,
 * test_kernel_gather.c. */
#include "sk_test.h"

#include "kernel_cases.h"

static kernel_lab lab;

/* A kernel, a case, and its args with a workspace. */
typedef struct bench {
    kernel_built b;
    sk_case c;
    sk_image image;
    void *space;
} bench;

static bench w;

static void bench_make(const char *spec)
{
    sk_err err = {0};
    sphkv_maxima maxima;
    const kernel_row row = {spec, "", 0};
    kernel_build(&lab, &row, &w.b);
    const sk_case_params p = kernel_params(&w.b, SK_IN_S1, false, lab.seed);
    sk_assert_ok(sk_case_make(&p, &w.c, &err), &err);
    sk_case_maxima(&w.c, 2, &maxima);
    kernel_image(&w.b, w.b.code != NULL, &maxima, &w.image);
    void *at = kernel_workspace(w.image.workspace, &w.space);
    sk_kernel_workspace(w.image.kernel, w.c.args.any, at, w.image.workspace);
    sk_case_poison(&w.c, 0);
}

/* What was changed was the reason: as it is, the case runs. */
static void bench_free(void)
{
    sk_err err = {0};
    double error, bound;
    for (uint32_t part = 0; part < 2; part++)
        sk_assert_ok(w.image.kernel->run(&w.image, w.c.args.any, part, 2, &err), &err);
    sk_assert_ok(sk_case_judge(&w.c, 0, &error, &bound, &err), &err);
    sk_free(w.space);
    sk_case_free(&w.c);
    kernel_built_free(&w.b);
}

/* Every part refuses, says `word`, and writes nothing. */
static void refused(const void *args, const char *word, const char *change)
{
    for (uint32_t part = 0; part < 2; part++) {
        sk_err err = {0};
        size_t bytes;
        const sk_status st = w.image.kernel->run(&w.image, args, part, 2, &err);
        if (st != SPHKV_EINVAL) fail_msg("%s: part %u: status %d", change, part, (int)st);
        if (!strstr(err.message, word)) fail_msg("%s: %s", change, err.message);
        const uint8_t *out = sk_case_result(&w.c, 0, &bytes);
        assert_true(bytes > 0);
        for (size_t i = 0; i < bytes; i++)
            if (out[i] != SK_CASE_POISON) fail_msg("%s: byte %zu is written", change, i);
    }
}

#define REFUSED(type, change, word)                       \
    do {                                                  \
        type a = *(const type *)w.c.args.any;             \
        change;                                           \
        refused(&a, word, #change);                       \
    } while (0)

#define DECODE(change, word) REFUSED(sphkv_decode_args, change, word)
/* The last item, wrong. */
#define ITEM(change, word)                                                                  \
    do {                                                                                    \
        sphkv_decode_args a = w.c.args.decode[0];                                           \
        sphkv_decode_item *items = sk_malloc(a.items_count * sizeof *items);                \
        assert_non_null(items);                                                             \
        memcpy(items, a.items, a.items_count * sizeof *items);                              \
        sphkv_decode_item *item = &items[a.items_count - 1];                                \
        change;                                                                             \
        a.items = items;                                                                    \
        refused(&a, word, #change);                                                         \
        sk_free(items);                                                                     \
    } while (0)

static void page_decode(void **state)
{
    (void)state;
    bench_make("page_decode d64 v64 h1 p64 l1 qf32 of16 if32 tight good:vi8,kf16:vf16");
    DECODE(a.size -= 4, "size");
    DECODE(a.reserved = 1, "reserved");
    DECODE(a.items_count = w.image.maxima.batch + 1, "items");
    DECODE(a.items = NULL, "NULL");
    DECODE(a.arena = NULL, "NULL");
    DECODE(a.k = a.v = NULL, "NULL");
    DECODE(a.arena = (const uint8_t *)a.arena + 64, "aligned");
    DECODE(a.k = (uint8_t *)a.k + 1, "aligned");
    DECODE(a.v = (uint8_t *)a.v + 2, "4 bytes");
    DECODE(a.k_stride_row = 65, "even");
    DECODE(a.v_stride_head = 65, "even");
    DECODE(a.k_stride_row = UINT32_MAX - 1, "2^32");
    DECODE(a.rows = 0, "rows");
    DECODE(a.codebook = NULL, "codebook");
    DECODE(a.codebook_bytes--, "codebook");
    DECODE(a.workspace = NULL, "workspace");
    DECODE(a.workspace_bytes--, "workspace");
    DECODE(a.arena_bytes = SPHKV_UNIT_BYTES, "beyond its arena");
    ITEM(item->tier_slot = 2, "tier slot 2");
    ITEM(item->count = 65, "65");
    ITEM(item->kv_head = w.image.maxima.kv_heads, "KV head");
    ITEM(item->unit = UINT32_MAX, "beyond its arena");
    ITEM(item->row = a.rows, "rows");
    ITEM(item->row = UINT32_MAX, "rows");
    bench_free();
}

#define LIST(change, word) REFUSED(sphkv_schedule_args, change, word)

static void attn_schedule(void **state)
{
    (void)state;
    bench_make("attn_schedule d64 v64 h1 p32 l1 qf32 of32 if32 tight good:vi8,kf16:vf16");
    const uint32_t heads = w.image.maxima.kv_heads;
    const size_t least = sphkv_schedule_bytes(w.c.p.shape.batch, heads,
                                              ((const sphkv_schedule_args *)w.c.args.any)->parts);
    LIST(a.size -= 4, "size");
    LIST(a.reserved = 1, "reserved");
    LIST(a.batch++, "batch");
    LIST(a.batch--, "table.lists");
    LIST(a.parts = 0, "parts is 0");
    LIST(a.parts = SPHKV_MAX_PARTS + 1, "parts is 1025");
    LIST(a.kv_head_first = heads, "KV heads");
    LIST(a.kv_head_count = heads + 1, "KV heads");
    LIST(a.table.lists_per_seq = 7, "lists_per_seq");
    LIST(a.table.indptr = NULL, "indptr");
    LIST(a.table.refs = NULL, "refs");
    LIST(a.schedule = NULL, "schedule");
    LIST(a.schedule = (uint8_t *)a.schedule + 32, "schedule");
    LIST(a.schedule_bytes = least - 1, "schedule");
    LIST(a.workspace = NULL, "workspace");
    LIST(a.workspace_bytes--, "workspace");
    bench_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_decode),
        cmocka_unit_test(attn_schedule),
    };
    kernel_lab_open(&lab);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
