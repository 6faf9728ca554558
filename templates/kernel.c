/* kernel.c - the table of kernels, made of the rows of SPHKV_KERNELS, and what
 * every image shares: its set-up and the one call through which compiled and
 * interpreted entries are reached. */
#include "kernel.h"

#include <string.h>

#define SK_X(id, name, mix, reads) extern const sk_kernel sk_kernel_##name;
SPHKV_KERNELS(SK_X)
#undef SK_X

static const sk_kernel *const kernels[] = {
#define SK_X(id, name, mix, reads) [SPHKV_##id] = &sk_kernel_##name,
    SPHKV_KERNELS(SK_X)
#undef SK_X
};

const sk_kernel *sk_kernel_get(uint32_t id)
{
    return id < SK_COUNT(kernels) ? kernels[id] : NULL;
}

static const sk_kernel_form *form_of(const sk_kernel *kernel, uint32_t backend)
{
    return backend < SK_BACKENDS ? kernel->form[backend] : NULL;
}

static sk_status no_form(const sk_spec *spec, sk_err *err)
{
    return sk_fail(err, SPHKV_EUNSUPPORTED, "%s does not run on this kind of device",
                   sk_kernel_name(spec->kernel));
}

void sk_kernel_default(const sk_kernel *kernel, const sk_spec *spec, const sk_target *target,
                       sk_schedule *out)
{
    const sk_kernel_form *form = form_of(kernel, target->backend);
    sk_schedule_begin(target->backend, out);
    if (form) form->default_schedule(spec, target, out);
}

sk_status sk_kernel_valid(const sk_kernel *kernel, const sk_spec *spec, const sk_schedule *schedule,
                          const sk_target *target, sk_err *err)
{
    const sk_kernel_form *form = form_of(kernel, target->backend);
    if (!form) return no_form(spec, err);
    if (schedule->backend != target->backend)
        return sk_fail(err, SPHKV_EINVAL, "a schedule for %s on %s",
                       schedule->backend == SK_BACKEND_CUDA ? "GPUs" : "CPUs",
                       target->backend == SK_BACKEND_CUDA ? "a GPU" : "a CPU");
    return form->valid(spec, schedule, target, err);
}

sk_status sk_kernel_build(const sk_kernel *kernel, const sk_spec *spec, const sk_schedule *schedule,
                          sk_arena *arena, sk_build *out, sk_err *err)
{
    const sk_kernel_form *form = form_of(kernel, schedule->backend);
    return form ? form->build(spec, schedule, arena, out, err) : no_form(spec, err);
}

void sk_kernel_workspace(const sk_kernel *kernel, void *args, void *workspace, size_t bytes)
{
    uint8_t *at = (uint8_t *)args + kernel->workspace_at;
    memcpy(at, &workspace, sizeof workspace);
    memcpy(at + sizeof workspace, &bytes, sizeof bytes);
}

void sk_kernel_stream(const sk_kernel *kernel, void *args, void *stream)
{
    memcpy((uint8_t *)args + kernel->args_size - sizeof stream, &stream, sizeof stream);
}

