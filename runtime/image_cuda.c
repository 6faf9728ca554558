/* image_cuda.c - code of a GPU: modules of the driver, and launches of their functions.
 *
 * Everything that a first launch would otherwise do behind the caller's back is done
 * on loading: functions are made resident (drivers load them lazily, which waits and
 * allocates, and breaks a capture), and shared memory beyond what blocks get unasked
 * is asked for. A launch is then one call of the driver: no lock of ours, no
 * allocation, nothing that waits. */
#include "image_impl.h"

#include <stdio.h>
#include <string.h>

#include "gpu_target.h"

#define MOST_WARPS 32u        /* of a block */
#define SHARED_UNASKED 49152u /* bytes of shared memory that every block may have */
#define LOG_BYTES 2048        /* of the driver's compiler; its first line is what counts */

/* Options of cuModuleLoadDataEx. */
enum { OPTION_ERROR_LOG = 5, OPTION_ERROR_LOG_BYTES = 6 };

/* ---- what may be loaded -------------------------------------------------------- */

static sk_status check_place(const sk_launch *launch, bool ptx, const sk_cuda *cuda,
                             const sk_target *device, sk_err *err)
{
    char code[16], here[16], needs[16], has[16];
    sk_gpu_arch_text(&launch->target, code);
    sk_gpu_arch_text(device, here);
    if (!sk_gpu_target_runs(&launch->target, ptx, device))
        return sk_fail(err, SPHKV_EUNSUPPORTED, "its %s is for %s, this is %s",
                       ptx ? "PTX" : "CUBIN", code, here);
    const int driver = cuda->driver.version_number;
    if (launch->driver > (uint32_t)driver) {
        sk_cuda_version_text((int)launch->driver, needs);
        sk_cuda_version_text(driver, has);
        return sk_fail(err, SPHKV_EUNSUPPORTED, "its %s needs a driver of CUDA %s, this one is of %s",
                       ptx ? "PTX" : "CUBIN", needs, has);
    }
    for (uint32_t i = 0; i < launch->nentry; i++)
        if (launch->shared_bytes[i] > device->shared_block)
            return sk_fail(err, SPHKV_EUNSUPPORTED, "its blocks take %u bytes of shared memory, %u "
                           "are there", launch->shared_bytes[i], device->shared_block);
    return SPHKV_OK;
}

static sk_status module_check(const sk_db_artifact *a, const sk_code_ir *ir, const sk_cuda *cuda,
                              const sk_target *device, sk_launch *launch, sk_err *err)
{
    const char *kind = a->kind ? a->kind : "";
    const bool ptx = strcmp(kind, "ptx") == 0;
    if (!ptx && strcmp(kind, "cubin") != 0)
        return sk_fail(err, SPHKV_EDB, "its code is '%.16s', neither a CUBIN nor PTX", kind);
    sk_status st = sk_artifact_check(a, ir, SK_BACKEND_CUDA, launch, err);
    if (st != SPHKV_OK) return st;
    for (uint32_t i = 0; i < launch->nentry; i++)
        if (launch->warps[i] == 0 || launch->warps[i] > MOST_WARPS)
            return sk_fail(err, SPHKV_EDB, "its blocks of %u warps are not plausible",
                           launch->warps[i]);
    return check_place(launch, ptx, cuda, device, err);
}

/* ---- loading -------------------------------------------------------------------- */

/* The driver reads PTX up to a NUL, which stored bytes do not have. */
static sk_status load_module(sk_code *code, const sk_db_artifact *a, sk_err *err)
{
    const sk_cuda_driver *d = &code->cuda->driver;
    char log[LOG_BYTES] = "", what[600];
    int option[] = {OPTION_ERROR_LOG, OPTION_ERROR_LOG_BYTES};
    void *value[] = {log, (void *)(uintptr_t)sizeof log};
    char *text = sk_malloc(a->size + 1);
    if (!text) return sk_fail(err, SPHKV_ENOMEM, "out of memory for a module");
    memcpy(text, a->bytes, a->size);
    text[a->size] = '\0';
    const sk_cu_result result = d->module_load(&code->module, text, 2, option, value);
    sk_free(text);
    log[sizeof log - 1] = '\0';
    log[strcspn(log, "\r\n")] = '\0';
    snprintf(what, sizeof what, "loading its %s%s%.200s%s", a->kind, log[0] ? " (" : "", log,
             log[0] ? ")" : "");
    return sk_cuda_check(d, result, what, err);
}

static bool find_function(sk_code *code, uint32_t i, const char *symbol)
{
    const sk_cuda_driver *d = &code->cuda->driver;
    return d->module_function(&code->function[i], code->module, symbol) == 0;
}

