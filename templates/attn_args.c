/* attn_args.c - the arguments of attn_decode: read, completed, checked. Every part
 * checks all of them, since no part may write before all know that they are
 * right and nothing is handed between parts; so the walk over the page table is
 * one pass without branches, and what is wrong is looked for when something is. */
#include <math.h>
#include <string.h>

#include "attn_run.h"

/* ---- the page table -------------------------------------------------------- */

/* Places in the arena where a page of each tier may begin; none for tiers that
 * the mix does not have. With shared lists the last sub-page of this run must
 * lie in the arena. */
typedef struct arena_room {
    uint64_t places[SK_MAX_TIERS + 1];
} arena_room;

static arena_room room_of(const sk_attn_run_state *r)
{
    const uint64_t subs = r->shared ? r->kv_first + r->kv_count : 1, most = (uint64_t)1 << 32;
    uint64_t units = r->a.arena_bytes / SPHKV_UNIT_BYTES;
    if (units > most) units = most; /* units are 32 bits */
    arena_room room = {{0}};
    for (uint32_t k = 0; k < r->image->spec.ntiers; k++) {
        const uint64_t page = subs * r->image->units[k];
        room.places[k] = units >= page ? units - page + 1 : 0;
    }
    return room;
}

static bool ref_wrong(const arena_room *room, uint32_t page, uint64_t ref, uint32_t last)
{
    const uint32_t tier = sphkv_ref_tier(ref);
    return (tier < last) | (sphkv_ref_tokens(ref) > page) |
           (sphkv_ref_unit(ref) >= room->places[tier < SK_MAX_TIERS ? tier : SK_MAX_TIERS]);
}

/* What is wrong with refs[i], whose list's tier before it is `last`. */
static sk_status explain_ref(const sk_attn_run_state *r, uint32_t i, uint32_t last, sk_err *err)
{
    const sk_spec *spec = &r->image->spec;
    const uint64_t ref = r->a.table.refs[i];
    const uint32_t tier = sphkv_ref_tier(ref);
    if (tier >= spec->ntiers || tier < last)
        return sk_fail(err, SPHKV_EINVAL, "refs[%u]: tier slot %u (mix has %u, sorted in a list)", i,
                       tier, spec->ntiers);
    if (sphkv_ref_tokens(ref) > spec->page)
        return sk_fail(err, SPHKV_EINVAL, "refs[%u]: %u tokens in a page of %u", i,
                       sphkv_ref_tokens(ref), spec->page);
    return sk_fail(err, SPHKV_EINVAL, "refs[%u]: page at unit %u ends beyond the arena", i,
                   sphkv_ref_unit(ref));
}

static sk_status check_list(const sk_attn_run_state *r, const arena_room *room, uint32_t list,
                            sk_err *err)
{
    const sphkv_page_table *t = &r->a.table;
    const uint32_t lo = t->indptr[list], hi = t->indptr[list + 1], page = r->image->spec.page;
    if (hi < lo) return sk_fail(err, SPHKV_EINVAL, "table.indptr falls at list %u", list);
    if (hi - lo > r->image->maxima.pages_per_list)
        return sk_fail(err, SPHKV_EINVAL, "list %u has %u pages, the plan is for %u", list, hi - lo,
                       r->image->maxima.pages_per_list);
    if (hi == lo) return SPHKV_OK;
    if (t->refs == NULL || r->a.arena == NULL)
        return sk_fail(err, SPHKV_EINVAL, "table.refs or arena is NULL");
    bool wrong = false;
    uint32_t last = 0;
    for (uint32_t i = lo; i < hi; i++) {
        wrong |= ref_wrong(room, page, t->refs[i], last);
        last = sphkv_ref_tier(t->refs[i]);
    }
    if (!wrong) return SPHKV_OK;
    last = 0;
    for (uint32_t i = lo;; last = sphkv_ref_tier(t->refs[i++]))
        if (ref_wrong(room, page, t->refs[i], last)) return explain_ref(r, i, last, err);
}

