/* simt_lanes.c - a lane's life, and who goes on next.
 *
 * A lane runs until it meets the others of its warp or yields; then any lane that
 * can go on is drawn, most often (how often: by the seed) of the same warp, so
 * that in some runs a warp gets far ahead of the others and in some they go side
 * by side. */
#include "simt_impl.h"

#include <string.h>

/* ---- who goes on -------------------------------------------------------------------- */

/* A bit that is set in the mask of n bits: the first from a place that is drawn. */
static uint32_t pick_bit(simt_run *r, uint64_t mask, uint32_t n)
{
    const uint32_t from = simt_below(r, n);
    const uint64_t behind = mask >> from << from;
    return (uint32_t)__builtin_ctzll(behind ? behind : mask);
}

static simt_warp *warp_at(simt_run *r, uint32_t index)
{
    const uint32_t warps = r->launch->program->warps;
    return &r->block[index / warps].warp[index % warps];
}

static void set_ready(simt_run *r, simt_warp *warp, uint32_t lanes)
{
    const uint32_t warps = r->launch->program->warps;
    const uint32_t index =
        (uint32_t)(warp->block - r->block) * warps + (uint32_t)(warp - warp->block->warp);
    warp->ready = lanes;
    r->ready = lanes ? r->ready | UINT64_C(1) << index : r->ready & ~(UINT64_C(1) << index);
}

/* The next lane; NULL when none can go on. */
simt_thread *simt_pick(simt_run *r)
{
    if (!r->ready)
        return NULL;
    if (!(r->ready >> r->at & 1) || simt_below(r, 256) >= r->stay)
        r->at = pick_bit(r, r->ready, r->slots * r->launch->program->warps);
    simt_warp *const warp = warp_at(r, r->at);
    return &warp->thread[pick_bit(r, warp->ready, SIMT_LANES)];
}

static void go_on(simt_run *r)
{
    simt_thread *const self = simt_self(), *const next = simt_pick(r);
    if (next == self)
        return;
    r->face.now = next ? &next->view : NULL;
    simt_context_switch(&self->context, next ? &next->context : &r->main);
}

void simt_yield(void)
{
    simt_run *const r = simt_now;
    const uint32_t rate = r->launch->yields;
    if (++r->accesses > r->most_accesses)
        simt_fault("more than %llu accesses to memory: a loop that never ends?",
                   (unsigned long long)r->most_accesses);
    if (!rate || --r->patience)
        return;
    r->patience = 1 + simt_below(r, 2 * 65536 / rate);
    go_on(r);
}

/* ---- meeting ---------------------------------------------------------------------------- */

static const char *const meeting_text[SIMT_MEETINGS] = {
    [SIMT_SYNCWARP] = "a __syncwarp",   [SIMT_BARRIER] = "a barrier", [SIMT_SHUFFLE] = "a shuffle",
    [SIMT_VOTE] = "a vote",             [SIMT_MMA] = "an mma",
    [SIMT_MOVMATRIX] = "a movmatrix",
};

/* The warp is complete at a barrier: it waits for the other warps. */
static void barrier(simt_run *r, simt_warp *warp)
{
    simt_block *const block = warp->block;
    const uint32_t warps = r->launch->program->warps;
    if (block->left != warps)
        simt_fault("at a barrier, but another warp has left the kernel");
    if (++block->waiting < warps)
        return;
    block->waiting = 0;
    block->since = ++r->stamp;
    for (uint32_t k = 0; k < warps; k++) {
        block->warp[k].since = block->since;
        set_ready(r, &block->warp[k], SIMT_ALL);
    }
}

const simt_words *simt_meet(simt_meeting kind, const uint32_t *words, uint32_t n)
{
    simt_run *const r = simt_now;
    simt_thread *const self = simt_self();
    simt_warp *const warp = self->warp;
    const uint32_t bit = 1u << self->view.lane, turn = warp->turn;
    if (kind <= SIMT_BARRIER && simt_left_out())
        return NULL;
    if (warp->done)
        simt_fault("at %s, but lane %u has left the kernel", meeting_text[kind],
                   (uint32_t)__builtin_ctz(warp->done));
    if (!warp->arrived) {
        warp->meeting = kind;
        warp->first = self->view.lane;
    } else if (warp->meeting != kind || warp->thread[warp->first].view.line != self->view.line) {
        simt_fault("at %s, but lane %u is at %s of line %u", meeting_text[kind], warp->first,
                   meeting_text[warp->meeting], warp->thread[warp->first].view.line);
    }
    memcpy(warp->words[turn][self->view.lane], words, n * sizeof *words);
    warp->arrived |= bit;
    set_ready(r, warp, warp->ready & ~bit);
    if (warp->arrived == SIMT_ALL) {
        warp->arrived = 0;
        warp->turn = !turn;
        if (kind == SIMT_SYNCWARP)
            warp->since = ++r->stamp;
        if (kind == SIMT_BARRIER)
            barrier(r, warp);
        else
            set_ready(r, warp, SIMT_ALL);
    }
    go_on(r);
    return (const simt_words *)&warp->words[turn];
}

/* ---- a lane's life -------------------------------------------------------------------------- */

static void finish(simt_run *r, simt_thread *self)
{
    simt_warp *const warp = self->warp;
    simt_block *const block = warp->block;
    const uint32_t bit = 1u << self->view.lane;
    if (self->copies)
        simt_fault("leaves the kernel with a copy under way that was not waited for");
    if (warp->arrived)
        simt_fault("leaves the kernel, but lane %u waits at %s of line %u", warp->first,
                   meeting_text[warp->meeting], warp->thread[warp->first].view.line);
    warp->done |= bit;
    set_ready(r, warp, warp->ready & ~bit);
    if (warp->done != SIMT_ALL)
        return;
    if (block->waiting)
        simt_fault("the warp leaves the kernel, but another one waits at a barrier");
    block->left--;
}

static void lane_start(void)
{
    simt_run *const r = simt_now;
    simt_thread *const self = simt_self();
    r->entry(r->launch->slot);
    finish(r, self);
    if (!self->warp->block->left) { /* the main loop puts the next block here */
        r->face.now = NULL;
        simt_context_switch(&self->context, &r->main);
    }
    go_on(r);
}

static void thread_begin(simt_thread *t, const uint32_t id[3])
{
    memcpy(t->view.block, id, sizeof t->view.block);
    t->view.line = 0;
    t->view.shared = t->warp->block->shared;
    t->groups = t->copies = 0;
    simt_context_make(&t->context, t->stack, SIMT_STACK, lane_start);
}

void simt_block_begin(simt_run *r, simt_block *block, const uint32_t id[3])
{
    const uint32_t warps = r->launch->program->warps;
    block->waiting = 0;
    block->left = warps;
    block->begin = block->since = ++r->stamp;
    simt_memory_begin(r, block);
    for (uint32_t k = 0; k < warps; k++) {
        simt_warp *const warp = &block->warp[k];
        warp->arrived = warp->done = warp->turn = 0;
        warp->since = block->begin;
        for (uint32_t lane = 0; lane < SIMT_LANES; lane++)
            thread_begin(&warp->thread[lane], id);
        set_ready(r, warp, SIMT_ALL);
    }
}
