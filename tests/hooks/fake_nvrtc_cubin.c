/* fake_nvrtc_cubin.c - a CUBIN with the kernels of a text and nothing in them, but with the
 * text's own words in a section ".unit": the driver's double that computes (fake_gpu.c)
 * learns from them what a kernel is. In the container of CUDA 12. */
#include "fake_nvrtc.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 16 /* kernels */

enum { NONE, NAMES, SYMBOLS, INFO, UNIT, TEXT }; /* sections; a TEXT for each kernel */

typedef struct builder {
    char *bytes;
    size_t size;
    char names[4096];
    size_t names_size;
} builder;

static void *append(builder *b, const void *bytes, size_t size)
{
    const size_t at = (b->size + 7) / 8 * 8;
    char *more = realloc(b->bytes, at + size + 8);
    if (!more) abort();
    b->bytes = more;
    memset(more + b->size, 0, at - b->size);
    memcpy(more + at, bytes, size);
    b->size = at + size;
    return more + at;
}

static uint32_t name(builder *b, const char *before, const char *text)
{
    const size_t at = b->names_size;
    b->names_size += (size_t)snprintf(b->names + at, sizeof b->names - at, "%s%s", before, text) + 1;
    if (b->names_size > sizeof b->names) abort();
    return (uint32_t)at;
}

/* Names of the kernels, as emitted: on the line behind their attributes. */
static uint32_t kernels(const char *text, char found[MOST][128])
{
    uint32_t n = 0;
    for (const char *at = text; n < MOST && (at = strstr(at, "\nEXTERN_C __global__")); n++) {
        at = strchr(at + 1, '\n');
        if (!at) break;
        snprintf(found[n], sizeof found[n], "%.*s", (int)strcspn(at + 1, "("), at + 1);
    }
    return n;
}

void *fake_nvrtc_cubin(const char *text, unsigned sm, size_t *size)
{
    static const uint8_t nothing[16];
    char kernel[MOST][128];
    const uint32_t n = kernels(text, kernel);
    builder b = {.names_size = 1};
    Elf64_Ehdr head = {.e_machine = EM_CUDA, .e_type = ET_EXEC, .e_shnum = (uint16_t)(TEXT + n),
                       .e_shentsize = sizeof(Elf64_Shdr), .e_shstrndx = NAMES, .e_flags = sm};
    Elf64_Shdr s[TEXT + MOST] = {{0}};
    Elf64_Sym symbol[1 + MOST] = {{0}};
    uint32_t info[3 * MOST];
    memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2LSB;
    head.e_ident[EI_ABIVERSION] = 7;
    append(&b, &head, sizeof head);
    for (uint32_t i = 0; i < n; i++) {
        symbol[1 + i].st_name = name(&b, "", kernel[i]);
        symbol[1 + i].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
        memcpy(info + 3 * i, (const uint32_t[3]){0x00082f04, 1 + i, 40}, 12); /* registers */
        s[TEXT + i] = (Elf64_Shdr){.sh_name = name(&b, ".text.", kernel[i]), .sh_type = SHT_PROGBITS,
                                   .sh_size = sizeof nothing};
        append(&b, nothing, sizeof nothing);
        s[TEXT + i].sh_offset = b.size - sizeof nothing;
    }
    const char *unit = strstr(text, "#line 1 \"unit\"");
    if (!unit) unit = text;
    s[SYMBOLS] = (Elf64_Shdr){.sh_name = name(&b, "", ".symtab"), .sh_type = SHT_SYMTAB,
                              .sh_link = NAMES, .sh_size = (1 + n) * sizeof *symbol,
                              .sh_entsize = sizeof *symbol};
    s[INFO] = (Elf64_Shdr){.sh_name = name(&b, "", ".nv.info"), .sh_type = SHT_PROGBITS,
                           .sh_size = 12 * n};
    s[UNIT] = (Elf64_Shdr){.sh_name = name(&b, "", ".unit"), .sh_type = SHT_PROGBITS,
                           .sh_size = strlen(unit) + 1};
    s[NAMES] = (Elf64_Shdr){.sh_name = name(&b, "", ".strtab"), .sh_type = SHT_STRTAB,
                            .sh_size = b.names_size};
    append(&b, symbol, s[SYMBOLS].sh_size), s[SYMBOLS].sh_offset = b.size - s[SYMBOLS].sh_size;
    append(&b, info, s[INFO].sh_size), s[INFO].sh_offset = b.size - s[INFO].sh_size;
    append(&b, unit, s[UNIT].sh_size), s[UNIT].sh_offset = b.size - s[UNIT].sh_size;
    append(&b, b.names, b.names_size), s[NAMES].sh_offset = b.size - b.names_size;
    append(&b, s, (TEXT + n) * sizeof *s);
    const size_t at = b.size - (TEXT + n) * sizeof *s;
    memcpy(b.bytes + offsetof(Elf64_Ehdr, e_shoff), &(Elf64_Off){at}, sizeof(Elf64_Off));
    *size = b.size;
    return b.bytes;
}
