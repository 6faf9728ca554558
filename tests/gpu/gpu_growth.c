/* gpu_growth.c - one captured graph of attn_decode, replayed while contexts grow: lists
 * of KV heads that differ tenfold, as a retention per head makes them, against lists
 * that are all the same and hold as many tokens. The graph and the plan are made once;
 * page tables are written between replays, as an engine does.
 *
 * A thousand steps add a token each to every list; at every hundredth the two tables
 * take turns, and the medians of their times are compared. Prints JSON. Exit code: 0,
 * 1 when a run failed or the uneven one took more than a tenth longer, 3 no GPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_time.h"
#include "json.h"
#include "layout.h"
#include "statistics.h"

#define BATCH 8u
#define KV_HEADS 8u
#define HEADS_PER_KV 4u
#define LISTS (BATCH * KV_HEADS)
#define PAGE 128u
#define STEPS 1000u
#define EVERY 100u
#define TURNS 15u
#define MEAN_TOKENS 8192u /* of a list, before it grows */

/* Everything a run reads, in memory of both. */
typedef struct world {
    sphkv_context *ctx;
    sphkv_plan *plan;
    sk_cuda *cuda;
    sk_cuda_clock clock;
    sk_cuda_graph graph;
    sphkv_attn_args args;
    uint32_t *indptr;
    uint64_t *refs;
    uint32_t pages_most, units;
    uint32_t tokens[2][LISTS]; /* even, uneven */
} world;

static const sphkv_spec_params spec = {.size = sizeof spec, .kernel = SPHKV_ATTN_DECODE,
                                       .head_dim = 128, .heads_per_kv = HEADS_PER_KV,
                                       .page_tokens = PAGE, .tiers = "good:vi8",
                                       .q_dtype = SPHKV_F16, .out_dtype = SPHKV_F16};

/* A tenth to ten tenths of the longest, the same sum as the even ones. */
static void deal(world *w)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < LISTS; i++) {
        w->tokens[1][i] = MEAN_TOKENS * 2 * (1 + (i * 7 + i / 9) % 10) / 11;
        sum += w->tokens[1][i];
    }
    for (uint32_t i = 0; i < LISTS; i++) w->tokens[0][i] = (uint32_t)(sum / LISTS);
}

/* The table of lists of so many tokens: pages one behind the other, as they lie. */
static void write_table(world *w, const uint32_t *tokens)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < LISTS; i++) {
        w->indptr[i] = at;
        for (uint32_t t = 0; t < tokens[i]; t += PAGE, at++) {
            const uint32_t n = tokens[i] - t < PAGE ? tokens[i] - t : PAGE;
            const uint32_t page = (uint32_t)((uint64_t)at * 7919 % w->pages_most);
            w->refs[at] = sphkv_page_ref(1 + page * w->units, n, 0);
        }
    }
    w->indptr[LISTS] = at;
}

/* Codes by chance; radii and scales that keep sums finite. */
static void fill_page(const sk_spec *s, uint8_t *page, sk_rng *rng)
{
    sk_page_layout lay;
    sk_page_layout_get(s, 0, &lay);
    for (uint32_t i = 0; i < lay.bytes; i += 4) {
        const uint32_t x = (uint32_t)sk_rng_u64(rng);
        memcpy(page + i, &x, 4);
    }
    for (uint32_t t = 0; t < PAGE; t++) memcpy(page + lay.seg[0].radius_off + t * 2, "\x00\x3c", 2);
    for (uint32_t c = 0; c < lay.cp; c++) memcpy(page + lay.vscale_off + c * 2, "\x00\x20", 2);
}

static sk_status take(world *w, size_t bytes, void *out, sk_err *err)
{
    void *at = NULL;
    const sk_status st = sk_cuda_memory_make(w->cuda, bytes, &at, err);
    if (st == SPHKV_OK) memset(at, 0, bytes);
    memcpy(out, &at, sizeof at);
    return st;
}

static sk_status make_inputs(world *w, sk_err *err)
{
    sphkv_codebook *book = NULL;
    sk_spec s;
    sk_rng rng;
    size_t book_bytes = 0;
    uint16_t *q;
    sk_rng_seed(&rng, 1);
    sk_status st = sk_spec_from_params(&spec, &s, err);
    sk_page_layout lay;
    sk_page_layout_get(&s, 0, &lay);
    w->units = lay.units;
    w->pages_most = LISTS * ((MEAN_TOKENS * 2 + STEPS) / PAGE + 2);
    sphkv_attn_args *a = &w->args;
    *a = (sphkv_attn_args){.size = sizeof *a, .batch = BATCH};
    a->arena_bytes = (1 + (size_t)w->pages_most * w->units) * SPHKV_UNIT_BYTES;
    a->workspace_bytes = sphkv_plan_workspace(w->plan);
    if (st == SPHKV_OK) st = take(w, a->arena_bytes, &a->arena, err);
    if (st == SPHKV_OK) st = take(w, (LISTS + 1) * 4, &w->indptr, err);
    if (st == SPHKV_OK) st = take(w, (size_t)w->pages_most * 8, &w->refs, err);
    if (st == SPHKV_OK) st = take(w, (size_t)LISTS * HEADS_PER_KV * 128 * 2, &q, err);
    if (st == SPHKV_OK) st = take(w, (size_t)LISTS * HEADS_PER_KV * 128 * 2, &a->out, err);
    if (st == SPHKV_OK) st = take(w, a->workspace_bytes, &a->workspace, err);
    if (st == SPHKV_OK) st = sphkv_codebook_default(&spec, KV_HEADS, 1, &book, err);
    if (st == SPHKV_OK) {
        const void *data = sphkv_codebook_data(book, NULL, &book_bytes);
        st = take(w, book_bytes, &a->codebook, err);
        if (st == SPHKV_OK) memcpy((void *)(uintptr_t)a->codebook, data, book_bytes);
    }
    sphkv_codebook_free(book);
    if (st != SPHKV_OK) return st;
    a->codebook_bytes = book_bytes;
    a->q = q;
    a->table = (sphkv_page_table){w->indptr, w->refs, LISTS, KV_HEADS};
    for (uint32_t i = 0; i < LISTS * HEADS_PER_KV * 128; i++)
        q[i] = sk_f32_to_f16((float)sk_rng_normal(&rng));
    for (uint32_t i = 0; i < w->pages_most; i++)
        fill_page(&s, (uint8_t *)(uintptr_t)a->arena + (1 + (size_t)i * w->units) * SPHKV_UNIT_BYTES,
                  &rng);
    return SPHKV_OK;
}

