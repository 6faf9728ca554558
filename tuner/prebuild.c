/* prebuild.c - the parent: what is to be built, who builds it, what came of it. */
#include "prebuild.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "jit_nvrtc.h"
#include "prebuild_impl.h"
#include "team.h"

/* ---- what ------------------------------------------------------------------------- */

sk_status sk_prebuild_archs(sk_prebuild *p, const char *list, sk_err *err)
{
    while (*list) {
        const size_t len = strcspn(list, ",");
        char word[24];
        if (len == 0 || len >= sizeof word)
            return sk_fail(err, SPHKV_EINVAL, "--arch: '%.40s' is no architecture", list);
        memcpy(word, list, len);
        word[len] = '\0';
        if (p->cards == SK_PREBUILD_CARDS)
            return sk_fail(err, SPHKV_EINVAL, "--arch: at most %u", SK_PREBUILD_CARDS);
        for (uint32_t i = 0; i < p->cards; i++)
            if (strcmp(p->card[i].arch, word) == 0)
                return sk_fail(err, SPHKV_EINVAL, "--arch: %s is there twice", word);
        const sk_status st = sk_card_parse(word, &p->card[p->cards], err);
        if (st != SPHKV_OK) return st;
        p->cards++;
        list += len;
        if (*list == ',' && *++list == '\0')
            return sk_fail(err, SPHKV_EINVAL, "--arch: a comma at the end");
    }
    return SPHKV_OK;
}

static bool same_spec(const sk_spec *a, const sk_spec *b)
{
    sk_text x = {0}, y = {0};
    sk_spec_print(a, &x);
    sk_spec_print(b, &y);
    const bool same = a->kernel == b->kernel && x.s && y.s && strcmp(x.s, y.s) == 0;
    sk_text_free(&x);
    sk_text_free(&y);
    return same;
}

static sk_prebuild_item *item_of(sk_prebuild *p, const sk_spec *spec)
{
    for (uint32_t i = 0; i < p->items; i++)
        if (same_spec(&p->item[i].spec, spec)) return &p->item[i];
    if (p->items == p->cap) {
        const uint32_t cap = p->cap ? 2 * p->cap : 32;
        sk_prebuild_item *more = sk_realloc(p->item, cap * sizeof *more);
        if (!more) return NULL;
        p->item = more;
        p->cap = cap;
    }
    sk_prebuild_item *item = &p->item[p->items++];
    memset(item, 0, sizeof *item);
    item->spec = *spec;
    return item;
}

sk_status sk_prebuild_add(sk_prebuild *p, const sk_wish *wish, sk_err *err)
{
    for (uint32_t i = 0; i < wish->n; i++) {
        const sk_shape *shape = &wish->item[i].shape;
        sk_prebuild_item *item = item_of(p, &wish->item[i].spec);
        if (!item) return sk_fail(err, SPHKV_ENOMEM, "no memory for specs");
        bool known = false;
        for (uint32_t k = 0; k < item->nshape; k++)
            known |= memcmp(&item->shape[k], shape, sizeof *shape) == 0;
        if (known) continue;
        if (item->nshape == SK_RANK_SHAPES)
            return sk_fail(err, SPHKV_EINVAL, "more than %u shapes of one spec", SK_RANK_SHAPES);
        item->shape[item->nshape++] = *shape;
    }
    return SPHKV_OK;
}

void sk_prebuild_free(sk_prebuild *p)
{
    sk_shared_free(p->result, p->items * sizeof *p->result);
    sk_free(p->item);
    memset(p, 0, sizeof *p);
}

/* ---- with what --------------------------------------------------------------------- */

typedef struct probe {
    sk_status status;
    char why[400];
} probe;

static void look(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS])
{
    probe *p = user;
    sk_err err = {0};
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api;
    (void)request;
    sk_desk_enter(desk, SK_PHASE_LOAD, 0);
    sk_nvrtc_init(&nvrtc, true, 0);
    p->status = sk_nvrtc_get(&nvrtc, &api, &err);
    snprintf(p->why, sizeof p->why, "%.399s", err.message);
    sk_nvrtc_close(&nvrtc);
}

sk_status sk_prebuild_compiler(sk_err *err)
{
    const uint32_t request[SK_REQUEST_WORDS] = {0};
    const sk_limits limits = sk_limits_default();
    sk_worker worker;
    sk_report report;
    probe *p = sk_shared_alloc(sizeof *p);
    if (!p) return sk_fail(err, SPHKV_ENOMEM, "no shared memory");
    sk_status st = sk_worker_init(&worker, look, p, &limits, err);
    if (st == SPHKV_OK) {
        sk_worker_ask(&worker, request, NULL, NULL, &report);
        if (report.fate != SK_FATE_DONE) {
            p->status = SPHKV_ECOMPILE;
            (void)sk_report_outcome(&report, &limits, p->why, sizeof p->why);
        }
        if (p->status != SPHKV_OK) st = sk_fail(err, p->status, "%.399s", p->why);
        sk_worker_free(&worker);
    }
    sk_shared_free(p, sizeof *p);
    return st;
}

