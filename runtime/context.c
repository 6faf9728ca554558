/* context.c - opening, closing, and the question whether a spec is supported. */
#include "context.h"

#include <string.h>

#include "install_path.h"

void sk_context_log(const sphkv_context *ctx, const char *line)
{
    if (ctx->log)
        ctx->log(ctx->log_user, line);
}

static sk_status read_params(const sphkv_open_params *given, sphkv_open_params *params,
                             sk_err *err)
{
    memset(params, 0, sizeof *params);
    if (!given)
        return SPHKV_OK;
    sk_status st = sk_struct_read(given, params, sizeof *params, "sphkv_open_params", err);
    if (st != SPHKV_OK)
        return st;
    if (params->size % 8 != 0) /* would cut a pointer */
        return sk_fail(err, SPHKV_EINVAL, "sphkv_open_params.size is %u: set it to sizeof",
                       params->size);
    const uint32_t known = SPHKV_OPEN_NO_JIT | SPHKV_OPEN_READ_ONLY;
    if (params->flags & ~known)
        return sk_fail(err, SPHKV_EINVAL, "sphkv_open_params.flags 0x%x: unknown bits",
                       params->flags & ~known);
    return SPHKV_OK;
}

static sk_status open_device(sphkv_context *ctx, const char *name, sk_err *err)
{
    if (!name || strcmp(name, "cpu") == 0 || strncmp(name, "cpu:", 4) == 0)
        return sk_device_cpu(name ? name : "cpu", &ctx->device, err);
    if (!sk_cuda_named(name, NULL))
        return sk_fail(err, SPHKV_EINVAL,
                       "sphkv_open_params.device '%.60s' is neither cpu, cuda nor cuda:N", name);
    sk_status st = sk_cuda_open(name, &ctx->cuda, err);
    return st == SPHKV_OK ? sk_device_cuda(ctx->cuda, &ctx->device, err) : st;
}

/* No database, or a place unknown, is a reason to warn and not to fail. */
static sk_status open_databases(sphkv_context *ctx, const char *user_path, sk_err *err)
{
    char *installed = NULL;
    sk_status st = sk_install_db_dir(&installed, err);
    if (st == SPHKV_ENOMEM)
        return st;
    const uint32_t flags = ctx->flags & SPHKV_OPEN_READ_ONLY ? SK_DB_SET_READ_ONLY : 0;
    st = sk_db_set_open(user_path, installed, flags, &ctx->dbs, err);
    sk_free(installed);
    return st;
}

sphkv_status sphkv_open(const sphkv_open_params *params, sphkv_context **out, sphkv_error *err)
{
    sphkv_open_params p;
    if (!out)
        return sk_fail(err, SPHKV_EINVAL, "sphkv_open: no place for the context");
    *out = NULL;
    sk_status st = read_params(params, &p, err);
    if (st != SPHKV_OK)
        return st;
    sphkv_context *ctx = sk_calloc(1, sizeof *ctx);
    if (!ctx)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for a context");
    ctx->flags = p.flags;
    ctx->log = p.log;
    ctx->log_user = p.log_user;
    pthread_mutex_init(&ctx->lock, NULL);
    sk_jit_init(&ctx->jit, !(p.flags & SPHKV_OPEN_NO_JIT));
    st = open_device(ctx, p.device, err);
    sk_nvrtc_init(&ctx->nvrtc, !(p.flags & SPHKV_OPEN_NO_JIT),
                  (uint32_t)ctx->device.gpu.driver);
    if (st == SPHKV_OK) st = open_databases(ctx, p.db_path, err);
    if (st != SPHKV_OK) {
        sphkv_close(ctx);
        return st;
    }
    if (ctx->dbs->warning[0])
        sk_context_log(ctx, ctx->dbs->warning);
    *out = ctx;
    return SPHKV_OK;
}

void sphkv_close(sphkv_context *ctx)
{
    if (!ctx)
        return;
    sk_registry_clear(&ctx->codes);
    sk_db_set_close(ctx->dbs);
    sk_jit_close(&ctx->jit);
    sk_nvrtc_close(&ctx->nvrtc);
    sk_cuda_release(ctx->cuda);
    pthread_mutex_destroy(&ctx->lock);
    sk_free(ctx);
}

sphkv_status sphkv_supported(const sphkv_context *ctx, const sphkv_spec_params *spec,
                             sphkv_error *err)
{
    sk_spec s;
    sk_status st = sk_spec_from_params(spec, &s, err);
    if (st != SPHKV_OK)
        return st;
    const sk_kernel *kernel = sk_kernel_get(s.kernel);
    if (!kernel)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "there is no kernel number %u", s.kernel);
    st = kernel->supported(&s, err);
    if (st != SPHKV_OK || !ctx)
        return st;
    sk_schedule schedule;
    sk_kernel_default(kernel, &s, &ctx->device.target, &schedule);
    st = sk_kernel_valid(kernel, &s, &schedule, &ctx->device.target, err);
    return st == SPHKV_OK || st == SPHKV_ENOMEM ? st : SPHKV_EUNSUPPORTED;
}
