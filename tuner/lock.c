/* lock.c - see lock.h.
 *
 * Taking a file away that others may be about to open: every tuner holds a shared lock on
 * one byte (PRESENT) from its opening to its end, and looks, once it has it, whether the
 * file is still the one under that name. Who ends tries to hold that byte alone: only then
 * nobody else is there, and nobody can come between the look and the removal. */
#define _GNU_SOURCE
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRESENT ((uint64_t)1 << 60)
#define TRIES 100 /* to open a file that others keep taking away */

/* 0, or the errno. */
static int set(int fd, uint64_t place, short type)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)place, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

static bool is_busy(int error) { return error == EAGAIN || error == EACCES; }

/* Whether fd is the file under that name. */
static bool is_current(int fd, const char *path)
{
    struct stat at, open;
    return stat(path, &at) == 0 && fstat(fd, &open) == 0 && at.st_ino == open.st_ino &&
           at.st_dev == open.st_dev;
}

void sk_lock_open(sk_lock *lock, const char *database)
{
    sk_text name = {0};
    sk_text_printf(&name, "%s.lock", database);
    *lock = (sk_lock){-1, name.s};
    for (int i = 0; i < TRIES && !name.failed && lock->fd < 0; i++) {
        const int fd = open(name.s, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return;
        const int error = set(fd, PRESENT, F_RDLCK);
        if (error == 0 && is_current(fd, name.s))
            lock->fd = fd;
        else
            close(fd);
        if (error != 0 && !is_busy(error)) return; /* a system without such locks */
    }
}

void sk_lock_close(sk_lock *lock)
{
    if (lock->path && lock->fd >= 0) {
        if (set(lock->fd, PRESENT, F_WRLCK) == 0 && is_current(lock->fd, lock->path))
            (void)unlink(lock->path);
        close(lock->fd);
    }
    sk_free(lock->path);
    *lock = (sk_lock){-1, NULL};
}

bool sk_lock_take(sk_lock *lock, uint64_t place)
{
    return lock->fd < 0 || !is_busy(set(lock->fd, place, F_WRLCK));
}

void sk_lock_drop(sk_lock *lock, uint64_t place)
{
    if (lock->fd >= 0) (void)set(lock->fd, place, F_UNLCK);
}
