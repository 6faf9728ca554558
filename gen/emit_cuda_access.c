/* emit_cuda_access.c - what memory an instruction touches, and whether two may touch
 * the same from different lanes.
 *
 * An offset is taken apart into what every lane has (a sum of values with constant
 * factors), what each lane adds that follows from its index alone, and a constant.
 * Two accesses whose values are the same can then be compared lane by lane. Offsets
 * wrap at 32 bits before they are added to an address; since only constants far
 * below that are compared, a wrap in one of two accesses takes them further apart,
 * never together.
 *
 * Two accesses touch nothing in common
 *   - in the scratch and in memory, when it is known which is which (parameters may
 *     name the same memory, so they are one place);
 *   - in different pieces of scratch: an access stays in the piece whose address it
 *     was given (the interpreter checks that). */
#include <string.h>

#include "emit_cuda_access.h"

#define NEAR (INT64_C(1) << 30) /* constants that are compared are below that */
#define MOST_STEPS 48u          /* ops that an offset is taken apart into */

/* ---- what follows from the lane ---------------------------------------------------------- */

/* The value in a lane, when it is made of nothing but the lane's index and constants. */
static bool in_lane(const cuda_entry *e, sk_val v, uint32_t lane, uint32_t *steps, uint32_t *out)
{
    const sk_instr *const in = cuda_at(e, v);
    uint32_t x, y;
    if (cuda_const(e, v, out))
        return true;
    *out = lane;
    if (in->op == SK_OP_LANE)
        return true;
    return ++*steps < MOST_STEPS && in->type == SK_U32 && in->nargs == 2
           && sk_ir_fold(in->op, 0, 1, out) && in_lane(e, in->arg[0], lane, steps, &x)
           && in_lane(e, in->arg[1], lane, steps, &y) && sk_ir_fold(in->op, x, y, out);
}

/* The value in all lanes; false when something else is in it. */
static bool in_lanes(const cuda_entry *e, sk_val v, uint32_t out[32])
{
    for (uint32_t i = 0; i < 32; i++) {
        uint32_t steps = 0;
        if (!in_lane(e, v, i, &steps, &out[i]))
            return false;
    }
    return true;
}

static bool holds(uint32_t op, uint32_t x, uint32_t y)
{
    switch (op) {
    case SK_OP_EQ: return x == y;
    case SK_OP_NE: return x != y;
    case SK_OP_ULT: return x < y;
    default: return x <= y; /* ULE */
    }
}

/* The lanes in which a predicate may hold. */
static uint32_t lanes_of(const cuda_entry *e, sk_val v, uint32_t depth)
{
    const sk_instr *const in = cuda_at(e, v);
    uint32_t x[32], y[32], lanes = 0;
    switch (depth < 8 ? in->op : SK_OP_COUNT) {
    case SK_OP_PAND: return lanes_of(e, in->arg[0], depth + 1) & lanes_of(e, in->arg[1], depth + 1);
    case SK_OP_POR: return lanes_of(e, in->arg[0], depth + 1) | lanes_of(e, in->arg[1], depth + 1);
    case SK_OP_EQ:
    case SK_OP_NE:
    case SK_OP_ULT:
    case SK_OP_ULE:
        if (!in_lanes(e, in->arg[0], x) || !in_lanes(e, in->arg[1], y))
            return CUDA_ALL_LANES;
        for (uint32_t i = 0; i < 32; i++)
            lanes |= (uint32_t)holds(in->op, x[i], y[i]) << i;
        return lanes;
    default: return CUDA_ALL_LANES;
    }
}

/* ---- offsets ----------------------------------------------------------------------------- */

typedef struct taking {
    const cuda_entry *e;
    cuda_access *a;
    uint32_t fixed, lane[32]; /* wrapping sums */
    uint32_t steps;
    bool by_lane;             /* lane[] is not all zeros */
    bool lost;                /* more than can be told */
} taking;

static void add_term(taking *t, sk_val v, uint32_t factor)
{
    cuda_access *const a = t->a;
    uint32_t k = 0;
    while (k < a->nterms && a->term[k].value < v)
        k++;
    if (k < a->nterms && a->term[k].value == v) {
        a->term[k].factor = (int32_t)((uint32_t)a->term[k].factor + factor);
        return;
    }
    if (a->nterms == CUDA_MOST_TERMS) {
        t->lost = true;
        return;
    }
    for (uint32_t m = a->nterms++; m > k; m--)
        a->term[m] = a->term[m - 1];
    a->term[k].value = v;
    a->term[k].factor = (int32_t)factor;
    a->scattered |= cuda_at(t->e, v)->scope == SK_LANE;
}

