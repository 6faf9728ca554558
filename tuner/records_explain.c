/* records_explain.c - why a schedule was chosen, and how sure that is, in words. */
#include <math.h>
#include <string.h>

#include "records_impl.h"
#include "schedule.h"

/* Whether a schedule has this word, "spread=30". */
static bool has_word(const char *schedule, const char *word, size_t n)
{
    for (const char *p = schedule; *p; p += strcspn(p, ","), p += *p == ',')
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0')) return true;
    return false;
}

/* The words of a schedule [n] that the chosen one does not have. */
static void print_difference(const char *chosen, const char *schedule, size_t n, sk_text *out)
{
    const size_t before = out->len;
    for (size_t at = 0, k; at < n; at += k + 1) {
        k = strcspn(schedule + at, ",;");
        if (has_word(chosen, schedule + at, k)) continue;
        sk_text word = {0};
        sk_text_append(&word, schedule + at, k);
        if (out->len > before) sk_text_append(out, ",", 1);
        sk_record_clean(out, word.s ? word.s : "");
        out->failed |= word.failed;
        sk_text_free(&word);
    }
    if (out->len == before) sk_text_append(out, "the same words", strlen("the same words"));
}

/* One line each: a schedule has a dozen words, of which a tie shares most. */
static void explain_ties(const sk_record *record, const sk_record_sum *sum, bool color,
                         sk_text *out)
{
    const sk_db_winner *w = record->winner;
    if (!sum->ties) return;
    sk_record_label(out, color, "ties");
    sk_text_printf(out, "%zu schedule%s could as well have won (within noise a fixed order "
                   "decides). What differs:\n", sum->ties, sum->ties == 1 ? "" : "s");
    for (const char *p = w->ties; *p;) {
        const size_t n = strcspn(p, ";");
        const char *base = sum->default_schedule;
        sk_text_printf(out, "               ");
        print_difference(w->trial.key.schedule, p, n, out);
        if (base && strlen(base) == n && strncmp(base, p, n) == 0)
            sk_text_printf(out, "  (the default)");
        sk_text_printf(out, "\n");
        p += n + (p[n] == ';');
    }
}

/* Why this one. */
static void explain_reason(const sk_record *record, const sk_record_sum *sum, sk_text *out)
{
    const sk_db_winner *w = record->winner;
    const size_t passed = sum->outcome[SK_OUTCOME_OK];
    if (passed == 1)
        sk_text_printf(out, "it is the only one of %zu candidate%s that passed its check",
                       sum->tried, sum->tried == 1 ? "" : "s");
    else if (w->trial_id == w->default_trial_id)
        sk_text_printf(out, "it is the default, and of the %zu that passed their check, of %zu "
                       "candidates tried, none is faster by more than 1 %% for sure", passed,
                       sum->tried);
    else
        sk_text_printf(out, "%s of the %zu that passed their check, of %zu candidates tried",
                       sum->ties ? "it is among the fastest" : "it is the fastest", passed,
                       sum->tried);
    sk_text_printf(out, "\n");
}

static void explain_choice(const sk_record *record, const sk_record_sum *sum, bool color,
                           sk_text *out)
{
    const sk_db_winner *w = record->winner;
    sk_record_labelled(out, color, "chosen", w->trial.key.schedule);
    sk_record_label(out, color, "because");
    explain_reason(record, sum, out);
    sk_record_label(out, color, "time");
    sk_text_printf(out, "%.1f us; ", w->trial.median_us);
    sk_record_speedup(record, out);
    sk_text_printf(out, "\n");
    if (sum->default_schedule && w->trial_id != w->default_trial_id) {
        sk_record_label(out, color, "default");
        print_difference(w->trial.key.schedule, sum->default_schedule,
                         strlen(sum->default_schedule), out);
        sk_text_printf(out, ", else the same\n");
    }
    sk_record_risk(w, color, out);
    explain_ties(record, sum, color, out);
}

