/* dl_dense.c - see dl_dense.h. Shares no code with the library: pages are read
 * back by sphkv_page_read and everything else is done here. */
#include "dl_dense.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double lanes __attribute__((vector_size(32)));

double dl_error_rms(const dl_error *e) { return e->rows ? sqrt(e->squares / (double)e->rows) : 0; }

double dl_accuracy_bound(uint32_t accuracy)
{
    return accuracy == SPHKV_EXACT ? 1e-5 : accuracy == SPHKV_FAST ? 5e-2 : 1e-3;
}

/* Eight sums side by side: one would wait for itself. */
double dl_dense_dot(const double *a, const double *b, uint32_t n)
{
    lanes sum[2] = {{0}};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t s = 0; s < 2; s++) {
            lanes x, y;
            memcpy(&x, a + i + 4 * s, sizeof x);
            memcpy(&y, b + i + 4 * s, sizeof y);
            sum[s] += x * y;
        }
    sum[0] += sum[1];
    double out = sum[0][0] + sum[0][1] + sum[0][2] + sum[0][3];
    for (; i < n; i++)
        out += a[i] * b[i];
    return out;
}

void dl_dense_attend(const double *q, const double *k, const double *v, size_t stride,
                     uint32_t tokens, uint32_t d, double *p, double *o, double *weight)
{
    const double scale = 1 / sqrt((double)d);
    double most = -INFINITY, sum = 0;
    for (uint32_t t = 0; t < tokens; t++) {
        p[t] = dl_dense_dot(q, k + t * stride, d) * scale;
        most = p[t] > most ? p[t] : most;
    }
    for (uint32_t t = 0; t < tokens; t++)
        sum += p[t] = exp(p[t] - most);
    for (uint32_t i = 0; i < d; i++) {
        o[i] = 0;
        if (weight)
            weight[i] = 0;
    }
    for (uint32_t t = 0; t < tokens; t++) {
        const double share = p[t] / sum;
        for (uint32_t i = 0; i < d; i++)
            o[i] += share * v[t * stride + i];
        for (uint32_t i = 0; weight && i < d; i++)
            weight[i] += share * fabs(v[t * stride + i]);
    }
}

/* What the threads of a check share. */
typedef struct check {
    const dl_cache *c;
    uint32_t layer;
    const float *q, *out;
    dl_error *found;   /* [parts] */
    sphkv_error *err;  /* [parts] */
} check;

static void check_row(const check *job, size_t row, const double *k, const double *v,
                      uint32_t tokens, double *space, dl_error *found)
{
    const uint32_t d = job->c->setup.head_dim;
    double *q = space, *o = space + d, *weight = space + 2 * (size_t)d, *p = space + 3 * (size_t)d;
    double off = 0, size = 0;
    for (uint32_t i = 0; i < d; i++)
        q[i] = (double)job->q[row * d + i];
    dl_dense_attend(q, k, v, d, tokens, d, p, o, weight);
    for (uint32_t i = 0; i < d; i++) {
        const double x = (double)job->out[row * d + i] - o[i];
        off += x * x;
        size += weight[i] * weight[i];
    }
    /* NaN must not pass: it is as wrong as can be. */
    double e = size > 0 ? sqrt(off / size) : off > 0 ? INFINITY : 0;
    if (!(e >= 0))
        e = INFINITY;
    found->squares += e * e;
    found->worst = e > found->worst ? e : found->worst;
    found->rows++;
}

static sphkv_status check_part(void *arg, uint32_t part, uint32_t parts)
{
    const check *job = arg;
    const dl_setup *s = &job->c->setup;
    const size_t room = (size_t)s->context * s->head_dim;
    const uint32_t shared = s->heads / s->kv_heads;
    sphkv_status st = SPHKV_OK;
    double *k = NULL, *v = NULL, *space = NULL;
    dl_new(&k, room, sizeof *k, &st, &job->err[part]);
    dl_new(&v, room, sizeof *v, &st, &job->err[part]);
    dl_new(&space, 3 * (size_t)s->head_dim + s->context, sizeof *space, &st, &job->err[part]);
    for (uint32_t i = part; st == SPHKV_OK && i < job->c->lists; i += parts) {
        uint32_t tokens = 0;
        st = dl_cache_read(job->c, job->layer, i, k, v, &tokens, &job->err[part]);
        for (uint32_t g = 0; st == SPHKV_OK && g < shared; g++)
            check_row(job, (size_t)i * shared + g, k, v, tokens, space, &job->found[part]);
    }
    free(k);
    free(v);
    free(space);
    return st;
}

sphkv_status dl_check(const dl_cache *c, uint32_t layer, const float *q, const float *out,
                      dl_error *e, sphkv_error *err)
{
    const uint32_t parts = dl_team_size(c->team);
    check job = {.c = c, .layer = layer, .q = q, .out = out};
    sphkv_status st = SPHKV_OK;
    dl_new(&job.found, parts, sizeof *job.found, &st, err);
    dl_new(&job.err, parts, sizeof *job.err, &st, err);
    if (st == SPHKV_OK)
        st = dl_team_run(c->team, check_part, &job);
    for (uint32_t i = 0; job.err && i < parts; i++) {
        if (job.err[i].status != SPHKV_OK && err)
            *err = job.err[i];
        if (job.found) {
            e->squares += job.found[i].squares;
            e->rows += job.found[i].rows;
            e->worst = job.found[i].worst > e->worst ? job.found[i].worst : e->worst;
        }
    }
    free(job.found);
    free(job.err);
    return st;
}
