/* case_variants.c - what the variants of a spec read in a case of attention or page_mass: factors and
 * sinks of heads, biases, positions of tokens and queries, windows. Drawn apart from
 * everything else, so that a case without variants is what it was.
 *
 * Positions of tokens have gaps, as retention leaves them, and fall with the place in
 * the list in every other list; queries stand anywhere among them, so that pages are
 * seen whole, in part and not at all. Timed cases see everything. */
#include <math.h>

#include "case_attn.h"

static bool has(const sk_case *c, uint32_t variant) { return (c->p.spec.variants & variant) != 0; }

uint32_t sk_case_q_len(const sk_case_params *p)
{
    const bool many = p->spec.variants & SPHKV_VARIANT_QUERIES;
    return many && p->shape.q_len > 1 ? p->shape.q_len : 1;
}

static sk_rng own_numbers(const sk_case *c)
{
    sk_rng rng;
    sk_rng_seed(&rng, c->p.seed * SK_INPUT_COUNT + c->p.input + 0x7a1a);
    return rng;
}

void sk_case_variant_bytes(const sk_case *c, uint64_t bytes[SK_BUF_COUNT])
{
    const sk_case_state *s = sk_case_state_of(c);
    const uint64_t refs = s->pages + 2 * s->first_ref;
    if (has(c, SPHKV_VARIANT_HEADSCALE)) bytes[SK_BUF_SCALE] = s->heads * 4;
    if (has(c, SPHKV_VARIANT_SINK)) bytes[SK_BUF_SINK] = s->heads * 4;
    if (has(c, SPHKV_VARIANT_BIAS)) bytes[SK_BUF_BIAS] = (refs + 1) * c->p.spec.page * 4;
    if (has(c, SPHKV_VARIANT_POSITIONS))
        bytes[SK_BUF_WHERE] = (uint64_t)c->p.shape.batch * sk_case_q_len(&c->p) * 4;
}

static void put(sk_case *c, uint32_t buffer, size_t i, double x)
{
    sk_case_put(sk_case_state_of(c)->copy[0].buf[buffer].data, SPHKV_F32, i, x);
}

/* Sinks about as heavy as a list; every fourth head has none. */
static void fill_heads(sk_case *c, sk_rng *rng)
{
    for (uint32_t h = 0; h < sk_case_state_of(c)->heads; h++) {
        const double scale = 0.5 + sk_rng_unit(rng), sink = 4 * sk_rng_normal(rng) + 4;
        if (has(c, SPHKV_VARIANT_HEADSCALE)) put(c, SK_BUF_SCALE, h, scale);
        if (has(c, SPHKV_VARIANT_SINK)) put(c, SK_BUF_SINK, h, h % 4 == 3 ? -(double)INFINITY : sink);
    }
}

/* Of every sixteenth token minus infinity, and of all tokens of every fourth reference:
 * there are lists of nothing else. */
static void fill_bias(sk_case *c, sk_rng *rng)
{
    const size_t n = sk_case_state_of(c)->copy[0].buf[SK_BUF_BIAS].bytes / 4;
    bool page = false;
    for (size_t i = 0; i < n; i++) {
        if (i % c->p.spec.page == 0) page = sk_rng_below(rng, 4) == 0;
        const bool none = sk_rng_below(rng, 16) == 0 || page;
        put(c, SK_BUF_BIAS, i, none ? -(double)INFINITY : sk_rng_normal(rng));
    }
}

uint32_t sk_case_position(const sk_case *c, uint32_t list, uint32_t place)
{
    const uint32_t most = c->p.shape.context;
    if (c->p.quick_fill) return 0;
    if (list / c->p.lists_per_seq % 2) place = place < most ? most - place : 0;
    return 3 * place / 2 + place % 2;
}

static void fill_where(sk_case *c, sk_rng *rng)
{
    uint32_t *to = (uint32_t *)(void *)sk_case_state_of(c)->copy[0].buf[SK_BUF_WHERE].data;
    const size_t n = sk_case_state_of(c)->copy[0].buf[SK_BUF_WHERE].bytes / 4;
    for (size_t i = 0; i < n; i++)
        to[i] = c->p.quick_fill ? 0 : sk_rng_below(rng, 2 * c->p.shape.context + 2);
}

void sk_case_variant_fill(sk_case *c)
{
    sk_rng rng = own_numbers(c);
    sk_case_state *s = sk_case_state_of(c);
    if (c->p.spec.variants == 0) return;
    fill_heads(c, &rng);
    if (has(c, SPHKV_VARIANT_BIAS)) fill_bias(c, &rng);
    if (has(c, SPHKV_VARIANT_POSITIONS)) fill_where(c, &rng);
    if (has(c, SPHKV_VARIANT_SOFTCAP)) s->softcap = c->p.input == SK_IN_PEAKY ? 30 : 10;
    if (has(c, SPHKV_VARIANT_WINDOW))
        s->window = c->p.quick_fill ? UINT32_MAX : 1 + sk_rng_below(&rng, c->p.shape.context + 8);
}

/* Every other seed leaves the sinks to who joins. */
sk_variant_args sk_case_variant_args(const sk_case *c, uint32_t copy)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sk_case_buffer *b = s->copy[copy].buf;
    sk_variant_args a = {.window = s->window, .softcap = s->softcap};
    a.head_scale = (const float *)(const void *)b[SK_BUF_SCALE].data;
    a.bias = (const float *)(const void *)b[SK_BUF_BIAS].data;
    a.q_positions = (const uint32_t *)(const void *)b[SK_BUF_WHERE].data;
    if (c->p.seed % 4 != 1) a.sinks = (const float *)(const void *)b[SK_BUF_SINK].data;
    return a;
}
