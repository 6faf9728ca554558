/* image_load.c - see image_load.h. */
#include "image_impl.h"

#include <stdatomic.h>
#include <string.h>

#include "cpu_target.h"

/* Scratch is the caller's workspace, one per part: more than this is a
 * damaged record, not a kernel. */
#define SHARED_LIMIT (16u << 20)

sk_status sk_code_ir_build(const sk_spec *spec, const sk_schedule *schedule, sk_arena *arena,
                           sk_code_ir *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    if (!kernel)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "there is no kernel number %u", spec->kernel);
    sk_status st = sk_kernel_build(kernel, spec, schedule, arena, &out->build, err);
    if (st != SPHKV_OK)
        return st;
    if (out->build.n < 1 || out->build.n > SK_MAX_ENTRIES)
        return sk_fail(err, SPHKV_EINTERNAL, "%s built %u programs", sk_kernel_name(spec->kernel), out->build.n);
    if (out->build.source) { /* whole text: its programs are stubs */
        sk_sha256_of(out->build.source, strlen(out->build.source), out->hash);
        return SPHKV_OK;
    }
    return sk_ir_hash((const sk_program *const *)out->build.program, out->build.n, out->hash, err);
}

/* ---- compiling ------------------------------------------------------------ */

/* A text that was put together piece by piece, as a string of the arena. */
static const char *into_arena(sk_text *text, sk_arena *arena)
{
    const char *copy = text->failed || !text->s ? NULL : sk_arena_strdup(arena, text->s);
    sk_text_free(text);
    return copy;
}

sk_status sk_artifact_texts(const sk_code_ir *ir, const char *kind, sk_launch *launch,
                            sk_arena *arena, sk_db_artifact *out, sk_err *err)
{
    sk_text entries = {0}, facts = {0};
    launch->nentry = ir->build.n;
    for (uint32_t i = 0; i < ir->build.n; i++) {
        launch->shared_bytes[i] = ir->build.program[i]->shared_bytes;
        launch->warps[i] = ir->build.program[i]->warps;
        sk_text_printf(&entries, "%s%s", i ? "," : "", ir->build.program[i]->symbol);
    }
    sk_launch_print(launch, &facts);
    out->kind = kind;
    out->entries = into_arena(&entries, arena);
    out->launch = into_arena(&facts, arena);
    out->ir_hash = sk_arena_strdup(arena, ir->hash);
    out->format_version = SPHKV_FORMAT_VERSION;
    out->args_version = SPHKV_ARGS_VERSION;
    if (!out->entries || !out->launch || !out->ir_hash)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for an artifact");
    return SPHKV_OK;
}

sk_status sk_artifact_bytes(const void *bytes, size_t size, sk_arena *arena, sk_db_artifact *out,
                            sk_err *err)
{
    void *copy = sk_arena_alloc(arena, size);
    if (!copy)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for an artifact");
    memcpy(copy, bytes, size);
    out->bytes = copy;
    out->size = size;
    return SPHKV_OK;
}

sk_status sk_code_compile(const sk_code_ir *ir, const sk_target *target,
                          const sk_jit_llvm_api *api, sk_arena *arena, sk_db_artifact *out,
                          sk_err *err)
{
    memset(out, 0, sizeof *out);
    char *data = NULL;
    size_t bytes = 0;
    sk_launch launch = {.target = *target};
    sk_status st = sk_artifact_texts(ir, "obj", &launch, arena, out, err);
    if (st != SPHKV_OK)
        return st;
    st = api->emit((const sk_program *const *)ir->build.program, ir->build.n, target, SK_EMIT_OBJ,
                   &data, &bytes, err);
    if (st != SPHKV_OK)
        return st;
    st = sk_artifact_bytes(data, bytes, arena, out, err);
    sk_free(data);
    return st;
}

/* ---- loading -------------------------------------------------------------- */

/* Facts against the IR built now: same entries in the same order, same scratch. */
static sk_status facts_match(const sk_db_artifact *artifact, const sk_launch *launch,
                             const sk_code_ir *ir, sk_err *err)
{
    if (strcmp(artifact->ir_hash, ir->hash) != 0)
        return sk_fail(err, SPHKV_EDB, "its code is of other IR (%.8s, built now: %.8s)",
                       artifact->ir_hash, ir->hash);
    bool same = launch->nentry == ir->build.n;
    for (uint32_t i = 0; same && i < launch->nentry; i++)
        same = launch->shared_bytes[i] == ir->build.program[i]->shared_bytes &&
               (launch->target.backend == SK_BACKEND_CPU ||
                launch->warps[i] == ir->build.program[i]->warps);
    return same ? SPHKV_OK : sk_fail(err, SPHKV_EDB, "its launch facts are not those of its IR");
}

