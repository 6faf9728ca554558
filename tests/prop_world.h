/* prop_world.h - one list of one KV head for the laws of attention (test_prop_attn.c,
 * test_prop_sums.c): a kernel, pages put as a test wants them, a run. Static inline:
 * included by those programs only.
 *
 * Numbers are chosen so that storing them rounds nothing where that would break a
 * law (small integers in f16); what is left is the rounding of f32 sums. */
#ifndef PROP_WORLD_H
#define PROP_WORLD_H

#include "kernel_cases.h"

#define PAGE 32u
#define PAGES 6u
#define TOKENS (PAGES * PAGE - 5) /* the last page is not full */
#define MAX_D 64u
#define MAX_H 4u
#define ROPE_ROWS 1024u

typedef struct rows {
    double k[PAGES * PAGE][MAX_D], v[PAGES * PAGE][MAX_D];
} rows;

/* A kernel, one list of one KV head, its queries and its output. */
typedef struct world {
    kernel_built built;
    sk_page_layout at[SK_MAX_TIERS];
    uint8_t *raw, *arena, *book;
    size_t bytes;
    uint64_t refs[4 * PAGES];
    uint32_t indptr[2];
    uint32_t parts;
    float scale;
    float q[MAX_H][MAX_D], out[MAX_H][MAX_D];
    float rope[ROPE_ROWS][MAX_D]; /* of tiers that keep keys before RoPE: the first */
    uint32_t rope_dims;           /* rope_dims of a row are used; 0 = D */
    uint32_t positions[PAGES * PAGE];
    bool sums; /* LSE and statistics of pages are asked for: */
    float lse[MAX_H], ml[4 * PAGES * MAX_H * 2];
} world;

static rows data; /* of the running test */

static inline void world_make_with(kernel_lab *lab, world *w, const kernel_row *row)
{
    sk_rng rng;
    memset(w, 0, sizeof *w);
    kernel_build(lab, row, &w->built);
    const sk_spec *s = &w->built.spec;
    assert_true(s->d <= MAX_D && s->dv <= MAX_D && s->heads_per_kv <= MAX_H && s->page == PAGE);
    uint32_t units = 0;
    for (uint32_t t = 0; t < s->ntiers; t++) {
        sk_page_layout_get(s, t, &w->at[t]);
        if (w->at[t].units > units) units = w->at[t].units;
    }
    w->bytes = (size_t)units * SPHKV_UNIT_BYTES * 2 * PAGES;
    w->raw = sk_calloc(1, w->bytes + 128);
    w->book = sk_calloc(1, sk_codebook_head_bytes(s) + 16);
    assert_true(w->raw && w->book);
    w->arena = (uint8_t *)(((uintptr_t)w->raw + 127) & ~(uintptr_t)127);
    w->parts = 1;
    sk_rng_seed(&rng, lab->seed);
    for (uint32_t i = 0; i < sk_codebook_head_bytes(s) / 2; i++) {
        uint16_t word = sk_f32_to_f16((float)(0.15 * sk_rng_normal(&rng)));
        memcpy(w->book + 2 * i, &word, 2);
    }
    for (uint32_t i = 0; i < MAX_H * MAX_D; i++)
        w->q[i / MAX_D][i % MAX_D] = (float)(2 * sk_rng_normal(&rng));
}

static inline void world_make(kernel_lab *lab, world *w, const char *spec)
{
    world_make_with(lab, w, &(kernel_row){spec, "", 0});
}

static inline void world_free(world *w)
{
    kernel_built_free(&w->built);
    sk_free(w->raw);
    sk_free(w->book);
}

/* Whole numbers, so that f16 holds them. */
static inline void data_fill(uint64_t seed)
{
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    for (uint32_t t = 0; t < PAGES * PAGE; t++)
        for (uint32_t i = 0; i < MAX_D; i++) {
            data.k[t][i] = (double)sk_rng_below(&rng, 9) - 4;
            data.v[t][i] = (double)sk_rng_below(&rng, 17) - 8;
        }
}

