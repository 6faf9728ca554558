/* report.h - what a tuning run found, as one HTML page: how the search went, every
 * candidate against the roofline, what each tunable changes, what tied, what was
 * rejected and why, and on what it all was measured.
 *
 * The page is made of records, so of earlier runs on the same problem too. It needs
 * no script and no network, reads in dark and light, and prints. */
#ifndef SK_REPORT_H
#define SK_REPORT_H

#include "records.h"
#include "results.h"
#include "store.h"

/* What the store's database holds of the results of a run on its device; *out is zeroed
 * before, and freed by sk_records_free. */
sk_status sk_report_collect(const sk_store *store, const sk_results *results, sk_records *out,
                            sk_err *err);

/* The whole page; list: what was found on each of n devices. */
void sk_report_page(const sk_records *list, uint32_t n, sk_text *out);
/* The same into a file (replaced as a whole, or not at all). SPHKV_EIO with the path and
 * the reason; SPHKV_ENOMEM. */
sk_status sk_report_write(const char *path, const sk_records *list, uint32_t n, sk_err *err);

/* ---- the figures of one record (report_figures.c) ------------------------------------ */

/* Time of each candidate in the order tried, and the best so far. */
void sk_report_progress(const sk_record *record, sk_text *out);
/* Bandwidth reached by each candidate, from the fastest, under what a sweep reached. */
void sk_report_roofline(const sk_record *record, sk_text *out);
/* For each tunable with several values: candidates by value. */
void sk_report_effects(const sk_record *record, sk_text *out);

#endif
