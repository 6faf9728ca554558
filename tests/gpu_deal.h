/* gpu_deal.h - attn_decode on a GPU over tables of the test's own, judged row by row and
 * page by page: what the tests share that look at how blocks share the work of a run.
 * Every row of the run, every statistic, and nothing else, is what the double reference
 * says. Static inline: included by several programs. */
#ifndef GPU_DEAL_H
#define GPU_DEAL_H

#include <math.h>

#include "attn_gpu.h"
#include "gpu_case.h"
#include "work.h"

#define ROOM 64u /* longest list */

/* Of a plan, and the device's multiprocessors. */
typedef struct deal_shape {
    uint32_t batch, kv_heads, sms;
    bool shared;
} deal_shape;

static inline deal_shape any_shape(sk_rng *rng, uint32_t k)
{
    static const uint32_t sms[] = {1, 2, 3, 7, 24, 60};
    deal_shape s = {.batch = 1 + sk_rng_below(rng, 5), .sms = sms[k % SK_COUNT(sms)]};
    s.kv_heads = 1 + sk_rng_below(rng, 4);
    s.shared = k / 6 % 2;
    return s;
}

/* Pages, queries and codebooks of a case, under tables of our own. */
typedef struct world {
    const gpu_built *b;
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

static inline void world_make(world *w, const gpu_built *b, const deal_shape *shape, uint64_t seed)
{
    const uint32_t batch = shape->batch, kv_heads = shape->kv_heads;
    const bool shared = shape->shared;
    sk_err err = {0};
    memset(w, 0, sizeof *w);
    w->b = b;
    w->kv_heads = kv_heads;
    w->lists = batch * (shared ? 1 : kv_heads);
    sk_case_params p = {.spec = w->b->spec, .input = SK_IN_S1, .seed = seed, .copies = 1};
    p.lists_per_seq = shared ? 1 : kv_heads;
    p.shape = (sk_shape){.batch = batch, .kv_heads = kv_heads, .context = 5 * w->b->spec.page - 3};
    sk_assert_ok(sk_case_make(&p, &w->c, &err), &err);
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = batch, .kv_heads = kv_heads,
                                 .pages_per_list = ROOM, .parts = 1};
    gpu_image(w->b, &maxima, shape->sms, &w->image);
    w->raw = sk_calloc(1, w->image.workspace + 128);
    w->indptr = sk_calloc(w->lists + 1, sizeof *w->indptr);
    w->refs = sk_calloc((size_t)w->lists * ROOM + 1, sizeof *w->refs);
    const size_t pairs = (shared ? kv_heads : 1) * w->b->spec.heads_per_kv;
    w->ml_words = ((size_t)w->lists * ROOM + 1) * pairs * 2;
    w->page_ml = sk_calloc(w->ml_words, sizeof *w->page_ml);
    assert_true(w->raw && w->indptr && w->refs && w->page_ml);
    w->a = w->c.args.attn[0];
    w->a.page_ml = w->page_ml;
    w->a.table = (sphkv_page_table){w->indptr, w->refs, w->lists, shared ? 1 : kv_heads};
    w->a.workspace = (void *)(((uintptr_t)w->raw + 127) & ~(uintptr_t)127);
    w->a.workspace_bytes = w->image.workspace;
}

static inline void world_free(world *w)
{
    sk_case_free(&w->c);
    sk_free(w->raw);
    sk_free(w->indptr);
    sk_free(w->refs);
    sk_free(w->page_ml);
}

/* Any pages of the case, sorted by tier; now and then one that names fewer tokens. */
static inline void fill_list(world *w, sk_rng *rng, uint64_t *to, uint32_t n)
{
    const sphkv_page_table *t = &w->c.args.attn[0].table;
    const uint32_t have = t->indptr[t->lists] - t->indptr[0];
    for (uint32_t i = 0; i < n; i++) {
        uint64_t ref = t->refs[t->indptr[0] + sk_rng_below(rng, have)];
        if (sk_rng_below(rng, 8) == 0) /* a page of which the list has a part, or nothing */
            ref = sphkv_page_ref(sphkv_ref_unit(ref), sphkv_ref_tokens(ref) / (1 + i % 3) - i % 2,
                                 sphkv_ref_tier(ref));
        uint32_t at = i;
        for (; at > 0 && sphkv_ref_tier(to[at - 1]) > sphkv_ref_tier(ref); at--)
            to[at] = to[at - 1];
        to[at] = ref;
    }
}

