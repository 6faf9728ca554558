/* rank.c - see rank.h. */
#include "rank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu_target.h"

sk_status sk_card_parse(const char *arch, sk_card *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    const sk_status st = sk_gpu_target_named(arch, &out->target, err);
    if (st != SPHKV_OK) return st;
    out->model = sk_gpu_model_find(out->target.sm);
    if (!out->model) return sk_fail(err, SPHKV_EUNSUPPORTED, "no card of %s is known", arch);
    out->target.sms = out->model->sms;
    sk_gpu_arch_text(&out->target, out->arch);
    return SPHKV_OK;
}

sk_status sk_ranking_make(const sk_spec *spec, const sk_shape *shape, uint32_t n, sk_ranking *out,
                          sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->kernel = sk_kernel_get(spec->kernel);
    out->spec = *spec;
    if (n == 0 || n > SK_RANK_SHAPES)
        return sk_fail(err, SPHKV_EINVAL, "%u shapes: 1 to %u", n, SK_RANK_SHAPES);
    for (uint32_t i = 0; i < n; i++) {
        const sk_status st = sk_predict_at_make(spec, &shape[i], &out->at[i], err);
        if (st != SPHKV_OK) {
            sk_ranking_free(out);
            return st;
        }
        out->nshape++;
    }
    return SPHKV_OK;
}

void sk_ranking_free(sk_ranking *r)
{
    for (uint32_t i = 0; i < r->nshape; i++) sk_predict_at_free(&r->at[i]);
    r->nshape = r->ncounted = 0;
}

/* The entry of a schedule, counted now if there is room; SK_RANK_COUNTED: none. */
static uint32_t entry_of(sk_ranking *r, const sk_schedule *s)
{
    for (uint32_t i = 0; i < r->ncounted; i++)
        if (memcmp(r->counted[i].schedule.v, s->v, sizeof s->v) == 0) return i;
    if (r->ncounted == SK_RANK_COUNTED) return SK_RANK_COUNTED;
    sk_counted *c = &r->counted[r->ncounted];
    c->schedule = *s;
    c->status = sk_work_count(&r->spec, s, &c->work, NULL);
    return r->ncounted++;
}

/* Predicted time over all shapes: the sum of logarithms. */
static double score(sk_ranking *r, const sk_card *card, uint32_t entry)
{
    double sum = 0;
    if (entry == SK_RANK_COUNTED || r->counted[entry].status != SPHKV_OK) return INFINITY;
    const sk_counted *c = &r->counted[entry];
    for (uint32_t i = 0; i < r->nshape; i++) {
        sk_prediction p;
        if (sk_predict(card->model, &card->target, &r->at[i], &c->schedule, &c->work, 0, &p,
                       NULL) != SPHKV_OK)
            return INFINITY;
        sum += log(p.us);
    }
    return sum;
}

/* The best value of one tunable, the others as they are. True: *s changed. */
static bool improve(sk_ranking *r, const sk_card *card, uint32_t tunable, sk_schedule *s,
                    double *best)
{
    const sk_schedule from = *s;
    for (uint32_t i = 0; i < sk_tunable_count(tunable); i++) {
        sk_schedule to = from;
        to.v[tunable] = sk_tunable_value(tunable, i);
        if (to.v[tunable] == from.v[tunable]) continue;
        if (sk_kernel_valid(r->kernel, &r->spec, &to, &card->target, NULL) != SPHKV_OK) continue;
        const double here = score(r, card, entry_of(r, &to));
        if (!(here < *best)) continue;
        *best = here;
        *s = to;
    }
    return memcmp(s->v, from.v, sizeof s->v) != 0;
}

static void climb(sk_ranking *r, const sk_card *card, sk_schedule *s)
{
    double best = score(r, card, entry_of(r, s));
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
            if (sk_tunable_tunes(t, r->spec.kernel, SK_BACKEND_CUDA))
                moved |= improve(r, card, t, s, &best);
    }
}

typedef struct scored {
    double score;
    uint32_t entry;
} scored;

static int by_score(const void *pa, const void *pb)
{
    const scored *a = pa, *b = pb;
    if (a->score < b->score || a->score > b->score) return a->score < b->score ? -1 : 1;
    return a->entry < b->entry ? -1 : a->entry > b->entry;
}

sk_status sk_rank(sk_ranking *r, const sk_card *card, uint32_t keep, uint32_t kept[SK_RANK_KEPT],
                  uint32_t *n, sk_err *err)
{
    sk_schedule s;
    scored all[SK_RANK_COUNTED];
    uint32_t count = 0;
    *n = 0;
    sk_kernel_default(r->kernel, &r->spec, &card->target, &s);
    const sk_status st = sk_kernel_valid(r->kernel, &r->spec, &s, &card->target, err);
    if (st != SPHKV_OK) return st;
    const uint32_t first = entry_of(r, &s);
    if (first == SK_RANK_COUNTED) return sk_fail(err, SPHKV_EINTERNAL, "too many schedules");
    kept[(*n)++] = first;
    climb(r, card, &s);
    for (uint32_t i = 0; i < r->ncounted; i++) {
        const sk_counted *c = &r->counted[i];
        if (i == first || c->status != SPHKV_OK ||
            sk_kernel_valid(r->kernel, &r->spec, &c->schedule, &card->target, NULL) != SPHKV_OK)
            continue;
        all[count++] = (scored){score(r, card, i), i};
    }
    qsort(all, count, sizeof *all, by_score);
    if (keep > SK_RANK_KEPT) keep = SK_RANK_KEPT;
    for (uint32_t i = 0; i < count && *n < keep && isfinite(all[i].score); i++)
        kept[(*n)++] = all[i].entry;
    return SPHKV_OK;
}
