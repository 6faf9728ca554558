/* cuda_code.c - see cuda_code.h.
 *
 * A CUBIN is an ELF file: .text.K holds kernel K, .nv.shared.K its static shared
 * memory, .nv.info and .nv.info.K records of four bytes or more: format,
 * attribute, then 16 bits of value, or the size of what follows. The attributes
 * are documented nowhere; the few used here have kept their meaning from CUDA
 * 11.8 to 13.5, in both versions of the container (7 and 8), which was seen by
 * holding them against the compiler's log. */
#include "cuda_code.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#define MAX_SECTIONS 4096u
#define RESERVED_SHARED 1024u /* in .nv.shared.K from compute capability 9.0 on */

/* Records of .nv.info */
enum { FORMAT_BYTE = 2, FORMAT_SIZED = 4 };
enum { ATTR_FRAME_SIZE = 0x11, ATTR_REGCOUNT = 0x2f, ATTR_NUM_BARRIERS = 0x4c };

typedef struct cubin {
    const uint8_t *bytes;
    size_t size;
    Elf64_Ehdr head;
    Elf64_Shdr names, symbols, strings; /* checked to lie within */
} cubin;

/* ---- the container ------------------------------------------------------------- */

static bool within(const cubin *c, uint64_t offset, uint64_t size)
{
    return offset <= c->size && size <= c->size - offset;
}

/* Section i, its contents checked to lie within; false when they do not. */
static bool section_at(const cubin *c, uint32_t i, Elf64_Shdr *out)
{
    if (i >= c->head.e_shnum)
        return false;
    memcpy(out, c->bytes + c->head.e_shoff + (size_t)i * sizeof *out, sizeof *out);
    return out->sh_type == SHT_NOBITS || out->sh_type == SHT_NULL ||
           within(c, out->sh_offset, out->sh_size);
}

/* Is the string at `offset` of a table `want`? */
static bool string_is(const cubin *c, const Elf64_Shdr *table, uint64_t offset, const char *want)
{
    const size_t len = strlen(want) + 1;
    return offset <= table->sh_size && len <= table->sh_size - offset &&
           memcmp(c->bytes + table->sh_offset + offset, want, len) == 0;
}

