/* prebuild_item.c - one spec of a prebuild, in a worker: ranked, compiled, stored for
 * one card after the other. A card's winners are stored last, so one that has them
 * has everything. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cuda_compile.h"
#include "pick.h"
#include "prebuild_impl.h"

/* What a worker has at work. */
typedef struct builder {
    sk_prebuild *p;
    const sk_prebuild_item *item;
    sk_prebuild_result *result;
    sk_desk *desk;
    uint32_t index;
    sk_db *db;
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api;
    char *spec_text;
    sk_ranking ranking;
    bool ranked;      /* ranking is made */
} builder;

/* One card: its devices as the database sees them. */
typedef struct site {
    const sk_card *card;
    sk_prebuild_card *out;
    char name[64], print[96], ptx_arch[24], ptx_name[64], ptx_print[64];
    sk_db_device device, ptx_device;
} site;

static void site_make(const builder *b, uint32_t card, site *s)
{
    s->card = &b->p->card[card];
    s->out = &b->result->card[card];
    const sk_card *c = s->card;
    snprintf(s->name, sizeof s->name, "%s (predicted)", c->model->card);
    snprintf(s->print, sizeof s->print, "cuda;predicted;%s;%s", c->arch, c->model->card);
    snprintf(s->ptx_arch, sizeof s->ptx_arch, "compute_%s", c->arch + strlen("sm_"));
    snprintf(s->ptx_name, sizeof s->ptx_name, "any GPU %s %u.%u%s (predicted)",
             c->target.sm_exact ? "of" : "from", c->target.sm / 10, c->target.sm % 10,
             c->target.sm_exact ? "" : " on");
    snprintf(s->ptx_print, sizeof s->ptx_print, "cuda;predicted;%s", s->ptx_arch);
    s->device = (sk_db_device){.kind = "cuda", .name = s->name, .arch = c->arch,
                               .fingerprint = s->print, .toolchain = b->api->version};
    s->ptx_device = (sk_db_device){.kind = "cuda", .name = s->ptx_name, .arch = s->ptx_arch,
                                   .fingerprint = s->ptx_print, .toolchain = b->api->version};
}

/* ---- what is there already -------------------------------------------------------- */

static sk_status default_hash(const builder *b, const site *s, char hash[65], sk_err *err)
{
    sk_schedule schedule;
    sk_arena mem = {0};
    sk_code_ir ir;
    const sk_kernel *kernel = sk_kernel_get(b->item->spec.kernel);
    sk_kernel_default(kernel, &b->item->spec, &s->card->target, &schedule);
    sk_status st = sk_kernel_valid(kernel, &b->item->spec, &schedule, &s->card->target, err);
    if (st == SPHKV_OK) st = sk_code_ir_build(&b->item->spec, &schedule, &mem, &ir, err);
    if (st == SPHKV_OK) memcpy(hash, ir.hash, 65);
    sk_arena_free(&mem);
    return st;
}

/* Fills what is said of a card from its winners; false: one is missing or of
 * another generator. */
static bool all_there(const builder *b, const site *s, const char *hash)
{
    sk_arena mem = {0};
    bool there = true;
    for (uint32_t i = 0; i < b->item->nshape && there; i++) {
        const sk_db_shape shape = sk_pick_shape(&b->item->spec, &b->item->shape[i]);
        const sk_db_filter filter = {.device = &s->device,
                                     .kernel = sk_kernel_name(b->item->spec.kernel),
                                     .spec = b->spec_text,
                                     .shape = &shape};
        sk_db_winner *w = NULL;
        sk_db_trial *base = NULL;
        size_t n = 0, bases = 0;
        there = sk_db_winners(b->db, &filter, &mem, &w, &n, NULL) == SPHKV_OK && n == 1 &&
                strcmp(w[0].state, "ready") == 0;
        if (!there) break;
        const sk_db_filter row = {.id = w[0].default_trial_id};
        there = sk_db_trials(b->db, &row, &mem, &base, &bases, NULL) == SPHKV_OK && bases == 1 &&
                strcmp(base[0].key.ir_hash, hash) == 0;
        s->out->us[i] = w[0].trial.median_us;
        s->out->speedup[i] = w[0].speedup;
        if (i == 0)
            snprintf(s->out->schedule, sizeof s->out->schedule, "%.255s", w[0].trial.key.schedule);
    }
    sk_arena_free(&mem);
    return there;
}

/* ---- making ----------------------------------------------------------------------- */

/* A schedule that was compiled. */
typedef struct made {
    const sk_counted *counted;
    sk_text schedule;
    sk_code_ir ir;
    sk_cuda_built code;
    int64_t trial[SK_RANK_SHAPES];
    double us[SK_RANK_SHAPES];
    bool ok;
} made;

