/* cuda_case.h - what the tests of the CUDA back end share: a machine with the GPUs
 * that the test wants, made of the driver's double. Static inline. */
#ifndef CUDA_CASE_H
#define CUDA_CASE_H

#include <dlfcn.h>
#include <elf.h>
#include <stdlib.h>

#include "cuda_context.h"
#include "fake_cuda.h"

#define CUDA_CASE_DRIVER SK_BUILD_DIR "/hooked/lib/fake_cuda.so"

/* The double as a test sees it: its state, and what an engine calls by itself. */
typedef struct cuda_machine {
    void *library;
    fake_cuda *state;
    fake_cuda_extent_fn extent;
    int (*init)(unsigned flags);
    int (*create)(sk_cu_context *context, unsigned flags, sk_cu_device device);
    int (*destroy)(sk_cu_context context);
    int (*retain)(sk_cu_context *context, sk_cu_device device);
    int (*release)(sk_cu_device device);
    int (*push)(sk_cu_context context);
    int (*pop)(sk_cu_context *context);
    int (*current)(sk_cu_context *context);
} cuda_machine;

static inline void cuda_find(const cuda_machine *m, const char *name, void *function, size_t bytes)
{
    void *at = dlsym(m->library, name);
    assert_non_null(at);
    memcpy(function, &at, bytes);
}

/* "sm_90:132,sm_80:108", "none", "stub"; version NULL: the newest. */
static inline void cuda_gpus(const char *gpus, const char *version)
{
    setenv("SPHKV_CUDA_DRIVER", CUDA_CASE_DRIVER, 1);
    setenv("SK_FAKE_GPUS", gpus, 1);
    if (version)
        setenv("SK_FAKE_CUDA", version, 1);
    else
        unsetenv("SK_FAKE_CUDA");
}

static inline void cuda_machine_make(cuda_machine *m, const char *gpus, const char *version)
{
    fake_cuda_state_fn state;
    cuda_gpus(gpus, version);
    memset(m, 0, sizeof *m);
    m->library = dlopen(CUDA_CASE_DRIVER, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(m->library);
    cuda_find(m, "fake_cuda_state", &state, sizeof state);
    cuda_find(m, "fake_cuda_extent", &m->extent, sizeof m->extent);
    cuda_find(m, "cuInit", &m->init, sizeof m->init);
    cuda_find(m, "cuCtxCreate_v2", &m->create, sizeof m->create);
    cuda_find(m, "cuCtxDestroy_v2", &m->destroy, sizeof m->destroy);
    cuda_find(m, "cuDevicePrimaryCtxRetain", &m->retain, sizeof m->retain);
    cuda_find(m, "cuDevicePrimaryCtxRelease_v2", &m->release, sizeof m->release);
    cuda_find(m, "cuCtxPushCurrent_v2", &m->push, sizeof m->push);
    cuda_find(m, "cuCtxPopCurrent_v2", &m->pop, sizeof m->pop);
    cuda_find(m, "cuCtxGetCurrent", &m->current, sizeof m->current);
    m->state = state();
    memset(m->state, 0, sizeof *m->state);
    (void)m->init(0);
}

/* Everything that was made is gone, and nothing was done that must not be. */
static inline void cuda_machine_free(cuda_machine *m)
{
    const fake_cuda *s = m->state;
    sk_cu_context context = NULL;
    assert_string_equal(s->misuse, "");
    assert_string_equal(s->forbidden, "");
    assert_int_equal(s->modules + s->allocations + s->streams + s->events + s->graphs, 0);
    assert_int_equal(s->primaries, 0);
    (void)m->current(&context);
    assert_null(context);
    (void)dlclose(m->library);
}

/* ---- code that the double takes for code ------------------------------------------ */

/* A CUBIN, in the container of CUDA 13, with the named functions (commas between them)
 * and nothing in them. sk_free. */
static inline char *cuda_cubin(const char *arch, const char *entries, size_t *size)
{
    struct {
        Elf64_Ehdr head;
        Elf64_Shdr section[3];
        Elf64_Sym symbol[8];
        char names[1024];
    } *c = sk_calloc(1, sizeof *c);
    assert_non_null(c);
    const unsigned sm = (unsigned)atoi(arch + 3);
    const bool exact = arch[strlen(arch) - 1] == 'a';
    memcpy(c->head.e_ident, ELFMAG, SELFMAG);
    c->head.e_ident[EI_CLASS] = ELFCLASS64;
    c->head.e_ident[EI_DATA] = ELFDATA2LSB;
    c->head.e_ident[EI_OSABI] = 0x41;
    c->head.e_ident[EI_ABIVERSION] = 8;
    c->head.e_machine = 190;
    c->head.e_flags = sm << 8 | (exact ? 8u : 0u);
    c->head.e_shoff = (size_t)((char *)c->section - (char *)c);
    c->head.e_shentsize = sizeof *c->section;
    c->head.e_shnum = 3;
    uint32_t n = 1;
    size_t at = 1;
    for (const char *e = entries; *e; n++) {
        const size_t len = strcspn(e, ",");
        assert_true(n < SK_COUNT(c->symbol) && at + len + 1 < sizeof c->names);
        c->symbol[n].st_name = (uint32_t)at;
        c->symbol[n].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
        memcpy(c->names + at, e, len);
        at += len + 1;
        e += len + (e[len] == ',');
    }
    c->section[1] = (Elf64_Shdr){.sh_type = SHT_SYMTAB, .sh_link = 2,
                                 .sh_offset = (size_t)((char *)c->symbol - (char *)c),
                                 .sh_size = n * sizeof *c->symbol, .sh_entsize = sizeof *c->symbol};
    c->section[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
                                 .sh_offset = (size_t)(c->names - (char *)c), .sh_size = at};
    *size = sizeof *c;
    return (char *)c;
}

/* PTX of a version ("8.0") for an architecture ("sm_80"). sk_free. */
static inline char *cuda_ptx(const char *version, const char *arch, const char *entries,
                             size_t *size)
{
    sk_text text = {0};
    sk_text_printf(&text, ".version %s\n.target %s\n.address_size 64\n", version, arch);
    for (const char *e = entries; *e;) {
        const int len = (int)strcspn(e, ",");
        sk_text_printf(&text, ".visible .entry %.*s(\n)\n{\n\tret;\n}\n", len, e);
        e += len + (e[len] == ',');
    }
    assert_false(text.failed);
    *size = text.len;
    return text.s;
}

#endif