sk_status sk_image_init(sk_image *image, const sk_spec *spec, const sk_schedule *schedule,
                        const sphkv_maxima *maxima, const uint32_t *shared_bytes, uint32_t nentry,
                        uint32_t sms, sk_err *err)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    if (kernel == NULL || nentry == 0 || nentry > SK_MAX_ENTRIES)
        return sk_fail(err, SPHKV_EINVAL, "no kernel %u with %u entries", spec->kernel, nentry);
    memset(image, 0, sizeof *image);
    image->kernel = kernel;
    image->form = form_of(kernel, schedule->backend);
    if (!image->form) return no_form(spec, err);
    image->sms = sms ? sms : 1;
    image->spec = *spec;
    image->schedule = *schedule;
    image->maxima = *maxima;
    if (image->maxima.parts == 0) image->maxima.parts = 1;
    if (image->maxima.q_len == 0) image->maxima.q_len = 1;
    if (image->maxima.parts > SPHKV_MAX_PARTS || image->maxima.batch > 1u << 20 ||
        image->maxima.kv_heads > 1u << 16 ||
        (uint64_t)image->maxima.batch * image->maxima.kv_heads > 1u << 28)
        return sk_fail(err, SPHKV_EINVAL,
                       "maxima too large: batch %u (2^20), kv_heads %u (2^16, with batch 2^28), "
                       "parts %u (1024)",
                       maxima->batch, maxima->kv_heads, maxima->parts);
    image->nentry = nentry;
    memcpy(image->shared_bytes, shared_bytes, nentry * sizeof *shared_bytes);
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_page_layout layout;
        sk_page_layout_get(spec, i, &layout);
        image->units[i] = layout.units;
    }
    image->book_stride = sk_codebook_head_bytes(spec);
    if (image->form->prepare) image->form->prepare(image);
    image->workspace = image->form->workspace(image);
    return SPHKV_OK;
}

void sk_call_ptr(sk_call *call, const void *p, size_t bytes)
{
    call->slot[call->n] = (uint64_t)(uintptr_t)p;
    call->bytes[call->n++] = bytes;
}

void sk_call_u32(sk_call *call, uint32_t x)
{
    call->slot[call->n] = x;
    call->bytes[call->n++] = 0;
}

void sk_call_f32(sk_call *call, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    sk_call_u32(call, bits);
}

sk_status sk_image_interpret(const sk_image *image, uint32_t entry, const sk_call *call,
                             uint32_t first, uint32_t blocks, sk_interp_profile *profile,
                             sk_err *err)
{
    sk_interp_buffer buffer[SK_MAX_SLOTS] = {0};
    uint32_t scalar[SK_MAX_SLOTS];
    for (uint32_t i = 0; i < call->n; i++) {
        if (call->bytes[i] != 0 || image->program[entry]->param[i].kind == SK_PARAM_PTR) {
            buffer[i].data = (void *)(uintptr_t)call->slot[i];
            buffer[i].bytes = call->bytes[i];
        }
        scalar[i] = (uint32_t)call->slot[i];
    }
    const sk_interp_args args = {
        .buffer = buffer, .scalar = scalar, .first = {first, 0, 0}, .grid = {blocks, 1, 1},
        .profile = profile};
    return sk_interp_run(image->program[entry], &args, err);
}

sk_status sk_image_call(const sk_image *image, uint32_t entry, const sk_call *call, uint32_t bx,
                        sk_err *err)
{
    if (image->entry[entry] == NULL)
        return sk_image_interpret(image, entry, call, bx, 1, NULL, err);
    image->entry[entry](call->slot, call->shared, bx, 0, 0);
    return SPHKV_OK;
}

sk_status sk_image_launch(const sk_image *image, uint32_t entry, const sk_call *call,
                          uint32_t blocks, void *stream, sk_err *err)
{
    if (blocks == 0) return SPHKV_OK;
    if (image->launch)
        return image->launch(image->launch_user, entry, call, blocks, stream, err);
    return sk_image_interpret(image, entry, call, 0, blocks, NULL, err);
}

sk_status sk_args_copy(void *dst, size_t known, const void *args, sk_err *err)
{
    uint32_t size;
    const sk_status st = sk_struct_read(args, dst, known, "args", err);
    if (st != SPHKV_OK) return st;
    memcpy(&size, args, sizeof size);
    if (size % 8 != 0) /* would cut a pointer */
        return sk_fail(err, SPHKV_EINVAL, "args.size is %u: set it to sizeof the struct", size);
    return SPHKV_OK;
}

sk_status sk_args_reserved(uint32_t word, sk_err *err)
{
    if (word == 0) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "a reserved word of args is %#x: set it to 0", word);
}
