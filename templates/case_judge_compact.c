/* case_judge_compact.c - pages that token_compact wrote, judged: a page is built anew
 * in plain C through layout.h. What is moved must be there to the bit; new scales are
 * those of the contract, codes against them the nearest; all the rest is zero. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

/* ---- the numbers of a token ------------------------------------------------ */

typedef struct walk {
    const sk_spec *spec;
    const sk_page_layout *at;
    uint32_t dst, src; /* slots */
    sk_case_visit *visit;
    void *user;
} walk;

static void see(const walk *w, sk_case_element e) { w->visit(w->user, &e); }

static void see_coded(const walk *w, const sk_segment *seg, const sk_seg_layout *at)
{
    const uint32_t p = w->spec->page;
    for (uint32_t k = 0; k < at->spans; k++)
        see(w, (sk_case_element){.off = at->radius_off, .bits = seg->rb, .radius = true,
                                 .dst = (k * p + w->dst) * seg->rb, .src = (k * p + w->src) * seg->rb,
                                 .scale = seg->rb < 16 ? at->rscale_off + 2 * k : SK_NO_FIELD,
                                 .min = SK_NO_FIELD});
    for (uint32_t j = 0; j < at->codes; j++)
        see(w, (sk_case_element){.off = at->code_off, .bits = seg->b, .scale = SK_NO_FIELD,
                                 .min = SK_NO_FIELD,
                                 .dst = sk_layout_code_bit(w->spec, seg, j, w->dst),
                                 .src = sk_layout_code_bit(w->spec, seg, j, w->src)});
}

static void see_dense(const walk *w, const sk_segment *seg, const sk_seg_layout *at)
{
    static const uint8_t bits[SK_KEY_KINDS] = {[SK_KEY_F32] = 32, [SK_KEY_F16] = 16, [SK_KEY_BF16] = 16,
                                               [SK_KEY_I8] = 8,   [SK_KEY_I4] = 4,   [SK_KEY_F8] = 8};
    const uint32_t n = bits[seg->kind], p = w->spec->page;
    const bool f8 = seg->kind == SK_KEY_F8;
    for (uint32_t k = 0; !f8 && at->kscale_off != SK_NO_FIELD && k < (at->dims + 31) / 32; k++)
        see(w, (sk_case_element){.off = at->kscale_off, .bits = 16, .dst = (k * p + w->dst) * 16,
                                 .src = (k * p + w->src) * 16, .scale = SK_NO_FIELD, .min = SK_NO_FIELD});
    for (uint32_t d = 0; d < at->dims; d++)
        see(w, (sk_case_element){.off = at->key_off, .bits = n, .float8 = f8, .min = SK_NO_FIELD,
                                 .scale = f8 ? at->kscale_off : SK_NO_FIELD,
                                 .dst = sk_layout_key_index(at, d, w->dst) * n,
                                 .src = sk_layout_key_index(at, d, w->src) * n});
}

static void see_values(const walk *w, uint32_t kind)
{
    static const uint8_t bits[] = {[SK_VAL_F32] = 32, [SK_VAL_F16] = 16, [SK_VAL_BF16] = 16,
                                   [SK_VAL_F8] = 8,   [SK_VAL_I8] = 8,   [SK_VAL_I4] = 4};
    const sk_page_layout *at = w->at;
    for (uint32_t c = 0; c < at->cp; c++) {
        sk_case_element e = {.off = at->value_off, .bits = bits[kind], .scale = SK_NO_FIELD,
                             .min = SK_NO_FIELD, .float8 = kind == SK_VAL_F8};
        if (kind == SK_VAL_I8 || kind == SK_VAL_I4) e.scale = at->vscale_off + 2 * c;
        if (kind == SK_VAL_I4) e.min = at->vmin_off + 2 * c;
        if (e.float8) e.scale = at->vscale_off;
        e.dst = sk_layout_value_index(w->spec, kind, at, w->dst, c) * e.bits;
        e.src = sk_layout_value_index(w->spec, kind, at, w->src, c) * e.bits;
        see(w, e);
    }
}

void sk_case_elements(const sk_spec *spec, uint32_t tier_slot, uint32_t dst, uint32_t src,
                      sk_case_visit *visit, void *user)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    sk_page_layout at;
    sk_page_layout_get(spec, tier_slot, &at);
    const walk w = {spec, &at, dst, src, visit, user};
    for (uint32_t i = 0; i < tier->nseg; i++) {
        if (tier->seg[i].kind == SK_KEY_CODED)
            see_coded(&w, &tier->seg[i], &at.seg[i]);
        else
            see_dense(&w, &tier->seg[i], &at.seg[i]);
    }
    if (tier->value != SK_VAL_KEY) see_values(&w, tier->value);
    if (at.pos_off != SK_NO_FIELD)
        see(&w, (sk_case_element){.off = at.pos_off, .bits = 32, .dst = dst * 32, .src = src * 32,
                                  .scale = SK_NO_FIELD, .min = SK_NO_FIELD});
}

