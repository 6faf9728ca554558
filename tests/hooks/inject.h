/* inject.h - failures on demand in a program of the tree: the n-th allocation or
 * the n-th write to the database fails, whichever process of the run makes it.
 *
 * The hooked programs (build/hooked/) are the ordinary ones with tests/hooks/
 * linked in: the linker sends sk_malloc and its sisters here, SQLite gets an
 * allocator and a file layer of ours. The test makes a small file of this struct,
 * maps it, and names it in $SK_INJECT; the program, its workers and the compiler
 * module map it too, so counting and failing are one thing for the whole run. */
#ifndef SK_INJECT_H
#define SK_INJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SK_INJECT_VARIABLE "SK_INJECT"

typedef enum sk_inject_kind {
    SK_INJECT_ALLOC,     /* sk_malloc, sk_calloc, sk_realloc, sk_strdup */
    SK_INJECT_SQL_ALLOC, /* SQLite's own */
    SK_INJECT_WRITE,     /* what SQLite does to its files: open for writing, write,
                            sync, truncate, delete */
    SK_INJECT_KINDS
} sk_inject_kind;

/* What becomes of the write that is hit. */
typedef enum sk_inject_how {
    SK_INJECT_IOERR, /* fails, and nothing of it was done */
    SK_INJECT_FULL,  /* the disk is full: half of it was written */
    SK_INJECT_KILL   /* the process is killed, half of it was written */
} sk_inject_how;

typedef struct sk_inject {
    _Atomic uint64_t seen[SK_INJECT_KINDS]; /* events so far, of all processes */
    _Atomic uint64_t at[SK_INJECT_KINDS];   /* the one to fail, from 1; 0 = none */
    _Atomic uint64_t hits;                  /* events that failed */
    _Atomic uint32_t how;                   /* sk_inject_how, of writes */
} sk_inject;

/* Counts one event; true when it is to fail. */
bool sk_inject_hit(sk_inject_kind kind);
/* sk_inject_how of the write that was hit. */
sk_inject_how sk_inject_manner(void);

#endif
