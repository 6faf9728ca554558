/* job.c - see job.h. */
#include "job.h"

#include <string.h>

#include "pick.h"
#include "worker.h"

static const sk_effort efforts[] = {
    {"quick", 5, 31, 61, 4, 24, 8},
    {"normal", 9, 41, 121, 7, 96, 90},
    {"full", 15, 101, 241, 12, 0, 0},
};

const sk_effort *sk_effort_find(const char *name)
{
    for (size_t i = 0; i < SK_COUNT(efforts); i++)
        if (strcmp(efforts[i].name, name) == 0) return &efforts[i];
    return NULL;
}

sk_shape sk_job_shape(const sk_spec *spec, uint32_t kv_heads, uint32_t context, uint32_t batch,
                      uint32_t threads)
{
    const sk_shape step = {
        .batch = batch, .kv_heads = kv_heads, .context = context, .threads = threads};
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    return kernel->shape ? kernel->shape(spec, &step) : step;
}

static sk_status fill_texts(sk_job *job, sk_err *err)
{
    sk_text text = {0};
    sk_spec_print(&job->spec, &text);
    if (text.failed) {
        sk_text_free(&text);
        return sk_fail(err, SPHKV_ENOMEM, "no memory for a spec");
    }
    job->spec_text = text.s;
    return SPHKV_OK;
}

sk_status sk_job_make(const sk_spec *spec, const sk_shape *shape, const sk_device *device,
                      const sk_effort *effort, uint64_t seed, sk_job *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->kernel = sk_kernel_get(spec->kernel);
    out->spec = *spec;
    out->shape = *shape;
    out->db_shape = sk_pick_shape(spec, shape);
    out->device = device;
    out->effort = effort;
    out->seed = seed;
    out->cold = sk_device_cold_bytes(device);
    sk_status st = sk_space_make(spec, &device->target, &out->space, err);
    if (st == SPHKV_OK) st = fill_texts(out, err);
    if (st != SPHKV_OK) {
        sk_job_free(out);
        return st;
    }
    out->answer = sk_shared_alloc(sizeof *out->answer);
    out->code = sk_shared_alloc(SK_MAX_ENTRANTS * sizeof *out->code);
    out->base_count = sk_case_outputs(spec, shape);
    out->case_by_worker = out->base_count == 0 || device->target.backend == SK_BACKEND_CUDA;
    if (out->base_count) out->base = sk_shared_alloc(out->base_count * sizeof *out->base);
    if (!out->answer || !out->code || (out->base_count && !out->base)) {
        sk_job_free(out);
        return sk_fail(err, SPHKV_ENOMEM, "no shared memory");
    }
    return SPHKV_OK;
}

sk_status sk_job_case(const sk_spec *spec, const sk_shape *shape, size_t cold, size_t cached,
                      uint64_t seed, const sk_case_memory *memory, sk_case *out, sk_err *err)
{
    const sk_case_params params = {
        .spec = *spec,
        .shape = *shape,
        .lists_per_seq = shape->kv_heads,
        .input = SK_IN_S1,
        .seed = seed,
        .cold = cached ? 0 : cold,
        .copies = cached ? 1 : 0,
        .cached = cached,
        .quick_fill = true,
        .memory = *memory,
    };
    return sk_case_make(&params, out, err);
}

sk_status sk_job_inputs(sk_job *job, sk_err *err)
{
    if (job->case_made) return SPHKV_OK;
    sk_status st = sk_job_case(&job->spec, &job->shape, job->cold, 0, job->seed, &job->memory,
                               &job->kase, err);
    if (st != SPHKV_OK) return st;
    job->case_made = true;
    sk_case_maxima(&job->kase, job->shape.threads, &job->maxima);
    job->read_bytes = (double)job->kase.read_bytes;
    job->write_bytes = (double)job->kase.write_bytes;
    return SPHKV_OK;
}

void sk_job_free(sk_job *job)
{
    if (job->case_made) sk_case_free(&job->kase);
    sk_space_free(&job->space);
    sk_free(job->spec_text);
    sk_shared_free(job->answer, sizeof *job->answer);
    sk_shared_free(job->code, SK_MAX_ENTRANTS * sizeof *job->code);
    sk_shared_free(job->base, job->base_count * sizeof *job->base);
    memset(job, 0, sizeof *job);
}