/* ---- a page ------------------------------------------------------------------ */

typedef struct compact_judge {
    const sk_page_layout *at;
    const uint8_t *src, *got; /* the page at work */
    uint8_t *want;
    double *need;             /* scale of each channel of vi4 */
    double worst;             /* steps that a code is beyond the nearest */
} compact_judge;

static double half_at(const uint8_t *page, uint32_t off) { return sk_case_get(page + off, SPHKV_F16, 0); }

/* Scales that must cover those of this source, too: first the minima, then the rest. */
static void cover_minimum(void *user, const sk_case_element *e)
{
    compact_judge *j = user;
    if (e->min == SK_NO_FIELD) return;
    if (half_at(j->src, e->min) < half_at(j->want, e->min)) memcpy(j->want + e->min, j->src + e->min, 2);
}

static void cover_scale(void *user, const sk_case_element *e)
{
    compact_judge *j = user;
    if (e->scale == SK_NO_FIELD) return;
    const double scale = half_at(j->src, e->scale);
    if (e->min != SK_NO_FIELD) {
        double *need = &j->need[(e->min - j->at->vmin_off) / 2];
        *need = fmax(*need, scale + (half_at(j->src, e->min) - half_at(j->want, e->min)) / 15);
    } else if (scale > half_at(j->want, e->scale)) {
        memcpy(j->want + e->scale, j->src + e->scale, 2);
    }
}

/* A range is rounded twice: a neighbour of what is nearest will do. */
static void take_ranges(compact_judge *j)
{
    for (uint32_t i = 0; j->at->vmin_off != SK_NO_FIELD && i < j->at->cp; i++) {
        const uint32_t at = j->at->vscale_off + 2 * i;
        const double need = fmin(j->need[i], 65504), got = half_at(j->got, at);
        const bool near = fabs(got - need) <= fmax(need * 0x1p-10, 0x1p-24);
        sk_case_put(j->want + at, SPHKV_F16, 0, near ? got : need);
    }
}

/* The number of an e4m3fn code. */
static double float8(uint32_t code)
{
    const double m = code & 7, e = code >> 3 & 15;
    const double size = e > 0 ? ldexp(8 + m, (int)e - 10) : ldexp(m, -9);
    return code & 0x80 ? -size : size;
}

/* Half of what a code is from its neighbours, in units of the scale. */
static double half_step(const sk_case_element *e, double x)
{
    if (!e->float8) return 0.5;
    int power = 0;
    (void)frexp(fmax(fabs(x), 0x1p-6), &power);
    return ldexp(0.5, power - 4);
}

static double number_of(const sk_case_element *e, uint32_t code)
{
    if (e->float8) return float8(code);
    return e->bits == 8 && !e->radius && e->min == SK_NO_FIELD && code > 127 ? (double)code - 256 : code;
}

static void judge_number(void *user, const sk_case_element *e)
{
    compact_judge *j = user;
    for (uint32_t i = 0; e->scale == SK_NO_FIELD && i < e->bits; i += 16) {
        const uint32_t n = e->bits - i < 16 ? e->bits - i : 16;
        sk_bits_put(j->want + e->off, e->dst + i, n, sk_bits_get(j->src + e->off, e->src + i, n));
    }
    if (e->scale == SK_NO_FIELD) return;
    const uint32_t was = sk_bits_get(j->src + e->off, e->src, e->bits);
    const uint32_t is = sk_bits_get(j->got + e->off, e->dst, e->bits);
    const double from = half_at(j->src, e->scale), to = half_at(j->want, e->scale);
    double x = number_of(e, was) * from, off;
    if (e->min != SK_NO_FIELD) x += half_at(j->src, e->min) - half_at(j->want, e->min);
    x = to > 0 ? x / to : 0;
    if (e->min != SK_NO_FIELD) x = fmin(fmax(x, 0), 15);
    off = fabs(number_of(e, is) - x) / half_step(e, x);
    j->worst = fmax(j->worst, off <= 1.001 ? 0 : off);
    sk_bits_put(j->want + e->off, e->dst, e->bits, is);
}

