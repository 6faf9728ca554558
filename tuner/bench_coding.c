/* bench_coding.c - see bench_report.h: what keeping the cache costs a step of decoding,
 * beside the step's attention. In each step every KV head of a sequence gets a row; once
 * in as many steps as a page has tokens its tail is full and is coded. */
#include <string.h>

#include "bench_report.h"

static double row_us(const sk_bench_row *r) { return r->run[r->best].median_us; }

/* The row of another kernel that belongs to a step of `of`: a row, or a page, of every KV
 * head of its sequences. */
static const sk_bench_row *find_step(const sk_bench_report *p, const sk_bench_row *of,
                                     uint32_t kernel, const char *tiers)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const sk_bench_row *r = &p->row[i];
        if (r->kernel == kernel && strcmp(r->tiers, tiers) == 0 && !r->failed[0] && r->d == of->d &&
            r->page == of->page && r->shape.threads == of->shape.threads &&
            r->shape.batch == of->shape.batch * of->shape.kv_heads)
            return r;
    }
    return NULL;
}

bool sk_report_coding(const sk_bench_report *p, const sk_bench_row *row, sk_coding_row *out)
{
    const char *tail = strchr(row->tiers, ',');
    if (row->kernel != SPHKV_ATTN_DECODE || row->failed[0] || row->local || !tail) return false;
    const sk_bench_row *append = find_step(p, row, SPHKV_KV_APPEND, tail + 1);
    const sk_bench_row *encode = find_step(p, row, SPHKV_KV_ENCODE, row->tiers);
    if (!append || !encode) return false;
    out->append_us = row_us(append);
    out->pages_us = row_us(encode);
    out->step_us = out->append_us + out->pages_us / row->page;
    out->attention_us = row_us(row);
    out->share = out->step_us / out->attention_us;
    return true;
}

void sk_report_coding_text(const sk_bench_report *p, sk_text *t)
{
    sk_coding_row k;
    bool head = false;
    for (uint32_t i = 0; i < p->n; i++) {
        const sk_bench_row *r = &p->row[i];
        if (!sk_report_coding(p, r, &k)) continue;
        if (!head)
            sk_text_printf(t, "a step of decoding: a row for every KV head, and their tail pages "
                           "coded once in %u steps, beside its attention\n"
                           "%10s %9s %9s %9s %9s %8s %7s  %s\n", r->page, "append us", "pages us",
                           "step us", "attn us", "share", "context", "threads", "tiers");
        head = true;
        sk_text_printf(t, "%10.2f %9.2f %9.2f %9.2f %8.2f%% %8u %7u  %s\n", k.append_us,
                       k.pages_us, k.step_us, k.attention_us, 100 * k.share, r->shape.context,
                       r->shape.threads, r->tiers);
    }
}

void sk_report_coding_json(const sk_bench_report *p, sk_json *j)
{
    sk_coding_row k;
    sk_json_open(j, "coding", '[');
    for (uint32_t i = 0; i < p->n; i++) {
        const sk_bench_row *r = &p->row[i];
        if (!sk_report_coding(p, r, &k)) continue;
        sk_json_open(j, NULL, '{');
        sk_json_text(j, "tiers", r->tiers);
        sk_json_u64(j, "context", r->shape.context);
        sk_json_u64(j, "batch", r->shape.batch);
        sk_json_u64(j, "threads", r->shape.threads);
        sk_json_f64(j, "append_us", k.append_us);
        sk_json_f64(j, "pages_us", k.pages_us);
        sk_json_f64(j, "step_us", k.step_us);
        sk_json_f64(j, "attention_us", k.attention_us);
        sk_json_f64(j, "share", k.share);
        sk_json_close(j, '}');
    }
    sk_json_close(j, ']');
}
