/* bench_report.c - see bench_report.h: rows, text and JSON. */
#include "bench_report.h"

#include <stdio.h>
#include <string.h>

static sk_status add_row(sk_bench_report *p, const sk_bench *b, uint32_t lane, bool local,
                         sk_err *err)
{
    const sk_bench_lane *l = &b->lane[lane];
    if (p->n == p->cap) {
        const uint32_t cap = p->cap ? 2 * p->cap : 32;
        sk_bench_row *more = sk_realloc(p->row, cap * sizeof *more);
        if (!more) return sk_fail(err, SPHKV_ENOMEM, "no memory for %u rows", cap);
        p->row = more;
        p->cap = cap;
    }
    sk_bench_row *r = &p->row[p->n];
    *r = (sk_bench_row){.shape = b->shape,
                        .kernel = l->spec.kernel,
                        .d = l->spec.d,
                        .heads_per_kv = l->spec.heads_per_kv,
                        .page = l->spec.page,
                        .accuracy = l->spec.accuracy,
                        .group = p->groups,
                        .local = local,
                        .dense = l->dense,
                        .fp8 = b->fp8 != SK_NONE,
                        .cached = b->cached,
                        .bytes = b->bytes[lane],
                        .token_heads = b->token_heads,
                        .operations = b->operations[lane],
                        .error = b->error[lane],
                        .runs = b->repeat,
                        .best = sk_bench_best(b, lane)};
    memcpy(r->how, l->how, sizeof r->how);
    memcpy(r->failed, l->failed, sizeof r->failed);
    memcpy(r->run, b->run[lane], sizeof r->run);
    r->tiers = sk_strdup(l->tiers);
    r->schedule = sk_strdup(l->schedule_text);
    p->n++;
    return r->tiers && r->schedule ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for a row");
}

sk_status sk_report_add(sk_bench_report *p, const sk_bench *b, bool local, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < b->lanes && st == SPHKV_OK; i++) st = add_row(p, b, i, local, err);
    p->groups++;
    return st;
}

void sk_report_free(sk_bench_report *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        sk_free(p->row[i].tiers);
        sk_free(p->row[i].schedule);
    }
    sk_free(p->row);
    p->row = NULL;
    p->n = p->cap = 0;
}

/* ---- text --------------------------------------------------------------------------- */

static void group_text(const sk_bench_row *r, sk_text *t)
{
    sk_text_printf(t, "%s d%u heads %u/%u page %u context %u batch %u threads %u %s%s\n",
                   sk_kernel_name(r->kernel), r->d, r->heads_per_kv * r->shape.kv_heads, r->shape.kv_heads, r->page,
                   r->shape.context, r->shape.batch, r->shape.threads,
                   sk_accuracy_name(r->accuracy), r->local ? ", layers that see a part" : "");
    sk_text_printf(t, "%10s %9s %9s %7s %9s %7s %8s%s  %s\n", "median us", "ns/tok-hd",
                   "B/tok-hd", "GB/s", "sweep", "roofl.", "vs f16", r->fp8 ? "   vs fp8" : "",
                   "tiers");
}

/* Multiply-adds per second, and their share of what a plain loop of them reached. */
static void peak_text(const sk_bench_row *r, sk_text *t)
{
    const sk_bench_run *x = &r->run[r->best];
    const double rate = r->operations / x->median_us * 1e-3;
    sk_text_printf(t, "%10s ", "");
    if (r->shape.q_len) sk_text_printf(t, "q_len %u: ", r->shape.q_len);
    sk_text_printf(t, "%.1f G multiply-adds/s, %.3f of the FMA peak (%.1f)", rate,
                   rate / x->peak.fma, x->peak.fma);
    if (x->peak.dots > 0)
        sk_text_printf(t, ", %.3f of bf16 dots (%.1f)", rate / x->peak.dots, x->peak.dots);
    sk_text_printf(t, "\n");
}

