/* emit_cuda_sync.c - where the lanes of a warp must meet.
 *
 * In the IR memory operations of a warp take effect in program order for all its
 * lanes. Lanes of a GPU promise no order towards each other but at __syncwarp()
 * (and at barriers; shuffles order nothing). So the program is walked with the
 * set of accesses since the warp met last, and the warp meets before an access
 * that may touch what another lane touched, when one of the two stores.
 *
 * Two accesses touch nothing in common
 *   - in the scratch and in memory, when it is known which is which (parameters
 *     may name the same memory, so they are one place);
 *   - in different pieces of scratch: an access stays in the piece whose address
 *     it was given (the interpreter checks that);
 *   - with the same address and offset, when their bytes are apart.
 * Lanes do not meet each other when the same address and offset give each lane the
 * same bytes, or one lane alone does both.
 *
 * The body of a loop is walked with what came before it and what its own end left,
 * as often as that end leaves something new; what counts is the last walk. What was
 * relative to a value that the loop makes anew is then anywhere in its piece. */
#include <string.h>

#include "emit_cuda_impl.h"

typedef struct access {
    sk_val instr;
    sk_val piece;     /* PARAM_PTR or SHARED that it surely comes from, or SK_NONE */
    sk_val base, off; /* relative to these values; SK_NONE: to nothing more */
    sk_val mask;      /* predicate, or SK_NONE: all lanes */
    uint64_t lo;      /* first byte from there, of lane 0 */
    uint32_t bytes;   /* of a lane */
    uint32_t stride;  /* from lane to lane */
    uint8_t places;   /* CUDA_SCRATCH, CUDA_MEMORY */
    bool store;
    bool one_lane;    /* lane 0 alone */
    bool scattered;   /* offsets differ between lanes */
} access;

/* Since the warp met: bit 0 the access as it stands, bit 1 one of an earlier turn. */
enum { SEEN_NOW = 1, SEEN_BEFORE = 2 };
typedef uint8_t seen;

typedef struct sync {
    cuda_entry *e;
    access *list;        /* of the program, in its order */
    uint32_t n;
    uint32_t *first;     /* per instruction: its first access; of the next: behind its last */
    seen *now;
} sync;

/* ---- what an instruction touches --------------------------------------------------------- */

/* Moves constants along a chain of PTR_ADD into lo. */
static sk_val fold_base(const cuda_entry *e, sk_val base, uint64_t *lo)
{
    uint32_t x;
    while (cuda_at(e, base)->op == SK_OP_PTR_ADD && cuda_const(e, cuda_at(e, base)->arg[1], &x)) {
        *lo += (uint64_t)x * cuda_at(e, base)->imm;
        base = cuda_at(e, base)->arg[0];
    }
    return base;
}

static access *add_access(sync *s, sk_val i, uint32_t k, uint32_t disp, bool is_store)
{
    const cuda_entry *const e = s->e;
    const sk_instr *const in = cuda_at(e, i);
    const sk_val base = in->arg[k], off = in->arg[k + 1];
    access *const a = &s->list[s->n++];
    uint32_t x;
    *a = (access){.instr = i, .off = off, .mask = SK_NONE, .lo = disp, .bytes = 4,
                  .places = e->v[base].places, .store = is_store};
    a->piece = sk_ir_root(e->p, base);
    a->base = fold_base(e, base, &a->lo);
    if (cuda_at(e, a->base)->op == SK_OP_SHARED || cuda_at(e, a->base)->op == SK_OP_PARAM_PTR)
        a->base = SK_NONE; /* the piece says it: it may be named again by another value */
    if (cuda_const(e, off, &x)) {
        a->lo += x;
        a->off = SK_NONE;
    } else {
        a->scattered = cuda_at(e, off)->scope == SK_LANE;
    }
    return a;
}

static void masked(access *a, const sk_instr *in, uint32_t k)
{
    a->mask = in->nargs > k ? in->arg[k] : SK_NONE;
}

static void add_load(sync *s, sk_val i)
{
    const sk_instr *const in = cuda_at(s->e, i);
    const bool rows = in->op == SK_OP_LDROWS;
    access *const a = add_access(s, i, 0, rows ? in->imm & 0xffffffu : in->imm, false);
    a->bytes = in->op == SK_OP_LDQ ? 16 : sk_ld_bytes(in->imm2);
    a->stride = in->op == SK_OP_LDV ? a->bytes : 0;
    if (rows) /* the run as a whole, for every lane */
        a->bytes = 4 * (in->imm >> 24);
    masked(a, in, 2);
}

