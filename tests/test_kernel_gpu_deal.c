/* test_kernel_gpu_deal.c - how blocks of attn_decode on a GPU share the pages of a run:
 * tables by chance, from empty to very uneven, over all KV heads or some, more blocks
 * than pages, work lists; a plan's workspace used again and again while lists grow.
 * Every row of the run, every statistic, and nothing else, is what the double reference
 * says; two blocks that write a row are a race to the interpreter. */
#include "sk_test.h"

#include <math.h>

#include "attn_gpu.h"
#include "gpu_case.h"
#include "work.h"

#define ROOM 64u /* longest list */

/* Pages, queries and codebooks of a case, under tables of our own. */
typedef struct world {
    gpu_built b;
    sk_case c;
    sk_image image;
    sphkv_attn_args a;
    uint32_t kv_heads, lists, *indptr;
    uint64_t *refs;
    float *page_ml;
    size_t ml_words;
    void *raw;
    _Alignas(64) uint8_t list[1 << 13]; /* work list */
} world;

static void world_make(world *w, const gpu_row *row, bool shared, uint32_t batch, uint32_t kv_heads,
                       uint32_t sms, uint64_t seed)
{
    sk_err err = {0};
    memset(w, 0, sizeof *w);
    gpu_build(row, &w->b);
    w->kv_heads = kv_heads;
    w->lists = batch * (shared ? 1 : kv_heads);
    sk_case_params p = {.spec = w->b.spec, .input = SK_IN_S1, .seed = seed, .copies = 1};
    p.lists_per_seq = shared ? 1 : kv_heads;
    p.shape = (sk_shape){.batch = batch, .kv_heads = kv_heads, .context = 5 * w->b.spec.page - 3};
    sk_assert_ok(sk_case_make(&p, &w->c, &err), &err);
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = batch, .kv_heads = kv_heads,
                                 .pages_per_list = ROOM, .parts = 1};
    gpu_image(&w->b, &maxima, sms, &w->image);
    w->raw = sk_calloc(1, w->image.workspace + 128);
    w->indptr = sk_calloc(w->lists + 1, sizeof *w->indptr);
    w->refs = sk_calloc((size_t)w->lists * ROOM + 1, sizeof *w->refs);
    w->ml_words = ((size_t)w->lists * ROOM + 1) * (shared ? kv_heads : 1) * w->b.spec.heads_per_kv * 2;
    w->page_ml = sk_calloc(w->ml_words, sizeof *w->page_ml);
    assert_true(w->raw && w->indptr && w->refs && w->page_ml);
    w->a = w->c.args.attn[0];
    w->a.page_ml = w->page_ml;
    w->a.table = (sphkv_page_table){w->indptr, w->refs, w->lists, shared ? 1 : kv_heads};
    w->a.workspace = (void *)(((uintptr_t)w->raw + 127) & ~(uintptr_t)127);
    w->a.workspace_bytes = w->image.workspace;
}

static void world_free(world *w)
{
    sk_case_free(&w->c);
    gpu_built_free(&w->b);
    sk_free(w->raw);
    sk_free(w->indptr);
    sk_free(w->refs);
    sk_free(w->page_ml);
}

/* Any pages of the case, sorted by tier; now and then one that names fewer tokens. */
static void fill_list(world *w, sk_rng *rng, uint64_t *to, uint32_t n)
{
    const sphkv_page_table *t = &w->c.args.attn[0].table;
    const uint32_t have = t->indptr[t->lists] - t->indptr[0];
    for (uint32_t i = 0; i < n; i++) {
        uint64_t ref = t->refs[t->indptr[0] + sk_rng_below(rng, have)];
        if (sk_rng_below(rng, 8) == 0) /* a page of which the list has a part, or nothing */
            ref = sphkv_page_ref(sphkv_ref_unit(ref), sphkv_ref_tokens(ref) / (1 + i % 3) - i % 2,
                                 sphkv_ref_tier(ref));
        uint32_t at = i;
        for (; at > 0 && sphkv_ref_tier(to[at - 1]) > sphkv_ref_tier(ref); at--) to[at] = to[at - 1];
        to[at] = ref;
    }
}

/* Pages of a list: empty, few, or many, so that some are ten times others. */
static uint32_t any_length(sk_rng *rng)
{
    switch (sk_rng_below(rng, 4)) {
    case 0: return 0;
    case 1: return 1 + sk_rng_below(rng, ROOM);
    default: return sk_rng_below(rng, 5);
    }
}

static void fill_table(world *w, sk_rng *rng, bool empty)
{
    uint32_t at = sk_rng_below(rng, 2); /* a table need not begin at reference 0 */
    w->indptr[0] = at;
    for (uint32_t l = 0; l < w->lists; l++) {
        const uint32_t n = empty ? 0 : any_length(rng);
        const uint32_t room = ROOM * w->lists - at, some = n < room ? n : room;
        fill_list(w, rng, w->refs + at, some);
        w->indptr[l + 1] = at += some;
    }
}