static sk_status check_lists(sk_attn_run_state *r, sk_err *err)
{
    const arena_room room = room_of(r);
    const uint32_t *indptr = r->a.table.indptr;
    const uint32_t each = r->shared ? 1 : r->kv_count, per_list = r->shared ? r->kv_count : 1;
    for (uint32_t seq = 0; seq < r->a.batch; seq++) {
        const uint32_t first = sk_attn_list(r, seq, r->kv_first);
        for (uint32_t list = first; list < first + each; list++) {
            const sk_status st = check_list(r, &room, list, err);
            if (st != SPHKV_OK) return st;
            r->pages += (uint64_t)(indptr[list + 1] - indptr[list]) * per_list;
        }
        if (indptr[first + each] > r->refs_end) r->refs_end = indptr[first + each];
    }
    return SPHKV_OK;
}

static sk_status check_table(sk_attn_run_state *r, sk_err *err)
{
    const sphkv_page_table *t = &r->a.table;
    const uint32_t kv_heads = r->image->maxima.kv_heads;
    if (t->lists_per_seq != 1 && t->lists_per_seq != kv_heads)
        return sk_fail(err, SPHKV_EINVAL, "table.lists_per_seq is %u: 1 or %u (KV heads)",
                       t->lists_per_seq, kv_heads);
    if ((uint64_t)r->a.batch * t->lists_per_seq != t->lists)
        return sk_fail(err, SPHKV_EINVAL, "table.lists is %u, batch %u times %u lists per sequence",
                       t->lists, r->a.batch, t->lists_per_seq);
    if (t->lists > 0 && t->indptr == NULL)
        return sk_fail(err, SPHKV_EINVAL, "table.indptr is NULL");
    r->shared = t->lists_per_seq == 1;
    return check_lists(r, err);
}

/* ---- buffers ----------------------------------------------------------------- */

/* Bytes from the first to behind the last row that this run touches; 0 when none. */
static uint64_t reach(const sk_attn_run_state *r, uint64_t stride_seq, uint64_t stride_head,
                      uint32_t dim, uint32_t es)
{
    if (r->pairs == 0) return 0;
    const uint64_t rows = (uint64_t)(r->kv_first + r->kv_count) * r->image->spec.heads_per_kv;
    return ((r->a.batch - 1) * stride_seq + (rows - 1) * stride_head + dim) * es;
}

/* Rows of the output are written in 32-bit words. */
static sk_status check_words(const sk_attn_run_state *r, sk_err *err)
{
    const sphkv_attn_args *a = &r->a;
    if ((uintptr_t)a->out % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "out is not aligned to 4 bytes");
    if (r->out_es == 4) return SPHKV_OK;
    if ((r->heads > 1 && a->out_stride_head % 2 != 0) || (a->batch > 1 && a->out_stride_seq % 2 != 0))
        return sk_fail(err, SPHKV_EINVAL,
                       "out_stride_seq %u, out_stride_head %u: even in %s, rows begin at 4 bytes",
                       a->out_stride_seq, a->out_stride_head, sk_dtype_name(r->image->spec.out_dtype));
    return SPHKV_OK;
}

/* q and what is written for each head. Offsets are 32 bits. */
static sk_status check_rows(sk_attn_run_state *r, sk_err *err)
{
    const sk_spec *spec = &r->image->spec;
    const sphkv_attn_args *a = &r->a;
    r->q_bytes = reach(r, a->q_stride_seq, a->q_stride_head, spec->d, r->q_es);
    r->out_bytes = reach(r, a->out_stride_seq, a->out_stride_head, spec->dv, r->out_es);
    r->lse_bytes = a->lse == NULL ? 0 : reach(r, a->lse_stride_seq, 1, 1, 4);
    if (a->batch > 0 && (a->q == NULL || a->out == NULL))
        return sk_fail(err, SPHKV_EINVAL, "q or out is NULL");
    if ((r->q_bytes | r->out_bytes | r->lse_bytes) > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "%s spans 4 GiB or more",
                       r->q_bytes > UINT32_MAX     ? "q"
                       : r->out_bytes > UINT32_MAX ? "out"
                                                   : "lse");
    if ((uintptr_t)a->q % r->q_es != 0)
        return sk_fail(err, SPHKV_EINVAL, "q is not aligned to its elements");
    return check_words(r, err);
}

