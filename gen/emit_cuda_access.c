/* emit_cuda_access.c - what memory an instruction touches, and whether two may touch
 * the same from different lanes.
 *
 * An offset is taken apart into what every lane has (a sum of values with constant
 * factors), what a lane adds by its index, and a constant. Two accesses whose values
 * are the same can then be compared lane by lane. Offsets wrap at 32 bits before they
 * are added to an address; since only constants and strides far below that are
 * compared, a wrap in one of two accesses takes them further apart, never together.
 *
 * Two accesses touch nothing in common
 *   - in the scratch and in memory, when it is known which is which (parameters may
 *     name the same memory, so they are one place);
 *   - in different pieces of scratch: an access stays in the piece whose address it
 *     was given (the interpreter checks that). */
#include "emit_cuda_access.h"

#define NEAR (INT64_C(1) << 30) /* constants that are compared are below that */
#define MOST_STEPS 32u          /* ops that an offset is taken apart into */

/* ---- offsets ----------------------------------------------------------------------- */

typedef struct taking {
    const cuda_entry *e;
    cuda_access *a;
    uint32_t fixed, stride; /* wrapping sums */
    uint32_t steps;
    bool lost;              /* more than can be told */
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
    uint32_t x;
    t->lost |= ++t->steps > MOST_STEPS;
    if (t->lost)
        return;
    if (cuda_const(t->e, v, &x)) {
        t->fixed += factor * x;
    } else if (in->op == SK_OP_LANE) {
        t->stride += factor;
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

static void set_offset(const cuda_entry *e, cuda_access *a, sk_val off, int32_t stride)
{
    const cuda_access before = *a;
    taking t = {.e = e, .a = a};
    take_apart(&t, off, 1);
    if (t.lost) { /* as one value */
        *a = before;
        t = (taking){.e = e, .a = a};
        add_term(&t, off, 1);
    }
    const bool plain = a->nterms == 0 && t.stride == 0; /* cannot wrap: it is that number */
    a->first += plain ? (int64_t)t.fixed : (int64_t)(int32_t)t.fixed;
    a->stride = (int32_t)(t.stride + (uint32_t)stride);
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

/* The access through arguments k (address), k + 1 (offset) and, if present, m (mask). */
static cuda_access access_of(const cuda_entry *e, const sk_instr *in, uint32_t k, uint32_t m,
                             uint32_t disp, uint32_t bytes, int32_t stride)
{
    cuda_access a = {.mask = in->nargs > m ? in->arg[m] : SK_NONE, .first = disp, .period = 32,
                     .bytes = bytes};
    set_base(e, &a, in->arg[k]);
    set_offset(e, &a, in->arg[k + 1], stride);
    return a;
}

static cuda_access load_of(const cuda_entry *e, const sk_instr *in)
{
    const uint32_t bytes = in->op == SK_OP_LDQ ? 16 : sk_ld_bytes(in->imm2), run = in->imm >> 24;
    if (in->op != SK_OP_LDROWS)
        return access_of(e, in, 0, 2, in->imm, bytes, in->op == SK_OP_LDV ? (int32_t)bytes : 0);
    cuda_access a = access_of(e, in, 0, 2, in->imm & 0xffffffu, 4, 0);
    if (a.stride != 0 || a.scattered) { /* rows at places of their own: as if lanes had all of it */
        a.bytes = 4 * run;
    } else {
        a.stride = 4;
        a.period = run;
    }
    return a;
}

uint32_t sk_emit_cuda_accesses(const cuda_entry *e, sk_val i, cuda_access out[2])
{
    const sk_instr *const in = cuda_at(e, i);
    switch (in->op) {
    case SK_OP_LDU:
    case SK_OP_LDV:
    case SK_OP_LDG:
    case SK_OP_LDQ:
    case SK_OP_LDROWS: out[0] = load_of(e, in); return 1;
    case SK_OP_STU:
    case SK_OP_STG: out[0] = access_of(e, in, 0, 3, in->imm, 4, 0); break;
    case SK_OP_STQ: out[0] = access_of(e, in, 0, 3, in->imm, 16, 0); break;
    case SK_OP_STV:
    case SK_OP_STN: out[0] = access_of(e, in, 0, 3, in->imm, 4, 4); break;
    case SK_OP_CPASYNC: /* nobody touches the target before the wait, where the warp meets */
        out[0] = access_of(e, in, 0, 4, in->imm2, 16, 0);
        out[1] = access_of(e, in, 2, 4, in->imm, 16, 0);
        break;
    default: return 0;
    }
    out[0].store = true;
    out[0].one_lane = in->op == SK_OP_STU;
    return in->op == SK_OP_CPASYNC ? 2 : 1;
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
    return a->first < NEAR && a->first > -NEAR && a->stride < (1 << 20) && a->stride > -(1 << 20);
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

static int64_t lane_at(const cuda_access *a, uint32_t lane)
{
    return a->first + (int64_t)a->stride * (lane % a->period);
}

/* The bytes from the lowest to behind the highest that any lane touches. */
static void range_of(const cuda_access *a, int64_t *from, int64_t *to)
{
    const int64_t last = lane_at(a, a->one_lane ? 0 : a->period - 1);
    *from = last < a->first ? last : a->first;
    *to = (last < a->first ? a->first : last) + a->bytes;
}

/* Two lanes that are not the same touch a byte in common. */
static bool lanes_collide(const cuda_access *a, const cuda_access *b)
{
    if (a->scattered) /* a lane that is switched off in one of the two may hold any offset */
        return a->mask != b->mask || a->first != b->first || a->stride != b->stride
               || a->bytes != b->bytes;
    for (uint32_t i = 0; i < (a->one_lane ? 1 : 32); i++)
        for (uint32_t j = 0; j < (b->one_lane ? 1 : 32); j++)
            if (i != j && lane_at(a, i) < lane_at(b, j) + b->bytes
                && lane_at(b, j) < lane_at(a, i) + a->bytes)
                return true;
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
    int64_t from, to, late_from, late_to, distance = 0;
    for (uint32_t k = 0; k < early->nterms; k++)
        if (early->term[k].value == loop)
            distance = (int64_t)early->term[k].factor * cuda_at(e, loop)->imm;
    range_of(early, &from, &to);
    range_of(late, &late_from, &late_to);
    return to - distance > late_from;
}

bool sk_emit_cuda_conflict(const cuda_entry *e, const cuda_access *early, cuda_when when,
                           const cuda_access *late)
{
    if (!(early->store || late->store) || !(early->places & late->places)
        || (early->one_lane && late->one_lane))
        return false;
    if (early->places == CUDA_SCRATCH && late->places == CUDA_SCRATCH && early->piece != SK_NONE
        && late->piece != SK_NONE && !same_piece(e, early, late))
        return false;
    if (when == CUDA_BEFORE || !comparable(e, early, late))
        return true;
    return when == CUDA_TURN ? turns_collide(e, early, late) : lanes_collide(early, late);
}
