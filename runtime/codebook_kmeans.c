/* codebook_kmeans.c - k-means++ and Lloyd.
 *
 * Assignment is nearly all of the time: n * codes * g multiplies an iteration.
 * Lanes are codes (tables transposed, [dim][code]), so a vector holds partial
 * sums of different codes and every sum is taken in the order of dimensions:
 * vector width changes the speed and no bit. Scores are x.c - |c|^2/2, the
 * nearest codeword has the largest; with unit codewords the second part is the
 * same for all and left out. Ties go to the lowest code, as in coding. */
#include "codebook_kmeans.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* 16 bytes: what every 64-bit machine has; wider ones spill without AVX. */
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
#define LANES 4u
#define BLOCK 16u /* codes that are scored at once: four vectors */

typedef struct workshop {
    const sk_kmeans *job;
    const float *points;
    size_t n;
    float *words;
    uint32_t padded;  /* codes rounded up to BLOCK */
    float *table;     /* [g][padded], 32-byte aligned */
    float *bias;      /* [padded]; -FLT_MAX in the padding */
    uint32_t *choice; /* [n] */
    float *error;     /* [n]: squared distance to the chosen codeword */
    double *sum;      /* [codes][g] */
    size_t *count;    /* [codes] */
    float *square;    /* [n]: |x|^2 */
} workshop;

static float dot(const float *a, const float *b, uint32_t g)
{
    float s = 0;
    for (uint32_t i = 0; i < g; i++)
        s += a[i] * b[i];
    return s;
}

/* ---- the first codewords --------------------------------------------------- */

/* k-means++: each next codeword is a point, drawn with the probability of its
 * squared distance to the nearest so far. Stops when all points are taken. */
static void first_words(workshop *w)
{
    uint32_t g = w->job->g;
    sk_rng rng;
    sk_rng_seed(&rng, w->job->seed);
    size_t pick = sk_rng_below(&rng, (uint32_t)w->n);
    for (size_t i = 0; i < w->n; i++)
        w->error[i] = FLT_MAX;
    for (uint32_t c = 0; c < w->job->codes; c++) {
        float *word = w->words + (size_t)c * g;
        memcpy(word, w->points + pick * g, g * sizeof *word);
        float half = dot(word, word, g);
        double total = 0;
        for (size_t i = 0; i < w->n; i++) {
            float d = w->square[i] + half - 2 * dot(w->points + i * g, word, g);
            if (d < w->square[i] * 1e-6f) /* rounding: the same point */
                d = 0;
            if (d < w->error[i])
                w->error[i] = d;
            total += w->error[i];
        }
        if (!(total > 0))
            return;
        double at = sk_rng_unit(&rng) * total;
        pick = w->n;
        for (size_t i = 0; i < w->n && (pick == w->n || at > 0); i++) {
            if (!(w->error[i] > 0))
                continue;
            pick = i;
            at -= w->error[i];
        }
    }
}

/* ---- one iteration ----------------------------------------------------------- */

static void fill_table(workshop *w)
{
    uint32_t g = w->job->g;
    for (uint32_t c = 0; c < w->padded; c++) {
        bool real = c < w->job->codes;
        const float *word = w->words + (size_t)(real ? c : 0) * g;
        for (uint32_t i = 0; i < g; i++)
            w->table[(size_t)i * w->padded + c] = word[i];
        w->bias[c] = !real ? -FLT_MAX : w->job->unit ? 0 : -0.5f * dot(word, word, g);
    }
}

/* Keeps the better of two candidates, lane by lane; the older one on a tie. */
static inline void keep(vf *best, vi *where, const vf *score, const vi *index)
{
    vi better = *score > *best;
    *best = (vf)((better & (vi)*score) | (~better & (vi)*best));
    *where = (better & *index) | (~better & *where);
}

/* The best code of one point and its score. */
static inline uint32_t best_code(const workshop *w, const float *x, float *score)
{
    uint32_t g = w->job->g, padded = w->padded;
    vf best = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    vi where = {0, 1, 2, 3}, index = where;
    for (uint32_t c = 0; c < padded; c += BLOCK) {
        const vf *row = (const vf *)(w->bias + c);
        vf s0 = row[0], s1 = row[1], s2 = row[2], s3 = row[3];
        row = (const vf *)(w->table + c);
        for (uint32_t i = 0; i < g; i++, row += padded / LANES) {
            s0 += x[i] * row[0];
            s1 += x[i] * row[1];
            s2 += x[i] * row[2];
            s3 += x[i] * row[3];
        }
        keep(&best, &where, &s0, &index);
        index += (int32_t)LANES;
        keep(&best, &where, &s1, &index);
        index += (int32_t)LANES;
        keep(&best, &where, &s2, &index);
        index += (int32_t)LANES;
        keep(&best, &where, &s3, &index);
        index += (int32_t)LANES;
    }
    uint32_t lane = 0;
    for (uint32_t i = 1; i < LANES; i++)
        if (best[i] > best[lane] || (best[i] >= best[lane] && where[i] < where[lane]))
            lane = i;
    *score = best[lane];
    return (uint32_t)where[lane];
}

