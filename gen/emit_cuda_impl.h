/* emit_cuda_impl.h - what the files of the CUDA emitter share.
 *
 * emit_cuda.c        the unit, an entry, statements and control
 * emit_cuda_value.c  the text of values
 * emit_cuda_number.c the text of constants
 * emit_cuda_plan.c   which values are written, and where
 * emit_cuda_sync.c   where the lanes of a warp must meet
 * emit_cuda_access.c what an instruction touches, for that
 * emit_cuda_name.c   names that C takes, each once where it is visible */
#ifndef SK_EMIT_CUDA_IMPL_H
#define SK_EMIT_CUDA_IMPL_H

#include "emit_cuda.h"
#include "ir_rules.h"

/* Where an address may point, as far as is known. */
#define CUDA_SCRATCH 1u
#define CUDA_MEMORY 2u

typedef enum cuda_form {
    CUDA_SILENT,   /* nobody needs it: not written */
    CUDA_INSIDE,   /* written inside of the text that uses it */
    CUDA_STATEMENT /* a statement of its own */
} cuda_form;

typedef struct cuda_value {
    const char *name;  /* of the variable that holds it, once that is declared */
    uint32_t uses;     /* by values and statements that are written */
    sk_val user;       /* one of them */
    sk_val at;         /* the statement in which its text stands */
    sk_val loop;       /* the innermost FOR around it, or SK_NONE */
    sk_val end;        /* FOR: its END */
    sk_val last;       /* the last place where the value must still be what it was */
    uint32_t nodes;    /* ops in its text */
    uint8_t form;      /* cuda_form */
    uint8_t places;    /* addresses: CUDA_SCRATCH, CUDA_MEMORY or both */
    bool read_only;    /* addresses: may come from a parameter that is not writable */
    bool meet;         /* the warp meets before it */
} cuda_value;

typedef struct cuda_visible {
    const char *name;
    uint32_t hash;
} cuda_visible;

typedef struct cuda_entry {
    const sk_program *p;
    cuda_value *v;             /* one per instruction */
    const char **param;        /* names, by slot */
    cuda_visible *visible;     /* names that stand for something here, innermost last */
    uint32_t nvisible, visible_cap;
    uint32_t *open;            /* per open body: names visible before it */
    uint32_t depth;            /* bodies open */
    sk_arena arena;            /* names and arrays */
    sk_text line;              /* the statement being written */
    sk_text *out;
    bool failed;               /* out of memory */
} cuda_entry;

/* Values are written inside of others up to this many ops in a row; twice as many
 * where the variable is all that stands beside them. */
#define CUDA_MOST_NODES 5u

/* Decides form, uses, place of every value; false when memory ran out. */
bool sk_emit_cuda_plan(cuda_entry *e);
/* Sets v[].meet; false when memory ran out. */
bool sk_emit_cuda_sync(cuda_entry *e);

/* A name like `want` that nothing visible and no word of C or of the prelude has;
 * visible until the body that is open is left. */
const char *sk_emit_cuda_declare(cuda_entry *e, const char *want);
/* The name of a value's variable, from the value's own or from its type and index. */
const char *sk_emit_cuda_declare_value(cuda_entry *e, sk_val v);
void sk_emit_cuda_enter(cuda_entry *e);
void sk_emit_cuda_leave(cuda_entry *e);

/* What a text is as an operand, and what it stands in. */
typedef enum cuda_kind {
    CUDA_ATOM, CUDA_UNARY, CUDA_MUL, CUDA_ADD, CUDA_SHIFT, CUDA_REL, CUDA_AND, CUDA_XOR, CUDA_OR,
    CUDA_BOTH, CUDA_EITHER, CUDA_COND,
    CUDA_POSTFIX, /* in front of .x: surroundings only */
    CUDA_ANY      /* an argument, an initial value: surroundings only */
} cuda_kind;

/* Appends the value to the statement, in parentheses where it needs them. */
void sk_emit_cuda_value(cuda_entry *e, sk_val v, cuda_kind within, bool right);
/* The op itself, not the name of the variable that holds it. */
void sk_emit_cuda_text(cuda_entry *e, sk_val v);
/* A constant; sign: with the u that makes it unsigned by itself. */
void sk_emit_cuda_u32(cuda_entry *e, uint32_t x, bool hex, bool sign);
/* The shortest decimal that reads back as the same float. */
void sk_emit_cuda_f32(cuda_entry *e, uint32_t bits);
/* address + offset + displacement (+ `stride` bytes a lane). */
void sk_emit_cuda_address(cuda_entry *e, sk_val base, sk_val off, uint32_t disp, uint32_t stride,
                     bool store);
/* "const float x = " and what else declares a variable of the value. */
void sk_emit_cuda_type(cuda_entry *e, sk_val v, bool constant);

static inline const sk_instr *cuda_at(const cuda_entry *e, sk_val v) { return &e->p->instr[v]; }
static inline bool cuda_const(const cuda_entry *e, sk_val v, uint32_t *x)
{
    const sk_instr *const in = cuda_at(e, v);
    *x = in->op == SK_OP_CONST_U32 ? in->imm : 0;
    return in->op == SK_OP_CONST_U32;
}

#endif