static void explain_error(const sk_record *record, const sk_record_sum *sum, bool color,
                          sk_text *out)
{
    const sk_db_trial *t = &record->winner->trial;
    sk_record_label(out, color, "error");
    if (!isfinite(t->error) || t->error < 0)
        sk_text_printf(out, "not recorded");
    else
        sk_text_printf(out, "%.2g (", t->error);
    if (isfinite(t->error) && t->error >= 0) {
        sk_record_clean(out, t->error_kind[0] ? t->error_kind : "kind not recorded");
        sk_text_printf(out, ")");
    }
    sk_text_printf(out, "; class ");
    sk_record_clean(out, t->key.accuracy);
    if (sum->bound > 0)
        sk_text_printf(out, " allows %.0e", sum->bound);
    sk_text_printf(out, "\n");
    if (record->winner->roofline > 0) {
        sk_record_label(out, color, "roofline");
        sk_text_printf(out, "%.0f %% of the bandwidth of a plain sweep of memory, measured in turns with it\n",
                       100 * record->winner->roofline);
    }
}

/* One line per kind of failure, with the first message of its kind. */
static void explain_failures(const sk_record *record, const sk_record_sum *sum, bool color,
                             sk_text *out)
{
    sk_record_label(out, color, "failed");
    sk_text_printf(out, "%zu of %zu", sum->failed, sum->tried);
    if (sum->outcome[SK_OUTCOME_SKIPPED] + sum->outcome[SK_OUTCOME_INVALID])
        sk_text_printf(out, "; %zu not tried",
                       sum->outcome[SK_OUTCOME_SKIPPED] + sum->outcome[SK_OUTCOME_INVALID]);
    sk_text_printf(out, "\n");
    for (int o = SK_OUTCOME_OK + 1; o < SK_OUTCOME_COUNT; o++) {
        if (!sum->outcome[o])
            continue;
        sk_text_printf(out, "             %zu ", sum->outcome[o]);
        sk_record_paint(out, color, RED, sk_db_outcome_text((sk_db_outcome)o));
        const sk_db_trial *first = NULL;
        for (size_t i = 0; i < record->trial_count && !first; i++)
            if ((int)record->trial[i]->outcome == o && record->trial[i]->message[0])
                first = record->trial[i];
        if (first) {
            sk_text_printf(out, ", first: ");
            sk_record_clean(out, first->message);
            sk_text_printf(out, " (");
            sk_record_clean(out, first->key.schedule);
            sk_text_printf(out, ")");
        }
        sk_text_printf(out, "\n");
    }
}

/* What a look-up makes of it. */
static void explain_state(const char *state, bool color, sk_text *out)
{
    sk_record_label(out, color, "look-up");
    sk_record_clean(out, state);
    if (strcmp(state, "ready") == 0) sk_text_printf(out, ": its code is stored, nothing is compiled");
    if (strcmp(state, "recipe") == 0) sk_text_printf(out, ": compiled when it is asked for");
    sk_text_printf(out, "\n");
}

/* What the words of the chosen schedule are about: a line each. */
static void explain_words(const char *schedule, bool color, sk_text *out)
{
    const char *label = "words";
    for (const char *p = schedule; *p; p += strcspn(p, ","), p += *p == ',') {
        const sk_tunable_info *info = sk_tunable_get(sk_tunable_find(p, strcspn(p, "=,")));
        if (!info) continue;
        sk_record_label(out, color, label);
        sk_text_printf(out, "%-9s  %s\n", info->name, info->doc);
        label = "";
    }
}

void sk_record_explain(const sk_record *record, bool color, sk_text *out)
{
    sk_record_sum sum;
    sk_record_add_up(record, &sum);
    sk_record_problem(record, color, out);
    if (record->winner) {
        explain_choice(record, &sum, color, out);
        explain_error(record, &sum, color, out);
    } else {
        sk_record_label(out, color, "chosen");
        sk_text_printf(out, "nothing: %zu of %zu candidates passed%s\n", sum.outcome[SK_OUTCOME_OK],
                       sum.tried, sum.outcome[SK_OUTCOME_OK] ? ", but no choice was recorded" : "");
    }
    explain_failures(record, &sum, color, out);
    if (record->winner)
        explain_state(record->winner->state, color, out);
    sk_record_label(out, color, "cost");
    sk_text_printf(out, "%.1f s for all trials: compiling, checking, timing\n", sum.seconds);
    if (record->winner) explain_words(record->winner->trial.key.schedule, color, out);
}
