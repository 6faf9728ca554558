/* page_table.c - see page_table.h. The walk over the references is one pass
 * without branches; what is wrong is looked for when something is. */
#include "page_table.h"
#include "part_rope.h"

/* Places in the arena where a page of each tier may begin; none for tiers that
 * the mix does not have. With shared lists the last sub-page of this run must
 * lie in the arena. */
typedef struct arena_room {
    uint64_t places[SK_MAX_TIERS + 1];
} arena_room;

static arena_room room_of(const sk_table_look *look)
{
    const uint64_t subs = look->shared ? look->kv_first + look->kv_count : 1;
    const uint64_t most = (uint64_t)1 << 32; /* units are 32 bits */
    uint64_t units = look->arena_bytes / SPHKV_UNIT_BYTES;
    if (units > most) units = most;
    arena_room room = {{0}};
    for (uint32_t k = 0; k < look->image->spec.ntiers; k++) {
        const uint64_t page = subs * look->image->units[k];
        room.places[k] = look->no_arena ? most : units >= page ? units - page + 1 : 0;
    }
    return room;
}

/* Flags, which mean nothing yet, make a tier that is none. */
static bool ref_wrong(const arena_room *room, uint32_t page, uint64_t ref, uint32_t last)
{
    const uint32_t tier = (uint32_t)(ref >> 48);
    return (tier < last) | (sphkv_ref_tokens(ref) > page) |
           (sphkv_ref_unit(ref) >= room->places[tier < SK_MAX_TIERS ? tier : SK_MAX_TIERS]);
}

/* What is wrong with refs[i], whose list's tier before it is `last`. */
static sk_status explain_ref(const sk_table_look *look, uint32_t i, uint32_t last, sk_err *err)
{
    const sk_spec *spec = &look->image->spec;
    const uint64_t ref = look->table->refs[i];
    const uint32_t tier = sphkv_ref_tier(ref);
    if (ref >> 56 != 0)
        return sk_fail(err, SPHKV_EINVAL, "refs[%u]: flags %#x: bits 56-63 are zero", i,
                       (uint32_t)(ref >> 56));
    if (tier >= spec->ntiers || tier < last)
        return sk_fail(err, SPHKV_EINVAL, "refs[%u]: tier slot %u (mix has %u, sorted in a list)", i,
                       tier, spec->ntiers);
    if (sphkv_ref_tokens(ref) > spec->page)
        return sk_fail(err, SPHKV_EINVAL, "refs[%u]: %u tokens in a page of %u", i,
                       sphkv_ref_tokens(ref), spec->page);
    return sk_fail(err, SPHKV_EINVAL, "refs[%u]: page at unit %u ends beyond the arena", i,
                   sphkv_ref_unit(ref));
}

/* Positions of p tiers, those of the run's KV heads. */
static sk_status check_positions(const sk_table_look *look, uint32_t i, uint32_t pos_off, sk_err *err)
{
    const uint64_t ref = look->table->refs[i];
    const size_t bytes = (size_t)look->image->units[sphkv_ref_tier(ref)] * SPHKV_UNIT_BYTES;
    const uint8_t *page = look->arena;
    page += (size_t)sphkv_ref_unit(ref) * SPHKV_UNIT_BYTES + pos_off;
    const uint32_t first = look->shared ? look->kv_first : 0, n = look->shared ? look->kv_count : 1;
    for (uint32_t sub = first; sub < first + n; sub++)
        if (!sk_rope_inside(look->rope, page + sub * bytes, sphkv_ref_tokens(ref)))
            return sk_fail(err, SPHKV_EINVAL, "refs[%u]: a position is not in the table of %u", i,
                           look->rope->positions);
    return SPHKV_OK;
}

static sk_status check_rotated(const sk_table_look *look, uint32_t lo, uint32_t hi, sk_err *err)
{
    const sk_spec *spec = &look->image->spec;
    uint32_t pos_off[SK_MAX_TIERS];
    if (look->rope == NULL || !sk_spec_pre_rope(spec)) return SPHKV_OK;
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, k, &lay);
        pos_off[k] = sk_tier_pre_rope(&spec->tier[k]) ? lay.pos_off : SK_NO_FIELD;
    }
    sk_status st = SPHKV_OK;
    for (uint32_t i = lo; i < hi && st == SPHKV_OK; i++) {
        const uint32_t off = pos_off[sphkv_ref_tier(look->table->refs[i])];
        if (off != SK_NO_FIELD) st = check_positions(look, i, off, err);
    }
    return st;
}

