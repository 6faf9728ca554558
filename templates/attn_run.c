/* attn_run.c - the host side of attn_decode on a CPU: gives each part an equal
 * share of all pages, merges lists that parts share.
 *
 * The pages of all pairs (attn_run.h) form one row; part i takes pages
 * [i*N/parts, (i+1)*N/parts) of it. So a part has at most two shared lists,
 * the first and the last of its share: partial slots 2*part and 2*part+1.
 * Shares follow from the page table alone; nothing is handed between parts
 * but the partials, and one counter says who finishes last and merges.
 *
 * Lists without pages are written here: no kernel is called for them. */
#include "attn_run.h"
#include "part_rope.h"
#include "variants.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

static size_t align64(size_t x) { return (x + 63) & ~(size_t)63; }

void sk_attn_prepare(sk_image *image)
{
    const sk_spec *spec = &image->spec;
    const uint32_t parts = image->maxima.parts;
    sk_attn_space *a = (sk_attn_space *)(void *)image->own;
    uint32_t scratch = 0;
    _Static_assert(sizeof *a <= sizeof image->own, "fits");
    for (uint32_t i = 0; i < image->nentry; i++)
        if (image->shared_bytes[i] > scratch) scratch = image->shared_bytes[i];
    a->partials = 64;
    a->partial_bytes = image->maxima.q_len * (size_t)sk_dec_partial_bytes(spec);
    a->scratch = a->partials + align64(2 * (size_t)parts * a->partial_bytes);
    a->scratch_bytes = align64(scratch);
    a->tables = a->scratch_bytes;
    a->tables_bytes = image->schedule.v[SK_T_lut_build] == SK_LUT_SEPARATE
                          ? align64(sk_dec_lut_total(spec, &image->schedule))
                          : image->maxima.q_len * (size_t)sk_dec_query_bytes(spec, &image->schedule);
    a->job = a->tables + a->tables_bytes;
    a->job_bytes = align64((SK_JOB_SLOTS + 2 * (size_t)parts) * 4);
    a->part_bytes = a->job + a->job_bytes;
    a->total = a->scratch + parts * a->part_bytes;
}

size_t sk_attn_workspace(const sk_image *image)
{
    const sk_attn_space *space = sk_image_own(image);
    return space->total;
}

/* ---- pairs ---------------------------------------------------------------- */

/* A pair: its sequence, KV head and first query head; a query token of it. */
typedef struct attn_pair {
    uint32_t seq, kv_head, head, query;
} attn_pair;

static attn_pair pair_at(const sk_attn_run_state *r, uint32_t v, uint32_t query)
{
    const uint32_t kv_head = r->kv_first + v % r->kv_count;
    return (attn_pair){v / r->kv_count, kv_head, kv_head * r->image->spec.heads_per_kv, query};
}

static uint32_t pair_list(const sk_attn_run_state *r, uint32_t v)
{
    if (!r->shared && r->kv_count == r->image->maxima.kv_heads) return v;
    const attn_pair p = pair_at(r, v, 0);
    return sk_attn_list(r, p.seq, p.kv_head);
}

static uint32_t pair_pages(const sk_attn_run_state *r, uint32_t v)
{
    const uint32_t list = pair_list(r, v);
    return r->a.table.indptr[list + 1] - r->a.table.indptr[list];
}

/* Byte offset of the first output row. */
static uint32_t out_offset(const sk_attn_run_state *r, attn_pair p)
{
    const sphkv_attn_args *a = &r->a;
    return (p.seq * a->out_stride_seq + p.query * a->out_stride_tok + p.head * a->out_stride_head) *
           r->out_es;
}

static uint32_t lse_offset(const sk_attn_run_state *r, attn_pair p)
{
    const uint32_t row = p.seq * r->a.lse_stride_seq + p.query * r->a.lse_stride_tok + p.head;
    return r->a.lse == NULL ? SK_ITEM_NONE : row * 4;
}

static uint32_t sink_offset(const sk_attn_run_state *r, attn_pair p)
{
    return r->a.sinks == NULL ? SK_ITEM_NONE : p.head * 4;
}

/* ---- empty lists ----------------------------------------------------------- */

