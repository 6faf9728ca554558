/* object_reloc.c - relocations of x86-64 and AArch64. On x86-64 they are whole
 * words; on AArch64 bits inside an instruction: a page (4 KiB) relative to that
 * of the instruction, the low 12 bits of an address in units of the access, or
 * a branch in words. Sources: the psABI documents of the two machines. */
#include "object_reloc.h"

#include <elf.h>
#include <string.h>

static bool fits_signed(uint64_t x, uint32_t bits)
{
    const uint64_t half = 1ull << (bits - 1);
    return x + half < half * 2;
}

static uint32_t word_at(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word); /* little-endian, as the loader checked */
    return word;
}

/* Sets `bits` bits of the instruction from bit `low` on. */
static void set_field(uint8_t *at, uint32_t low, uint32_t bits, uint64_t x)
{
    const uint32_t mask = (uint32_t)((1ull << bits) - 1) << low;
    const uint32_t word = (word_at(at) & ~mask) | ((uint32_t)(x << low) & mask);
    memcpy(at, &word, sizeof word);
}

/* ---- x86-64 --------------------------------------------------------------- */

static uint32_t x86_width(uint32_t type)
{
    switch (type) {
    case R_X86_64_NONE: return 0;
    case R_X86_64_64: return 8;
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
    case R_X86_64_32:
    case R_X86_64_32S: return 4;
    default: return SK_RELOC_UNKNOWN;
    }
}

static bool x86_apply(uint32_t type, uint8_t *at, uint64_t place, uint64_t value)
{
    const bool relative = type == R_X86_64_PC32 || type == R_X86_64_PLT32;
    const uint64_t written = relative ? value - place : value;
    if ((relative || type == R_X86_64_32S) && !fits_signed(written, 32))
        return false;
    if (type == R_X86_64_32 && written > UINT32_MAX)
        return false;
    memcpy(at, &written, x86_width(type));
    return true;
}

/* ---- AArch64 -------------------------------------------------------------- */

/* log2 of the access whose offset a load or store holds; -1: not one of those. */
static int arm_access(uint32_t type)
{
    switch (type) {
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_LDST8_ABS_LO12_NC: return 0;
    case R_AARCH64_LDST16_ABS_LO12_NC: return 1;
    case R_AARCH64_LDST32_ABS_LO12_NC: return 2;
    case R_AARCH64_LDST64_ABS_LO12_NC: return 3;
    case R_AARCH64_LDST128_ABS_LO12_NC: return 4;
    default: return -1;
    }
}

static uint32_t arm_width(uint32_t type)
{
    switch (type) {
    case R_AARCH64_NONE: return 0;
    case R_AARCH64_ABS64: return 8;
    case R_AARCH64_PREL32:
    case R_AARCH64_ADR_PREL_PG_HI21:
    case R_AARCH64_CALL26:
    case R_AARCH64_JUMP26: return 4;
    default: return arm_access(type) >= 0 ? 4 : SK_RELOC_UNKNOWN;
    }
}

static bool arm_page(uint8_t *at, uint64_t place, uint64_t value)
{
    const uint64_t bytes = (value & ~0xfffull) - (place & ~0xfffull);
    const uint64_t pages = bytes >> 12;
    if (!fits_signed(bytes, 33))
        return false;
    set_field(at, 29, 2, pages);
    set_field(at, 5, 19, pages >> 2);
    return true;
}

static bool arm_apply(uint32_t type, uint8_t *at, uint64_t place, uint64_t value)
{
    const uint64_t relative = value - place;
    const int access = arm_access(type);
    if (access >= 0) { /* unsigned, in units of the access, to which it is aligned */
        const uint64_t low = value & 0xfff;
        if (low & ((1ull << access) - 1))
            return false;
        set_field(at, 10, 12, low >> access);
        return true;
    }
    switch (type) {
    case R_AARCH64_ABS64: memcpy(at, &value, 8); return true;
    case R_AARCH64_PREL32:
        if (!fits_signed(relative, 32))
            return false;
        memcpy(at, &relative, 4);
        return true;
    case R_AARCH64_ADR_PREL_PG_HI21: return arm_page(at, place, value);
    default: /* a branch */
        if (relative & 3 || !fits_signed(relative, 28))
            return false;
        set_field(at, 0, 26, relative >> 2);
        return true;
    }
}

/* ---- by machine ------------------------------------------------------------- */

uint32_t sk_reloc_width(uint32_t machine, uint32_t type)
{
    return machine == EM_X86_64    ? x86_width(type)
           : machine == EM_AARCH64 ? arm_width(type)
                                   : SK_RELOC_UNKNOWN;
}

bool sk_reloc_apply(uint32_t machine, uint32_t type, uint8_t *at, uint64_t place, uint64_t value)
{
    return machine == EM_AARCH64 ? arm_apply(type, at, place, value)
                                 : x86_apply(type, at, place, value);
}
