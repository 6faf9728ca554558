/* part_prefetch.c - when the lines of a later page are asked for.
 *
 * A core keeps a limited number of requests in flight and drops the prefetches
 * beyond it (a Zen 3 "prefetched" 72 GB/s of 22), so a page streams at full
 * speed only when its lines are asked for evenly over the whole time its
 * predecessor takes. Asked for during the value product alone, memory idles
 * during the logits: high:vf16 took 21 ns per token-head that way, its
 * arithmetic alone 16. Two streams, from the start and from the middle, reach
 * more of the memory than one (kf16:vf16 27.0 to 25.5 ns). Dense keys take
 * about as long as they have bytes, so their logits ask for the keys and their
 * values for the values. */
#include "decode.h"

#include "part_bytes.h"
#include "part_pair16.h"
#include "part_probs.h"
#include "part_segments.h"
#include "part_vk.h"

/* Steps of the loops over one full page in which the logits can ask. */
static uint32_t key_steps(const sk_dec *c, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    const uint32_t groups = seg->kind == SK_KEY_CODED ? c->d / seg->g : 0;
    switch (sk_dec_form(c->spec, c->sched, tier_slot)) {
    case SK_FORM_DENSE:
        return c->p / ((uint32_t)c->sched->v[SK_T_ktok] * c->w) * 
               (c->d / sk_dense_unroll(c->spec, c->sched, tier_slot));
    case SK_FORM_ROWS: return c->p / c->w * (groups / sk_rows_unroll(groups));
    case SK_FORM_PERM: return c->p / (2 * c->w) * groups;
    case SK_FORM_PAIR16:
        return c->p / 64 * c->h * (groups / sk_pair16_block(c->spec, groups));
    case SK_FORM_BYTE: return sk_bytes_steps(c, tier_slot);
    case SK_FORM_REBUILD: return c->p / c->w * (c->d / c->w);
    }
    return 1;
}

/* Lines of one step, even where there are several: half from either stream. */
static uint32_t key_lines(const sk_dec *c, uint32_t tier_slot)
{
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    const uint32_t steps = key_steps(c, tier_slot);
    uint32_t want = lay.units * (SPHKV_UNIT_BYTES / 64) * (uint32_t)c->sched->v[SK_T_spread] / 100;
    if (sk_dec_form(c->spec, c->sched, tier_slot) == SK_FORM_DENSE) want = lay.value_off / 64;
    const uint32_t lines = (want + steps - 1) / steps;
    return lines > 1 ? (lines + 1) / 2 * 2 : lines;
}

void sk_prefetch_share(sk_dec *c, uint32_t tier_slot, sk_val next, sk_val k, uint32_t slice,
                       uint32_t slices)
{
    if (next == SK_NONE) return;
    const uint32_t lines = key_lines(c, tier_slot);
    const uint32_t streams = lines > 1 ? 2 : 1, each = lines / streams;
    const uint32_t second = each * key_steps(c, tier_slot) * 64;
    const sk_val at = sk_mul(c, k, each * 64);
    for (uint32_t i = slice * lines / slices; i < (slice + 1) * lines / slices; i++)
        sk_ir_prefetch(c->b, next, at, i % streams * second + i / streams * 64);
}

/* Byte of the page behind the share of the logits. */
static uint32_t behind_keys(const sk_dec *c, uint32_t tier_slot)
{
    sk_page_layout lay;
    sk_key_part p = {0};
    sk_dec part;
    uint32_t off;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    if (c->spec->tier[tier_slot].nseg > 1 || sk_dec_vk(c->spec, tier_slot))
        return 0; /* their logits ask for nothing */
    if (sk_dec_form(c->spec, c->sched, tier_slot) == SK_FORM_DENSE) return lay.value_off;
    (void)sk_key_next_of(c->spec, c->sched, tier_slot, &p);
    sk_part_open(c, &p, &part, &off);
    return key_lines(&part, p.slot) * key_steps(&part, p.slot) * 64;
}

/* Tokens of a step of the two loops of the softmax, and the lines it asks for. */
static uint32_t pause_tokens(const sk_dec *c, uint32_t tier_slot, uint32_t loop)
{
    return loop ? c->w * sk_probs_vectors(sk_probs_of(c->spec, c->sched, tier_slot)) : c->w;
}

static uint32_t pause_lines(const sk_dec *c, uint32_t tier_slot, uint32_t loop)
{
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    const uint32_t steps = c->p / pause_tokens(c, tier_slot, loop);
    const uint32_t want = lay.units * (SPHKV_UNIT_BYTES / 64) * (uint32_t)c->sched->v[SK_T_pause] / 200;
    return (want + steps - 1) / steps;
}

static uint32_t pause_bytes(const sk_dec *c, uint32_t tier_slot, uint32_t loop)
{
    return pause_lines(c, tier_slot, loop) * (c->p / pause_tokens(c, tier_slot, loop)) * 64;
}

void sk_prefetch_pause(sk_dec *c, uint32_t tier_slot, sk_val next, uint32_t loop, sk_val t0)
{
    if (next == SK_NONE) return;
    const uint32_t lines = pause_lines(c, tier_slot, loop);
    const uint32_t from = behind_keys(c, tier_slot) + (loop ? pause_bytes(c, tier_slot, 0) : 0);
    /* a power of two of tokens, at most 64 */
    const sk_val at = sk_mul(c, t0, lines * 64 / pause_tokens(c, tier_slot, loop));
    for (uint32_t i = 0; i < lines; i++) sk_ir_prefetch(c->b, next, at, from + i * 64);
}

uint32_t sk_prefetch_values_from(const sk_dec *c, uint32_t tier_slot)
{
    return behind_keys(c, tier_slot) + pause_bytes(c, tier_slot, 0) + pause_bytes(c, tier_slot, 1);
}
