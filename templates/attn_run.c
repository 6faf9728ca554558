/* attn_run.c - the host side of attn_decode on a CPU: checks the arguments,
 * gives each part an equal share of all pages, merges lists that parts share.
 *
 * The pages of all (sequence, KV head) pairs form one row; part i takes pages
 * [i*N/parts, (i+1)*N/parts) of it. So a part has at most two shared lists,
 * the first and the last of its share: partial slots 2*part and 2*part+1.
 * Shares follow from the page table alone; nothing is handed between parts
 * but the partials, and one counter says who finishes last and merges.
 *
 * Workspace: counter (64 bytes) | partials [2 * parts] | per part: scratch of
 * the entries | tables (lut_build = separate) | merge job. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "decode.h"

typedef struct attn_space {
    size_t partials, scratch, tables, job; /* offsets; scratch.. per part */
    size_t partial_bytes, scratch_bytes, tables_bytes, job_bytes, part_bytes;
    size_t total;
} attn_space;

static size_t align64(size_t x) { return (x + 63) & ~(size_t)63; }

static attn_space attn_space_of(const sk_image *image)
{
    const sk_spec *spec = &image->spec;
    const uint32_t parts = image->maxima.parts;
    const uint32_t cp = (spec->dv + 15) / 16 * 16;
    attn_space a = {.partials = 64};
    uint32_t scratch = 0;
    for (uint32_t i = 0; i < image->nentry; i++)
        if (image->shared_bytes[i] > scratch) scratch = image->shared_bytes[i];
    a.partial_bytes = (size_t)spec->heads_per_kv * (16 + cp) * 4;
    a.scratch = a.partials + align64(2 * (size_t)parts * a.partial_bytes);
    a.scratch_bytes = align64(scratch);
    a.tables = a.scratch_bytes;
    a.tables_bytes = image->schedule.v[SK_T_lut_build] == SK_LUT_SEPARATE
                         ? align64(sk_dec_lut_total(spec, &image->schedule))
                         : 0;
    a.job = a.tables + a.tables_bytes;
    a.job_bytes = align64((SK_JOB_SLOTS + 2 * (size_t)parts) * 4);
    a.part_bytes = a.job + a.job_bytes;
    a.total = a.scratch + parts * a.part_bytes;
    return a;
}

size_t sk_attn_workspace(const sk_image *image) { return attn_space_of(image).total; }

/* One run: arguments with defaults filled in, and what follows from them. */
typedef struct attn_run {
    const sk_image *image;
    sphkv_attn_args a;
    attn_space space;
    uint32_t kv_heads, heads;
    uint64_t pages;            /* over all (sequence, KV head) pairs */
    uint32_t units[SK_MAX_TIERS];
    uint8_t *base;             /* workspace, aligned */
} attn_run;

static sk_status check_refs(const attn_run *r, uint32_t list, sk_err *err)
{
    const sk_spec *spec = &r->image->spec;
    const sphkv_page_table *t = &r->a.table;
    const uint64_t subs = t->lists_per_seq == 1 ? r->kv_heads : 1, most = (uint64_t)1 << 32;
    uint64_t arena_units = r->a.arena_bytes / SPHKV_UNIT_BYTES;
    if (arena_units > most) arena_units = most; /* units are 32 bits */
    uint32_t last = 0;
    for (uint32_t i = t->indptr[list]; i < t->indptr[list + 1]; i++) {
        const uint64_t ref = t->refs[i];
        const uint32_t tier = sphkv_ref_tier(ref);
        if (tier >= spec->ntiers || tier < last)
            return sk_fail(err, SPHKV_EINVAL, "refs[%u]: tier slot %u (mix has %u, sorted in a list)",
                           i, tier, spec->ntiers);
        if (sphkv_ref_tokens(ref) > spec->page)
            return sk_fail(err, SPHKV_EINVAL, "refs[%u]: %u tokens in a page of %u", i,
                           sphkv_ref_tokens(ref), spec->page);
        if (sphkv_ref_unit(ref) + subs * r->units[tier] > arena_units)
            return sk_fail(err, SPHKV_EINVAL, "refs[%u]: page at unit %u ends beyond the arena", i,
                           sphkv_ref_unit(ref));
        last = tier;
    }
    return SPHKV_OK;
}

