/* pick.c - see pick.h. */
#include "pick_impl.h"

#include "case.h"

#include <stdio.h>
#include <string.h>

#define CHECK_SEED 1 /* the self-check is the same on every machine */

void sk_pick_note(sk_pick *out, const char *what, const char *why)
{
    if (out->notes < SK_PICK_NOTES)
        snprintf(out->note[out->notes++], sizeof out->note[0], "sphkv: %.150s: %.340s", what, why);
}

sk_db_shape sk_pick_shape(const sk_spec *spec, const sk_shape *shape)
{
    return (sk_db_shape){
        .batch = shape->batch,
        .context = sk_kernel_get(spec->kernel)->over_lists ? shape->context : 0,
        .kv_heads = shape->kv_heads,
        .q_heads = shape->kv_heads * spec->heads_per_kv,
        .q_len = shape->q_len ? shape->q_len : 1,
        .threads = shape->threads,
    };
}

static const char *schedule_text(sk_picking *p, const sk_schedule *schedule, sk_err *err)
{
    sk_text text = {0};
    sk_schedule_print(p->spec->kernel, schedule, &text);
    const char *copy = text.failed ? NULL : sk_arena_strdup(&p->mem, text.s ? text.s : "");
    sk_text_free(&text);
    if (!copy)
        sk_fail(err, SPHKV_ENOMEM, "out of memory for a schedule");
    return copy;
}

/* ---- where code comes from ---------------------------------------------- */

static sk_status load(const sk_picking *p, const sk_db_artifact *artifact, const sk_code_ir *ir,
                      sk_code **out, sk_err *err)
{
    const sphkv_context *ctx = p->ctx;
    if (ctx->cuda)
        return sk_code_load_cuda(artifact, ir, ctx->cuda, &ctx->device.target, out, err);
    return sk_code_load(artifact, ir, &ctx->device.target, out, err);
}

sk_status sk_pick_stored(sk_picking *p, const char *arch, const sk_wanted *w, sk_code **out,
                         sk_err *err)
{
    sk_db_artifact artifact;
    sk_err local = {0};
    sk_db_device device = p->device;
    device.arch = arch;
    sk_status st = sk_db_default_get(p->ctx->dbs, &device, sk_kernel_name(p->spec->kernel), p->text,
                                     w->ir.hash, &p->mem, &artifact, &local);
    if (st == SPHKV_OK)
        st = load(p, &artifact, &w->ir, out, &local);
    if (st == SPHKV_OK)
        return st;
    if (st == SPHKV_ENOMEM)
        return sk_fail(err, st, "%s", local.message);
    if (strcmp(local.message, SK_DB_NO_DEFAULT) == 0)
        return sk_fail(err, SPHKV_ENOTFOUND, "none is kept");
    sk_pick_note(p->out, "a stored kernel is not used", local.message);
    return sk_fail(err, SPHKV_EDB, "%s", local.message);
}

static sk_status code_check(const sk_picking *p, const sk_code *code, const sk_schedule *schedule,
                            sk_err *err)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 4, .kv_heads = 2,
                                 .pages_per_list = 1024 / p->spec->page + 1,
                                 .parts = p->ctx->cuda ? 1 : 4};
    sk_image image;
    double error = 0;
    sk_status st = sk_code_image(code, p->spec, schedule, &maxima, &image, err);
    return st == SPHKV_OK ? sk_code_check(code, &image, CHECK_SEED, &error, err) : st;
}

sk_status sk_pick_prove(sk_picking *p, const sk_wanted *w, const sk_db_artifact *artifact,
                        sk_code **out, sk_err *err)
{
    sk_code *code = NULL;
    sk_err local = {0};
    sk_status st = load(p, artifact, &w->ir, &code, err);
    if (st == SPHKV_OK)
        st = code_check(p, code, w->schedule, err);
    if (st != SPHKV_OK) {
        sk_code_release(code);
        return st;
    }
    *out = code;
    if (p->ctx->flags & SPHKV_OPEN_READ_ONLY)
        return SPHKV_OK;
    st = sk_db_default_put(p->ctx->dbs, &p->device, sk_kernel_name(p->spec->kernel), p->text,
                           w->text, artifact, &local);
    if (st != SPHKV_OK)
        sk_pick_note(p->out, "a proven kernel could not be stored", local.message);
    return SPHKV_OK;
}

