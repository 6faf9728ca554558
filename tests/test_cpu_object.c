/* test_cpu_object.c - the object loader on an object made here byte by byte, so
 * that every rule can be broken alone and no compiler is needed, and on damage
 * of every kind: nothing may crash the loader, whatever it then says. What is
 * damaged is loaded and never run. */
#include "sk_test.h"

#include <elf.h>

#include "object.h"

#if defined(__x86_64__)

enum { NULL_S, TEXT, RODATA, SYMTAB, STRTAB, RELA_TEXT, RELA_RODATA, DEBUG, RELA_DEBUG, SECTIONS };
enum { SYM_FILE = 1, SYM_RODATA, SYM_HELPER, SYM_KERNEL, SYMBOLS };

/* An object with a place for everything; patched, then loaded. */
typedef struct small_object {
    Elf64_Ehdr head;
    Elf64_Shdr section[SECTIONS];
    Elf64_Sym symbol[SYMBOLS];
    Elf64_Rela text_rela[2], rodata_rela[1], debug_rela[1];
    uint8_t text[32], rodata[16], debug[8];
    char strings[32];
} small_object;

static const uint8_t code[] = {
    0xe8, 0, 0, 0, 0,             /* call helper */
    0x48, 0x8b, 0x05, 0, 0, 0, 0, /* rax = pointer at rodata + 8 */
    0x8b, 0x00,                   /* eax = what it points at: rodata + 0 */
    0x48, 0x8b, 0x17,             /* rdx = params[0] */
    0x89, 0x02,                   /* *rdx = eax */
    0xc3, 0xc3,                   /* the end; helper */
};

static Elf64_Shdr section(uint32_t type, uint64_t flags, size_t offset, size_t size, uint32_t link,
                          uint32_t info, size_t entry)
{
    return (Elf64_Shdr){.sh_type = type, .sh_flags = flags, .sh_offset = offset, .sh_size = size,
                        .sh_link = link, .sh_info = info, .sh_addralign = 16,
                        .sh_entsize = entry};
}

static void make_sections(small_object *o)
{
#define PLACE(member) offsetof(small_object, member), sizeof o->member
    o->section[TEXT] = section(SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, PLACE(text), 0, 0, 0);
    o->section[RODATA] = section(SHT_PROGBITS, SHF_ALLOC, PLACE(rodata), 0, 0, 0);
    o->section[SYMTAB] = section(SHT_SYMTAB, 0, PLACE(symbol), STRTAB, SYM_HELPER,
                                 sizeof(Elf64_Sym));
    o->section[STRTAB] = section(SHT_STRTAB, 0, PLACE(strings), 0, 0, 0);
    o->section[RELA_TEXT] = section(SHT_RELA, 0, PLACE(text_rela), SYMTAB, TEXT,
                                    sizeof(Elf64_Rela));
    o->section[RELA_RODATA] = section(SHT_RELA, 0, PLACE(rodata_rela), SYMTAB, RODATA,
                                      sizeof(Elf64_Rela));
    o->section[DEBUG] = section(SHT_PROGBITS, 0, PLACE(debug), 0, 0, 0);
    o->section[RELA_DEBUG] = section(SHT_RELA, 0, PLACE(debug_rela), SYMTAB, DEBUG,
                                     sizeof(Elf64_Rela));
#undef PLACE
}

