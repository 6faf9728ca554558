/* simt_machine.h - the seam between compiled kernels and the machine that runs
 * them: what a lane knows of itself, and what it asks the machine for. Included
 * by both sides; the vocabulary of emitted text (simt_prelude.h) is written on it.
 *
 * A compiled module holds one pointer to the machine, bound when it is loaded.
 * What the machine is asked for does not come back when it is a fault: the run
 * then ends with a message. */
#ifndef SK_SIMT_MACHINE_H
#define SK_SIMT_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define SIMT_LANES 32u
#define SIMT_WORDS 8u /* most words that a lane lays open at a meeting */

/* Where all lanes of a warp meet. Of these only the first two order memory. */
typedef enum simt_meeting {
    SIMT_SYNCWARP,
    SIMT_BARRIER,
    SIMT_SHUFFLE,
    SIMT_VOTE,
    SIMT_MMA,
    SIMT_MOVMATRIX,
    SIMT_MEETINGS
} simt_meeting;

typedef struct simt_lane {
    uint32_t lane, warp;
    uint32_t block[3];
    uint32_t line;   /* of the text: the last word of the vocabulary, for messages */
    uint8_t *shared; /* the block's scratch */
} simt_lane;

typedef uint32_t simt_words[SIMT_LANES][SIMT_WORDS]; /* by lane */

typedef struct simt_machine {
    simt_lane *now; /* the lane that runs */

    /* The memory behind an access of 1, 2, 4 or 16 bytes, after every check; other
     * lanes may run first. */
    const void *(*load)(const void *at, uint32_t bytes);
    void *(*store)(void *at, uint32_t bytes);
    uint32_t (*atomic_add)(void *at, uint32_t x);

    /* Waits for the other lanes of the warp (BARRIER: of the block); then what each
     * laid open, valid until this lane meets again. */
    const simt_words *(*meet)(simt_meeting kind, const uint32_t *words, uint32_t n);

    /* 16 bytes to scratch, there once their group has been waited for. */
    void (*copy)(void *to, const void *from);
    void (*copy_commit)(void);
    void (*copy_wait)(uint32_t under_way);

    /* gen/base_half.c and gen/ir_interp_half.c, which define them */
    uint16_t (*f32_to_f16)(float x);
    float (*f16_to_f32)(uint16_t h);
    uint32_t (*add_f16x2)(uint32_t a, uint32_t b);
    uint32_t (*mul_f16x2)(uint32_t a, uint32_t b);
    uint32_t (*fma_f16x2)(uint32_t a, uint32_t b, uint32_t c);
} simt_machine;

#endif
