/* records_text.c - records for people: a table, or all of it; the reasons are in
 * records_explain.c.
 *
 * Colour only marks what is already said in words, so nothing is lost without
 * it. Columns of the table are as wide as their longest cell. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "records_impl.h"

void sk_record_paint(sk_text *out, bool color, const char *code, const char *text)
{
    if (color)
        sk_text_printf(out, "%s", code);
    sk_record_clean(out, text);
    if (color)
        sk_text_printf(out, PLAIN);
}

/* "label     " at the start of a line of show and explain. */
void sk_record_label(sk_text *out, bool color, const char *name)
{
    sk_text_printf(out, "  ");
    sk_record_paint(out, color, BOLD, name);
    sk_text_printf(out, "%*s", 11 - (int)strlen(name), "");
}

void sk_record_labelled(sk_text *out, bool color, const char *name, const char *text)
{
    sk_record_label(out, color, name);
    sk_record_clean(out, text);
    sk_text_printf(out, "\n");
}

/* ---- ls --------------------------------------------------------------------- */

enum { COLUMNS = 8 };

static void number_cell(sk_text *cell, double value, int digits, const char *unit)
{
    if (isfinite(value) && value > 0)
        sk_text_printf(cell, "%.*f%s", digits, value, unit);
    else
        sk_text_printf(cell, "-");
}

static void fill_row(const sk_record *record, sk_text cell[COLUMNS])
{
    const sk_db_winner *w = record->winner;
    const sk_db_shape *h = &w->trial.key.shape;
    sk_text_printf(&cell[0], "%.8s", w->trial.trial_hash);
    sk_record_clean(&cell[1], w->trial.key.kernel);
    sk_record_clean(&cell[2], record->tiers);
    sk_text_printf(&cell[3], "b%" PRIu32 " c%" PRIu32 " kv%" PRIu32 " q%" PRIu32, h->batch,
                   h->context, h->kv_heads, h->q_heads);
    if (h->q_len > 1)
        sk_text_printf(&cell[3], " l%" PRIu32, h->q_len);
    if (h->threads)
        sk_text_printf(&cell[3], " t%" PRIu32, h->threads);
    sk_record_clean(&cell[4], w->trial.key.device->name);
    number_cell(&cell[5], w->trial.median_us, 1, "");
    number_cell(&cell[6], w->speedup, 2, "x");
    sk_record_clean(&cell[7], strcmp(w->state, "ready") == 0 ? record->match : w->state);
}

static void table_row(sk_text *out, const sk_text cell[COLUMNS], const size_t width[COLUMNS])
{
    for (int c = 0; c < COLUMNS; c++) {
        int pad = (int)(width[c] - cell[c].len);
        bool right = c == 5 || c == 6;
        sk_text_printf(out, "%*s%s%*s%s", right ? pad : 0, "", cell[c].s ? cell[c].s : "",
                       right || c == COLUMNS - 1 ? 0 : pad, "", c == COLUMNS - 1 ? "\n" : "  ");
    }
}

/* Two passes: the widths, then the lines. */
static void print_table(const sk_records *records, bool color, sk_text *out)
{
    static const char *const title[COLUMNS] = {"id",     "kernel",    "tiers",   "shape",
                                               "device", "median us", "speedup", "match"};
    size_t width[COLUMNS] = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i <= records->count; i++) {
            sk_text cell[COLUMNS] = {0};
            if (i > 0 && !records->at[i - 1].winner)
                continue;
            for (int c = 0; c < COLUMNS && i == 0; c++)
                sk_text_printf(&cell[c], "%s", title[c]);
            if (i > 0)
                fill_row(&records->at[i - 1], cell);
            if (pass && i == 0 && color)
                sk_text_printf(out, BOLD);
            if (pass)
                table_row(out, cell, width);
            if (pass && i == 0 && color)
                sk_text_printf(out, PLAIN);
            for (int c = 0; c < COLUMNS; c++) {
                if (cell[c].len > width[c])
                    width[c] = cell[c].len;
                out->failed |= cell[c].failed;
                sk_text_free(&cell[c]);
            }
        }
    }
}

/* ---- what show and explain share ---------------------------------------------- */

void sk_record_problem(const sk_record *record, bool color, sk_text *out)
{
    char shape[SK_DB_SHAPE_TEXT];
    const sk_db_trial_key *key = &record->trial[0]->key;
    sk_db_shape_text(&key->shape, shape);
    sk_record_paint(out, color, BOLD, key->kernel);
    sk_text_printf(out, "  ");
    sk_record_clean(out, record->tiers);
    sk_text_printf(out, "\n");
    sk_record_labelled(out, color, "spec", key->spec);
    sk_record_labelled(out, color, "shape", shape);
    sk_record_label(out, color, "device");
    sk_record_clean(out, key->device->name);
    sk_text_printf(out, " (%s), ", record->match);
    sk_record_clean(out, key->device->arch);
    sk_text_printf(out, "\n");
    sk_record_labelled(out, color, "database", record->source);
}

void sk_record_speedup(const sk_record *record, sk_text *out)
{
    const sk_db_winner *w = record->winner;
    if (w->trial_id == w->default_trial_id) {
        sk_text_printf(out, "it is the default schedule");
        return;
    }
    sk_text_printf(out, "%.2f times as fast as the default schedule", w->speedup);
    if (isfinite(w->default_us) && w->default_us > 0)
        sk_text_printf(out, " (%.1f us)", w->default_us);
    if (w->speedup_lo > 0 && w->speedup_hi > 0)
        sk_text_printf(out, ", interval %.2f to %.2f", w->speedup_lo, w->speedup_hi);
}

