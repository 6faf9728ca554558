/* fake_cuda.h - a CUDA driver that is none: the part of the driver's interface that
 * the runtime uses, on host memory, so that everything but the silicon runs on
 * machines without a GPU. Built as a library of its own (hooked/lib/fake_cuda.so),
 * which SPHKV_CUDA_DRIVER names.
 *
 * $SK_FAKE_GPUS says what the machine has: "none", "stub" (the toolkit's library), or
 * architectures with their multiprocessors, "sm_90:132,sm_80:108". It is read at every
 * cuInit. $SK_FAKE_CUDA is the driver's version, "12040"; 13000 without. $SK_FAKE_L2 is
 * the size of the cache, 40 MiB without.
 *
 * $SK_FAKE_FAULT, "cuGraphLaunch:3:700": the third call of that function in a process
 * returns that error, and with 700, an illegal address, everything that comes after it.
 *
 * It is strict where a driver is lenient, or would crash: a module loads only
 * where its code runs, shared memory beyond 48 KiB must have been asked for, handles
 * are known and of the current context. A test opens the same library and gets
 * this struct, through which launches come back to it. */
#ifndef SK_FAKE_CUDA_H
#define SK_FAKE_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_CUDA_SLOTS 64

typedef struct fake_cuda_launch {
    char name[128]; /* of the function */
    uint32_t grid[3], block[3], shared_bytes;
    uint32_t slots;
    uint64_t slot[FAKE_CUDA_SLOTS];
    void *stream; /* NULL, too, when it comes out of a graph */
    const char *unit; /* the text in its module's section ".unit"; NULL: there is none */
} fake_cuda_launch;

typedef struct fake_cuda {
    /* The test's: how many parameters of 8 bytes a function takes (NULL: none is
     * looked at), and what a launch does, now or at every replay of a graph. */
    uint32_t (*slots)(void *user, const char *name, const char *unit);
    void (*run)(void *user, const fake_cuda_launch *launch);
    void *user;
    float launch_ms; /* what a launch takes; 0: 0.01 */
    bool forbid; /* as in a capture: nothing that waits or allocates */
    /* What happened; the test may clear it. */
    char forbidden[64]; /* the first call that waits or allocates where none may */
    char misuse[128];   /* the first call that a driver need not survive */
    uint32_t launches, replays, loads;
    size_t fetched; /* bytes that were asked for ahead */
    fake_cuda_launch last;
    char loaded[32]; /* the last module: "cubin sm_80", "ptx sm_90a" */
    /* What is alive. */
    uint32_t primaries, modules, allocations, streams, events, graphs;
} fake_cuda;

/* "fake_cuda_state" of the library, and "fake_cuda_extent": the bytes from `at` to the
 * end of the allocation that it lies in; 0: in none, so no kernel may touch it. */
typedef fake_cuda *(*fake_cuda_state_fn)(void);
typedef size_t (*fake_cuda_extent_fn)(uint64_t at);

#endif