/* ---- who -------------------------------------------------------------------------- */

static void say(sk_progress *progress, const sk_prebuild *p, uint32_t index)
{
    const sk_prebuild_result *r = &p->result[index];
    uint32_t done = 0, found = 0;
    sk_text what = {0};
    sk_text_printf(&what, "%s ", sk_kernel_name(p->item[index].spec.kernel));
    sk_spec_mix_print(&p->item[index].spec, &what);
    for (uint32_t c = 0; c < p->cards; c++) {
        done += r->card[c].done;
        found += r->card[c].found;
    }
    if (r->status != SPHKV_OK)
        sk_progress_line(progress, "%s: %.300s", what.s ? what.s : "", r->why);
    else
        sk_progress_line(progress, "%s d%u h%u: %u of %u architectures, %u of them found, %.1f s",
                         what.s ? what.s : "", p->item[index].spec.d,
                         p->item[index].spec.heads_per_kv, done, p->cards, found, r->seconds);
    sk_text_free(&what);
}

/* A worker that did not come back. */
static void note_fate(sk_prebuild_result *r, const sk_report *report, const sk_limits *limits)
{
    if (report->fate == SK_FATE_DONE) return;
    r->status = SPHKV_ECOMPILE;
    (void)sk_report_outcome(report, limits, r->why, sizeof r->why);
}

static uint32_t seats_of(const sk_prebuild *p)
{
    int cpu[SK_WORKERS_MOST];
    uint32_t seats = p->seats ? p->seats : sk_team_cpus(cpu, SK_WORKERS_MOST);
    if (seats > SK_WORKERS_MOST) seats = SK_WORKERS_MOST;
    if (seats > p->items) seats = p->items;
    return seats ? seats : 1;
}

static void run_rounds(sk_prebuild *p, sk_worker *worker, uint32_t seats, const sk_limits *limits,
                       sk_progress *progress, sk_tick_fn tick, void *user, bool *stopped)
{
    for (uint32_t at = 0; at < p->items && !*stopped; at += seats) {
        const uint32_t n = p->items - at < seats ? p->items - at : seats;
        sk_worker *asked[SK_WORKERS_MOST];
        uint32_t request[SK_WORKERS_MOST][SK_REQUEST_WORDS] = {{0}};
        sk_report report[SK_WORKERS_MOST];
        for (uint32_t i = 0; i < n; i++) {
            asked[i] = &worker[i];
            request[i][0] = at + i;
        }
        sk_worker_ask_all(asked, request, n, tick, user, report);
        for (uint32_t i = 0; i < n; i++) {
            *stopped = *stopped || report[i].fate == SK_FATE_STOPPED;
            if (report[i].fate == SK_FATE_STOPPED) continue;
            note_fate(&p->result[at + i], &report[i], limits);
            say(progress, p, at + i);
        }
    }
}

static void make_run_id(sk_prebuild *p)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(p->run_id, sizeof p->run_id, "build-%llx-%x", (unsigned long long)t.tv_sec,
             (unsigned)getpid() & 0xffffffu);
}

sk_status sk_prebuild_run(sk_prebuild *p, sk_progress *progress, sk_tick_fn tick, void *user,
                          bool *stopped, sk_err *err)
{
    sk_worker worker[SK_WORKERS_MOST] = {0};
    sk_limits limits = sk_limits_default();
    const uint32_t seats = seats_of(p);
    sk_status st = SPHKV_OK;
    *stopped = false;
    limits.seconds[SK_PHASE_COMPILE] = 300; /* of one architecture; counting is in it */
    make_run_id(p);
    p->result = sk_shared_alloc(p->items * sizeof *p->result);
    if (!p->result) return sk_fail(err, SPHKV_ENOMEM, "no shared memory");
    for (uint32_t i = 0; i < seats && st == SPHKV_OK; i++)
        st = sk_worker_init(&worker[i], sk_prebuild_serve, p, &limits, err);
    if (st == SPHKV_OK) run_rounds(p, worker, seats, &limits, progress, tick, user, stopped);
    for (uint32_t i = 0; i < seats; i++) sk_worker_free(&worker[i]);
    return st;
}
