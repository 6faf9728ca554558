/* object.c - the loader of object.h: parse and check, lay out, copy, relocate,
 * protect; one function each.
 *
 * Layout in memory: all executable sections, a page boundary, all read-only
 * ones. Writable sections are refused: a kernel has no state of its own. The
 * file is read by memcpy through one bounds check (`within`), so neither its
 * alignment nor its offsets are believed. Anything outside the small dialect
 * that emit_llvm speaks (REL, COMDAT-like extensions, TLS, IFUNC, common
 * symbols) is an error and not a guess. Rejected: dlopen of a linked .so, which
 * needs a linker to make and a file to load. */
#include "object.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "object_reloc.h"

#if defined(__x86_64__)
#define THIS_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define THIS_MACHINE EM_AARCH64
#else
#define THIS_MACHINE EM_NONE /* no object is of it */
#endif
#define MAX_SECTIONS 512u
#define MAX_MAPPED (256u << 20) /* keeps every displacement inside 32 bits */

typedef struct loaded_section {
    Elf64_Shdr head;
    bool placed;     /* has a place in memory */
    size_t at;       /* offset of the place from the base */
} loaded_section;

typedef struct object_symbol {
    const char *name; /* into sk_object.names */
    size_t at;        /* offset from the base */
} object_symbol;

struct sk_object {
    uint8_t *base;          /* the mapping */
    size_t mapped, code;    /* bytes of it; the first `code` are executable */
    char *names;            /* copy of the string table */
    object_symbol *symbol;  /* global functions */
    size_t nsymbols;
};

/* What is known while loading. */
typedef struct loader {
    const uint8_t *bytes; /* the file */
    size_t size;
    sk_err *err;
    loaded_section *section;
    uint32_t nsections;
    uint32_t symtab;       /* section index */
    const char *strings;   /* of the symbol table, in the file */
    size_t strings_size;
    size_t nsyms;
    sk_object *object;
} loader;

static sk_status damaged(const loader *l, const char *what, size_t index)
{
    return sk_fail(l->err, SPHKV_EINVAL, "object: %s (%zu)", what, index);
}

static bool within(const loader *l, uint64_t offset, uint64_t size)
{
    return offset <= l->size && size <= l->size - offset;
}

static sk_status read_header(loader *l, Elf64_Ehdr *head)
{
    if (!within(l, 0, sizeof *head))
        return damaged(l, "shorter than a header", l->size);
    memcpy(head, l->bytes, sizeof *head);
    if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return sk_fail(l->err, SPHKV_EINVAL, "object: not ELF");
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
        head->e_ident[EI_VERSION] != EV_CURRENT || head->e_type != ET_REL)
        return sk_fail(l->err, SPHKV_EINVAL, "object: not a 64-bit little-endian relocatable");
    if (head->e_machine != THIS_MACHINE)
        return sk_fail(l->err, SPHKV_EUNSUPPORTED, "object: for machine %u, which is not this one",
                       head->e_machine);
    if (head->e_shentsize != sizeof(Elf64_Shdr) || head->e_shnum == 0 ||
        head->e_shnum > MAX_SECTIONS)
        return damaged(l, "section table of a strange form", head->e_shnum);
    if (!within(l, head->e_shoff, (uint64_t)head->e_shnum * sizeof(Elf64_Shdr)))
        return damaged(l, "section table outside the file", head->e_shnum);
    return SPHKV_OK;
}

