/* dl_llama_double.c - the forward pass in double with dense attention, a whole
 * text at once, layer by layer: written apart from the stepping one, so that a
 * mistake of one is seen. The weights are the same f32 numbers. */
#include "dl_dense.h"
#include "dl_llama.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct pass {
    const dl_llama *m;
    dl_team *team;
    uint32_t count;                               /* tokens */
    double *x, *n, *q, *k, *v, *o, *gate, *up;    /* [count][...] */
    double *logits;                               /* [count][256] */
    sphkv_status status;                          /* the first failure */
} pass;

#define TOKENS 64u /* of x that stay near while all rows of w pass by */

/* y[t][r] = x[t] . w[r] (+ y): rows of w go to threads. */
typedef struct product {
    const double *x;
    const float *w;
    double *y;
    uint32_t count, cols, rows;
    bool add;
} product;

static sphkv_status product_part(void *arg, uint32_t part, uint32_t parts)
{
    const product *p = arg;
    double *row = calloc(p->cols, sizeof *row);
    if (!row)
        return SPHKV_ENOMEM;
    for (uint32_t from = 0; from < p->count; from += TOKENS) {
        const uint32_t to = p->count - from < TOKENS ? p->count : from + TOKENS;
        for (uint32_t r = part; r < p->rows; r += parts) {
            for (uint32_t i = 0; i < p->cols; i++)
                row[i] = (double)p->w[(size_t)r * p->cols + i];
            for (uint32_t t = from; t < to; t++) {
                double *y = p->y + (size_t)t * p->rows + r;
                const double dot = dl_dense_dot(p->x + (size_t)t * p->cols, row, p->cols);
                *y = p->add ? *y + dot : dot;
            }
        }
    }
    free(row);
    return SPHKV_OK;
}

static void multiply(pass *a, const double *x, uint32_t cols, const float *w, uint32_t rows,
                     double *y, bool add)
{
    product p = {x, w, y, a->count, cols, rows, add};
    const sphkv_status st = dl_team_run(a->team, product_part, &p);
    if (a->status == SPHKV_OK)
        a->status = st;
}

static void normalise(const pass *a, const float *weight)
{
    const uint32_t h = a->m->hidden;
    for (uint32_t t = 0; t < a->count; t++) {
        const double *x = a->x + (size_t)t * h;
        double squares = 0;
        for (uint32_t i = 0; i < h; i++)
            squares += x[i] * x[i];
        for (uint32_t i = 0; i < h; i++)
            a->n[(size_t)t * h + i] = x[i] / sqrt(squares / h + a->m->epsilon) * (double)weight[i];
    }
}

static void rotate(const pass *a, double *x, uint32_t heads)
{
    const uint32_t d = a->m->head_dim;
    for (uint32_t i = 0; i < d / 2; i++) {
        const double speed = pow(a->m->theta, -2.0 * i / d);
        for (uint32_t t = 0; t < a->count; t++) {
            const double c = cos(t * speed), s = sin(t * speed);
            for (uint32_t h = 0; h < heads; h++) {
                double *at = x + ((size_t)t * heads + h) * d + i;
                const double first = at[0], second = at[d / 2];
                at[0] = first * c - second * s;
                at[d / 2] = second * c + first * s;
            }
        }
    }
}

/* Rows (token, head) go to threads; every token sees itself and those before. */
static sphkv_status attend_part(void *arg, uint32_t part, uint32_t parts)
{
    const pass *a = arg;
    const dl_llama *m = a->m;
    const uint32_t d = m->head_dim, shared = m->heads / m->kv_heads;
    const size_t stride = (size_t)m->kv_heads * d;
    double *p = calloc(a->count, sizeof *p);
    if (!p)
        return SPHKV_ENOMEM;
    for (uint32_t r = part; r < a->count * m->heads; r += parts) {
        const uint32_t t = r / m->heads, h = r % m->heads;
        dl_dense_attend(a->q + (size_t)r * d, a->k + (size_t)(h / shared) * d,
                        a->v + (size_t)(h / shared) * d, stride, t + 1, d, p,
                        a->o + (size_t)r * d, NULL);
    }
    free(p);
    return SPHKV_OK;
}

static void run_layer(pass *a, const dl_llama_layer *w)
{
    const dl_llama *m = a->m;
    const uint32_t q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim;
    normalise(a, w->norm1);
    multiply(a, a->n, m->hidden, w->q, q, a->q, false);
    multiply(a, a->n, m->hidden, w->k, kv, a->k, false);
    multiply(a, a->n, m->hidden, w->v, kv, a->v, false);
    rotate(a, a->q, m->heads);
    rotate(a, a->k, m->kv_heads);
    const sphkv_status st = dl_team_run(a->team, attend_part, a);
    if (a->status == SPHKV_OK)
        a->status = st;
    multiply(a, a->o, q, w->o, m->hidden, a->x, true);
    normalise(a, w->norm2);
    multiply(a, a->n, m->hidden, w->gate, m->inner, a->gate, false);
    multiply(a, a->n, m->hidden, w->up, m->inner, a->up, false);
    for (size_t i = 0; i < (size_t)a->count * m->inner; i++)
        a->gate[i] = a->gate[i] / (1 + exp(-a->gate[i])) * a->up[i];
    multiply(a, a->gate, m->inner, w->down, m->hidden, a->x, true);
}

static double nats_of(const double *logits, uint8_t byte)
{
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < DL_VOCABULARY; i++)
        most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < DL_VOCABULARY; i++)
        sum += exp(logits[i] - most);
    return most + log(sum) - logits[byte];
}

static sphkv_status forward(pass *a, const uint8_t *bytes, double *nats)
{
    const dl_llama *m = a->m;
    for (uint32_t t = 0; t < a->count; t++)
        for (uint32_t i = 0; i < m->hidden; i++)
            a->x[(size_t)t * m->hidden + i] = (double)m->embed[(size_t)bytes[t] * m->hidden + i];
    for (uint32_t i = 0; a->status == SPHKV_OK && i < m->layers; i++)
        run_layer(a, &m->layer[i]);
    normalise(a, m->norm);
    multiply(a, a->n, m->hidden, m->head, DL_VOCABULARY, a->logits, false);
    *nats = 0;
    for (uint32_t t = 0; t < a->count; t++)
        *nats += nats_of(a->logits + (size_t)t * DL_VOCABULARY, bytes[t + 1]);
    return a->status;
}

sphkv_status dl_llama_reference(const dl_llama *m, dl_team *team, const uint8_t *bytes,
                                uint32_t count, double *nats, sphkv_error *err)
{
    const size_t q = (size_t)m->heads * m->head_dim, kv = (size_t)m->kv_heads * m->head_dim;
    pass a = {.m = m, .team = team, .count = count};
    const struct {
        double **to;
        size_t n;
    } rows[] = {{&a.x, m->hidden}, {&a.n, m->hidden}, {&a.q, q}, {&a.k, kv}, {&a.v, kv}, {&a.o, q},
                {&a.gate, m->inner}, {&a.up, m->inner}, {&a.logits, DL_VOCABULARY}};
    sphkv_status st = SPHKV_OK;
    for (size_t i = 0; i < DL_COUNT(rows); i++)
        dl_new(rows[i].to, count * rows[i].n, sizeof(double), &st, err);
    if (st == SPHKV_OK && (st = forward(&a, bytes, nats)) != SPHKV_OK)
        dl_fail(err, st, "the pass in double: %s", sphkv_status_text(st));
    for (size_t i = 0; i < DL_COUNT(rows); i++)
        free(*rows[i].to);
    return st;
}
