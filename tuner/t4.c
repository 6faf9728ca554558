/* t4.c - see t4.h. The file is a stranger's: every member is looked for and checked, and
 * what is not there is named with the number of its result. */
#include "t4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <zlib.h>

#define BYTES_MOST (1u << 30)
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

/* ---- the text ---------------------------------------------------------------- */

static sk_status read_all(gzFile file, const char *path, char **text, sk_err *err)
{
    size_t size = 0, cap = 1u << 20;
    char *bytes = sk_malloc(cap);
    int got = 1;
    while (bytes && got > 0 && size < BYTES_MOST) {
        got = gzread(file, bytes + size, (unsigned)(cap - size - 1));
        if (got > 0) size += (size_t)got;
        if (size + 1 < cap) continue;
        char *more = sk_realloc(bytes, cap *= 2);
        if (!more) sk_free(bytes);
        bytes = more;
    }
    if (!bytes) return sk_fail(err, SPHKV_ENOMEM, "no memory for %.200s", path);
    if (got < 0 || size >= BYTES_MOST) {
        sk_free(bytes);
        return sk_fail(err, SPHKV_EIO, "%.200s: %s", path,
                       got < 0 ? "damaged, or not readable" : "larger than 1 GiB");
    }
    bytes[size] = '\0';
    *text = bytes;
    return SPHKV_OK;
}

static sk_status read_text(const char *path, char **text, sk_err *err)
{
    gzFile file = gzopen(path, "rb");
    if (!file) return sk_fail(err, SPHKV_EIO, "%.200s cannot be opened", path);
    sk_status st = read_all(file, path, text, err);
    (void)gzclose(file);
    return st;
}

/* ---- configurations ------------------------------------------------------------- */

/* A value of a parameter: a number (false and true are 0 and 1) or a word. */
typedef struct value {
    const char *word; /* NULL: a number */
    double number;
} value;

static int by_value(const void *a, const void *b)
{
    const value *x = a, *y = b;
    if (x->word && y->word) return strcmp(x->word, y->word);
    if (x->word || y->word) return x->word ? 1 : -1; /* numbers first */
    return (x->number > y->number) - (x->number < y->number);
}

static bool take_value(const cJSON *item, value *out)
{
    *out = (value){0};
    if (cJSON_IsNumber(item))
        out->number = item->valuedouble;
    else if (cJSON_IsBool(item))
        out->number = cJSON_IsTrue(item);
    else if (cJSON_IsString(item))
        out->word = item->valuestring;
    else
        return false;
    return isfinite(out->number);
}

/* What is being read. */
typedef struct reader {
    const char *path;
    const cJSON *results, **result; /* result [n]: the array's, as an array */
    uint32_t n, dims;
    const char *name[DIMS_MOST];
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
    cJSON_ArrayForEach(item, first) {
        if (r->dims == DIMS_MOST) return wrong(r, 0, "more than 64 parameters");
        r->name[r->dims++] = item->string;
    }
    return r->dims ? SPHKV_OK : wrong(r, 0, "no \"configuration\"");
}

/* Values of one parameter to places among them. */
static sk_status read_dimension(reader *r, uint32_t d, value *all, value *sorted)
{
    for (uint32_t i = 0; i < r->n; i++) {
        const cJSON *c = cJSON_GetObjectItemCaseSensitive(r->result[i], "configuration");
        const cJSON *x = cJSON_GetObjectItemCaseSensitive(c, r->name[d]);
        if (cJSON_GetArraySize(c) != (int)r->dims || !take_value(x, &all[i]))
            return wrong(r, i, "its parameters are not those of the first");
    }
    uint32_t levels = 0;
    memcpy(sorted, all, r->n * sizeof *all);
    qsort(sorted, r->n, sizeof *sorted, by_value);
    for (uint32_t i = 0; i < r->n; i++)
        if (i == 0 || by_value(&sorted[levels - 1], &sorted[i]) != 0) sorted[levels++] = sorted[i];
    if (levels > LEVELS_MOST) return wrong(r, 0, "more than 65535 values of a parameter");
    r->out->levels[d] = (uint16_t)levels;
    for (uint32_t i = 0; i < r->n; i++) {
        const value *found = bsearch(&all[i], sorted, levels, sizeof *sorted, by_value);
        r->out->at[(size_t)i * r->dims + d] = (uint16_t)(found - sorted);
        r->out->number[(size_t)i * r->dims + d] = all[i].word ? NAN : all[i].number;
    }
    return SPHKV_OK;
}

static sk_status read_points(reader *r)
{
    sk_t4 *t = r->out;
    value *all = sk_calloc(r->n, sizeof *all), *sorted = sk_calloc(r->n, sizeof *sorted);
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

static double number_in(const cJSON *object, const char *name)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(x) && x->valuedouble > 0 ? x->valuedouble : 0;
}

static double time_spent(const cJSON *result)
{
    const cJSON *times = cJSON_GetObjectItemCaseSensitive(result, "times"), *x;
    double sum = number_in(times, "compilation");
    cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(times, "runtimes"))
        if (cJSON_IsNumber(x)) sum += x->valuedouble;
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
    return isfinite(t->best) ? SPHKV_OK : wrong(r, 0, "and no other has a right result");
}

sk_status sk_t4_read(const char *path, sk_t4 *out, sk_err *err)
{
    char *text = NULL;
    reader r = {.path = path, .out = out, .err = err};
    memset(out, 0, sizeof *out);
    sk_status st = read_text(path, &text, err);
    if (st != SPHKV_OK) return st;
    cJSON *root = cJSON_Parse(text);
    sk_free(text);
    if (!root) return sk_fail(err, SPHKV_EINVAL, "%.200s: not JSON", path);
    st = list_results(&r, root);
    if (st == SPHKV_OK) st = read_points(&r);
    if (st == SPHKV_OK) st = read_outcomes(&r, root);
    out->points = (sk_points){r.n, r.dims, out->at, out->levels, out->number};
    sk_free(r.result);
    cJSON_Delete(root);
    if (st != SPHKV_OK) sk_t4_free(out);
    return st;
}
