/* nvrtc_case.h - what the tests of NVRTC share: a small CUBIN written here, in either
 * version of the container, with numbers of one's choice; folders as systems have them,
 * with doubles of the library (hooks/fake_nvrtc.c) in them. static inline, as each test
 * is one program. */
#ifndef NVRTC_CASE_H
#define NVRTC_CASE_H

#include <elf.h>
#include <limits.h>
#include <sys/stat.h>

#include "jit_nvrtc.h"

typedef struct nvrtc_fake {
    uint8_t abi;      /* 7 or 8 */
    uint32_t arch;    /* 90 */
    const char *name; /* of its one kernel */
    uint32_t registers, stack, shared, barriers;
} nvrtc_fake;

/* Sections, in order: names, symbols, .text.K, .nv.info, .nv.info.K, .nv.shared.K. */
enum { FAKE_NULL, FAKE_NAMES, FAKE_SYMBOLS, FAKE_TEXT, FAKE_INFO, FAKE_OWN, FAKE_SHARED, FAKE_N };

static inline uint32_t nvrtc_fake_name(sk_text *names, const char *before, const char *name)
{
    const uint32_t at = (uint32_t)names->len;
    sk_text_printf(names, "%s%s", before, name);
    sk_text_append(names, "", 1);
    return at;
}

static inline void nvrtc_fake_place(sk_text *out, Elf64_Shdr *s, const void *bytes, size_t size)
{
    s->sh_offset = out->len;
    s->sh_size = size;
    sk_text_append(out, bytes, size);
}

/* The bytes; sk_text_free. */
static inline sk_text nvrtc_fake_cubin(const nvrtc_fake *f)
{
    Elf64_Shdr s[FAKE_N] = {{0}};
    Elf64_Ehdr head = {.e_machine = EM_CUDA, .e_type = ET_EXEC, .e_shnum = FAKE_N,
                       .e_shentsize = sizeof *s, .e_shstrndx = FAKE_NAMES,
                       .e_flags = f->abi < 8 ? f->arch : f->arch << 8};
    const char *const before[FAKE_N] = {"", ".strtab", ".symtab", ".text.", ".nv.info",
                                        ".nv.info.", ".nv.shared."};
    sk_text out = {0}, names = {0};
    memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2LSB;
    head.e_ident[EI_ABIVERSION] = f->abi;
    for (uint32_t i = 0; i < FAKE_N; i++)
        s[i].sh_name = nvrtc_fake_name(&names, before[i], i == FAKE_TEXT || i > FAKE_INFO ? f->name : "");
    const Elf64_Sym symbol[2] = {{0}, {.st_name = nvrtc_fake_name(&names, "", f->name)}};
    /* a record of another kernel first: symbol 0 */
    const uint32_t info[] = {0x00082f04, 0, 99, 0x00082f04, 1, f->registers,
                             0x00081104, 1, f->stack};
    const uint32_t own[] = {0x00043704, 0x82, 0x00ff1b03, 0x00004c02 | f->barriers << 16};
    sk_text_append(&out, (const char *)&head, sizeof head);
    for (uint32_t i = 0; i < FAKE_N; i++)
        s[i].sh_type = i == FAKE_NULL ? SHT_NULL : i == FAKE_NAMES ? SHT_STRTAB
                       : i == FAKE_SYMBOLS ? SHT_SYMTAB : i == FAKE_SHARED ? SHT_NOBITS
                                                                           : SHT_PROGBITS;
    s[FAKE_SYMBOLS].sh_link = FAKE_NAMES;
    nvrtc_fake_place(&out, &s[FAKE_SYMBOLS], symbol, sizeof symbol);
    nvrtc_fake_place(&out, &s[FAKE_TEXT], "code", 4);
    nvrtc_fake_place(&out, &s[FAKE_INFO], info, sizeof info);
    /* version 7 keeps the barriers in flags of the code */
    s[FAKE_TEXT].sh_flags = f->abi < 8 ? (uint64_t)f->barriers << 20 : 0;
    nvrtc_fake_place(&out, &s[FAKE_OWN], own, f->abi < 8 ? sizeof own - 4 : sizeof own);
    s[FAKE_SHARED].sh_size = f->shared + (f->arch >= 90 ? 1024 : 0);
    if (!f->shared) /* then there is no such section */
        s[FAKE_SHARED].sh_name = 0;
    nvrtc_fake_place(&out, &s[FAKE_NAMES], names.s, names.len);
    head.e_shoff = out.len;
    sk_text_append(&out, (const char *)s, sizeof s);
    memcpy(out.s, &head, sizeof head);
    assert_false(out.failed || names.failed);
    sk_text_free(&names);
    return out;
}

/* ---- folders --------------------------------------------------------------------------- */

/* The fake system: a folder that main makes. */
static char *nvrtc_root;

static inline void nvrtc_make_folders(char *path)
{
    for (char *p = strchr(path + strlen(nvrtc_root) + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void)mkdir(path, 0755);
        *p = '/';
    }
}

/* FILE of the system as a copy of hooked/lib/DOUBLE, or with these words in it. */
static inline void nvrtc_put(const char *file, const char *which, const char *words)
{
    char *path = sk_test_path(nvrtc_root, file), *data = NULL;
    size_t size = words ? strlen(words) : 0;
    sk_err err = {0};
    nvrtc_make_folders(path);
    if (which) {
        char *from = sk_test_path(SK_BUILD_DIR "/hooked/lib", which);
        sk_assert_ok(sk_file_read(from, 1 << 22, &data, &size, &err), &err);
        sk_free(from);
    }
    sk_assert_ok(sk_file_write(path, which ? data : words, size, &err), &err);
    sk_free(data);
    sk_free(path);
}

static inline void nvrtc_put_both(const char *folder, const char *which)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/libnvrtc.so.13", folder);
    nvrtc_put(name, which, NULL);
    snprintf(name, sizeof name, "%s/libnvrtc-builtins.so.13.0", folder);
    nvrtc_put(name, "fake_nvrtc_builtins.so", NULL);
}

/* A door that looks at one folder or file only, if it is asked before the next is made. */
static inline void nvrtc_door(sk_nvrtc *nvrtc, const char *asked)
{
    static sk_nvrtc_places places;
    sk_nvrtc_init(nvrtc, true, 0);
    places = (sk_nvrtc_places){.asked = asked, .root = nvrtc_root};
    nvrtc->places = &places;
}

static inline const sk_nvrtc_api *nvrtc_must_open(sk_nvrtc *nvrtc, const char *folder)
{
    const sk_nvrtc_api *api;
    sk_err err = {0};
    char *asked = sk_test_path(nvrtc_root, folder);
    nvrtc_door(nvrtc, asked);
    sk_assert_ok(sk_nvrtc_get(nvrtc, &api, &err), &err);
    sk_free(asked);
    return api;
}

#endif
