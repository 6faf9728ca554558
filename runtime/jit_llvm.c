/* jit_llvm.c - what the module sphkv_llvm.so exports: one table of functions.
 * The core dlopens it (jit.c) and knows nothing else of LLVM. */
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "emit_llvm.h"

#include <string.h>

static sk_status host(sk_target *target, sk_err *err)
{
    char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
    char *triple = LLVMGetDefaultTargetTriple();
    const bool fits = strlen(cpu) < sizeof target->cpu &&
                      strlen(features) < sizeof target->feature_text &&
                      strlen(triple) < sizeof target->triple;
    if (fits) {
        strcpy(target->cpu, cpu);
        strcpy(target->feature_text, features);
        strcpy(target->triple, triple);
    }
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    LLVMDisposeMessage(triple);
    return fits ? SPHKV_OK : sk_fail(err, SPHKV_EINTERNAL, "the host's description is too long");
}

/* The table is called as its type is, which C allows only by another name. */
SPHKV_API extern const sk_jit_llvm_api sk_jit_llvm_api_table __asm__("sk_jit_llvm_api");
const sk_jit_llvm_api sk_jit_llvm_api_table = {
    .abi = SK_JIT_LLVM_ABI,
    .version = "LLVM " LLVM_VERSION_STRING,
    .host = host,
    .emit = sk_emit_llvm,
};