static small_object make_object(void)
{
    small_object o;
    memset(&o, 0, sizeof o);
    memcpy(o.head.e_ident, ELFMAG, SELFMAG);
    o.head.e_ident[EI_CLASS] = ELFCLASS64;
    o.head.e_ident[EI_DATA] = ELFDATA2LSB;
    o.head.e_ident[EI_VERSION] = EV_CURRENT;
    o.head.e_type = ET_REL;
    o.head.e_machine = EM_X86_64;
    o.head.e_shoff = offsetof(small_object, section);
    o.head.e_shentsize = sizeof(Elf64_Shdr);
    o.head.e_shnum = SECTIONS;
    make_sections(&o);
    memcpy(o.strings, "\0file\0helper\0kernel", 20);
    o.symbol[SYM_FILE] = (Elf64_Sym){.st_name = 1, .st_info = STT_FILE, .st_shndx = SHN_ABS};
    o.symbol[SYM_RODATA] = (Elf64_Sym){.st_info = STT_SECTION, .st_shndx = RODATA};
    o.symbol[SYM_HELPER] = (Elf64_Sym){.st_name = 6, .st_info = STT_FUNC, .st_shndx = TEXT,
                                       .st_value = 20};
    o.symbol[SYM_KERNEL] = (Elf64_Sym){.st_name = 13, .st_info = STB_GLOBAL << 4 | STT_FUNC,
                                       .st_shndx = TEXT};
    o.text_rela[0] = (Elf64_Rela){1, ELF64_R_INFO((uint64_t)SYM_HELPER, R_X86_64_PLT32), -4};
    o.text_rela[1] = (Elf64_Rela){8, ELF64_R_INFO((uint64_t)SYM_RODATA, R_X86_64_PC32), 8 - 4};
    o.rodata_rela[0] = (Elf64_Rela){8, ELF64_R_INFO((uint64_t)SYM_RODATA, R_X86_64_64), 0};
    o.debug_rela[0] = (Elf64_Rela){0, ELF64_R_INFO((uint64_t)SYM_KERNEL, 99), 0};
    memcpy(o.text, code, sizeof code);
    o.rodata[0] = 42;
    return o;
}

static uint32_t run(const sk_object *object)
{
    uint32_t out = 0;
    const uint64_t params[1] = {(uint64_t)(uintptr_t)&out};
    const sk_cpu_entry entry = sk_object_entry(object, "kernel");
    assert_non_null((void *)(uintptr_t)entry);
    entry(params, NULL, 0, 0, 0);
    return out;
}

/* ---- what works ----------------------------------------------------------------- */

static void loads_and_runs(void **state)
{
    (void)state;
    const small_object o = make_object();
    sk_object *object = NULL;
    sk_err err = {0};
    sk_assert_ok(sk_object_load(&o, sizeof o, &object, &err), &err);
    assert_int_equal(run(object), 42);
    assert_null((void *)(uintptr_t)sk_object_entry(object, "helper")); /* local */
    assert_null((void *)(uintptr_t)sk_object_entry(object, "kerne"));
    assert_true(sk_object_code(object) > 0 && sk_object_mapped(object) > sk_object_code(object));
    sk_object_free(object);
    sk_object_free(NULL);
}

static void bytes_need_no_alignment(void **state)
{
    (void)state;
    const small_object o = make_object();
    uint8_t *copy = sk_malloc(sizeof o + 1);
    sk_object *object = NULL;
    sk_err err = {0};
    memcpy(copy + 1, &o, sizeof o);
    sk_assert_ok(sk_object_load(copy + 1, sizeof o, &object, &err), &err);
    sk_free(copy); /* nothing points into it */
    assert_int_equal(run(object), 42);
    sk_object_free(object);
}

/* Permissions of the mapping that holds an address: "r-xp". */
static void permissions(const void *at, char out[5])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    strcpy(out, "");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char mode[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) == 3 && (uintptr_t)at >= from &&
            (uintptr_t)at < to)
            strcpy(out, mode);
    }
    fclose(maps);
}

static void memory_is_protected(void **state)
{
    (void)state;
    const small_object o = make_object();
    sk_object *object = NULL;
    sk_err err = {0};
    char mode[5];
    sk_assert_ok(sk_object_load(&o, sizeof o, &object, &err), &err);
    const sk_cpu_entry entry = sk_object_entry(object, "kernel");
    const uint8_t *start;
    memcpy(&start, &entry, sizeof start);
    permissions(start, mode);
    assert_string_equal(mode, "r-xp");
    permissions(start + sk_object_code(object), mode);
    assert_string_equal(mode, "r--p");
    sk_object_free(object);
}

/* ---- what is refused ----------------------------------------------------------------- */

