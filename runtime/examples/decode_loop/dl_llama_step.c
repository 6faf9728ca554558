/* dl_llama_step.c - one step of all sequences in f32. A job of the team is a
 * few products that share their input; a row of weights is read once for all
 * sequences. */
#include "dl_llama.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dl_rope.h"

#define LANES 8
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

/* y[b][r] = x[b] . w[r], + y when `add`. */
typedef struct product {
    const float *w;
    float *y;
    uint32_t rows;
    bool add;
} product;

typedef struct products {
    const float *x;
    uint32_t batch, cols, count;
    product of[3];
} products;

/* Four rows of x times one row of w. */
static void dot4(const float *x, size_t stride, const float *w, uint32_t n, float out[4])
{
    lanes sum[4] = {{0}};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes b;
        memcpy(&b, w + i, sizeof b);
        for (int s = 0; s < 4; s++) {
            lanes a;
            memcpy(&a, x + (size_t)s * stride + i, sizeof a);
            sum[s] += a * b;
        }
    }
    for (int s = 0; s < 4; s++) {
        out[s] = 0;
        for (int l = 0; l < LANES; l++)
            out[s] += sum[s][l];
        for (uint32_t j = i; j < n; j++)
            out[s] += x[(size_t)s * stride + j] * w[j];
    }
}

static float dot1(const float *x, const float *w, uint32_t n)
{
    lanes sum = {0};
    float out = 0;
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes a, b;
        memcpy(&a, x + i, sizeof a);
        memcpy(&b, w + i, sizeof b);
        sum += a * b;
    }
    for (int l = 0; l < LANES; l++)
        out += sum[l];
    for (; i < n; i++)
        out += x[i] * w[i];
    return out;
}

static void product_row(const products *p, const product *m, uint32_t row)
{
    const float *w = m->w + (size_t)row * p->cols;
    float dots[4];
    for (uint32_t b = 0; b < p->batch; b += 4) {
        const float *x = p->x + (size_t)b * p->cols;
        const uint32_t n = p->batch - b < 4 ? p->batch - b : 4;
        if (n == 4)
            dot4(x, p->cols, w, p->cols, dots);
        else
            for (uint32_t s = 0; s < n; s++)
                dots[s] = dot1(x + (size_t)s * p->cols, w, p->cols);
        for (uint32_t s = 0; s < n; s++) {
            float *y = m->y + (size_t)(b + s) * m->rows + row;
            *y = m->add ? *y + dots[s] : dots[s];
        }
    }
}

static sphkv_status products_part(void *arg, uint32_t part, uint32_t parts)
{
    const products *p = arg;
    for (uint32_t i = 0; i < p->count; i++) {
        const product *m = &p->of[i];
        const uint32_t from = (uint32_t)((uint64_t)m->rows * part / parts);
        const uint32_t to = (uint32_t)((uint64_t)m->rows * (part + 1) / parts);
        for (uint32_t r = from; r < to; r++)
            product_row(p, m, r);
    }
    return SPHKV_OK;
}

/* ---- the parts of a layer ---------------------------------------------------- */

static void normalise(const float *x, const float *weight, uint32_t batch, uint32_t n,
                      double epsilon, float *out)
{
    for (uint32_t b = 0; b < batch; b++, x += n, out += n) {
        double squares = 0;
        for (uint32_t i = 0; i < n; i++)
            squares += (double)x[i] * (double)x[i];
        const float scale = (float)(1 / sqrt(squares / n + epsilon));
        for (uint32_t i = 0; i < n; i++)
            out[i] = x[i] * scale * weight[i];
    }
}

