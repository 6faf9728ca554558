/* extend_run.c - the host side of attn_extend: checks the arguments, cuts the query
 * tokens of each sequence and KV head into tiles and deals these to parts.
 *
 * Tiles form one row, in the order of sequences, KV heads and tokens; each weighs its
 * rows, and what rebuilding a page costs in rows, times the tokens that are seen. A
 * part takes the tiles that begin in its share of the whole weight: a share is a run
 * of the row, so what a part reads again lies in its caches. Tiles are small against
 * shares where there is anything to share. */
#include <math.h>
#include <string.h>

#include "extend.h"
#include "page_table.h"
#include "part_rope.h"
#include "variants.h"

/* ---- arguments ------------------------------------------------------------ */

static sk_status check_sequences(const sk_extend_run_state *r, sk_err *err)
{
    const sphkv_extend_args *a = &r->a;
    if (a->batch == 0) return SPHKV_OK;
    if (a->q_indptr == NULL || (uintptr_t)a->q_indptr % sizeof *a->q_indptr != 0)
        return sk_fail(err, SPHKV_EINVAL, "q_indptr is NULL, or not aligned to its elements");
    for (uint32_t s = 0; s < a->batch && !r->device; s++)
        if (a->q_indptr[s + 1] < a->q_indptr[s])
            return sk_fail(err, SPHKV_EINVAL, "q_indptr falls at sequence %u", s);
    return SPHKV_OK;
}

/* Bytes from the beginning to behind the last row that this run touches; at most, where
 * only the device knows how many query tokens there are. */
static uint64_t reach(const sk_extend_run_state *r, uint32_t stride_tok, uint32_t stride_head, uint32_t dim,
                      uint32_t es)
{
    if (r->device) return r->a.batch ? UINT32_MAX : 0;
    const uint32_t end = r->a.batch ? r->a.q_indptr[r->a.batch] : 0;
    const uint32_t rows = (r->look.kv_first + r->look.kv_count) * r->image->spec.heads_per_kv;
    if (end == 0 || end == r->a.q_indptr[0]) return 0;
    return (sk_items_steps(end - 1, stride_tok) + sk_items_steps(rows - 1, stride_head) + dim) * es;
}

/* Offsets are 32 bits; rows of the output are written in words. */
static sk_status check_rows(sk_extend_run_state *r, sk_err *err)
{
    const sk_spec *spec = &r->image->spec;
    const sphkv_extend_args *a = &r->a;
    r->q_bytes = reach(r, a->q_stride_tok, a->q_stride_head, spec->d, r->q_es);
    r->out_bytes = reach(r, a->out_stride_tok, a->out_stride_head, spec->dv, r->out_es);
    r->lse_bytes = a->lse ? reach(r, a->lse_stride_tok, 1, 1, 4) : 0;
    if (r->q_bytes > 0 && (a->q == NULL || a->out == NULL))
        return sk_fail(err, SPHKV_EINVAL, "q or out is NULL");
    if ((r->q_bytes | r->out_bytes | r->lse_bytes) > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "q, out or lse spans 4 GiB or more");
    if ((uintptr_t)a->q % r->q_es != 0 || (uintptr_t)a->lse % 4 != 0 || (uintptr_t)a->out % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL,
                       "q or lse is not aligned to its elements, or out not to 4 bytes");
    if (r->out_es == 2 && (a->out_stride_tok % 2 != 0 || a->out_stride_head % 2 != 0))
        return sk_fail(err, SPHKV_EINVAL,
                       "out_stride_tok %u, out_stride_head %u: even in %s, rows begin at 4 bytes",
                       a->out_stride_tok, a->out_stride_head, sk_dtype_name(spec->out_dtype));
    return SPHKV_OK;
}