#define RULES(X)                                                                              \
    X(magic, o->head.e_ident[0] = 0)                                                          \
    X(class, o->head.e_ident[EI_CLASS] = ELFCLASS32)                                          \
    X(byte_order, o->head.e_ident[EI_DATA] = ELFDATA2MSB)                                     \
    X(executable, o->head.e_type = ET_EXEC)                                                   \
    X(no_sections, o->head.e_shnum = 0)                                                       \
    X(many_sections, o->head.e_shnum = 0xff00)                                                \
    X(section_entry, o->head.e_shentsize = 63)                                                \
    X(sections_outside, o->head.e_shoff = sizeof *o)                                          \
    X(sections_wrap, o->head.e_shoff = UINT64_MAX - 8)                                        \
    X(text_outside, o->section[TEXT].sh_size = sizeof *o)                                     \
    X(text_wraps, o->section[TEXT].sh_offset = UINT64_MAX)                                    \
    X(text_alignment, o->section[TEXT].sh_addralign = 24)                                     \
    X(text_alignment_huge, o->section[TEXT].sh_addralign = 1u << 30)                          \
    X(text_writable, o->section[TEXT].sh_flags |= SHF_WRITE)                                  \
    X(data_writable, o->section[RODATA].sh_flags |= SHF_WRITE)                                \
    X(thread_local, o->section[RODATA].sh_flags |= SHF_TLS)                                   \
    X(init_array, o->section[RODATA].sh_type = SHT_INIT_ARRAY)                                \
    X(zeros_huge, (o->section[RODATA].sh_type = SHT_NOBITS,                                   \
                   o->section[RODATA].sh_size = 1ull << 40))                                  \
    X(zeros_relocated, o->section[RODATA].sh_type = SHT_NOBITS)                               \
    X(no_code, o->section[TEXT].sh_flags = SHF_ALLOC)                                         \
    X(rel_without_addend, o->section[RELA_TEXT].sh_type = SHT_REL)                            \
    X(no_symbols, o->section[SYMTAB].sh_type = SHT_PROGBITS)                                  \
    X(two_symtabs, o->section[DEBUG].sh_type = SHT_SYMTAB)                                    \
    X(symbol_entry, o->section[SYMTAB].sh_entsize = 8)                                        \
    X(symbol_rest, o->section[SYMTAB].sh_size -= 1)                                           \
    X(strings_link, o->section[SYMTAB].sh_link = SECTIONS)                                    \
    X(strings_kind, o->section[SYMTAB].sh_link = TEXT)                                        \
    X(strings_open, memset(o->strings, 'x', sizeof o->strings))                               \
    X(strings_empty, o->section[STRTAB].sh_size = 0)                                          \
    X(name_outside, o->symbol[SYM_KERNEL].st_name = 4000)                                     \
    X(symbol_section, o->symbol[SYM_KERNEL].st_shndx = SECTIONS)                              \
    X(symbol_absolute, o->symbol[SYM_KERNEL].st_shndx = SHN_ABS)                              \
    X(symbol_common, o->symbol[SYM_KERNEL].st_shndx = SHN_COMMON)                             \
    X(symbol_outside, o->symbol[SYM_KERNEL].st_value = 33)                                    \
    X(symbol_at_end, o->symbol[SYM_KERNEL].st_value = 32)                                     \
    X(symbol_in_data, o->symbol[SYM_KERNEL].st_shndx = RODATA)                                \
    X(symbol_chosen_late, o->symbol[SYM_KERNEL].st_info = STB_GLOBAL << 4 | STT_GNU_IFUNC)    \
    X(rela_entry, o->section[RELA_TEXT].sh_entsize = 16)                                      \
    X(rela_symtab, o->section[RELA_TEXT].sh_link = TEXT)                                      \
    X(rela_target, o->section[RELA_TEXT].sh_info = SECTIONS)                                  \
    X(rela_at_end, o->text_rela[0].r_offset = 29)                                             \
    X(rela_outside, o->text_rela[0].r_offset = UINT64_MAX)                                    \
    X(rela_64_at_end, o->rodata_rela[0].r_offset = 9)                                         \
    X(rela_no_symbol, o->text_rela[0].r_info = R_X86_64_PC32)                                 \
    X(rela_symbol, o->text_rela[0].r_info = ELF64_R_INFO((uint64_t)SYMBOLS, R_X86_64_PC32))   \
    X(rela_not_loaded, o->symbol[SYM_RODATA].st_shndx = DEBUG)                                \
    X(rela_kind, o->text_rela[0].r_info = ELF64_R_INFO((uint64_t)SYM_HELPER, R_X86_64_GOTPCREL)) \
    X(rela_far, o->text_rela[0].r_addend = INT64_MAX / 2)                                     \
    X(rela_32_high, o->text_rela[0].r_info = ELF64_R_INFO((uint64_t)SYM_HELPER, R_X86_64_32)) \
    X(rela_32s_high, o->text_rela[0].r_info = ELF64_R_INFO((uint64_t)SYM_HELPER, R_X86_64_32S))

