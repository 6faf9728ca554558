/* attn_run.h - one run of attn_decode on the host side: attn_args.c reads and
 * checks the arguments, attn_run.c does the work.
 *
 * attn_work.c does it along a work list of attn_schedule, when there is one.
 *
 * A run covers the KV heads kv_first .. kv_first + kv_count - 1 of the plan. Pairs
 * of a sequence and one of these heads are numbered, sequence by sequence: pair v
 * is sequence v / kv_count, KV head kv_first + v % kv_count. */
#ifndef SK_ATTN_RUN_H
#define SK_ATTN_RUN_H

#include "decode.h"

/* Workspace: counter (64 bytes) | partials [2 * parts] | per part: scratch of
 * the entries | tables (lut_build = separate), or what query tokens have each | merge job. What a plan knows, kept in
 * image->own. */
typedef struct sk_attn_space {
    size_t partials, scratch, tables, job; /* offsets; scratch.. per part */
    size_t partial_bytes; /* of all query tokens */
    size_t scratch_bytes, tables_bytes, job_bytes, part_bytes;
    size_t total;
} sk_attn_space;

/* Arguments with defaults filled in, and what follows from them. */
typedef struct sk_attn_run_state {
    const sk_image *image;
    const sk_attn_space *space;  /* of a CPU */
    sphkv_attn_args a;
    uint32_t heads;              /* query heads of the plan */
    uint32_t kv_first, kv_count; /* KV heads of this run */
    uint32_t pairs;
    bool shared;                 /* one list for all KV heads */
    uint32_t q_es, out_es;       /* bytes of an element */
    uint32_t ml_step;            /* rows of page statistics per reference; 0: none */
    uint64_t pages;              /* over all pairs */
    uint64_t refs_end;           /* behind the last reference of any list */
    uint64_t q_bytes, out_bytes, lse_bytes, ml_bytes; /* reach of what is strided */
} sk_attn_run_state;

/* Fills *r from args, or says what is wrong with them; reads nothing of KV heads
 * that are not of this run. device: pointers are a device's, nothing behind them is
 * read; pages, refs_end and ml_bytes are then unknown, 0. */
sk_status sk_attn_read(sk_attn_run_state *r, const sk_image *image, const void *args, bool device,
                       sk_err *err);

/* The parameters of sk_dec_variant_params. */
void sk_attn_variant_slots(const sk_attn_run_state *r, sk_call *call);

/* What one part works with: its share of the pages, its item and its call. */
typedef struct sk_attn_part {
    const sk_attn_run_state *r;
    uint32_t part, parts;
    uint64_t lo, hi;
    uint8_t *space;          /* scratch, tables, job */
    uint32_t item[SK_ITEM_WORDS_ALL];
    sk_call call;            /* of decode; tables take its first slots */
    uint32_t table_slots;    /* 0: the call is not set up yet */
} sk_attn_part;

/* Pages [lo, hi) of the list of pair v into partial `slot`, or whole. */
sk_status sk_attn_run_pages(sk_attn_part *p, uint32_t v, uint32_t lo, uint32_t hi, uint32_t slot,
                            sk_err *err);
/* Output and LSE of pairs v .. end-1, all of them without pages. */
void sk_attn_clear(const sk_attn_run_state *r, uint32_t v, uint32_t end);
/* The partials of pair v, `count` slots at sk_attn_job_slots, into its rows. */
sk_status sk_attn_merge_pair(const sk_attn_part *p, uint32_t v, uint32_t count, sk_err *err);
static inline uint32_t *sk_attn_job_slots(const sk_attn_part *p)
{
    return (uint32_t *)(void *)(p->space + p->r->space->job) + SK_JOB_SLOTS;
}

/* The work list of the arguments (attn_work.c): checked against the table by
 * every part, run by its part, merged by the last. */
sk_status sk_work_check(const sk_attn_run_state *r, uint32_t parts, sk_err *err);
sk_status sk_work_run(sk_attn_part *p, sk_err *err);
sk_status sk_work_merge(const sk_attn_part *p, sk_err *err);

static inline uint32_t sk_attn_list(const sk_attn_run_state *r, uint32_t seq, uint32_t kv_head)
{
    return r->shared ? seq : seq * r->image->maxima.kv_heads + kv_head;
}

#endif