/* `count` rows in the order `order` into page `slot` of the arena. */
static inline uint64_t put_page(world *w, uint32_t slot, uint32_t tier, const uint32_t *order,
                         uint32_t count)
{
    const sk_spec *s = &w->built.spec;
    static double k[PAGE * MAX_D], v[PAGE * MAX_D];
    uint32_t unit = slot * (uint32_t)(w->bytes / SPHKV_UNIT_BYTES / (2 * PAGES));
    for (uint32_t t = 0; t < count; t++) {
        memcpy(k + (size_t)t * s->d, data.k[order[t]], s->d * sizeof *k);
        memcpy(v + (size_t)t * s->dv, data.v[order[t]], s->dv * sizeof *v);
    }
    uint8_t *page = w->arena + (size_t)unit * SPHKV_UNIT_BYTES;
    sk_encode_page_ref(s, tier, k, v, count, w->book, page);
    for (uint32_t t = 0; t < count && w->at[tier].pos_off != SK_NO_FIELD; t++)
        memcpy(page + w->at[tier].pos_off + t * 4, &w->positions[order[t]], 4);
    return sphkv_page_ref(unit, count, tier);
}

/* All tokens in the order `order`, pages spread evenly over the tiers. */
static inline void put_all(world *w, const uint32_t *order)
{
    for (uint32_t p = 0; p < PAGES; p++) {
        uint32_t n = (p + 1) * PAGE <= TOKENS ? PAGE : TOKENS - p * PAGE;
        w->refs[p] = put_page(w, p, p * w->built.spec.ntiers / PAGES, order + (size_t)p * PAGE, n);
    }
    w->indptr[1] = PAGES;
}

static inline void in_order(uint32_t order[TOKENS])
{
    for (uint32_t t = 0; t < TOKENS; t++)
        order[t] = t;
}

static inline void shuffle(uint32_t *x, uint32_t n, uint64_t seed)
{
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = sk_rng_below(&rng, i), t = x[i - 1];
        x[i - 1] = x[j];
        x[j] = t;
    }
}

/* Output into w->out, [heads][Dv] without gaps at the front of it; lse and ml. */
static inline void world_run(world *w)
{
    const sk_spec *s = &w->built.spec;
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 1,
                                 .pages_per_list = SK_COUNT(w->refs), .parts = w->parts};
    sphkv_attn_args a = {.size = sizeof a, .batch = 1, .q = w->q, .out = w->out, .scale = w->scale,
                         .arena = w->arena, .arena_bytes = w->bytes, .codebook = w->book,
                         .codebook_bytes = sk_codebook_head_bytes(s)};
    a.q_stride_head = a.out_stride_head = MAX_D;
    a.q_stride_seq = a.out_stride_seq = MAX_D * MAX_H;
    a.table = (sphkv_page_table){w->indptr, w->refs, 1, 1};
    a.rope = (sphkv_rope){&w->rope[0][0], ROPE_ROWS, w->rope_dims};
    a.lse = w->sums ? w->lse : NULL;
    a.page_ml = w->sums ? w->ml : NULL;
    sk_image image;
    sk_err err = {0};
    memset(w->out, 0xff, sizeof w->out);
    memset(w->lse, 0xff, sizeof w->lse);
    memset(w->ml, 0xff, sizeof w->ml);
    kernel_image(&w->built, w->built.code != NULL, &maxima, &image);
    sk_assert_ok(kernel_run(&image, &a, w->parts, &err), &err);
}

/* Rows of both agree, relative to the length of `want`. */
static inline void assert_rows(const world *w, float want[MAX_H][MAX_D], double tolerance)
{
    for (uint32_t h = 0; h < w->built.spec.heads_per_kv; h++) {
        double diff = kernel_difference(w->out[h], want[h], w->built.spec.dv);
        if (!(diff <= tolerance))
            fail_msg("head %u differs by %.3g (%.3g allowed)", h, diff, tolerance);
    }
}

#define MIX(class) "attn_decode d64 v64 h4 p32 l1 qf32 of32 if32 " class " good:vi8,kf16:vf16"
#define CODED_F16 "attn_decode d64 v64 h2 p32 l1 qf32 of32 if32 exact lean:vf16"
#define DENSE "attn_decode d64 v64 h3 p32 l0 qf32 of32 if32 exact kf16:vf16"

static inline void world_start(kernel_lab *lab, world *w, const char *spec)
{
    uint32_t order[TOKENS];
    world_make(lab, w, spec);
    data_fill(lab->seed + 3);
    in_order(order);
    put_all(w, order);
    w->scale = 0.03f;
    world_run(w);
}

#endif
