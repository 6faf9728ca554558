/* progress.h - what is written to stderr while a search runs: a bar on a
 * terminal, one line per job elsewhere. Results never pass here. */
#ifndef SK_PROGRESS_H
#define SK_PROGRESS_H

#include "base.h"

typedef struct sk_progress {
    bool terminal, colour, quiet;
    double started;          /* of the command, seconds of a monotonic clock */
    double budget;           /* of the command, seconds; 0 = none */
    uint32_t job, jobs;      /* job counts from 1 */
    char what[160];          /* the job, for people */
    uint32_t done, most;     /* trials of the job; most 0 = not known */
    uint32_t failed;
    uint32_t all_done;       /* trials of the command, those found left out */
    double best_us, best_ratio; /* of the job; 0 = none yet */
    const char *phase;       /* "compile", ... or "final" */
    bool drawn;              /* a bar stands on the last line */
} sk_progress;

double sk_progress_now(void);
/* terminal and colour from stderr and NO_COLOR. */
void sk_progress_start(sk_progress *p, uint32_t jobs, double budget, bool quiet);
void sk_progress_job(sk_progress *p, const char *what, uint32_t most);
void sk_progress_draw(sk_progress *p);  /* the bar; nothing elsewhere */
void sk_progress_clear(sk_progress *p); /* before anything else is written */
void sk_progress_line(sk_progress *p, const char *fmt, ...) SK_PRINTF(2, 3);

#endif