static void silu_times(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

static sphkv_status attention(dl_stepper *s, uint32_t layer, uint32_t position, sphkv_error *err)
{
    const dl_llama *m = s->m;
    const dl_llama_layer *w = &m->layer[layer];
    const uint32_t batch = s->cache->batch, q = m->heads * m->head_dim,
                   kv = m->kv_heads * m->head_dim;
    normalise(s->x, w->norm1, batch, m->hidden, m->epsilon, s->n);
    products in = {s->n, batch, m->hidden, 3,
                   {{w->q, s->q, q, false}, {w->k, s->k, kv, false}, {w->v, s->v, kv, false}}};
    dl_team_run(s->team, products_part, &in);
    if (s->sink)
        s->sink(s->user, layer, position, batch, s->k);
    const float *turn = m->rotations + (size_t)position * m->head_dim;
    dl_rope_turn(turn, m->head_dim, (size_t)batch * m->heads, s->q);
    if (!s->cache->before_rope)
        dl_rope_turn(turn, m->head_dim, (size_t)batch * m->kv_heads, s->k);
    sphkv_status st = dl_cache_append(s->cache, layer, s->k, s->v, 1, err);
    if (st == SPHKV_OK)
        st = dl_cache_attend(s->cache, layer, s->q, s->o, err);
    products out = {s->o, batch, q, 1, {{w->o, s->x, m->hidden, true}}};
    dl_team_run(s->team, products_part, &out);
    return st;
}

static void feed_forward(dl_stepper *s, uint32_t layer)
{
    const dl_llama *m = s->m;
    const dl_llama_layer *w = &m->layer[layer];
    const uint32_t batch = s->cache->batch;
    normalise(s->x, w->norm2, batch, m->hidden, m->epsilon, s->n);
    products in = {s->n, batch, m->hidden, 2,
                   {{w->gate, s->gate, m->inner, false}, {w->up, s->up, m->inner, false}}};
    dl_team_run(s->team, products_part, &in);
    silu_times(s->gate, s->up, (size_t)batch * m->inner);
    products out = {s->gate, batch, m->inner, 1, {{w->down, s->x, m->hidden, true}}};
    dl_team_run(s->team, products_part, &out);
}

sphkv_status dl_stepper_run(dl_stepper *s, const uint8_t *bytes, uint32_t position,
                            sphkv_error *err)
{
    const dl_llama *m = s->m;
    const uint32_t batch = s->cache->batch;
    sphkv_status st = SPHKV_OK;
    for (uint32_t b = 0; b < batch; b++)
        memcpy(s->x + (size_t)b * m->hidden, m->embed + (size_t)bytes[b] * m->hidden,
               m->hidden * sizeof *s->x);
    for (uint32_t i = 0; st == SPHKV_OK && i < m->layers; i++) {
        st = attention(s, i, position, err);
        feed_forward(s, i);
    }
    normalise(s->x, m->norm, batch, m->hidden, m->epsilon, s->n);
    products out = {s->n, batch, m->hidden, 1, {{m->head, s->logits, DL_VOCABULARY, false}}};
    dl_team_run(s->team, products_part, &out);
    return st;
}

double dl_nats(const float *logits, uint8_t byte)
{
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < DL_VOCABULARY; i++)
        most = (double)logits[i] > most ? (double)logits[i] : most;
    for (uint32_t i = 0; i < DL_VOCABULARY; i++)
        sum += exp((double)logits[i] - most);
    return most + log(sum) - (double)logits[byte];
}

/* ---- buffers ------------------------------------------------------------------- */

sphkv_status dl_stepper_open(const dl_llama *m, dl_cache *cache, dl_team *team, uint32_t batch,
                             dl_stepper *s, sphkv_error *err)
{
    const size_t b = batch, q = (size_t)m->heads * m->head_dim;
    const size_t kv = (size_t)m->kv_heads * m->head_dim;
    const struct {
        float **to;
        size_t count;
    } rows[] = {{&s->x, m->hidden}, {&s->n, m->hidden}, {&s->q, q}, {&s->k, kv}, {&s->v, kv},
                {&s->o, q}, {&s->gate, m->inner}, {&s->up, m->inner}, {&s->logits, DL_VOCABULARY}};
    sphkv_status st = SPHKV_OK;
    *s = (dl_stepper){.m = m, .cache = cache, .team = team};
    for (size_t i = 0; i < DL_COUNT(rows); i++)
        dl_new(rows[i].to, b * rows[i].count, sizeof(float), &st, err);
    return st;
}

void dl_stepper_close(dl_stepper *s)
{
    float *all[] = {s->x, s->n, s->q, s->k, s->v, s->o, s->gate, s->up, s->logits};
    for (size_t i = 0; i < DL_COUNT(all); i++)
        free(all[i]);
    *s = (dl_stepper){0};
}
