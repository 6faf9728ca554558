/* attn_extend.c - attention of many query tokens over the pages of a tier mix: a chunk
 * of a prefill, what follows a prefix that is in the cache, long drafts. Where
 * attn_decode looks keys up without rebuilding them, here hundreds of query rows
 * share a page: it is rebuilt once, as f32 or bfloat16s, and multiplied densely, at the
 * speed of multiply-adds, whatever its tier.
 *
 * Applies to keys before RoPE or after it, of one segment or several, and to values of
 * their own or from keys (vk); dims of heads and segments and tokens of a page are multiples
 * of 16.
 *
 * A block is a tile of query tokens of one sequence with all query heads of one KV
 * head. It walks the pages that its last token sees, in the order of the list, and
 * owns its output rows: nothing is merged, and nothing shared between blocks. (Few
 * query tokens on a long context leave threads without a block: that is attn_decode's
 * work.) */
#include <string.h>

#include "extend.h"
#include "gpu.h"
#include "part_rope.h"
#include "rows.h"

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    const sk_status st = sk_rows_supported(spec, "attn_extend", err);
    return st == SPHKV_OK ? sk_rope_supported(spec, "attn_extend", err) : st;
}

/* Rows hold logits and probabilities of whole pairs of vectors. */
static sk_status valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                       sk_err *err)
{
    const sk_status st = sk_rows_width(s, target, err);
    if (st != SPHKV_OK || s->v[SK_T_product] == SK_PRODUCT_F32) return st;
    if (spec->accuracy != SPHKV_FAST)
        return sk_fail(err, SPHKV_EINVAL, "product=bf16: in class fast alone");
    if (sk_extend_panel(s, spec->page) / (uint32_t)s->v[SK_T_w] % 2 != 0)
        return sk_fail(err, SPHKV_EINVAL, "product=bf16: pages of %u tokens are no pairs of vectors "
                       "for w=%d, qvec=%d", spec->page, s->v[SK_T_w], s->v[SK_T_qvec]);
    return SPHKV_OK;
}

/* As many sums as registers hold beside a vector of each panel and a row's number: 24
 * of 32, 12 of 16. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    const bool wide = target->vector_bits >= 512;
    out->v[SK_T_w] = wide ? 16 : target->vector_bits >= 256 ? 8 : 4;
    out->v[SK_T_qrows] = 6;
    out->v[SK_T_qvec] = wide ? 4 : 2;
    out->v[SK_T_qtile] = 192;
    out->v[SK_T_product] = target->features & SK_CPU_BF16 ? SK_PRODUCT_BF16 : SK_PRODUCT_F32;
    if (valid(spec, out, target, NULL) != SPHKV_OK) out->v[SK_T_product] = SK_PRODUCT_F32;
}

/* ---- building ------------------------------------------------------------- */

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_extend extend, *c = &extend;
    sk_extend_io io;
    sk_dec *d = &c->dec;
    memset(out, 0, sizeof *out);
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_extend_init(c, b, spec, sched);
    d->item = sk_ir_param_ptr(b, "item", false);
    d->codebook = sk_ir_param_ptr(b, "codebook", false);
    d->arena = sk_ir_param_ptr(b, "arena", false);
    io.refs = sk_ir_param_ptr(b, "refs", false);
    sk_extend_params(c, &io);
    sk_extend_begin(c);
    sk_extend_tile(c, &io);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* What attn_decode reads and writes for one query token, more rows; multiply-adds of
 * all rows with the tokens that they see, when the last q_len of the context are the
 * queries' own. */
static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    sk_shape one = *shape;
    const double q_len = shape->q_len ? shape->q_len : 1, n = shape->context;
    const double see = n < q_len ? n : q_len; /* query tokens that see any */
    const double heads = (double)shape->batch * shape->kv_heads * spec->heads_per_kv;
    one.q_len = 1;
    sk_kernel_get(SPHKV_ATTN_DECODE)->cost(spec, &one, out);
    out->read_bytes += (q_len - 1) * heads * spec->d * (spec->q_dtype == SPHKV_F32 ? 4 : 2);
    out->write_bytes *= q_len;
    out->operations = heads * (spec->d + spec->dv) * (see * n - see * (see - 1) / 2);
}

/* A chunk of a prefill at the end of the context, of at most 1,024 tokens: what lies
 * before them costs in proportion, and a run at 8K takes most of a second. */
static sk_shape chunk(const sk_spec *spec, const sk_shape *step)
{
    sk_shape s = *step;
    (void)spec;
    s.q_len = 512;
    if (s.context > 1024) s.context = 1024;
    return s;
}

static const sk_kernel_form on_cpu = {
    .default_schedule = default_schedule,
    .valid = valid,
    .build = build,
    .workspace = sk_extend_workspace,
    .run = sk_extend_run,
};

const sk_kernel sk_kernel_attn_extend = {
    .args_size = sizeof(sphkv_extend_args),
    .workspace_at = offsetof(sphkv_extend_args, workspace),
    .over_lists = true,
    .any_q_len = true,
    .multiplies = true,
    .weight = 2,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_extend_on_gpu},
    .cost = cost,
    .shape = chunk,
};