/* ---- show ------------------------------------------------------------------------ */

static void print_trial(const sk_db_trial *t, bool wins, bool color, sk_text *out)
{
    sk_text_printf(out, "  %s %.8s  ", wins ? "*" : " ", t->trial_hash);
    const char *word = sk_db_outcome_text(t->outcome);
    sk_record_paint(out, color, t->outcome == SK_OUTCOME_OK ? GREEN : RED, word);
    sk_text_printf(out, "%*s", 13 - (int)strlen(word), "");
    sk_text time = {0}, error = {0};
    number_cell(&time, t->median_us, 1, " us");
    if (isfinite(t->error) && t->error >= 0)
        sk_text_printf(&error, "%.2g", t->error);
    sk_text_printf(out, "  %12s  error %-8s  ", time.s ? time.s : "", error.s ? error.s : "-");
    out->failed |= time.failed || error.failed;
    sk_text_free(&time);
    sk_text_free(&error);
    sk_record_clean(out, t->key.schedule);
    if (t->message[0]) {
        sk_text_printf(out, "  (");
        sk_record_clean(out, t->message);
        sk_text_printf(out, ")");
    }
    if (strcmp(t->key.run_kind, SK_DB_MEASURE) != 0) {
        sk_text_printf(out, "  [");
        sk_record_clean(out, t->key.run_kind);
        sk_text_printf(out, "]");
    }
    sk_text_printf(out, "\n");
}

static void print_provenance(const sk_db_trial *t, bool color, sk_text *out)
{
    char when[40] = "at an unknown time";
    time_t seconds = (time_t)t->unix_time;
    struct tm parts;
    if (gmtime_r(&seconds, &parts))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &parts);
    sk_record_label(out, color, "made by");
    sk_record_clean(out, t->tool_version);
    if (t->compiler_version[0]) {
        sk_text_printf(out, ", ");
        sk_record_clean(out, t->compiler_version);
    }
    if (t->driver_version[0]) {
        sk_text_printf(out, ", driver ");
        sk_record_clean(out, t->driver_version);
    }
    sk_text_printf(out, "; %s; run ", when);
    sk_record_clean(out, t->run_id);
    sk_text_printf(out, "; seed %" PRIu64 "\n", t->seed);
}

/* How sure the choice is, where the record knows. */
void sk_record_risk(const sk_db_winner *w, bool color, sk_text *out)
{
    if (!isfinite(w->flip_risk))
        return;
    sk_record_label(out, color, "risk");
    sk_text_printf(out, "%.0f %% that the same final, run once more, names another schedule",
                   100 * w->flip_risk);
    if (w->ties[0])
        sk_text_printf(out, ", then most likely a tie");
    if (w->noisy > 0)
        sk_text_printf(out, "; %.0f %% of its rounds were noisy", 100 * w->noisy);
    if (isfinite(w->drift) && (w->drift > 1.05 || w->drift < 0.95))
        sk_text_printf(out, "; the default drifted to %.2f of its time", w->drift);
    sk_text_printf(out, "\n");
}

static void print_winner(const sk_record *record, bool color, sk_text *out)
{
    const sk_db_winner *w = record->winner;
    const sk_db_trial *t = &w->trial;
    sk_record_labelled(out, color, "schedule", t->key.schedule);
    sk_record_label(out, color, "time");
    sk_text_printf(out, "%.1f us (%zu samples); ", t->median_us, t->sample_count);
    sk_record_speedup(record, out);
    sk_text_printf(out, "\n");
    sk_record_label(out, color, "traffic");
    sk_text_printf(out, "%" PRIu64 " bytes", t->bytes);
    if (t->bandwidth_gbps > 0)
        sk_text_printf(out, ", %.1f GB/s", t->bandwidth_gbps);
    if (w->roofline > 0)
        sk_text_printf(out, ", %.0f %% of the measured bandwidth", 100 * w->roofline);
    sk_text_printf(out, "\n");
    sk_record_risk(w, color, out);
    if (w->ties[0])
        sk_record_labelled(out, color, "ties", w->ties);
    sk_record_labelled(out, color, "ir", t->key.ir_hash);
    sk_record_labelled(out, color, "code", t->artifact_key[0] ? t->artifact_key : "not kept");
    sk_record_labelled(out, color, "look-up", w->state);
    print_provenance(t, color, out);
}

static void print_show(const sk_record *record, bool color, sk_text *out)
{
    sk_record_problem(record, color, out);
    if (record->winner)
        print_winner(record, color, out);
    else
        sk_record_labelled(out, color, "winner", "none: no trial has been chosen");
    sk_text_printf(out, "  %zu trial%s\n", record->trial_count,
                   record->trial_count == 1 ? "" : "s");
    for (size_t i = 0; i < record->trial_count; i++)
        print_trial(record->trial[i],
                    record->winner && record->trial[i]->id == record->winner->trial_id, color, out);
}

void sk_records_text(const sk_records *records, sk_records_form form, bool color, sk_text *out)
{
    if (form == SK_RECORDS_LS) {
        print_table(records, color, out);
        return;
    }
    for (size_t i = 0; i < records->count; i++) {
        if (i)
            sk_text_printf(out, "\n");
        if (form == SK_RECORDS_SHOW)
            print_show(&records->at[i], color, out);
        else
            sk_record_explain(&records->at[i], color, out);
    }
}
