/* ir_interp_mem.c - loads and stores of the interpreter. Every access goes
 * through sk_interp_access (ir_interp_shadow.c), which checks it. */
#include <string.h>

#include "ir_interp.h"

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
    const uint8_t *const m = sk_interp_access(t, in, lane, base, offset, sk_ld_bytes(in->imm2),
                                              INTERP_READ);
    if (m)
        *out = widen(in->imm2, m);
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
    const uint32_t step = in->op == SK_OP_LDV ? sk_ld_bytes(in->imm2) : 0;
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
        uint8_t *const m = sk_interp_access(t, in, i, base, at, 4, INTERP_WRITE);
        if (!m)
            return;
        memcpy(m, &x[i * in->stride[2]], 4);
    }
}

/* ---- quads ----------------------------------------------------------------------------- */

/* 16 bytes of each lane, as words of a quad register: word k of lane i at k W + i. */
static void load_quads(interp *t, const interp_instr *in, const interp_warp *warp)
{
    const uint32_t w = t->p->w;
    uint32_t *const d = warp->word + in->dst;
    const uint32_t *const off = warp->word + in->src[1];
    const uint32_t *const pred = in->nargs > 2 ? warp->word + in->src[2] : NULL;
    for (uint32_t i = 0; i < w; i++) {
        uint32_t quad[4] = {0};
        if (!pred || pred[i * in->stride[2]]) {
            const uint64_t at = (uint64_t)off[i * in->stride[1]] + in->imm;
            const uint8_t *const m =
                sk_interp_access(t, in, i, warp->addr[in->src[0]], at, sizeof quad, INTERP_READ);
            if (!m)
                return;
            memcpy(quad, m, sizeof quad);
        }
        for (uint32_t k = 0; k < 4; k++)
            d[k * w + i] = quad[k];
    }
}

static void store_quads(interp *t, const interp_instr *in, const interp_warp *warp)
{
    const uint32_t *const off = warp->word + in->src[1];
    const uint32_t *const pred = in->nargs > 3 ? warp->word + in->src[3] : NULL;
    t->stamp++;
    for (uint32_t i = 0; i < t->p->w; i++) {
        uint32_t quad[4];
        if (pred && !pred[i * in->stride[3]])
            continue;
        const uint64_t at = (uint64_t)off[i * in->stride[1]] + in->imm;
        uint8_t *const m =
            sk_interp_access(t, in, i, warp->addr[in->src[0]], at, sizeof quad, INTERP_WRITE);
        if (!m)
            return;
        for (uint32_t k = 0; k < 4; k++)
            quad[k] = sk_interp_part(in, t->p->w, warp->word, 2, k, i);
        memcpy(m, quad, sizeof quad);
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
    case SK_OP_LDQ: load_quads(t, in, warp); return true;
    case SK_OP_STQ: store_quads(t, in, warp); return true;
    case SK_OP_PREFETCH: return true; /* a hint: may lie outside */
    default: return false;
    }
}
