/* emit_cuda_sync.c - where the lanes of a warp must meet.
 *
 * In the IR memory operations of a warp take effect in program order for all its
 * lanes. Lanes of a GPU promise no order towards each other but at __syncwarp()
 * (and at barriers; shuffles order nothing). So the program is walked with the
 * set of accesses since the warp met last, and the warp meets before an access
 * that may touch what another lane touched, when one of the two stores.
 *
 * What accesses touch is told in emit_cuda_access.c.
 *
 * The body of a loop is walked with what came before it and what its own end left,
 * as often as that end leaves something new; what counts is the last walk. What stood on
 * a value that the loop makes anew is then anywhere in its piece; but when that is the
 * loop's counter alone, it lies a known distance lower. */
#include <string.h>

#include "emit_cuda_access.h"

/* Since the warp met: a bit for each cuda_when in which the access may have been. */
typedef uint8_t seen;
#define SEEN(when) (1u << (when))

typedef struct sync {
    cuda_entry *e;
    cuda_access *list;   /* of the program, in its order */
    uint32_t n;
    uint32_t *first;     /* per instruction: its first access; of the next: behind its last */
    seen *now;
} sync;

/* ---- the walk ------------------------------------------------------------------------ */

static bool must_meet(const sync *s, const cuda_access *late)
{
    for (uint32_t k = 0; k < s->n; k++)
        for (uint32_t when = CUDA_NOW; s->now[k] && when <= CUDA_BEFORE; when++)
            if ((s->now[k] & SEEN(when))
                && sk_emit_cuda_conflict(s->e, &s->list[k], (cuda_when)when, late))
                return true;
    return false;
}

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
        s->now[k] = (seen)(s->now[k] | SEEN(CUDA_NOW));
}

/* A body that is open. */
typedef struct body {
    sk_val head;
    seen *before;  /* at its begin; of an IF behind ELSE: at the end of the first half */
    seen *turns;   /* FOR: what ends of earlier turns left */
} body;

/* What becomes of an access that was seen in a turn of the loop, in the next one. */
static cuda_when in_next_turn(const sync *s, const cuda_access *a, sk_val loop)
{
    bool counter = false, other = a->base != SK_NONE && a->base >= loop;
    for (uint32_t k = 0; k < a->nterms; k++) {
        counter |= a->term[k].value == loop;
        other |= a->term[k].value > loop;
    }
    if (other)
        return CUDA_BEFORE;
    if (counter)
        return sk_emit_cuda_turns(s->e, a) == loop ? CUDA_TURN : CUDA_BEFORE;
    return a->mask != SK_NONE && a->mask >= loop ? CUDA_BEFORE : CUDA_NOW; /* other lanes do it */
}

/* Adds what the end of a loop's body leaves to its next turn. Whether that is new. */
static bool next_turn(const sync *s, const body *b)
{
    bool grew = false;
    for (uint32_t k = 0; k < s->n; k++) {
        const cuda_when when = in_next_turn(s, &s->list[k], b->head);
        seen left = s->now[k];
        if (left && when != CUDA_NOW)
            left = (seen)(SEEN(when) | (left & SEEN(CUDA_BEFORE)));
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

static size_t most_accesses(const sk_program *p)
{
    size_t n = 2; /* room behind the last */
    for (sk_val i = 0; i < p->ninstr; i++)
        n += p->instr[i].op >= SK_OP_LDU ? p->instr[i].op == SK_OP_CPASYNC ? 2 : 1 : 0;
    return n;
}

bool sk_emit_cuda_sync(cuda_entry *e)
{
    sync s = {.e = e};
    const size_t n = e->p->ninstr + 1u;
    s.first = sk_arena_alloc(&e->arena, n * sizeof *s.first);
    s.list = sk_arena_alloc(&e->arena, most_accesses(e->p) * sizeof *s.list);
    s.now = sk_arena_alloc(&e->arena, most_accesses(e->p));
    if (!s.first || !s.list || !s.now)
        return false;
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        s.first[i] = s.n;
        s.n += sk_emit_cuda_accesses(e, i, &s.list[s.n]);
    }
    s.first[e->p->ninstr] = s.n;
    return walk(&s);
}
