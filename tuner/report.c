/* report.c - the page: its head, the table of winners, a section for each record. */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "plot.h"
#include "results.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
    "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
    "<meta name='color-scheme' content='light dark'>\n<title>sphkv tuning report</title>\n<style>\n"
    ":root{--back:#fff;--text:#1c2128;--faint:#667;--line:#d5d9e0;--mark:#0b62c4;--best:#c2410c;"
    "--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#15181d;--text:#e3e6ea;--faint:#9aa3af;"
    "--line:#353b45;--mark:#6cb2ff;--best:#ffa35c;--bad:#ff8a80}}\n"
    "@media print{:root{--back:#fff;--text:#000;--faint:#444;--line:#bbb;--mark:#0b62c4;"
    "--best:#c2410c;--bad:#b3261e}section{break-inside:avoid-page}}\n"
    "body{background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif;"
    "max-width:62rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.6rem}h2{font-size:1.25rem;border-top:1px solid var(--line);"
    "padding-top:1.2rem;margin-top:2rem}h3{font-size:1rem;margin-bottom:.3rem}\n"
    "a{color:var(--mark)}code{font-size:.87em;overflow-wrap:anywhere}p{margin:.4rem 0}\n"
    ".faint{color:var(--faint)}.wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.87rem}th,td{text-align:left;padding:.2rem .6rem;"
    "border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:600}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "svg{max-width:100%;height:auto;display:block}svg text{fill:var(--text);font-size:11px}"
    ".tick{fill:var(--faint)!important}.grid{stroke:var(--line);stroke-width:1}"
    ".dot{fill:var(--mark);fill-opacity:.55}.won{fill:var(--best)}"
    ".bad{stroke:var(--bad);stroke-width:1.5;fill:none}.best{stroke:var(--best);stroke-width:2}"
    ".roof{stroke:var(--text);stroke-width:1.5;stroke-dasharray:6 4}\n"
    "</style>\n</head>\n<body>\n<h1>sphkv tuning report</h1>\n";

static const char foot[] =
    "<p class='faint'>Times are medians of cold runs. A speed-up is the median of paired ratios "
    "to the default schedule, its interval 95 % by bootstrap. A blue dot is a candidate that "
    "passed its check, an orange one the winner, a cross one that was rejected.</p>\n"
    "</body>\n</html>\n";

static void code(sk_text *out, const char *text)
{
    sk_text_printf(out, "<code>");
    sk_html_escape(out, text);
    sk_text_printf(out, "</code>");
}

static void number(sk_text *out, double value, const char *format, const char *unit)
{
    sk_text_printf(out, "<td class='n'>");
    if (isfinite(value) && value > 0) {
        char text[48];
        snprintf(text, sizeof text, format, value);
        sk_text_printf(out, "%s%s", text, unit);
    }
    sk_text_printf(out, "</td>");
}

/* ---- the environment -------------------------------------------------------------------- */

static void when(int64_t unix_time, sk_text *out)
{
    char text[40] = "unknown";
    const time_t seconds = (time_t)unix_time;
    struct tm parts;
    if (gmtime_r(&seconds, &parts)) strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
    sk_text_printf(out, "%s", text);
}

static void fact(sk_text *out, const char *name, const char *value)
{
    if (!value || !*value) return;
    sk_text_printf(out, "<tr><th>%s</th><td>", name);
    sk_html_escape(out, value);
    sk_text_printf(out, "</td></tr>\n");
}

/* Of all trials: the first and the last time, and what they took together. */
static void times(const sk_records *records, sk_text *out)
{
    int64_t first = INT64_MAX, last = 0;
    double seconds = 0;
    size_t n = 0;
    for (size_t i = 0; i < records->count; i++)
        for (size_t k = 0; k < records->at[i].trial_count; k++, n++) {
            const sk_db_trial *t = records->at[i].trial[k];
            first = t->unix_time < first ? t->unix_time : first;
            last = t->unix_time > last ? t->unix_time : last;
            seconds += t->seconds > 0 ? t->seconds : 0;
        }
    sk_text_printf(out, "<tr><th>trials</th><td>%zu, %.0f s of compiling, checking and measuring; ",
                   n, seconds);
    when(first, out);
    sk_text_printf(out, " to ");
    when(last, out);
    sk_text_printf(out, "</td></tr>\n");
}

