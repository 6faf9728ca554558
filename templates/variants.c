/* variants.c - see variants.h. */
#include "variants.h"

/* Words that no variant of the spec reads are 0, as those that nothing reads. */
static sk_status check_unread(const sk_spec *spec, const sk_variant_args *a, sk_err *err)
{
    const struct {
        uint32_t variant;
        bool set;
        const char *what;
    } word[] = {
        {SPHKV_VARIANT_WINDOW, a->window != 0, "window"},
        {SPHKV_VARIANT_SOFTCAP, a->softcap != 0, "softcap"},
        {SPHKV_VARIANT_HEADSCALE, a->head_scale != NULL, "head_scale"},
        {SPHKV_VARIANT_SINK, a->sinks != NULL, "sinks"},
        {SPHKV_VARIANT_BIAS, a->bias != NULL, "bias"},
        {SPHKV_VARIANT_POSITIONS, a->q_positions != NULL, "q_positions"},
    };
    for (uint32_t i = 0; i < SK_COUNT(word); i++)
        if (word[i].set && !(spec->variants & word[i].variant))
            return sk_fail(err, SPHKV_EINVAL, "%s is set: the spec lacks the variant %s", word[i].what,
                           sk_variant_name((uint32_t)__builtin_ctz(word[i].variant)));
    return SPHKV_OK;
}

sk_status sk_variants_check(const sk_spec *spec, const sk_variant_args *a, bool empty, sk_err *err)
{
    const uint32_t v = spec->variants;
    if (v & SPHKV_VARIANT_WINDOW && a->window == 0)
        return sk_fail(err, SPHKV_EINVAL, "window is 0: a query sees at least its own token");
    if (v & SPHKV_VARIANT_SOFTCAP && !(a->softcap > 0 && a->softcap < 1e30f))
        return sk_fail(err, SPHKV_EINVAL, "softcap: finite, and more than 0");
    if (!empty && ((v & SPHKV_VARIANT_HEADSCALE && !a->head_scale) ||
                   (v & SPHKV_VARIANT_BIAS && !a->bias) ||
                   (v & SPHKV_VARIANT_POSITIONS && !a->q_positions)))
        return sk_fail(err, SPHKV_EINVAL, "head_scale, bias or q_positions is NULL, which a variant of the spec reads");
    if (((uintptr_t)a->head_scale | (uintptr_t)a->sinks | (uintptr_t)a->bias | (uintptr_t)a->q_positions) % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "head_scale, sinks, bias or q_positions is not aligned to its elements");
    return check_unread(spec, a, err);
}

void sk_variants_call(sk_call *call, const sk_spec *spec, const sk_variant_args *a,
                      const sk_variant_counts *n)
{
    const uint32_t v = spec->variants;
    const double log2e = 1.4426950408889634;
    if (v & SPHKV_VARIANT_WINDOW) sk_call_u32(call, a->window);
    if (v & SPHKV_VARIANT_SOFTCAP) {
        sk_call_f32(call, (float)(0.5 / (a->softcap * log2e)));
        sk_call_f32(call, (float)(a->softcap * log2e));
    }
    if (v & SPHKV_VARIANT_HEADSCALE) sk_call_ptr(call, a->head_scale, n->heads * 4);
    if (v & SPHKV_VARIANT_SINK) sk_call_ptr(call, a->sinks, a->sinks ? n->heads * 4 : 0);
    if (v & SPHKV_VARIANT_BIAS) sk_call_ptr(call, a->bias, n->refs * spec->page * 4);
    if (v & SPHKV_VARIANT_POSITIONS) sk_call_ptr(call, a->q_positions, n->positions * 4);
}