/* Output and LSE of `heads` query heads from p's first on. */
static void clear_heads(const sk_attn_run_state *r, attn_pair p, uint32_t heads)
{
    const size_t row = (size_t)r->image->spec.dv * r->out_es;
    const size_t stride = (size_t)r->a.out_stride_head * r->out_es;
    uint8_t *out = (uint8_t *)r->a.out + out_offset(r, p);
    if (stride == row)
        memset(out, 0, heads * row);
    else
        for (uint32_t h = 0; h < heads; h++) memset(out + h * stride, 0, row);
    if (r->a.lse == NULL) return;
    float *lse = r->a.lse + lse_offset(r, p) / 4;
    for (uint32_t h = 0; h < heads; h++) lse[h] = r->a.sinks ? r->a.sinks[p.head + h] : -INFINITY;
}

void sk_attn_clear(const sk_attn_run_state *r, uint32_t v, uint32_t end)
{
    while (v < end) {
        const uint32_t left = r->kv_count - v % r->kv_count;
        const uint32_t n = end - v < left ? end - v : left;
        for (uint32_t i = 0; i < r->a.q_len; i++)
            clear_heads(r, pair_at(r, v, i), n * r->image->spec.heads_per_kv);
        v += n;
    }
}

/* ---- items -------------------------------------------------------------- */

static uint8_t *workspace(const sk_attn_run_state *r, size_t offset)
{
    return (uint8_t *)r->a.workspace + offset;
}

static void partial_slot(const sk_attn_run_state *r, sk_call *call)
{
    sk_call_ptr(call, workspace(r, r->space->partials),
                2 * (size_t)r->image->maxima.parts * r->space->partial_bytes);
}

void sk_attn_variant_slots(const sk_attn_run_state *r, sk_call *call)
{
    const sphkv_attn_args *a = &r->a;
    const sk_variant_args v = SK_VARIANTS_OF(a);
    if (r->image->spec.variants & SPHKV_VARIANT_QUERIES) {
        sk_call_u32(call, a->q_len);
        sk_call_u32(call, a->q_stride_tok * r->q_es);
        sk_call_u32(call, a->out_stride_tok * r->out_es);
        sk_call_u32(call, a->lse_stride_tok * 4);
    }
    sk_variants_call(call, &r->image->spec, &v,
                     &(sk_variant_counts){.heads = r->heads, .refs = r->refs_end,
                                          .positions = (uint64_t)a->batch * a->q_len});
}

static void set_up_call(sk_attn_part *p)
{
    const sk_attn_run_state *r = p->r;
    const sphkv_attn_args *a = &r->a;
    sk_call *call = &p->call;
    call->n = 0;
    call->shared = p->space;
    sk_call_ptr(call, p->item, sk_item_words(&r->image->spec) * 4);
    sk_call_ptr(call, a->q, r->q_bytes);
    sk_call_ptr(call, a->codebook, a->codebook_bytes);
    sk_call_ptr(call, p->space + r->space->tables, r->space->tables_bytes);
    sk_call_f32(call, (float)(a->scale * 1.4426950408889634));
    sk_call_u32(call, a->q_stride_head * r->q_es);
    sk_attn_variant_slots(r, call);
    p->table_slots = call->n;
    sk_call_ptr(call, a->arena, a->arena_bytes);
    sk_call_ptr(call, a->table.refs, r->refs_end * 8);
    sk_call_ptr(call, a->out, r->out_bytes);
    sk_call_u32(call, a->out_stride_head * r->out_es);
    partial_slot(r, call);
    sk_call_ptr(call, a->lse, r->lse_bytes);
    sk_call_ptr(call, a->page_ml, r->ml_bytes);
    sk_rope_call(call, &r->image->spec, &a->rope);
}

static sk_status run_item(sk_attn_part *p, sk_err *err)
{
    const sk_image *image = p->r->image;
    const uint32_t slots = p->call.n;
    if (image->nentry > SK_DEC_LUT) {
        p->call.n = p->table_slots;
        const sk_status st = sk_image_call(image, SK_DEC_LUT, &p->call, 0, err);
        p->call.n = slots;
        if (st != SPHKV_OK) return st;
    }
    return sk_image_call(image, SK_DEC_DECODE, &p->call, 0, err);
}

/* What variants read of an item: pages from refs[first + lo] on of a list, whose tokens
 * are fewer than 2^32 (sk_table_check). */
