/* emit_llvm.h - the CPU back end: lane IR to LLVM IR, assembly or a
 * relocatable object, by the LLVM C API. Lives in the module sphkv_llvm.so,
 * which the core dlopens and which is allowed to be absent; nothing else
 * links LLVM. A warp's lane value is a vector of W 32-bit lanes; uniform values
 * are scalars; blocks are of one warp; barriers are order. Objects have no
 * undefined symbols. */
#ifndef SK_EMIT_LLVM_H
#define SK_EMIT_LLVM_H

#include "ir.h"
#include "schedule.h"

typedef enum sk_emit_form { SK_EMIT_LLVM_IR, SK_EMIT_ASM, SK_EMIT_OBJ } sk_emit_form;

/* Compiles programs into one module. target->cpu "" = generic of the triple.
 * The caller frees *data with sk_free (text is NUL-terminated behind bytes). */
sk_status sk_emit_llvm(const sk_program *const *programs, uint32_t n, const sk_target *target,
                       sk_emit_form form, char **data, size_t *bytes, sk_err *err);

/* What the module exports under the name "sk_jit_llvm_api". */
#define SK_JIT_LLVM_ABI 1u
typedef struct sk_jit_llvm_api {
    uint32_t abi; /* SK_JIT_LLVM_ABI */
    const char *version; /* "LLVM 19.1.7" */
    /* The host as LLVM names it: cpu, feature_text, triple of *target. */
    sk_status (*host)(sk_target *target, sk_err *err);
    sk_status (*emit)(const sk_program *const *programs, uint32_t n, const sk_target *target,
                      sk_emit_form form, char **data, size_t *bytes, sk_err *err);
} sk_jit_llvm_api;

#endif
