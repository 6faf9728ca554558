/* results.h - winners as people and as machines read them. */
#ifndef SK_RESULTS_H
#define SK_RESULTS_H

#include "json.h"
#include "search.h"

/* "batch 1 context 8192 heads 32/8 threads 1" */
void sk_results_shape(const sk_db_shape *shape, sk_text *out);
/* The member "device" of an open object. */
void sk_results_device_json(sk_json *j, const sk_device *device);

/* What was found on one device. */
typedef struct sk_results {
    const sk_device *device;
    const sk_result *result;
    uint32_t n;
} sk_results;

/* A table for each device, a block of lines per result; with their names when they are
 * several. */
void sk_results_print(const sk_results *of, uint32_t devices, sk_text *out);
/* An object with device and results[]; of several devices a list of such objects. */
void sk_results_json(const sk_results *of, uint32_t devices, sk_text *out);

#endif
