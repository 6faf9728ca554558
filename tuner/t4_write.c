/* t4_write.c - see t4_write.h. */
#include "t4_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"

/* What the format calls an outcome, and what stands in the place of a time. NULL: none. */
static const struct {
    const char *invalidity, *value;
} words[SK_OUTCOME_COUNT] = {
    [SK_OUTCOME_OK] = {"correct", NULL},
    [SK_OUTCOME_WRONG] = {"correctness", "IncorrectConfig"},
    [SK_OUTCOME_CRASH] = {"runtime", "RuntimeFailedConfig"},
    [SK_OUTCOME_HANG] = {"timeout", "RuntimeFailedConfig"},
    [SK_OUTCOME_ILLEGAL] = {"runtime", "RuntimeFailedConfig"},
    [SK_OUTCOME_COMPILE_ERROR] = {"compile", "CompilationFailedConfig"},
    [SK_OUTCOME_OOM] = {"runtime", "RuntimeFailedConfig"},
    [SK_OUTCOME_INVALID] = {"constraints", "InvalidConfig"},
};

/* The names of a schedule's tunables, values left out: equal for one kind of schedule. */
static bool same_names(const char *a, const char *b)
{
    for (;;) {
        const size_t n = strcspn(a, "="), m = strcspn(b, "=");
        if (n != m || memcmp(a, b, n) != 0) return false;
        a += n + strcspn(a + n, ",");
        b += m + strcspn(b + m, ",");
        if (!*a || !*b) return *a == *b;
        a++, b++;
    }
}

static bool exported(const sk_db_trial *t)
{
    return words[t->outcome].invalidity && strcmp(t->key.run_kind, SK_DB_MEASURE) == 0 &&
           (t->outcome != SK_OUTCOME_OK || t->sample_count) && t->key.schedule[0];
}

/* Later, or of the greater hash. */
static bool later(const sk_db_trial *a, const sk_db_trial *b)
{
    if (a->unix_time != b->unix_time) return a->unix_time > b->unix_time;
    return strcmp(a->trial_hash, b->trial_hash) > 0;
}

/* Of the compiler of `last`, or refused before there was one; and the latest of its kind. */
static bool chosen(const sk_record *r, size_t at, const sk_db_trial *last)
{
    const sk_db_trial *t = r->trial[at];
    const char *const compiler = last->key.compiler;
    if (!exported(t) || !same_names(t->key.schedule, last->key.schedule)) return false;
    if (t->key.compiler[0] && strcmp(t->key.compiler, compiler) != 0) return false;
    for (size_t i = 0; i < r->trial_count; i++) {
        const sk_db_trial *o = r->trial[i];
        if (i != at && exported(o) && strcmp(o->key.schedule, t->key.schedule) == 0 &&
            (!o->key.compiler[0] || strcmp(o->key.compiler, compiler) == 0) && later(o, t))
            return false;
    }
    return true;
}

static void write_configuration(sk_json *j, const char *schedule)
{
    sk_json_open(j, "configuration", '{');
    for (const char *p = schedule; *p;) {
        char name[64], value[64];
        const size_t n = strcspn(p, "="), m = strcspn(p + n, ",");
        double number;
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        snprintf(value, sizeof value, "%.*s", m ? (int)m - 1 : 0, p + n + (m ? 1 : 0));
        if (sk_parse_f64(value, -1e15, 1e15, &number))
            sk_json_f64(j, name, number);
        else
            sk_json_text(j, name, value);
        p += n + m;
        if (*p) p++;
    }
    sk_json_close(j, '}');
}

static double sum_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

static void write_times(sk_json *j, const sk_db_trial *t)
{
    const double run = sum_of(t->samples, t->sample_count), all = t->seconds * 1e6;
    sk_json_open(j, "times", '{');
    sk_json_f64(j, "compilation", all > run ? all - run : 0);
    sk_json_f64(j, "framework", 0);
    sk_json_f64(j, "search_algorithm", 0);
    sk_json_f64(j, "validation", 0);
    sk_json_open(j, "runtimes", '[');
    for (size_t i = 0; i < t->sample_count; i++) sk_json_f64(j, NULL, t->samples[i]);
    sk_json_close(j, ']');
    sk_json_close(j, '}');
}

static void write_result(sk_json *j, const sk_db_trial *t)
{
    char when[40] = "";
    struct tm utc;
    const time_t at = (time_t)t->unix_time;
    const bool right = t->outcome == SK_OUTCOME_OK;
    if (gmtime_r(&at, &utc)) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S+00:00", &utc);
    sk_json_open(j, NULL, '{');
    sk_json_text(j, "timestamp", when);
    write_configuration(j, t->key.schedule);
    write_times(j, t);
    sk_json_text(j, "invalidity", words[t->outcome].invalidity);
    sk_json_u64(j, "correctness", right);
    sk_json_open(j, "measurements", '[');
    sk_json_open(j, NULL, '{');
    sk_json_text(j, "name", "time");
    if (right)
        sk_json_f64(j, "value", sum_of(t->samples, t->sample_count) / (double)t->sample_count);
    else
        sk_json_text(j, "value", words[t->outcome].value);
    sk_json_text(j, "unit", "us");
    sk_json_close(j, '}');
    sk_json_close(j, ']');
    sk_json_open(j, "objectives", '[');
    sk_json_text(j, NULL, "time");
    sk_json_close(j, ']');
    sk_json_close(j, '}');
}

static void write_metadata(sk_json *j, const sk_db_trial *last)
{
    char shape[SK_DB_SHAPE_TEXT];
    sk_db_shape_text(&last->key.shape, shape);
    sk_json_open(j, "metadata", '{');
    sk_json_text(j, "timeunit", "microseconds");
    sk_json_text(j, "kernel", last->key.kernel);
    sk_json_text(j, "spec", last->key.spec);
    sk_json_text(j, "shape", shape);
    sk_json_text(j, "device", last->key.device->name);
    sk_json_text(j, "compiler", last->key.compiler);
    sk_json_close(j, '}');
}

sk_status sk_t4_write(const sk_record *r, sk_text *out, size_t *results, sk_err *err)
{
    sk_json j = {0};
    const sk_db_trial *last = NULL, *coded = NULL;
    *results = 0;
    *out = (sk_text){0};
    for (size_t i = 0; i < r->trial_count; i++) {
        const sk_db_trial *t = r->trial[i];
        if (!exported(t)) continue;
        if (!last || later(t, last)) last = t;
        if (t->key.compiler[0] && (!coded || later(t, coded))) coded = t;
    }
    if (coded) last = coded;
    if (!last) return SPHKV_OK;
    sk_json_open(&j, NULL, '{');
    write_metadata(&j, last);
    sk_json_open(&j, "results", '[');
    for (size_t i = 0; i < r->trial_count; i++) {
        if (!chosen(r, i, last)) continue;
        write_result(&j, r->trial[i]);
        ++*results;
    }
    sk_json_close(&j, ']');
    sk_json_close(&j, '}');
    sk_text_append(&j.text, "\n", 1);
    *out = j.text;
    return out->failed ? sk_fail(err, SPHKV_ENOMEM, "no memory for a space") : SPHKV_OK;
}
