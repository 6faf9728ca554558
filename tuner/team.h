/* team.h - a few threads that run the parts of one kernel together.
 *
 * Why: a run of some hundred microseconds must not pay for thread creation, so
 * the threads stay, spin for a moment between runs and then sleep. They are
 * pinned, one per core as long as there are cores, since an engine does the
 * same and a wandering thread is noise. A team of one has no thread at all and
 * pins nothing. Lives in one process: make it after fork. */
#ifndef SK_TEAM_H
#define SK_TEAM_H

#include "base.h"

#define SK_TEAM_MOST 256u

typedef struct sk_team sk_team;
typedef void (*sk_team_fn)(void *user, uint32_t part, uint32_t parts);

/* The caller is part 0. */
sk_status sk_team_start(uint32_t threads, sk_team **out, sk_err *err);
void sk_team_stop(sk_team *team); /* NULL is fine */
uint32_t sk_team_size(const sk_team *team);

/* Runs all parts, returns when the last is done. */
void sk_team_run(sk_team *team, sk_team_fn fn, void *user);

/* CPUs this process may use, those of distinct cores first; how many. */
uint32_t sk_team_cpus(int *cpu, uint32_t most);

#endif
