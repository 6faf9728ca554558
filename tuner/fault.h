/* fault.h - faults on demand, so that tests see what a broken kernel does to the
 * tuner. Only in the program that tests use (hooked/bin/sphkv-tune in the build
 * folder, compiled with SK_FAULTS); elsewhere everything is absent.
 *
 * SPHKV_FAULT="hang:3,crash:5,oob:7,wrong:9,abort:11,illegal:13,hog:15,twin:17": the n-th
 * trial of a job (the default is number 1) hangs, crashes, writes behind its output,
 * gives a wrong result, aborts in the compiler, meets an illegal instruction, takes
 * memory without end; or its compiler makes the code of the default of it.
 * SPHKV_LIMIT="2": seconds of every limit, so that a hang is short. */
#ifndef SK_FAULT_H
#define SK_FAULT_H

#include "base.h"

typedef enum sk_fault_kind {
    SK_FAULT_NONE,
    SK_FAULT_HANG,
    SK_FAULT_CRASH,
    SK_FAULT_OOB,
    SK_FAULT_WRONG,
    SK_FAULT_ABORT,
    SK_FAULT_ILLEGAL,
    SK_FAULT_HOG,
    SK_FAULT_TWIN
} sk_fault_kind;

/* What trial number `ordinal` is to suffer. */
sk_fault_kind sk_fault_of(uint32_t ordinal);
/* Does it, when it is one that ends or hangs the process. */
void sk_fault_strike(sk_fault_kind kind);
/* Does it to an output, when it is one of those. `out` lies between redzones. */
void sk_fault_spoil(sk_fault_kind kind, void *out, size_t bytes);
/* $SPHKV_LIMIT, or 0. */
double sk_fault_limit(void);

#endif
