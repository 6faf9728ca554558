/* ir_interp_mem.c - loads and stores of the interpreter, and what it checks.
 *
 * Each writable or uninitialised buffer, and the scratch, has a shadow word per
 * 32-bit word: who stored it last and in which interval between barriers, who
 * read it. From that follow uninitialised reads and races:
 *   - in one interval, two warps touch a word and one of them stores;
 *   - two lanes store to a word in one instruction (even the same value: one
 *     lane owns each word);
 *   - two blocks touch a word and one of them stores. Blocks run one after the
 *     other here, in any order on a device, so the later one reports it. Only
 *     the last reader is kept: a write after reads of two blocks is seen, a
 *     write after a read of an earlier block and then an own one is not.
 * Slots that name the same memory share one shadow; slots that overlap partly
 * are treated as apart. */
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

/* ---- checks -------------------------------------------------------------------------- */

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

/* Someone of another block had the word since the run began. Scratch is new
 * for every block, so there an older interval means nothing. */
static bool other_block(const interp *t, const interp_place *place, uint32_t interval)
{
    return !place->scratch && interval != 0 && interval < t->first;
}

static bool check_read(interp *t, const interp_instr *in, uint32_t lane, interp_place *place,
                       uint64_t at)
{
    interp_word *const s = &place->shadow[(at + place->lead) / 4];
    const bool written = place->scratch ? s->written >= t->first : s->written != 0;
    if (place->uninitialised && !written)
        sk_interp_fault(t, in, lane, "reads %s+%llu, which nobody has written", place->name,
                        (unsigned long long)at);
    else if (other_block(t, place, s->written))
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
    return t->st == SPHKV_OK;
}

static bool check_write(interp *t, const interp_instr *in, uint32_t lane, interp_place *place,
                        uint64_t at)
{
    interp_word *const s = &place->shadow[(at + place->lead) / 4];
    if (other_block(t, place, s->written) || other_block(t, place, s->read))
        sk_interp_fault(t, in, lane, "race: writes %s+%llu, which another block has touched",
                        place->name, (unsigned long long)at);
    else if (s->written == t->interval && s->writer != t->at_warp)
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
    return t->st == SPHKV_OK;
}

/* The memory behind an access, after every check; NULL when one failed. */
static uint8_t *access_at(interp *t, const interp_instr *in, uint32_t lane, interp_addr base,
                          uint64_t offset, uint32_t bytes, bool store)
{
    interp_place *const place = &t->place[base.place];
    const uint64_t at = base.offset + offset;
    if (at > place->bytes || bytes > place->bytes - at) {
        sk_interp_fault(t, in, lane, "%s %u bytes at %s%+lld, which has %zu bytes",
                        store ? "writes" : "reads", bytes, place->name, (long long)at,
                        place->bytes);
        return NULL;
    }
    if (((uintptr_t)place->data + at) % bytes != 0) {
        sk_interp_fault(t, in, lane, "%s+%llu is not aligned to %u bytes", place->name,
                        (unsigned long long)at, bytes);
        return NULL;
    }
    if (store && !place->writable) {
        sk_interp_fault(t, in, lane, "writes %s+%llu, which is read-only", place->name,
                        (unsigned long long)at);
        return NULL;
    }
    if (place->shadow
        && !(store ? check_write(t, in, lane, place, at) : check_read(t, in, lane, place, at)))
        return NULL;
    return place->data + at;
}

/* ---- loads --------------------------------------------------------------------------- */

static uint32_t float_bits(float f)
{
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    return x;
}

static uint32_t sign_extend8(uint32_t byte)
{
    return (uint32_t)(int32_t)(int8_t)(byte & 0xffu);
}

static uint32_t widen(uint32_t kind, const uint8_t *m)
{
    uint32_t word = 0;
    uint16_t half = 0;
    if (sk_ld_bytes(kind) == 4)
        memcpy(&word, m, sizeof word);
    else if (sk_ld_bytes(kind) == 2)
        memcpy(&half, m, sizeof half);
    switch (kind) {
    case SK_LD_U8: return *m;
    case SK_LD_S8: return sign_extend8(*m);
    case SK_LD_U16: return half;
    case SK_LD_F16: return float_bits(sk_f16_to_f32(half));
    case SK_LD_BF16: return float_bits(sk_bf16_to_f32(half));
    case SK_LD_S8X2:
        return (sign_extend8(half) & 0xffffu) | (sign_extend8(half >> 8u) & 0xffffu) << 16;
    default: return word; /* SK_LD_U32, SK_LD_F32 */
    }
}

