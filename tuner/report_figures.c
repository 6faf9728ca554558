/* report_figures.c - the three figures of a record.
 *
 * A candidate has a point where it was checked and timed. The effect of a tunable is
 * shown as it was met, all other tunables as they happened to be: the fastest
 * candidate of a value says what that value can do, the cloud how it usually does. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plot.h"
#include "report.h"
#include "schedule.h"

static bool timed(const sk_db_trial *t)
{
    return t->outcome == SK_OUTCOME_OK && isfinite(t->median_us) && t->median_us > 0;
}

static bool wins(const sk_record *r, const sk_db_trial *t)
{
    return r->winner && r->winner->trial_id == t->id;
}

static const char *style_of(const sk_record *r, const sk_db_trial *t)
{
    return wins(r, t) ? "won" : "dot";
}

/* Times of the candidates that have one; their number. The caller frees *us. */
static size_t times_of(const sk_record *r, double **us)
{
    size_t n = 0;
    *us = sk_malloc((r->trial_count + 1) * sizeof **us);
    for (size_t i = 0; i < r->trial_count && *us; i++)
        if (timed(r->trial[i])) (*us)[n++] = r->trial[i]->median_us;
    return n;
}

/* ---- progress --------------------------------------------------------------------------- */

static void mark(sk_plot *p, const sk_record *r, size_t i)
{
    const sk_db_trial *t = r->trial[i];
    sk_text tip = {0};
    sk_text_printf(&tip, "%zu: ", i + 1);
    if (timed(t)) sk_text_printf(&tip, "%.1f us, ", t->median_us);
    sk_text_printf(&tip, "%s: %s", sk_db_outcome_text(t->outcome), t->key.schedule);
    if (timed(t))
        sk_plot_dot(p, (double)(i + 1), t->median_us, style_of(r, t), tip.s);
    else if (t->outcome != SK_OUTCOME_OK)
        sk_plot_cross(p, (double)(i + 1), p->y.hi, "bad", tip.s);
    p->out->failed |= tip.failed;
    sk_text_free(&tip);
}

static void best_so_far(sk_plot *p, const sk_record *r)
{
    double best = 0;
    for (size_t i = 0; i < r->trial_count; i++) {
        const sk_db_trial *t = r->trial[i];
        const double x = (double)(i + 1);
        if (best > 0) sk_plot_line(p, x - 1, best, x, best, "best");
        if (!timed(t) || (best > 0 && t->median_us >= best)) continue;
        if (best > 0) sk_plot_line(p, x, best, x, t->median_us, "best");
        best = t->median_us;
    }
}

void sk_report_progress(const sk_record *r, sk_text *out)
{
    double *us;
    const size_t n = times_of(r, &us);
    sk_plot p = {.out = out, .width = 940, .height = 260, .left = 70, .bottom = 36,
                 .x = {.lo = 0, .hi = (double)r->trial_count + 1, .label = "candidates tried"},
                 .y = {.log = true, .label = "median time, us"}};
    if (us && sk_axis_fit(&p.y, us, n)) {
        sk_text_printf(out, "<h3>Search</h3>\n");
        sk_plot_begin(&p, "Time of each candidate in the order tried, and the best so far");
        best_so_far(&p, r);
        for (size_t i = 0; i < r->trial_count; i++) mark(&p, r, i);
        sk_plot_end(&p);
    }
    out->failed |= !us;
    sk_free(us);
}

/* ---- roofline ---------------------------------------------------------------------------- */

static int compare_time(const void *a, const void *b)
{
    const sk_db_trial *x = *(const sk_db_trial *const *)a, *y = *(const sk_db_trial *const *)b;
    return x->median_us < y->median_us ? -1 : x->median_us > y->median_us;
}

static double gbps(const sk_db_trial *t) { return (double)t->bytes / (1e3 * t->median_us); }

static void draw_roofline(const sk_record *r, const sk_db_trial **by_time, size_t n, sk_text *out)
{
    const double ends[] = {gbps(by_time[0]), gbps(by_time[n - 1]), 0,
                           r->winner && r->winner->roofline > 0
                               ? gbps(&r->winner->trial) / r->winner->roofline
                               : 0};
    sk_plot p = {.out = out, .width = 940, .height = 240, .left = 70, .bottom = 36,
                 .x = {.lo = 0, .hi = (double)n + 1, .label = "candidates, the fastest first"},
                 .y = {.label = "GB/s"}};
    if (!sk_axis_fit(&p.y, ends, SK_COUNT(ends))) return;
    p.y.lo = 0;
    p.y.hi *= 1.06; /* the roof has its name above it */
    sk_plot_begin(&p, "Bandwidth of each candidate under the roofline");
    if (ends[3] > 0) {
        sk_plot_line(&p, p.x.lo, ends[3], p.x.hi, ends[3], "roof");
        sk_plot_text(&p, p.x.hi * 0.8, ends[3] + 0.02 * p.y.hi, "label", "a sweep of memory");
    }
    for (size_t i = 0; i < n; i++)
        sk_plot_dot(&p, (double)(i + 1), gbps(by_time[i]), style_of(r, by_time[i]), NULL);
    sk_plot_end(&p);
}

void sk_report_roofline(const sk_record *r, sk_text *out)
{
    size_t n = 0;
    const sk_db_trial **by_time = sk_malloc((r->trial_count + 1) * sizeof *by_time);
    out->failed |= !by_time;
    for (size_t i = 0; i < r->trial_count && by_time; i++)
        if (timed(r->trial[i]) && r->trial[i]->bytes > 0) by_time[n++] = r->trial[i];
    if (n > 0) {
        qsort(by_time, n, sizeof *by_time, compare_time);
        sk_text_printf(out, "<h3>Roofline</h3>\n<p>Every candidate must move the same %.0f bytes, so "
                       "the roof is one line: the bandwidth of a sweep through memory beside the "
                       "final round.</p>\n", (double)by_time[0]->bytes);
        draw_roofline(r, by_time, n, out);
    }
    sk_free(by_time);
}