static void environment(const sk_records *records, sk_text *out)
{
    const sk_db_trial *t = records->at[0].trial[0];
    const sk_db_device *d = t->key.device;
    sk_text_printf(out, "<div class='wide'><table>\n");
    fact(out, "device", d->name);
    fact(out, "code for", d->arch);
    fact(out, "fingerprint", d->fingerprint);
    fact(out, "compiler", t->compiler_version);
    fact(out, "driver", t->driver_version);
    fact(out, "sphkv", t->tool_version);
    fact(out, "database", records->at[0].source);
    times(records, out);
    sk_text_printf(out, "</table></div>\n");
}

/* ---- the winners --------------------------------------------------------------------------- */

static void shape_words(const sk_record *record, sk_text *out)
{
    sk_text text = {0};
    sk_results_shape(&record->trial[0]->key.shape, &text);
    sk_html_escape(out, text.s ? text.s : "");
    out->failed |= text.failed;
    sk_text_free(&text);
}

static void winner_row(const sk_record *r, uint32_t list, size_t i, sk_text *out)
{
    const sk_db_winner *w = r->winner;
    sk_record_sum sum;
    sk_record_add_up(r, &sum);
    sk_text_printf(out, "<tr><td><a href='#r%u-%zu'>%s</a></td><td>", list, i,
                   r->trial[0]->key.kernel);
    sk_html_escape(out, r->tiers);
    sk_text_printf(out, "</td><td>");
    shape_words(r, out);
    sk_text_printf(out, "</td>");
    number(out, w ? w->trial.median_us : 0, "%.1f", "");
    number(out, w ? w->speedup : 0, "%.3f", "x");
    number(out, w ? 100 * w->roofline : 0, "%.0f", " %");
    sk_text_printf(out, "<td class='n'>%zu</td><td class='n'>%zu</td></tr>\n", sum.tried,
                   sum.failed);
}

static void winners(const sk_records *records, uint32_t list, sk_text *out)
{
    sk_text_printf(out, "<div class='wide'><table>\n<tr><th>kernel</th><th>tiers</th><th>shape</th>"
                   "<th>median us</th><th>speed-up</th><th>roofline</th><th>tried</th>"
                   "<th>rejected</th></tr>\n");
    for (size_t i = 0; i < records->count; i++) winner_row(&records->at[i], list, i, out);
    sk_text_printf(out, "</table></div>\n");
}

/* ---- one record ------------------------------------------------------------------------------ */

static void how_sure(const sk_db_winner *w, sk_text *out)
{
    if (isfinite(w->flip_risk))
        sk_text_printf(out, " The same final once more would name another schedule with a "
                       "probability of %.0f %%.", 100 * w->flip_risk);
    if (isfinite(w->noisy) && w->noisy > 0)
        sk_text_printf(out, " %.0f %% of its rounds were taken in noisy stretches.",
                       100 * w->noisy);
    if (isfinite(w->drift) && fabs(w->drift - 1) > 0.05)
        sk_text_printf(out, " The default drifted to %.2f of its time meanwhile.", w->drift);
}

static void verdict(const sk_record *r, sk_text *out)
{
    const sk_db_winner *w = r->winner;
    if (!w) {
        sk_text_printf(out, "<p>Nothing was chosen: no candidate has a verified result.</p>\n");
        return;
    }
    sk_text_printf(out, "<p>Winner: ");
    code(out, w->trial.key.schedule);
    sk_text_printf(out, "</p>\n<p>%.1f us", w->trial.median_us);
    if (w->trial_id == w->default_trial_id)
        sk_text_printf(out, "; it is the default schedule");
    else
        sk_text_printf(out, "; %.3f times as fast as the default (%.3f to %.3f)", w->speedup,
                       w->speedup_lo, w->speedup_hi);
    if (isfinite(w->trial.error) && w->trial.error >= 0) {
        sk_text_printf(out, "; error %.2g (", w->trial.error);
        sk_html_escape(out, w->trial.error_kind);
        sk_text_printf(out, "), class %s", w->trial.key.accuracy);
    }
    sk_text_printf(out, ".");
    how_sure(w, out);
    sk_text_printf(out, "</p>\n");
}

