/* tune_ask.h - what the user asks of sphkv-tune: its command line, read and checked, and the
 * text of its help. */
#ifndef SK_TUNE_ASK_H
#define SK_TUNE_ASK_H

#include "device_option.h"
#include "job.h"
#include "shard.h"
#include "simulate.h"
#include "wish.h"

typedef struct sk_tune_ask {
    sk_options options;
    sk_mixes mixes;
    uint32_t kernels, trials, seed;
    const sk_effort *effort;
    double seconds;
    bool fresh, dry_run, quiet, help;
    sk_simulation_params simulation; /* file NULL: none */
    sk_shard shard;       /* count 0: not said */
    char *shard_db;       /* its database; own memory */
    const char *choice;   /* of the devices */
    const char *keep;     /* as of sk_space_keep; NULL: all */
    const char *strategy; /* NULL: auto */
    const char *report;   /* file of the HTML page; NULL: none */
} sk_tune_ask;

/* Into zeros. With --help nothing after it is looked at. */
sk_status sk_tune_ask_read(sk_tune_ask *t, int argc, char **argv, sk_err *err);
void sk_tune_ask_free(sk_tune_ask *t);
void sk_tune_help(sk_text *out);

#endif
