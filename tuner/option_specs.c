/* option_specs.c - what the shared options ask for: a kernel's spec, or several, for a mix. */
#include "options.h"

#include "kernel.h"
#include "layout.h"

sphkv_spec_params sk_options_params(const sk_options *o, uint32_t kernel, const char *tiers)
{
    return (sphkv_spec_params){
        .size = sizeof(sphkv_spec_params),
        .kernel = kernel,
        .head_dim = o->head_dim,
        .value_dim = o->value_dim,
        .heads_per_kv = o->heads_per_kv,
        .page_tokens = o->page,
        .tiers = tiers,
        .layout = o->layout,
        .q_dtype = o->dtype[0],
        .out_dtype = o->dtype[1],
        .in_dtype = o->dtype[2],
        .accuracy = o->accuracy,
        .book = o->book,
        .variants = o->variants,
    };
}

/* The spec of a kernel for one mix, given as text. */
static sk_status make_spec(const sk_options *o, uint32_t kernel, const char *tiers, sk_spec *out,
                           sk_err *err)
{
    const sphkv_spec_params params = sk_options_params(o, kernel, tiers);
    return sk_spec_from_params(&params, out, err);
}

/* A spec of part of the mix: a tier alone, or from `tail`, its source. */
static sk_status make_part(const sk_options *o, uint32_t kernel, const sk_tier *tier,
                           const sk_tier *tail, sk_spec *out, sk_err *err)
{
    sk_text mix = {0};
    sk_tier_print(tier, &mix);
    if (tail) {
        sk_text_printf(&mix, ",");
        sk_tier_print(tail, &mix);
    }
    sk_status st = mix.failed ? sk_fail(err, SPHKV_ENOMEM, "out of memory")
                              : make_spec(o, kernel, mix.s, out, err);
    sk_text_free(&mix);
    return st;
}

/* The largest coded tier of the mix that is smaller than `bytes`: its place, or ntiers.
 * *size: what it takes. */
static uint32_t next_lower(const sk_spec *mix, uint32_t bytes, uint32_t *size)
{
    uint32_t next = mix->ntiers;
    sk_page_layout lay;
    *size = 0;
    for (uint32_t i = 0; i < mix->ntiers; i++) {
        sk_page_layout_get(mix, i, &lay);
        if (sk_tier_is_dense(&mix->tier[i]) || lay.bytes >= bytes || lay.bytes <= *size) continue;
        next = i;
        *size = lay.bytes;
    }
    return next;
}

/* Where a coded tier's tokens would move next: the largest smaller one that they can move
 * to. Where keys before RoPE (p) meet others not all can (positions, a mean): such a pair is
 * left out for the next one; any other is asked for, so that what it lacks is named. */
static sk_status add_step(const sk_options *o, uint32_t kernel, const sk_spec *mix, uint32_t tier,
                          sk_spec spec[SK_MAX_TIERS], uint32_t *n, sk_err *err)
{
    const sk_tier *from = &mix->tier[tier];
    sk_page_layout lay;
    sk_page_layout_get(mix, tier, &lay);
    uint32_t bytes = lay.bytes;
    for (uint32_t to; (to = next_lower(mix, bytes, &bytes)) < mix->ntiers;) {
        const bool across = sk_tier_pre_rope(&mix->tier[to]) != sk_tier_pre_rope(from);
        const sk_status st = make_part(o, kernel, &mix->tier[to], from, &spec[*n], err);
        if (st != SPHKV_OK) return st;
        if (across && sk_kernel_get(kernel)->supported(&spec[*n], NULL) != SPHKV_OK) continue;
        (*n)++;
        break;
    }
    return SPHKV_OK;
}

static sk_status make_steps(const sk_options *o, uint32_t kernel, const sk_spec *mix,
                            sk_spec spec[SK_MAX_TIERS], uint32_t *n, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; st == SPHKV_OK && i < mix->ntiers; i++)
        if (!sk_tier_is_dense(&mix->tier[i])) st = add_step(o, kernel, mix, i, spec, n, err);
    return st;
}

sk_status sk_options_specs(const sk_options *o, uint32_t kernel, sk_spec spec[SK_MAX_TIERS],
                           uint32_t *n, sk_err *err)
{
    sk_spec whole;
    const uint32_t takes = sk_kernel_row_get(kernel)->mix;
    *n = 0;
    /* The whole mix is checked as the attention kernel sees it, whichever
     * kernel is asked for: a mix that is wrong is wrong for all. */
    sk_status st = make_spec(o, SPHKV_ATTN_DECODE, o->tiers, &whole, err);
    if (st == SPHKV_OK && (takes == SPHKV_MIX_ANY || takes == SPHKV_MIX_NONE)) {
        *n = 1;
        return make_spec(o, kernel, o->tiers, &spec[0], err);
    }
    if (st == SPHKV_OK && takes == SPHKV_MIX_TWO) return make_steps(o, kernel, &whole, spec, n, err);
    const sk_tier *tail = NULL;
    for (uint32_t i = whole.ntiers; st == SPHKV_OK && i-- > 0;)
        if (sk_tier_is_dense(&whole.tier[i]))
            tail = &whole.tier[i];
    for (uint32_t i = 0; tail && i < whole.ntiers && !st; i++)
        if (sk_tier_is_dense(&whole.tier[i]) == (takes == SPHKV_MIX_DENSE))
            st = make_part(o, kernel, &whole.tier[i], takes == SPHKV_MIX_PAIR ? tail : NULL,
                           &spec[(*n)++], err);
    return st;
}
