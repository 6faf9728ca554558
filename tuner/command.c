/* command.c - see command.h. */
#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void sk_command_begin(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            int null = open("/dev/null", O_RDONLY); /* takes the lowest number: fd */
            if (null > fd) close(null);
        }
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}

static volatile int stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

const volatile int *sk_command_stop(void)
{
    /* Results are written whole in spite of a signal: what waits looks at the flag. */
    const struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    struct sigaction before; /* under nohup a hang-up shall not end it */
    if (sigaction(SIGHUP, NULL, &before) != 0 || before.sa_handler != SIG_IGN)
        (void)sigaction(SIGHUP, &act, NULL);
    return &stop_asked;
}

/* Names and options of a user's may hold anything; a message is one line. */
static void say(const char *program, const char *message, const char *tail)
{
    char line[800];
    int n = snprintf(line, sizeof line - 1, "%s: %.500s%.200s", program, message, tail);
    size_t len = n < 0 ? 0 : strlen(line);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 127) line[i] = '?';
    line[len] = '\n';
    fwrite(line, 1, len + 1, stderr);
    fflush(stderr);
}

void sk_command_say(const char *program, const char *message)
{
    say(program, message, "");
}

int sk_command_fail(const char *program, sk_status st, const sk_err *err)
{
    char hint[100] = "";
    if (st == SPHKV_EINVAL) snprintf(hint, sizeof hint, "; try %.60s --help", program);
    say(program, err->message, hint);
    switch (st) {
    case SPHKV_EINVAL:
    case SPHKV_ENOTFOUND: return SK_EXIT_USAGE;
    case SPHKV_ECOMPILE:
    case SPHKV_EDEVICE: return SK_EXIT_DEVICE;
    case SPHKV_EDB:
    case SPHKV_EIO: return SK_EXIT_DB;
    default: return SK_EXIT_UNVERIFIED;
    }
}

int sk_command_print(const char *program, const sk_text *text)
{
    if (text->failed) {
        sk_command_say(program, "out of memory for the result");
        return SK_EXIT_UNVERIFIED;
    }
    errno = 0;
    bool good = fwrite(text->s ? text->s : "", 1, text->len, stdout) == text->len;
    if (fflush(stdout) != 0 || ferror(stdout)) good = false;
    if (good) return SK_EXIT_DONE;
    const char *why = errno ? strerror(errno) : "unknown reason";
    char line[160];
    snprintf(line, sizeof line, "the result cannot be written: %.100s", why);
    sk_command_say(program, line);
    return SK_EXIT_UNVERIFIED;
}
