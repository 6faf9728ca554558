/* bench_pick.c - see bench.h: what a lane runs, and how much memory it needs. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pick.h"
#include "ready.h"

typedef struct choice {
    sk_bench_lane *lane;
    const sk_device *device;
    const sk_kernel *kernel;
} choice;

/* A record is used when it is valid here and of the generator of today. */
static sk_status use_record(void *user, const sk_db_best_result *record, sk_err *err)
{
    choice *c = user;
    sk_bench_lane *lane = c->lane;
    sk_arena scratch = {0};
    sk_code_ir ir;
    sk_schedule s;
    sk_kernel_default(c->kernel, &lane->spec, &c->device->target, &s);
    sk_status st = sk_schedule_parse(lane->spec.kernel, record->schedule, &s, err);
    if (st == SPHKV_OK) st = sk_kernel_valid(c->kernel, &lane->spec, &s, &c->device->target, err);
    if (st == SPHKV_OK) st = sk_code_ir_build(&lane->spec, &s, &scratch, &ir, err);
    if (st == SPHKV_OK && strcmp(ir.hash, record->ir_hash) != 0)
        st = sk_fail(err, SPHKV_EDB, "stale: it is of another generator; tune again");
    sk_arena_free(&scratch);
    if (st == SPHKV_OK) lane->schedule = s;
    return st;
}

static sk_status pick_stored(sk_db_set *set, const sk_device *device, const sk_shape *shape,
                             sk_bench_lane *lane, sk_err *err)
{
    choice c = {lane, device, sk_kernel_get(lane->spec.kernel)};
    sk_db_device record = sk_device_record(device);
    sk_db_shape key = sk_pick_shape(&lane->spec, shape);
    sk_db_best_result best;
    sk_text spec = {0};
    sk_spec_print(&lane->spec, &spec);
    if (spec.failed) return sk_fail(err, SPHKV_ENOMEM, "no memory for a spec");
    sk_status st = sk_db_best_use(set, &record, sk_kernel_name(lane->spec.kernel), spec.s, &key, 0,
                                  use_record, &c, &lane->mem, &best, err);
    sk_text_free(&spec);
    if (st != SPHKV_OK) return st;
    if (best.match == SK_MATCH_NONE) {
        snprintf(lane->how, sizeof lane->how, "default%s%.140s", best.reason[0] ? "; " : "",
                 best.reason);
        return SPHKV_OK;
    }
    snprintf(lane->how, sizeof lane->how, "%s", sk_match_text(best.match));
    lane->artifact = best.artifact;
    return SPHKV_OK;
}

static sk_status pick_schedule(sk_db_set *set, const sk_device *device, const sk_shape *shape,
                               const char *schedule, sk_bench_lane *out, sk_err *err)
{
    const sk_kernel *kernel = sk_kernel_get(out->spec.kernel);
    const sk_target *target = &device->target;
    sk_kernel_default(kernel, &out->spec, target, &out->schedule);
    snprintf(out->how, sizeof out->how, "default");
    if (!schedule && set) return pick_stored(set, device, shape, out, err);
    if (!schedule || strcmp(schedule, "default") == 0) return SPHKV_OK;
    snprintf(out->how, sizeof out->how, "given");
    return sk_kernel_given(kernel, &out->spec, target, schedule, &out->schedule, err);
}

sk_status sk_bench_pick(sk_db_set *set, const sk_device *device, const sk_spec *spec,
                        const sk_shape *shape, const char *schedule, sk_bench_lane *out,
                        sk_err *err)
{
    sk_text text = {0}, tiers = {0};
    sk_err why = {0};
    memset(out, 0, sizeof *out);
    out->spec = *spec;
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    sk_status st = kernel->supported(spec, &why);
    if (st == SPHKV_OK && !kernel->form[device->target.backend])
        st = sk_kernel_valid(kernel, spec, &(sk_schedule){0}, &device->target, &why);
    if (st == SPHKV_OK) {
        st = pick_schedule(set, device, shape, schedule, out, err);
        if (st != SPHKV_OK) {
            sk_arena_free(&out->mem);
            return st;
        }
        sk_schedule_print(spec->kernel, &out->schedule, &text);
    } else {
        snprintf(out->failed, sizeof out->failed, "%.399s", why.message);
        sk_text_printf(&text, "none");
    }
    sk_spec_mix_print(spec, &tiers);
    out->schedule_text = text.s;
    out->tiers = tiers.s;
    return text.failed || tiers.failed ? sk_fail(err, SPHKV_ENOMEM, "no memory for a lane")
                                       : SPHKV_OK;
}

/* A schedule of the form written by hand; of several, one with as many blocks as the
 * default has. *out: "" when there is none. */
static sk_status find_ceiling(const sk_device *device, const sk_spec *spec, sk_text *out,
                              sk_err *err)
{
    sk_space space;
    uint32_t found = 0;
    *out = (sk_text){0};
    sk_status st = sk_space_make(spec, &device->target, &space, err);
    if (st != SPHKV_OK) return st;
    const int32_t blocks = space.candidate[0].schedule.v[SK_T_blocks];
    for (uint32_t i = 1; i < space.count; i++) {
        const sk_schedule *s = &space.candidate[i].schedule;
        if (s->v[SK_T_form] == SK_ATTN_RAW && (!found || s->v[SK_T_blocks] == blocks)) found = i;
    }
    if (found) sk_schedule_print(spec->kernel, &space.candidate[found].schedule, out);
    sk_space_free(&space);
    return out->failed ? sk_fail(err, SPHKV_ENOMEM, "no memory for a schedule") : SPHKV_OK;
}

sk_status sk_bench_pick_ceiling(const sk_device *device, const sk_spec *spec,
                                const sk_shape *shape, sk_bench_lane *out, sk_err *err)
{
    sk_text schedule = {0};
    sk_status st = SPHKV_EUNSUPPORTED;
    memset(out, 0, sizeof *out);
    if (device->target.backend == SK_BACKEND_CUDA && spec->kernel == SPHKV_ATTN_DECODE)
        st = find_ceiling(device, spec, &schedule, err);
    if (st == SPHKV_OK && schedule.len)
        st = sk_bench_pick(NULL, device, spec, shape, schedule.s, out, err);
    else if (st == SPHKV_OK || st == SPHKV_EUNSUPPORTED)
        st = sk_fail(err, SPHKV_EUNSUPPORTED, "no kernel of this spec was written by hand");
    if (st == SPHKV_OK) snprintf(out->how, sizeof out->how, "written by hand");
    sk_text_free(&schedule);
    return st;
}

void sk_bench_lane_free(sk_bench_lane *lane)
{
    sk_free(lane->tiers);
    sk_free(lane->schedule_text);
    sk_arena_free(&lane->mem);
    memset(lane, 0, sizeof *lane);
}

double sk_bench_memory(const sk_spec *spec, const sk_shape *shape, const sk_device *device)
{
    sk_cost cost;
    const size_t cold = sk_device_cold_bytes(device);
    sk_kernel_get(spec->kernel)->cost(spec, shape, &cost);
    const double bytes = cost.read_bytes + cost.write_bytes;
    const double sweep = 2 * bytes > (double)cold ? 2 * bytes : (double)cold;
    return bytes + (double)cold + sweep; /* copies: as many as make the cold bytes */
}

double sk_bench_memory_limit(const sk_device *device)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    const double host =
        pages > 0 && size > 0 ? 0.6 * (double)pages * (double)size : (double)((size_t)4 << 30);
    const double gpu = 0.8 * (double)device->gpu.memory_bytes;
    return device->target.backend == SK_BACKEND_CUDA && gpu < host ? gpu : host;
}