static sk_status check_buffers(const sk_attn_run_state *r, sk_err *err)
{
    const sphkv_attn_args *a = &r->a;
    const uint32_t heads = r->kv_first + r->kv_count;
    const size_t books = (size_t)heads * r->image->book_stride;
    if ((uintptr_t)a->arena % SPHKV_UNIT_BYTES != 0)
        return sk_fail(err, SPHKV_EINVAL, "arena is not aligned to %u bytes", SPHKV_UNIT_BYTES);
    if (books > 0 && (a->codebook == NULL || a->codebook_bytes < books))
        return sk_fail(err, SPHKV_EINVAL, "codebook has %zu bytes, %zu needed for %u KV heads",
                       a->codebook == NULL ? (size_t)0 : a->codebook_bytes, books, heads);
    if (a->workspace == NULL || a->workspace_bytes < r->space->total ||
        (uintptr_t)a->workspace % 64 != 0)
        return sk_fail(err, SPHKV_EINVAL, "workspace: %zu bytes aligned to 64 needed",
                       r->space->total);
    return SPHKV_OK;
}

/* After the table: rows of statistics are counted in 32 bits. */
static sk_status check_statistics(sk_attn_run_state *r, sk_err *err)
{
    const sphkv_attn_args *a = &r->a;
    r->ml_step = a->page_ml == NULL ? 0 : r->shared ? r->image->maxima.kv_heads : 1;
    r->ml_bytes = r->refs_end * r->ml_step * r->image->spec.heads_per_kv * 8;
    if (r->refs_end * r->ml_step > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "page_ml: more than 2^32 references times KV heads");
    if ((uintptr_t)a->lse % 4 != 0 || (uintptr_t)a->page_ml % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "lse or page_ml is not aligned to its elements");
    return SPHKV_OK;
}

/* ---- the whole ------------------------------------------------------------------ */

/* What may be left out. */
static void complete(sk_attn_run_state *r)
{
    const sk_spec *spec = &r->image->spec;
    sphkv_attn_args *a = &r->a;
    if (a->scale == 0) a->scale = 1.0f / sqrtf((float)spec->d);
    if (a->q_stride_head == 0) a->q_stride_head = spec->d;
    if (a->q_stride_seq == 0) a->q_stride_seq = r->heads * spec->d;
    if (a->out_stride_head == 0) a->out_stride_head = spec->dv;
    if (a->out_stride_seq == 0) a->out_stride_seq = r->heads * spec->dv;
    if (a->lse_stride_seq == 0) a->lse_stride_seq = r->heads;
    r->kv_first = a->kv_head_first;
    r->kv_count = a->kv_head_count ? a->kv_head_count : r->image->maxima.kv_heads - r->kv_first;
    r->pairs = a->batch * r->kv_count;
}

sk_status sk_attn_read(sk_attn_run_state *r, const sk_image *image, const void *args, sk_err *err)
{
    const uint32_t kv_heads = image->maxima.kv_heads;
    memset(r, 0, sizeof *r);
    sk_status st = sk_args_copy(&r->a, sizeof r->a, args, err);
    if (st != SPHKV_OK) return st;
    r->image = image;
    r->space = sk_image_own(image);
    r->heads = kv_heads * image->spec.heads_per_kv;
    r->q_es = image->spec.q_dtype == SPHKV_F32 ? 4 : 2;
    r->out_es = image->spec.out_dtype == SPHKV_F32 ? 4 : 2;
    if (r->a.batch > image->maxima.batch)
        return sk_fail(err, SPHKV_EINVAL, "batch %u, the plan is for %u", r->a.batch,
                       image->maxima.batch);
    if (r->a.kv_head_first >= kv_heads || r->a.kv_head_count > kv_heads - r->a.kv_head_first)
        return sk_fail(err, SPHKV_EINVAL, "%u KV heads from %u on, the plan is for %u",
                       r->a.kv_head_count, r->a.kv_head_first, kv_heads);
    if (!(fabsf(r->a.scale) < 1e30f)) return sk_fail(err, SPHKV_EINVAL, "scale is not finite");
    complete(r);
    st = check_rows(r, err);
    if (st == SPHKV_OK) st = check_buffers(r, err);
    if (st == SPHKV_OK) st = check_table(r, err);
    return st == SPHKV_OK ? check_statistics(r, err) : st;
}