static uint32_t spills(const sk_cuda_built *code)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < code->nentry; i++) bytes += sk_cuda_spilled(&code->resources[i]);
    return bytes;
}

/* Compiles schedule k of the card; not ok: it is left out. */
static sk_status make_one(builder *b, const site *s, const sk_counted *counted, bool base,
                          sk_arena *mem, made *m, sk_err *err)
{
    sk_prebuild_card *out = s->out;
    m->counted = counted;
    sk_desk_enter(b->desk, SK_PHASE_COMPILE, b->index);
    sk_schedule_print(b->item->spec.kernel, &counted->schedule, &m->schedule);
    if (m->schedule.failed) return sk_fail(err, SPHKV_ENOMEM, "no memory for a schedule");
    sk_status st = sk_code_ir_build(&b->item->spec, &counted->schedule, mem, &m->ir, err);
    if (st == SPHKV_OK)
        st = sk_cuda_compile(&m->ir, &b->item->spec, &counted->schedule, s->card->arch, b->api, 0,
                             mem, &m->code, err);
    if (st == SPHKV_ENOMEM || (st != SPHKV_OK && base)) return st;
    m->ok = st == SPHKV_OK && (base || spills(&m->code) == 0);
    if (!m->ok) {
        out->dropped++;
        return SPHKV_OK;
    }
    out->kept++;
    out->code_bytes += m->code.cubin.size;
    if (base) {
        out->registers = m->code.resources[0].registers;
        out->shared_bytes = counted->work.shared[0];
        out->spill_bytes = spills(&m->code);
    }
    return SPHKV_OK;
}

static sk_status put_trial(const builder *b, const sk_db_device *device, const made *m,
                           const sk_predict_at *at, const sk_db_artifact *code,
                           const sk_prediction *predicted, int64_t *id, sk_err *err)
{
    char message[120];
    const sk_cuda_resources *r = &m->code.resources[0];
    snprintf(message, sizeof message, "predicted, never run: limited by %s; %u registers, %u spilled",
             predicted->limit == SK_UNIT_COUNT ? "memory" : sk_gpu_unit_name(predicted->limit),
             r->registers == SK_CUDA_UNKNOWN ? 0 : r->registers, spills(&m->code));
    const sk_db_trial trial = {
        .key = {.device = device,
                .kernel = sk_kernel_name(b->item->spec.kernel),
                .spec = b->spec_text,
                .shape = sk_pick_shape(&at->spec, &at->shape),
                .schedule = m->schedule.s,
                .ir_hash = m->ir.hash,
                .accuracy = sk_accuracy_name(b->item->spec.accuracy),
                .run_kind = SK_DB_PREDICT},
        .outcome = SK_OUTCOME_SKIPPED,
        .message = message,
        .median_us = predicted->us,
        .error = -1,
        .bytes = (uint64_t)(at->cost.read_bytes + at->cost.write_bytes),
        .tool_version = sphkv_version(),
        .compiler_version = b->api->version,
        .run_id = b->p->run_id,
        .artifact = code,
    };
    return sk_db_trial_put(b->db, &trial, id, err);
}

static sk_status put_winner(const builder *b, int64_t best, int64_t base, double us, double base_us,
                            sk_err *err)
{
    const sk_db_winner w = {.flip_risk = NAN,
                            .noisy = NAN,
                            .drift = NAN,
                            .trial_id = best,
                            .default_trial_id = base,
                            .speedup = base_us / us,
                            .speedup_lo = base_us / us,
                            .speedup_hi = base_us / us,
                            .ties = "",
                            .default_us = base_us,
                            .run_id = b->p->run_id};
    return sk_db_winner_put(b->db, &w, NULL, err);
}

/* Trials of all schedules at a shape; the winner is the one predicted fastest. */
static sk_status store_shape(builder *b, const site *s, made *m, uint32_t n, uint32_t shape,
                             uint32_t *best, sk_err *err)
{
    const sk_predict_at *at = &b->ranking.at[shape];
    sk_status st = SPHKV_OK;
    *best = 0;
    for (uint32_t k = 0; k < n && st == SPHKV_OK; k++) {
        sk_prediction p;
        if (!m[k].ok) continue;
        const uint32_t registers = m[k].code.resources[0].registers;
        st = sk_predict(s->card->model, &s->card->target, at,
                        &m[k].counted->schedule, &m[k].counted->work,
                        registers == SK_CUDA_UNKNOWN ? 0 : registers, &p, err);
        if (st == SPHKV_OK)
            st = put_trial(b, &s->device, &m[k], at, &m[k].code.cubin, &p, &m[k].trial[shape], err);
        if (st != SPHKV_OK) return st;
        m[k].us[shape] = p.us;
        if (p.us < m[*best].us[shape]) *best = k;
        if (k > 0) continue;
        int64_t ptx = 0; /* of the default: for any card from this one on */
        st = put_trial(b, &s->ptx_device, &m[k], at, &m[k].code.ptx, &p, &ptx, err);
        if (st == SPHKV_OK) st = put_winner(b, ptx, ptx, p.us, p.us, err);
    }
    s->out->us[shape] = m[*best].us[shape];
    s->out->speedup[shape] = m[0].us[shape] / m[*best].us[shape];
    return st;
}