/* Compiled here, checked, stored for the next process. */
static sk_status code_compiled(sk_picking *p, const sk_wanted *w, sk_code **out, sk_err *err)
{
    const sk_jit_llvm_api *api;
    sk_db_artifact artifact;
    sk_err local = {0};
    sk_status st = sk_jit_get(&p->ctx->jit, &api, &local);
    if (st != SPHKV_OK)
        return sk_fail(err, st,
                       "no kernel is stored for %.120s on %.60s and none can be compiled "
                       "(%.130s): install LLVM 19 and sphkv_llvm.so, or a database made by "
                       "sphkv-tune",
                       p->text, p->ctx->device.arch, local.message);
    st = sk_code_compile(&w->ir, &p->ctx->device.target, api, &p->mem, &artifact, err);
    return st == SPHKV_OK ? sk_pick_prove(p, w, &artifact, out, err) : st;
}

static sk_status code_here(sk_picking *p, const sk_wanted *w, sk_code **out, sk_err *err)
{
    if (p->ctx->cuda)
        return sk_pick_cuda_here(p, w, out, err);
    sk_status st = sk_pick_stored(p, p->device.arch, w, out, err);
    if (st != SPHKV_OK && st != SPHKV_ENOMEM)
        st = code_compiled(p, w, out, err);
    return st;
}

/* The code that a record brought. One that never ran may have been proven here
 * before. */
static sk_status code_given(sk_picking *p, const sk_wanted *w, const sk_db_artifact *given,
                            sk_code **out, sk_err *err)
{
    if (!p->unproven)
        return load(p, given, &w->ir, out, err);
    sk_status st = sk_pick_stored(p, p->device.arch, w, out, NULL);
    if (st == SPHKV_OK || st == SPHKV_ENOMEM)
        return st;
    return sk_pick_prove(p, w, given, out, err);
}

/* Code of one schedule that is not in the registry yet. A record of another device
 * of this architecture may bring code for more than this one has: its schedule
 * is then worth compiling here, and where that cannot be done, the reason is
 * the record's. */
static sk_status code_new(sk_picking *p, const sk_wanted *w, const sk_db_artifact *given,
                          sk_code **out, sk_err *err)
{
    sk_status st;
    if (given && given->bytes) {
        st = code_given(p, w, given, out, err);
        if (st == SPHKV_EUNSUPPORTED && code_here(p, w, out, NULL) == SPHKV_OK)
            st = SPHKV_OK;
    } else {
        st = code_here(p, w, out, err);
    }
    if (st == SPHKV_OK)
        st = sk_registry_add(&p->ctx->codes, p->text, w->text, *out, err);
    if (st != SPHKV_OK) {
        sk_code_release(*out);
        *out = NULL;
    }
    return st;
}

/* Code of one schedule, a reference in *out: `given` when a record brought it,
 * else whatever is at hand. want: the hash that its IR must have; NULL = any.
 * Programs of thousands of instructions take milliseconds to build, and what a
 * schedule means does not change within a process: the registry is asked
 * first. */
static sk_status code_obtain(sk_picking *p, const sk_schedule *schedule, const char *want,
                             const sk_db_artifact *given, sk_code **out, sk_err *err)
{
    sk_wanted w = {.schedule = schedule, .text = schedule_text(p, schedule, err)};
    if (!w.text)
        return SPHKV_ENOMEM;
    sk_code *code = sk_registry_find(&p->ctx->codes, p->text, w.text);
    sk_status st = code ? SPHKV_OK : sk_code_ir_build(p->spec, schedule, &p->mem, &w.ir, err);
    if (st == SPHKV_OK && want && strcmp(code ? code->ir_hash : w.ir.hash, want) != 0)
        st = sk_fail(err, SPHKV_EDB, "stale: it is of another generator; tune again");
    if (st == SPHKV_OK && !code)
        st = code_new(p, &w, given, &code, err);
    if (st == SPHKV_OK)
        *out = code;
    else
        sk_code_release(code);
    return st;
}

/* ---- which schedule ------------------------------------------------------- */

