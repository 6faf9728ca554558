/* test_run_window.c - layers that see a part of the context, on kernels that know
 * of no windows: a sliding window as a ring of slots in dense pages, a chunk as a
 * list that begins at its first page; and a learned sink by the LSE. All against
 * plain attention in double over exactly the tokens that the layer may see. */
#include "sk_test.h"

#include <math.h>

#include "run_case.h"

enum { D = 64, HEADS = 2, P = 16, STEPS = 150, WINDOW = 40, CHUNK = 48 };
enum { PAGES = (STEPS + P - 1) / P + 1, PAGE_BYTES = P * D * 4 };

typedef struct layer {
    sphkv_plan *append, *attn;
    uint8_t *arena;
    void *work[2];
    size_t work_bytes[2];
    float k[STEPS][D], v[STEPS][D]; /* halves, so that the pages hold them exactly */
} layer;

static sphkv_plan *plan_of(sphkv_context *ctx, uint32_t kernel)
{
    const sphkv_spec_params spec = {.size = sizeof spec, .kernel = kernel, .head_dim = D,
                                    .heads_per_kv = kernel == SPHKV_ATTN_DECODE ? HEADS : 1,
                                    .page_tokens = P, .tiers = "kf16:vf16",
                                    .accuracy = SPHKV_EXACT};
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 1,
                                 .pages_per_list = PAGES, .parts = 1};
    sphkv_plan *plan = NULL;
    sphkv_error err = {0};
    sk_assert_ok(sphkv_plan_create(ctx, &spec, &maxima, &plan, &err), &err);
    return plan;
}

static void layer_make(sphkv_context *ctx, layer *l)
{
    sk_rng rng = sk_test_rng(11);
    sphkv_plan *plans[2];
    memset(l, 0, sizeof *l);
    plans[0] = l->append = plan_of(ctx, SPHKV_KV_APPEND);
    plans[1] = l->attn = plan_of(ctx, SPHKV_ATTN_DECODE);
    l->arena = aligned_alloc(128, (size_t)PAGES * PAGE_BYTES);
    assert_non_null(l->arena);
    memset(l->arena, 0, (size_t)PAGES * PAGE_BYTES);
    for (uint32_t i = 0; i < 2; i++) {
        l->work_bytes[i] = (sphkv_plan_workspace(plans[i]) + 127) / 128 * 128;
        l->work[i] = aligned_alloc(128, l->work_bytes[i] + 128);
        assert_non_null(l->work[i]);
        memset(l->work[i], 0, l->work_bytes[i]);
    }
    for (uint32_t t = 0; t < STEPS; t++)
        for (uint32_t i = 0; i < D; i++) {
            l->k[t][i] = sk_f16_to_f32(sk_f32_to_f16((float)sk_rng_normal(&rng)));
            l->v[t][i] = sk_f16_to_f32(sk_f32_to_f16((float)sk_rng_normal(&rng)));
        }
}

static void layer_free(layer *l)
{
    sphkv_plan_destroy(l->append);
    sphkv_plan_destroy(l->attn);
    free(l->arena);
    free(l->work[0]);
    free(l->work[1]);
}

/* Token t into a slot, counted through all pages. */
static void put(layer *l, uint32_t t, uint32_t slot)
{
    sphkv_error err = {0};
    const sphkv_append_item item = {.unit = slot / P * (PAGE_BYTES / SPHKV_UNIT_BYTES),
                                    .slot = (uint16_t)(slot % P), .count = 1};
    const sphkv_append_args a = {.size = sizeof a, .items_count = 1, .items = &item, .k = l->k[t],
                                 .v = l->v[t], .arena = l->arena,
                                 .arena_bytes = (size_t)PAGES * PAGE_BYTES,
                                 .workspace = l->work[0], .workspace_bytes = l->work_bytes[0]};
    sk_assert_ok(sphkv_run(l->append, &a, 0, 1), &err);
}