static bool open_cubin(cubin *c)
{
    Elf64_Ehdr *h = &c->head;
    if (!within(c, 0, sizeof *h))
        return false;
    memcpy(h, c->bytes, sizeof *h);
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_CUDA ||
        h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shnum > MAX_SECTIONS ||
        !within(c, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
        return false;
    if (!section_at(c, h->e_shstrndx, &c->names) || c->names.sh_type != SHT_STRTAB)
        return false;
    for (uint32_t i = 0; i < h->e_shnum; i++) {
        if (!section_at(c, i, &c->symbols))
            return false;
        if (c->symbols.sh_type == SHT_SYMTAB)
            return section_at(c, c->symbols.sh_link, &c->strings) &&
                   c->strings.sh_type == SHT_STRTAB;
    }
    return false;
}

/* The section `before` + `entry`. */
static bool find_section(const cubin *c, const char *before, const char *entry, Elf64_Shdr *out)
{
    char want[512];
    const int n = snprintf(want, sizeof want, "%s%s", before, entry);
    for (uint32_t i = 0; n > 0 && (size_t)n < sizeof want && i < c->head.e_shnum; i++)
        if (section_at(c, i, out) && string_is(c, &c->names, out->sh_name, want))
            return true;
    return false;
}

static bool symbol_is(const cubin *c, uint32_t index, const char *want)
{
    Elf64_Sym symbol;
    if (index >= c->symbols.sh_size / sizeof symbol)
        return false;
    memcpy(&symbol, c->bytes + c->symbols.sh_offset + (size_t)index * sizeof symbol, sizeof symbol);
    return string_is(c, &c->strings, symbol.st_name, want);
}

/* ---- records --------------------------------------------------------------------- */

static void take_record(const cubin *c, const uint8_t *record, size_t payload, const char *entry,
                        sk_cuda_resources *out)
{
    uint32_t word[2];
    if (record[0] == FORMAT_BYTE && record[1] == ATTR_NUM_BARRIERS)
        out->barriers = record[2];
    if (record[0] != FORMAT_SIZED || payload < sizeof word)
        return;
    memcpy(word, record + 4, sizeof word); /* a symbol, and its number */
    if (record[1] == ATTR_REGCOUNT && symbol_is(c, word[0], entry))
        out->registers = word[1];
    if (record[1] == ATTR_FRAME_SIZE && symbol_is(c, word[0], entry))
        out->stack_bytes = word[1];
}

/* What the records of one section say of `entry`; false when they are cut off. */
static bool read_info(const cubin *c, const Elf64_Shdr *info, const char *entry,
                      sk_cuda_resources *out)
{
    if (info->sh_type == SHT_NOBITS || info->sh_type == SHT_NULL)
        return false;
    const uint8_t *p = c->bytes + info->sh_offset;
    size_t left = info->sh_size;
    while (left >= 4) {
        const size_t payload = p[0] == FORMAT_SIZED ? (size_t)(p[2] | p[3] << 8) : 0;
        if (payload > left - 4)
            return false;
        take_record(c, p, payload, entry, out);
        p += 4 + payload;
        left -= 4 + payload;
    }
    return left == 0;
}

/* Version 7 of the container has the number in the low byte of the flags, 8 in the next. */
static uint32_t arch_number(const cubin *c)
{
    return c->head.e_ident[EI_ABIVERSION] < 8 ? c->head.e_flags & 0xff
                                               : c->head.e_flags >> 8 & 0xff;
}

static bool read_entry(const cubin *c, const char *entry, sk_cuda_resources *out)
{
    Elf64_Shdr text, shared, info;
    if (!find_section(c, ".text.", entry, &text))
        return false;
    *out = (sk_cuda_resources){.registers = SK_CUDA_UNKNOWN,
                               .spill_stores = SK_CUDA_UNKNOWN,
                               .spill_loads = SK_CUDA_UNKNOWN};
    if (c->head.e_ident[EI_ABIVERSION] < 8)
        out->barriers = (uint32_t)(text.sh_flags >> 20 & 0x7f);
    if (!find_section(c, ".nv.info", "", &info) || !read_info(c, &info, entry, out))
        return false;
    if (find_section(c, ".nv.info.", entry, &info) && !read_info(c, &info, entry, out))
        return false;
    if (find_section(c, ".nv.shared.", entry, &shared)) {
        const uint32_t reserved = arch_number(c) >= 90 ? RESERVED_SHARED : 0;
        out->shared_bytes = (uint32_t)shared.sh_size;
        out->shared_bytes -= out->shared_bytes < reserved ? out->shared_bytes : reserved;
    }
    return out->registers != SK_CUDA_UNKNOWN;
}

sk_status sk_cubin_resources(const void *bytes, size_t size, const char *const *entries, uint32_t n,
                             sk_cuda_resources *out, sk_err *err)
{
    cubin c = {.bytes = bytes, .size = size};
    if (!open_cubin(&c))
        return sk_fail(err, SPHKV_EINVAL, "CUBIN of %zu bytes: not one, or damaged", size);
    for (uint32_t i = 0; i < n; i++)
        if (!read_entry(&c, entries[i], &out[i]))
            return sk_fail(err, SPHKV_EINVAL, "CUBIN: no kernel '%.100s', or its records are damaged",
                           entries[i]);
    return SPHKV_OK;
}

uint32_t sk_cuda_spilled(const sk_cuda_resources *r)
{
    return (r->spill_stores == SK_CUDA_UNKNOWN ? 0 : r->spill_stores) +
           (r->spill_loads == SK_CUDA_UNKNOWN ? 0 : r->spill_loads);
}

/* ---- drivers ---------------------------------------------------------------------- */

uint32_t sk_cubin_least_driver(uint32_t release, uint32_t sm, bool exact)
{
    static const uint32_t first[][2] = { /* the release that brought a chip */
        {75, 10000},  {80, 11000},  {86, 11010},  {87, 11040},  {89, 11080},
        {90, 11080},  {100, 12080}, {120, 12080}, {103, 12090}, {121, 12090},
    };
    uint32_t least = release / 1000 * 1000;
    if (exact && least < 12000)
        least = 12000;
    for (size_t i = 0; i < SK_COUNT(first); i++)
        if (first[i][0] == sm && first[i][1] > least)
            least = first[i][1];
    return least;
}

uint32_t sk_ptx_least_driver(const char *ptx)
{
    const char *at = strncmp(ptx, ".version ", 9) == 0 ? ptx : strstr(ptx, "\n.version ");
    unsigned major = 0, minor = 0;
    if (!at || sscanf(at + strcspn(at, " "), " %3u.%3u", &major, &minor) != 2 || major < 7)
        return 0;
    /* 7.x came with CUDA 11.x, 9.x with 13.x; 8.5 was kept for 12.6, so that 8.6 is 12.7. */
    const uint32_t later = major == 8 && minor >= 6 ? minor + 1 : minor;
    return (major + 4) * 1000 + later * 10;
}
