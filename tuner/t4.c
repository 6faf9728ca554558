/* t4.c - see t4.h. The file is a stranger's: every member is looked for and checked, and
 * what is not there is named with the number of its result. */
#include "t4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "json_file.h"

#define RESULTS_MOST (1u << 22)
#define DIMS_MOST 64u
#define LEVELS_MOST 65535u

void sk_t4_free(sk_t4 *t)
{
    sk_free(t->at);
    sk_free(t->levels);
    sk_free(t->number);
    sk_free(t->cost);
    sk_free(t->seconds);
    memset(t, 0, sizeof *t);
}

/* ---- configurations ------------------------------------------------------------- */

/* What is being read. */
typedef struct reader {
    const char *path;
    const cJSON *results, **result; /* result [n]: the array's, as an array */
    uint32_t n, dims;
    const char *name[DIMS_MOST];
    const sk_t1 *t1;      /* NULL: no description */
    uint32_t param[DIMS_MOST]; /* its place there */
    sk_t4 *out;
    sk_err *err;
} reader;

static sk_status wrong(const reader *r, uint32_t at, const char *what)
{
    return sk_fail(r->err, SPHKV_EINVAL, "%.200s: result %u: %s", r->path, at, what);
}

static sk_status list_results(reader *r, const cJSON *root)
{
    const cJSON *item;
    r->results = cJSON_GetObjectItemCaseSensitive(root, "results");
    const int n = cJSON_IsArray(r->results) ? cJSON_GetArraySize(r->results) : 0;
    if (n < 1 || (uint32_t)n > RESULTS_MOST)
        return sk_fail(r->err, SPHKV_EINVAL, "%.200s: no list \"results\" of a T4 file", r->path);
    r->result = sk_calloc((size_t)n, sizeof *r->result);
    if (!r->result) return sk_fail(r->err, SPHKV_ENOMEM, "no memory for %d results", n);
    cJSON_ArrayForEach(item, r->results) r->result[r->n++] = item;
    const cJSON *first = cJSON_GetObjectItemCaseSensitive(r->result[0], "configuration");
    if (!cJSON_IsObject(first)) first = NULL; /* what a list holds has no names */
    cJSON_ArrayForEach(item, first) {
        if (r->dims == DIMS_MOST) return wrong(r, 0, "more than 64 parameters");
        r->name[r->dims++] = item->string;
    }
    return r->dims ? SPHKV_OK : wrong(r, 0, "no \"configuration\" with parameters");
}

/* The values of one parameter, of all configurations. */
static sk_status list_values(const reader *r, uint32_t d, sk_t1_value *all)
{
    for (uint32_t i = 0; i < r->n; i++) {
        const cJSON *c = cJSON_GetObjectItemCaseSensitive(r->result[i], "configuration");
        const cJSON *x = cJSON_GetObjectItemCaseSensitive(c, r->name[d]);
        if (!x || cJSON_GetArraySize(c) != (int)r->dims)
            return wrong(r, i, "its parameters are not those of the first");
        if (!sk_t1_value_take(x, &all[i]))
            return wrong(r, i, "a parameter that is no finite number and no word");
        r->out->number[(size_t)i * r->dims + d] = all[i].word ? NAN : all[i].number;
    }
    return SPHKV_OK;
}

/* To places among the values that are described. */
static sk_status place_described(reader *r, uint32_t d, const sk_t1_value *all)
{
    const sk_t1_param *p = &r->t1->param[r->param[d]];
    r->out->levels[d] = (uint16_t)p->n;
    for (uint32_t i = 0; i < r->n; i++) {
        const uint32_t at = sk_t1_place(p, &all[i]);
        if (at == p->n)
            return sk_fail(r->err, SPHKV_EINVAL, "%.200s: result %u: its %.60s is no value that "
                           "%.200s describes", r->path, i, p->name, r->t1->path);
        r->out->at[(size_t)i * r->dims + d] = (uint16_t)at;
    }
    return SPHKV_OK;
}

