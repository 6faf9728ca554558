/* fake_cuda_module.c - code of the driver's double: a CUBIN loads where its ELF header
 * says that it runs, PTX where its .target and .version allow it, and a function is
 * there when the symbol table, or an .entry, has it. */
#include "fake_cuda_impl.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EM_CUDA_CODE 190
#define ABI_OF_13 0x41 /* CUDA 13 moved the architecture up by a byte */
#define FUNCTIONS 8
#define OPTION_ERROR_LOG 5
#define OPTION_ERROR_BYTES 6

struct fake_module {
    fake_context *context;
    const char *bytes; /* the caller's may go: this is a copy where it is text */
    bool ptx;
    Elf64_Shdr symbols, strings;
    char *copy;
    uint32_t nfunctions;
    fake_function function[FUNCTIONS];
};

/* Whether code for `sm` runs on the device. exact: code for this one alone; ptx: for
 * this one and all later ones; else for later ones of the same generation. */
static bool runs(uint32_t sm, bool exact, bool ptx, uint32_t device)
{
    if (exact) return sm == device;
    return ptx ? sm <= device : sm / 10 == device / 10 && sm <= device;
}

static void note_loaded(const char *kind, uint32_t sm, bool exact)
{
    fake_cuda *s = fake_cuda_get();
    snprintf(s->loaded, sizeof s->loaded, "%s sm_%u%s", kind, sm, exact ? "a" : "");
}

static int load_ptx(fake_module *m, const char *text, uint32_t device)
{
    unsigned major, minor, sm;
    char suffix = 0;
    const char *version = strstr(text, ".version"), *target = strstr(text, ".target");
    if (!version || !target || sscanf(version, ".version %u.%u", &major, &minor) != 2 ||
        sscanf(target, ".target sm_%u%c", &sm, &suffix) < 1)
        return FAKE_INVALID_PTX;
    /* CUDA 11.0 came with PTX 7.0, and so on, a major version each. */
    const int least = (int)(major + 4) * 1000 + (int)minor * 10;
    if (least > fake_cuda_version()) return FAKE_PTX_VERSION;
    if (!runs(sm, suffix == 'a', true, device)) return FAKE_NO_BINARY;
    m->ptx = true;
    m->copy = strdup(text);
    note_loaded("ptx", sm, suffix == 'a');
    return m->copy ? FAKE_OK : FAKE_NO_MEMORY;
}

/* The file's length is not said: its header says where the sections end. */
static int load_cubin(fake_module *m, const char *bytes, uint32_t device)
{
    Elf64_Ehdr head;
    memcpy(&head, bytes, sizeof head);
    const bool new_abi = head.e_ident[EI_OSABI] == ABI_OF_13;
    const uint32_t sm = (new_abi ? head.e_flags >> 8 : head.e_flags) & 0xff;
    const bool exact = head.e_flags & (new_abi ? 0x8u : 0x800u);
    if (head.e_machine != EM_CUDA_CODE || head.e_shentsize != sizeof(Elf64_Shdr))
        return FAKE_INVALID_IMAGE;
    if (!runs(sm, exact, false, device)) return FAKE_NO_BINARY;
    size_t end = head.e_shoff + (size_t)head.e_shnum * sizeof(Elf64_Shdr);
    for (uint32_t i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr s;
        memcpy(&s, bytes + head.e_shoff + i * sizeof s, sizeof s);
        if (s.sh_type == SHT_SYMTAB) m->symbols = s;
        if (s.sh_type != SHT_NOBITS && s.sh_offset + s.sh_size > end) end = s.sh_offset + s.sh_size;
    }
    if (m->symbols.sh_type != SHT_SYMTAB || m->symbols.sh_link >= head.e_shnum)
        return FAKE_INVALID_IMAGE;
    memcpy(&m->strings, bytes + head.e_shoff + m->symbols.sh_link * sizeof m->strings,
           sizeof m->strings);
    m->copy = malloc(end);
    if (!m->copy) return FAKE_NO_MEMORY;
    memcpy(m->copy, bytes, end);
    note_loaded("cubin", sm, exact);
    return FAKE_OK;
}