static void put_variants(const sk_attn_run_state *r, attn_pair pair, uint32_t first, uint32_t lo,
                         uint32_t end, uint32_t *item)
{
    uint32_t before = 0, all = 0;
    for (uint32_t i = first; i < end && sk_dec_counts(&r->image->spec); i++) {
        if (i == first + lo) before = all;
        all += sphkv_ref_tokens(r->a.table.refs[i]);
    }
    item[SK_ITEM_BEFORE] = before;
    item[SK_ITEM_TOKENS] = all;
    item[SK_ITEM_QUERY] = pair.seq * r->a.q_len;
    item[SK_ITEM_SINK] = sink_offset(r, pair);
}

sk_status sk_attn_run_pages(sk_attn_part *p, uint32_t v, uint32_t lo, uint32_t hi, uint32_t slot,
                            sk_err *err)
{
    const sk_attn_run_state *r = p->r;
    const attn_pair pair = pair_at(r, v, 0);
    const uint32_t list = pair_list(r, v), ntiers = r->image->spec.ntiers;
    const uint32_t first = r->a.table.indptr[list];
    uint32_t *item = p->item, i = first + lo;
    if (p->table_slots == 0) set_up_call(p);
    item[SK_ITEM_Q] =
        (pair.seq * r->a.q_stride_seq + pair.head * r->a.q_stride_head) * r->q_es;
    item[SK_ITEM_OUT] = out_offset(r, pair);
    item[SK_ITEM_HEAD] = pair.kv_head;
    item[SK_ITEM_PARTIAL] = slot;
    item[SK_ITEM_LSE] = lse_offset(r, pair);
    item[SK_ITEM_ML_STEP] = r->ml_step;
    item[SK_ITEM_ML_ADD] = r->shared ? pair.kv_head : 0;
    for (uint32_t k = 0; k < ntiers; k++) {
        item[SK_ITEM_TIER + k] = i;
        while (i < first + hi && sphkv_ref_tier(r->a.table.refs[i]) == k) i++;
        item[SK_ITEM_UNITS + k] = r->shared ? pair.kv_head * r->image->units[k] : 0;
    }
    item[SK_ITEM_TIER + ntiers] = i;
    if (r->image->spec.variants)
        put_variants(r, pair, first, lo, r->a.table.indptr[list + 1], item);
    return run_item(p, err);
}

/* ---- shares ------------------------------------------------------------- */

static uint64_t share_begin(const sk_attn_run_state *r, uint32_t part, uint32_t parts)
{
    return r->pages * part / parts;
}

static sk_attn_part part_begin(const sk_attn_run_state *r, uint32_t part, uint32_t parts)
{
    sk_attn_part p;
    p.r = r;
    p.part = part;
    p.parts = parts;
    p.lo = share_begin(r, part, parts);
    p.hi = share_begin(r, part + 1, parts);
    p.space = workspace(r, r->space->scratch + part * r->space->part_bytes);
    p.table_slots = 0;
    memset(p.item, 0, sizeof p.item);
    return p;
}

/* Empty lists belong to the part whose share their place falls into; the last
 * part takes those at the very end. */
static bool empty_here(const sk_attn_part *p, uint64_t at)
{
    return (at >= p->lo && at < p->hi) || (at == p->r->pages && p->part + 1 == p->parts);
}

static sk_status run_share(sk_attn_part *p, sk_err *err)
{
    const sk_attn_run_state *r = p->r;
    uint64_t at = 0;
    for (uint32_t v = 0, next; v < r->pairs && at <= p->hi; v = next) {
        const uint32_t n = pair_pages(r, v);
        for (next = v + 1; n == 0 && next < r->pairs && pair_pages(r, next) == 0;) next++;
        if (n == 0 && empty_here(p, at)) sk_attn_clear(r, v, next);
        const uint64_t from = at > p->lo ? at : p->lo, to = at + n < p->hi ? at + n : p->hi;
        if (from < to) {
            const bool whole = from == at && to == at + n;
            const uint32_t slot = whole ? SK_ITEM_FINAL : 2 * p->part + (at < p->lo ? 0 : 1);
            const sk_status st =
                sk_attn_run_pages(p, v, (uint32_t)(from - at), (uint32_t)(to - at), slot, err);
            if (st != SPHKV_OK) return st;
        }
        at += n;
    }
    return SPHKV_OK;
}

/* ---- lists that parts share ------------------------------------------------ */