static void add_store(sync *s, sk_val i)
{
    const sk_instr *const in = cuda_at(s->e, i);
    access *const a = add_access(s, i, 0, in->imm, true);
    a->bytes = in->op == SK_OP_STQ ? 16 : 4;
    a->stride = in->op == SK_OP_STV || in->op == SK_OP_STN ? 4 : 0;
    a->one_lane = in->op == SK_OP_STU;
    masked(a, in, 3);
}

static void add_accesses(sync *s, sk_val i)
{
    const sk_instr *const in = cuda_at(s->e, i);
    switch (in->op) {
    case SK_OP_LDU:
    case SK_OP_LDV:
    case SK_OP_LDG:
    case SK_OP_LDQ:
    case SK_OP_LDROWS: add_load(s, i); break;
    case SK_OP_STU:
    case SK_OP_STV:
    case SK_OP_STN:
    case SK_OP_STG:
    case SK_OP_STQ: add_store(s, i); break;
    case SK_OP_CPASYNC: { /* nobody touches the target before the wait, which meets */
        access *const to = add_access(s, i, 0, in->imm2, true);
        to->bytes = 16;
        masked(to, in, 4);
        access *const from = add_access(s, i, 2, in->imm, false);
        from->bytes = 16;
        masked(from, in, 4);
        break;
    }
    default: break;
    }
}

/* ---- do two touch the same ------------------------------------------------------------------ */

/* Each lane, or the one lane, that touches a byte in both is the same one. */
static bool same_lanes(const access *a, const access *b)
{
    if (a->one_lane && b->one_lane)
        return true;
    if (a->one_lane || b->one_lane || a->lo != b->lo || a->bytes != b->bytes)
        return false;
    /* Lanes of one store own their words, whatever the offsets; a lane that is
     * switched off in one of the two may hold any offset. */
    if (a->scattered)
        return a->mask == b->mask;
    return a->stride == b->stride && a->stride >= a->bytes;
}

static bool apart(const access *a, const access *b)
{
    if (a->scattered || b->scattered)
        return false;
    const uint64_t a_end = a->lo + a->stride * 31ull + a->bytes;
    const uint64_t b_end = b->lo + b->stride * 31ull + b->bytes;
    return a_end <= b->lo || b_end <= a->lo;
}

static bool same_piece(const cuda_entry *e, const access *a, const access *b)
{
    const sk_instr *const x = cuda_at(e, a->piece), *const y = cuda_at(e, b->piece);
    return x->op == y->op && x->imm == y->imm;
}

/* `early` happened since the warp met, in this turn of all loops or before. */
static bool conflict(const cuda_entry *e, const access *early, bool before, const access *late)
{
    if (!(early->store || late->store) || !(early->places & late->places))
        return false;
    const bool known = early->piece != SK_NONE && late->piece != SK_NONE;
    if (early->places == CUDA_SCRATCH && late->places == CUDA_SCRATCH && known
        && !same_piece(e, early, late))
        return false;
    const bool comparable = !before && early->base == late->base && early->off == late->off
                            && (early->base != SK_NONE || (known && same_piece(e, early, late)));
    return !comparable || !(same_lanes(early, late) || apart(early, late));
}

static bool must_meet(const sync *s, const access *late)
{
    for (uint32_t k = 0; k < s->n; k++)
        if (((s->now[k] & SEEN_NOW) && conflict(s->e, &s->list[k], false, late))
            || ((s->now[k] & SEEN_BEFORE) && conflict(s->e, &s->list[k], true, late)))
            return true;
    return false;
}

/* ---- the walk ----------------------------------------------------------------------------------- */

static void meet(sync *s)
{
    memset(s->now, 0, s->n);
}

static void visit(sync *s, sk_val i)
{
    const uint32_t op = cuda_at(s->e, i)->op;
    if (s->e->v[i].form == CUDA_SILENT)
        return;
    if (op == SK_OP_BARRIER || op == SK_OP_CPWAIT || op == SK_OP_ATOMADD)
        meet(s); /* these do by themselves */
    for (uint32_t k = s->first[i]; k < s->first[i + 1]; k++)
        if (must_meet(s, &s->list[k])) {
            s->e->v[i].meet = true;
            meet(s);
        }
    for (uint32_t k = s->first[i]; k < s->first[i + 1]; k++)
        s->now[k] |= SEEN_NOW;
}