/* To places among the values that occur. */
static sk_status read_dimension(reader *r, uint32_t d, sk_t1_value *all, sk_t1_value *sorted)
{
    const sk_status st = list_values(r, d, all);
    if (st != SPHKV_OK) return st;
    if (r->t1) return place_described(r, d, all);
    uint32_t levels = 0;
    memcpy(sorted, all, r->n * sizeof *all);
    qsort(sorted, r->n, sizeof *sorted, sk_t1_value_order);
    for (uint32_t i = 0; i < r->n; i++)
        if (i == 0 || sk_t1_value_order(&sorted[levels - 1], &sorted[i]) != 0)
            sorted[levels++] = sorted[i];
    if (levels > LEVELS_MOST) return wrong(r, 0, "more than 65535 values of a parameter");
    r->out->levels[d] = (uint16_t)levels;
    for (uint32_t i = 0; i < r->n; i++) {
        const sk_t1_value *found =
            bsearch(&all[i], sorted, levels, sizeof *sorted, sk_t1_value_order);
        r->out->at[(size_t)i * r->dims + d] = (uint16_t)(found - sorted);
    }
    return SPHKV_OK;
}

/* Both must speak of the same parameters. */
static sk_status match_description(reader *r)
{
    uint32_t d;
    for (d = 0; d < r->dims; d++) {
        r->param[d] = sk_t1_find(r->t1, r->name[d]);
        if (r->param[d] == SK_T1_PARAMS)
            return sk_fail(r->err, SPHKV_EINVAL, "%.200s does not describe %.60s, a parameter of "
                           "%.200s", r->t1->path, r->name[d], r->path);
    }
    for (uint32_t p = 0; p < r->t1->params; p++) {
        for (d = 0; d < r->dims && r->param[d] != p;) d++;
        if (d == r->dims)
            return sk_fail(r->err, SPHKV_EINVAL, "%.200s describes %.60s, which %.200s does not "
                           "have", r->t1->path, r->t1->param[p].name, r->path);
    }
    return SPHKV_OK;
}

static sk_status read_points(reader *r)
{
    sk_t4 *t = r->out;
    sk_t1_value *all = sk_calloc(r->n, sizeof *all), *sorted = sk_calloc(r->n, sizeof *sorted);
    sk_status st = SPHKV_OK;
    t->at = sk_calloc((size_t)r->n * r->dims, sizeof *t->at);
    t->levels = sk_calloc(r->dims, sizeof *t->levels);
    t->number = sk_calloc((size_t)r->n * r->dims, sizeof *t->number);
    t->cost = sk_calloc(r->n, sizeof *t->cost);
    t->seconds = sk_calloc(r->n, sizeof *t->seconds);
    if (!all || !sorted || !t->at || !t->levels || !t->number || !t->cost || !t->seconds)
        st = sk_fail(r->err, SPHKV_ENOMEM, "no memory for %u configurations", r->n);
    for (uint32_t d = 0; d < r->dims && st == SPHKV_OK; d++) st = read_dimension(r, d, all, sorted);
    sk_free(all);
    sk_free(sorted);
    return st;
}

/* ---- outcomes ---------------------------------------------------------------------- */

/* Seconds in a unit of time as files spell it. */
static double unit_seconds(const cJSON *root)
{
    const cJSON *meta = cJSON_GetObjectItemCaseSensitive(root, "metadata");
    const cJSON *unit = cJSON_GetObjectItemCaseSensitive(meta, "timeunit");
    const char *text = cJSON_IsString(unit) ? unit->valuestring : "milliseconds";
    static const struct {
        const char *begin;
        double seconds;
    } units[] = {{"mi", 1e-3}, {"ms", 1e-3}, {"mic", 1e-6}, {"us", 1e-6}, {"na", 1e-9},
                 {"ns", 1e-9}, {"s", 1}};
    double found = 1e-3;
    for (size_t i = 0; i < SK_COUNT(units); i++)
        if (strncmp(text, units[i].begin, strlen(units[i].begin)) == 0) found = units[i].seconds;
    return found;
}

/* 0: it is no number that a time can be. */
static double positive(const cJSON *x)
{
    return cJSON_IsNumber(x) && x->valuedouble > 0 && isfinite(x->valuedouble) ? x->valuedouble : 0;
}

static double number_in(const cJSON *object, const char *name)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
    return positive(x);
}

