/* attn_work.c - attn_decode along a work list of attn_schedule (its form: there).
 * The list is the caller's memory, so every part checks all of it against the
 * page table before it writes: each page of each pair stands in it once, in
 * order, and partials go where the part that runs them owns the slots. */
#include "attn_run.h"
#include "work.h"

static const uint32_t *words(const sk_attn_run_state *r) { return r->a.schedule; }

static const uint32_t *firsts(const sk_attn_run_state *r) { return words(r) + SK_WORK_HEADER; }

static const sk_work_item *items(const sk_attn_run_state *r)
{
    const uint32_t at = sk_work_items_at(words(r)[SK_WORK_PARTS]);
    return (const sk_work_item *)(const void *)(words(r) + at);
}

static sk_status check_header(const sk_attn_run_state *r, uint32_t parts, sk_err *err)
{
    const uint32_t *w = words(r);
    if ((uintptr_t)w % 64 != 0 || r->a.schedule_bytes < (size_t)sk_work_items_at(parts) * 4 ||
        w[SK_WORK_MAGIC] != SK_WORK_MAGIC_WORD)
        return sk_fail(err, SPHKV_EINVAL, "schedule: not a work list of attn_schedule");
    if (w[SK_WORK_PARTS] != parts || w[SK_WORK_BATCH] != r->a.batch ||
        w[SK_WORK_FIRST_HEAD] != r->kv_first || w[SK_WORK_HEADS] != r->kv_count ||
        w[SK_WORK_SHARED] != r->shared)
        return sk_fail(err, SPHKV_EINVAL,
                       "schedule: made for %u parts, batch %u, %u KV heads from %u on, %s lists",
                       w[SK_WORK_PARTS], w[SK_WORK_BATCH], w[SK_WORK_HEADS], w[SK_WORK_FIRST_HEAD],
                       w[SK_WORK_SHARED] ? "shared" : "own");
    const uint64_t most = (uint64_t)r->pairs + parts;
    if (w[SK_WORK_ITEMS] > most ||
        r->a.schedule_bytes < (size_t)sk_work_items_at(parts) * 4 + w[SK_WORK_ITEMS] * 16ull)
        return sk_fail(err, SPHKV_EINVAL, "schedule: %u items", w[SK_WORK_ITEMS]);
    return SPHKV_OK;
}

/* Where a run along the list stands. */
typedef struct cursor {
    uint32_t pair, ref, end; /* the next page must be this one; end of its list */
} cursor;

static void pair_bounds(const sk_attn_run_state *r, uint32_t pair, cursor *at)
{
    const uint32_t list = sk_attn_list(r, pair / r->kv_count, r->kv_first + pair % r->kv_count);
    at->pair = pair;
    at->ref = r->a.table.indptr[list];
    at->end = r->a.table.indptr[list + 1];
}

/* The item goes on where the last one ended, in a slot that its part owns. first:
 * of its part; only there may a list go on. */
static bool item_fits(const sk_work_item *it, const cursor *at, uint32_t begin, uint32_t part,
                      bool first)
{
    const bool early = at->ref > begin, late = it->hi < at->end;
    if (early && !first) return false;
    const uint32_t slot = !early && !late ? SK_ITEM_FINAL : 2 * part + (early ? 0 : 1);
    return it->pair == at->pair && it->lo == at->ref && it->hi <= at->end && it->slot == slot &&
           (it->hi > it->lo || at->end == begin);
}

sk_status sk_work_check(const sk_attn_run_state *r, uint32_t parts, sk_err *err)
{
    sk_status st = check_header(r, parts, err);
    if (st != SPHKV_OK) return st;
    const uint32_t *first = firsts(r), n = words(r)[SK_WORK_ITEMS];
    cursor at = {0};
    uint32_t begin = 0;
    bool open = false; /* inside of a list */
    uint32_t next = 0; /* pair */
    for (uint32_t part = 0; part < parts; part++) {
        if (first[part] > first[part + 1] || first[part + 1] > n || (part == 0 && first[0] != 0))
            return sk_fail(err, SPHKV_EINVAL, "schedule: items of part %u", part);
        for (uint32_t i = first[part]; i < first[part + 1]; i++) {
            if (!open && next == r->pairs)
                return sk_fail(err, SPHKV_EINVAL, "schedule: item %u of no list", i);
            if (!open) pair_bounds(r, next++, &at);
            if (!open) begin = at.ref;
            if (!item_fits(&items(r)[i], &at, begin, part, i == first[part]))
                return sk_fail(err, SPHKV_EINVAL,
                               "schedule: item %u does not fit the page table: make it anew", i);
            at.ref = items(r)[i].hi;
            open = at.ref < at.end;
        }
    }
    if (open || next != r->pairs || first[parts] != n)
        return sk_fail(err, SPHKV_EINVAL, "schedule: pages of pair %u are missing", next);
    return SPHKV_OK;
}

sk_status sk_work_run(sk_attn_part *p, sk_err *err)
{
    const sk_attn_run_state *r = p->r;
    sk_status st = SPHKV_OK;
    for (uint32_t i = firsts(r)[p->part]; i < firsts(r)[p->part + 1] && st == SPHKV_OK; i++) {
        const sk_work_item *it = &items(r)[i];
        cursor at;
        pair_bounds(r, it->pair, &at);
        if (it->lo == it->hi)
            sk_attn_clear(r, it->pair, it->pair + 1);
        else
            st = sk_attn_run_pages(p, it->pair, it->lo - at.ref, it->hi - at.ref, it->slot, err);
    }
    return st;
}

/* A list that goes over a border is the last item of a part, and the first of
 * the next that has any. */
sk_status sk_work_merge(const sk_attn_part *p, sk_err *err)
{
    const sk_attn_run_state *r = p->r;
    uint32_t *slot = sk_attn_job_slots(p), count = 0;
    for (uint32_t part = 0; part < p->parts; part++) {
        const uint32_t lo = firsts(r)[part], hi = firsts(r)[part + 1];
        if (lo == hi) continue;
        const sk_work_item *first = &items(r)[lo], *last = &items(r)[hi - 1];
        if (count > 0) {
            slot[count++] = first->slot;
            cursor at;
            pair_bounds(r, first->pair, &at);
            const sk_status st =
                first->hi == at.end ? sk_attn_merge_pair(p, first->pair, count, err) : SPHKV_OK;
            if (st != SPHKV_OK) return st;
            if (first->hi == at.end) count = 0;
        }
        if (last->slot == 2 * part + 1) slot[count++] = last->slot;
    }
    return SPHKV_OK;
}