static bool load_one(interp *t, const interp_instr *in, uint32_t lane, interp_addr base,
                     uint64_t offset, uint32_t *out)
{
    const uint8_t *const m = access_at(t, in, lane, base, offset, sk_ld_bytes(in->kind), false);
    if (m)
        *out = widen(in->kind, m);
    return m != NULL;
}

static void ldrows(interp *t, const interp_instr *in, const interp_warp *warp, interp_addr base,
                   uint32_t *d)
{
    const uint32_t run = in->imm >> 24, disp = in->imm & 0xffffffu;
    const uint32_t *const off = warp->word + in->src[1];
    for (uint32_t i = 0; i < t->p->w; i++) {
        const uint32_t at = off[i * in->stride[1]], first = off[i / run * run * in->stride[1]];
        if (at != first) {
            sk_interp_fault(t, in, i, "offset %u, but %u in the first lane of its run", at, first);
            return;
        }
        if (!load_one(t, in, i, base, (uint64_t)at + disp + i % run * 4, &d[i]))
            return;
    }
}

static void load(interp *t, const interp_instr *in, const interp_warp *warp, interp_addr base)
{
    uint32_t *const d = warp->word + in->dst;
    const uint32_t *const off = warp->word + in->src[1];
    const uint32_t *const pred = in->nargs > 2 ? warp->word + in->src[2] : NULL;
    const uint32_t step = in->op == SK_OP_LDV ? sk_ld_bytes(in->kind) : 0;
    if (in->op == SK_OP_LDROWS) {
        ldrows(t, in, warp, base, d);
        return;
    }
    for (uint32_t i = 0; i < in->n; i++) {
        const uint64_t at = (uint64_t)off[i * in->stride[1]] + in->imm + (uint64_t)i * step;
        if (pred && !pred[i * in->stride[2]])
            d[i] = 0;
        else if (!load_one(t, in, i, base, at, &d[i]))
            return;
    }
}

/* ---- stores --------------------------------------------------------------------------- */

/* Stores that may pass the caches go out as whole vectors. */
static bool row_aligned(interp *t, const interp_instr *in, interp_addr base, uint64_t offset)
{
    const interp_place *const place = &t->place[base.place];
    const uint64_t at = base.offset + offset;
    const uint32_t align = t->p->w < 16 ? 4 * t->p->w : 64;
    const uintptr_t begin = place->scratch ? 0 : (uintptr_t)place->data; /* aligned by rule */
    if ((begin + at) % align == 0)
        return true;
    sk_interp_fault(t, in, 0, "%s+%llu is not aligned to %u bytes", place->name,
                    (unsigned long long)at, align);
    return false;
}

static void store(interp *t, const interp_instr *in, const interp_warp *warp, interp_addr base)
{
    const uint32_t *const off = warp->word + in->src[1], *const x = warp->word + in->src[2];
    const uint32_t *const pred = in->nargs > 3 ? warp->word + in->src[3] : NULL;
    const uint32_t lanes = in->op == SK_OP_STU ? 1 : t->p->w;
    const bool row = in->op == SK_OP_STV || in->op == SK_OP_STN;
    const uint32_t step = row ? 4 : 0;
    t->stamp++;
    if (in->op == SK_OP_STN && !row_aligned(t, in, base, (uint64_t)off[0] + in->imm))
        return;
    for (uint32_t i = 0; i < lanes; i++) {
        if (pred && !pred[i * in->stride[3]])
            continue;
        const uint64_t at = (uint64_t)off[i * in->stride[1]] + in->imm + (uint64_t)i * step;
        uint8_t *const m = access_at(t, in, i, base, at, 4, true);
        if (!m)
            return;
        memcpy(m, &x[i * in->stride[2]], 4);
    }
}

bool sk_interp_memory(interp *t, const interp_instr *in, interp_warp *warp)
{
    switch (in->op) {
    case SK_OP_LDU:
    case SK_OP_LDV:
    case SK_OP_LDG:
    case SK_OP_LDROWS: load(t, in, warp, warp->addr[in->src[0]]); return true;
    case SK_OP_STU:
    case SK_OP_STV:
    case SK_OP_STN:
    case SK_OP_STG: store(t, in, warp, warp->addr[in->src[0]]); return true;
    case SK_OP_PREFETCH: return true; /* a hint: may lie outside */
    default: return false;
    }
}
