/* ir_interp_shadow.c - the memory of the interpreter, and what it checks.
 *
 * Each writable or uninitialised buffer, and the scratch, has a shadow word per
 * 32-bit word: who stored it last and in which interval between barriers, who
 * read it. From that follow uninitialised reads and races:
 *   - in one interval, two warps touch a word and one of them stores;
 *   - two lanes store to a word in one instruction (even the same value: one
 *     lane owns each word);
 *   - two blocks touch a word, one of them stores, and no ATOMADD orders them.
 *     Blocks run one after the other here, in any order on a device, so the
 *     later one reports it. Only the last reader is kept: a write after reads
 *     of two blocks is seen, a write after a read of an earlier block and then
 *     an own one is not;
 *   - anyone touches a word to which a copy is under way.
 * Slots that name the same memory share one shadow; slots that overlap partly
 * are treated as apart.
 *
 * Order between blocks: an ATOMADD releases what its warp did before it and
 * what the block did in earlier intervals, and acquires all that adds to the
 * same word have released before; the rest of the block has acquired it in
 * later intervals. Adds to one word are no race among each other. An order by
 * way of a third block and a second counter is not followed: such a program is
 * reported although it is sound. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ir_interp.h"
#include "ir_rules.h"

/* ---- places ------------------------------------------------------------------------- */

static sk_status place_shadow(interp *t, interp_place *place)
{
    place->lead = (uint32_t)((uintptr_t)place->data & 3u);
    const size_t words = (place->bytes + place->lead + 3) / 4;
    place->shadow = sk_calloc(words ? words : 1, sizeof *place->shadow);
    place->owns_shadow = true;
    if (!place->shadow)
        return sk_fail(t->err, SPHKV_ENOMEM, "interpreter: out of memory for %zu shadow words",
                       words);
    return SPHKV_OK;
}

/* The shadow of an earlier or later slot that names the same memory. */
static interp_word *same_memory(const interp *t, uint32_t slot)
{
    const interp_place *const place = &t->place[slot];
    for (uint32_t k = 0; k < t->p->nparams; k++)
        if (k != slot && t->place[k].owns_shadow && t->place[k].data == place->data
            && t->place[k].bytes == place->bytes)
            return t->place[k].shadow;
    return NULL;
}

static sk_status param_places(interp *t)
{
    for (uint32_t k = 0; k < t->p->nparams; k++) {
        const sk_param *const param = &t->p->param[k];
        if (param->kind != SK_PARAM_PTR)
            continue;
        const sk_interp_buffer *const buffer = &t->args->buffer[k];
        t->place[k] = (interp_place){.name = param->name,
                                     .data = buffer->data,
                                     .bytes = buffer->data ? buffer->bytes : 0,
                                     .writable = param->writable,
                                     .uninitialised = buffer->uninitialised};
    }
    for (uint32_t k = 0; k < t->p->nparams; k++) {
        interp_place *const place = &t->place[k];
        if (!place->writable && !place->uninitialised)
            continue;
        place->lead = (uint32_t)((uintptr_t)place->data & 3u);
        place->shadow = same_memory(t, k);
        if (!place->shadow && place_shadow(t, place) != SPHKV_OK)
            return SPHKV_ENOMEM;
    }
    for (uint32_t k = 0; k < t->p->nparams; k++) {
        interp_place *const place = &t->place[k];
        if (!place->shadow && place->bytes) {
            place->lead = (uint32_t)((uintptr_t)place->data & 3u);
            place->shadow = same_memory(t, k);
        }
    }
    return SPHKV_OK;
}

sk_status sk_interp_places(interp *t)
{
    const sk_program *const p = t->p;
    t->place = sk_calloc(p->nparams + 1u, sizeof *t->place);
    if (!t->place)
        return sk_fail(t->err, SPHKV_ENOMEM, "interpreter: out of memory");
    const sk_status st = param_places(t);
    if (st != SPHKV_OK)
        return st;
    interp_place *const scratch = &t->place[p->nparams];
    *scratch = (interp_place){.name = "scratch",
                              .bytes = p->shared_bytes,
                              .writable = true,
                              .uninitialised = true,
                              .scratch = true};
    scratch->data = sk_calloc(p->shared_bytes ? p->shared_bytes : 1, 1);
    if (!scratch->data)
        return sk_fail(t->err, SPHKV_ENOMEM, "interpreter: out of memory for the scratch");
    return place_shadow(t, scratch);
}

void sk_interp_places_free(interp *t)
{
    if (!t->place)
        return;
    for (uint32_t k = 0; k <= t->p->nparams; k++)
        if (t->place[k].owns_shadow)
            sk_free(t->place[k].shadow);
    sk_free(t->place[t->p->nparams].data);
    sk_free(t->place);
}