static void take_apart(taking *t, sk_val v, uint32_t factor)
{
    const sk_instr *const in = cuda_at(t->e, v);
    uint32_t x, lane[32];
    t->lost |= ++t->steps > MOST_STEPS;
    if (t->lost)
        return;
    if (cuda_const(t->e, v, &x)) {
        t->fixed += factor * x;
    } else if (in->scope == SK_LANE && in_lanes(t->e, v, lane)) {
        t->by_lane = true;
        for (uint32_t i = 0; i < 32; i++)
            t->lane[i] += factor * lane[i];
    } else if (in->op == SK_OP_ADD || in->op == SK_OP_SUB) {
        take_apart(t, in->arg[0], factor);
        take_apart(t, in->arg[1], in->op == SK_OP_ADD ? factor : 0u - factor);
    } else if (in->op == SK_OP_MUL && cuda_const(t->e, in->arg[1], &x)) {
        take_apart(t, in->arg[0], factor * x);
    } else if (in->op == SK_OP_SHL && cuda_const(t->e, in->arg[1], &x) && x < 32) {
        take_apart(t, in->arg[0], factor << x);
    } else {
        add_term(t, v, factor);
    }
}

static void set_offset(const cuda_entry *e, cuda_access *a, sk_val off)
{
    const cuda_access before = *a;
    taking t = {.e = e, .a = a};
    take_apart(&t, off, 1);
    if (t.lost) { /* as one value */
        *a = before;
        t = (taking){.e = e, .a = a};
        add_term(&t, off, 1);
    }
    const bool plain = a->nterms == 0 && !t.by_lane; /* cannot wrap: it is that number */
    a->first += plain ? (int64_t)t.fixed : (int64_t)(int32_t)t.fixed;
    for (uint32_t i = 0; i < 32; i++)
        a->lane[i] = (int32_t)t.lane[i];
}

/* ---- instructions ------------------------------------------------------------------ */

static void set_base(const cuda_entry *e, cuda_access *a, sk_val base)
{
    uint32_t x;
    a->places = e->v[base].places;
    a->piece = sk_ir_root(e->p, base);
    while (cuda_at(e, base)->op == SK_OP_PTR_ADD && cuda_const(e, cuda_at(e, base)->arg[1], &x)
           && (uint64_t)x * cuda_at(e, base)->imm < (uint64_t)NEAR) {
        a->first += (int64_t)x * cuda_at(e, base)->imm;
        base = cuda_at(e, base)->arg[0];
    }
    const bool whole = cuda_at(e, base)->op == SK_OP_SHARED
                       || cuda_at(e, base)->op == SK_OP_PARAM_PTR;
    a->base = whole ? SK_NONE : base; /* the same piece may be named by another value */
}

/* Adds what a lane adds by the kind of access: step bytes, for runs of n lanes. */
static void add_rows(cuda_access *a, uint32_t step, uint32_t n)
{
    for (uint32_t i = 0; i < 32; i++)
        a->lane[i] = (int32_t)((uint32_t)a->lane[i] + i % n * step);
}

/* The access through arguments k (address), k + 1 (offset) and, if present, m (mask). */
static cuda_access access_of(const cuda_entry *e, const sk_instr *in, uint32_t k, uint32_t m,
                             uint32_t disp, uint32_t bytes)
{
    cuda_access a = {.mask = SK_NONE, .lanes = CUDA_ALL_LANES, .first = disp, .bytes = bytes};
    if (in->nargs > m) {
        a.mask = in->arg[m];
        a.lanes = lanes_of(e, a.mask, 0);
    }
    set_base(e, &a, in->arg[k]);
    set_offset(e, &a, in->arg[k + 1]);
    return a;
}

static cuda_access load_of(const cuda_entry *e, const sk_instr *in)
{
    const bool rows = in->op == SK_OP_LDROWS;
    const uint32_t bytes = in->op == SK_OP_LDQ ? 16 : sk_ld_bytes(in->imm2);
    cuda_access a = access_of(e, in, 0, 2, rows ? in->imm & 0xffffffu : in->imm, bytes);
    if (rows)
        add_rows(&a, bytes, in->imm >> 24);
    if (in->op == SK_OP_LDV)
        add_rows(&a, bytes, 32);
    return a;
}

static cuda_access store_of(const cuda_entry *e, const sk_instr *in)
{
    const bool copy = in->op == SK_OP_CPASYNC, quad = copy || in->op == SK_OP_STQ;
    cuda_access a = access_of(e, in, 0, copy ? 4 : 3, copy ? in->imm2 : in->imm, quad ? 16 : 4);
    if (in->op == SK_OP_STV || in->op == SK_OP_STN)
        add_rows(&a, 4, 32);
    if (in->op == SK_OP_STU)
        a.lanes = 1;
    a.store = true;
    return a;
}

/* The bytes from the lowest to behind the highest that any lane touches. */
static void set_range(cuda_access *a)
{
    a->low = INT64_MAX;
    a->high = INT64_MIN;
    for (uint32_t i = 0; i < 32; i++) {
        const int64_t at = a->first + a->lane[i];
        if (!(a->lanes >> i & 1))
            continue;
        a->low = at < a->low ? at : a->low;
        a->high = at + a->bytes > a->high ? at + a->bytes : a->high;
    }
}

