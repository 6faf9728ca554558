/* shard.c - see shard.h. */
#include "shard.h"

#include <stdlib.h>
#include <string.h>

#include "pick.h"

#define SHARDS_MOST 65536u

/* ---- which one ---------------------------------------------------------------- */

sk_status sk_shard_parse(const char *text, sk_shard *out, sk_err *err)
{
    const char *slash = strchr(text, '/');
    char index[16];
    uint64_t i, n;
    const size_t len = slash ? (size_t)(slash - text) : 0;
    if (len == 0 || len >= sizeof index || !sk_parse_u64(slash + 1, 1, SHARDS_MOST, &n))
        return sk_fail(err, SPHKV_EINVAL, "--shard: '%.60s' is no I/N, as 2/4", text);
    memcpy(index, text, len);
    index[len] = '\0';
    if (!sk_parse_u64(index, 1, n, &i))
        return sk_fail(err, SPHKV_EINVAL, "--shard: '%.60s': shards count from 1 to %u", text,
                       (unsigned)n);
    *out = (sk_shard){(uint32_t)i, (uint32_t)n};
    return SPHKV_OK;
}

/* A number in a variable; absent: fallback, or SPHKV_EINVAL when that is UINT64_MAX. */
static sk_status number_of(const char *name, uint64_t fallback, uint64_t *out, sk_err *err)
{
    const char *text = getenv(name);
    *out = fallback;
    if ((!text || !*text) && fallback != UINT64_MAX) return SPHKV_OK;
    if (!text || !sk_parse_u64(text, 0, UINT32_MAX, out))
        return sk_fail(err, SPHKV_EINVAL,
                       "%s is %s: say which part this is with --shard I/N (1/1: everything)", name,
                       text && *text ? "no number" : "not set");
    return SPHKV_OK;
}

static sk_status slurm(sk_shard *out, sk_err *err)
{
    uint64_t id, count, least = 0, step;
    sk_status st = number_of("SLURM_ARRAY_TASK_ID", UINT64_MAX, &id, err);
    if (st == SPHKV_OK) st = number_of("SLURM_ARRAY_TASK_COUNT", UINT64_MAX, &count, err);
    if (st == SPHKV_OK) st = number_of("SLURM_ARRAY_TASK_MIN", 0, &least, err);
    if (st == SPHKV_OK) st = number_of("SLURM_ARRAY_TASK_STEP", 1, &step, err);
    if (st != SPHKV_OK) return st;
    const uint64_t place = step && id >= least ? (id - least) / step : count;
    if (place >= count || (id - least) % step || count > SHARDS_MOST)
        return sk_fail(err, SPHKV_EINVAL, "task %u of an array of %u tasks from %u in steps of %u: "
                       "no even range (--array=1-N), or say --shard I/N", (unsigned)id,
                       (unsigned)count, (unsigned)least, (unsigned)step);
    *out = (sk_shard){(uint32_t)place + 1, (uint32_t)count};
    return SPHKV_OK;
}

static sk_status kubernetes(sk_shard *out, sk_err *err)
{
    uint64_t index, count;
    sk_status st = number_of("JOB_COMPLETION_INDEX", UINT64_MAX, &index, err);
    if (st == SPHKV_OK) st = number_of("JOB_COMPLETIONS", UINT64_MAX, &count, err);
    if (st != SPHKV_OK) return st;
    if (index >= count || count > SHARDS_MOST)
        return sk_fail(err, SPHKV_EINVAL, "JOB_COMPLETION_INDEX %u is not below JOB_COMPLETIONS %u",
                       (unsigned)index, (unsigned)count);
    *out = (sk_shard){(uint32_t)index + 1, (uint32_t)count};
    return SPHKV_OK;
}