sk_status sk_artifact_check(const sk_db_artifact *a, const sk_code_ir *ir, uint32_t backend,
                            sk_launch *launch, sk_err *err)
{
    if (a->format_version != SPHKV_FORMAT_VERSION || a->args_version != SPHKV_ARGS_VERSION)
        return sk_fail(err, SPHKV_EDB, "its code is for format %u and args %u, here %u and %u",
                       a->format_version, a->args_version, SPHKV_FORMAT_VERSION,
                       SPHKV_ARGS_VERSION);
    if (!a->bytes || !a->size || !a->entries || !a->ir_hash || strlen(a->ir_hash) != 64)
        return sk_fail(err, SPHKV_EDB, "its code is incomplete");
    if (!sk_launch_parse(a->launch, launch) || launch->target.backend != backend)
        return sk_fail(err, SPHKV_EDB, "its launch facts are damaged");
    for (uint32_t i = 0; i < launch->nentry; i++)
        if (launch->shared_bytes[i] > SHARED_LIMIT)
            return sk_fail(err, SPHKV_EDB, "its scratch of %u bytes is not plausible",
                           launch->shared_bytes[i]);
    return ir ? facts_match(a, launch, ir, err) : SPHKV_OK;
}

static sk_status object_check(const sk_db_artifact *a, const sk_code_ir *ir, const sk_target *host,
                              sk_launch *launch, sk_err *err)
{
    if (!a->kind || strcmp(a->kind, "obj") != 0)
        return sk_fail(err, SPHKV_EDB, "its code is '%.16s', not a CPU object",
                       a->kind ? a->kind : "");
    sk_status st = sk_artifact_check(a, ir, SK_BACKEND_CPU, launch, err);
    if (st == SPHKV_OK && !sk_cpu_target_runs(&launch->target, host))
        st = sk_fail(err, SPHKV_EUNSUPPORTED, "its code was compiled for %s, which has more",
                     launch->target.cpu[0] ? launch->target.cpu : "another CPU");
    return st;
}

sk_status sk_code_entries(sk_code *code, const char *entries, sk_code_find find, sk_err *err)
{
    const char *p = entries;
    for (uint32_t i = 0; i < code->nentry; i++) {
        char symbol[256];
        size_t n = strcspn(p, ",");
        bool last = i + 1 == code->nentry;
        if (n == 0 || n >= sizeof symbol || (p[n] == '\0') != last)
            return sk_fail(err, SPHKV_EDB, "its entries '%.80s' are damaged", entries);
        memcpy(symbol, p, n);
        symbol[n] = '\0';
        if (!find(code, i, symbol))
            return sk_fail(err, SPHKV_EDB, "its code has no entry '%.80s'", symbol);
        p += n + 1;
    }
    return SPHKV_OK;
}

static bool find_object_entry(sk_code *code, uint32_t i, const char *symbol)
{
    code->entry[i] = sk_object_entry(code->object, symbol);
    return code->entry[i] != NULL;
}

sk_code *sk_code_new(const sk_db_artifact *artifact, const sk_launch *launch, sk_err *err)
{
    sk_code *code = sk_calloc(1, sizeof *code);
    if (!code) {
        (void)sk_fail(err, SPHKV_ENOMEM, "out of memory for code");
        return NULL;
    }
    atomic_init(&code->refs, 1);
    code->nentry = launch->nentry;
    memcpy(code->shared_bytes, launch->shared_bytes, sizeof code->shared_bytes);
    memcpy(code->ir_hash, artifact->ir_hash, sizeof code->ir_hash);
    return code;
}

sk_status sk_code_load(const sk_db_artifact *artifact, const sk_code_ir *ir,
                       const sk_target *host, sk_code **out, sk_err *err)
{
    sk_launch launch;
    *out = NULL;
    sk_status st = object_check(artifact, ir, host, &launch, err);
    if (st != SPHKV_OK)
        return st;
    sk_code *code = sk_code_new(artifact, &launch, err);
    if (!code)
        return SPHKV_ENOMEM;
    st = sk_object_load(artifact->bytes, artifact->size, &code->object, err);
    if (st == SPHKV_EINVAL) /* wrong bytes are the store's fault, not the caller's */
        st = SPHKV_EDB;
    if (st == SPHKV_OK)
        st = sk_code_entries(code, artifact->entries, find_object_entry, err);
    if (st == SPHKV_OK)
        *out = code;
    else
        sk_code_release(code);
    if (err && st != SPHKV_OK)
        err->status = st;
    return st;
}

sk_code *sk_code_retain(sk_code *code)
{
    atomic_fetch_add_explicit(&code->refs, 1, memory_order_relaxed);
    return code;
}

void sk_code_release(sk_code *code)
{
    if (!code || atomic_fetch_sub_explicit(&code->refs, 1, memory_order_acq_rel) != 1)
        return;
    sk_object_free(code->object);
    sk_code_unload(code);
    sk_free(code);
}

sk_status sk_code_image(const sk_code *code, const sk_spec *spec, const sk_schedule *schedule,
                        const sphkv_maxima *maxima, sk_image *out, sk_err *err)
{
    sk_status st =
        sk_image_init(out, spec, schedule, maxima, code->shared_bytes, code->nentry, code->sms, err);
    if (st != SPHKV_OK)
        return st;
    memcpy(out->entry, code->entry, sizeof out->entry);
    if (code->module)
        sk_code_launches(code, out);
    return SPHKV_OK;
}
