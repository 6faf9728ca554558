/* page_mass.c - the softmax mass of every slot under the last queries: what a retention
 * scores tokens by. Applies where attn_decode does: logits are its own, of any tier and
 * with any variant, by its parts.
 *
 * A block is one list (or what all KV heads share of it, for one of them). For each query
 * it goes over the keys to find the sum of the softmax, unless the caller has that, and
 * over them again to add each slot's share. Rows of masses are the block's own. */
#include <math.h>
#include <string.h>

#include "gpu.h"
#include "items.h"
#include "page_mass.h"
#include "part_rope.h"
#include "variants.h"

/* Of attention over the same pages. */
static sk_spec attention_of(const sk_spec *spec)
{
    sk_spec attn = *spec;
    attn.kernel = SPHKV_ATTN_DECODE;
    return attn;
}

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    const sk_spec attn = attention_of(spec);
    sk_err why = {0};
    const sk_status st = sk_kernel_get(SPHKV_ATTN_DECODE)->supported(&attn, &why);
    return st == SPHKV_OK ? st : sk_fail(err, st, "page_mass, as %s", why.message);
}

/* ---- schedules -------------------------------------------------------------- */

sk_schedule sk_mass_attention(const sk_schedule *s)
{
    sk_schedule full;
    sk_schedule_begin(SK_BACKEND_CPU, &full);
    full.v[SK_T_w] = s->v[SK_T_w];
    full.v[SK_T_lut] = s->v[SK_T_lut];
    full.v[SK_T_ktok] = s->v[SK_T_ktok];
    full.v[SK_T_query] = s->v[SK_T_query];
    full.v[SK_T_vch] = 16;
    full.v[SK_T_vtok] = 1;
    full.v[SK_T_spread] = 10;
    full.v[SK_T_prob] = SK_PROB_F32;
    return full;
}

static sk_status valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target, sk_err *err)
{
    const sk_spec attn = attention_of(spec);
    const sk_schedule full = sk_mass_attention(s);
    return sk_attn_valid(&attn, &full, target, err);
}

/* As attention over these pages, as far as there is a choice. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    const sk_spec attn = attention_of(spec);
    sk_schedule full;
    sk_schedule_begin(SK_BACKEND_CPU, &full);
    sk_attn_default_schedule(&attn, target, &full);
    out->v[SK_T_w] = full.v[SK_T_w];
    out->v[SK_T_lut] = full.v[SK_T_lut];
    out->v[SK_T_ktok] = full.v[SK_T_ktok];
    out->v[SK_T_query] = full.v[SK_T_query];
    if (valid(spec, out, target, NULL) == SPHKV_OK) return;
    out->v[SK_T_lut] = SK_LUT_ROWS;
    out->v[SK_T_ktok] = 1;
}

/* ---- host side ---------------------------------------------------------------- */

static size_t workspace(const sk_image *image) { return image->maxima.parts * sk_items_scratch(image); }

static void complete(sk_mass_run *r)
{
    sphkv_mass_args *a = &r->a;
    const uint32_t d = r->image->spec.d;
    if (a->q_len == 0) a->q_len = 1;
    if (a->scale == 0) a->scale = 1.0f / sqrtf((float)d);
    if (a->q_stride_head == 0) a->q_stride_head = d;
    const uint64_t rows = (uint64_t)a->q_len * r->heads;
    if (a->q_stride_tok == 0) a->q_stride_tok = sk_items_dense((uint64_t)r->heads * d);
    if (a->q_stride_seq == 0) a->q_stride_seq = sk_items_dense(rows * d);
    if (a->lse_stride_tok == 0) a->lse_stride_tok = r->heads;
    if (a->lse_stride_seq == 0) a->lse_stride_seq = sk_items_dense(rows);
}

