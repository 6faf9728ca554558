/* jit_nvrtc_compile.c - one text to a CUBIN and its PTX.
 *
 * Both come from one compilation: for a real architecture NVRTC keeps the PTX that
 * its CUBIN was made from. Resources are read from the CUBIN, which is what will
 * run; spilled bytes stand in the log alone. Rejected: the compiler's own cache
 * (--no-cache where it is known), which calls the driver and would hide what a
 * compilation costs. */
#include "jit_nvrtc_api.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gpu_target.h"
#include "jit_nvrtc_log.h"

/* What the text is called in messages, where only its lines are shown. */
#define TEXT_NAME "sphkv.cu"

/* Options that not every release knows; how they are called in its complaint. */
static const struct {
    const char *option, *name;
} optional[] = {{"--no-cache", "--no-cache"}, {"--ptxas-options=-v", "--ptxas-options"}};
#define ALL_OPTIONAL ((1u << SK_COUNT(optional)) - 1)

typedef struct compilation {
    const sk_nvrtc_functions *call;
    sk_nvrtc_program program; /* NULL: none */
    int result;               /* of the last compilation */
    char *log;                /* of it, NUL-terminated; NULL: none could be had */
    uint64_t deadline;        /* nanoseconds of the monotonic clock; 0: none */
} compilation;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Called by the compiler now and then, on any thread: 1 ends it. */
static int past_deadline(void *user, void *reserved)
{
    const compilation *c = user;
    (void)reserved;
    return now() >= c->deadline;
}

/* ---- compiling ------------------------------------------------------------------------ */

static void drop(compilation *c)
{
    if (c->program)
        (void)c->call->destroy(&c->program);
    c->program = NULL;
    sk_free(c->log);
    c->log = NULL;
}

static void read_log(compilation *c)
{
    size_t size = 0;
    if (c->call->log_size(c->program, &size) != SK_NVRTC_OK || size > SIZE_MAX / 2)
        return;
    c->log = sk_calloc(size + 1, 1);
    if (c->log && size && c->call->log(c->program, c->log) != SK_NVRTC_OK)
        c->log[0] = '\0';
}

/* One attempt with the optional options of `mask`. */
static sk_status attempt(compilation *c, const sk_nvrtc_job *job, uint32_t mask, sk_err *err)
{
    char arch[64];
    const char *options[4 + SK_COUNT(optional)] = {arch, "--std=c++17", "--fmad=false",
                                                   "--device-as-default-execution-space"};
    int n = 4;
    snprintf(arch, sizeof arch, "--gpu-architecture=%.32s", job->arch);
    for (uint32_t i = 0; i < SK_COUNT(optional); i++)
        if (mask >> i & 1)
            options[n++] = optional[i].option;
    drop(c);
    const int made = c->call->create(&c->program, job->text, TEXT_NAME, 0, NULL, NULL);
    if (made != SK_NVRTC_OK) {
        c->program = NULL;
        return sk_fail(err, made == SK_NVRTC_NO_MEMORY ? SPHKV_ENOMEM : SPHKV_ECOMPILE,
                       "NVRTC takes no text: %.200s", c->call->error_string(made));
    }
    if (c->deadline)
        (void)c->call->set_flow(c->program, past_deadline, c);
    c->result = c->call->compile(c->program, n, options);
    read_log(c);
    return c->log ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "out of memory for the compiler's log");
}

/* Those of `mask` that the log complains of; all, when it names none. */
static uint32_t unknown_options(const char *log, uint32_t mask)
{
    uint32_t named = 0;
    for (uint32_t i = 0; i < SK_COUNT(optional); i++)
        if (mask >> i & 1 && strstr(log, optional[i].name))
            named |= 1u << i;
    return named ? named : mask;
}

static sk_status run(compilation *c, const sk_nvrtc_job *job, sk_err *err)
{
    uint32_t mask = ALL_OPTIONAL;
    sk_status st = attempt(c, job, mask, err);
    while (!st && c->result == SK_NVRTC_BAD_OPTION && mask) {
        mask &= ~unknown_options(c->log, mask);
        st = attempt(c, job, mask, err);
    }
    return st;
}

