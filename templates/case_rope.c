/* case_rope.c - positions and the table of rotations of cases whose mix has keys that
 * are kept before RoPE. Positions are in no order and have gaps, as after retention;
 * timed shapes have those of a context that nothing was dropped from. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

#define ROWS 200u /* of a table that is not timed; the last ones are met */

/* Not all dimensions, where an input set says so. */
static uint32_t dims_of(const sk_case_params *p)
{
    const uint32_t all = sk_rope_dims_ref(&p->spec, &(sphkv_rope){0}), half = all / 2 / 8 * 8;
    if (p->quick_fill || p->input != SK_IN_PEAKY) return all;
    return half < 16 ? 16 : half;
}

sk_status sk_case_rope_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_case_params *p = &c->p;
    if (!sk_spec_pre_rope(&p->spec)) return SPHKV_OK;
    const uint32_t n = dims_of(p), context = 2 * (p->shape.context + p->spec.page);
    const bool long_one = p->quick_fill || p->spec.variants & SPHKV_VARIANT_POSITIONS;
    const uint32_t rows = long_one && context > ROWS ? context : ROWS;
    const uint64_t bytes = (uint64_t)rows * n * sizeof(float);
    sk_status st = sk_case_memory_check(bytes, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&s->copy[0].buf[SK_BUF_ROPE], bytes, err);
    if (st != SPHKV_OK) return st;
    float *table = (float *)(void *)s->copy[0].buf[SK_BUF_ROPE].data;
    for (uint32_t x = 0; x < rows; x++)
        for (uint32_t i = 0; i < n / 2; i++) {
            const double angle = x * pow(10000, -2.0 * i / n);
            table[(size_t)x * n + i] = (float)cos(angle);
            table[(size_t)x * n + n / 2 + i] = (float)sin(angle);
        }
    return SPHKV_OK;
}

sphkv_rope sk_case_rope(const sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = &sk_case_state_of(c)->copy[copy].buf[SK_BUF_ROPE];
    const uint32_t n = dims_of(&c->p);
    if (!b->base) return (sphkv_rope){0};
    return (sphkv_rope){.table = (const float *)(const void *)b->data,
                        .positions = (uint32_t)(b->bytes / n / sizeof(float)),
                        .dims = n == sk_rope_dims_ref(&c->p.spec, &(sphkv_rope){0}) ? 0 : n};
}

void sk_case_positions(const sk_case *c, sk_rng *rng, uint32_t first, uint32_t count, uint32_t *to)
{
    const sphkv_rope rope = sk_case_rope(c, 0);
    for (uint32_t t = 0; t < count; t++) {
        if (rope.positions == 0) /* nothing is rotated by them */
            to[t] = (uint32_t)sk_rng_u64(rng);
        else if (c->p.input == SK_IN_SINK && t > 0) /* what shall be nearly one key is coded as one */
            to[t] = to[0];
        else if (c->p.quick_fill)
            to[t] = (first + t) % rope.positions;
        else
            to[t] = t == 1 ? rope.positions - 1 : sk_rng_below(rng, rope.positions);
    }
}

void sk_case_positions_put(const sk_page_layout *at, const uint32_t *positions, uint32_t count,
                           uint8_t *page)
{
    if (at->pos_off != SK_NO_FIELD) memcpy(page + at->pos_off, positions, (size_t)count * 4);
}

void sk_case_rotate_back(const sk_case *c, uint32_t tier, const uint32_t *positions, uint32_t count,
                         double *k)
{
    const sphkv_rope rope = sk_case_rope(c, 0);
    if (!sk_tier_pre_rope(&c->p.spec.tier[tier])) return;
    for (uint32_t t = 0; t < count; t++)
        sk_rope_tier_ref(&c->p.spec, tier, &rope, positions[t], true, k + (size_t)t * c->p.spec.d);
}

void sk_case_turn_keys(const sk_spec *spec, const sphkv_rope *rope, const uint8_t *book,
                       const uint8_t *page, uint32_t count, double *k, double *hair)
{
    const bool back = sk_tier_pre_rope(&spec->tier[0]);
    const uint32_t turned = back ? 0 : 1;
    for (uint32_t t = 0; t < count; t++, k += spec->d, hair += spec->d) {
        sk_rope_tier_ref(spec, turned, rope, sk_position_ref(spec, 1, page, t), back, k);
        for (uint32_t d = 0; d < spec->d; d++)
            hair[d] = sk_case_key_hair(spec, 1, book, k, spec->d, d,
                                       sk_case_rope_hair(spec, turned, 1, rope, book, k, d));
    }
}