static void complete(sk_extend_run_state *r)
{
    const sk_spec *spec = &r->image->spec;
    sphkv_extend_args *a = &r->a;
    if (a->scale == 0) a->scale = 1.0f / sqrtf((float)spec->d);
    if (a->q_stride_head == 0) a->q_stride_head = spec->d;
    if (a->q_stride_tok == 0) a->q_stride_tok = sk_items_dense((uint64_t)r->heads * spec->d);
    if (a->out_stride_head == 0) a->out_stride_head = spec->dv;
    if (a->out_stride_tok == 0) a->out_stride_tok = sk_items_dense((uint64_t)r->heads * spec->dv);
    if (a->lse_stride_tok == 0) a->lse_stride_tok = r->heads;
}

static sk_status check_words(const sk_spec *spec, const sphkv_extend_args *a, sk_err *err)
{
    const sk_variant_args v = SK_VARIANTS_OF(a);
    if (a->mask == SPHKV_MASK_NONE && spec->variants & SPHKV_VARIANT_POSITIONS)
        return sk_fail(err, SPHKV_EINVAL, "mask is SPHKV_MASK_NONE: positions say who is seen, "
                       "with SPHKV_MASK_CAUSAL");
    if (a->mask > SPHKV_MASK_NONE)
        return sk_fail(err, SPHKV_EINVAL, "mask is %u: SPHKV_MASK_CAUSAL or SPHKV_MASK_NONE", a->mask);
    if (!(fabsf(a->scale) < 1e30f)) return sk_fail(err, SPHKV_EINVAL, "scale is not finite");
    const sk_status st = sk_variants_check(spec, &v, a->batch == 0, err);
    return st == SPHKV_OK ? sk_args_reserved(a->reserved, err) : st;
}

sk_status sk_extend_read(sk_extend_run_state *r, const sk_image *image, const void *args, bool device,
                         sk_err *err)
{
    const sphkv_extend_args *a = &r->a;
    memset(r, 0, sizeof *r);
    sk_status st = sk_args_copy(&r->a, sizeof r->a, args, err);
    if (st == SPHKV_OK) st = check_words(&image->spec, a, err);
    if (st != SPHKV_OK) return st;
    r->image = image;
    r->device = device;
    r->heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    r->q_es = image->spec.q_dtype == SPHKV_F32 ? 4 : 2;
    r->out_es = image->spec.out_dtype == SPHKV_F32 ? 4 : 2;
    r->tokens = sk_extend_tokens(&image->spec, &image->schedule);
    r->look = (sk_table_look){.image = image, .table = &a->table, .batch = a->batch,
                              .kv_first = a->kv_head_first, .kv_count = a->kv_head_count,
                              .arena = a->arena, .arena_bytes = a->arena_bytes,
                              .most_tokens = SK_EXT_MOST_TOKENS};
    st = sk_table_heads(&r->look, err);
    if (st == SPHKV_OK) st = check_sequences(r, err);
    if (st != SPHKV_OK) return st;
    complete(r);
    st = check_rows(r, err);
    if (st == SPHKV_OK) st = sk_items_aligned(a->arena, err);
    if (st == SPHKV_OK)
        st = sk_items_books(image, r->look.kv_first + r->look.kv_count, a->codebook,
                            a->codebook_bytes, err);
    if (st == SPHKV_OK) st = sk_items_workspace(image, a->workspace, a->workspace_bytes, err);
    if (st == SPHKV_OK) st = sk_rope_check(&image->spec, &r->a.rope, a->batch == 0, err);
    r->look.rope = &a->rope;
    if (st != SPHKV_OK) return st;
    return device ? sk_table_frame(&r->look, err) : sk_table_check(&r->look, err);
}

/* ---- tiles ---------------------------------------------------------------- */

#define REBUILD_ROWS 16 /* rows that rebuilding a page costs as much as */

/* A list of one KV head, with the queries of its sequence. */
typedef struct extend_list {
    uint32_t first, q_len; /* query tokens */
    uint32_t kv_head;
    uint32_t lo, hi;       /* references */
    uint64_t tokens;
} extend_list;

static extend_list list_of(const sk_extend_run_state *r, uint32_t seq, uint32_t kv_head)
{
    const sphkv_page_table *t = &r->a.table;
    const uint32_t list = r->look.shared ? seq : seq * t->lists_per_seq + kv_head;
    extend_list l = {.first = r->a.q_indptr[seq], .kv_head = kv_head,
                     .lo = t->indptr[list], .hi = t->indptr[list + 1]};
    l.q_len = r->a.q_indptr[seq + 1] - l.first;
    for (uint32_t i = l.lo; i < l.hi; i++) l.tokens += sphkv_ref_tokens(t->refs[i]);
    return l;
}

