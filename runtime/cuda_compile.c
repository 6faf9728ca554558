/* cuda_compile.c - see cuda_compile.h. */
#include "cuda_compile.h"

#include <string.h>

#include "gpu_target.h"
#include "image_impl.h"

/* One form of the code with its launch facts. What PTX takes, the driver decides. */
static sk_status artifact(const sk_code_ir *ir, const sk_cuda_built *built, const char *kind,
                          sk_launch *launch, const void *bytes, size_t size, sk_arena *arena,
                          sk_db_artifact *out, sk_err *err)
{
    const bool ptx = strcmp(kind, "ptx") == 0;
    for (uint32_t i = 0; i < built->nentry; i++) {
        const sk_cuda_resources *r = &built->resources[i];
        launch->registers[i] = ptx || r->registers == SK_CUDA_UNKNOWN ? 0 : r->registers;
        launch->spill_bytes[i] = ptx ? 0 : sk_cuda_spilled(r);
    }
    sk_status st = sk_artifact_texts(ir, kind, launch, arena, out, err);
    return st == SPHKV_OK ? sk_artifact_bytes(bytes, size, arena, out, err) : st;
}

sk_status sk_cuda_compile(const sk_code_ir *ir, const sk_spec *spec, const sk_schedule *schedule,
                          const char *arch, const sk_nvrtc_api *api, uint32_t limit_ms,
                          sk_arena *arena, sk_cuda_built *out, sk_err *err)
{
    sk_nvrtc_code code;
    sk_launch launch = {.nentry = ir->build.n};
    memset(out, 0, sizeof *out);
    out->nentry = ir->build.n;
    launch.target.backend = SK_BACKEND_CUDA;
    if (!sk_gpu_arch_parse(arch, &launch.target))
        return sk_fail(err, SPHKV_EINVAL, "'%.40s' is no GPU architecture such as sm_90", arch);
    sk_status st =
        sk_cuda_build(ir, spec, schedule, api, arch, limit_ms, &code, out->resources, err);
    if (st != SPHKV_OK) return st;
    launch.driver = code.cubin_driver;
    st = artifact(ir, out, "cubin", &launch, code.cubin, code.cubin_size, arena, &out->cubin, err);
    launch.driver = code.ptx_driver;
    if (st == SPHKV_OK)
        st = artifact(ir, out, "ptx", &launch, code.ptx, code.ptx_size, arena, &out->ptx, err);
    sk_nvrtc_code_free(&code);
    return st;
}
