/* object_reloc.h - what a relocation of an ELF object writes, by machine: the
 * few kinds that code without undefined symbols has (position-independent, small
 * code model). Pure arithmetic on bytes: each machine's rules can be tested on
 * every other. */
#ifndef SK_OBJECT_RELOC_H
#define SK_OBJECT_RELOC_H

#include "base.h"

/* Bytes that a relocation of this type touches: 4 or 8; 0: it does nothing;
 * SK_RELOC_UNKNOWN: not one of those that kernels have. */
#define SK_RELOC_UNKNOWN 0xffffffffu
uint32_t sk_reloc_width(uint32_t machine, uint32_t type);

/* Applies it to the bytes `at`, which will be executed or read at address `place`;
 * value: symbol plus addend. False: it does not fit, nothing is written. */
bool sk_reloc_apply(uint32_t machine, uint32_t type, uint8_t *at, uint64_t place, uint64_t value);

#endif
