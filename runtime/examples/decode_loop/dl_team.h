/* dl_team.h - the engine's own threads. sphkv asks for none and no barrier: it
 * is called with "part i of n" from whatever threads there are. What waits
 * here, waits because the next layer needs the output of this one. */
#ifndef DL_TEAM_H
#define DL_TEAM_H

#include "dl_base.h"

typedef struct dl_team dl_team;

/* Part `part` of `parts` of one job. */
typedef sphkv_status (*dl_task)(void *arg, uint32_t part, uint32_t parts);

sphkv_status dl_team_open(uint32_t threads, dl_team **out, sphkv_error *err);
void dl_team_close(dl_team *team); /* NULL is fine */
uint32_t dl_team_size(const dl_team *team);

/* Runs every part of the job, part 0 on the calling thread; the first failure
 * in the order of parts. One job at a time. */
sphkv_status dl_team_run(dl_team *team, dl_task task, void *arg);

#endif
