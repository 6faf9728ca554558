/* attn_args.c - the arguments of attn_decode: read, completed, checked. Every part
 * checks all of them, since no part may write before all know that they are
 * right and nothing is handed between parts. */
#include <math.h>

#include "attn_run.h"
#include "items.h"
#include "part_rope.h"
#include "page_table.h"
#include "variants.h"

/* ---- buffers ----------------------------------------------------------------- */

/* Bytes from the first to behind the last row that this run touches; 0 when none. */
static uint64_t reach(const sk_attn_run_state *r, uint64_t stride_seq, uint64_t stride_tok,
                      uint64_t stride_head, uint32_t dim, uint32_t es)
{
    if (r->pairs == 0) return 0;
    const uint64_t rows = (uint64_t)(r->kv_first + r->kv_count) * r->image->spec.heads_per_kv;
    const uint64_t first = (r->a.batch - 1) * stride_seq + (r->a.q_len - 1) * stride_tok;
    return (first + (rows - 1) * stride_head + dim) * es;
}

/* Rows of the output are written in 32-bit words. */
static sk_status check_words(const sk_attn_run_state *r, sk_err *err)
{
    const sphkv_attn_args *a = &r->a;
    if ((uintptr_t)a->out % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "out is not aligned to 4 bytes");
    if (r->out_es == 4) return SPHKV_OK;
    if ((r->heads > 1 && a->out_stride_head % 2 != 0) || (a->batch > 1 && a->out_stride_seq % 2 != 0) ||
        (a->q_len > 1 && a->out_stride_tok % 2 != 0))
        return sk_fail(err, SPHKV_EINVAL,
                       "out_stride_seq %u, out_stride_tok %u, out_stride_head %u: even in %s, rows "
                       "begin at 4 bytes",
                       a->out_stride_seq, a->out_stride_tok, a->out_stride_head,
                       sk_dtype_name(r->image->spec.out_dtype));
    return SPHKV_OK;
}

/* q and what is written for each head. Offsets are 32 bits. */
static sk_status check_rows(sk_attn_run_state *r, sk_err *err)
{
    const sk_spec *spec = &r->image->spec;
    const sphkv_attn_args *a = &r->a;
    r->q_bytes = reach(r, a->q_stride_seq, a->q_stride_tok, a->q_stride_head, spec->d, r->q_es);
    r->out_bytes =
        reach(r, a->out_stride_seq, a->out_stride_tok, a->out_stride_head, spec->dv, r->out_es);
    r->lse_bytes =
        a->lse == NULL ? 0 : reach(r, a->lse_stride_seq, a->lse_stride_tok, 1, 1, 4);
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
    if ((uintptr_t)a->arena % SPHKV_UNIT_BYTES != 0)
        return sk_fail(err, SPHKV_EINVAL, "arena is not aligned to %u bytes", SPHKV_UNIT_BYTES);
    const sk_status st = sk_items_books(r->image, r->kv_first + r->kv_count, a->codebook,
                                        a->codebook_bytes, err);
    if (st != SPHKV_OK) return st;
    return sk_items_workspace(r->image, a->workspace, a->workspace_bytes, err);
}

/* After the table: rows of statistics are counted in 32 bits. */
static sk_status check_statistics(sk_attn_run_state *r, sk_err *err)
{
    const sphkv_attn_args *a = &r->a;
    r->ml_step = a->page_ml == NULL ? 0 : r->shared ? r->image->maxima.kv_heads : 1;
    const uint64_t rows = r->refs_end * r->ml_step * a->q_len;
    r->ml_bytes = rows * r->image->spec.heads_per_kv * 8;
    if (rows > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL,
                       "page_ml: more than 2^32 references times KV heads and query tokens");
    if ((uintptr_t)a->lse % 4 != 0 || (uintptr_t)a->page_ml % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "lse or page_ml is not aligned to its elements");
    return SPHKV_OK;
}

/* ---- what variants read --------------------------------------------------------- */