/* Chooses for every point; returns how many changed. */
static size_t assign(workshop *w)
{
    size_t changed = 0;
    uint32_t g = w->job->g;
    for (size_t i = 0; i < w->n; i++) {
        float score;
        uint32_t c = best_code(w, w->points + i * g, &score);
        changed += c != w->choice[i];
        w->choice[i] = c;
        w->error[i] = w->square[i] - 2 * score;
    }
    return changed;
}

static void set_word(const workshop *w, uint32_t code, const double *value)
{
    uint32_t g = w->job->g;
    double norm = 0, scale = 1;
    for (uint32_t i = 0; i < g; i++)
        norm += value[i] * value[i];
    if (w->job->unit) {
        if (!(norm > 0))
            return; /* opposite points: the old codeword is as good as any */
        scale = 1 / sqrt(norm);
    }
    for (uint32_t i = 0; i < g; i++)
        w->words[(size_t)code * g + i] = (float)(value[i] * scale);
}

/* Gives a codeword that nobody chose to the point that is served worst. */
static void reseed(workshop *w, uint32_t code)
{
    size_t worst = 0;
    uint32_t g = w->job->g;
    for (size_t i = 1; i < w->n; i++)
        if (w->error[i] > w->error[worst])
            worst = i;
    /* Unit scores leave out -|c|^2/2 = -1/2: their error starts at -1. */
    float zero = w->job->unit ? -1.0f : 0.0f;
    if (!(w->error[worst] > zero + 1e-6f * w->square[worst]))
        return;
    w->error[worst] = -FLT_MAX; /* taken */
    memcpy(w->words + (size_t)code * g, w->points + worst * g, g * sizeof(float));
}

static void move_words(workshop *w)
{
    uint32_t g = w->job->g;
    memset(w->sum, 0, (size_t)w->job->codes * g * sizeof *w->sum);
    memset(w->count, 0, w->job->codes * sizeof *w->count);
    for (size_t i = 0; i < w->n; i++) {
        double *sum = w->sum + (size_t)w->choice[i] * g;
        const float *x = w->points + i * g;
        w->count[w->choice[i]]++;
        for (uint32_t k = 0; k < g; k++)
            sum[k] += (double)x[k];
    }
    for (uint32_t c = 0; c < w->job->codes; c++) {
        double *mean = w->sum + (size_t)c * g;
        if (!w->count[c]) {
            reseed(w, c);
            continue;
        }
        for (uint32_t k = 0; k < g; k++)
            mean[k] /= (double)w->count[c];
        set_word(w, c, mean);
    }
}

/* ---- the whole ------------------------------------------------------------------ */

static bool open_workshop(workshop *w, sk_arena *arena)
{
    uint32_t g = w->job->g, codes = w->job->codes;
    w->padded = (codes + BLOCK - 1) / BLOCK * BLOCK;
    char *table = sk_arena_alloc(arena, ((size_t)g + 1) * w->padded * sizeof(float) + 32);
    w->choice = sk_arena_alloc(arena, w->n * sizeof *w->choice);
    w->error = sk_arena_alloc(arena, w->n * sizeof *w->error);
    w->square = sk_arena_alloc(arena, w->n * sizeof *w->square);
    w->sum = sk_arena_alloc(arena, (size_t)codes * g * sizeof *w->sum);
    w->count = sk_arena_alloc(arena, codes * sizeof *w->count);
    if (!table || !w->choice || !w->error || !w->square || !w->sum || !w->count)
        return false;
    w->table = (float *)(void *)(table + (32 - (uintptr_t)table % 32) % 32);
    w->bias = w->table + (size_t)g * w->padded;
    for (size_t i = 0; i < w->n; i++) {
        const float *x = w->points + i * g;
        w->square[i] = dot(x, x, g);
        w->choice[i] = UINT32_MAX;
    }
    return true;
}

sk_status sk_kmeans_run(const sk_kmeans *job, const float *points, size_t n, float *words)
{
    sk_arena arena = {0};
    workshop w = {.job = job, .points = points, .n = n, .words = words};
    if (n == 0)
        return SPHKV_OK;
    if (n > UINT32_MAX)
        return SPHKV_EINVAL;
    if (!open_workshop(&w, &arena)) {
        sk_arena_free(&arena);
        return SPHKV_ENOMEM;
    }
    first_words(&w);
    for (uint32_t i = 0; i < job->iterations; i++) {
        fill_table(&w);
        if (assign(&w) == 0)
            break;
        move_words(&w);
    }
    sk_arena_free(&arena);
    return SPHKV_OK;
}

sk_status sk_kmeans_rest(const sk_kmeans *job, const float *words, float *points, size_t n)
{
    sk_arena arena = {0};
    workshop w = {.job = job, .points = points, .n = n, .words = (float *)(uintptr_t)words};
    if (n == 0)
        return SPHKV_OK;
    if (!open_workshop(&w, &arena)) {
        sk_arena_free(&arena);
        return SPHKV_ENOMEM;
    }
    fill_table(&w);
    for (size_t i = 0; i < n; i++) {
        float *x = points + i * job->g, score;
        const float *word = words + (size_t)best_code(&w, x, &score) * job->g;
        for (uint32_t k = 0; k < job->g; k++)
            x[k] -= word[k];
    }
    sk_arena_free(&arena);
    return SPHKV_OK;
}
