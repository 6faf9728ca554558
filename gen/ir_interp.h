/* ir_interp.h - what the files of the interpreter share: the decoded
 * program, registers, memory with its shadow. Private to ir_interp*.c.
 *
 * ir_interp.c         decodes, runs blocks and warps, control flow
 * ir_interp_alu.c     arithmetic, packed data, work across lanes
 * ir_interp_bytes.c   bytes and halves picked from all over the warp
 * ir_interp_half.c    arithmetic of packed halves
 * ir_interp_quad.c    quads, matrix product
 * ir_interp_mem.c     loads and stores
 * ir_interp_async.c   asynchronous copies, atomic adds
 * ir_interp_shadow.c  memory and everything that is checked about it
 *
 * Registers: a warp has one array of 32-bit words, W words for a lane value,
 * one for a uniform one (read with stride 0 by lane ops), four times as many
 * for a quad (all first words, then all second ones), and one array of
 * addresses. An address is a place (which buffer) and an offset, so it cannot
 * wander from one buffer into another; host addresses never enter a register. */
#ifndef SK_IR_INTERP_H
#define SK_IR_INTERP_H

#include "ir.h"

#define SK_INTERP_LANES 32

typedef struct interp_addr {
    uint32_t place;  /* parameter slot; nparams = the scratch */
    uint64_t offset; /* bytes, wrapping */
    uint32_t from, to; /* scratch: the piece that it stays in */
} interp_addr;

/* Shadow of one 32-bit word. Intervals are counted over the whole run, from 1:
 * a barrier starts a new one, and so does a block. */
typedef struct interp_word {
    uint32_t written;  /* interval of the last store, 0 = never */
    uint32_t read;     /* interval of the last load, 0 = never */
    uint32_t stamp;    /* which store instruction, counted over the run */
    uint32_t read_stamp; /* stores of the run before the last load */
    uint16_t writer;   /* warp of the last store */
    uint16_t reader;   /* warp of the loads in interval `read`, or INTERP_MANY */
    bool added;        /* the last store was an ATOMADD */
    bool copying;      /* the last store was a CPASYNC that is not waited for */
} interp_word;
#define INTERP_MANY 0xffffu

typedef enum interp_access { INTERP_READ, INTERP_WRITE, INTERP_ADD, INTERP_COPY } interp_access;

/* An ATOMADD of the run: what it orders is told in ir_interp_shadow.c. */
typedef struct interp_add {
    const uint8_t *word;
    uint32_t first;    /* first interval of its block */
    uint32_t interval;
    uint32_t stamp;
    uint32_t warp;
} interp_add;

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
    uint8_t nargs;
    bool is_ptr;       /* the value (or the variable) is an address */
    bool is_quad;      /* the value (or the variable) is a quad */
    uint8_t stride[SK_MAX_ARGS]; /* 1 when the argument is a lane value */
    uint32_t dst;      /* word register, or address register */
    uint32_t src[SK_MAX_ARGS];
    uint32_t imm;
    uint32_t imm2;     /* load kind, second displacement */
    uint32_t jump;     /* control: where to go on */
    uint32_t origin;   /* index in the program */
} interp_instr;

/* A copy that is not yet waited for. */
typedef struct interp_copy {
    const interp_instr *in;
    uint32_t lane;
    uint32_t group;    /* commits of the warp before it */
    interp_addr to;
    const uint8_t *from;
    uint8_t bytes[16]; /* as they were when it began */
} interp_copy;

typedef struct interp_warp {
    uint32_t *word;    /* registers */
    interp_addr *addr; /* address registers */
    uint32_t pc;       /* into code; ncode = done */
    uint64_t steps;    /* instructions run in this block */
    interp_copy *copy; /* in the order in which they began */
    uint32_t ncopy, copy_cap;
    uint32_t commits;  /* in this block */
} interp_warp;

