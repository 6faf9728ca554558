/* attn_decode.c - ADA over the pages of a tier mix (design, sections 3 and 5):
 * out = softmax(logits) V for all query heads of a KV head, one query token or some.
 *
 * Applies when: every tier's key is coded or dense f32/f16/bf16/fp8/int8/int4, after RoPE
 * or before it (p), or of such segments, which a permutation or a transform may mix; values
 * are fields of their own or the first dimensions of keys, as they are stored (vk); dims of
 * heads and segments and tokens of a page are multiples of 16.
 *
 * A block is one work item: the pages of one list (or a part of them) for one
 * KV head. Per page: logits -> page softmax -> value product. Items that cover
 * a whole list write the output, others a partial (m, l, acc) that the merge
 * entry joins. What is asked for at run time, LSE per query head and (m, l) per
 * page, the item says: one kernel serves all.
 * Entries: decode, merge and, with lut_build = separate, tables. */
#include <string.h>

#include "attn_gpu.h"
#include "part_rope.h"
#include "rows.h"

static sk_status tier_supported(const sk_spec *spec, uint32_t i, sk_err *err)
{
    const sk_tier *t = &spec->tier[i];
    for (uint32_t s = 0; s < t->nseg; s++) {
        if (t->seg[s].dims % 16 != 0)
            return sk_fail(err, SPHKV_EUNSUPPORTED,
                           "attn_decode: tier %u: a segment of %u dimensions (multiples of 16 only)", i,
                           t->seg[s].dims);
    }
    return SPHKV_OK;
}

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    if (spec->d % 16 != 0 || spec->dv % 16 != 0)
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "attn_decode: head dims %u/%u (multiples of 16 only)", spec->d, spec->dv);
    if (spec->page % 16 != 0)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "attn_decode: pages of %u tokens (multiples of 16 only)",
                       spec->page);
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        const sk_status st = tier_supported(spec, i, err);
        if (st != SPHKV_OK) return st;
    }
    const sk_status rope = sk_rope_supported(spec, "attn_decode", err);
    return rope == SPHKV_OK ? sk_variants_supported(spec, (1u << SK_VARIANTS) - 1, err) : rope;
}

/* ---- building ----------------------------------------------------------- */

/* The slots that decode and tables begin with, in the order of set_up_call
 * (attn_run.c). */
static void dec_params(sk_dec *c, bool writes_tables)
{
    sk_builder *b = c->b;
    c->item = sk_ir_param_ptr(b, "item", false);
    c->q = sk_ir_param_ptr(b, "q", false);
    c->codebook = sk_ir_param_ptr(b, "codebook", false);
    c->tables = sk_ir_param_ptr(b, "tables", writes_tables);
    c->scale = sk_ir_param_f32(b, "scale_log2e");
    c->q_stride = sk_ir_param_u32(b, "q_head_bytes");
}

/* In the scratch of the block, or where there are several query tokens, theirs in
 * `tables`, *user bytes of which are taken; names serve the print. */
static sk_val in_scratch(sk_dec *c, const sk_dec_area *area, void *user)
{
    uint32_t *taken = user;
    if (!area->query || !sk_dec_has(c, SPHKV_VARIANT_QUERIES))
        return sk_ir_name(c->b, sk_ir_shared(c->b, area->bytes), area->name);
    const sk_val at = sk_ir_ptr_add(c->b, c->tables, sk_k(c, *taken), 1);
    *taken += sk_ir_area_bytes(area->bytes);
    return sk_ir_name(c->b, at, area->name);
}

static void constants(sk_dec *c)
{
    c->zero = sk_ir_u32(c->b, 0);
    c->lane = sk_ir_lane(c->b);
}

