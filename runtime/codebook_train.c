/* codebook_train.c - codebooks from keys: k-means per KV head, tier and group.
 *
 * What is clustered is what will be coded: k_j / ||span||, of keys in the frame of the
 * set: without their mean, permuted and transformed where the spec says so. Codewords are unit
 * vectors where span = group. Of several codes per group each codebook is made of what
 * the ones before it leave of the keys. Keys are taken as the tiers code them, so a mix
 * that codes some tiers before RoPE and some after has no one kind of keys and
 * is refused. More than TRAIN_ROWS rows are thinned out evenly: beyond that the
 * codewords hardly move and the time only grows. */
#include <math.h>
#include <string.h>

#include "codebook.h"
#include "codebook_kmeans.h"

#define TRAIN_ROWS 16384u
#define TRAIN_ROUNDS 20u

/* Rows of one head and one part, and what is needed to fill its tables. */
typedef struct trainer {
    sphkv_codebook *cb;
    const float *keys; /* [rows][kv_heads][d] */
    size_t rows;       /* all */
    size_t used;       /* after thinning out */
    uint64_t seed;
    double *inverse; /* [used]: 1 / norm of the span in hand, 0 = all zero */
    float *framed;   /* [used][d]: keys of the head in hand, as they are coded */
    float *points;   /* [used][g] */
    float *base;     /* data-free codewords of the part */
    float *words;
} trainer;

static const float *key_row(const trainer *t, uint32_t head, size_t i)
{
    size_t row = (size_t)((unsigned __int128)i * t->rows / t->used);
    return t->keys + (row * t->cb->kv_heads + head) * t->cb->spec.d;
}

static sk_status check_keys(const float *keys, size_t rows, uint32_t kv_heads, uint32_t d,
                            sk_err *err)
{
    size_t n = rows * kv_heads * d;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(keys[i]))
            return sk_fail(err, SPHKV_EINVAL,
                           "keys: row %zu, KV head %zu, dimension %zu is not finite",
                           i / d / kv_heads, i / d % kv_heads, i % d);
    return SPHKV_OK;
}

static sk_status check_rope(const sphkv_codebook *cb, sk_err *err)
{
    bool seen[2] = {false, false};
    for (uint32_t i = 0; i < cb->spec.ntiers; i++)
        if (!sk_tier_is_dense(&cb->spec.tier[i])) seen[sk_tier_pre_rope(&cb->spec.tier[i])] = true;
    if (seen[0] && seen[1])
        return sk_fail(err, SPHKV_EINVAL,
                       "the mix codes some tiers before RoPE and some after: train them apart, "
                       "each with its own keys");
    return SPHKV_OK;
}

/* The mean of all rows, per KV head. */
static sk_status take_mean(trainer *t, sk_err *err)
{
    size_t n = (size_t)t->cb->kv_heads * t->cb->spec.d;
    double *sum = sk_calloc(n, sizeof *sum);
    if (!sum)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory training codebooks");
    for (size_t row = 0; row < t->rows; row++)
        for (size_t i = 0; i < n; i++)
            sum[i] += (double)t->keys[row * n + i];
    for (size_t i = 0; i < n; i++)
        t->cb->mean[i] = (float)(sum[i] / (double)t->rows);
    sk_free(sum);
    return SPHKV_OK;
}

/* Keys of a head as they will be coded; kernels take the mean off and transform in f32,
 * which rounds less than codewords do. */
static void frame_keys(trainer *t, uint32_t head)
{
    const uint32_t d = t->cb->spec.d;
    double x[1024]; /* the largest head, sk_spec_check */
    for (size_t i = 0; i < t->used; i++) {
        sk_codebook_frame_key(t->cb, head, key_row(t, head, i), x);
        for (uint32_t k = 0; k < d; k++)
            t->framed[i * d + k] = (float)x[k];
    }
}

/* Lengths of the span at `dim` of all rows. */
static void measure_spans(trainer *t, uint32_t dim, uint32_t dims)
{
    for (size_t i = 0; i < t->used; i++) {
        const float *row = t->framed + i * t->cb->spec.d + dim;
        double square = 0;
        for (uint32_t k = 0; k < dims; k++)
            square += (double)row[k] * (double)row[k];
        t->inverse[i] = square > 0 ? 1 / sqrt(square) : 0;
    }
}