/* Accesses of the present instruction, for a profile. */
typedef struct interp_notes {
    uint64_t at[SK_INTERP_LANES];
    uint32_t count, bytes;
    bool scratch;
} interp_notes;

typedef struct interp {
    const sk_program *p;
    const sk_interp_args *args;
    interp_instr *code;
    uint32_t ncode;
    uint32_t *reg;        /* per instruction of the program: its register */
    uint32_t *piece_end;  /* per instruction: where the piece of a SHARED ends */
    uint32_t nword, naddr;/* registers of a warp */
    interp_warp *warp;
    interp_place *place;  /* nparams + 1 */
    uint32_t block[3];
    uint32_t first;       /* first interval of this block */
    uint32_t interval;
    uint32_t stamp;
    interp_add *add;      /* in the order of the run */
    uint32_t nadd, add_cap;
    uint32_t own_add;     /* the first of this block */
    uint32_t at_warp;     /* running now */
    uint64_t max_steps;
    interp_notes notes;
    sk_status st;         /* of the run; not OK stops it */
    sk_err *err;
} interp;

/* Stops the run: SPHKV_EVERIFY with block, warp, lane, instruction. */
void sk_interp_fault(interp *t, const interp_instr *in, uint32_t lane, const char *fmt, ...)
    SK_PRINTF(4, 5);

/* Arithmetic and moves; false when the op is not one of these. */
bool sk_interp_alu(const interp_instr *in, uint32_t w, uint32_t *word);
/* The same for ops that move bytes and halves about the warp. */
bool sk_interp_bytes(const interp_instr *in, uint32_t w, uint32_t *word);
/* Packed half arithmetic: one word of it. */
uint32_t sk_interp_hadd2(uint32_t x, uint32_t y);
uint32_t sk_interp_hmul2(uint32_t x, uint32_t y);
uint32_t sk_interp_hfma2(uint32_t x, uint32_t y, uint32_t z);
/* Quads, and moves of quads; false when the instruction is none of these. */
bool sk_interp_quad(const interp_instr *in, uint32_t w, uint32_t *word);
/* Word k of lane i of the quad that is argument `arg`. */
static inline uint32_t sk_interp_part(const interp_instr *in, uint32_t w, const uint32_t *word,
                                      uint32_t arg, uint32_t k, uint32_t i)
{
    return word[in->src[arg] + (in->stride[arg] ? k * w + i : k)];
}
/* Loads and stores; false when the op is not one of these. */
bool sk_interp_memory(interp *t, const interp_instr *in, interp_warp *warp);
/* Copies and atomic adds; false when the op is not one of these. */
bool sk_interp_async(interp *t, const interp_instr *in, interp_warp *warp);
/* At the end of a block: a copy that was never waited for is a fault. */
void sk_interp_async_end(interp *t, interp_warp *warp);

/* The memory behind an access, after every check; NULL when one failed. Stores
 * of one instruction share a stamp: count it up before them. */
uint8_t *sk_interp_access(interp *t, const interp_instr *in, uint32_t lane, interp_addr base,
                          uint64_t offset, uint32_t bytes, interp_access access);
/* A copy has arrived: its words count as written now, by this warp. */
void sk_interp_copied(interp *t, interp_addr to, uint32_t bytes);
/* Room for one more element; NULL, and the run stops, when there is none. The
 * old array stays what it was then. */
void *sk_interp_grow(interp *t, void *old, uint32_t used, uint32_t *cap, size_t element);
/* An ATOMADD to a word has passed its checks. */
bool sk_interp_added(interp *t, const uint8_t *word);
/* For a profile: an access of the present instruction, and its end. */
void sk_interp_note(interp *t, uint32_t place, uint64_t at, uint32_t bytes);
void sk_interp_profile_instr(interp *t, const interp_instr *in, const interp_warp *warp);
/* Buffers and scratch of a run. */
sk_status sk_interp_places(interp *t);
void sk_interp_places_free(interp *t);

#endif
