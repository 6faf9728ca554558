/* ir_interp_async.c - copies that take their time, and atomic adds.
 *
 * A copy may arrive at any time between its beginning and its wait. Here it
 * arrives at the wait; until then its target is marked, so that whoever touches
 * it is stopped, and a source that changed in between is found by comparing. */
#include <string.h>

#include "ir_interp.h"

/* ---- copies ----------------------------------------------------------------------------- */

static interp_copy *new_copy(interp *t, interp_warp *warp)
{
    interp_copy *const all =
        sk_interp_grow(t, warp->copy, warp->ncopy, &warp->copy_cap, sizeof *all);
    if (!all)
        return NULL;
    warp->copy = all;
    return &warp->copy[warp->ncopy++];
}

static void begin_lane(interp *t, const interp_instr *in, interp_warp *warp, uint32_t i)
{
    const interp_addr to = warp->addr[in->src[0]], from = warp->addr[in->src[2]];
    const uint64_t at = (uint64_t)warp->word[in->src[1] + i * in->stride[1]] + in->imm2;
    const uint64_t source = (uint64_t)warp->word[in->src[3] + i * in->stride[3]] + in->imm;
    interp_copy c = {.in = in, .lane = i, .group = warp->commits, .to = to};
    c.to.offset += at;
    c.from = sk_interp_access(t, in, i, from, source, sizeof c.bytes, INTERP_READ);
    if (!c.from || !sk_interp_access(t, in, i, to, at, sizeof c.bytes, INTERP_COPY))
        return;
    memcpy(c.bytes, c.from, sizeof c.bytes);
    interp_copy *const copy = new_copy(t, warp);
    if (copy)
        *copy = c;
}

static void begin(interp *t, const interp_instr *in, interp_warp *warp)
{
    const uint32_t *const pred = in->nargs > 4 ? warp->word + in->src[4] : NULL;
    const uint32_t to = warp->addr[in->src[0]].place, from = warp->addr[in->src[2]].place;
    if (!t->place[to].scratch || t->place[from].scratch) {
        sk_interp_fault(t, in, 0, "copies from %s to %s; it must be to the scratch, not from it",
                        t->place[from].name, t->place[to].name);
        return;
    }
    t->stamp++;
    for (uint32_t i = 0; i < t->p->w && t->st == SPHKV_OK; i++)
        if (!pred || pred[i * in->stride[4]])
            begin_lane(t, in, warp, i);
}

static void wait(interp *t, interp_warp *warp, uint32_t under_way)
{
    uint32_t kept = 0;
    t->stamp++;
    for (uint32_t k = 0; k < warp->ncopy && t->st == SPHKV_OK; k++) {
        const interp_copy *const c = &warp->copy[k];
        if ((uint64_t)c->group + under_way >= warp->commits) {
            warp->copy[kept++] = *c;
            continue;
        }
        if (memcmp(c->from, c->bytes, sizeof c->bytes) != 0)
            sk_interp_fault(t, c->in, c->lane, "the source has changed before the copy was waited "
                            "for");
        memcpy(t->place[c->to.place].data + c->to.offset, c->bytes, sizeof c->bytes);
        sk_interp_copied(t, c->to, sizeof c->bytes);
    }
    warp->ncopy = kept;
}

void sk_interp_async_end(interp *t, interp_warp *warp)
{
    if (warp->ncopy)
        sk_interp_fault(t, warp->copy[0].in, warp->copy[0].lane,
                        "the block ends with a copy that was not waited for");
}

/* ---- atomic adds ------------------------------------------------------------------------ */

static void atom_add(interp *t, const interp_instr *in, const interp_warp *warp)
{
    const interp_addr base = warp->addr[in->src[0]];
    const uint64_t at = (uint64_t)warp->word[in->src[1]] + in->imm;
    uint32_t old;
    if (t->place[base.place].scratch) {
        sk_interp_fault(t, in, 0, "adds to the scratch; it is for words of buffers");
        return;
    }
    t->stamp++;
    uint8_t *const m = sk_interp_access(t, in, 0, base, at, sizeof old, INTERP_ADD);
    if (!m || !sk_interp_added(t, m))
        return;
    memcpy(&old, m, sizeof old);
    const uint32_t sum = old + warp->word[in->src[2]];
    memcpy(m, &sum, sizeof sum);
    warp->word[in->dst] = old;
}

bool sk_interp_async(interp *t, const interp_instr *in, interp_warp *warp)
{
    switch (in->op) {
    case SK_OP_CPASYNC: begin(t, in, warp); return true;
    case SK_OP_CPCOMMIT: warp->commits++; return true;
    case SK_OP_CPWAIT: wait(t, warp, in->imm); return true;
    case SK_OP_ATOMADD: atom_add(t, in, warp); return true;
    default: return false;
    }
}