static bool has(const sk_extend_run_state *r, uint32_t variant)
{
    return (r->image->spec.variants & variant) != 0;
}

/* Whether each query sees one token more than the one before. */
static bool moves_on(const sk_extend_run_state *r)
{
    return r->a.mask == SPHKV_MASK_CAUSAL && !has(r, SPHKV_VARIANT_POSITIONS);
}

/* Tokens up to the last one that query i may see; negative for one before the beginning of
 * the list. */
static int64_t sees(const sk_extend_run_state *r, const extend_list *l, uint32_t i)
{
    return moves_on(r) ? (int64_t)l->tokens - l->q_len + i + 1 : (int64_t)l->tokens;
}

/* The first place that the window of query i reaches; may lie before the list, or behind it. */
static int64_t begins(const sk_extend_run_state *r, const extend_list *l, uint32_t i)
{
    if (!has(r, SPHKV_VARIANT_WINDOW) || has(r, SPHKV_VARIANT_POSITIONS)) return 0;
    const int64_t place = (int64_t)l->tokens + i - (r->a.mask == SPHKV_MASK_CAUSAL ? l->q_len : 0);
    return place + 1 - r->a.window;
}

/* Query tokens i .. of a list: how many are in the tile, and what it weighs. */
static uint32_t tile_tokens(const sk_extend_run_state *r, const extend_list *l, uint32_t i)
{
    return l->q_len - i < r->tokens ? l->q_len - i : r->tokens;
}

static double tile_weight(const sk_extend_run_state *r, const extend_list *l, uint32_t i)
{
    const uint32_t n = tile_tokens(r, l, i);
    const int64_t begin = begins(r, l, i), seen = sees(r, l, i + n - 1) - (begin > 0 ? begin : 0);
    return ((double)n * r->image->spec.heads_per_kv + REBUILD_ROWS) * (double)(seen > 0 ? seen + 1 : 1);
}

static double whole_weight(const sk_extend_run_state *r)
{
    double sum = 0;
    for (uint32_t s = 0; s < r->a.batch; s++)
        for (uint32_t h = 0; h < r->look.kv_count; h++) {
            const extend_list l = list_of(r, s, r->look.kv_first + h);
            for (uint32_t i = 0; i < l.q_len; i += r->tokens) sum += tile_weight(r, &l, i);
        }
    return sum;
}

/* The pages that a tile sees anything of. */
static void tile_pages(const sk_extend_run_state *r, const extend_list *l, uint32_t i, uint32_t item[SK_EXT_WORDS])
{
    const int64_t last = sees(r, l, i + tile_tokens(r, l, i) - 1), begin = begins(r, l, i);
    int64_t at = 0;
    item[SK_EXT_BEFORE] = 0;
    item[SK_EXT_LO] = l->lo;
    for (uint32_t k = item[SK_EXT_HI] = l->lo; k < l->hi && at < last; k++) {
        at += sphkv_ref_tokens(r->a.table.refs[k]);
        item[SK_EXT_HI] = k + 1;
        if (at > begin) continue;
        item[SK_EXT_LO] = k + 1;
        item[SK_EXT_BEFORE] = (uint32_t)at;
    }
}

static uint32_t signed_word(int64_t x)
{
    const int64_t most = SK_EXT_MOST_TOKENS;
    return (uint32_t)(int32_t)(x < -most ? -most : x < most ? x : most);
}