/* The rules for one section; fills nothing. */
static sk_status check_section(const loader *l, const Elf64_Shdr *s, uint32_t i)
{
    if (s->sh_type == SHT_NULL)
        return SPHKV_OK;
    if (s->sh_type != SHT_NOBITS && !within(l, s->sh_offset, s->sh_size))
        return damaged(l, "section outside the file", i);
    if (s->sh_type == SHT_REL || s->sh_type == SHT_SYMTAB_SHNDX)
        return damaged(l, "section of an unknown dialect", i);
    if (!(s->sh_flags & SHF_ALLOC))
        return SPHKV_OK;
    if (s->sh_type != SHT_PROGBITS && s->sh_type != SHT_NOBITS)
        return damaged(l, "loaded section that is neither code nor constants", i);
    if (s->sh_flags & (SHF_WRITE | SHF_TLS | SHF_COMPRESSED))
        return damaged(l, "writable, thread-local or compressed section", i);
    if (s->sh_addralign & (s->sh_addralign - 1) || s->sh_addralign > 4096)
        return damaged(l, "section alignment", i);
    if (s->sh_size > MAX_MAPPED)
        return damaged(l, "section too large", i);
    return SPHKV_OK;
}

static sk_status read_sections(loader *l)
{
    Elf64_Ehdr head;
    sk_status st = read_header(l, &head);
    if (st)
        return st;
    l->nsections = head.e_shnum;
    l->section = sk_calloc(l->nsections, sizeof *l->section);
    if (!l->section)
        return sk_fail(l->err, SPHKV_ENOMEM, "object: out of memory");
    for (uint32_t i = 0; i < l->nsections; i++) {
        Elf64_Shdr *s = &l->section[i].head;
        memcpy(s, l->bytes + head.e_shoff + (size_t)i * sizeof *s, sizeof *s);
        st = check_section(l, s, i);
        if (st)
            return st;
        if (s->sh_type != SHT_SYMTAB)
            continue;
        if (l->symtab)
            return damaged(l, "two symbol tables", i);
        l->symtab = i;
    }
    return SPHKV_OK;
}

static sk_status read_symtab_place(loader *l)
{
    const Elf64_Shdr *s = &l->section[l->symtab].head;
    if (!l->symtab)
        return sk_fail(l->err, SPHKV_EINVAL, "object: no symbol table");
    if (s->sh_entsize != sizeof(Elf64_Sym) || s->sh_size % sizeof(Elf64_Sym) ||
        s->sh_link == 0 || s->sh_link >= l->nsections ||
        l->section[s->sh_link].head.sh_type != SHT_STRTAB)
        return damaged(l, "symbol table", l->symtab);
    const Elf64_Shdr *strings = &l->section[s->sh_link].head;
    l->strings = (const char *)l->bytes + strings->sh_offset;
    l->strings_size = strings->sh_size;
    if (!l->strings_size || l->strings[l->strings_size - 1])
        return damaged(l, "string table without an end", s->sh_link);
    l->nsyms = s->sh_size / sizeof(Elf64_Sym);
    return SPHKV_OK;
}

static Elf64_Sym symbol_at(const loader *l, size_t i)
{
    Elf64_Sym sym;
    memcpy(&sym, l->bytes + l->section[l->symtab].head.sh_offset + i * sizeof sym, sizeof sym);
    return sym;
}

/* Every symbol names a place in this object, or nothing that anyone can use. */
static sk_status check_symbols(const loader *l)
{
    for (size_t i = 1; i < l->nsyms; i++) {
        const Elf64_Sym sym = symbol_at(l, i);
        if (sym.st_name >= l->strings_size)
            return damaged(l, "symbol name outside the string table", i);
        const unsigned type = ELF64_ST_TYPE(sym.st_info);
        if (type == STT_FILE && sym.st_shndx == SHN_ABS)
            continue;
        if (sym.st_shndx == SHN_UNDEF)
            return sk_fail(l->err, SPHKV_EINVAL, "object: undefined symbol '%.100s'",
                           l->strings + sym.st_name);
        if (type > STT_SECTION || sym.st_shndx >= l->nsections)
            return damaged(l, "symbol of an unknown kind", i);
        if (sym.st_value > l->section[sym.st_shndx].head.sh_size)
            return damaged(l, "symbol outside its section", i);
    }
    return SPHKV_OK;
}