uint32_t sk_emit_cuda_accesses(const cuda_entry *e, sk_val i, cuda_access out[2])
{
    const sk_instr *const in = cuda_at(e, i);
    uint32_t n = 1;
    switch (in->op) {
    case SK_OP_LDU:
    case SK_OP_LDV:
    case SK_OP_LDG:
    case SK_OP_LDQ:
    case SK_OP_LDROWS: out[0] = load_of(e, in); break;
    case SK_OP_STU:
    case SK_OP_STG:
    case SK_OP_STQ:
    case SK_OP_STV:
    case SK_OP_STN: out[0] = store_of(e, in); break;
    case SK_OP_CPASYNC: /* nobody touches the target before the wait, where the warp meets */
        out[n++] = access_of(e, in, 2, 4, in->imm, 16);
        out[0] = store_of(e, in);
        break;
    default: return 0;
    }
    for (uint32_t k = 0; k < n; k++)
        set_range(&out[k]);
    return n;
}

/* ---- two of them ------------------------------------------------------------------- */

static bool same_piece(const cuda_entry *e, const cuda_access *a, const cuda_access *b)
{
    if (a->piece == SK_NONE || b->piece == SK_NONE)
        return false;
    const sk_instr *const x = cuda_at(e, a->piece), *const y = cuda_at(e, b->piece);
    return x->op == y->op && x->imm == y->imm;
}

static bool is_near(const cuda_access *a)
{
    return a->low > -NEAR && a->high < NEAR;
}

/* Both stand on the same values: only constants, strides and lanes are left. */
static bool comparable(const cuda_entry *e, const cuda_access *a, const cuda_access *b)
{
    if (a->base != b->base || (a->base == SK_NONE && !same_piece(e, a, b))
        || a->nterms != b->nterms || !is_near(a) || !is_near(b))
        return false;
    for (uint32_t k = 0; k < a->nterms; k++)
        if (a->term[k].value != b->term[k].value || a->term[k].factor != b->term[k].factor)
            return false;
    return true;
}

/* Two lanes that are not the same touch a byte in common. */
static bool lanes_collide(const cuda_access *a, const cuda_access *b)
{
    /* The lanes of one store own their words, whatever those are; but a lane that is
     * switched off in one of the two may hold the place of another. */
    if (a->mask == b->mask && a->lanes == b->lanes && a->first == b->first
        && a->bytes == b->bytes && memcmp(a->lane, b->lane, sizeof a->lane) == 0)
        return false;
    if (a->scattered)
        return true;
    if (a->high <= b->low || b->high <= a->low)
        return false;
    for (uint32_t i = 0; i < 32; i++)
        for (uint32_t j = 0; j < 32; j++) {
            const int64_t x = a->first + a->lane[i], y = b->first + b->lane[j];
            if (i != j && (a->lanes >> i & 1) && (b->lanes >> j & 1) && x < y + b->bytes
                && y < x + a->bytes)
                return true;
        }
    return false;
}

sk_val sk_emit_cuda_turns(const cuda_entry *e, const cuda_access *a)
{
    uint32_t k = a->nterms, bound;
    while (k > 0 && cuda_at(e, a->term[k - 1].value)->op != SK_OP_FOR)
        k--;
    if (k == 0 || a->scattered)
        return SK_NONE;
    const sk_instr *const loop = cuda_at(e, a->term[k - 1].value);
    const int64_t factor = a->term[k - 1].factor;
    if (!cuda_const(e, loop->arg[1], &bound) || factor <= 0
        || ((int64_t)bound + loop->imm) > NEAR / factor) /* else the offset may come round */
        return SK_NONE;
    return a->term[k - 1].value;
}

/* `early` was one or more turns of its loop before `late`, so it lay lower by the
 * distance of a turn at least. */
static bool turns_collide(const cuda_entry *e, const cuda_access *early, const cuda_access *late)
{
    const sk_val loop = sk_emit_cuda_turns(e, early);
    int64_t distance = 0;
    for (uint32_t k = 0; k < early->nterms; k++)
        if (early->term[k].value == loop)
            distance = (int64_t)early->term[k].factor * cuda_at(e, loop)->imm;
    return early->high - distance > late->low;
}

bool sk_emit_cuda_conflict(const cuda_entry *e, const cuda_access *early, cuda_when when,
                           const cuda_access *late)
{
    const uint32_t lanes = early->lanes | late->lanes;
    if (!(early->store || late->store) || !(early->places & late->places)
        || early->lanes == 0 || late->lanes == 0 || (lanes & (lanes - 1)) == 0) /* or one alone */
        return false;
    if (early->places == CUDA_SCRATCH && late->places == CUDA_SCRATCH && early->piece != SK_NONE
        && late->piece != SK_NONE && !same_piece(e, early, late))
        return false;
    if (when == CUDA_BEFORE || !comparable(e, early, late))
        return true;
    return when == CUDA_TURN ? turns_collide(e, early, late) : lanes_collide(early, late);
}