static sk_status build_tables(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                              sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "lut_build", err);
    if (st != SPHKV_OK) return st;
    sk_dec_init(c, b, spec, sched);
    dec_params(c, true);
    sk_dec_variant_params(c);
    constants(c);
    sk_dec_query_areas(c, true, in_scratch, NULL);
    sk_part_query(c, sk_dec_uses_rows(spec, sched));
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        if (!sk_form_looks_up(sk_dec_form(spec, sched, i))) continue;
        const sk_val at = sk_k(c, sk_dec_lut_off(spec, sched, i));
        sk_part_tables(c, i, sk_ir_ptr_add(b, c->tables, at, 1));
    }
    return sk_ir_finish(b, out, err);
}

static sk_status build_decode(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                              sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    uint32_t taken = 0;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_dec_init(c, b, spec, sched);
    dec_params(c, (spec->variants & SPHKV_VARIANT_QUERIES) != 0);
    sk_dec_variant_params(c);
    c->arena = sk_ir_param_ptr(b, "arena", false);
    sk_dec_pages pages = {.refs = sk_ir_param_ptr(b, "refs", false)};
    sk_dec_outputs to = {.out = sk_ir_param_ptr(b, "out", true)};
    to.out_stride = sk_ir_param_u32(b, "out_head_bytes");
    to.partials = sk_ir_param_ptr(b, "partials", true);
    to.lse = sk_ir_param_ptr(b, "lse", true);
    pages.ml = sk_ir_param_ptr(b, "page_ml", true);
    sk_rope_params(c);
    constants(c);
    sk_dec_areas(c, in_scratch, &taken);
    sk_dec_turns_begin(c);
    sk_dec_start(c);
    sk_dec_walk(c, &pages);
    sk_part_finish(c, &to);
    sk_dec_turns_end(c);
    return sk_ir_finish(b, out, err);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    memset(out, 0, sizeof *out);
    sk_status st = build_decode(spec, sched, arena, &out->program[SK_DEC_DECODE], err);
    if (st == SPHKV_OK) st = sk_build_merge(spec, sched, arena, &out->program[SK_DEC_MERGE], err);
    out->n = 2;
    if (st == SPHKV_OK && sched->v[SK_T_lut_build] == SK_LUT_SEPARATE) {
        st = build_tables(spec, sched, arena, &out->program[SK_DEC_LUT], err);
        out->n = 3;
    }
    return st;
}

/* Codes, scales, values, codebooks, q and out, each once. Tokens are taken to
 * be spread evenly over the tiers of the mix. */
static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    const double lists = (double)shape->batch * shape->kv_heads;
    const bool many = (spec->variants & SPHKV_VARIANT_QUERIES) != 0 && shape->q_len > 1;
    const double queries = many ? shape->q_len : 1;
    const double heads = lists * spec->heads_per_kv * queries;
    double page_bytes = 0;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, i, &lay);
        page_bytes += (double)lay.bytes / spec->ntiers;
    }
    memset(out, 0, sizeof *out);
    out->token_heads = lists * shape->context;
    out->read_bytes = out->token_heads / spec->page * page_bytes;
    out->read_bytes += (double)shape->kv_heads * sk_codebook_head_bytes(spec);
    out->read_bytes += heads * spec->d * (spec->q_dtype == SPHKV_F32 ? 4 : 2);
    out->write_bytes = heads * spec->dv * (spec->out_dtype == SPHKV_F32 ? 4 : 2);
    out->operations = out->token_heads * queries * spec->heads_per_kv * (spec->d + spec->dv);
}

static const sk_kernel_form on_cpu = {
    .default_schedule = sk_attn_default_schedule,
    .valid = sk_attn_valid,
    .build = build,
    .prepare = sk_attn_prepare,
    .workspace = sk_attn_workspace,
    .run = sk_attn_run,
};

const sk_kernel sk_kernel_attn_decode = {
    .args_size = sizeof(sphkv_attn_args),
    .workspace_at = offsetof(sphkv_attn_args, workspace),
    .over_lists = true,
    .weight = 4, /* attention is where time goes */
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_gpu_attn},
    .cost = cost,
};
