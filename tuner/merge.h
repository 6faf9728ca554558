/* merge.h - databases of several machines united: sphkv-db merge, and the rule by which
 * winners are named among records of several finals.
 *
 * The rule is that of a final (statistics.h): the fastest by paired ratios; among those
 * tied with it the first in the fixed order (space.h). Each finalist's times were paired
 * with those of the default schedule in its own final, so times divided by these can be
 * compared across finals; within one final the ratios are the very ones of its verdict.
 * Only finals against one and the same default trial are compared: that of the latest
 * final decides, so a new compiler or generator replaces what the one before it said. */
#ifndef SK_MERGE_H
#define SK_MERGE_H

#include "db.h"

/* An sk_db_judge; user is not looked at. */
sk_status sk_merge_judge(void *user, const sk_db_trial *const *trial, size_t count, sk_arena *mem,
                         sk_db_winner *out, sk_err *err);

/* sphkv-db merge, its words from argv[1] on ("merge"); the exit code. */
int sk_merge_command(int argc, char **argv);

#endif
