/* records_impl.h - what the texts of records share (records_text.c, records_explain.c). */
#ifndef SK_RECORDS_IMPL_H
#define SK_RECORDS_IMPL_H

#include "records.h"

#define BOLD "\033[1m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

void sk_record_paint(sk_text *out, bool color, const char *code, const char *text);
/* "label     " at the start of a line of show and explain. */
void sk_record_label(sk_text *out, bool color, const char *name);
void sk_record_labelled(sk_text *out, bool color, const char *name, const char *text);

/* Kernel, spec, shape, device and database. */
void sk_record_problem(const sk_record *record, bool color, sk_text *out);
/* Of a record with a winner; no line of its own. */
void sk_record_speedup(const sk_record *record, sk_text *out);
/* How sure the choice is, where the record knows: a line. */
void sk_record_risk(const sk_db_winner *w, bool color, sk_text *out);

void sk_record_explain(const sk_record *record, bool color, sk_text *out);

#endif