static sk_status check_table(attn_run *r, sk_err *err)
{
    const sphkv_page_table *t = &r->a.table;
    if (t->lists_per_seq != 1 && t->lists_per_seq != r->kv_heads)
        return sk_fail(err, SPHKV_EINVAL, "table.lists_per_seq is %u: 1 or %u (KV heads)",
                       t->lists_per_seq, r->kv_heads);
    if ((uint64_t)r->a.batch * t->lists_per_seq != t->lists)
        return sk_fail(err, SPHKV_EINVAL, "table.lists is %u, batch %u times %u lists per sequence",
                       t->lists, r->a.batch, t->lists_per_seq);
    if (t->lists > 0 && t->indptr == NULL)
        return sk_fail(err, SPHKV_EINVAL, "table.indptr is NULL");
    const uint32_t per_list = t->lists_per_seq == 1 ? r->kv_heads : 1;
    for (uint32_t i = 0; i < t->lists; i++) {
        if (t->indptr[i + 1] < t->indptr[i])
            return sk_fail(err, SPHKV_EINVAL, "table.indptr falls at list %u", i);
        const uint32_t n = t->indptr[i + 1] - t->indptr[i];
        if (n > r->image->maxima.pages_per_list)
            return sk_fail(err, SPHKV_EINVAL, "list %u has %u pages, the plan is for %u", i, n,
                           r->image->maxima.pages_per_list);
        if (n > 0 && (t->refs == NULL || r->a.arena == NULL))
            return sk_fail(err, SPHKV_EINVAL, "table.refs or arena is NULL");
        const sk_status st = check_refs(r, i, err);
        if (st != SPHKV_OK) return st;
        r->pages += (uint64_t)n * per_list;
    }
    return SPHKV_OK;
}

static uint32_t q_bytes(const attn_run *r) { return r->image->spec.q_dtype == SPHKV_F32 ? 4 : 2; }
static uint32_t out_bytes(const attn_run *r) { return r->image->spec.out_dtype == SPHKV_F32 ? 4 : 2; }

/* Bytes from the first to behind the last row a strided tensor touches. */
static uint64_t tensor_bytes(const attn_run *r, uint64_t stride_seq, uint64_t stride_head,
                             uint32_t dim, uint32_t es)
{
    if (r->a.batch == 0 || r->heads == 0) return 0;
    return ((r->a.batch - 1) * stride_seq + (r->heads - 1) * stride_head + dim) * es;
}

static uint64_t q_extent(const attn_run *r)
{
    return tensor_bytes(r, r->a.q_stride_seq, r->a.q_stride_head, r->image->spec.d, q_bytes(r));
}

static uint64_t out_extent(const attn_run *r)
{
    return tensor_bytes(r, r->a.out_stride_seq, r->a.out_stride_head, r->image->spec.dv,
                        out_bytes(r));
}

/* Rows of the output are written in 32-bit words. */
static sk_status check_words(const attn_run *r, sk_err *err)
{
    const sphkv_attn_args *a = &r->a;
    if ((uintptr_t)a->out % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "out is not aligned to 4 bytes");
    if (out_bytes(r) == 4) return SPHKV_OK;
    if ((r->heads > 1 && a->out_stride_head % 2 != 0) || (a->batch > 1 && a->out_stride_seq % 2 != 0))
        return sk_fail(err, SPHKV_EINVAL,
                       "out_stride_seq %u, out_stride_head %u: even in %s, rows begin at 4 bytes",
                       a->out_stride_seq, a->out_stride_head, sk_dtype_name(r->image->spec.out_dtype));
    return SPHKV_OK;
}

/* 0 when not wanted. */
static uint64_t lse_extent(const attn_run *r)
{
    if (r->a.lse == NULL || r->a.batch == 0) return 0;
    return ((uint64_t)(r->a.batch - 1) * r->a.lse_stride_seq + r->heads) * 4;
}

/* Rows of page statistics that a reference has: one per KV head it serves. */
static uint32_t ml_step(const attn_run *r)
{
    if (r->a.page_ml == NULL) return 0;
    return r->a.table.lists_per_seq == 1 ? r->kv_heads : 1;
}

static uint64_t ml_rows(const attn_run *r)
{
    return (uint64_t)r->a.table.indptr[r->a.table.lists] * ml_step(r);
}

