/* ir_interp.h - what the three files of the interpreter share: the decoded
 * program, registers, memory with its shadow. Private to ir_interp*.c.
 *
 * ir_interp.c      decodes, runs blocks and warps, control flow
 * ir_interp_alu.c  arithmetic, packed data, work across lanes
 * ir_interp_mem.c  loads, stores and everything that is checked about them
 *
 * Registers: a warp has one array of 32-bit words, W words for a lane value,
 * one for a uniform one (read with stride 0 by lane ops), and one array of
 * addresses. An address is a place (which buffer) and an offset, so it cannot
 * wander from one buffer into another; host addresses never enter a register. */
#ifndef SK_IR_INTERP_H
#define SK_IR_INTERP_H

#include "ir.h"

#define SK_INTERP_LANES 32

typedef struct interp_addr {
    uint32_t place;  /* parameter slot; nparams = the scratch */
    uint64_t offset; /* bytes, wrapping */
} interp_addr;

/* Shadow of one 32-bit word. Intervals are counted over the whole run, from 1:
 * a barrier starts a new one, and so does a block. */
typedef struct interp_word {
    uint32_t written;  /* interval of the last store, 0 = never */
    uint32_t read;     /* interval of the last load, 0 = never */
    uint32_t stamp;    /* which store instruction, counted over the run */
    uint16_t writer;   /* warp of the last store */
    uint16_t reader;   /* warp of the loads in interval `read`, or INTERP_MANY */
} interp_word;
#define INTERP_MANY 0xffffu

typedef struct interp_place {
    const char *name;
    uint8_t *data;
    size_t bytes;
    bool writable;
    bool uninitialised;  /* a word must be written before it is read */
    bool scratch;        /* contents end with the block */
    bool owns_shadow;    /* else the shadow is that of another slot, same memory */
    uint32_t lead;       /* bytes of data before its first aligned word: shadow index */
    interp_word *shadow; /* one per word, or NULL when nobody writes here */
} interp_place;

typedef struct interp_instr {
    uint8_t op;        /* sk_op; END: of a FOR only */
    uint8_t n;         /* lanes to compute: 1 or W */
    uint8_t kind;      /* load kind */
    uint8_t nargs;
    bool is_ptr;       /* the value (or the variable) is an address */
    uint8_t stride[4]; /* 1 when the argument is a lane value */
    uint32_t dst;      /* word register, or address register */
    uint32_t src[4];
    uint32_t imm;
    uint32_t jump;     /* control: where to go on */
    uint32_t origin;   /* index in the program */
} interp_instr;

typedef struct interp_warp {
    uint32_t *word;    /* registers */
    interp_addr *addr; /* address registers */
    uint32_t pc;       /* into code; ncode = done */
    uint64_t steps;    /* instructions run in this block */
} interp_warp;

typedef struct interp {
    const sk_program *p;
    const sk_interp_args *args;
    interp_instr *code;
    uint32_t ncode;
    uint32_t *reg;        /* per instruction of the program: its register */
    uint32_t nword, naddr;/* registers of a warp */
    interp_warp *warp;
    interp_place *place;  /* nparams + 1 */
    uint32_t block[3];
    uint32_t first;       /* first interval of this block */
    uint32_t interval;
    uint32_t stamp;
    uint32_t at_warp;     /* running now */
    uint64_t max_steps;
    sk_status st;         /* of the run; not OK stops it */
    sk_err *err;
} interp;

/* Stops the run: SPHKV_EVERIFY with block, warp, lane, instruction. */
void sk_interp_fault(interp *t, const interp_instr *in, uint32_t lane, const char *fmt, ...)
    SK_PRINTF(4, 5);

/* Arithmetic and moves; false when the op is not one of these. */
bool sk_interp_alu(const interp_instr *in, uint32_t w, uint32_t *word);
/* The same for ops that look at other lanes. */
bool sk_interp_cross(const interp_instr *in, uint32_t w, uint32_t *word);
/* Loads and stores; false when the op is not one of these. */
bool sk_interp_memory(interp *t, const interp_instr *in, interp_warp *warp);

/* Buffers and scratch of a run. */
sk_status sk_interp_places(interp *t);
void sk_interp_places_free(interp *t);

#endif