/* Places sections whose SHF_EXECINSTR equals `exec`, from *top on. */
static sk_status place(loader *l, bool exec, size_t *top)
{
    for (uint32_t i = 0; i < l->nsections; i++) {
        loaded_section *s = &l->section[i];
        const bool loaded = s->head.sh_type == SHT_PROGBITS || s->head.sh_type == SHT_NOBITS;
        if (!loaded || !(s->head.sh_flags & SHF_ALLOC) ||
            exec != ((s->head.sh_flags & SHF_EXECINSTR) != 0))
            continue;
        const size_t align = s->head.sh_addralign ? s->head.sh_addralign : 1;
        *top = (*top + align - 1) & ~(align - 1);
        s->at = *top;
        s->placed = true;
        *top += s->head.sh_size;
        if (*top > MAX_MAPPED)
            return damaged(l, "too large", i);
    }
    return SPHKV_OK;
}

static sk_status map_sections(loader *l)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    sk_object *o = l->object;
    size_t top = 0;
    sk_status st = place(l, true, &top);
    if (st)
        return st;
    if (top == 0)
        return sk_fail(l->err, SPHKV_EINVAL, "object: no code");
    o->code = top = (top + page - 1) & ~(page - 1);
    st = place(l, false, &top);
    if (st)
        return st;
    const size_t mapped = (top + page - 1) & ~(page - 1);
    void *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return sk_fail(l->err, SPHKV_ENOMEM, "object: cannot map %zu bytes", mapped);
    o->base = base;
    o->mapped = mapped;
    for (uint32_t i = 0; i < l->nsections; i++) {
        const loaded_section *s = &l->section[i];
        if (s->placed && s->head.sh_type == SHT_PROGBITS && s->head.sh_size)
            memcpy(o->base + s->at, l->bytes + s->head.sh_offset, s->head.sh_size);
    }
    return SPHKV_OK;
}

/* Applies one relocation to the section placed at `target`. */
static sk_status relocate(const loader *l, const loaded_section *target, const Elf64_Rela *r,
                          size_t index)
{
    const uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
    const uint64_t number = ELF64_R_SYM(r->r_info);
    const uint32_t width = sk_reloc_width(THIS_MACHINE, type);
    if (width == SK_RELOC_UNKNOWN)
        return sk_fail(l->err, SPHKV_EINVAL, "object: relocation of unknown type %u", type);
    if (width == 0)
        return SPHKV_OK;
    if (r->r_offset > target->head.sh_size || width > target->head.sh_size - r->r_offset)
        return damaged(l, "relocation outside its section", index);
    if (target->head.sh_type == SHT_NOBITS || number == 0 || number >= l->nsyms)
        return damaged(l, "relocation without a symbol", index);
    const Elf64_Sym sym = symbol_at(l, number);
    if (sym.st_shndx >= l->nsections || !l->section[sym.st_shndx].placed)
        return damaged(l, "relocation to what is not loaded", index);
    uint8_t *at = l->object->base + target->at + r->r_offset;
    const uint64_t value = (uint64_t)(uintptr_t)(l->object->base + l->section[sym.st_shndx].at) +
                           sym.st_value + (uint64_t)r->r_addend;
    return sk_reloc_apply(THIS_MACHINE, type, at, (uint64_t)(uintptr_t)at, value)
               ? SPHKV_OK
               : damaged(l, "relocation does not fit", index);
}

