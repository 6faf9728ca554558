/* object.h - loads an ELF64 relocatable made by emit_llvm into memory, with no
 * linker and no LLVM. The bytes come from a database, which may be damaged or
 * foreign: every header, section, symbol and relocation is checked against the
 * file before it is used, undefined symbols are refused, and what is not
 * understood is an error. Code ends up read+execute, constants read-only;
 * nothing is ever writable and executable at once.
 *
 * Checked bytes are not trusted code: who loads an object decides by hash and
 * signature whether it may run. */
#ifndef SK_OBJECT_H
#define SK_OBJECT_H

#include "ir.h"

typedef struct sk_object sk_object;

/* The bytes may be freed afterwards. SPHKV_EINVAL: damaged, or not what
 * emit_llvm makes; SPHKV_EUNSUPPORTED: well-formed, for another machine. */
sk_status sk_object_load(const void *bytes, size_t size, sk_object **out, sk_err *err);
void sk_object_free(sk_object *object); /* NULL is fine; nobody may be running in it */

/* The global function of that name, or NULL. */
sk_cpu_entry sk_object_entry(const sk_object *object, const char *symbol);

/* Memory mapped, and the part of it that is code, in bytes. */
size_t sk_object_mapped(const sk_object *object);
size_t sk_object_code(const sk_object *object);

#endif
