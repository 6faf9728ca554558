/* shard.h - one search on many machines: which part of a wish is whose.
 *
 * Shard i of n takes whole units (a spec, which names its kernel, at a context), so no
 * trial is made twice and no final is torn apart. Units are dealt by weight, the heaviest
 * first, each to the shard that has least: every machine works that out alike from the
 * same options, and they end at about the same time. Each shard has a database of its own
 * (SQLite does not belong on a network file system that several machines write to);
 * sphkv-db merge unites them. */
#ifndef SK_SHARD_H
#define SK_SHARD_H

#include "wish.h"

typedef struct sk_shard {
    uint32_t index, count; /* index from 1 to count; 0/0 and 1/1: everything */
} sk_shard;

/* "2/4". */
sk_status sk_shard_parse(const char *text, sk_shard *out, sk_err *err);
/* What the job array says that this process is part of; 0/0 when of none. Slurm:
 * SLURM_ARRAY_TASK_ID, _COUNT, _MIN and _STEP. Kubernetes, an Indexed Job:
 * JOB_COMPLETION_INDEX, and JOB_COMPLETIONS, which its manifest has to set. *from: the
 * variable that said it. SPHKV_EINVAL: half of it is missing, or the tasks of the array
 * are no even range. */
sk_status sk_shard_environment(sk_shard *out, const char **from, sk_err *err);

/* "DIR/kernels.db" becomes "DIR/kernels.2-of-4.db"; a name without .db gets it behind.
 * Own memory. */
sk_status sk_shard_path(const sk_shard *shard, const char *db, char **out, sk_err *err);

/* Leaves what is the shard's. */
sk_status sk_shard_keep(const sk_shard *shard, sk_wish *wish, sk_err *err);

#endif