static void each_token(const sk_case *c, compact_judge *j, const sphkv_compact_args *a,
                       const sphkv_compact_item *it, const uint8_t *arena, sk_case_visit *visit)
{
    for (uint32_t t = 0; t < it->count; t++) {
        const sphkv_compact_token *from = &a->tokens[it->first + t];
        j->src = arena + (size_t)from->src_unit * SPHKV_UNIT_BYTES;
        sk_case_elements(&c->p.spec, it->tier_slot, t, from->slot, visit, j);
    }
}

/* Minima begin at the largest number. */
static void begin_minima(const sk_page_layout *at, uint32_t count, uint8_t *want)
{
    for (uint32_t i = 0; count > 0 && at->vmin_off != SK_NO_FIELD && i < at->cp; i++)
        sk_case_put(want + at->vmin_off, SPHKV_F16, i, 65504);
}

static sk_status judge_page(const sk_case *c, const sphkv_compact_args *a, uint32_t i, uint32_t sub,
                            compact_judge *j, sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sphkv_compact_item *it = &a->items[i];
    const sk_page_layout *at = &s->at[it->tier_slot];
    const size_t bytes = (size_t)at->units * SPHKV_UNIT_BYTES;
    const uint8_t *src = a->src_arena == a->dst_arena ? s->before : a->src_arena;
    j->got = (const uint8_t *)a->dst_arena + (size_t)it->dst_unit * SPHKV_UNIT_BYTES + sub * bytes;
    j->at = at;
    memset(j->want, 0, bytes);
    memset(j->need, 0, at->cp * sizeof *j->need);
    begin_minima(at, it->count, j->want);
    each_token(c, j, a, it, src + sub * bytes, cover_minimum);
    each_token(c, j, a, it, src + sub * bytes, cover_scale);
    take_ranges(j);
    each_token(c, j, a, it, src + sub * bytes, judge_number);
    if (j->worst > 0)
        return sk_fail(err, SPHKV_EVERIFY,
                       "token_compact: a code of item %u (tier %u) is off by %.4g half steps", i,
                       it->tier_slot, j->worst);
    size_t byte = 0;
    while (byte < bytes && j->want[byte] == j->got[byte]) byte++;
    if (byte == bytes) return SPHKV_OK;
    return sk_fail(err, SPHKV_EVERIFY, "token_compact: byte %zu of item %u (tier %u) is %#x, not %#x",
                   byte, i, it->tier_slot, j->got[byte], j->want[byte]);
}

/* Whatever no item names is as it was. */
static sk_status judge_rest(const sk_case *c, const sphkv_compact_args *a, sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    uint8_t *rest = sk_malloc(a->dst_arena_bytes);
    if (!rest) return sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    memcpy(rest, a->dst_arena, a->dst_arena_bytes);
    for (uint32_t i = 0; i < a->items_count; i++) {
        const size_t at = (size_t)a->items[i].dst_unit * SPHKV_UNIT_BYTES;
        const size_t bytes = (size_t)s->at[a->items[i].tier_slot].units * SPHKV_UNIT_BYTES;
        memcpy(rest + at, s->before + at, bytes * (a->sub_pages ? a->sub_pages : 1));
    }
    size_t at = 0;
    while (at < a->dst_arena_bytes && rest[at] == s->before[at]) at++;
    const bool same = at == a->dst_arena_bytes;
    sk_free(rest);
    return same ? SPHKV_OK
                : sk_fail(err, SPHKV_EVERIFY, "token_compact: wrote byte %zu, which no item names", at);
}

sk_status sk_case_judge_compact(const sk_case *c, uint32_t copy, double *error, double *bound,
                                sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sphkv_compact_args *a = &c->args.compact[copy];
    size_t most = 0;
    for (uint32_t i = 0; i < c->p.spec.ntiers; i++)
        if (s->at[i].units > most) most = s->at[i].units;
    compact_judge j = {.want = sk_malloc(most * SPHKV_UNIT_BYTES),
                       .need = sk_malloc(s->at[0].cp * sizeof *j.need)};
    sk_status st = j.want && j.need ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    *bound = 0;
    for (uint32_t i = 0; st == SPHKV_OK && i < a->items_count; i++)
        for (uint32_t sub = 0; st == SPHKV_OK && sub < (a->sub_pages ? a->sub_pages : 1); sub++)
            st = judge_page(c, a, i, sub, &j, err);
    if (st == SPHKV_OK) st = judge_rest(c, a, err);
    *error = st != SPHKV_OK;
    sk_free(j.want);
    sk_free(j.need);
    return st;
}