/* The group at `dim` of all rows that have a length. */
static size_t gather(trainer *t, uint32_t dim, uint32_t g)
{
    size_t n = 0;
    for (size_t i = 0; i < t->used; i++) {
        const float *row = t->framed + i * t->cb->spec.d + dim;
        if (t->inverse[i] <= 0)
            continue;
        for (uint32_t k = 0; k < g; k++)
            t->points[n * g + k] = (float)((double)row[k] * t->inverse[i]);
        n++;
    }
    return n;
}

static sk_status train_part(trainer *t, const sk_codebook_part *part, uint32_t head)
{
    for (uint32_t j = 0; j < part->groups; j++) {
        uint32_t dim = j * part->g;
        uint64_t seed = sk_codebook_seed(t->seed, part, head, j);
        if (dim % part->span_dims == 0)
            measure_spans(t, part->dim0 + dim, part->span_dims);
        size_t n = gather(t, part->dim0 + dim, part->g);
        sk_kmeans job = {part->g, part->codes, part->unit, TRAIN_ROUNDS, seed};
        for (uint32_t i = 0; i < part->times; i++) {
            sk_status st = i > 0 ? sk_kmeans_rest(&job, t->words, t->points, n) : SPHKV_OK;
            sk_codebook_vary(part, t->base + (size_t)i * part->codes * part->g, seed, t->words);
            if (st == SPHKV_OK)
                st = sk_kmeans_run(&job, t->points, n, t->words);
            if (st != SPHKV_OK)
                return st;
            sk_codebook_words_round(t->cb, part, head, j * part->times + i, t->words);
        }
    }
    return SPHKV_OK;
}

static sk_status train_all(trainer *t)
{
    sk_arena arena = {0};
    sk_codebook_part part;
    sk_status st = SPHKV_OK;
    t->inverse = sk_arena_alloc(&arena, t->used * sizeof *t->inverse);
    t->framed = sk_arena_alloc(&arena, t->used * t->cb->spec.d * sizeof *t->framed);
    t->points = sk_arena_alloc(&arena, t->used * 32 * sizeof *t->points);
    t->base = sk_arena_alloc(&arena, SK_CODEBOOK_BASE_MAX * sizeof *t->base);
    t->words = sk_arena_alloc(&arena, SK_CODEBOOK_WORDS_MAX * sizeof *t->words);
    if (!t->inverse || !t->framed || !t->points || !t->base || !t->words)
        st = SPHKV_ENOMEM;
    for (uint32_t i = 0; st == SPHKV_OK && sk_codebook_part_get(t->cb, i, &part); i++) {
        st = sk_codebook_base(&part, sk_codebook_seed(t->seed, &part, UINT32_MAX, 0), t->base);
        for (uint32_t h = 0; st == SPHKV_OK && h < t->cb->kv_heads; h++) {
            frame_keys(t, h);
            st = train_part(t, &part, h);
        }
    }
    sk_arena_free(&arena);
    return st;
}

sphkv_status sphkv_codebook_train(const sphkv_spec_params *params, uint32_t kv_heads,
                                  const float *keys, size_t rows, uint64_t seed,
                                  sphkv_codebook **out, sphkv_error *err)
{
    sk_spec spec;
    sphkv_codebook *cb = NULL;
    if (!out)
        return sk_fail(err, SPHKV_EINVAL, "no place for the codebook set");
    *out = NULL;
    sk_status st = sk_spec_from_params(params, &spec, err);
    if (st == SPHKV_OK && (!keys || rows == 0))
        st = sk_fail(err, SPHKV_EINVAL, "no keys to train on");
    if (st == SPHKV_OK)
        st = sk_codebook_new(&spec, kv_heads, &cb, err);
    if (st == SPHKV_OK && rows > SIZE_MAX / 4096 / kv_heads / spec.d)
        st = sk_fail(err, SPHKV_EINVAL, "%zu rows of keys are more than memory can hold", rows);
    if (st == SPHKV_OK)
        st = check_rope(cb, err);
    if (st == SPHKV_OK)
        st = check_keys(keys, rows, kv_heads, spec.d, err);
    if (st == SPHKV_OK)
        st = sk_codebook_frame_make(cb, seed, err);
    if (st == SPHKV_OK) {
        trainer t = {.cb = cb, .keys = keys, .rows = rows, .seed = seed};
        t.used = rows < TRAIN_ROWS ? rows : TRAIN_ROWS;
        if (cb->mean)
            st = take_mean(&t, err);
        sk_codebook_frame_pack(cb);
        if (st == SPHKV_OK && (st = train_all(&t)) != SPHKV_OK)
            sk_fail(err, st, "out of memory training codebooks");
    }
    if (st == SPHKV_OK)
        *out = cb;
    else
        sphkv_codebook_free(cb);
    return st;
}