static void broken_rules_are_seen(void **state)
{
    (void)state;
#define SK_X(name, patch)                                                   \
    {                                                                       \
        small_object made = make_object(), *o = &made;                      \
        sk_object *object = (sk_object *)&made;                             \
        sk_err err = {0};                                                   \
        patch;                                                              \
        const sk_status st = sk_object_load(o, sizeof *o, &object, &err);   \
        if (st != SPHKV_EINVAL || object || !*err.message)                  \
            fail_msg(#name ": status %d, '%s'", (int)st, err.message);      \
    }
    RULES(SK_X)
#undef SK_X
}

static void an_undefined_symbol_is_named(void **state)
{
    (void)state;
    small_object o = make_object();
    sk_object *object = NULL;
    sk_err err = {0};
    o.symbol[SYM_HELPER].st_shndx = SHN_UNDEF;
    assert_int_equal(sk_object_load(&o, sizeof o, &object, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "helper"));
}

static void another_machine_is_unsupported(void **state)
{
    (void)state;
    small_object o = make_object();
    sk_object *object = NULL;
    o.head.e_machine = EM_AARCH64;
    assert_int_equal(sk_object_load(&o, sizeof o, &object, NULL), SPHKV_EUNSUPPORTED);
}

/* ---- damage ------------------------------------------------------------------------------ */

static void truncations_do_no_harm(void **state)
{
    (void)state;
    const small_object o = make_object();
    for (size_t n = 0; n < sizeof o; n++) {
        uint8_t *copy = sk_malloc(n); /* exactly n bytes: a sanitizer sees one too many */
        sk_object *object = NULL;
        memcpy(copy, &o, n);
        if (sk_object_load(copy, n, &object, NULL) == SPHKV_OK)
            sk_object_free(object);
        sk_free(copy);
    }
}

static void flips_do_no_harm(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(11);
    uint32_t loaded = 0;
    for (uint32_t round = 0; round < 20000; round++) {
        small_object o = make_object();
        uint8_t *bytes = (uint8_t *)&o;
        for (uint32_t k = 1 + sk_rng_below(&rng, 4); k > 0; k--)
            bytes[sk_rng_below(&rng, sizeof o)] = (uint8_t)(
                sk_rng_below(&rng, 3) ? sk_rng_below(&rng, 256) : sk_rng_below(&rng, 2) * 255);
        sk_object *object = NULL;
        if (sk_object_load(&o, sizeof o, &object, NULL) == SPHKV_OK) {
            loaded++;
            sk_object_free(object);
        }
    }
    assert_true(loaded > 0 && loaded < 20000);
}

static void failing_memory_is_an_error(void **state)
{
    (void)state;
    const small_object o = make_object();
    sk_status st = SPHKV_ENOMEM;
    for (uint64_t nth = 1; st == SPHKV_ENOMEM; nth++) {
        sk_object *object = NULL;
        sk_alloc_fault(nth, false);
        st = sk_object_load(&o, sizeof o, &object, NULL);
        sk_alloc_fault(0, false);
        assert_true((st == SPHKV_OK) == (object != NULL));
        sk_object_free(object);
        assert_true(nth < 20);
    }
    assert_int_equal(st, SPHKV_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_and_runs),
        cmocka_unit_test(bytes_need_no_alignment),
        cmocka_unit_test(memory_is_protected),
        cmocka_unit_test(broken_rules_are_seen),
        cmocka_unit_test(an_undefined_symbol_is_named),
        cmocka_unit_test(another_machine_is_unsupported),
        cmocka_unit_test(truncations_do_no_harm),
        cmocka_unit_test(flips_do_no_harm),
        cmocka_unit_test(failing_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return sk_test_skip("the loader knows x86-64 only"); }

#endif
