/* page_mass.h - what the files of page_mass share:
 *   page_mass.c      schedules of a CPU, the host side
 *   mass_build.c     what is done with pages; the program of a CPU
 *   page_mass_gpu.c  the form for GPUs */
#ifndef SK_PAGE_MASS_H
#define SK_PAGE_MASS_H

#include "decode.h"
#include "page_table.h"

/* ---- programs ---- */

/* Parameters of any program, and a place in scratch. */
typedef struct sk_mass {
    sk_val q_tok, q_len;     /* bytes from query to query; how many there are of a sequence */
    sk_val lse, lse_tok;     /* rows of LSE, bytes from one query's to the next's */
    sk_val lse_given;        /* whether there are such rows */
    sk_val out, sums, sums_wanted;
    sk_val top;              /* of the heads of a turn: what logits are measured against,
                                log2; then what a share is multiplied by */
} sk_mass;
static inline uint32_t sk_mass_top_bytes(uint32_t heads) { return heads * 8; }

/* Nothing has fallen yet on the pages of the item. */
void sk_mass_clear(sk_dec *c, const sk_mass *m);
/* Makes a query, of the q_len at q, the one at work. */
void sk_mass_query(sk_dec *c, const sk_mass *m, sk_val q, sk_val query);
/* Sums of a softmax are m, log2, and l, as attention has them, and not their LSE: of a query
 * all of whose tokens have a bias of minus infinity, which counts as -1e30, that does not
 * know how many they are. Whether LSE that are given know it, for all heads of the turn: */
sk_val sk_mass_knows(sk_dec *c, const sk_mass *m, sk_val query);
/* Those sums, of LSE that are given; or over the item's pages, but where one that is given
 * knows it. */
void sk_mass_given(sk_dec *c, const sk_mass *m, sk_val query, sk_dec_sum sum[SK_HEAD_TILE]);
void sk_mass_sum(sk_dec *c, const sk_mass *m, sk_dec_pages *pages, sk_val query,
                 sk_dec_sum sum[SK_HEAD_TILE]);
/* Makes top of them; had: heads that turns before have had. */
void sk_mass_top(sk_dec *c, const sk_mass *m, const sk_dec_sum sum[SK_HEAD_TILE], sk_val had);
/* Adds each slot's share of that query. */
void sk_mass_share(sk_dec *c, const sk_mass *m, sk_dec_pages *pages);

/* ---- on a CPU ---- */

/* The schedule of the parts of attention that it is made of. */
sk_schedule sk_mass_attention(const sk_schedule *s);
sk_status sk_mass_build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                        sk_err *err);
/* Bytes of a page up to its values: all that is read. */
static inline uint32_t sk_mass_key_bytes(const sk_page_layout *lay)
{
    if (lay->vscale_off != SK_NO_FIELD) return lay->vscale_off;
    return lay->value_off != SK_NO_FIELD ? lay->value_off : lay->bytes;
}

/* ---- host side ---- */

/* A run: its arguments, completed, and what they reach. */
typedef struct sk_mass_run {
    const sk_image *image;
    sphkv_mass_args a;
    sk_table_look look;
    uint32_t heads, kv_count, step; /* query heads; KV heads of the run; rows of a reference */
    uint32_t q_es;                  /* bytes of a query's element */
    uint64_t q_bytes, lse_bytes, rows;
} sk_mass_run;
/* device: the page table is in memory that is not looked at. */
sk_status sk_mass_read(sk_mass_run *r, const sk_image *image, const void *args, bool device, sk_err *err);

#endif