/* ---- faults -------------------------------------------------------------------------- */

void sk_interp_fault(interp *t, const interp_instr *in, uint32_t lane, const char *fmt, ...)
{
    if (t->st != SPHKV_OK)
        return;
    char what[160];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    sk_text line = {0};
    sk_ir_print_instr(t->p, in->origin, &line);
    t->st = sk_fail(t->err, SPHKV_EVERIFY, "%s: block %u %u %u, warp %u, lane %u, %%%u: %s [%s]",
                    t->p->symbol, t->block[0], t->block[1], t->block[2], t->at_warp, lane,
                    in->origin, what, line.s ? line.s : "");
    sk_text_free(&line);
}

/* ---- order between blocks -------------------------------------------------------------- */

/* Is what an earlier block's warp did (in `interval`, behind `stamp` - 1 stores)
 * behind an add to a word to which this block has added since, as this warp
 * knows? Adds stand in the order of their intervals. */
static bool acquired(const interp *t, const interp_add *release)
{
    for (uint32_t k = t->own_add; k < t->nadd; k++)
        if (t->add[k].word == release->word
            && (t->add[k].interval < t->interval || t->add[k].warp == t->at_warp))
            return true;
    return false;
}

static bool ordered(const interp *t, uint32_t interval, uint32_t warp, uint32_t stamp)
{
    uint32_t lo = 0, hi = t->own_add;
    while (lo < hi) { /* the first add in this interval or behind it */
        const uint32_t mid = lo + (hi - lo) / 2;
        if (t->add[mid].interval < interval)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < t->own_add && t->add[lo].first <= interval; lo++) {
        const interp_add *const a = &t->add[lo];
        const bool released = a->interval > interval || (a->warp == warp && stamp <= a->stamp);
        if (released && acquired(t, a))
            return true;
    }
    return false;
}

/* Someone of another block had the word since the run began. Scratch is new
 * for every block, so there an older interval means nothing. */
static bool other_block(const interp *t, const interp_place *place, uint32_t interval)
{
    return !place->scratch && interval != 0 && interval < t->first;
}

static bool foreign_store(const interp *t, const interp_place *place, const interp_word *s)
{
    return other_block(t, place, s->written) && !ordered(t, s->written, s->writer, s->stamp);
}

/* Several readers in one interval: only a barrier puts them before an add. */
static bool foreign_read(const interp *t, const interp_place *place, const interp_word *s)
{
    return other_block(t, place, s->read) && !ordered(t, s->read, s->reader, s->read_stamp + 1);
}

void *sk_interp_grow(interp *t, void *old, uint32_t used, uint32_t *cap, size_t element)
{
    if (used < *cap)
        return old;
    const uint32_t want = *cap ? 2 * *cap : 64;
    void *const more = want > *cap ? sk_realloc(old, want * element) : NULL;
    if (more)
        *cap = want;
    else
        t->st = sk_fail(t->err, SPHKV_ENOMEM, "interpreter: out of memory for %u adds or copies",
                        want);
    return more;
}

bool sk_interp_added(interp *t, const uint8_t *word)
{
    interp_add *const all = sk_interp_grow(t, t->add, t->nadd, &t->add_cap, sizeof *all);
    if (!all)
        return false;
    t->add = all;
    t->add[t->nadd++] = (interp_add){.word = word,
                                     .first = t->first,
                                     .interval = t->interval,
                                     .stamp = t->stamp,
                                     .warp = t->at_warp};
    return true;
}

/* ---- checks of one word ------------------------------------------------------------------ */

static bool written(const interp *t, const interp_place *place, const interp_word *s)
{
    return place->scratch ? s->written >= t->first : s->written != 0;
}

static bool check_read(interp *t, const interp_instr *in, uint32_t lane, interp_place *place,
                       uint64_t at)
{
    interp_word *const s = &place->shadow[(at + place->lead) / 4];
    if (s->copying)
        sk_interp_fault(t, in, lane, "reads %s+%llu, to which a copy is under way", place->name,
                        (unsigned long long)at);
    else if (place->uninitialised && !written(t, place, s))
        sk_interp_fault(t, in, lane, "reads %s+%llu, which nobody has written", place->name,
                        (unsigned long long)at);
    else if (foreign_store(t, place, s))
        sk_interp_fault(t, in, lane, "race: reads %s+%llu, which another block has written",
                        place->name, (unsigned long long)at);
    else if (s->written == t->interval && s->writer != t->at_warp)
        sk_interp_fault(t, in, lane, "race: reads %s+%llu, which warp %u writes with no barrier "
                        "between", place->name, (unsigned long long)at, s->writer);
    if (s->read != t->interval)
        s->reader = (uint16_t)t->at_warp;
    else if (s->reader != t->at_warp)
        s->reader = INTERP_MANY;
    s->read = t->interval;
    s->read_stamp = t->stamp;
    return t->st == SPHKV_OK;
}