/* Offsets of rows are 32 bits; KV heads before the run's are part of the reach. */
static sk_status check_rows(sk_mass_run *r, sk_err *err)
{
    const sphkv_mass_args *a = &r->a;
    const uint32_t head = (r->look.kv_first + r->kv_count) * r->image->spec.heads_per_kv;
    const uint32_t es = r->q_es, last = a->batch ? a->batch - 1 : 0;
    if (a->batch == 0 || r->kv_count == 0) return SPHKV_OK;
    r->q_bytes = (sk_items_steps(last, a->q_stride_seq) + sk_items_steps(a->q_len - 1, a->q_stride_tok) +
                  sk_items_steps(head - 1, a->q_stride_head) + r->image->spec.d) * es;
    r->lse_bytes = (sk_items_steps(last, a->lse_stride_seq) +
                    sk_items_steps(a->q_len - 1, a->lse_stride_tok) + head) * 4;
    if (a->q == NULL || a->mass == NULL) return sk_fail(err, SPHKV_EINVAL, "q or mass is NULL");
    if ((r->q_bytes | r->lse_bytes) > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "%s spans 4 GiB or more", r->q_bytes > UINT32_MAX ? "q" : "lse");
    if ((uintptr_t)a->q % es != 0 || ((uintptr_t)a->lse | (uintptr_t)a->mass | (uintptr_t)a->page_mass) % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "q, lse, mass or page_mass is not aligned to its elements");
    return SPHKV_OK;
}

static sk_status check_buffers(sk_mass_run *r, bool device, sk_err *err)
{
    const sphkv_mass_args *a = &r->a;
    sk_status st = a->batch ? sk_items_aligned(a->arena, err) : SPHKV_OK;
    if (st == SPHKV_OK)
        st = sk_items_books(r->image, r->look.kv_first + r->kv_count, a->codebook, a->codebook_bytes, err);
    if (st == SPHKV_OK) st = sk_items_workspace(r->image, a->workspace, a->workspace_bytes, err);
    if (st == SPHKV_OK) st = sk_rope_check(&r->image->spec, &r->a.rope, a->batch == 0, err);
    r->look.rope = &a->rope;
    if (st == SPHKV_OK) st = device ? sk_table_frame(&r->look, err) : sk_table_check(&r->look, err);
    if (st != SPHKV_OK) return st;
    r->step = r->look.shared ? r->image->maxima.kv_heads : 1;
    r->rows = r->look.refs_end * r->step;
    if (r->rows > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "mass: more than 2^32 references times KV heads");
    return SPHKV_OK;
}

sk_status sk_mass_read(sk_mass_run *r, const sk_image *image, const void *args, bool device, sk_err *err)
{
    memset(r, 0, sizeof *r);
    sk_status st = sk_args_copy(&r->a, sizeof r->a, args, err);
    const sk_variant_args v = SK_VARIANTS_OF(&r->a);
    if (st == SPHKV_OK) st = sk_args_reserved(r->a.reserved, err);
    if (st == SPHKV_OK) st = sk_variants_check(&image->spec, &v, r->a.batch == 0, err);
    if (st != SPHKV_OK) return st;
    r->image = image;
    r->q_es = image->spec.q_dtype == SPHKV_F32 ? 4 : 2;
    r->heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    r->look = (sk_table_look){.image = image, .table = &r->a.table, .batch = r->a.batch,
                              .kv_first = r->a.kv_head_first, .kv_count = r->a.kv_head_count,
                              .arena = r->a.arena, .arena_bytes = r->a.arena_bytes,
                              .most_tokens = sk_dec_counts(&image->spec) ? UINT32_MAX : 0};
    st = sk_table_heads(&r->look, err);
    if (st != SPHKV_OK) return st;
    r->kv_count = r->look.kv_count;
    if (!(fabsf(r->a.scale) < 1e30f)) return sk_fail(err, SPHKV_EINVAL, "scale is not finite");
    complete(r);
    st = check_rows(r, err);
    return st == SPHKV_OK ? check_buffers(r, device, err) : st;
}