static sk_status prepare_functions(const sk_code *code, sk_err *err)
{
    const sk_cuda_driver *d = &code->cuda->driver;
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < code->nentry && st == SPHKV_OK; i++) {
        int registers; /* asking for it loads the function where cuFuncLoad is not known yet */
        if (d->function_load)
            st = sk_cuda_check(d, d->function_load(code->function[i]), "loading a function", err);
        if (st == SPHKV_OK)
            st = sk_cuda_check(
                d, d->function_get(&registers, SK_CU_FUNCTION_REGISTERS, code->function[i]),
                "the registers of a function", err);
        if (st == SPHKV_OK && code->shared_bytes[i] > SHARED_UNASKED)
            st = sk_cuda_check(d,
                               d->function_set(code->function[i], SK_CU_FUNCTION_SHARED,
                                               (int)code->shared_bytes[i]),
                               "asking for shared memory", err);
    }
    return st;
}

/* In the context. */
static sk_status fill(sk_code *code, const sk_db_artifact *a, sk_err *err)
{
    sk_status st = load_module(code, a, err);
    if (st == SPHKV_OK) st = sk_code_entries(code, a->entries, find_function, err);
    return st == SPHKV_OK ? prepare_functions(code, err) : st;
}

sk_status sk_code_load_cuda(const sk_db_artifact *artifact, const sk_code_ir *ir, sk_cuda *cuda,
                            const sk_target *device, sk_code **out, sk_err *err)
{
    sk_launch launch;
    bool entered;
    *out = NULL;
    sk_status st = module_check(artifact, ir, cuda, device, &launch, err);
    if (st != SPHKV_OK) return st;
    sk_code *code = sk_code_new(artifact, &launch, err);
    if (!code) return SPHKV_ENOMEM;
    code->cuda = sk_cuda_retain(cuda);
    code->sms = device->sms;
    memcpy(code->warps, launch.warps, sizeof code->warps);
    st = sk_cuda_enter(cuda, &entered, err);
    if (st == SPHKV_OK) {
        st = fill(code, artifact, err);
        sk_cuda_leave(cuda, entered);
    }
    if (st == SPHKV_OK)
        *out = code;
    else
        sk_code_release(code);
    return st;
}

void sk_code_unload(sk_code *code)
{
    bool entered;
    if (!code->cuda) return;
    if (code->module && sk_cuda_enter(code->cuda, &entered, NULL) == SPHKV_OK) {
        (void)code->cuda->driver.module_unload(code->module);
        sk_cuda_leave(code->cuda, entered);
    }
    sk_cuda_release(code->cuda);
}

/* ---- launching -------------------------------------------------------------------- */

/* Parameters lie in slots of 8 bytes; the driver takes as many of each as it has. */
static sk_status launch(void *user, uint32_t entry, const sk_call *call, uint32_t blocks,
                        void *stream, sk_err *err)
{
    const sk_code *code = user;
    const sk_cuda_driver *d = &code->cuda->driver;
    void *parameters[SK_MAX_SLOTS];
    bool entered;
    for (uint32_t i = 0; i < call->n; i++) parameters[i] = (void *)(uintptr_t)&call->slot[i];
    sk_status st = sk_cuda_enter(code->cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    st = sk_cuda_check(d,
                       d->launch(code->function[entry], blocks, 1, 1, 32 * code->warps[entry], 1, 1,
                                 code->shared_bytes[entry], stream, parameters, NULL),
                       "launching a kernel", err);
    sk_cuda_leave(code->cuda, entered);
    return st;
}

static sk_status launch_and_wait(void *user, uint32_t entry, const sk_call *call, uint32_t blocks,
                                 void *stream, sk_err *err)
{
    const sk_code *code = user;
    sk_status st = launch(user, entry, call, blocks, stream, err);
    return st == SPHKV_OK ? sk_cuda_wait(code->cuda, err) : st;
}

static void launch_by(const sk_code *code, sk_launch_fn function, sk_image *image)
{
    image->launch = function;
    image->launch_user = (void *)(uintptr_t)code;
}

void sk_code_launches(const sk_code *code, sk_image *image) { launch_by(code, launch, image); }

void sk_code_wait_for_launches(const sk_code *code, sk_image *image)
{
    launch_by(code, launch_and_wait, image);
}

/* ---- checking ---------------------------------------------------------------------- */

static sk_status memory_make(void *user, size_t bytes, void **out, sk_err *err)
{
    return sk_cuda_memory_make(user, bytes, out, err);
}

static void memory_free(void *user, void *at) { sk_cuda_memory_free(user, at); }

sk_case_memory sk_code_memory(const sk_code *code)
{
    return code->cuda ? (sk_case_memory){memory_make, memory_free, code->cuda}
                      : (sk_case_memory){0};
}

sk_status sk_code_check(const sk_code *code, const sk_image *image, uint64_t seed, double *error,
                        sk_err *err)
{
    if (!code->cuda) return sk_image_check(image, seed, error, err);
    const sk_case_memory memory = sk_code_memory(code);
    sk_image waiting = *image;
    sk_check_set *set = sk_check_set_make(&memory);
    if (!set) return sk_fail(err, SPHKV_ENOMEM, "out of memory for a check");
    sk_code_wait_for_launches(code, &waiting);
    sk_status st = sk_image_check_with(&waiting, seed, set, error, err);
    sk_check_set_free(set);
    return st;
}
