/* bench_tokens.c - see bench_report.h: the arithmetic of whole tokens, and the
 * tables in Markdown. */
#include <string.h>

#include "bench_report.h"

/* ---- whole tokens ------------------------------------------------------------------- */

sk_token_time sk_token_time_get(const sk_model *m, double full_us, double local_us, double bytes,
                                double gbps, uint32_t batch)
{
    sk_token_time t = {.attention_us = m->full.n * full_us + m->local.n * local_us,
                       .weights_us = bytes / gbps * 1e-3};
    t.us = t.attention_us + t.weights_us;
    t.per_second = batch * 1e6 / t.us;
    return t;
}

static bool same_step(const sk_shape *a, const sk_shape *b)
{
    return a->batch == b->batch && a->threads == b->threads;
}

static double row_us(const sk_bench_row *r) { return r->run[r->best].median_us; }

/* The row of the layers that see a part, beside one of the others: a window is a
 * ring of dense pages whatever the tiers are, a chunk has the same tiers. */
static const sk_bench_row *find_local(const sk_bench_report *p, const sk_bench_row *of)
{
    const uint32_t span = p->model->local.span;
    const uint32_t tokens = of->shape.context < span ? of->shape.context : span;
    for (uint32_t i = 0; i < p->n; i++) {
        const sk_bench_row *r = &p->row[i];
        if (!r->local || r->failed[0] || r->shape.context != tokens ||
            !same_step(&r->shape, &of->shape))
            continue;
        if (p->model->chunked ? strcmp(r->tiers, of->tiers) == 0 : r->dense) return r;
    }
    return NULL;
}

/* Dense f16 beside a row: of its group, whose turns it took. */
static const sk_bench_row *find_dense(const sk_bench_report *p, const sk_bench_row *of)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->row[i].group == of->group && p->row[i].dense && !p->row[i].failed[0])
            return &p->row[i];
    return NULL;
}

static bool local_us(const sk_bench_report *p, const sk_bench_row *row, double *us)
{
    *us = 0;
    if (!p->model->local.n) return true;
    const sk_bench_row *local = find_local(p, row);
    if (local) *us = row_us(local);
    return local != NULL;
}

bool sk_report_token(const sk_bench_report *p, const sk_bench_row *row, sk_token_row *out)
{
    double local, dense_local, read = p->parameters;
    const sk_bench_row *dense = find_dense(p, row);
    if (row->failed[0] || row->local || !dense || !local_us(p, row, &local) ||
        !local_us(p, dense, &dense_local))
        return false;
    if (read <= 0 && !sk_model_parameters_read(p->model, row->shape.batch, &read)) return false;
    const uint32_t batch = row->shape.batch;
    out->bytes = read * p->bits / 8;
    const sk_bench_run *beside = &dense->run[row->best]; /* the run in which they took turns */
    out->gbps = dense->bytes / beside->sweep_us * 1e-3;
    out->time = sk_token_time_get(p->model, row_us(row), local, out->bytes, out->gbps, batch);
    out->dense = sk_token_time_get(p->model, beside->median_us, dense_local, out->bytes, out->gbps,
                                   batch);
    return true;
}

/* ---- Markdown ------------------------------------------------------------------------- */

/* Rows with one shape but for the threads stand in one table. */
static bool same_table(const sk_bench_row *a, const sk_bench_row *b)
{
    return a->local == b->local && a->shape.context == b->shape.context &&
           a->shape.batch == b->shape.batch && a->d == b->d;
}

static const sk_bench_row *find_threads(const sk_bench_report *p, const sk_bench_row *like,
                                        uint32_t threads)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const sk_bench_row *r = &p->row[i];
        if (same_table(r, like) && r->shape.threads == threads && !strcmp(r->tiers, like->tiers))
            return r;
    }
    return NULL;
}

static void cells(const sk_bench_row *r, sk_text *t)
{
    const sk_bench_run *x = r ? &r->run[r->best] : NULL;
    if (!r || r->failed[0]) {
        sk_text_printf(t, " - |%s - | - | - |", r && r->cached ? " - | - | - |" : "");
        return;
    }
    sk_text_printf(t, " %.1f |", x->median_us * 1e3 / r->token_heads);
    if (r->cached)
        sk_text_printf(t, " %.1f | %.1f | %.1f |", x->sweep_us * 1e3 / r->token_heads,
                       x->pages_us * 1e3 / r->token_heads, x->cached_us * 1e3 / r->token_heads);
    sk_text_printf(t, " %.1f of %.1f | %.2f | %.2f |",
                   r->bytes / x->median_us * 1e-3, r->bytes / x->sweep_us * 1e-3, x->roofline,
                   x->vs_dense);
}