static sk_status relocate_all(const loader *l)
{
    for (uint32_t i = 0; i < l->nsections; i++) {
        const Elf64_Shdr *s = &l->section[i].head;
        if (s->sh_type != SHT_RELA)
            continue;
        if (s->sh_entsize != sizeof(Elf64_Rela) || s->sh_size % sizeof(Elf64_Rela) ||
            s->sh_link != l->symtab || s->sh_info == 0 || s->sh_info >= l->nsections)
            return damaged(l, "relocation table", i);
        const loaded_section *target = &l->section[s->sh_info];
        if (!target->placed) /* of debug information and the like */
            continue;
        for (size_t k = 0; k < s->sh_size / sizeof(Elf64_Rela); k++) {
            Elf64_Rela r;
            memcpy(&r, l->bytes + s->sh_offset + k * sizeof r, sizeof r);
            sk_status st = relocate(l, target, &r, k);
            if (st)
                return st;
        }
    }
    return SPHKV_OK;
}

/* Keeps the names and places of global functions. */
static sk_status keep_symbols(const loader *l)
{
    sk_object *o = l->object;
    o->names = sk_malloc(l->strings_size);
    o->symbol = sk_calloc(l->nsyms ? l->nsyms : 1, sizeof *o->symbol);
    if (!o->names || !o->symbol)
        return sk_fail(l->err, SPHKV_ENOMEM, "object: out of memory");
    memcpy(o->names, l->strings, l->strings_size);
    for (size_t i = 1; i < l->nsyms; i++) {
        const Elf64_Sym sym = symbol_at(l, i);
        if (ELF64_ST_TYPE(sym.st_info) != STT_FUNC || ELF64_ST_BIND(sym.st_info) != STB_GLOBAL)
            continue;
        const loaded_section *s = &l->section[sym.st_shndx];
        if (!s->placed || !(s->head.sh_flags & SHF_EXECINSTR) || sym.st_value >= s->head.sh_size)
            return damaged(l, "function outside the code", i);
        o->symbol[o->nsymbols++] =
            (object_symbol){.name = o->names + sym.st_name, .at = s->at + sym.st_value};
    }
    return SPHKV_OK;
}

static sk_status protect(const loader *l)
{
    const sk_object *o = l->object;
    __builtin___clear_cache((char *)o->base, (char *)o->base + o->code);
    if (mprotect(o->base, o->code, PROT_READ | PROT_EXEC) != 0 ||
        (o->mapped > o->code &&
         mprotect(o->base + o->code, o->mapped - o->code, PROT_READ) != 0))
        return sk_fail(l->err, SPHKV_EIO, "object: the system refuses executable memory");
    return SPHKV_OK;
}

sk_status sk_object_load(const void *bytes, size_t size, sk_object **out, sk_err *err)
{
    loader l = {.bytes = bytes, .size = size, .err = err};
    *out = NULL;
    l.object = sk_calloc(1, sizeof *l.object);
    if (!l.object)
        return sk_fail(err, SPHKV_ENOMEM, "object: out of memory");
    sk_status st = read_sections(&l);
    if (!st)
        st = read_symtab_place(&l);
    if (!st)
        st = check_symbols(&l);
    if (!st)
        st = map_sections(&l);
    if (!st)
        st = relocate_all(&l);
    if (!st)
        st = keep_symbols(&l);
    if (!st)
        st = protect(&l);
    sk_free(l.section);
    if (st) {
        sk_object_free(l.object);
        return st;
    }
    *out = l.object;
    return SPHKV_OK;
}

void sk_object_free(sk_object *object)
{
    if (!object)
        return;
    if (object->base)
        munmap(object->base, object->mapped);
    sk_free(object->symbol);
    sk_free(object->names);
    sk_free(object);
}

sk_cpu_entry sk_object_entry(const sk_object *object, const char *symbol)
{
    for (size_t i = 0; i < object->nsymbols; i++)
        if (strcmp(object->symbol[i].name, symbol) == 0) {
            const uint8_t *at = object->base + object->symbol[i].at;
            sk_cpu_entry entry;
            memcpy(&entry, &at, sizeof entry); /* no cast from data to code in ISO C */
            return entry;
        }
    return NULL;
}

size_t sk_object_mapped(const sk_object *object) { return object->mapped; }
size_t sk_object_code(const sk_object *object) { return object->code; }