static sk_status store(builder *b, const site *s, made *m, uint32_t n, sk_err *err)
{
    uint32_t best[SK_RANK_SHAPES];
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < b->item->nshape && st == SPHKV_OK; i++)
        st = store_shape(b, s, m, n, i, &best[i], err);
    for (uint32_t i = 0; i < b->item->nshape && st == SPHKV_OK; i++)
        st = put_winner(b, m[best[i]].trial[i], m[0].trial[i], m[best[i]].us[i], m[0].us[i], err);
    if (st == SPHKV_OK)
        snprintf(s->out->schedule, sizeof s->out->schedule, "%.255s", m[best[0]].schedule.s);
    return st;
}

static sk_status build_card(builder *b, const site *s, sk_err *err)
{
    made m[SK_RANK_KEPT];
    uint32_t kept[SK_RANK_KEPT], n = 0;
    sk_arena mem = {0};
    char hash[65];
    memset(m, 0, sizeof m);
    sk_desk_enter(b->desk, SK_PHASE_COMPILE, b->index);
    sk_status st = default_hash(b, s, hash, err);
    if (st == SPHKV_OK) st = sk_nvrtc_has_arch(b->api, s->card->arch, err);
    if (st != SPHKV_OK) return st;
    s->out->found = all_there(b, s, hash);
    s->out->done = s->out->found;
    if (s->out->found) return SPHKV_OK;
    if (!b->ranked) {
        st = sk_ranking_make(&b->item->spec, b->item->shape, b->item->nshape, &b->ranking, err);
        b->ranked = st == SPHKV_OK;
    }
    if (st == SPHKV_OK) st = sk_rank(&b->ranking, s->card, SK_RANK_KEPT, kept, &n, err);
    for (uint32_t k = 0; k < n && st == SPHKV_OK; k++) /* the next best for one that spills */
        if (s->out->kept < b->p->keep)
            st = make_one(b, s, &b->ranking.counted[kept[k]], k == 0, &mem, &m[k], err);
    if (st == SPHKV_OK) st = store(b, s, m, n, err);
    s->out->done = st == SPHKV_OK;
    for (uint32_t k = 0; k < n; k++) sk_text_free(&m[k].schedule);
    sk_arena_free(&mem);
    return st;
}

/* ---- the worker --------------------------------------------------------------------- */

static sk_status begin(builder *b, sk_err *err)
{
    sk_text text = {0};
    sk_nvrtc_init(&b->nvrtc, true, 0);
    sk_status st = sk_nvrtc_get(&b->nvrtc, &b->api, err);
    if (st == SPHKV_OK) st = sk_db_open(b->p->db_path, 0, &b->db, err);
    sk_spec_print(&b->item->spec, &text);
    if (st == SPHKV_OK && text.failed) st = sk_fail(err, SPHKV_ENOMEM, "no memory for a spec");
    b->spec_text = text.s;
    return st;
}

/* A card that fails leaves the others their turn; a database that does, does not. */
static sk_status build_cards(builder *b, sk_err *err)
{
    for (uint32_t c = 0; c < b->p->cards; c++) {
        site s;
        sk_err why = {0};
        site_make(b, c, &s);
        const sk_status st = build_card(b, &s, &why);
        if (st == SPHKV_ENOMEM || st == SPHKV_EDB || st == SPHKV_EIO)
            return sk_fail(err, st, "%s", why.message);
        if (st != SPHKV_OK) snprintf(s.out->why, sizeof s.out->why, "%.255s", why.message);
    }
    return SPHKV_OK;
}

void sk_prebuild_serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS])
{
    sk_prebuild *p = user;
    builder b = {.p = p, .item = &p->item[request[0]], .result = &p->result[request[0]],
                 .desk = desk, .index = request[0]};
    sk_err err = {0};
    const double t0 = sk_progress_now();
    sk_desk_enter(desk, SK_PHASE_LOAD, request[0]);
    sk_status st = begin(&b, &err);
    if (st == SPHKV_OK) st = build_cards(&b, &err);
    b.result->status = st;
    b.result->counted = b.ranking.ncounted;
    b.result->seconds = sk_progress_now() - t0;
    snprintf(b.result->why, sizeof b.result->why, "%.399s", st == SPHKV_OK ? "" : err.message);
    sk_ranking_free(&b.ranking);
    sk_text_free(&(sk_text){.s = b.spec_text});
    sk_db_close(b.db);
    sk_nvrtc_close(&b.nvrtc);
}