/* Pages of a list: empty, few, or many, so that some are ten times others. */
static inline uint32_t any_length(sk_rng *rng)
{
    switch (sk_rng_below(rng, 4)) {
    case 0: return 0;
    case 1: return 1 + sk_rng_below(rng, ROOM);
    default: return sk_rng_below(rng, 5);
    }
}

static inline void fill_table(world *w, sk_rng *rng, bool empty)
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

static inline void spoil(world *w)
{
    sk_case_poison(&w->c, 0);
    memset(w->page_ml, 0xff, w->ml_words * sizeof *w->page_ml);
}

static inline bool same(const world *w, double got, double want, double scale)
{
    const double near = w->b->spec.accuracy == SPHKV_EXACT ? 2e-5 : 5e-3;
    return got == want || fabs(got - want) <= near * (1 + scale);
}

static inline void judge_rows(const world *w, const sk_attn_truth *t, const char *where)
{
    const uint32_t hpk = w->b->spec.heads_per_kv, heads = w->kv_heads * hpk, dv = w->b->spec.dv;
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
            fail_msg("%s: sequence %u, head %u: lse %g, not %g", where, seq, head, lse,
                     t->lse[row]);
    }
}

static inline void judge_pages(const world *w, const sk_attn_truth *t, const char *where)
{
    for (size_t i = 0; i < w->ml_words; i++) {
        const double got = (double)w->page_ml[i], want = t->page_ml[i];
        if (isnan(want) ? !isnan(got) : !same(w, got, want, fabs(want)))
            fail_msg("%s: word %zu of page statistics: %g, not %g", where, i, got, want);
    }
}

static inline void judge(const world *w, const char *where)
{
    const size_t rows = (size_t)w->a.batch * w->kv_heads * w->b->spec.heads_per_kv;
    sk_err err = {0};
    sk_attn_truth t = {.out = sk_calloc(rows * w->b->spec.dv + 1, sizeof *t.out),
                       .mag = sk_calloc(rows * w->b->spec.dv + 1, sizeof *t.mag),
                       .lse = sk_calloc(rows + 1, sizeof *t.lse),
                       .page_ml = sk_calloc(w->ml_words, sizeof *t.page_ml)};
    assert_true(t.out && t.mag && t.lse && t.page_ml);
    for (size_t i = 0; i < w->ml_words; i++) t.page_ml[i] = NAN;
    sk_assert_ok(sk_attn_reference(&w->b->spec, &w->a, w->kv_heads, &t, &err), &err);
    judge_rows(w, &t, where);
    judge_pages(w, &t, where);
    sk_free(t.out);
    sk_free(t.mag);
    sk_free(t.lse);
    sk_free(t.page_ml);
}

static inline void run(world *w, const char *where)
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
static inline const char *kind_row(uint32_t kind, uint32_t blocks, bool separate, char schedule[80])
{
    snprintf(schedule, 80, "%sblocks=%u,merge=%s", kinds[kind].schedule, blocks,
             separate ? "separate" : "last");
    return kinds[kind].spec;
}

/* The work list of this run, by the CPU's attn_schedule. */
static inline void make_list(world *w, uint32_t parts)
{
    sk_err err = {0};
    sk_target cpu = {.backend = SK_BACKEND_CPU, .vector_bits = 256};
    sk_spec spec = w->b->spec;
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

static inline void any_run(sk_rng *rng, world *w, uint32_t turn, const char *where)
{
    fill_table(w, rng, turn % 16 == 3);
    w->a.kv_head_first = turn % 3 == 1 ? sk_rng_below(rng, w->kv_heads) : 0;
    w->a.kv_head_count = 1 + sk_rng_below(rng, w->kv_heads - w->a.kv_head_first);
    if (turn % 3 == 0) w->a.kv_head_count = w->kv_heads;
    w->a.schedule = NULL;
    if (turn % 4 == 2) make_list(w, 1 + sk_rng_below(rng, 6));
    run(w, where);
}

#endif
