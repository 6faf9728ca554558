/* pick.c - see pick.h. */
#include "pick.h"

#include "case.h"

#include <stdio.h>
#include <string.h>

#define CHECK_SEED 1 /* the self-check is the same on every machine */

/* What the steps below hand to each other. */
typedef struct picking {
    sphkv_context *ctx;
    const sk_spec *spec;
    const sk_kernel *kernel;
    const char *text;      /* the spec, canonical */
    sk_db_device device;
    sk_arena mem;          /* programs, texts and bytes of this pick */
    sk_pick *out;
} picking;

static void note(sk_pick *out, const char *what, const char *why)
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
        .q_len = 1,
        .threads = shape->threads,
    };
}

static const char *schedule_text(picking *p, const sk_schedule *schedule, sk_err *err)
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

/* Stored and verified before, on this kind of CPU. */
static sk_status code_stored(picking *p, const sk_code_ir *ir, sk_code **out, sk_err *err)
{
    sk_db_artifact artifact;
    sk_err local = {0};
    sk_status st = sk_db_default_get(p->ctx->dbs, &p->device, sk_kernel_name(p->spec->kernel), p->text, ir->hash,
                                     &p->mem, &artifact, &local);
    if (st == SPHKV_OK)
        st = sk_code_load(&artifact, ir, &p->ctx->device.target, out, &local);
    if (st == SPHKV_ENOMEM)
        return sk_fail(err, st, "%s", local.message);
    if (st != SPHKV_OK && strcmp(local.message, SK_DB_NO_DEFAULT) != 0)
        note(p->out, "a stored kernel is not used", local.message);
    return st;
}

static sk_status code_check(picking *p, const sk_code *code, const sk_schedule *schedule,
                            sk_err *err)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 4, .kv_heads = 2,
                                 .pages_per_list = 1024 / p->spec->page + 1, .parts = 4};
    sk_image image;
    double error = 0;
    sk_status st = sk_code_image(code, p->spec, schedule, &maxima, &image, err);
    return st == SPHKV_OK ? sk_image_check(&image, CHECK_SEED, &error, err) : st;
}

/* Compiled here, checked, stored for the next process. */
static sk_status code_compiled(picking *p, const sk_code_ir *ir, const sk_schedule *schedule,
                               const char *text, sk_code **out, sk_err *err)
{
    const sk_jit_llvm_api *api;
    sk_db_artifact artifact;
    sk_code *code = NULL;
    sk_err local = {0};
    sk_status st = sk_jit_get(&p->ctx->jit, &api, &local);
    if (st != SPHKV_OK)
        return sk_fail(err, st,
                       "no kernel is stored for %.120s on %.60s and none can be compiled "
                       "(%.130s): install LLVM 19 and sphkv_llvm.so, or a database made by "
                       "sphkv-tune",
                       p->text, p->ctx->device.arch, local.message);
    st = sk_code_compile(ir, &p->ctx->device.target, api, &p->mem, &artifact, err);
    if (st == SPHKV_OK)
        st = sk_code_load(&artifact, ir, &p->ctx->device.target, &code, err);
    if (st == SPHKV_OK)
        st = code_check(p, code, schedule, err);
    if (st != SPHKV_OK) {
        sk_code_release(code);
        return st;
    }
    *out = code;
    if (p->ctx->flags & SPHKV_OPEN_READ_ONLY)
        return SPHKV_OK;
    st = sk_db_default_put(p->ctx->dbs, &p->device, sk_kernel_name(p->spec->kernel), p->text, text, &artifact,
                           &local);
    if (st != SPHKV_OK)
        note(p->out, "a compiled kernel could not be stored", local.message);
    return SPHKV_OK;
}

static sk_status code_here(picking *p, const sk_code_ir *ir, const sk_schedule *schedule,
                           const char *text, sk_code **out, sk_err *err)
{
    sk_status st = code_stored(p, ir, out, err);
    if (st != SPHKV_OK && st != SPHKV_ENOMEM)
        st = code_compiled(p, ir, schedule, text, out, err);
    return st;
}

/* Code of one schedule that is not in the registry yet. A record of another CPU
 * of this architecture may bring code for more than this one has: its schedule
 * is then worth compiling here, and where that cannot be done, the reason is
 * the record's. */
static sk_status code_new(picking *p, const sk_code_ir *ir, const sk_schedule *schedule,
                          const char *text, const sk_db_artifact *given, sk_code **out,
                          sk_err *err)
{
    sk_status st;
    if (given && given->bytes) {
        st = sk_code_load(given, ir, &p->ctx->device.target, out, err);
        if (st == SPHKV_EUNSUPPORTED && code_here(p, ir, schedule, text, out, NULL) == SPHKV_OK)
            st = SPHKV_OK;
    } else {
        st = code_here(p, ir, schedule, text, out, err);
    }
    if (st == SPHKV_OK)
        st = sk_registry_add(&p->ctx->codes, p->text, text, *out, err);
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
static sk_status code_obtain(picking *p, const sk_schedule *schedule, const char *want,
                             const sk_db_artifact *given, sk_code **out, sk_err *err)
{
    sk_code_ir ir;
    const char *text = schedule_text(p, schedule, err);
    if (!text)
        return SPHKV_ENOMEM;
    sk_code *code = sk_registry_find(&p->ctx->codes, p->text, text);
    sk_status st = code ? SPHKV_OK : sk_code_ir_build(p->spec, schedule, &p->mem, &ir, err);
    if (st == SPHKV_OK && want && strcmp(code ? code->ir_hash : ir.hash, want) != 0)
        st = sk_fail(err, SPHKV_EDB, "stale: it is of another generator; tune again");
    if (st == SPHKV_OK && !code)
        st = code_new(p, &ir, schedule, text, given, &code, err);
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
    picking *p = user;
    sk_schedule schedule;
    const sk_target *target = &p->ctx->device.target;
    sk_kernel_default(p->kernel, p->spec, target, &schedule);
    sk_status st = sk_schedule_parse(p->spec->kernel, record->schedule, &schedule, err);
    if (st == SPHKV_OK)
        st = sk_kernel_valid(p->kernel, p->spec, &schedule, target, err);
    if (st == SPHKV_OK)
        st = code_obtain(p, &schedule, record->ir_hash, &record->artifact, &p->out->code, err);
    if (st == SPHKV_OK)
        p->out->schedule = schedule;
    return st;
}

static sk_status pick_record(picking *p, const sk_db_shape *shape, sk_err *err)
{
    sk_db_best_result best;
    sk_pick *out = p->out;
    sk_status st = sk_db_best_use(p->ctx->dbs, &p->device, sk_kernel_name(p->spec->kernel), p->text, shape, 0,
                                  use_record, p, &p->mem, &best, err);
    if (st != SPHKV_OK)
        return st;
    if (best.reason[0])
        note(out, "a record is not used", best.reason);
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

static sk_status pick_default(picking *p, sk_err *err)
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

sk_status sk_pick_code(sphkv_context *ctx, const sk_spec *spec, const sk_db_shape *shape,
                       sk_pick *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    picking p = {.ctx = ctx, .spec = spec, .out = out, .device = sk_device_record(&ctx->device)};
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
    st = pick_record(&p, shape, err);
    if (st == SPHKV_ENOTFOUND)
        st = pick_default(&p, err);
    pthread_mutex_unlock(&ctx->lock);
    sk_arena_free(&p.mem);
    sk_text_free(&text);
    return st;
}