/* Everything that must hold before a record's code may run; sk_db_best_use asks
 * it of one record after the other. */
static sk_status use_record(void *user, const sk_db_best_result *record, sk_err *err)
{
    sk_picking *p = user;
    sk_schedule schedule;
    const sk_target *target = &p->ctx->device.target;
    sk_kernel_default(p->kernel, p->spec, target, &schedule);
    sk_status st = sk_schedule_parse(p->spec->kernel, record->schedule, &schedule, err);
    if (st == SPHKV_OK)
        st = sk_kernel_valid(p->kernel, p->spec, &schedule, target, err);
    p->unproven = record->match == SK_MATCH_PREDICTED;
    if (st == SPHKV_OK)
        st = code_obtain(p, &schedule, record->ir_hash, &record->artifact, &p->out->code, err);
    p->unproven = false;
    if (st == SPHKV_OK)
        p->out->schedule = schedule;
    else if (err && !p->why[0])
        snprintf(p->why, sizeof p->why, "%.159s", err->message);
    return st;
}

sk_status sk_pick_record(sk_picking *p, const sk_db_device *device, const sk_db_shape *shape,
                         sk_err *err)
{
    sk_db_best_result best;
    sk_pick *out = p->out;
    p->why[0] = '\0';
    sk_status st = sk_db_best_use(p->ctx->dbs, device, sk_kernel_name(p->spec->kernel), p->text,
                                  shape, 0, use_record, p, &p->mem, &best, err);
    if (st != SPHKV_OK)
        return st;
    if (best.reason[0])
        sk_pick_note(out, "a record is not used", best.reason);
    if (!p->why[0]) /* the store's own doubts */
        snprintf(p->why, sizeof p->why, "%.159s", best.reason);
    out->match = best.match;
    if (best.match == SK_MATCH_NONE)
        return SPHKV_ENOTFOUND;
    if (best.match == SK_MATCH_EXACT) {
        snprintf(out->how, sizeof out->how, "%s", sk_match_text(best.match));
    } else {
        char text[SK_DB_SHAPE_TEXT];
        sk_db_shape_text(&best.shape, text);
        snprintf(out->how, sizeof out->how, "%s (%.64s, %s)", sk_match_text(best.match),
                 best.device_name, text);
    }
    return SPHKV_OK;
}

sk_status sk_pick_default(sk_picking *p, sk_err *err)
{
    const sk_target *target = &p->ctx->device.target;
    sk_schedule *schedule = &p->out->schedule;
    sk_kernel_default(p->kernel, p->spec, target, schedule);
    sk_status st = sk_kernel_valid(p->kernel, p->spec, schedule, target, err);
    if (st != SPHKV_OK)
        return st == SPHKV_ENOMEM ? st : SPHKV_EUNSUPPORTED;
    p->out->match = SK_MATCH_NONE;
    snprintf(p->out->how, sizeof p->out->how, "default");
    return code_obtain(p, schedule, NULL, NULL, &p->out->code, err);
}

static sk_status pick_cpu(sk_picking *p, const sk_db_shape *shape, sk_err *err)
{
    sk_status st = sk_pick_record(p, &p->device, shape, err);
    return st == SPHKV_ENOTFOUND ? sk_pick_default(p, err) : st;
}

sk_status sk_pick_code(sphkv_context *ctx, const sk_spec *spec, const sk_db_shape *shape,
                       sk_pick *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    sk_picking p = {.ctx = ctx, .spec = spec, .out = out, .compiles = true,
                    .device = sk_device_record(&ctx->device)};
    p.kernel = sk_kernel_get(spec->kernel);
    if (!p.kernel)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "there is no kernel number %u", spec->kernel);
    sk_status st = p.kernel->supported(spec, err);
    if (st != SPHKV_OK)
        return st;
    sk_text text = {0};
    sk_spec_print(spec, &text);
    if (text.failed) {
        sk_text_free(&text);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for a spec");
    }
    p.text = text.s;
    pthread_mutex_lock(&ctx->lock);
    st = ctx->cuda ? sk_pick_cuda(&p, shape, err) : pick_cpu(&p, shape, err);
    pthread_mutex_unlock(&ctx->lock);
    sk_arena_free(&p.mem);
    sk_text_free(&text);
    return st;
}
