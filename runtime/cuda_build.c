/* cuda_build.c - see cuda_build.h. */
#include "cuda_build.h"

#include <string.h>

sk_status sk_cuda_unit(const sk_code_ir *ir, const sk_spec *spec, const sk_schedule *schedule,
                       sk_text *out, sk_err *err)
{
    sk_text said = {0}, chosen = {0};
    sk_status st = SPHKV_OK;
    if (ir->build.source) {
        sk_text_append(out, ir->build.source, strlen(ir->build.source));
    } else {
        sk_spec_print(spec, &said);
        sk_schedule_print(spec->kernel, schedule, &chosen);
        const sk_cuda_note note = {said.s, chosen.s};
        st = sk_emit_cuda((const sk_program *const *)ir->build.program, ir->build.n, &note, out, err);
    }
    const bool failed = said.failed || chosen.failed || out->failed;
    sk_text_free(&said);
    sk_text_free(&chosen);
    return !st && failed ? sk_fail(err, SPHKV_ENOMEM, "out of memory for a kernel's text") : st;
}

sk_status sk_cuda_source(const sk_code_ir *ir, const sk_spec *spec, const sk_schedule *schedule,
                         sk_text *out, sk_err *err)
{
    sk_text_printf(out, "%s#line 1 \"unit\"\n", sk_cuda_prelude());
    return sk_cuda_unit(ir, spec, schedule, out, err);
}

sk_status sk_cuda_build(const sk_code_ir *ir, const sk_spec *spec, const sk_schedule *schedule,
                        const sk_nvrtc_api *api, const char *arch, uint32_t limit_ms,
                        sk_nvrtc_code *out, sk_cuda_resources resources[SK_MAX_ENTRIES],
                        sk_err *err)
{
    const char *entries[SK_MAX_ENTRIES];
    sk_text text = {0};
    memset(out, 0, sizeof *out);
    sk_status st = sk_cuda_source(ir, spec, schedule, &text, err);
    for (uint32_t i = 0; i < ir->build.n; i++)
        entries[i] = ir->build.program[i]->symbol;
    const sk_nvrtc_job job = {.text = text.s, .arch = arch, .entries = entries,
                              .nentry = ir->build.n, .limit_ms = limit_ms};
    if (!st)
        st = sk_nvrtc_compile(api, &job, out, resources, err);
    sk_text_free(&text);
    return st;
}
