/* command.h - how a program of this tree begins and ends: what it may rely on,
 * what it says when it fails, and its exit code.
 *
 * A program must not write its results into its own database because somebody
 * started it with stdout closed, must not die without a word because the reader
 * of a pipe went away, and must not call a result printed that is nowhere. */
#ifndef SK_COMMAND_H
#define SK_COMMAND_H

#include "base.h"

/* The exit codes of all programs; README and --help tell them. */
enum {
    SK_EXIT_DONE = 0,
    SK_EXIT_UNVERIFIED = 1, /* finished, but something asked for has no verified result,
                               no kernel or no memory, or could not be written */
    SK_EXIT_USAGE = 2,
    SK_EXIT_DEVICE = 3,
    SK_EXIT_DB = 4,
    SK_EXIT_STOPPED = 130
};

/* First of all in main: 0, 1 and 2 are open from here on (a closed one on
 * /dev/null, so that no file of ours gets its number; writing to it fails), and
 * a reader that went away (SIGPIPE) or a file that may not grow (SIGXFSZ) is an
 * error of the write that meets it. */
void sk_command_begin(void);
/* From here on SIGINT, SIGTERM and SIGHUP set the flag that is returned, and
 * nothing else; SIGHUP stays ignored where it is. */
const volatile int *sk_command_stop(void);

/* One line on stderr: "program: message", whatever the message holds. */
void sk_command_say(const char *program, const char *message);
/* Says the message of err, with a hint at --help for SPHKV_EINVAL; the exit code. */
int sk_command_fail(const char *program, sk_status st, const sk_err *err);
/* Text to stdout, all of it. DONE, or UNVERIFIED after a line that says why it
 * could not be written; text that ran out of memory counts as that. */
int sk_command_print(const char *program, const sk_text *text);

#endif
