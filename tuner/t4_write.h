/* t4_write.h - our own records in the T4 format (t4.h), and sphkv-db export. */
#ifndef SK_T4_WRITE_H
#define SK_T4_WRITE_H

#include "records.h"

/* One problem as a file's text: of each schedule the latest trial that ran or was refused,
 * of the latest compiler and of the tunables that its latest trial has. The objective "time"
 * is the mean of the samples; "compilation" is all that a trial took beside its samples:
 * compiling, loading, checking. Microseconds. *results: how many; 0: nothing was tried. */
sk_status sk_t4_write(const sk_record *record, sk_text *out, size_t *results, sk_err *err);

/* sphkv-db export, its words from argv[1] on ("export"); the exit code. */
int sk_export_command(int argc, char **argv);

#endif