/* Query token i of them; slots are those of its partials. */
static sk_status merge_query(const sk_attn_part *p, uint32_t v, uint32_t i, uint32_t count, sk_err *err)
{
    const sk_attn_run_state *r = p->r;
    const attn_pair pair = pair_at(r, v, i);
    uint32_t *job = sk_attn_job_slots(p) - SK_JOB_SLOTS;
    job[SK_JOB_OUT] = out_offset(r, pair);
    job[SK_JOB_LSE] = lse_offset(r, pair);
    job[SK_JOB_COUNT] = count;
    sk_call call = {.shared = p->space};
    sk_call_ptr(&call, job, r->space->job_bytes);
    partial_slot(r, &call);
    sk_call_ptr(&call, r->a.out, r->out_bytes);
    sk_call_u32(&call, r->a.out_stride_head * r->out_es);
    sk_call_ptr(&call, r->a.lse, r->lse_bytes);
    if (r->image->spec.variants & SPHKV_VARIANT_SINK) {
        sk_call_ptr(&call, r->a.sinks, r->a.sinks ? (size_t)r->heads * 4 : 0);
        sk_call_u32(&call, sink_offset(r, pair));
    }
    return sk_image_call(r->image, SK_DEC_MERGE, &call, 0, err);
}

sk_status sk_attn_merge_pair(const sk_attn_part *p, uint32_t v, uint32_t count, sk_err *err)
{
    uint32_t *slot = sk_attn_job_slots(p);
    sk_status st = SPHKV_OK;
    for (uint32_t k = 0; k < count; k++) slot[k] *= p->r->a.q_len;
    for (uint32_t i = 0; i < p->r->a.q_len && st == SPHKV_OK; i++) {
        st = merge_query(p, v, i, count, err);
        for (uint32_t k = 0; k < count; k++) slot[k]++;
    }
    return st;
}

/* Pair v, whose n pages begin at place `at` of the row of all pages. */
static sk_status merge_pair(const sk_attn_part *p, uint32_t v, uint64_t at, uint32_t n, sk_err *err)
{
    uint32_t *slot = sk_attn_job_slots(p), count = 0;
    for (uint32_t i = 0; i < p->parts; i++) {
        const uint64_t lo = share_begin(p->r, i, p->parts), hi = share_begin(p->r, i + 1, p->parts);
        const uint64_t from = at > lo ? at : lo, to = at + n < hi ? at + n : hi;
        if (from < to) slot[count++] = 2 * i + (at < lo ? 0 : 1);
    }
    return sk_attn_merge_pair(p, v, count, err);
}

static sk_status merge_shared(const sk_attn_part *p, sk_err *err)
{
    const sk_attn_run_state *r = p->r;
    uint64_t at = 0;
    uint32_t cut = 1; /* the next border between two shares */
    for (uint32_t v = 0; v < r->pairs && cut < p->parts; v++) {
        const uint32_t n = pair_pages(r, v);
        while (cut < p->parts && share_begin(r, cut, p->parts) <= at) cut++;
        if (cut < p->parts && share_begin(r, cut, p->parts) < at + n) {
            const sk_status st = merge_pair(p, v, at, n, err);
            if (st != SPHKV_OK) return st;
        }
        at += n;
    }
    return SPHKV_OK;
}

sk_status sk_attn_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                      sk_err *err)
{
    sk_attn_run_state r;
    if (parts == 0 || parts > image->maxima.parts || part >= parts)
        return sk_fail(err, SPHKV_EINVAL, "part %u of %u, the plan is for %u", part, parts,
                       image->maxima.parts);
    sk_status st = sk_attn_read(&r, image, args, false, err);
    r.space = sk_image_own(image);
    if (st == SPHKV_OK && r.a.schedule) st = sk_work_check(&r, parts, err);
    if (st != SPHKV_OK) return st;
    sk_attn_part p = part_begin(&r, part, parts);
    st = r.a.schedule ? sk_work_run(&p, err) : run_share(&p, err);
    if (parts == 1) return st;
    /* release what this part wrote, acquire what the others did; a part that
     * failed counts too, so that the next run finds the counter at 0 */
    _Atomic uint32_t *done = (_Atomic uint32_t *)r.a.workspace;
    if (atomic_fetch_add_explicit(done, 1, memory_order_acq_rel) + 1 < parts) return st;
    if (st == SPHKV_OK) st = r.a.schedule ? sk_work_merge(&p, err) : merge_shared(&p, err);
    atomic_store_explicit(done, 0, memory_order_release);
    return st;
}
