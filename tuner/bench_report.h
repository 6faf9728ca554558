/* bench_report.h - what sphkv-bench measured, as rows, and its tables: for
 * people, for a page in Markdown, for machines.
 *
 * The table of whole tokens is there so that nobody takes the time of attention
 * for the time of a token: beside attention, every weight must be read once per
 * step. It adds the two at the bandwidth that the sweep of the same run reached
 * with the same threads. No engine reads weights faster than that, and all do
 * something more: gains in the table are the most that attention can bring. */
#ifndef SK_BENCH_REPORT_H
#define SK_BENCH_REPORT_H

#include "bench.h"
#include "json.h"
#include "models.h"

/* One lane at one shape. */
typedef struct sk_bench_row {
    char *tiers, *schedule;    /* own memory */
    char how[160], failed[400];
    sk_shape shape;
    uint32_t kernel, d, heads_per_kv, page, accuracy;
    uint32_t group;            /* rows of a group took turns */
    bool local, dense;         /* local: layers that see a part; dense: the yardstick */
    bool fp8;                  /* there is a second yardstick in its group */
    bool cached;               /* the limits by bytes, pages and instructions are known */
    double bytes, token_heads, error;
    double operations;         /* multiply-adds where they are what limits, else 0 */
    uint32_t runs, best;
    sk_bench_run run[SK_BENCH_RUNS];
} sk_bench_row;

typedef struct sk_bench_report {
    sk_bench_row *row;
    uint32_t n, cap, groups;
    /* of the table of whole tokens */
    const sk_model *model; /* NULL: there is none */
    const char *weights;   /* format, as said */
    double bits;           /* per weight */
    double parameters;     /* read per step, as said; 0 = from the model */
    bool coding;           /* kernels are there for the table of what coding costs a step */
} sk_bench_report;

/* All lanes of a bench that was measured, as one group. */
sk_status sk_report_add(sk_bench_report *report, const sk_bench *bench, bool local, sk_err *err);
void sk_report_free(sk_bench_report *report);

void sk_report_text(const sk_bench_report *report, sk_text *out);
/* A table of tiers with columns for each number of threads, and the one of whole
 * tokens. The tail of a mix stands in the line above the table. */
void sk_report_markdown(const sk_bench_report *report, sk_text *out);
/* "results": [...], "whole_token": [...] when there is a model, "coding": [...] when it is
 * asked for. */
void sk_report_json(const sk_bench_report *report, sk_json *json);

/* A step of decoding for `batch` sequences. */
typedef struct sk_token_time {
    double attention_us, weights_us, us;
    double per_second; /* tokens, of all sequences */
} sk_token_time;

/* full_us, local_us: a layer's attention; every layer attends, also those that
 * read another's keys. bytes: of the weights that a step reads. */
sk_token_time sk_token_time_get(const sk_model *model, double full_us, double local_us,
                                double bytes, double gbps, uint32_t batch);

/* The row of whole tokens that belongs to a row of tiers: false for rows that
 * failed, of local layers, or with nothing to compare to. */
typedef struct sk_token_row {
    sk_token_time time, dense;
    double bytes, gbps; /* of weights; of the sweep beside dense f16 */
} sk_token_row;
bool sk_report_token(const sk_bench_report *report, const sk_bench_row *row, sk_token_row *out);

/* Keeping the cache of one coded tier and its dense tail, in a step of decoding. */
typedef struct sk_coding_row {
    double append_us;    /* a new row for every KV head */
    double pages_us;     /* a full tail page of every KV head, coded */
    double step_us;      /* the first, and the share of the second that a step bears */
    double attention_us; /* of the same step */
    double share;        /* of step_us in it */
} sk_coding_row;
/* For a row of attn_decode whose kv_append and kv_encode were measured, at a row and at a
 * page per KV head of its sequences; else false. */
bool sk_report_coding(const sk_bench_report *report, const sk_bench_row *row, sk_coding_row *out);
void sk_report_coding_text(const sk_bench_report *report, sk_text *out);
void sk_report_coding_json(const sk_bench_report *report, sk_json *json); /* "coding": [...] */

#endif