/* ---- running and judging ------------------------------------------------------------ */

static void spoil(world *w)
{
    sk_case_poison(&w->c, 0);
    memset(w->page_ml, 0xff, w->ml_words * sizeof *w->page_ml);
}

static bool same(const world *w, double got, double want, double scale)
{
    const double near = w->b.spec.accuracy == SPHKV_EXACT ? 2e-5 : 5e-3;
    return got == want || fabs(got - want) <= near * (1 + scale);
}

static void judge_rows(const world *w, const sk_attn_truth *t, const char *where)
{
    const uint32_t hpk = w->b.spec.heads_per_kv, heads = w->kv_heads * hpk, dv = w->b.spec.dv;
    for (uint32_t row = 0; row < w->a.batch * heads; row++) {
        const uint32_t seq = row / heads, head = row % heads, kv = head / hpk;
        const bool ours = kv >= w->a.kv_head_first && kv < w->a.kv_head_first + w->a.kv_head_count;
        const float *out = (const float *)w->a.out + (size_t)seq * w->a.out_stride_seq
                           + (size_t)head * w->a.out_stride_head;
        const double lse = (double)w->a.lse[(size_t)seq * w->a.lse_stride_seq + head];
        for (uint32_t i = 0; i < dv; i++) {
            const size_t at = (size_t)row * dv + i;
            if (ours ? !same(w, (double)out[i], t->out[at], t->mag[at]) : !isnan(out[i]))
                fail_msg("%s: sequence %u, head %u, channel %u: %g, not %g", where, seq, head, i,
                         (double)out[i], ours ? t->out[at] : (double)NAN);
        }
        if (ours ? !same(w, lse, t->lse[row], fabs(t->lse[row])) : !isnan(lse))
            fail_msg("%s: sequence %u, head %u: lse %g, not %g", where, seq, head, lse, t->lse[row]);
    }
}

static void judge_pages(const world *w, const sk_attn_truth *t, const char *where)
{
    for (size_t i = 0; i < w->ml_words; i++) {
        const double got = (double)w->page_ml[i], want = t->page_ml[i];
        if (isnan(want) ? !isnan(got) : !same(w, got, want, fabs(want)))
            fail_msg("%s: word %zu of page statistics: %g, not %g", where, i, got, want);
    }
}

static void judge(const world *w, const char *where)
{
    const size_t rows = (size_t)w->a.batch * w->kv_heads * w->b.spec.heads_per_kv;
    sk_err err = {0};
    sk_attn_truth t = {.out = sk_calloc(rows * w->b.spec.dv + 1, sizeof *t.out),
                       .mag = sk_calloc(rows * w->b.spec.dv + 1, sizeof *t.mag),
                       .lse = sk_calloc(rows + 1, sizeof *t.lse),
                       .page_ml = sk_calloc(w->ml_words, sizeof *t.page_ml)};
    assert_true(t.out && t.mag && t.lse && t.page_ml);
    for (size_t i = 0; i < w->ml_words; i++) t.page_ml[i] = NAN;
    sk_assert_ok(sk_attn_reference(&w->b.spec, &w->a, w->kv_heads, &t, &err), &err);
    judge_rows(w, &t, where);
    judge_pages(w, &t, where);
    sk_free(t.out);
    sk_free(t.mag);
    sk_free(t.lse);
    sk_free(t.page_ml);
}

static void run(world *w, const char *where)
{
    sk_err err = {0};
    spoil(w);
    if (w->image.form->run(&w->image, &w->a, 0, 1, &err) != SPHKV_OK)
        fail_msg("%s: %s", where, err.message);
    judge(w, where);
    sk_assert_ok(sk_case_intact(&w->c, 0, &err), &err);
}

/* ---- chance --------------------------------------------------------------------------- */

#define A(size, tiers) "attn_decode " size " l0 qf32 of32 if32 " tiers

/* By one warp, whose sums are exact, and by tiles of several. */
static const struct {
    const char *spec, *schedule;
} kinds[] = {
    {A("d16 v16 h2 p16", "exact kf16:vf16"), ""},
    {A("d32 v32 h3 p16", "tight g2b4r16sD:vi8,kf16:vf16"), "form=tile,warps=2,slab=16,"},
    {A("d16 v16 h2 p16", "exact g2b4r16sD:vi8,kf16:vf16"), ""},
    {A("d32 v48 h5 p16", "tight kf16:vf16"), "form=tile,warps=4,slab=16,"},
    {A("d16 v16 h1 p16", "exact kf16:vf16,g4b4r8:vi4,ki8:vf8"), ""},
    {A("d32 v32 h1 p32", "tight kf16:vf16,g4b4r16sD:vi4,ki8:vf8"), "form=tile,warps=1,slab=32,"},
};