static sk_status enqueue(void *user, void *stream, sk_err *err)
{
    world *w = user;
    w->args.stream = stream;
    const sphkv_status st = sphkv_run(w->plan, &w->args, 0, 1);
    return st == SPHKV_OK ? st : sk_fail(err, st, "sphkv_run: %s", sphkv_status_text(st));
}

static sk_status set_up(world *w, const char *device, sk_err *err)
{
    const sphkv_open_params open = {.size = sizeof open, .device = device};
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = BATCH, .kv_heads = KV_HEADS,
                                 .pages_per_list = (MEAN_TOKENS * 2 + STEPS) / PAGE + 2,
                                 .context = MEAN_TOKENS};
    sk_status st = sk_cuda_open(device, &w->cuda, err);
    if (st == SPHKV_OK) st = sphkv_open(&open, &w->ctx, err);
    if (st == SPHKV_OK) st = sphkv_plan_create(w->ctx, &spec, &maxima, &w->plan, err);
    if (st == SPHKV_OK) st = make_inputs(w, err);
    if (st == SPHKV_OK) st = sk_cuda_clock_make(w->cuda, &w->clock, err);
    if (st != SPHKV_OK) return st;
    deal(w);
    write_table(w, w->tokens[0]);
    return sk_cuda_graph_capture(&w->clock, enqueue, w, &w->graph, err);
}

/* Time of one replay with these lists; the first, which brings the table over, is
 * not counted. */
static sk_status time_of(world *w, const uint32_t *tokens, double *us, sk_err *err)
{
    sk_status st = sk_cuda_clock_wait(&w->clock, err);
    write_table(w, tokens);
    if (st == SPHKV_OK) st = sk_cuda_graph_time(&w->clock, &w->graph, 1, us, err);
    return st == SPHKV_OK ? sk_cuda_graph_time(&w->clock, &w->graph, 4, us, err) : st;
}

static sk_status compare(world *w, double median[2], sk_err *err)
{
    double us[2][TURNS];
    for (uint32_t turn = 0; turn < TURNS; turn++)
        for (uint32_t k = 0; k < 2; k++) {
            const uint32_t which = (turn + k) % 2;
            const sk_status st = time_of(w, w->tokens[which], &us[which][turn], err);
            if (st != SPHKV_OK) return st;
        }
    for (uint32_t k = 0; k < 2; k++) median[k] = sk_median(us[k], TURNS);
    return SPHKV_OK;
}

static sk_status grow(world *w, sk_json *j, double *worst, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t step = 0; step <= STEPS && st == SPHKV_OK; step++) {
        double median[2], us;
        if (step % EVERY == 0) {
            st = compare(w, median, err);
            if (st != SPHKV_OK) break;
            const double ratio = median[1] / median[0];
            if (ratio > *worst) *worst = ratio;
            sk_json_open(j, NULL, '{');
            sk_json_u64(j, "step", step);
            sk_json_f64(j, "even_us", median[0]);
            sk_json_f64(j, "uneven_us", median[1]);
            sk_json_f64(j, "ratio", ratio);
            sk_json_close(j, '}');
        } else {
            st = time_of(w, w->tokens[1], &us, err);
        }
        for (uint32_t i = 0; i < LISTS; i++) {
            w->tokens[0][i]++;
            w->tokens[1][i]++;
        }
    }
    return st;
}

int main(int argc, char **argv)
{
    static world w;
    const char *device = argc > 2 && strcmp(argv[1], "--device") == 0 ? argv[2] : "cuda:0";
    sk_err err = {0};
    sk_json j = {0};
    double worst = 0;
    sk_status st = set_up(&w, device, &err);
    if (st == SPHKV_EDEVICE || st == SPHKV_ECOMPILE) {
        fprintf(stderr, "gpu_growth: %s\n", err.message);
        return 3;
    }
    sk_json_open(&j, NULL, '{');
    if (st == SPHKV_OK) sk_json_text(&j, "plan", sphkv_plan_describe(w.plan));
    sk_json_open(&j, "steps", '[');
    if (st == SPHKV_OK) st = grow(&w, &j, &worst, &err);
    sk_json_close(&j, ']');
    sk_json_f64(&j, "worst_ratio", worst);
    if (st != SPHKV_OK) sk_json_text(&j, "why", err.message);
    sk_json_close(&j, '}');
    if (j.text.s) printf("%s\n", j.text.s);
    sk_text_free(&j.text);
    sk_cuda_graph_free(&w.clock, &w.graph);
    sk_cuda_clock_free(&w.clock);
    sphkv_plan_destroy(w.plan);
    sphkv_close(w.ctx);
    sk_cuda_release(w.cuda);
    if (st != SPHKV_OK) fprintf(stderr, "gpu_growth: %s\n", err.message);
    return st != SPHKV_OK || worst > 1.1 ? 1 : 0;
}