static void ties(const sk_record *r, sk_text *out)
{
    if (!r->winner || !r->winner->ties[0]) return;
    sk_text_printf(out, "<h3>Ties</h3>\n<p>Not told apart from the fastest, where the fixed "
                   "order of candidates decides, or likely enough to win the same final once more:"
                   "</p>\n<ul>\n");
    for (const char *p = r->winner->ties; *p;) {
        const size_t n = strcspn(p, ";");
        sk_text one = {0};
        sk_text_append(&one, p, n);
        sk_text_printf(out, "<li>");
        code(out, one.s ? one.s : "");
        sk_text_printf(out, "</li>\n");
        out->failed |= one.failed;
        sk_text_free(&one);
        p += n + (p[n] == ';');
    }
    sk_text_printf(out, "</ul>\n");
}

static bool same_end(const sk_db_trial *a, const sk_db_trial *b)
{
    return a->outcome == b->outcome && strcmp(a->message, b->message) == 0;
}

/* One row for each outcome and reason, with how many there are and one of them. */
static void rejections(const sk_record *r, sk_text *out)
{
    bool any = false;
    for (size_t i = 0; i < r->trial_count; i++) {
        const sk_db_trial *t = r->trial[i];
        size_t before = 0, n = 0;
        for (size_t k = 0; k < r->trial_count; k++) {
            before += k < i && same_end(t, r->trial[k]);
            n += same_end(t, r->trial[k]);
        }
        if (t->outcome == SK_OUTCOME_OK || before) continue;
        if (!any)
            sk_text_printf(out, "<h3>Rejected</h3>\n<div class='wide'><table>\n<tr><th>outcome</th>"
                           "<th>candidates</th><th>reason</th><th>one of them</th></tr>\n");
        any = true;
        sk_text_printf(out, "<tr><td>%s</td><td class='n'>%zu</td><td>",
                       sk_db_outcome_text(t->outcome), n);
        sk_html_escape(out, t->message);
        sk_text_printf(out, "</td><td>");
        code(out, t->key.schedule);
        sk_text_printf(out, "</td></tr>\n");
    }
    if (any)
        sk_text_printf(out, "</table></div>\n");
    else
        sk_text_printf(out, "<p>No candidate was rejected.</p>\n");
}

static void candidates(const sk_record *r, sk_text *out)
{
    sk_text_printf(out, "<details><summary>All %zu candidates</summary>\n<div class='wide'><table>\n"
                   "<tr><th>order</th><th>outcome</th><th>median us</th><th>error</th>"
                   "<th>schedule</th></tr>\n", r->trial_count);
    for (size_t i = 0; i < r->trial_count; i++) {
        const sk_db_trial *t = r->trial[i];
        sk_text_printf(out, "<tr><td class='n'>%zu</td><td>%s</td>", i + 1,
                       sk_db_outcome_text(t->outcome));
        number(out, t->median_us, "%.1f", "");
        number(out, t->error, "%.2g", "");
        sk_text_printf(out, "<td>");
        code(out, t->key.schedule);
        sk_text_printf(out, "</td></tr>\n");
    }
    sk_text_printf(out, "</table></div></details>\n");
}

static void section(const sk_record *r, uint32_t list, size_t i, sk_text *out)
{
    sk_text_printf(out, "<h2 id='r%u-%zu'>%s ", list, i, r->trial[0]->key.kernel);
    sk_html_escape(out, r->tiers);
    sk_text_printf(out, "</h2>\n<p class='faint'>");
    shape_words(r, out);
    sk_text_printf(out, "; ");
    code(out, r->trial[0]->key.spec);
    sk_text_printf(out, "</p>\n");
    verdict(r, out);
    sk_report_progress(r, out);
    sk_report_roofline(r, out);
    sk_report_effects(r, out);
    ties(r, out);
    rejections(r, out);
    candidates(r, out);
}

void sk_report_page(const sk_records *list, uint32_t n, sk_text *out)
{
    sk_text_append(out, head, sizeof head - 1);
    for (uint32_t k = 0; k < n; k++) {
        if (list[k].count == 0) continue;
        environment(&list[k], out);
        winners(&list[k], k, out);
    }
    for (uint32_t k = 0; k < n; k++)
        for (size_t i = 0; i < list[k].count; i++) section(&list[k].at[i], k, i, out);
    sk_text_append(out, foot, sizeof foot - 1);
}

sk_status sk_report_write(const char *path, const sk_records *list, uint32_t n, sk_err *err)
{
    sk_text page = {0};
    sk_report_page(list, n, &page);
    sk_status st = page.failed ? sk_fail(err, SPHKV_ENOMEM, "out of memory")
                               : sk_file_write(path, page.s, page.len, err);
    sk_text_free(&page);
    return st;
}