static bool check_write(interp *t, const interp_instr *in, uint32_t lane, interp_place *place,
                        uint64_t at, interp_access access)
{
    interp_word *const s = &place->shadow[(at + place->lead) / 4];
    const bool adds = access == INTERP_ADD && s->added; /* no race among adds */
    if (s->copying)
        sk_interp_fault(t, in, lane, "writes %s+%llu, to which a copy is under way", place->name,
                        (unsigned long long)at);
    else if (access == INTERP_ADD && place->uninitialised && !written(t, place, s))
        sk_interp_fault(t, in, lane, "adds to %s+%llu, which nobody has written", place->name,
                        (unsigned long long)at);
    else if ((!adds && foreign_store(t, place, s)) || foreign_read(t, place, s))
        sk_interp_fault(t, in, lane, "race: writes %s+%llu, which another block has touched",
                        place->name, (unsigned long long)at);
    else if (!adds && s->written == t->interval && s->writer != t->at_warp)
        sk_interp_fault(t, in, lane, "race: writes %s+%llu, which warp %u writes too, with no "
                        "barrier between", place->name, (unsigned long long)at, s->writer);
    else if (s->read == t->interval && s->reader != t->at_warp)
        sk_interp_fault(t, in, lane, "race: writes %s+%llu, which another warp reads with no "
                        "barrier between", place->name, (unsigned long long)at);
    else if (s->written == t->interval && s->stamp == t->stamp)
        sk_interp_fault(t, in, lane, "race: two lanes write %s+%llu", place->name,
                        (unsigned long long)at);
    s->written = t->interval;
    s->writer = (uint16_t)t->at_warp;
    s->stamp = t->stamp;
    s->added = access == INTERP_ADD;
    s->copying = access == INTERP_COPY;
    return t->st == SPHKV_OK;
}

void sk_interp_copied(interp *t, interp_addr to, uint32_t bytes)
{
    interp_place *const place = &t->place[to.place];
    for (uint32_t b = 0; b < bytes; b += 4) {
        interp_word *const s = &place->shadow[(to.offset + b + place->lead) / 4];
        s->copying = false;
        s->written = t->interval;
        s->writer = (uint16_t)t->at_warp;
        s->stamp = t->stamp;
    }
}

/* ---- an access --------------------------------------------------------------------------- */

static bool check_shadow(interp *t, const interp_instr *in, uint32_t lane, interp_place *place,
                         uint64_t at, uint32_t bytes, interp_access access)
{
    bool ok = true;
    for (uint32_t b = 0; ok && b < bytes; b += 4)
        ok = access == INTERP_READ ? check_read(t, in, lane, place, at + b)
                                   : check_write(t, in, lane, place, at + b, access);
    return ok;
}

uint8_t *sk_interp_access(interp *t, const interp_instr *in, uint32_t lane, interp_addr base,
                          uint64_t offset, uint32_t bytes, interp_access access)
{
    static const char *const verb[] = {"reads", "writes", "adds to", "copies to"};
    interp_place *const place = &t->place[base.place];
    const uint64_t at = base.offset + offset;
    const uintptr_t begin = place->scratch ? 0 : (uintptr_t)place->data; /* aligned by rule */
    if (at > place->bytes || bytes > place->bytes - at)
        sk_interp_fault(t, in, lane, "%s %u bytes at %s%+lld, which has %zu bytes", verb[access],
                        bytes, place->name, (long long)at, place->bytes);
    else if (place->scratch && (at < base.from || at + bytes > base.to))
        sk_interp_fault(t, in, lane, "%s %u bytes at scratch+%llu; its address is of the piece "
                        "from %u to %u", verb[access], bytes, (unsigned long long)at, base.from,
                        base.to);
    else if ((begin + at) % bytes != 0)
        sk_interp_fault(t, in, lane, "%s+%llu is not aligned to %u bytes", place->name,
                        (unsigned long long)at, bytes);
    else if (access != INTERP_READ && !place->writable)
        sk_interp_fault(t, in, lane, "writes %s+%llu, which is read-only", place->name,
                        (unsigned long long)at);
    else if (!place->shadow || check_shadow(t, in, lane, place, at, bytes, access)) {
        if (access != INTERP_COPY)
            sk_interp_note(t, base.place, at, bytes);
        return place->data + at;
    }
    return NULL;
}
