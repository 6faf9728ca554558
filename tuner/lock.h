/* lock.h - who is at which trial, among several tuners on one database.
 *
 * A trial is a byte of a file beside the database ("kernels.db.lock"), locked by the open
 * file description (OFD): it goes with the process and its workers, whatever ends them.
 * Bytes are never written. The file itself goes with the last tuner that ends in peace;
 * one that a killed tuner left locks nothing, and is taken away by the next. */
#ifndef SK_LOCK_H
#define SK_LOCK_H

#include "base.h"

typedef struct sk_lock {
    int fd; /* -1: none; everything may be taken */
    char *path;
} sk_lock;

/* The lock of the database at this path. A folder that takes no file, or a system
 * without such locks, has none. */
void sk_lock_open(sk_lock *lock, const char *database);
/* Removes the file when no other tuner has it open. Once closed, or never opened with
 * path NULL: nothing to do. */
void sk_lock_close(sk_lock *lock);
/* place: below 2^60, from a hash of what is to be done. False: another tuner has it. */
bool sk_lock_take(sk_lock *lock, uint64_t place);
void sk_lock_drop(sk_lock *lock, uint64_t place);

#endif