/* Why there is no code, as one line. */
static sk_status refused(const compilation *c, const sk_nvrtc_api *api, const sk_nvrtc_job *job,
                         sk_err *err)
{
    char line[400];
    sk_nvrtc_log_error(c->log, line, sizeof line);
    if (c->result == SK_NVRTC_NO_MEMORY)
        return sk_fail(err, SPHKV_ENOMEM, "%s: out of memory", api->version);
    if (c->result == SK_NVRTC_CANCELLED)
        return sk_fail(err, SPHKV_ECOMPILE, "%s: not done within %u ms for %s", api->version,
                       job->limit_ms, job->arch);
    if (c->result == SK_NVRTC_NO_BUILTINS)
        return sk_fail(err, SPHKV_ECOMPILE,
                       "%s lacks its built-in functions: libnvrtc-builtins.so.%u.%u belongs beside "
                       "%.300s", api->version, api->release / 1000, api->release % 1000 / 10,
                       api->path);
    if (c->result == SK_NVRTC_BAD_OPTION && strstr(c->log, "gpu-architecture"))
        return sk_fail(err, SPHKV_EUNSUPPORTED, "%s does not compile for %s", api->version,
                       job->arch);
    return sk_fail(err, SPHKV_ECOMPILE, "%s for %s: %s", api->version, job->arch,
                   line[0] ? line : c->call->error_string(c->result));
}

/* ---- results --------------------------------------------------------------------------- */

typedef int (*size_function)(sk_nvrtc_program program, size_t *size);
typedef int (*bytes_function)(sk_nvrtc_program program, char *bytes);

/* One output; a NUL is put behind it. */
static sk_status take(const compilation *c, size_function size_of, bytes_function bytes_of,
                      const char *what, char **data, size_t *size, sk_err *err)
{
    if (size_of(c->program, size) != SK_NVRTC_OK || *size < 2 || *size > SIZE_MAX / 2)
        return sk_fail(err, SPHKV_ECOMPILE, "NVRTC made no %s", what);
    *data = sk_calloc(*size + 1, 1);
    if (!*data)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for a %s", what);
    if (bytes_of(c->program, *data) != SK_NVRTC_OK)
        return sk_fail(err, SPHKV_ECOMPILE, "NVRTC does not hand out its %s", what);
    return SPHKV_OK;
}

static sk_status take_code(const compilation *c, const sk_nvrtc_api *api, const sk_target *target,
                           sk_nvrtc_code *out, sk_err *err)
{
    char *cubin = NULL;
    sk_status st = take(c, api->call->ptx_size, api->call->ptx, "PTX", &out->ptx, &out->ptx_size, err);
    if (!st) {
        out->ptx_size = strlen(out->ptx); /* its own NUL was counted */
        out->ptx_driver = sk_ptx_least_driver(out->ptx);
        if (!out->ptx_driver)
            st = sk_fail(err, SPHKV_ECOMPILE, "%s made PTX without a version", api->version);
    }
    if (!st) {
        st = take(c, api->call->cubin_size, api->call->cubin, "CUBIN", &cubin, &out->cubin_size, err);
        out->cubin = cubin;
        out->cubin_driver = sk_cubin_least_driver(api->release, target->sm, target->sm_exact);
    }
    return st;
}

/* The CUBIN's word, and the log's for what only it knows. */
static sk_status take_resources(const compilation *c, const sk_nvrtc_job *job,
                                const sk_nvrtc_code *code, sk_cuda_resources *out, sk_err *err)
{
    sk_status st = sk_cubin_resources(code->cubin, code->cubin_size, job->entries, job->nentry,
                                      out, err);
    for (uint32_t i = 0; !st && i < job->nentry; i++) {
        sk_cuda_resources said;
        (void)sk_nvrtc_log_resources(c->log, job->entries[i], &said);
        out[i].spill_stores = said.spill_stores;
        out[i].spill_loads = said.spill_loads;
    }
    return st;
}

sk_status sk_nvrtc_compile(const sk_nvrtc_api *api, const sk_nvrtc_job *job, sk_nvrtc_code *out,
                           sk_cuda_resources *resources, sk_err *err)
{
    compilation c = {.call = api->call};
    sk_target target;
    memset(out, 0, sizeof *out);
    sk_status st = sk_nvrtc_has_arch(api, job->arch, err);
    if (st)
        return st;
    (void)sk_gpu_arch_parse(job->arch, &target);
    if (api->cancels && job->limit_ms)
        c.deadline = now() + (uint64_t)job->limit_ms * 1000000u;
    st = run(&c, job, err);
    if (!st && c.result != SK_NVRTC_OK)
        st = refused(&c, api, job, err);
    const bool stopped = st && c.result == SK_NVRTC_CANCELLED;
    if (!st)
        st = take_code(&c, api, &target, out, err);
    if (!st && resources)
        st = take_resources(&c, job, out, resources, err);
    if (!st) {
        out->log = c.log;
        c.log = NULL;
    }
    drop(&c);
    if (st)
        sk_nvrtc_code_free(out);
    out->stopped = stopped;
    return st;
}

void sk_nvrtc_code_free(sk_nvrtc_code *code)
{
    sk_free(code->cubin);
    sk_free(code->ptx);
    sk_free(code->log);
    memset(code, 0, sizeof *code);
}