static void row_text(const sk_bench_row *r, sk_text *t)
{
    const sk_bench_run *x = &r->run[r->best];
    char dense[24] = "       -", fp8[24] = "";
    if (r->failed[0]) {
        sk_text_printf(t, "%s: no verified result: %s\n", r->tiers, r->failed);
        return;
    }
    if (x->vs_dense > 0) snprintf(dense, sizeof dense, "%7.2fx", x->vs_dense);
    if (r->fp8) snprintf(fp8, sizeof fp8, " %7.2fx", x->vs_fp8);
    sk_text_printf(t, "%10.2f %9.3f %9.1f %7.2f %9.2f %7.3f %s%s  %s\n", x->median_us,
                   x->median_us * 1e3 / r->token_heads, r->bytes / r->token_heads,
                   r->bytes / x->median_us * 1e-3, r->bytes / x->sweep_us * 1e-3, x->roofline,
                   dense, fp8, r->tiers);
    sk_text_printf(t, "%10s %s (%s)\n", "", r->schedule, r->how);
    if (r->operations > 0) peak_text(r, t);
    if (r->cached)
        sk_text_printf(t, "%10s limits, ns/tok-hd: %.3f by bytes, %.3f by pages, %.3f by "
                       "instructions\n", "", x->sweep_us * 1e3 / r->token_heads,
                       x->pages_us * 1e3 / r->token_heads, x->cached_us * 1e3 / r->token_heads);
}

static void tokens_text(const sk_bench_report *p, sk_text *t)
{
    sk_token_row k;
    bool head = false;
    for (uint32_t i = 0; i < p->n; i++) {
        const sk_bench_row *r = &p->row[i];
        if (!sk_report_token(p, r, &k)) continue;
        if (!head) {
            sk_text_printf(t, "whole token, %s, weights %s: %.2f GB read per step at the sweep's "
                           "bandwidth; attention of all %u layers\n", p->model->name, p->weights,
                           k.bytes * 1e-9, p->model->full.n + p->model->local.n);
            sk_text_printf(t, "%8s %7s %10s %10s %9s %9s %7s %7s  %s\n", "context", "threads",
                           "attn ms", "weights ms", "token ms", "tokens/s", "attn", "token",
                           "tiers");
        }
        head = true;
        sk_text_printf(t, "%8u %7u %10.2f %10.2f %9.2f %9.3f %6.2fx %6.2fx  %s\n", r->shape.context,
                       r->shape.threads, k.time.attention_us * 1e-3, k.time.weights_us * 1e-3,
                       k.time.us * 1e-3, k.time.per_second,
                       k.dense.attention_us / k.time.attention_us, k.dense.us / k.time.us,
                       r->tiers);
    }
    if (!head) sk_text_printf(t, "whole token: nothing to compare, dense f16 has no result\n");
}

void sk_report_text(const sk_bench_report *p, sk_text *out)
{
    for (uint32_t i = 0; i < p->n; i++) {
        if (i == 0 || p->row[i].group != p->row[i - 1].group) group_text(&p->row[i], out);
        row_text(&p->row[i], out);
    }
    if (p->model) tokens_text(p, out);
    if (p->coding) sk_report_coding_text(p, out);
}

/* ---- JSON ----------------------------------------------------------------------------- */

static void run_json(sk_json *j, const sk_bench_row *row, const sk_bench_run *r)
{
    sk_json_f64(j, "median_us", r->median_us);
    sk_json_f64(j, "ns_per_token_head", r->median_us * 1e3 / row->token_heads);
    sk_json_f64(j, "gbps", row->bytes / r->median_us * 1e-3);
    sk_json_f64(j, "bandwidth_gbps", row->bytes / r->sweep_us * 1e-3);
    sk_json_f64(j, "roofline", r->roofline);
    if (r->vs_dense > 0)
        sk_json_f64(j, "vs_dense_f16", r->vs_dense);
    else
        sk_json_text(j, "vs_dense_f16", NULL);
    if (r->vs_fp8 > 0) sk_json_f64(j, "vs_dense_fp8", r->vs_fp8);
    if (row->operations > 0) {
        sk_json_f64(j, "gfma_per_second", row->operations / r->median_us * 1e-3);
        sk_json_f64(j, "fma_peak_gfma_per_second", r->peak.fma);
        sk_json_f64(j, "bf16_dot_peak_gfma_per_second", r->peak.dots);
    }
    if (row->cached) {
        sk_json_f64(j, "ns_limit_bytes", r->sweep_us * 1e3 / row->token_heads);
        sk_json_f64(j, "ns_limit_pages", r->pages_us * 1e3 / row->token_heads);
        sk_json_f64(j, "ns_limit_instructions", r->cached_us * 1e3 / row->token_heads);
    }
}

