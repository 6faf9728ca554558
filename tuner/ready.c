/* ready.c - see ready.h. */
#include "ready.h"

#include <string.h>

#include "cuda_compile.h"

sk_status sk_ready_start(const sk_spec *spec, const sk_schedule *schedule, sk_ready *out,
                         sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->spec = *spec;
    out->schedule = *schedule;
    sk_status st = sk_code_ir_build(spec, schedule, &out->mem, &out->ir, err);
    if (st != SPHKV_OK) sk_ready_free(out);
    return st;
}

sk_status sk_ready_compile(sk_ready *r, const sk_target *target, const sk_jit_llvm_api *api,
                           sk_err *err)
{
    sk_status st = sk_code_compile(&r->ir, target, api, &r->mem, &r->artifact, err);
    r->compiled = st == SPHKV_OK;
    return st;
}

sk_status sk_ready_compile_cuda(sk_ready *r, const char *arch, const sk_nvrtc_api *api,
                                sk_err *err)
{
    sk_cuda_built built;
    sk_status st = sk_nvrtc_has_arch(api, arch, err);
    if (st == SPHKV_OK)
        st = sk_cuda_compile(&r->ir, &r->spec, &r->schedule, arch, api, 0, &r->mem, &built, err);
    if (st != SPHKV_OK) return st;
    r->artifact = built.cubin;
    r->compiled = true;
    return SPHKV_OK;
}

sk_status sk_ready_adopt(sk_ready *r, const sk_db_artifact *artifact, sk_err *err)
{
    r->artifact = *artifact;
    r->artifact.entries = sk_arena_strdup(&r->mem, artifact->entries);
    r->artifact.launch = sk_arena_strdup(&r->mem, artifact->launch);
    r->artifact.ir_hash = sk_arena_strdup(&r->mem, artifact->ir_hash);
    r->artifact.kind = sk_arena_strdup(&r->mem, artifact->kind);
    void *bytes = artifact->bytes ? sk_arena_alloc(&r->mem, artifact->size) : NULL;
    if (!bytes || !r->artifact.entries || !r->artifact.launch || !r->artifact.ir_hash ||
        !r->artifact.kind)
        return sk_fail(err, SPHKV_ENOMEM, "no memory for stored code, or none is stored");
    memcpy(bytes, artifact->bytes, artifact->size);
    r->artifact.bytes = bytes;
    r->compiled = true;
    return SPHKV_OK;
}

sk_status sk_ready_load(sk_ready *r, const sk_executor *x, const sphkv_maxima *maxima,
                        sk_err *err)
{
    sk_status st = x->cuda ? sk_code_load_cuda(&r->artifact, &r->ir, x->cuda, &x->target, &r->code,
                                               err)
                           : sk_code_load(&r->artifact, &r->ir, &x->target, &r->code, err);
    if (st != SPHKV_OK) return st;
    return sk_code_image(r->code, &r->spec, &r->schedule, maxima, &r->image, err);
}

sk_status sk_ready_check(sk_ready *r, uint64_t seed, sk_check_set *set, sk_err *err)
{
    const sphkv_maxima maxima = {.size = sizeof maxima,
                                 .batch = 4,
                                 .kv_heads = 2,
                                 .pages_per_list = 1024 / r->spec.page + 1,
                                 .parts = r->code->cuda ? 1 : 4};
    sk_image image;
    sk_status st = sk_code_image(r->code, &r->spec, &r->schedule, &maxima, &image, err);
    if (st == SPHKV_OK && r->code->cuda) sk_code_wait_for_launches(r->code, &image);
    if (st == SPHKV_OK) st = sk_image_check_with(&image, seed, set, &r->error, err);
    r->checked = st == SPHKV_OK;
    return st;
}

void sk_ready_free(sk_ready *r)
{
    sk_code_release(r->code);
    sk_arena_free(&r->mem);
    memset(r, 0, sizeof *r);
}