/* The item of sequence seq and a KV head; false: it has no pages. */
static bool fill_item(const sk_mass_run *r, uint32_t seq, uint32_t kv_head, uint32_t *item)
{
    const sphkv_mass_args *a = &r->a;
    const uint32_t list = r->look.shared ? seq : seq * r->image->maxima.kv_heads + kv_head;
    const uint32_t end = a->table.indptr[list + 1], head = kv_head * r->image->spec.heads_per_kv;
    uint64_t tokens = 0;
    uint32_t i = a->table.indptr[list];
    if (i == end) return false;
    memset(item, 0, SK_ITEM_WORDS_ALL * sizeof *item);
    item[SK_ITEM_Q] = (seq * a->q_stride_seq + head * a->q_stride_head) * r->q_es;
    item[SK_ITEM_HEAD] = kv_head;
    item[SK_ITEM_LSE] = (seq * a->lse_stride_seq + head) * 4;
    item[SK_ITEM_QUERY] = seq * a->q_len;
    item[SK_ITEM_SINK] = a->sinks && !a->lse ? head * 4 : SK_ITEM_NONE; /* an LSE has them */
    item[SK_ITEM_ML_STEP] = r->step;
    item[SK_ITEM_ML_ADD] = r->look.shared ? kv_head : 0;
    for (uint32_t k = 0; k < r->image->spec.ntiers; k++) {
        item[SK_ITEM_TIER + k] = i;
        for (; i < end && sphkv_ref_tier(a->table.refs[i]) == k; i++)
            tokens += sphkv_ref_tokens(a->table.refs[i]);
        item[SK_ITEM_UNITS + k] = r->look.shared ? kv_head * r->image->units[k] : 0;
    }
    item[SK_ITEM_TIER + r->image->spec.ntiers] = i;
    item[SK_ITEM_TOKENS] = (uint32_t)tokens; /* that many where they count (sk_table_check) */
    return true;
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts, sk_err *err)
{
    sk_mass_run r;
    uint32_t item[SK_ITEM_WORDS_ALL];
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_mass_read(&r, image, args, false, err);
    if (st != SPHKV_OK) return st;
    const sphkv_mass_args *a = &r.a;
    const sk_variant_args v = SK_VARIANTS_OF(a);
    sk_call call = {.shared = (uint8_t *)a->workspace + part * sk_items_scratch(image)};
    sk_call_ptr(&call, item, sizeof item);
    sk_call_ptr(&call, a->q, r.q_bytes);
    sk_call_ptr(&call, a->codebook, a->codebook_bytes);
    sk_call_f32(&call, (float)(a->scale * 1.4426950408889634));
    sk_call_u32(&call, a->q_stride_head * r.q_es);
    sk_call_u32(&call, a->q_stride_tok * r.q_es);
    sk_call_u32(&call, a->q_len);
    sk_call_ptr(&call, a->arena, a->arena_bytes);
    sk_call_ptr(&call, a->table.refs, r.look.refs_end * 8);
    sk_call_ptr(&call, a->lse, a->lse ? r.lse_bytes : 0);
    sk_call_u32(&call, a->lse != NULL);
    sk_call_u32(&call, a->lse_stride_tok * 4);
    sk_call_ptr(&call, a->mass, r.rows * image->spec.page * 4);
    sk_call_ptr(&call, a->page_mass, a->page_mass ? r.rows * 4 : 0);
    sk_call_u32(&call, a->page_mass != NULL);
    sk_variants_call(&call, &image->spec, &v,
                     &(sk_variant_counts){.heads = r.heads, .refs = r.look.refs_end,
                                          .positions = (uint64_t)a->batch * a->q_len});
    sk_rope_call(&call, &image->spec, &a->rope);
    const uint32_t pairs = a->batch * r.kv_count;
    for (uint32_t v = part; st == SPHKV_OK && v < pairs; v += parts)
        if (fill_item(&r, v / r.kv_count, r.look.kv_first + v % r.kv_count, item))
            st = sk_image_call(image, 0, &call, 0, err);
    return st;
}

/* Retention looks at a prefill. */
static sk_shape shape_of(const sk_spec *spec, const sk_shape *step)
{
    sk_shape s = *step;
    (void)spec;
    if (s.context > 2048) s.context = 2048;
    return s;
}

/* Of one query; keys are gone over twice, but must be read once. */
static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    const double lists = (double)shape->batch * shape->kv_heads, tokens = lists * shape->context;
    double bytes = 0;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, i, &lay);
        bytes += (double)sk_mass_key_bytes(&lay) / spec->ntiers;
    }
    memset(out, 0, sizeof *out);
    out->token_heads = tokens;
    out->read_bytes = tokens / spec->page * bytes + (double)shape->kv_heads * sk_codebook_head_bytes(spec);
    out->write_bytes = tokens * 4;
    out->operations = 2 * tokens * spec->heads_per_kv * spec->d;
}

static const sk_kernel_form on_cpu = {
    .default_schedule = default_schedule,
    .valid = valid,
    .build = sk_mass_build,
    .workspace = workspace,
    .run = run,
};

const sk_kernel sk_kernel_page_mass = {
    .args_size = sizeof(sphkv_mass_args),
    .workspace_at = offsetof(sphkv_mass_args, workspace),
    .over_lists = true,
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_mass_on_gpu},
    .cost = cost,
    .shape = shape_of,
};
