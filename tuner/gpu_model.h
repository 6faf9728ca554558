/* gpu_model.h - what a multiprocessor of each generation does per clock, and one
 * card of each by its data sheet: what predictions (predict.h) are made for when no
 * card is at hand. Throughputs are NVIDIA's (CUDA C++ Programming Guide, arithmetic
 * instructions), per multiprocessor; nothing here was measured by us. */
#ifndef SK_GPU_MODEL_H
#define SK_GPU_MODEL_H

#include "schedule.h"

/* Units of a multiprocessor that a kernel can be short of. */
typedef enum sk_gpu_unit {
    SK_UNIT_ISSUE,   /* warp instructions */
    SK_UNIT_F32,     /* lanes: f32 arithmetic */
    SK_UNIT_INT,     /* lanes: 32-bit integers, logic, byte permutes, selects */
    SK_UNIT_HALF,    /* lanes: packed halves */
    SK_UNIT_SPECIAL, /* lanes: exp2, log2, conversions between integers and floats */
    SK_UNIT_SHUFFLE, /* lanes: data from other lanes */
    SK_UNIT_SHARED,  /* wavefronts of 128 bytes of shared memory, bank conflicts counted */
    SK_UNIT_MMA,     /* multiply-adds of tensor cores */
    SK_UNIT_L1,      /* sectors of 32 bytes of global loads and stores */
    SK_UNIT_COUNT
} sk_gpu_unit;
const char *sk_gpu_unit_name(uint32_t unit);

typedef struct sk_gpu_model {
    const char *card;                  /* the one the numbers below are of */
    uint32_t sm;
    uint32_t sms;
    uint32_t blocks_sm;                /* that a multiprocessor holds at once */
    double ghz, gbps;                  /* boost clock; memory bandwidth */
    double per_clock[SK_UNIT_COUNT];   /* of one multiprocessor */
} sk_gpu_model;

/* The model of a compute capability (90), or of the nearest older one of its
 * major number; NULL when there is none. */
const sk_gpu_model *sk_gpu_model_find(uint32_t sm);

#endif