/* A body that is open. */
typedef struct body {
    sk_val head;
    seen *before;  /* at its begin; of an IF behind ELSE: at the end of the first half */
    seen *turns;   /* FOR: what ends of earlier turns left */
} body;

/* Adds what the end of a loop's body leaves to its next turn: what stands on a value
 * that is made in the body stands somewhere else by then. Whether that is new. */
static bool next_turn(const sync *s, const body *b)
{
    bool grew = false;
    for (uint32_t k = 0; k < s->n; k++) {
        const access *const a = &s->list[k];
        const bool moved = (a->base != SK_NONE && a->base >= b->head)
                           || (a->off != SK_NONE && a->off >= b->head)
                           || (a->mask != SK_NONE && a->mask >= b->head);
        const seen left = s->now[k] && moved ? SEEN_BEFORE : s->now[k];
        grew |= (left & ~b->turns[k]) != 0;
        b->turns[k] |= left;
    }
    return grew;
}

static void join(seen *into, const seen *from, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        into[k] |= from[k];
}

static void exchange(seen *x, seen *y, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        const seen kept = x[k];
        x[k] = y[k];
        y[k] = kept;
    }
}

/* Walks the body once more, as if nothing had been found in it. */
static sk_val again(sync *s, const body *b)
{
    memcpy(s->now, b->before, s->n);
    join(s->now, b->turns, s->n);
    for (sk_val i = b->head; i < s->e->v[b->head].end; i++)
        s->e->v[i].meet = false;
    return b->head + 1;
}

/* Enters, splits or leaves a body; gives the instruction to go on with. */
static sk_val step(sync *s, body *stack, uint32_t *depth, sk_val i)
{
    const uint32_t op = cuda_at(s->e, i)->op;
    if (op == SK_OP_FOR || op == SK_OP_IF) {
        body *const b = &stack[(*depth)++];
        b->head = i;
        memcpy(b->before, s->now, s->n);
        memset(b->turns, 0, s->n);
        return i + 1;
    }
    body *const b = &stack[*depth - 1];
    if (op == SK_OP_ELSE) {
        exchange(s->now, b->before, s->n);
        return i + 1;
    }
    if (cuda_at(s->e, b->head)->op == SK_OP_FOR && next_turn(s, b))
        return again(s, b);
    join(s->now, b->before, s->n); /* no turn at all, or the other half */
    --*depth;
    return i + 1;
}

static uint32_t deepest(const sk_program *p)
{
    uint32_t depth = 0, most = 0;
    for (sk_val i = 0; i < p->ninstr; i++) {
        depth += p->instr[i].op == SK_OP_FOR || p->instr[i].op == SK_OP_IF;
        depth -= p->instr[i].op == SK_OP_END;
        most = depth > most ? depth : most;
    }
    return most;
}

static bool walk(sync *s)
{
    sk_arena *const arena = &s->e->arena;
    const uint32_t most = deepest(s->e->p);
    uint32_t depth = 0;
    body *const stack = sk_arena_alloc(arena, (most + 1u) * sizeof *stack);
    if (!stack)
        return false;
    for (uint32_t k = 0; k < most; k++) {
        stack[k].before = sk_arena_alloc(arena, s->n + 1u);
        stack[k].turns = sk_arena_alloc(arena, s->n + 1u);
        if (!stack[k].before || !stack[k].turns)
            return false;
    }
    for (sk_val i = 0; i < s->e->p->ninstr;) {
        const uint32_t op = cuda_at(s->e, i)->op;
        if (op == SK_OP_FOR || op == SK_OP_IF || op == SK_OP_ELSE || op == SK_OP_END) {
            i = step(s, stack, &depth, i);
        } else {
            visit(s, i);
            i++;
        }
    }
    return true;
}

bool sk_emit_cuda_sync(cuda_entry *e)
{
    sync s = {.e = e};
    const size_t n = e->p->ninstr + 1u;
    s.first = sk_arena_alloc(&e->arena, n * sizeof *s.first);
    s.list = sk_arena_alloc(&e->arena, 2 * n * sizeof *s.list);
    s.now = sk_arena_alloc(&e->arena, 2 * n);
    if (!s.first || !s.list || !s.now)
        return false;
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        s.first[i] = s.n;
        add_accesses(&s, i);
    }
    s.first[e->p->ninstr] = s.n;
    return walk(&s);
}