static sk_status check_statistics(const attn_run *r, sk_err *err)
{
    if (lse_extent(r) > UINT32_MAX) /* offsets are 32 bits, and rows are */
        return sk_fail(err, SPHKV_EINVAL, "lse spans 4 GiB or more");
    if (ml_rows(r) > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "page_ml: more than 2^32 references times KV heads");
    if ((uintptr_t)r->a.lse % 4 != 0 || (uintptr_t)r->a.page_ml % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "lse or page_ml is not aligned to its elements");
    return SPHKV_OK;
}

static sk_status check_buffers(const attn_run *r, sk_err *err)
{
    const sk_spec *spec = &r->image->spec;
    const sphkv_attn_args *a = &r->a;
    const size_t books = (size_t)r->kv_heads * sk_codebook_head_bytes(spec);
    if (a->batch > 0 && (a->q == NULL || a->out == NULL))
        return sk_fail(err, SPHKV_EINVAL, "q or out is NULL");
    if ((uintptr_t)a->arena % SPHKV_UNIT_BYTES != 0)
        return sk_fail(err, SPHKV_EINVAL, "arena is not aligned to %u bytes", SPHKV_UNIT_BYTES);
    if (books > 0 && (a->codebook == NULL || a->codebook_bytes < books))
        return sk_fail(err, SPHKV_EINVAL, "codebook has %zu bytes, %zu needed for %u KV heads",
                       a->codebook == NULL ? (size_t)0 : a->codebook_bytes, books, r->kv_heads);
    if (a->workspace == NULL || a->workspace_bytes < r->space.total ||
        (uintptr_t)a->workspace % 64 != 0)
        return sk_fail(err, SPHKV_EINVAL, "workspace: %zu bytes aligned to 64 needed", r->space.total);
    if (q_extent(r) > UINT32_MAX || out_extent(r) > UINT32_MAX) /* offsets are 32 bits */
        return sk_fail(err, SPHKV_EINVAL, "%s spans 4 GiB or more",
                       q_extent(r) > UINT32_MAX ? "q" : "out");
    if ((uintptr_t)a->q % q_bytes(r) != 0)
        return sk_fail(err, SPHKV_EINVAL, "q is not aligned to its elements");
    return check_words(r, err);
}

static sk_status attn_prepare(attn_run *r, const sk_image *image, const void *args, sk_err *err)
{
    const sk_spec *spec = &image->spec;
    memset(r, 0, sizeof *r);
    r->image = image;
    sk_status st = sk_args_copy(&r->a, sizeof r->a, args, err);
    if (st != SPHKV_OK) return st;
    sphkv_attn_args *a = &r->a;
    r->space = attn_space_of(image);
    r->kv_heads = image->maxima.kv_heads;
    r->heads = r->kv_heads * spec->heads_per_kv;
    if (a->batch > image->maxima.batch)
        return sk_fail(err, SPHKV_EINVAL, "batch %u, the plan is for %u", a->batch,
                       image->maxima.batch);
    if (a->scale == 0) a->scale = 1.0f / sqrtf((float)spec->d);
    if (!(fabsf(a->scale) < 1e30f)) return sk_fail(err, SPHKV_EINVAL, "scale is not finite");
    if (a->q_stride_head == 0) a->q_stride_head = spec->d;
    if (a->q_stride_seq == 0) a->q_stride_seq = r->heads * spec->d;
    if (a->out_stride_head == 0) a->out_stride_head = spec->dv;
    if (a->out_stride_seq == 0) a->out_stride_seq = r->heads * spec->dv;
    if (a->lse_stride_seq == 0) a->lse_stride_seq = r->heads;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, i, &lay);
        r->units[i] = lay.units;
    }
    st = check_buffers(r, err);
    if (st == SPHKV_OK) st = check_table(r, err);
    if (st == SPHKV_OK && a->table.lists > 0) st = check_statistics(r, err);
    r->base = a->workspace;
    return st;
}

/* ---- items -------------------------------------------------------------- */

static uint8_t *part_space(const attn_run *r, uint32_t part)
{
    return r->base + r->space.scratch + part * r->space.part_bytes;
}

/* Byte offset of the first output row of (sequence, KV head) pair v. */
static uint32_t out_offset(const attn_run *r, uint32_t v)
{
    const uint32_t seq = v / r->kv_heads, head = v % r->kv_heads;
    const uint32_t row = head * r->image->spec.heads_per_kv;
    return (seq * r->a.out_stride_seq + row * r->a.out_stride_head) * out_bytes(r);
}