static sk_status check_variants(const sk_attn_run_state *r, sk_err *err)
{
    const sphkv_attn_args *a = &r->a;
    const sk_variant_args v = SK_VARIANTS_OF(a);
    if (a->q_len > r->image->maxima.q_len)
        return sk_fail(err, SPHKV_EINVAL, "q_len %u, the plan is for %u", a->q_len, r->image->maxima.q_len);
    if (!(r->image->spec.variants & SPHKV_VARIANT_QUERIES) &&
        (a->q_len > 1 || a->q_stride_tok || a->out_stride_tok || a->lse_stride_tok))
        return sk_fail(err, SPHKV_EINVAL, "q_len or a stride from token to token is set: the spec lacks "
                       "the variant queries");
    return sk_variants_check(&r->image->spec, &v, a->batch == 0, err);
}

/* ---- the whole ------------------------------------------------------------------ */

/* What may be left out. */
static void complete(sk_attn_run_state *r)
{
    const sk_spec *spec = &r->image->spec;
    sphkv_attn_args *a = &r->a;
    if (a->scale == 0) a->scale = 1.0f / sqrtf((float)spec->d);
    if (a->q_stride_head == 0) a->q_stride_head = spec->d;
    const uint64_t rows = (uint64_t)a->q_len * r->heads;
    if (a->q_stride_tok == 0) a->q_stride_tok = sk_items_dense((uint64_t)r->heads * spec->d);
    if (a->q_stride_seq == 0) a->q_stride_seq = sk_items_dense(rows * spec->d);
    if (a->out_stride_head == 0) a->out_stride_head = spec->dv;
    if (a->out_stride_tok == 0) a->out_stride_tok = sk_items_dense((uint64_t)r->heads * spec->dv);
    if (a->out_stride_seq == 0) a->out_stride_seq = sk_items_dense(rows * spec->dv);
    if (a->lse_stride_tok == 0) a->lse_stride_tok = r->heads;
    if (a->lse_stride_seq == 0) a->lse_stride_seq = a->q_len * r->heads;
}

sk_status sk_attn_read(sk_attn_run_state *r, const sk_image *image, const void *args, bool device,
                       sk_err *err)
{
    sk_status st = sk_args_copy(&r->a, sizeof r->a, args, err);
    if (st == SPHKV_OK) st = sk_args_reserved(r->a.reserved, err);
    if (st == SPHKV_OK) st = sk_args_reserved(r->a.reserved2, err);
    if (st != SPHKV_OK) return st;
    r->image = image;
    r->heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    r->q_es = image->spec.q_dtype == SPHKV_F32 ? 4 : 2;
    r->out_es = image->spec.out_dtype == SPHKV_F32 ? 4 : 2;
    sk_table_look look = {.image = image,
                          .table = &r->a.table,
                          .batch = r->a.batch,
                          .kv_first = r->a.kv_head_first,
                          .kv_count = r->a.kv_head_count,
                          .arena = r->a.arena,
                          .arena_bytes = r->a.arena_bytes,
                          .most_tokens = sk_dec_counts(&image->spec) ? UINT32_MAX : 0};
    st = sk_table_heads(&look, err);
    if (st != SPHKV_OK) return st;
    r->kv_first = look.kv_first;
    r->kv_count = look.kv_count;
    r->pairs = r->a.batch * r->kv_count;
    if (!(fabsf(r->a.scale) < 1e30f)) return sk_fail(err, SPHKV_EINVAL, "scale is not finite");
    if (r->a.q_len == 0) r->a.q_len = 1;
    st = check_variants(r, err);
    if (st != SPHKV_OK) return st;
    complete(r);
    st = sk_rope_check(&image->spec, &r->a.rope, r->a.batch == 0, err);
    look.rope = &r->a.rope;
    if (st == SPHKV_OK) st = check_rows(r, err);
    if (st == SPHKV_OK) st = check_buffers(r, err);
    if (st == SPHKV_OK) st = device ? sk_table_frame(&look, err) : sk_table_check(&look, err);
    r->shared = look.shared;
    r->pages = look.pages;
    r->refs_end = look.refs_end;
    return st == SPHKV_OK ? check_statistics(r, err) : st;
}