/* Spec of a kind, and its schedule with so many blocks, joined either way. */
static const char *kind_row(uint32_t kind, uint32_t blocks, bool separate, char schedule[80])
{
    snprintf(schedule, 80, "%sblocks=%u,merge=%s", kinds[kind].schedule, blocks,
             separate ? "separate" : "last");
    return kinds[kind].spec;
}

/* The work list of this run, by the CPU's attn_schedule. */
static void make_list(world *w, uint32_t parts)
{
    sk_err err = {0};
    sk_target cpu = {.backend = SK_BACKEND_CPU, .vector_bits = 256};
    sk_spec spec = w->b.spec;
    gpu_built b;
    sk_text text = {0};
    sk_image image;
    spec.kernel = SPHKV_ATTN_SCHEDULE;
    sk_spec_print(&spec, &text);
    gpu_build_for(text.s, "", &cpu, &b);
    gpu_image(&b, &w->image.maxima, 1, &image);
    uint8_t *raw = sk_calloc(1, image.workspace + 64);
    assert_non_null(raw);
    const sphkv_schedule_args args = {
        .size = sizeof args, .batch = w->a.batch, .table = w->a.table, .parts = parts,
        .kv_head_first = w->a.kv_head_first, .kv_head_count = w->a.kv_head_count,
        .schedule = w->list, .schedule_bytes = sizeof w->list,
        .workspace = raw + (64 - (uintptr_t)raw % 64) % 64, .workspace_bytes = image.workspace};
    sk_assert_ok(image.form->run(&image, &args, 0, 1, &err), &err);
    sk_free(raw);
    sk_text_free(&text);
    gpu_built_free(&b);
    w->a.schedule = w->list;
    w->a.schedule_bytes = sizeof w->list;
}

static void any_run(sk_rng *rng, world *w, uint32_t turn, const char *where)
{
    fill_table(w, rng, turn % 16 == 3);
    w->a.kv_head_first = turn % 3 == 1 ? sk_rng_below(rng, w->kv_heads) : 0;
    w->a.kv_head_count = 1 + sk_rng_below(rng, w->kv_heads - w->a.kv_head_first);
    if (turn % 3 == 0) w->a.kv_head_count = w->kv_heads;
    w->a.schedule = NULL;
    if (turn % 4 == 2) make_list(w, 1 + sk_rng_below(rng, 6));
    run(w, where);
}

static void tables_by_chance(void **state)
{
    static const uint32_t sms[] = {1, 2, 3, 7, 24, 60};
    (void)state;
    const uint64_t seed = sk_test_seed(11);
    const uint32_t cases = sk_test_cases(60);
    for (uint32_t n = 0; n < cases; n++) {
        sk_rng rng;
        world w;
        sk_rng_seed(&rng, seed + n);
        const char *where = sk_test_repeat(seed + n);
        const uint32_t k = (uint32_t)((seed + n) % 1000);
        char schedule[80];
        const char *spec = kind_row(k % SK_COUNT(kinds), 1u << k / 6 % 4, k / 9 % 3 == 0, schedule);
        world_make(&w, &(gpu_row){spec, schedule, 90}, k / 6 % 2, 1 + sk_rng_below(&rng, 5), 1 + sk_rng_below(&rng, 4),
                   sms[k % SK_COUNT(sms)], seed + n);
        for (uint32_t turn = 0; turn < 2; turn++) any_run(&rng, &w, k + turn, where);
        world_free(&w);
    }
}

/* Many sequences, so that searches take several steps, and sums several vectors. */
static void many_sequences(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(12);
    for (uint32_t n = 0; n < 8; n++) {
        world w;
        char schedule[80];
        const char *spec = kind_row(n % 2, 1, n == 3, schedule);
        world_make(&w, &(gpu_row){spec, schedule, 90}, n / 2 % 2, 150, 3, 9, n);
        fill_table(&w, &rng, false);
        w.a.kv_head_first = n / 4;
        w.a.kv_head_count = n / 4 ? 1 : 3;
        run(&w, "many sequences");
        world_free(&w);
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
    char schedule[80];
    const char *spec = kind_row(kind, 2, kind == 1, schedule);
    sk_rng_seed(&rng, seed);
    world_make(&w, &(gpu_row){spec, schedule, 90}, false, 2, 3, 6, seed);
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
        const gpu_row row = {kinds[2].spec, "blocks=1", 90};
        world_make(&w, &row, false, 2, 2, 4, n);
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
    const gpu_row row = {kinds[2].spec, "blocks=2", 90};
    world_make(&w, &row, false, 2, 2, 3, 5);
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_by_chance),          cmocka_unit_test(many_sequences),
        cmocka_unit_test(contexts_grow),             cmocka_unit_test(foreign_lists_are_ignored),
        cmocka_unit_test(arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
