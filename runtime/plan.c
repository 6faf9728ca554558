/* plan.c - maxima in, plan out. */
#include "plan.h"

#include "pick.h"

/* Fills in what may be left out and refuses what no machine can hold: products
 * of these must stay far from 64 bits, and item counts inside 32. */
static sk_status read_maxima(const sphkv_context *ctx, const sphkv_maxima *given,
                             const sk_spec *spec, sphkv_maxima *m, sk_err *err)
{
    sk_status st = sk_struct_read(given, m, sizeof *m, "sphkv_maxima", err);
    if (st != SPHKV_OK)
        return st;
    m->size = sizeof *m;
    if (m->batch == 0)
        return sk_fail(err, SPHKV_EINVAL, "sphkv_maxima.batch is 0");
    if (sk_kernel_get(spec->kernel)->over_lists && (m->kv_heads == 0 || m->pages_per_list == 0))
        return sk_fail(err, SPHKV_EINVAL, "sphkv_maxima: kv_heads %u and pages_per_list %u must "
                       "be at least 1", m->kv_heads, m->pages_per_list);
    if (m->kv_heads == 0)
        m->kv_heads = 1;
    if (m->pages_per_list == 0)
        m->pages_per_list = 1;
    if (m->parts == 0)
        m->parts = 1;
    if (m->q_len == 0)
        m->q_len = 1;
    if (!sk_kernel_get(spec->kernel)->any_q_len &&
        (m->q_len > SPHKV_MAX_Q_LEN ||
         (m->q_len > 1 && !(spec->variants & SPHKV_VARIANT_QUERIES))))
        return sk_fail(err, SPHKV_EINVAL, "sphkv_maxima.q_len is %u: 1, or with the variant "
                       "queries up to %u", m->q_len, SPHKV_MAX_Q_LEN);
    if (ctx->cuda && m->parts > 1)
        return sk_fail(err, SPHKV_EINVAL, "sphkv_maxima.parts is %u: a run on a GPU has one",
                       m->parts);
    if (m->batch > 1u << 20 || m->kv_heads > 1u << 16 || m->pages_per_list > 1u << 25 ||
        m->parts > 1024 || (uint64_t)m->batch * m->kv_heads > 1u << 28)
        return sk_fail(err, SPHKV_EINVAL,
                       "sphkv_maxima too large: batch %u (2^20), kv_heads %u (2^16, with batch "
                       "2^28), pages_per_list %u (2^25), parts %u (1024)",
                       m->batch, m->kv_heads, m->pages_per_list, m->parts);
    return SPHKV_OK;
}

static sk_db_shape shape_of(const sk_spec *spec, const sphkv_maxima *m)
{
    const uint64_t longest = (uint64_t)m->pages_per_list * spec->page;
    const sk_shape shape = {
        .batch = m->batch,
        .kv_heads = m->kv_heads,
        .context = m->context ? m->context : longest > UINT32_MAX ? UINT32_MAX : (uint32_t)longest,
        .threads = m->parts,
        .q_len = m->q_len,
    };
    return sk_pick_shape(spec, &shape);
}

static char *describe(const sk_spec *spec, const sk_pick *pick)
{
    sk_text text = {0};
    sk_spec_print(spec, &text);
    sk_text_printf(&text, " | ");
    sk_schedule_print(spec->kernel, &pick->schedule, &text);
    sk_text_printf(&text, " | %s", pick->how);
    if (!text.failed)
        return text.s;
    sk_text_free(&text);
    return NULL;
}

/* Takes over the pick's reference. */
static sk_status make_plan(const sk_spec *spec, const sphkv_maxima *maxima, const sk_pick *pick,
                           sphkv_plan **out, sk_err *err)
{
    sphkv_plan *plan = sk_calloc(1, sizeof *plan);
    if (!plan) {
        sk_code_release(pick->code);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for a plan");
    }
    plan->code = pick->code;
    plan->describe = describe(spec, pick);
    sk_status st = plan->describe ? SPHKV_OK
                                  : sk_fail(err, SPHKV_ENOMEM, "out of memory for a plan");
    if (st == SPHKV_OK)
        st = sk_code_image(plan->code, spec, &pick->schedule, maxima, &plan->image, err);
    if (st == SPHKV_OK)
        *out = plan;
    else
        sphkv_plan_destroy(plan);
    return st;
}

sphkv_status sphkv_plan_create(sphkv_context *ctx, const sphkv_spec_params *spec,
                               const sphkv_maxima *maxima, sphkv_plan **out, sphkv_error *err)
{
    sk_spec s;
    sphkv_maxima m;
    sk_pick pick;
    if (!ctx || !out)
        return sk_fail(err, SPHKV_EINVAL, "sphkv_plan_create: no %s",
                       ctx ? "place for the plan" : "context");
    *out = NULL;
    sk_status st = sk_spec_from_params(spec, &s, err);
    if (st == SPHKV_OK)
        st = read_maxima(ctx, maxima, &s, &m, err);
    if (st != SPHKV_OK)
        return st;
    const sk_db_shape shape = shape_of(&s, &m);
    st = sk_pick_code(ctx, &s, &shape, &pick, err);
    for (uint32_t i = 0; i < pick.notes; i++)
        sk_context_log(ctx, pick.note[i]);
    return st == SPHKV_OK ? make_plan(&s, &m, &pick, out, err) : st;
}

void sphkv_plan_destroy(sphkv_plan *plan)
{
    if (!plan)
        return;
    sk_code_release(plan->code);
    sk_free(plan->describe);
    sk_free(plan);
}

size_t sphkv_plan_workspace(const sphkv_plan *plan) { return plan ? plan->image.workspace : 0; }

uint32_t sphkv_plan_parts(const sphkv_plan *plan)
{
    if (!plan)
        return 0;
    const sk_image *image = &plan->image;
    return image->form->parts ? image->form->parts(image) : image->maxima.parts;
}

const char *sphkv_plan_describe(const sphkv_plan *plan) { return plan ? plan->describe : ""; }