sk_status sk_shard_environment(sk_shard *out, const char **from, sk_err *err)
{
    static const struct {
        const char *name;
        sk_status (*read)(sk_shard *out, sk_err *err);
    } arrays[] = {{"SLURM_ARRAY_TASK_ID", slurm}, {"JOB_COMPLETION_INDEX", kubernetes}};
    *out = (sk_shard){0, 0};
    *from = NULL;
    for (size_t i = 0; i < SK_COUNT(arrays); i++) {
        const char *text = getenv(arrays[i].name);
        if (!text || !*text) continue;
        *from = arrays[i].name;
        return arrays[i].read(out, err);
    }
    return SPHKV_OK;
}

sk_status sk_shard_path(const sk_shard *shard, const char *db, char **out, sk_err *err)
{
    size_t len = strlen(db);
    sk_text text = {0};
    if (len >= 3 && strcmp(db + len - 3, ".db") == 0) len -= 3;
    sk_text_printf(&text, "%.*s.%u-of-%u.db", (int)len, db, shard->index, shard->count);
    *out = text.failed ? NULL : text.s;
    return *out ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for a name");
}

/* ---- dealing -------------------------------------------------------------------- */

typedef struct unit {
    sk_text spec;
    uint32_t context, first; /* first: the item that began it */
    double weight;
    uint32_t shard;          /* from 0 */
} unit;

/* Heaviest first; equals as they came. */
static int by_weight(const void *pa, const void *pb)
{
    const unit *a = pa, *b = pb;
    if (a->weight < b->weight || a->weight > b->weight) return a->weight > b->weight ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* The unit of an item; a new one at the end of the list when there is none. */
static unit *find_unit(unit *list, uint32_t *n, const sk_wish_item *item, uint32_t at)
{
    const uint32_t context = sk_pick_shape(&item->spec, &item->shape).context;
    sk_text spec = {0};
    sk_spec_print(&item->spec, &spec);
    if (spec.failed) {
        sk_text_free(&spec);
        return NULL;
    }
    for (uint32_t i = 0; i < *n; i++)
        if (list[i].context == context && strcmp(list[i].spec.s, spec.s) == 0) {
            sk_text_free(&spec);
            return &list[i];
        }
    list[*n] = (unit){.spec = spec, .context = context, .first = at};
    return &list[(*n)++];
}

static sk_status deal(const sk_shard *shard, const sk_wish *w, unit *list, uint32_t *n, sk_err *err)
{
    double *load = sk_calloc(shard->count, sizeof *load);
    sk_status st = load ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for shards");
    for (uint32_t i = 0; i < w->n && st == SPHKV_OK; i++) {
        unit *u = find_unit(list, n, &w->item[i], i);
        if (u)
            u->weight += sk_kernel_get(w->item[i].spec.kernel)->weight;
        else
            st = sk_fail(err, SPHKV_ENOMEM, "no memory for shards");
    }
    if (st == SPHKV_OK && *n) qsort(list, *n, sizeof *list, by_weight);
    for (uint32_t i = 0; i < *n && st == SPHKV_OK; i++) {
        uint32_t least = 0;
        for (uint32_t k = 1; k < shard->count; k++)
            if (load[k] < load[least]) least = k;
        list[i].shard = least;
        load[least] += list[i].weight;
    }
    sk_free(load);
    return st;
}

sk_status sk_shard_keep(const sk_shard *shard, sk_wish *w, sk_err *err)
{
    uint32_t n = 0, kept = 0;
    if (shard->count <= 1) return SPHKV_OK;
    unit *list = sk_calloc(w->n + 1, sizeof *list);
    if (!list) return sk_fail(err, SPHKV_ENOMEM, "no memory for shards");
    sk_status st = deal(shard, w, list, &n, err);
    for (uint32_t i = 0; i < w->n && st == SPHKV_OK; i++) {
        uint32_t all = n;
        const unit *u = find_unit(list, &all, &w->item[i], i);
        if (!u)
            st = sk_fail(err, SPHKV_ENOMEM, "no memory for shards");
        else if (u->shard == shard->index - 1)
            w->item[kept++] = w->item[i];
    }
    if (st == SPHKV_OK) w->n = kept;
    for (uint32_t i = 0; i < n; i++) sk_text_free(&list[i].spec);
    sk_free(list);
    return st;
}