static uint32_t lse_offset(const attn_run *r, uint32_t v)
{
    if (r->a.lse == NULL) return SK_ITEM_NONE;
    const uint32_t row = v % r->kv_heads * r->image->spec.heads_per_kv;
    return (v / r->kv_heads * r->a.lse_stride_seq + row) * 4;
}

static void common_slots(const attn_run *r, sk_call *call, const uint32_t *item, uint8_t *tables)
{
    const sphkv_attn_args *a = &r->a;
    sk_call_ptr(call, item, SK_ITEM_WORDS * 4);
    sk_call_ptr(call, a->q, q_extent(r));
    sk_call_ptr(call, a->codebook, a->codebook_bytes);
    sk_call_ptr(call, tables, r->space.tables_bytes);
    sk_call_f32(call, (float)(a->scale * 1.4426950408889634));
    sk_call_u32(call, a->q_stride_head * q_bytes(r));
}

static sk_status run_item(const attn_run *r, const uint32_t *item, uint32_t part, sk_err *err)
{
    const sphkv_attn_args *a = &r->a;
    uint8_t *mine = part_space(r, part), *tables = mine + r->space.tables;
    sk_call call = {.shared = mine};
    common_slots(r, &call, item, tables);
    if (r->image->nentry > SK_DEC_LUT) {
        const sk_status st = sk_image_call(r->image, SK_DEC_LUT, &call, 0, err);
        if (st != SPHKV_OK) return st;
    }
    sk_call_ptr(&call, a->arena, a->arena_bytes);
    sk_call_ptr(&call, a->table.refs, (size_t)a->table.indptr[a->table.lists] * 8);
    sk_call_ptr(&call, a->out, out_extent(r));
    sk_call_u32(&call, a->out_stride_head * out_bytes(r));
    sk_call_ptr(&call, r->base + r->space.partials,
                2 * (size_t)r->image->maxima.parts * r->space.partial_bytes);
    sk_call_ptr(&call, a->lse, lse_extent(r));
    sk_call_ptr(&call, a->page_ml, ml_rows(r) * r->image->spec.heads_per_kv * 8);
    return sk_image_call(r->image, SK_DEC_DECODE, &call, 0, err);
}

/* Pages [lo, hi) of the list of pair v; whole when they are all of it. */
static sk_status run_pair(const attn_run *r, uint32_t v, uint32_t lo, uint32_t hi, uint32_t slot,
                          uint32_t part, sk_err *err)
{
    const sk_spec *spec = &r->image->spec;
    const sphkv_page_table *t = &r->a.table;
    const uint32_t seq = v / r->kv_heads, head = v % r->kv_heads;
    const bool shared = t->lists_per_seq == 1;
    const uint32_t first = t->indptr[shared ? seq : v];
    uint32_t item[SK_ITEM_WORDS] = {0};
    item[SK_ITEM_Q] = (seq * r->a.q_stride_seq + head * spec->heads_per_kv * r->a.q_stride_head) *
                      q_bytes(r);
    item[SK_ITEM_OUT] = out_offset(r, v);
    item[SK_ITEM_HEAD] = head;
    item[SK_ITEM_PARTIAL] = slot;
    item[SK_ITEM_LSE] = lse_offset(r, v);
    item[SK_ITEM_ML_STEP] = ml_step(r);
    item[SK_ITEM_ML_ADD] = shared ? head : 0;
    uint32_t i = first + lo;
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        item[SK_ITEM_TIER + k] = i;
        while (i < first + hi && sphkv_ref_tier(t->refs[i]) == k) i++;
        item[SK_ITEM_UNITS + k] = shared ? head * r->units[k] : 0;
    }
    item[SK_ITEM_TIER + spec->ntiers] = i;
    return run_item(r, item, part, err);
}

/* ---- shares ------------------------------------------------------------- */

static uint32_t pair_pages(const attn_run *r, uint32_t v)
{
    const sphkv_page_table *t = &r->a.table;
    const uint32_t list = t->lists_per_seq == 1 ? v / r->kv_heads : v;
    return t->indptr[list + 1] - t->indptr[list];
}

static uint64_t share_begin(const attn_run *r, uint32_t part, uint32_t parts)
{
    return r->pages * part / parts;
}

/* Empty lists belong to the part whose share their place falls into; the last
 * part takes those at the very end. */