/* A tier that was met before (dense f16 of another group) has its row already. */
static bool first_of_tiers(const sk_bench_report *p, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (same_table(&p->row[k], &p->row[i]) && strcmp(p->row[k].tiers, p->row[i].tiers) == 0)
            return false;
    return true;
}

static void row_markdown(const sk_bench_report *p, const sk_bench_row *r, const uint32_t *threads,
                         uint32_t n, sk_text *t)
{
    const char *tail = strstr(r->tiers, ",kf16:vf16");
    const size_t len = tail && !tail[10] ? (size_t)(tail - r->tiers) : strlen(r->tiers);
    sk_text_printf(t, "\n| `%.*s` | %.0f |", (int)len, r->tiers, r->bytes / r->token_heads);
    for (uint32_t k = 0; k < n; k++) cells(find_threads(p, r, threads[k]), t);
}

static void table_markdown(const sk_bench_report *p, uint32_t first, sk_text *t)
{
    const sk_bench_row *f = &p->row[first];
    uint32_t threads[64], n = 0;
    for (uint32_t i = first; i < p->n; i++) {
        bool known = false;
        for (uint32_t k = 0; k < n; k++) known = known || threads[k] == p->row[i].shape.threads;
        if (same_table(&p->row[i], f) && !known && n < SK_COUNT(threads))
            threads[n++] = p->row[i].shape.threads;
    }
    sk_text_printf(t, "attn_decode, D = %u, %u query and %u KV heads, context %u, batch %u, pages "
                   "of %u, class %s%s; tail `kf16:vf16` where a mix has one.\n\n", f->d,
                   f->heads_per_kv * f->shape.kv_heads, f->shape.kv_heads, f->shape.context,
                   f->shape.batch, f->page, sk_accuracy_name(f->accuracy),
                   f->local ? ", layers that see a part" : "");
    sk_text_printf(t, "| tier | bytes per token-head |");
    for (uint32_t k = 0; k < n; k++)
        sk_text_printf(t, " %u thread%s: ns per token-head |%s GB/s of the sweep's | roofline | vs "
                       "f16 |", threads[k], threads[k] == 1 ? "" : "s",
                       f->cached ? " by bytes | by pages | by instructions |" : "");
    sk_text_printf(t, "\n|---|---|");
    for (uint32_t k = 0; k < n; k++) sk_text_printf(t, "%s---|---|---|---|", f->cached ? "---|---|---|" : "");
    for (uint32_t pass = 0; pass < 2; pass++) /* the yardstick first */
        for (uint32_t i = first; i < p->n; i++)
            if (same_table(&p->row[i], f) && first_of_tiers(p, i) && p->row[i].dense == (pass == 0))
                row_markdown(p, &p->row[i], threads, n, t);
    sk_text_printf(t, "\n\n");
}

static void tokens_markdown(const sk_bench_report *p, sk_text *t)
{
    sk_token_row k;
    bool head = false;
    for (uint32_t i = 0; i < p->n; i++) {
        const sk_bench_row *r = &p->row[i];
        if (!sk_report_token(p, r, &k)) continue;
        if (!head)
            sk_text_printf(t, "Whole token of %s, weights in %s: %.2f GB read once per step, at "
                           "the bandwidth of the sweep; attention of all %u layers.\n\n"
                           "| context | threads | tiers | attention ms | weights ms | token ms | "
                           "tokens/s | gain of attention | gain of the token |\n"
                           "|---|---|---|---|---|---|---|---|---|\n", p->model->name, p->weights,
                           k.bytes * 1e-9, p->model->full.n + p->model->local.n);
        head = true;
        sk_text_printf(t, "| %u | %u | `%s` | %.1f | %.1f | %.1f | %.2f | %.2f | %.2f |\n",
                       r->shape.context, r->shape.threads, r->tiers, k.time.attention_us * 1e-3,
                       k.time.weights_us * 1e-3, k.time.us * 1e-3, k.time.per_second,
                       k.dense.attention_us / k.time.attention_us, k.dense.us / k.time.us);
    }
}

void sk_report_markdown(const sk_bench_report *p, sk_text *out)
{
    for (uint32_t i = 0; i < p->n; i++) {
        bool met = false;
        for (uint32_t k = 0; k < i; k++) met = met || same_table(&p->row[k], &p->row[i]);
        if (!met) table_markdown(p, i, out);
    }
    if (p->model) tokens_markdown(p, out);
}
