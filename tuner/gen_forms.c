/* gen_forms.c - the forms of a kernel: one row and one function each. */
#include "gen.h"

#include <string.h>

#include "cpu_target.h"
#include "cuda_build.h"
#include "gpu_target.h"
#include "jit.h"

/* ---- the forms ------------------------------------------------------------------------ */

static sk_status hand_out(sk_gen *g, sk_text *out, sk_err *err)
{
    if (out->failed || !out->s) {
        sk_text_free(out);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    }
    g->data = out->s;
    g->bytes = out->len;
    return SPHKV_OK;
}

static sk_status emit_ir(sk_gen *g, sk_err *err)
{
    sk_text out = {0};
    for (uint32_t i = 0; i < g->ir.build.n; i++)
        sk_ir_print(g->ir.build.program[i], &out);
    return hand_out(g, &out, err);
}

static sk_status emit_by_llvm(sk_gen *g, sk_emit_form form, sk_err *err)
{
    sk_jit jit;
    const sk_jit_llvm_api *api;
    const sk_program *programs[SK_MAX_ENTRIES];
    for (uint32_t i = 0; i < g->ir.build.n; i++)
        programs[i] = g->ir.build.program[i];
    sk_jit_init(&jit, true);
    sk_status st = sk_jit_get(&jit, &api, err);
    if (!st)
        st = api->emit(programs, g->ir.build.n, &g->target, form, &g->data, &g->bytes, err);
    sk_jit_close(&jit);
    return st;
}

static sk_status emit_llvm(sk_gen *g, sk_err *err) { return emit_by_llvm(g, SK_EMIT_LLVM_IR, err); }
static sk_status emit_asm(sk_gen *g, sk_err *err) { return emit_by_llvm(g, SK_EMIT_ASM, err); }
static sk_status emit_obj(sk_gen *g, sk_err *err) { return emit_by_llvm(g, SK_EMIT_OBJ, err); }

static sk_status emit_cuda(sk_gen *g, sk_err *err)
{
    sk_text out = {0};
    sk_status st = sk_cuda_unit(&g->ir, &g->spec, &g->schedule, &out, err);
    if (!st)
        return hand_out(g, &out, err);
    sk_text_free(&out);
    return st;
}

/* Resources and driver go to *g; the code to its caller, who frees it. */
static sk_status by_nvrtc(sk_gen *g, sk_nvrtc_code *code, sk_err *err)
{
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api;
    memset(code, 0, sizeof *code);
    sk_nvrtc_init(&nvrtc, true, 0);
    sk_status st = sk_nvrtc_get(&nvrtc, &api, err);
    if (!st)
        st = sk_cuda_build(&g->ir, &g->spec, &g->schedule, api, g->arch, 0, code, g->resources, err);
    g->compiled = !st;
    sk_nvrtc_close(&nvrtc);
    return st;
}

static sk_status emit_ptx(sk_gen *g, sk_err *err)
{
    sk_nvrtc_code code;
    sk_status st = by_nvrtc(g, &code, err);
    g->data = code.ptx;
    g->bytes = code.ptx_size;
    g->least_driver = code.ptx_driver;
    code.ptx = NULL;
    sk_nvrtc_code_free(&code);
    return st;
}

static sk_status emit_cubin(sk_gen *g, sk_err *err)
{
    sk_nvrtc_code code;
    sk_status st = by_nvrtc(g, &code, err);
    g->data = code.cubin;
    g->bytes = code.cubin_size;
    g->least_driver = code.cubin_driver;
    code.cubin = NULL;
    sk_nvrtc_code_free(&code);
    return st;
}

/* One line per entry; shared memory is what a launch asks for and what is fixed. */
static sk_status emit_resources(sk_gen *g, sk_err *err)
{
    sk_nvrtc_code code;
    sk_text out = {0};
    sk_status st = by_nvrtc(g, &code, err);
    g->least_driver = code.cubin_driver;
    sk_nvrtc_code_free(&code);
    if (st)
        return st;
    sk_text_printf(&out, "threads registers stack spilled shared barriers entry\n");
    for (uint32_t i = 0; i < g->ir.build.n; i++) {
        const sk_program *p = g->ir.build.program[i];
        const sk_cuda_resources *r = &g->resources[i];
        sk_text_printf(&out, "%7u %9u %5u %7u %6u %8u %s\n", p->warps * 32, r->registers,
                       r->stack_bytes, sk_cuda_spilled(r), p->shared_bytes + r->shared_bytes,
                       r->barriers, p->symbol);
    }
    return hand_out(g, &out, err);
}

static const sk_gen_form forms[] = {
    {"ir", true, true, false, emit_ir},
    {"llvm", true, false, false, emit_llvm},
    {"asm", true, false, false, emit_asm},
    {"obj", true, false, true, emit_obj},
    {"cuda", false, true, false, emit_cuda},
    {"ptx", false, true, false, emit_ptx},
    {"cubin", false, true, true, emit_cubin},
    {"resources", false, true, false, emit_resources},
};

sk_status sk_gen_form_find(const char *name, const sk_gen_form **out, sk_err *err)
{
    char list[120] = "";
    for (size_t i = 0; i < SK_COUNT(forms); i++) {
        if (strcmp(forms[i].name, name) == 0) {
            *out = &forms[i];
            return SPHKV_OK;
        }
        strcat(strcat(list, i == 0 ? "" : i + 1 < SK_COUNT(forms) ? ", " : " or "), forms[i].name);
    }
    return sk_fail(err, SPHKV_EINVAL, "--emit: '%.60s' is not %s", name, list);
}

/* ---- target, schedule, programs ------------------------------------------------------ */

#define ANY_GPU "sm_90" /* where a form of GPUs is asked for, and none is named */

static sk_status choose_target(sk_gen *g, const sk_gen_form *form, const char *arch, sk_err *err)
{
    if (!arch)
        arch = form->cpu ? "host" : ANY_GPU;
    const bool gpu = strncmp(arch, "sm_", 3) == 0;
    if (gpu ? !form->gpu : !form->cpu)
        return sk_fail(err, SPHKV_EINVAL, "--emit %s is for %s, '%.60s' is a %s", form->name,
                       gpu ? "CPUs" : "GPUs, such as " ANY_GPU, arch, gpu ? "GPU" : "CPU");
    sk_status st = gpu ? sk_gpu_target_named(arch, &g->target, err)
                       : sk_cpu_target_named(arch, &g->target, err);
    if (!st && gpu)
        sk_gpu_arch_text(&g->target, g->arch);
    else if (!st)
        memcpy(g->arch, g->target.cpu, sizeof g->arch);
    return st;
}

sk_status sk_gen_choose(sk_gen *g, const sk_gen_form *form, const char *arch, const char *schedule,
                        sk_err *err)
{
    const sk_kernel *kernel = sk_kernel_get(g->spec.kernel);
    sk_status st = choose_target(g, form, arch, err);
    if (!st)
        st = kernel->supported(&g->spec, err);
    if (st)
        return st;
    st = sk_kernel_given(kernel, &g->spec, &g->target, schedule, &g->schedule, err);
    return st ? st : sk_code_ir_build(&g->spec, &g->schedule, &g->arena, &g->ir, err);
}

void sk_gen_free(sk_gen *g)
{
    sk_free(g->data);
    sk_arena_free(&g->arena);
}