static sk_status run_share(const attn_run *r, uint32_t part, uint32_t parts, sk_err *err)
{
    const uint64_t lo = share_begin(r, part, parts), hi = share_begin(r, part + 1, parts);
    const uint32_t pairs = r->a.batch * r->kv_heads;
    uint64_t at = 0;
    for (uint32_t v = 0; v < pairs; v++) {
        const uint32_t n = pair_pages(r, v);
        const uint64_t from = at > lo ? at : lo, to = at + n < hi ? at + n : hi;
        const bool empty_here =
            n == 0 && ((at >= lo && at < hi) || (at == r->pages && part + 1 == parts));
        if (empty_here || (n > 0 && from < to)) {
            const bool whole = empty_here || (from == at && to == at + n);
            const uint32_t slot = whole ? SK_ITEM_FINAL : 2 * part + (at < lo ? 0 : 1);
            const uint32_t first = empty_here ? 0 : (uint32_t)(from - at);
            const uint32_t end = empty_here ? 0 : (uint32_t)(to - at);
            const sk_status st = run_pair(r, v, first, end, slot, part, err);
            if (st != SPHKV_OK) return st;
        }
        at += n;
        if (at > hi) break;
    }
    return SPHKV_OK;
}

static sk_status merge_pair(const attn_run *r, uint32_t v, uint64_t at, uint32_t n, uint32_t part,
                            uint32_t parts, sk_err *err)
{
    uint32_t *job = (uint32_t *)(void *)(part_space(r, part) + r->space.job);
    uint32_t count = 0;
    job[SK_JOB_OUT] = out_offset(r, v);
    job[SK_JOB_LSE] = lse_offset(r, v);
    for (uint32_t i = 0; i < parts; i++) {
        const uint64_t lo = share_begin(r, i, parts), hi = share_begin(r, i + 1, parts);
        const uint64_t from = at > lo ? at : lo, to = at + n < hi ? at + n : hi;
        if (from < to) job[SK_JOB_SLOTS + count++] = 2 * i + (at < lo ? 0 : 1);
    }
    job[SK_JOB_COUNT] = count;
    const sphkv_attn_args *a = &r->a;
    sk_call call = {.shared = part_space(r, part)};
    sk_call_ptr(&call, job, r->space.job_bytes);
    sk_call_ptr(&call, r->base + r->space.partials,
                2 * (size_t)r->image->maxima.parts * r->space.partial_bytes);
    sk_call_ptr(&call, a->out, out_extent(r));
    sk_call_u32(&call, a->out_stride_head * out_bytes(r));
    sk_call_ptr(&call, a->lse, lse_extent(r));
    return sk_image_call(r->image, SK_DEC_MERGE, &call, 0, err);
}

static sk_status merge_shared(const attn_run *r, uint32_t part, uint32_t parts, sk_err *err)
{
    const uint32_t pairs = r->a.batch * r->kv_heads;
    uint64_t at = 0;
    uint32_t cut = 1; /* the next border between two shares */
    for (uint32_t v = 0; v < pairs && cut < parts; v++) {
        const uint32_t n = pair_pages(r, v);
        while (cut < parts && share_begin(r, cut, parts) <= at) cut++;
        if (cut < parts && share_begin(r, cut, parts) < at + n) {
            const sk_status st = merge_pair(r, v, at, n, part, parts, err);
            if (st != SPHKV_OK) return st;
        }
        at += n;
    }
    return SPHKV_OK;
}

sk_status sk_attn_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                      sk_err *err)
{
    attn_run r;
    if (parts == 0 || parts > image->maxima.parts || part >= parts)
        return sk_fail(err, SPHKV_EINVAL, "part %u of %u, the plan is for %u", part, parts,
                       image->maxima.parts);
    sk_status st = attn_prepare(&r, image, args, err);
    if (st != SPHKV_OK) return st;
    st = run_share(&r, part, parts, err);
    if (parts == 1) return st;
    /* release what this part wrote, acquire what the others did; a part that
     * failed counts too, so that the next run finds the counter at 0 */
    _Atomic uint32_t *done = (_Atomic uint32_t *)(void *)r.base;
    if (atomic_fetch_add_explicit(done, 1, memory_order_acq_rel) + 1 < parts) return st;
    if (st == SPHKV_OK) st = merge_shared(&r, part, parts, err);
    atomic_store_explicit(done, 0, memory_order_release);
    return st;
}
