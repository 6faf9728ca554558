/* fake_gpu.c - the driver's double as a GPU that computes by itself, in any process that
 * opens it (hooked/lib/fake_gpu.so): what sphkv-tune and sphkv-bench do on a GPU can be
 * run whole where there is none. With code of NVRTC's double, in which the text of the
 * kernel is: a launch reads spec and schedule from its first two lines, builds the
 * programs again and interprets the one that is called. Code that is no kernel's, the
 * sweeps of the tuner, does nothing. Times are those of the double, so none means much. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_cuda_impl.h"
#include "image_load.h"

#define KERNELS 256

typedef struct known {
    char *head; /* the two lines */
    sk_arena mem;
    sk_code_ir ir;
    bool is;    /* a kernel */
} known;

static known kernel[KERNELS];
static uint32_t kernels;

size_t fake_cuda_extent(uint64_t at);

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "the GPU's double: %s: %s\n", what, why);
    abort();
}

/* The comment lines on top of a unit, without the marks: spec, then schedule. */
static bool read_head(const char *unit, char spec[512], char schedule[1024])
{
    const char *at = strchr(unit, '\n'); /* behind #line */
    return at && sscanf(at + 1, "// %511[^\n]\n// %1023[^\n]", spec, schedule) == 2;
}

static bool build(known *k)
{
    char spec_text[512], schedule_text[1024];
    sk_spec spec;
    sk_schedule schedule;
    sk_err err = {0};
    if (!read_head(k->head, spec_text, schedule_text) ||
        sk_spec_parse(spec_text, &spec, NULL) != SPHKV_OK)
        return false;
    sk_schedule_begin(SK_BACKEND_CUDA, &schedule);
    if (sk_schedule_parse(spec.kernel, schedule_text, &schedule, &err) != SPHKV_OK ||
        sk_code_ir_build(&spec, &schedule, &k->mem, &k->ir, &err) != SPHKV_OK)
        fail(k->head, err.message);
    return true;
}

static const sk_program *find(const char *unit, const char *name)
{
    known *k = NULL;
    if (!unit) return NULL;
    const size_t len = strcspn(unit, ";{"); /* the first declaration ends the head */
    for (uint32_t i = 0; i < kernels && !k; i++)
        if (strncmp(kernel[i].head, unit, len) == 0 && kernel[i].head[len] == '\0') k = &kernel[i];
    if (!k) {
        if (kernels == KERNELS) fail(name, "too many kernels");
        k = &kernel[kernels++];
        k->head = strndup(unit, len);
        if (!k->head) fail(name, "no memory");
        k->is = build(k);
    }
    for (uint32_t i = 0; k->is && i < k->ir.build.n; i++)
        if (strcmp(k->ir.build.program[i]->symbol, name) == 0) return k->ir.build.program[i];
    return NULL;
}

static uint32_t slots(void *user, const char *name, const char *unit)
{
    const sk_program *program = find(unit, name);
    (void)user;
    return program ? program->nparams : 0;
}

static void run(void *user, const fake_cuda_launch *l)
{
    const sk_program *program = find(l->unit, l->name);
    sk_interp_buffer buffer[SK_MAX_SLOTS] = {0};
    uint32_t scalar[SK_MAX_SLOTS] = {0};
    sk_err err = {0};
    (void)user;
    if (!program) return;
    if (l->block[0] != 32 * program->warps || l->shared_bytes != program->shared_bytes)
        fail(l->name, "blocks of another shape");
    for (uint32_t i = 0; i < l->slots; i++) {
        scalar[i] = (uint32_t)l->slot[i];
        if (program->param[i].kind == SK_PARAM_PTR)
            buffer[i] = (sk_interp_buffer){.data = (void *)(uintptr_t)l->slot[i],
                                           .bytes = fake_cuda_extent(l->slot[i])};
    }
    const sk_interp_args args = {.buffer = buffer, .scalar = scalar,
                                 .grid = {l->grid[0], l->grid[1], l->grid[2]}};
    if (sk_interp_run(program, &args, &err) != SPHKV_OK) fail(l->name, err.message);
}

__attribute__((constructor)) static void compute(void)
{
    fake_cuda *state = fake_cuda_get();
    state->slots = slots;
    state->run = run;
    state->launch_ms = 0.1f; /* few launches make a sample */
}