static void row_json(const sk_bench_row *r, sk_json *j)
{
    sk_json_open(j, NULL, '{');
    sk_json_text(j, "kernel", sk_kernel_name(r->kernel));
    sk_json_text(j, "tiers", r->tiers);
    sk_json_u64(j, "head_dim", r->d);
    sk_json_u64(j, "heads", r->shape.kv_heads * r->heads_per_kv);
    sk_json_u64(j, "kv_heads", r->shape.kv_heads);
    sk_json_u64(j, "context", r->shape.context);
    sk_json_u64(j, "batch", r->shape.batch);
    if (r->shape.q_len) sk_json_u64(j, "q_len", r->shape.q_len);
    sk_json_u64(j, "threads", r->shape.threads);
    sk_json_bool(j, "sees_a_part", r->local);
    sk_json_text(j, "accuracy", sk_accuracy_name(r->accuracy));
    sk_json_text(j, "schedule", r->schedule);
    sk_json_text(j, "match", r->how);
    sk_json_bool(j, "verified", !r->failed[0]);
    if (r->failed[0]) {
        sk_json_text(j, "message", r->failed);
    } else {
        sk_json_f64(j, "bytes_per_token_head", r->bytes / r->token_heads);
        sk_json_f64(j, "max_rel_err", r->error);
        run_json(j, r, &r->run[r->best]);
        sk_json_open(j, "runs", '[');
        for (uint32_t i = 0; i < r->runs; i++) {
            sk_json_open(j, NULL, '{');
            run_json(j, r, &r->run[i]);
            sk_json_close(j, '}');
        }
        sk_json_close(j, ']');
    }
    sk_json_close(j, '}');
}

static void tokens_json(const sk_bench_report *p, sk_json *j)
{
    sk_token_row k;
    sk_json_open(j, "whole_token", '[');
    for (uint32_t i = 0; i < p->n; i++) {
        const sk_bench_row *r = &p->row[i];
        if (!sk_report_token(p, r, &k)) continue;
        sk_json_open(j, NULL, '{');
        sk_json_text(j, "model", p->model->name);
        sk_json_text(j, "weights", p->weights);
        sk_json_text(j, "tiers", r->tiers);
        sk_json_u64(j, "context", r->shape.context);
        sk_json_u64(j, "batch", r->shape.batch);
        sk_json_u64(j, "threads", r->shape.threads);
        sk_json_f64(j, "weight_bytes", k.bytes);
        sk_json_f64(j, "bandwidth_gbps", k.gbps);
        sk_json_f64(j, "attention_us", k.time.attention_us);
        sk_json_f64(j, "weights_us", k.time.weights_us);
        sk_json_f64(j, "token_us", k.time.us);
        sk_json_f64(j, "tokens_per_second", k.time.per_second);
        sk_json_f64(j, "attention_gain", k.dense.attention_us / k.time.attention_us);
        sk_json_f64(j, "token_gain", k.dense.us / k.time.us);
        sk_json_close(j, '}');
    }
    sk_json_close(j, ']');
}

void sk_report_json(const sk_bench_report *p, sk_json *j)
{
    sk_json_open(j, "results", '[');
    for (uint32_t i = 0; i < p->n; i++) row_json(&p->row[i], j);
    sk_json_close(j, ']');
    if (p->model) tokens_json(p, j);
    if (p->coding) sk_report_coding_json(p, j);
}