/* ---- effects ------------------------------------------------------------------------------ */

#define MOST_VALUES 24
#define NAME 40

typedef struct value {
    char text[NAME];
    double best;
    size_t count;
} value;

/* The value of a tunable in "a=1,b=2"; false when it has none. */
static bool value_in(const char *schedule, const char *name, char out[NAME])
{
    const size_t length = strlen(name);
    for (const char *p = schedule; *p;) {
        const size_t n = strcspn(p, ",");
        if (n > length && strncmp(p, name, length) == 0 && p[length] == '=') {
            snprintf(out, NAME, "%.*s", (int)(n - length - 1), p + length + 1);
            return true;
        }
        p += n + (p[n] == ',');
    }
    return false;
}

/* In the order of the tunable's list; what is not in it comes last, as it came. */
static void order_values(const char *name, value *v, uint32_t n)
{
    const uint32_t t = sk_tunable_find(name, strlen(name));
    for (uint32_t i = 1; i < n; i++) {
        const value one = v[i];
        uint32_t k = i;
        for (; k > 0 && sk_tunable_place(t, v[k - 1].text) > sk_tunable_place(t, one.text); k--)
            v[k] = v[k - 1];
        v[k] = one;
    }
}

static uint32_t values_of(const sk_record *r, const char *name, value v[MOST_VALUES])
{
    uint32_t n = 0;
    char text[NAME];
    for (size_t i = 0; i < r->trial_count; i++) {
        const sk_db_trial *t = r->trial[i];
        uint32_t k = 0;
        if (!timed(t) || !value_in(t->key.schedule, name, text)) continue;
        while (k < n && strcmp(v[k].text, text) != 0) k++;
        if (k == MOST_VALUES) continue;
        if (k == n) {
            v[n] = (value){.best = t->median_us};
            memcpy(v[n++].text, text, NAME);
        }
        v[k].best = t->median_us < v[k].best ? t->median_us : v[k].best;
        v[k].count++;
    }
    order_values(name, v, n);
    return n;
}

/* A row for each value: its candidates as dots, the fastest as an upright line. */
static void draw_effect(const sk_record *r, const char *name, const value *v, uint32_t n,
                        const sk_axis *axis, double best, sk_text *out)
{
    char text[NAME];
    const sk_tunable_info *info = sk_tunable_get(sk_tunable_find(name, strlen(name)));
    sk_plot p = {.out = out, .width = 940, .height = 46 + 22.0 * n, .left = 110, .bottom = 34,
                 .x = *axis, .y = {.lo = -0.5, .hi = n - 0.5}};
    p.x.label = "times the fastest candidate";
    sk_text_printf(out, "<h3>");
    sk_html_escape(out, name);
    sk_text_printf(out, "</h3>\n<p>");
    sk_html_escape(out, info ? info->doc : "not a tunable of this version");
    sk_text_printf(out, "</p>\n");
    sk_plot_begin(&p, name);
    for (uint32_t k = 0; k < n; k++) {
        const double y = n - 1.0 - k;
        sk_text_printf(out, "<text class='label' x='104' y='%.1f' text-anchor='end'>",
                       14 + 22.0 * k + 12);
        sk_html_escape(out, v[k].text);
        sk_text_printf(out, "</text>");
        for (size_t i = 0; i < r->trial_count; i++) {
            const sk_db_trial *t = r->trial[i];
            if (timed(t) && value_in(t->key.schedule, name, text) && strcmp(text, v[k].text) == 0)
                sk_plot_dot(&p, t->median_us / best, y, style_of(r, t), NULL);
        }
        sk_plot_line(&p, v[k].best / best, y - 0.4, v[k].best / best, y + 0.4, "best");
    }
    sk_plot_end(&p);
    sk_text_printf(out, "<p class='faint'>best of each:");
    for (uint32_t k = 0; k < n; k++) {
        sk_text_printf(out, "%s ", k ? "," : "");
        sk_html_escape(out, v[k].text);
        sk_text_printf(out, " %.2fx (%zu)", v[k].best / best, v[k].count);
    }
    sk_text_printf(out, "</p>\n");
}

static void draw_effects(const sk_record *r, const double *us, size_t n, sk_text *out)
{
    double best = us[0], ratio[2] = {1, 1};
    sk_axis axis = {.log = true};
    for (size_t i = 1; i < n; i++) best = us[i] < best ? us[i] : best;
    for (size_t i = 0; i < n; i++) ratio[1] = us[i] / best > ratio[1] ? us[i] / best : ratio[1];
    if (!sk_axis_fit(&axis, ratio, 2)) return;
    for (const char *p = r->trial[0]->key.schedule; *p;) {
        const size_t length = strcspn(p, ","), end = strcspn(p, "=,");
        char name[NAME];
        value v[MOST_VALUES];
        snprintf(name, sizeof name, "%.*s", (int)end, p);
        const uint32_t values = p[end] == '=' ? values_of(r, name, v) : 0;
        if (values > 1) draw_effect(r, name, v, values, &axis, best, out);
        p += length + (p[length] == ',');
    }
}

void sk_report_effects(const sk_record *r, sk_text *out)
{
    double *us;
    const size_t n = times_of(r, &us);
    out->failed |= !us;
    if (us && n > 1) {
        sk_text_printf(out, "<details open><summary>Effect of each tunable</summary>\n");
        draw_effects(r, us, n, out);
        sk_text_printf(out, "</details>\n");
    }
    sk_free(us);
}