static sk_status check_list(const sk_table_look *look, const arena_room *room, uint32_t list,
                            sk_err *err)
{
    const sphkv_page_table *t = look->table;
    const uint32_t lo = t->indptr[list], hi = t->indptr[list + 1], page = look->image->spec.page;
    if (hi < lo) return sk_fail(err, SPHKV_EINVAL, "table.indptr falls at list %u", list);
    if (hi - lo > look->image->maxima.pages_per_list)
        return sk_fail(err, SPHKV_EINVAL, "list %u has %u pages, the plan is for %u", list, hi - lo,
                       look->image->maxima.pages_per_list);
    if (hi == lo) return SPHKV_OK;
    if (t->refs == NULL || (look->arena == NULL && !look->no_arena))
        return sk_fail(err, SPHKV_EINVAL, "table.refs or arena is NULL");
    bool wrong = false;
    uint32_t last = 0;
    uint64_t tokens = 0;
    for (uint32_t i = lo; i < hi; i++) {
        wrong |= ref_wrong(room, page, t->refs[i], last);
        last = sphkv_ref_tier(t->refs[i]);
        tokens += sphkv_ref_tokens(t->refs[i]);
    }
    if (!wrong && look->most_tokens && tokens > look->most_tokens)
        return sk_fail(err, SPHKV_EINVAL, "list %u has %llu tokens, whose places are counted: %llu at most",
                       list, (unsigned long long)tokens, (unsigned long long)look->most_tokens);
    if (!wrong) return check_rotated(look, lo, hi, err);
    last = 0;
    for (uint32_t i = lo;; last = sphkv_ref_tier(t->refs[i++]))
        if (ref_wrong(room, page, t->refs[i], last)) return explain_ref(look, i, last, err);
}

static sk_status check_lists(sk_table_look *look, sk_err *err)
{
    const arena_room room = room_of(look);
    const uint32_t *indptr = look->table->indptr;
    const uint32_t each = look->shared ? 1 : look->kv_count;
    const uint32_t per_list = look->shared ? look->kv_count : 1;
    for (uint32_t seq = 0; seq < look->batch; seq++) {
        const uint32_t first =
            look->shared ? seq : seq * look->table->lists_per_seq + look->kv_first;
        for (uint32_t list = first; list < first + each; list++) {
            const sk_status st = check_list(look, &room, list, err);
            if (st != SPHKV_OK) return st;
            look->pages += (uint64_t)(indptr[list + 1] - indptr[list]) * per_list;
        }
        if (indptr[first + each] > look->refs_end) look->refs_end = indptr[first + each];
    }
    return SPHKV_OK;
}

sk_status sk_table_heads(sk_table_look *look, sk_err *err)
{
    const sphkv_maxima *m = &look->image->maxima;
    if (look->batch > m->batch)
        return sk_fail(err, SPHKV_EINVAL, "batch %u, the plan is for %u", look->batch, m->batch);
    if (look->kv_first >= m->kv_heads || look->kv_count > m->kv_heads - look->kv_first)
        return sk_fail(err, SPHKV_EINVAL, "%u KV heads from %u on, the plan is for %u",
                       look->kv_count, look->kv_first, m->kv_heads);
    if (look->kv_count == 0) look->kv_count = m->kv_heads - look->kv_first;
    return SPHKV_OK;
}

sk_status sk_table_frame(sk_table_look *look, sk_err *err)
{
    const sphkv_page_table *t = look->table;
    const uint32_t kv_heads = look->image->maxima.kv_heads;
    look->pages = look->refs_end = 0;
    if (t->lists_per_seq != 1 && t->lists_per_seq != kv_heads)
        return sk_fail(err, SPHKV_EINVAL, "table.lists_per_seq is %u: 1 or %u (KV heads)",
                       t->lists_per_seq, kv_heads);
    if ((uint64_t)look->batch * t->lists_per_seq != t->lists)
        return sk_fail(err, SPHKV_EINVAL, "table.lists is %u, batch %u times %u lists per sequence",
                       t->lists, look->batch, t->lists_per_seq);
    if (t->lists > 0 && t->indptr == NULL)
        return sk_fail(err, SPHKV_EINVAL, "table.indptr is NULL");
    if ((uintptr_t)t->indptr % sizeof *t->indptr != 0 || (uintptr_t)t->refs % sizeof *t->refs != 0)
        return sk_fail(err, SPHKV_EINVAL, "table.indptr or table.refs is not aligned to its elements");
    look->shared = t->lists_per_seq == 1;
    return SPHKV_OK;
}

sk_status sk_table_check(sk_table_look *look, sk_err *err)
{
    const sk_status st = sk_table_frame(look, err);
    return st == SPHKV_OK ? check_lists(look, err) : st;
}