/* One step over `tokens` slots from page `first` on; lse may be NULL. */
static void attend(layer *l, const float *q, uint32_t first, uint32_t tokens, float *out,
                   float *lse)
{
    uint64_t refs[PAGES];
    uint32_t n = 0;
    sphkv_error err = {0};
    for (uint32_t left = tokens; left; left -= left < P ? left : P, n++)
        refs[n] = sphkv_page_ref((first + n) * (PAGE_BYTES / SPHKV_UNIT_BYTES),
                                 left < P ? left : P, 0);
    const uint32_t indptr[2] = {0, n};
    const sphkv_attn_args a = {.size = sizeof a, .batch = 1, .q = q, .out = out, .arena = l->arena,
                               .arena_bytes = (size_t)PAGES * PAGE_BYTES,
                               .table = {indptr, refs, 1, 1}, .lse = lse, .workspace = l->work[1],
                               .workspace_bytes = l->work_bytes[1]};
    sk_assert_ok(sphkv_run(l->attn, &a, 0, 1), &err);
}

/* Plain attention over tokens from .. to - 1, and a sink's logit per head beside
 * them (minus infinity: none). */
static void judge(const layer *l, const float *q, uint32_t from, uint32_t to, double sink,
                  const float *out)
{
    for (uint32_t h = 0; h < HEADS; h++) {
        double w[STEPS], most = sink, sum;
        for (uint32_t t = from; t < to; t++) {
            w[t] = 0;
            for (uint32_t i = 0; i < D; i++) w[t] += (double)q[h * D + i] * l->k[t][i];
            w[t] /= sqrt(D);
            most = fmax(most, w[t]);
        }
        sum = exp(sink - most);
        for (uint32_t t = from; t < to; t++) sum += w[t] = exp(w[t] - most);
        for (uint32_t i = 0; i < D; i++) {
            double want = 0;
            for (uint32_t t = from; t < to; t++) want += w[t] / sum * l->v[t][i];
            if (fabs(want - out[h * D + i]) > 1e-4)
                fail_msg("tokens %u to %u, head %u, %u: %g, not %g", from, to, h, i,
                         (double)out[h * D + i], want);
        }
    }
}

/* A window of 40 in pages of 16: three pages, the last half used; the newest row
 * takes the slot of the one that leaves. */
static void window_is_a_ring(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    sk_rng rng = sk_test_rng(12);
    layer l;
    layer_make(ctx, &l);
    for (uint32_t t = 0; t < STEPS; t++) {
        float q[HEADS * D], out[HEADS * D];
        for (uint32_t i = 0; i < HEADS * D; i++) q[i] = (float)sk_rng_normal(&rng);
        put(&l, t, t % WINDOW);
        attend(&l, q, 0, t < WINDOW ? t + 1 : WINDOW, out, NULL);
        judge(&l, q, t < WINDOW ? 0 : t + 1 - WINDOW, t + 1, -INFINITY, out);
    }
    layer_free(&l);
    sphkv_close(ctx);
}

/* A chunk of 48: token t sees those from the last multiple of 48 on. */
static void chunk_is_a_list(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    sk_rng rng = sk_test_rng(13);
    layer l;
    layer_make(ctx, &l);
    for (uint32_t t = 0; t < STEPS; t++) {
        float q[HEADS * D], out[HEADS * D];
        const uint32_t from = t / CHUNK * CHUNK;
        for (uint32_t i = 0; i < HEADS * D; i++) q[i] = (float)sk_rng_normal(&rng);
        put(&l, t, t);
        attend(&l, q, from / P, t + 1 - from, out, NULL);
        judge(&l, q, from, t + 1, -INFINITY, out);
    }
    layer_free(&l);
    sphkv_close(ctx);
}

/* A sink takes its share of the softmax and adds nothing. */
static void sink_by_the_lse(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    sk_rng rng = sk_test_rng(14);
    layer l;
    layer_make(ctx, &l);
    for (uint32_t t = 0; t < STEPS; t++) put(&l, t, t);
    for (uint32_t n = 1; n <= STEPS; n += 37)
        for (double sink = -20; sink <= 20; sink += 4) {
            float q[HEADS * D], out[HEADS * D], lse[HEADS];
            for (uint32_t i = 0; i < HEADS * D; i++) q[i] = (float)sk_rng_normal(&rng);
            attend(&l, q, 0, n, out, lse);
            for (uint32_t i = 0; i < HEADS * D; i++)
                out[i] = (float)(out[i] / (1 + exp(sink - (double)lse[i / D])));
            judge(&l, q, 0, n, sink, out);
        }
    layer_free(&l);
    sphkv_close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(window_is_a_ring, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(chunk_is_a_list, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(sink_by_the_lse, run_place_make, run_place_free),
    };
    if (!run_has_compiler()) return sk_test_skip("there is no compiler");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
