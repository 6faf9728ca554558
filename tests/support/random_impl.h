/* random_impl.h - a random program in the making: what random_program.c (the
 * ops that every execution has) and random_gpu.c (those of GPUs) share. */
#ifndef SK_RANDOM_IMPL_H
#define SK_RANDOM_IMPL_H

#include "random_program.h"

#define POOL 512u
#define DEEPEST 3u

/* Bytes. A pointer into the input is at most 252 behind its start; with an
 * offset below 2048, a displacement up to 64 and a vector of 128 it stays in. */
#define OFFSET_MASK 0x7ffu
#define FINAL_AT 2560u /* random stores stay below; here everything is laid open */

typedef struct gen {
    sk_builder b;
    sk_rng rng;
    uint32_t w, warps;
    bool all_ops;
    sk_val in, mine, scratch; /* addresses: input, own output, own scratch */
    sk_val all_scratch;       /* of all warps: for exchange */
    sk_val stages;            /* all_ops: own scratch for quads, two of 16 W bytes */
    sk_val all_stages;        /* of all warps */
    sk_val lane;
    sk_val pool[POOL];
    uint32_t npool;
    sk_val var[64];
    uint32_t var_depth[64];   /* bodies open when it was made */
    uint32_t nvar;
    uint8_t control[DEEPEST + 1]; /* scope of the condition of each open body */
    uint32_t depth;
    uint8_t value_op[SK_OP_COUNT]; /* ops of sk_random_is_value_op */
    uint32_t nvalue_op;
    const sk_random_names *without;
    sk_random_names *met;
} gen;

static inline uint32_t below(gen *g, uint32_t n) { return sk_rng_below(&g->rng, n); }
static inline sk_val num(gen *g, uint32_t x) { return sk_ir_u32(&g->b, x); }
static inline sk_val op2(gen *g, sk_op op, sk_val x, sk_val y) { return sk_ir_2(&g->b, op, x, y); }

static inline const sk_instr *at(const gen *g, sk_val v)
{
    static const sk_instr none = {0};
    return v < g->b.program->ninstr ? &g->b.program->instr[v] : &none;
}

static inline void keep(gen *g, sk_val v)
{
    if (!g->b.failed && g->npool < POOL)
        g->pool[g->npool++] = v;
}

/* A visible value of the type, no wider than `widest`; newer ones more often. */
sk_val gen_draw(gen *g, sk_type type, sk_scope widest);
/* A byte offset below 2048, aligned to `bytes`. */
sk_val gen_offset(gen *g, sk_scope widest, uint32_t bytes);

/* One statement of ops that GPUs have and the CPU has not. */
void gen_gpu_statement(gen *g);
/* Their scratch, filled. */
void gen_gpu_prologue(gen *g);
/* What the neighbour has there; the caller puts barriers around it. */
void gen_gpu_exchange(gen *g, sk_val other);

#endif