FAKE_EXPORT int cuModuleLoadDataEx(fake_module **module, const void *image, unsigned options,
                                   int *option, void **value)
{
    const int fault = fake_cuda_fault("cuModuleLoadDataEx");
    if (fault) return fault;
    const fake_context *c = fake_cuda_current();
    if (fake_cuda_refused("cuModuleLoadDataEx")) return FAKE_CAPTURE;
    if (!c) return FAKE_INVALID_CONTEXT;
    fake_module *m = calloc(1, sizeof *m);
    if (!m) return FAKE_NO_MEMORY;
    const uint32_t device = fake_cuda_gpu(c->device)->sm;
    m->context = fake_cuda_current();
    const int result = memcmp(image, ELFMAG, SELFMAG) == 0 ? load_cubin(m, image, device)
                                                           : load_ptx(m, image, device);
    if (result != FAKE_OK) {
        char *log = NULL;
        size_t bytes = 0;
        for (unsigned i = 0; i < options; i++) {
            if (option[i] == OPTION_ERROR_LOG) log = value[i];
            if (option[i] == OPTION_ERROR_BYTES) bytes = (size_t)(uintptr_t)value[i];
        }
        if (log && bytes && result == FAKE_INVALID_PTX) snprintf(log, bytes, "ptxas fatal: no text");
        free(m->copy);
        free(m);
        return result;
    }
    fake_cuda_get()->modules++;
    fake_cuda_get()->loads++;
    *module = m;
    return FAKE_OK;
}

FAKE_EXPORT int cuModuleUnload(fake_module *module)
{
    if (fake_cuda_refused("cuModuleUnload")) return FAKE_CAPTURE;
    if (!module->context->refs)
        return fake_cuda_misuse("a module is unloaded after its context went", FAKE_INVALID_CONTEXT);
    if (module->context != fake_cuda_current())
        return fake_cuda_misuse("a module is unloaded in another context", FAKE_INVALID_HANDLE);
    fake_cuda_get()->modules--;
    free(module->copy);
    free(module);
    return FAKE_OK;
}

static bool has_entry(const fake_module *m, const char *name)
{
    if (m->ptx) {
        char entry[160];
        snprintf(entry, sizeof entry, ".entry %s(", name);
        return strstr(m->copy, entry) != NULL;
    }
    for (size_t i = 0; i < m->symbols.sh_size / sizeof(Elf64_Sym); i++) {
        Elf64_Sym sym;
        memcpy(&sym, m->copy + m->symbols.sh_offset + i * sizeof sym, sizeof sym);
        if (ELF64_ST_TYPE(sym.st_info) == STT_FUNC && sym.st_name < m->strings.sh_size &&
            strcmp(m->copy + m->strings.sh_offset + sym.st_name, name) == 0)
            return true;
    }
    return false;
}

/* The text that NVRTC's double leaves in a CUBIN. */
static const char *unit_of(const fake_module *m)
{
    Elf64_Ehdr head;
    if (m->ptx) return NULL;
    memcpy(&head, m->copy, sizeof head);
    for (uint32_t i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr s;
        memcpy(&s, m->copy + head.e_shoff + i * sizeof s, sizeof s);
        if (s.sh_type == SHT_PROGBITS && s.sh_name < m->strings.sh_size &&
            strcmp(m->copy + m->strings.sh_offset + s.sh_name, ".unit") == 0)
            return m->copy + s.sh_offset;
    }
    return NULL;
}

FAKE_EXPORT int cuModuleGetFunction(fake_function **function, fake_module *module, const char *name)
{
    if (!has_entry(module, name)) return FAKE_NOT_FOUND;
    if (module->nfunctions == FUNCTIONS) return FAKE_NO_MEMORY;
    fake_function *f = &module->function[module->nfunctions++];
    f->module = module;
    f->unit = unit_of(module);
    snprintf(f->name, sizeof f->name, "%s", name);
    *function = f;
    return FAKE_OK;
}

FAKE_EXPORT int cuFuncGetAttribute(int *value, int attribute, const fake_function *function)
{
    *value = attribute == 4 ? 40 : attribute == 8 ? function->max_shared : 0;
    return FAKE_OK;
}

FAKE_EXPORT int cuFuncSetAttribute(fake_function *function, int attribute, int value)
{
    const fake_gpu *g = fake_cuda_gpu(function->module->context->device);
    if (fake_cuda_refused("cuFuncSetAttribute")) return FAKE_CAPTURE;
    if (attribute != 8 || value < 0 || (uint32_t)value > g->shared_block) return FAKE_INVALID_VALUE;
    function->max_shared = value;
    return FAKE_OK;
}

fake_function *fake_cuda_function(void *handle)
{
    fake_function *f = handle;
    if (f && f->module->context == fake_cuda_current() && f->module->context->refs) return f;
    (void)fake_cuda_misuse("a function is launched outside of its context", 0);
    return NULL;
}
