/* simt.h - runs emitted CUDA text on the host: the text is compiled as C17 by
 * the compiler that built this project, against a vocabulary of the same names
 * (simt_prelude.h), and executed lane by lane.
 *
 * Every lane is a coroutine with a stack of its own. Which one goes on is drawn
 * from a seed at every point where a lane waits, and now and then at accesses to
 * memory, so nothing may depend on an order that is not asked for. Beyond that
 * a shadow of memory holds every access against the __syncwarp and barriers
 * before it, as the interpreter does for barriers: a missing one is reported
 * whatever the order was. What is reported, with block, warp, lane and line:
 * races inside a block, reads of scratch that nobody wrote or whose copy nobody
 * waited for, accesses out of bounds or not aligned, stores through what is
 * read-only, lanes or warps that do not meet, stacks that overflow, runs that
 * do not end. All of these are results (SPHKV_EVERIFY), never the end of the
 * process.
 *
 * One run at a time per process. */
#ifndef SK_SIMT_H
#define SK_SIMT_H

#include "kernel.h"

/* ---- compiling (simt_compile.c) ------------------------------------------------ */

/* One text and the programs whose entries it holds. */
typedef struct sk_simt_unit {
    const char *text;
    uint32_t n;
    const sk_program *const *program; /* [n]: symbols, parameters */
    bool alone; /* in a file of its own: it has more names than those of its entries */
} sk_simt_unit;

typedef struct sk_simt_module sk_simt_module;

/* Compiles all units at once, several of them in a file. Modules are kept under the
 * build folder by the hash of their text, so what was compiled before is loaded.
 * SPHKV_ECOMPILE with the first lines of the compiler's complaint. */
sk_status sk_simt_compile(const sk_simt_unit *units, uint32_t n, sk_simt_module **out, sk_err *err);
void sk_simt_free(sk_simt_module *module); /* NULL is fine */

/* Entry `entry` of unit `unit`: takes the parameters as 8-byte slots. */
typedef void (*sk_simt_entry)(const uint64_t *slot);
sk_simt_entry sk_simt_get(const sk_simt_module *module, uint32_t unit, uint32_t entry);

/* ---- running (simt_run.c) ------------------------------------------------------- */

typedef struct sk_simt_launch {
    const sk_simt_module *module;
    uint32_t unit, entry;
    const sk_program *program; /* parameters, warps, scratch */
    const uint64_t *slot;      /* by parameter */
    const size_t *bytes;       /* by parameter: what a pointer may touch; of one that is not
                                  NULL 0 = not known: then no access to memory is out of bounds */
    uint32_t grid[3];
    uint64_t seed;
    uint32_t yields;           /* of 65,536 accesses, how many let another lane run first */
    uint64_t most_accesses;    /* of the whole run; 0 = 2^36 */
    uint32_t without;          /* the sync or the wait for copies in this line of the text is left
                                  out, as if it were not written; 0 = none */
} sk_simt_launch;
#define SK_SIMT_YIELDS 2048u

sk_status sk_simt_run(const sk_simt_launch *launch, sk_err *err);

/* ---- as the device of an image (simt_image.c) ------------------------------------ */

typedef struct sk_simt_device {
    const sk_simt_module *module;
    uint32_t unit, n;                 /* n: entries of the unit */
    const sk_program *const *program; /* [n] */
    uint64_t seed, launches;          /* the k-th launch has seed + k */
    uint32_t yields, without;
} sk_simt_device;

/* For sk_image.launch, with the device as launch_user. */
sk_status sk_simt_device_launch(void *user, uint32_t entry, const sk_call *call, uint32_t blocks,
                                void *stream, sk_err *err);

#endif
