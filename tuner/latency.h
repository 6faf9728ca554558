/* latency.h - what a call of sphkv_run costs when there is nothing to attend to:
 * all lists are empty, so an engine pays for reading and checking the arguments
 * and for zeros in the output. Through the public interface, as an engine calls;
 * several threads at once, each with a workspace, queries and output of its own,
 * share nothing but the plan: they must be no slower than one. */
#ifndef SK_LATENCY_H
#define SK_LATENCY_H

#include "device.h"
#include "wish.h"

typedef struct sk_latency {
    const sk_options *options; /* spec, KV heads; batches, threads: a line each */
    const sk_mixes *mixes;
    const sk_device *device;   /* this machine */
    const char *program;       /* for what the library logs; NULL: silence */
    uint32_t rounds;
    const volatile int *stop;  /* set by a signal; SPHKV_EDEVICE then */
} sk_latency;

/* A line for every mix, batch and number of threads: a table, or with --json the
 * device and an object each. */
sk_status sk_latency_measure(const sk_latency *ask, sk_text *out, sk_err *err);

#endif
