/* simt_memory.c - every access is looked at before it happens: bounds, alignment,
 * right to store, and the shadow of the word it is to (simt_impl.h says what
 * ordered means). Asynchronous copies happen when they are waited for; until
 * then their target holds no number and nobody may touch it.
 *
 * Scratch of a block has a shadow of its own; parameters have one where somebody
 * may store. Bytes around the scratch belong to nobody. */
#include "simt_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- regions -------------------------------------------------------------------- */

static void region_add(simt_run *r, uintptr_t begin, uintptr_t end, const char *name, bool writable)
{
    r->region[r->regions++] =
        (simt_region){.begin = begin, .end = end, .name = name, .writable = writable};
}

/* The pieces of the ranges of all pointers: the same pointers name all of a piece. */
static void cut_regions(simt_run *r, const uintptr_t *cut, uint32_t cuts)
{
    const sk_program *const p = r->launch->program;
    for (uint32_t c = 0; c + 1 < cuts; c++) {
        const char *name = NULL;
        bool writable = false;
        for (uint32_t k = 0; k < p->nparams && cut[c] < cut[c + 1]; k++) {
            const uintptr_t begin = (uintptr_t)r->launch->slot[k];
            if (p->param[k].kind != SK_PARAM_PTR || cut[c] < begin ||
                cut[c] >= begin + r->launch->bytes[k])
                continue;
            if (!name || (p->param[k].writable && !writable))
                name = p->param[k].name;
            writable |= p->param[k].writable;
        }
        if (name)
            region_add(r, cut[c], cut[c + 1], name, writable);
    }
}

