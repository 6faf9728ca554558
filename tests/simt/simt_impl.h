/* simt_impl.h - what the files of the machine share: threads, warps, blocks, the
 * shadow of memory. Private to the simt_*.c files.
 *
 * Time is a counter, the stamp, which only syncs advance. A warp and a block
 * remember the stamp of their last sync (`since`), an access the stamp at which
 * it happened: two accesses of one warp are ordered when the earlier one lies
 * before the warp's last __syncwarp, two of one block when it lies before the
 * block's last barrier. Blocks are not held against each other: the interpreter
 * does that. */
#ifndef SK_SIMT_IMPL_H
#define SK_SIMT_IMPL_H

#include <setjmp.h>
#include <signal.h>

#include "simt.h"
#include "simt_machine.h"
#include "simt_switch.h"

#define SIMT_ALL 0xffffffffu   /* lanes of a warp */
#define SIMT_STACK ((size_t)256 << 10)
#define SIMT_SLOTS 3u          /* blocks under way at a time, at most */
#define SIMT_WARPS 32u
#define SIMT_GUARD 256u        /* bytes before and behind scratch that nobody may touch */
#define SIMT_ALIGN 128u        /* scratch lies at a multiple of it, and of no more */
#define SIMT_UNWRITTEN 0xffc0ffeeu /* NaN as f32, f16 and bf16: scratch at the start */
#define SIMT_UNDER_WAY 0xffd0fffcu /* the same: where a copy was asked for */

/* Who touched a word of memory: 1 + ((slot * 32 + warp) * 32 + lane), or several. */
#define SIMT_NOBODY 0u
#define SIMT_MANY 0xffffu         /* readers in several warps */
#define SIMT_MANY_OF_WARP 0x8000u /* + slot * 32 + warp: several lanes of it */

/* Shadow of one 32-bit word. */
typedef struct simt_word {
    uint32_t wrote, read;    /* stamps of the last store and the last load, 0 = never */
    uint16_t writer, reader; /* simt_thread.id, or one of the above */
    uint16_t flying;         /* the thread whose copy to here is under way */
    uint16_t unused;
} simt_word;

/* Memory that parameters name; overlapping ones are one region. */
typedef struct simt_region {
    uintptr_t begin, end;
    const char *name;
    bool writable;     /* all of it */
    simt_word *shadow; /* NULL: nobody writes here */
} simt_region;

typedef struct simt_copy {
    uint8_t *to;
    const uint8_t *from;
    uint32_t group;
    uint8_t bytes[16]; /* of the source when it began */
} simt_copy;

typedef struct simt_thread {
    simt_lane view; /* first: the machine's `now` is this */
    struct simt_warp *warp;
    simt_context context;
    uint8_t *stack; /* its lowest page is out of bounds */
    uint16_t id;    /* see SIMT_NOBODY */
    uint32_t groups; /* of copies, committed */
    uint32_t copies, copy_cap;
    simt_copy *copy; /* under way */
} simt_thread;

typedef struct simt_warp {
    struct simt_block *block;
    simt_thread thread[SIMT_LANES];
    uint32_t ready, arrived, done; /* lanes, a bit each */
    simt_meeting meeting;          /* where the arrived ones are */
    uint32_t first;                /* the lane that was there first */
    uint32_t turn;                 /* which words are being filled */
    uint32_t since;                /* stamp */
    simt_words words[2];
} simt_warp;

typedef struct simt_block {
    simt_warp *warp;
    void *raw;
    uint8_t *shared;    /* in raw: aligned, shared_bytes, guards around */
    simt_word *shadow;  /* of the scratch */
    uint32_t waiting, left; /* warps at the barrier, warps not done */
    uint32_t begin, since;  /* stamps */
} simt_block;

typedef struct simt_run {
    simt_machine face; /* first: what compiled code sees */
    const sk_simt_launch *launch;
    sk_simt_entry entry;
    simt_context main;
    simt_block block[SIMT_SLOTS];
    uint32_t slots;
    uint64_t ready;    /* warps of all slots that have a ready lane: slot * warps + warp */
    uint32_t at;       /* the warp that runs, counted so */
    uint32_t stay;     /* of 256: how often its own warp goes on */
    uint32_t stamp;
    uint32_t patience; /* accesses until the next yield */
    uint64_t accesses, most_accesses;
    sk_rng rng;
    simt_region *region;
    uint32_t regions, last_region;
    bool open;         /* a pointer's bytes are not known: what is in no region is let be */
    bool failed;
    sk_err *err;
} simt_run;

/* The run that goes on in this process: compiled code calls with no context. */
extern simt_run *simt_now;
static inline simt_thread *simt_self(void) { return (simt_thread *)(void *)simt_now->face.now; }

/* simt_fault.c. simt_fault ends the run with a message; it does not come back. While
 * signals are caught, one that a lane causes jumps to simt_escape. */
_Noreturn void simt_fault(const char *fmt, ...) SK_PRINTF(1, 2);
extern sigjmp_buf simt_escape;
void simt_catch(void *stack, size_t bytes, stack_t *old);
void simt_release(const stack_t *old);

/* simt_lanes.c. Yield: an access; lets another lane run first, if the draw says so. */
void simt_yield(void);
simt_thread *simt_pick(simt_run *r); /* who goes on; NULL when nobody can */
const simt_words *simt_meet(simt_meeting kind, const uint32_t *words, uint32_t n);
void simt_block_begin(simt_run *r, simt_block *block, const uint32_t id[3]);
/* Whether the sync that the lane has come to is to be left out. */
static inline bool simt_left_out(void)
{
    return simt_now->launch->without && simt_now->launch->without == simt_now->face.now->line;
}
/* Any number below n. */
static inline uint32_t simt_below(simt_run *r, uint32_t n)
{
    return (uint32_t)((sk_rng_u64(&r->rng) >> 32) * n >> 32);
}

/* simt_compile.c: the machine that the module's code asks from now on. */
void sk_simt_bind(const sk_simt_module *module, simt_machine *machine);

/* simt_memory.c */
sk_status simt_memory_open(simt_run *r, sk_err *err);
void simt_memory_close(simt_run *r);
void simt_memory_begin(simt_run *r, simt_block *block); /* a new block: scratch as at the start */
const void *simt_load(const void *at, uint32_t bytes);
void *simt_store(void *at, uint32_t bytes);
uint32_t simt_atomic_add(void *at, uint32_t x);
void simt_copy_begin(void *to, const void *from);
void simt_copy_commit(void);
void simt_copy_wait(uint32_t under_way);

#endif
