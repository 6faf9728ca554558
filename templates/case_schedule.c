/* case_schedule.c - inputs and judgement of attn_schedule: the page tables of
 * attention cases, for one part up to more parts than there are pages. A work
 * list is right when every page of every pair stands in it once, in order, each
 * part's items together, partial slots where attn_decode looks for them; and
 * good when no part weighs more than its share and one page. */
#include <math.h>
#include <string.h>

#include "case_impl.h"
#include "work.h"

static uint32_t parts_of(const sk_case_params *p)
{
    static const uint32_t parts[] = {3, 1, 7, 64, 2};
    return p->quick_fill ? 16 : parts[p->seed % SK_COUNT(parts)];
}

static void schedule_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    ((sphkv_schedule_args *)c->args.any)[copy] = (sphkv_schedule_args){
        .size = sizeof(sphkv_schedule_args),
        .batch = c->p.shape.batch,
        .table = sk_case_table(c, copy),
        .parts = parts_of(&c->p),
        .schedule = b[SK_BUF_OUT].data,
        .schedule_bytes = b[SK_BUF_OUT].bytes,
    };
}

static sk_status schedule_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_case_params *p = &c->p;
    sk_case_buffer *b = s->copy[0].buf;
    uint64_t units;
    sk_rng rng;
    sk_rng_seed(&rng, p->seed * SK_INPUT_COUNT + p->input);
    s->first_ref = p->input == SK_IN_EDGE ? 1 : 0;
    sk_status st = sk_case_lists(c, &rng, err);
    if (st == SPHKV_OK)
        st = sk_case_place(s->page, s->pages, s->at, p->lists_per_seq == 1 ? s->kv_heads : 1, &rng,
                           &units, err);
    const size_t lists = (size_t)p->shape.batch * p->lists_per_seq;
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_INDEX], (lists + 1) * 4, err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_LIST], (s->pages + 2 * s->first_ref) * 8, err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(
            &b[SK_BUF_OUT], sphkv_schedule_bytes(p->shape.batch, s->kv_heads, parts_of(p)), err);
    if (st != SPHKV_OK) return st;
    sk_case_table_fill(c);
    c->read_bytes = b[SK_BUF_INDEX].bytes + s->pages * 8;
    c->write_bytes = b[SK_BUF_OUT].bytes;
    return SPHKV_OK;
}

/* ---- judgement ------------------------------------------------------------------- */

typedef struct look {
    const sk_case *c;
    const sphkv_schedule_args *a;
    const uint32_t *first;
    const sk_work_item *item;
    uint32_t n;
    double total, page; /* weight of all pages, of the heaviest */
} look;

/* Bounds of the list of a pair. */
static void pair_list(const look *l, uint32_t pair, uint32_t *lo, uint32_t *hi)
{
    const uint32_t heads = sk_case_state_of(l->c)->kv_heads;
    const uint32_t list = l->a->table.lists_per_seq == 1 ? pair / heads : pair;
    *lo = l->a->table.indptr[list];
    *hi = l->a->table.indptr[list + 1];
}

static double weight(const look *l, uint32_t lo, uint32_t hi)
{
    double sum = 0;
    for (uint32_t i = lo; i < hi; i++) {
        const uint64_t ref = l->a->table.refs[i];
        sum += sk_work_weight(&l->c->p.spec, sphkv_ref_tier(ref), sphkv_ref_tokens(ref));
    }
    return sum;
}

static void weigh_all(look *l, uint32_t pairs)
{
    for (uint32_t v = 0; v < pairs; v++) {
        uint32_t lo, hi;
        pair_list(l, v, &lo, &hi);
        for (uint32_t i = lo; i < hi; i++) {
            const double w = weight(l, i, i + 1);
            l->total += w;
            l->page = fmax(l->page, w);
        }
    }
}

/* Items of one part, from where the last part ended. */
static bool part_right(const look *l, uint32_t part, uint32_t *pair, uint32_t *ref, double *heavy)
{
    double sum = 0;
    for (uint32_t i = l->first[part]; i < l->first[part + 1]; i++) {
        const sk_work_item *it = &l->item[i];
        uint32_t lo, hi;
        pair_list(l, *pair, &lo, &hi);
        if (*ref == UINT32_MAX) *ref = lo; /* a list begins */
        const bool whole = it->lo == lo && it->hi == hi;
        const uint32_t slot = whole ? SK_ITEM_FINAL : 2 * part + (it->lo == lo);
        if (it->pair != *pair || it->lo != *ref || it->hi > hi || it->slot != slot) return false;
        if (it->hi == it->lo && hi != lo) return false;
        if (it->lo != lo && i != l->first[part]) return false; /* cut inside of a part */
        sum += weight(l, it->lo, it->hi);
        *ref = it->hi == hi ? UINT32_MAX : it->hi;
        *pair += it->hi == hi;
    }
    *heavy = fmax(*heavy, sum);
    return l->first[part] <= l->first[part + 1] && l->first[part + 1] <= l->n;
}

static sk_status schedule_judge(const sk_case *c, uint32_t copy, double *error, double *bound,
                                sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sphkv_schedule_args *a = (const sphkv_schedule_args *)c->args.any + copy;
    const uint32_t *word = a->schedule, pairs = c->p.shape.batch * s->kv_heads;
    look l = {.c = c, .a = a, .first = word + SK_WORK_HEADER, .n = word[SK_WORK_ITEMS]};
    l.item = (const sk_work_item *)(const void *)(word + sk_work_items_at(a->parts));
    uint32_t pair = 0, ref = UINT32_MAX;
    double heavy = 0;
    if (word[SK_WORK_MAGIC] != SK_WORK_MAGIC_WORD || l.first[0] != 0 || l.n > pairs + a->parts ||
        l.first[a->parts] != l.n)
        return sk_fail(err, SPHKV_EVERIFY, "attn_schedule: header of a list of %u items", l.n);
    weigh_all(&l, pairs);
    for (uint32_t part = 0; part < a->parts; part++)
        if (!part_right(&l, part, &pair, &ref, &heavy))
            return sk_fail(err, SPHKV_EVERIFY, "attn_schedule: items of part %u, pair %u", part, pair);
    if (pair != pairs || ref != UINT32_MAX)
        return sk_fail(err, SPHKV_EVERIFY, "attn_schedule: ends at pair %u of %u", pair, pairs);
    *error = fmax(0, (heavy - l.total / a->parts - l.page) / fmax(1, l.total));
    *bound = 1e-4; /* sums of f32 */
    if (*error <= *bound) return SPHKV_OK;
    return sk_fail(err, SPHKV_EVERIFY, "attn_schedule: a part weighs %.6g of %.6g, %u parts", heavy,
                   l.total, a->parts);
}

static double schedule_bound(const sk_spec *spec)
{
    (void)spec;
    return 1e-4;
}

/* Even and uneven lists, own and shared, of few parts and of many. */
static bool schedule_check(const sk_spec *spec, uint32_t i, sk_case_params *p)
{
    if (i >= 10) return false;
    p->input = i < 2 ? SK_IN_S1 : SK_IN_EDGE;
    p->uneven = i >= 2;
    p->lists_per_seq = i % 2 ? 1 : SK_CHECK_HEADS;
    p->seed += i;
    p->shape = (sk_shape){.batch = 4, .kv_heads = SK_CHECK_HEADS, .context = 9 * spec->page - 5};
    return true;
}

const sk_case_kind sk_case_attn_schedule = {
    .make = schedule_make,
    .args = schedule_args,
    .judge = schedule_judge,
    .check = schedule_check,
    .bound = schedule_bound,
};