static int by_place(const void *a, const void *b)
{
    uintptr_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static sk_status make_regions(simt_run *r, sk_err *err)
{
    const sk_program *const p = r->launch->program;
    uintptr_t *const cut = sk_calloc(2 * p->nparams + 1u, sizeof *cut);
    uint32_t cuts = 0;
    r->region = sk_calloc(2 * p->nparams + 1u, sizeof *r->region);
    if (!cut || !r->region) {
        sk_free(cut);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    }
    for (uint32_t k = 0; k < p->nparams; k++) {
        const bool pointer = p->param[k].kind == SK_PARAM_PTR;
        r->open |= pointer && r->launch->slot[k] && !r->launch->bytes[k];
        if (!pointer || !r->launch->bytes[k])
            continue;
        cut[cuts++] = (uintptr_t)r->launch->slot[k];
        cut[cuts++] = (uintptr_t)r->launch->slot[k] + r->launch->bytes[k];
    }
    qsort(cut, cuts, sizeof *cut, by_place);
    cut_regions(r, cut, cuts);
    sk_free(cut);
    return SPHKV_OK;
}

static size_t region_words(const simt_region *region)
{
    return (region->end + 3) / 4 - region->begin / 4;
}

sk_status simt_memory_open(simt_run *r, sk_err *err)
{
    const size_t scratch = r->launch->program->shared_bytes;
    sk_status st = make_regions(r, err);
    for (uint32_t k = 0; st == SPHKV_OK && k < r->regions; k++) {
        simt_region *const region = &r->region[k];
        if (region->writable)
            region->shadow = sk_calloc(region_words(region), sizeof *region->shadow);
        if (region->writable && !region->shadow)
            st = sk_fail(err, SPHKV_ENOMEM, "no memory for the shadow of %s", region->name);
    }
    for (uint32_t s = 0; st == SPHKV_OK && s < r->slots; s++) {
        r->block[s].raw = sk_malloc(scratch + 2 * SIMT_GUARD + 2 * SIMT_ALIGN);
        r->block[s].shadow = sk_malloc((scratch / 4 + 1) * sizeof(simt_word));
        if (!r->block[s].raw || !r->block[s].shadow)
            return sk_fail(err, SPHKV_ENOMEM, "no memory for %zu bytes of scratch", scratch);
        const uintptr_t at = (uintptr_t)r->block[s].raw + SIMT_GUARD + SIMT_ALIGN - 1;
        r->block[s].shared = (uint8_t *)((at & ~(uintptr_t)(SIMT_ALIGN - 1)) | SIMT_ALIGN);
    }
    return st;
}

void simt_memory_close(simt_run *r)
{
    for (uint32_t k = 0; k < r->regions; k++)
        sk_free(r->region[k].shadow);
    sk_free(r->region);
    for (uint32_t s = 0; s < r->slots; s++) {
        sk_free(r->block[s].raw);
        sk_free(r->block[s].shadow);
    }
}

static void fill(uint8_t *at, size_t bytes, uint32_t word)
{
    for (size_t i = 0; i + 4 <= bytes; i += 4)
        memcpy(at + i, &word, 4);
}

void simt_memory_begin(simt_run *r, simt_block *block)
{
    const size_t bytes = r->launch->program->shared_bytes;
    fill(block->shared - SIMT_GUARD, bytes + 2 * SIMT_GUARD, SIMT_UNWRITTEN);
    memset(block->shadow, 0, (bytes / 4 + 1) * sizeof *block->shadow);
}

/* ---- one word --------------------------------------------------------------------- */

/* The place of an access in words for messages, and its shadow. */
typedef struct place {
    const char *name;
    uintptr_t begin;
    simt_word *word; /* NULL: nobody writes here */
    bool writable, scratch;
} place;

static bool in_scratch(const simt_run *r, uintptr_t at, place *out)
{
    const simt_block *const block = simt_self()->warp->block;
    const uintptr_t begin = (uintptr_t)block->shared;
    const size_t bytes = r->launch->program->shared_bytes;
    if (at < begin - SIMT_GUARD || at >= begin + bytes + SIMT_GUARD)
        return false;
    if (at < begin || at >= begin + bytes)
        simt_fault("touches shared%+lld, which has %zu bytes", (long long)(at - begin), bytes);
    *out = (place){"shared", begin, &block->shadow[(at - begin) / 4], true, true};
    return true;
}

static uintptr_t distance(const simt_region *region, uintptr_t at)
{
    return at < region->begin ? region->begin - at : at - region->end;
}

static place find(uintptr_t at, bool store)
{
    simt_run *const r = simt_now;
    place out;
    if (in_scratch(r, at, &out))
        return out;
    for (uint32_t k = 0; k < r->regions; k++) {
        const simt_region *const region = &r->region[r->last_region];
        if (at >= region->begin && at < region->end) {
            simt_word *const word =
                region->shadow ? &region->shadow[at / 4 - region->begin / 4] : NULL;
            return (place){region->name, region->begin, word, region->writable, false};
        }
        r->last_region = r->last_region + 1 < r->regions ? r->last_region + 1 : 0;
    }
    if (r->open)
        return (place){"memory", 0, NULL, true, false};
    simt_region none = {.name = "address 0"}, *near = r->regions ? &r->region[0] : &none;
    for (uint32_t k = 1; k < r->regions; k++)
        if (distance(&r->region[k], at) < distance(near, at))
            near = &r->region[k];
    simt_fault("%s %s%+lld, which is in no buffer of a parameter", store ? "writes" : "reads",
               near->name, (long long)(at - near->begin));
}

/* slot * 32 + warp */
static uint32_t place_of(uint16_t id) { return (id - 1u) / SIMT_LANES; }

/* Whether what a thread did at `stamp` is over for this one. */
static bool ordered(const simt_thread *self, uint16_t id, uint32_t stamp)
{
    const simt_warp *const warp = self->warp;
    if (id == self->id || stamp < warp->block->since)
        return true;
    if (id == SIMT_MANY)
        return false;
    const uint32_t mine = place_of(self->id);
    const uint32_t its = id & SIMT_MANY_OF_WARP ? id & ~SIMT_MANY_OF_WARP : place_of(id);
    if (its / SIMT_WARPS != mine / SIMT_WARPS)
        return true; /* another block */
    return its == mine && stamp < warp->since;
}

static uint32_t lane_of(uint16_t id) { return (id - 1u) % SIMT_LANES; }
static uint32_t warp_of(uint16_t id) { return place_of(id) % SIMT_WARPS; }

/* Readers or a writer in no other warp than this one. */
static bool of_warp(const simt_thread *self, uint16_t id)
{
    const uint32_t mine = place_of(self->id);
    return id == (SIMT_MANY_OF_WARP | mine) || (id < SIMT_MANY_OF_WARP && place_of(id) == mine);
}

static const char *missing(const simt_thread *self, uint16_t id)
{
    return of_warp(self, id) ? "__syncwarp" : "barrier";
}

static void look_read(simt_run *r, simt_thread *self, const place *p, uintptr_t at)
{
    simt_word *const w = p->word;
    const long long offset = (long long)(at - p->begin);
    if (w->flying)
        simt_fault("reads %s+%lld, where a copy is under way that was not waited for", p->name,
                   offset);
    if (p->scratch && !w->wrote)
        simt_fault("reads %s+%lld, which nobody has written", p->name, offset);
    if (w->wrote && !ordered(self, w->writer, w->wrote))
        simt_fault("race: reads %s+%lld, which lane %u of warp %u has written, with no %s between",
                   p->name, offset, lane_of(w->writer), warp_of(w->writer),
                   missing(self, w->writer));
    if (!w->read || ordered(self, w->reader, w->read))
        w->reader = self->id;
    else
        w->reader = of_warp(self, w->reader) ? (uint16_t)(SIMT_MANY_OF_WARP | place_of(self->id))
                                             : SIMT_MANY;
    w->read = r->stamp;
}

static void look_write(simt_run *r, simt_thread *self, const place *p, uintptr_t at)
{
    simt_word *const w = p->word;
    const long long offset = (long long)(at - p->begin);
    if (w->flying)
        simt_fault("writes %s+%lld, where a copy is under way that was not waited for", p->name,
                   offset);
    if (w->wrote && !ordered(self, w->writer, w->wrote))
        simt_fault("race: writes %s+%lld, which lane %u of warp %u has written, with no %s between",
                   p->name, offset, lane_of(w->writer), warp_of(w->writer),
                   missing(self, w->writer));
    if (w->read && !ordered(self, w->reader, w->read))
        simt_fault("race: writes %s+%lld, which another lane has read, with no %s between", p->name,
                   offset, missing(self, w->reader));
    w->wrote = r->stamp;
    w->writer = self->id;
}

/* All words of an access, after bounds and alignment; the shadow knows of it then. */
static void look(uintptr_t at, uint32_t bytes, bool store)
{
    simt_run *const r = simt_now;
    simt_thread *const self = simt_self();
    for (uint32_t i = 0; i < bytes; i += 4) {
        const place p = find(at + i, store);
        const uint32_t last = bytes - i < 4 ? bytes - i - 1 : 3;
        if (last)
            (void)find(at + i + last, store);
        if (i == 0 && at % bytes != 0)
            simt_fault("%s %u bytes at %s+%lld, which is not aligned to them",
                       store ? "writes" : "reads", bytes, p.name, (long long)(at - p.begin));
        if (store && !p.writable)
            simt_fault("writes %s+%lld, which is read-only", p.name, (long long)(at + i - p.begin));
        if (p.word && store)
            look_write(r, self, &p, at + i);
        else if (p.word)
            look_read(r, self, &p, at + i);
    }
}

const void *simt_load(const void *at, uint32_t bytes)
{
    simt_yield();
    look((uintptr_t)at, bytes, false);
    return at;
}

void *simt_store(void *at, uint32_t bytes)
{
    simt_yield();
    look((uintptr_t)at, bytes, true);
    return at;
}

/* Atomics are ordered among themselves; a plain access is not held against them. */
uint32_t simt_atomic_add(void *at, uint32_t x)
{
    uint32_t old;
    simt_yield();
    const place p = find((uintptr_t)at, true);
    if ((uintptr_t)at % 4 != 0 || !p.writable)
        simt_fault("adds to %s+%lld, which is %s", p.name, (long long)((uintptr_t)at - p.begin),
                   p.writable ? "not aligned to 4 bytes" : "read-only");
    memcpy(&old, at, sizeof old);
    x += old;
    memcpy(at, &x, sizeof x);
    return old;
}

/* ---- asynchronous copies ----------------------------------------------------------- */

#define COPY_BYTES 16u

static void set_flying(uintptr_t at, uint16_t thread)
{
    for (uint32_t i = 0; i < COPY_BYTES; i += 4) {
        const place p = find(at + i, true);
        if (!p.scratch)
            simt_fault("copies to %s+%lld, which is not shared", p.name, (long long)(at - p.begin));
        p.word->flying = thread;
    }
}

static bool more_copies(simt_thread *self)
{
    const uint32_t cap = self->copy_cap ? 2 * self->copy_cap : 16;
    simt_copy *const copy = sk_realloc(self->copy, cap * sizeof *copy);
    if (!copy)
        return false;
    self->copy = copy;
    self->copy_cap = cap;
    return true;
}

void simt_copy_begin(void *to, const void *from)
{
    simt_thread *const self = simt_self();
    simt_yield();
    look((uintptr_t)from, COPY_BYTES, false);
    if (find((uintptr_t)from, false).scratch)
        simt_fault("copies from shared, not from memory");
    look((uintptr_t)to, COPY_BYTES, true);
    set_flying((uintptr_t)to, self->id);
    if (self->copies == self->copy_cap && !more_copies(self))
        simt_fault("no memory for more than %u copies under way", self->copies);
    simt_copy *const copy = &self->copy[self->copies++];
    *copy = (simt_copy){.to = to, .from = from, .group = self->groups};
    memcpy(copy->bytes, from, COPY_BYTES);
    fill(to, COPY_BYTES, SIMT_UNDER_WAY);
}

void simt_copy_commit(void) { simt_self()->groups++; }

static void copy_end(const simt_copy *copy)
{
    set_flying((uintptr_t)copy->to, SIMT_NOBODY);
    look((uintptr_t)copy->from, COPY_BYTES, false);
    look((uintptr_t)copy->to, COPY_BYTES, true);
    if (memcmp(copy->bytes, copy->from, COPY_BYTES) != 0)
        simt_fault("the source of a copy has changed while it was under way");
    memcpy(copy->to, copy->from, COPY_BYTES);
}

void simt_copy_wait(uint32_t under_way)
{
    simt_thread *const self = simt_self();
    uint32_t kept = 0;
    if (simt_left_out())
        return;
    simt_yield();
    for (uint32_t k = 0; k < self->copies; k++) {
        if (self->copy[k].group + under_way < self->groups)
            copy_end(&self->copy[k]);
        else
            self->copy[kept++] = self->copy[k];
    }
    self->copies = kept;
}