static double time_spent(const cJSON *result)
{
    const cJSON *times = cJSON_GetObjectItemCaseSensitive(result, "times"), *x;
    double sum = number_in(times, "compilation");
    cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(times, "runtimes"))
        sum += positive(x);
    return sum;
}

/* The measurement that is the objective; one that failed has a word in its place. */
static double objective(const cJSON *result)
{
    const cJSON *goals = cJSON_GetObjectItemCaseSensitive(result, "objectives"), *m;
    const cJSON *goal = cJSON_GetArrayItem(goals, 0);
    const char *name = cJSON_IsString(goal) ? goal->valuestring : "time";
    cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(result, "measurements")) {
        const cJSON *its = cJSON_GetObjectItemCaseSensitive(m, "name");
        if (cJSON_IsString(its) && strcmp(its->valuestring, name) == 0) {
            const double x = number_in(m, "value");
            return x > 0 ? x : INFINITY;
        }
    }
    return INFINITY;
}

static sk_status read_outcomes(reader *r, const cJSON *root)
{
    sk_t4 *t = r->out;
    const double unit = unit_seconds(root);
    t->best = INFINITY;
    for (uint32_t i = 0; i < r->n; i++) {
        const cJSON *word = cJSON_GetObjectItemCaseSensitive(r->result[i], "invalidity");
        if (!cJSON_IsString(word)) return wrong(r, i, "no \"invalidity\"");
        t->cost[i] = strcmp(word->valuestring, "correct") == 0 ? objective(r->result[i]) : INFINITY;
        t->seconds[i] = time_spent(r->result[i]) * unit;
        t->failed += isfinite(t->cost[i]) ? 0 : 1;
        t->best = fmin(t->best, t->cost[i]);
    }
    if (isfinite(t->best)) return SPHKV_OK;
    return sk_fail(r->err, SPHKV_EINVAL, "%.200s: none of %u results is right, so there is nothing "
                   "to find", r->path, r->n);
}

/* What the constraints forbid is out of the space before anything is tried. */
static sk_status keep_allowed(reader *r)
{
    sk_t4 *t = r->out;
    sk_t1_value value[SK_T1_PARAMS];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        const char *broken;
        const uint16_t *at = t->at + (size_t)i * r->dims;
        for (uint32_t d = 0; d < r->dims; d++)
            value[r->param[d]] = r->t1->param[r->param[d]].value[at[d]];
        const sk_status st = sk_t1_check(r->t1, value, &broken, r->err);
        if (st != SPHKV_OK) return st;
        if (broken && isfinite(t->cost[i]))
            return sk_fail(r->err, SPHKV_EINVAL, "%.200s: result %u is right, but breaks '%.160s' of "
                           "%.200s", r->path, i, broken, r->t1->path);
        if (broken) continue;
        memmove(t->at + (size_t)kept * r->dims, at, r->dims * sizeof *at);
        memmove(t->number + (size_t)kept * r->dims, t->number + (size_t)i * r->dims,
                r->dims * sizeof *t->number);
        t->cost[kept] = t->cost[i];
        t->seconds[kept++] = t->seconds[i];
    }
    t->forbidden = r->n - kept;
    t->failed -= t->forbidden;
    r->n = kept;
    return SPHKV_OK;
}

sk_status sk_t4_read(const char *path, const sk_t1 *t1, sk_t4 *out, sk_err *err)
{
    cJSON *root = NULL;
    reader r = {.path = path, .t1 = t1, .out = out, .err = err};
    memset(out, 0, sizeof *out);
    sk_status st = sk_json_file_read(path, &root, err);
    if (st == SPHKV_OK) st = list_results(&r, root);
    if (st == SPHKV_OK && t1) st = match_description(&r);
    if (st == SPHKV_OK) st = read_points(&r);
    if (st == SPHKV_OK) st = read_outcomes(&r, root);
    if (st == SPHKV_OK && t1) st = keep_allowed(&r);
    out->points = (sk_points){r.n, r.dims, out->at, out->levels, out->number};
    sk_free(r.result);
    cJSON_Delete(root);
    if (st != SPHKV_OK) sk_t4_free(out);
    return st;
}