/* The item of a tile. */
static void tile_item(const sk_extend_run_state *r, const extend_list *l, uint32_t i,
                      uint32_t item[SK_EXT_WORDS])
{
    const sphkv_extend_args *a = &r->a;
    const uint32_t token = l->first + i, head = l->kv_head * r->image->spec.heads_per_kv;
    const uint32_t n = tile_tokens(r, l, i);
    item[SK_EXT_Q] = (token * a->q_stride_tok + head * a->q_stride_head) * r->q_es;
    item[SK_EXT_OUT] = (token * a->out_stride_tok + head * a->out_stride_head) * r->out_es;
    item[SK_EXT_LSE] = a->lse ? (token * a->lse_stride_tok + head) * 4 : SK_ITEM_NONE;
    item[SK_EXT_HEAD] = l->kv_head;
    item[SK_EXT_TOKENS] = n;
    item[SK_EXT_SEES] = signed_word(sees(r, l, i));
    item[SK_EXT_BEGIN] = signed_word(begins(r, l, i));
    item[SK_EXT_STEP] = moves_on(r);
    item[SK_EXT_TOKEN] = token;
    item[SK_EXT_SINK] = a->sinks ? head * 4 : SK_ITEM_NONE;
    tile_pages(r, l, i, item);
    for (uint32_t k = 0; k < r->image->spec.ntiers; k++)
        item[SK_EXT_UNITS + k] = r->look.shared ? l->kv_head * r->image->units[k] : 0;
}

/* ---- the whole ------------------------------------------------------------ */

size_t sk_extend_workspace(const sk_image *image)
{
    return image->maxima.parts * sk_items_scratch(image);
}

void sk_extend_call(const sk_extend_run_state *r, sk_call *call)
{
    const sphkv_extend_args *a = &r->a;
    sk_call_f32(call, (float)((double)a->scale * 1.4426950408889634));
    sk_call_ptr(call, a->q, r->q_bytes);
    sk_call_u32(call, a->q_stride_tok * r->q_es);
    sk_call_u32(call, a->q_stride_head * r->q_es);
    sk_call_ptr(call, a->out, r->out_bytes);
    sk_call_u32(call, a->out_stride_tok * r->out_es);
    sk_call_u32(call, a->out_stride_head * r->out_es);
    sk_call_ptr(call, a->lse, r->lse_bytes);
    sk_call_u32(call, a->lse_stride_tok * 4);
    const sk_variant_args v = SK_VARIANTS_OF(a);
    const bool known = a->batch && !r->device;
    sk_variants_call(call, &r->image->spec, &v,
                     &(sk_variant_counts){.heads = r->heads, .refs = r->look.refs_end,
                                          .positions = known ? a->q_indptr[a->batch] : 0});
    sk_rope_call(call, &r->image->spec, &a->rope);
}

static void set_up_call(const sk_extend_run_state *r, const uint32_t *item, uint32_t part, sk_call *call)
{
    const sphkv_extend_args *a = &r->a;
    *call = (sk_call){.shared = (uint8_t *)a->workspace + part * sk_items_scratch(r->image)};
    sk_call_ptr(call, item, SK_EXT_WORDS * sizeof *item);
    sk_call_ptr(call, a->codebook, a->codebook_bytes);
    sk_call_ptr(call, a->arena, a->arena_bytes);
    sk_call_ptr(call, a->table.refs, r->look.refs_end * 8);
    sk_extend_call(r, call);
}

sk_status sk_extend_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                        sk_err *err)
{
    sk_extend_run_state r;
    sk_call call;
    uint32_t item[SK_EXT_WORDS] = {0};
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_extend_read(&r, image, args, false, err);
    if (st != SPHKV_OK) return st;
    const double each = whole_weight(&r) / parts, lo = part * each;
    const double hi = part + 1 == parts ? (double)INFINITY : (part + 1) * each;
    double at = 0;
    set_up_call(&r, item, part, &call);
    for (uint32_t s = 0; s < r.a.batch; s++)
        for (uint32_t h = 0; h < r.look.kv_count && at < hi; h++) {
            const extend_list l = list_of(&r, s, r.look.kv_first + h);
            for (uint32_t i = 0; i < l.q_len; i += r.tokens) {
                if (at >= lo && at < hi) {
                    tile_item(&r, &l, i, item);
                    st = sk_image_call(image, 0, &call, 0, err);
                    if (st != SPHKV_OK) return st;
                }
                at += tile_weight(&r, &l, i);
            }
        }
    return SPHKV_OK;
}
