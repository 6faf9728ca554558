/* bench_wish.h - which lanes are measured together. All mixes of a shape take
 * turns in one worker as far as places and memory allow; what is left follows in
 * groups of its own, each with dense f16 again, so that every ratio is of one run. */
#ifndef SK_BENCH_WISH_H
#define SK_BENCH_WISH_H

#include "bench_report.h"
#include "wish.h"

#define SK_BENCH_DENSE "kf16:vf16" /* the yardstick */
#define SK_BENCH_FP8 "kf8:vf8"     /* the second one, on a GPU */

typedef struct sk_bench_ask {
    sk_db_set *set;             /* of winners */
    const sk_device *device;
    const char *schedule;       /* as sk_bench_pick's */
    uint32_t rounds, repeat, seed;
    const char *program;        /* says what goes on, on stderr; NULL: silence */
    const volatile int *stop;   /* set by a signal */
    bool yardstick;             /* dense f16 is the last mix, and nobody asked for it: it
                                   runs its default where the schedule does not fit it */
    bool fp8;                   /* the same of dense fp8 */
    bool cached;                /* as sk_bench's */
} sk_bench_ask;

/* Every shape of the wish once, in its order. local: of layers that see a part. */
sk_status sk_bench_wish(const sk_bench_ask *ask, const sk_wish *wish, bool local,
                        sk_bench_report *report, bool *stopped, sk_err *err);

/* For whole tokens: the layers of options->about that see a part, at no more
 * tokens than they see: dense rings of a window, the mixes for a chunk. */
sk_status sk_bench_local(const sk_bench_ask *ask, const sk_options *options, const sk_mixes *mixes,
                         sk_bench_report *report, bool *stopped, sk_err *err);

#endif
