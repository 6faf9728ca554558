/* emit_llvm.c - from programs to text or object: module, passes, code, check.
 *
 * Every compilation has its own LLVM context, so several may run at once. LLVM
 * aborts the process when memory runs out or an intrinsic is unknown to the
 * CPU; the first cannot be helped here, against the second the feature text is
 * completed from the features that the handlers act on. The loop and SLP
 * vectorisers and the unroller stay off: width and unrolling are the
 * schedule's decision, and a remainder loop around hand-made vector code only
 * costs. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "emit_llvm_body.h"

#include <elf.h>
#include <pthread.h>
#include <string.h>

/* LLVM's table of targets is one per process. */
static pthread_once_t targets_once = PTHREAD_ONCE_INIT;

static void init_targets(void)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
}

/* Errors of LLVM go to the sink and not to stderr. */
static void diagnose(LLVMDiagnosticInfoRef info, void *user)
{
    sk_lv *l = user;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError)
        return;
    char *text = LLVMGetDiagInfoDescription(info);
    (void)sk_fail(l->err, SPHKV_ECOMPILE, "LLVM: %s", text);
    LLVMDisposeMessage(text);
}

/* ---- target ------------------------------------------------------------------ */

static bool feature_text(const sk_target *target, sk_text *out)
{
    static const struct {
        uint32_t bit;
        const char *text;
    } row[] = {
        {SK_CPU_SSE41, "+sse4.1,+ssse3"},
        {SK_CPU_AVX2, "+avx2,+fma,+f16c"},
        {SK_CPU_AVX512, "+avx512f,+avx512bw,+avx512dq,+avx512vl"},
        {SK_CPU_VBMI, "+avx512vbmi"},
        {SK_CPU_VNNI, "+avx512vnni"},
        {SK_CPU_BF16, "+avx512bf16"},
        {SK_CPU_AVXVNNI, "+avxvnni"},
        {SK_CPU_DOTPROD, "+dotprod"},
        {SK_CPU_I8MM, "+i8mm"},
    };
    sk_text_printf(out, "%s", target->feature_text);
    for (size_t i = 0; i < SK_COUNT(row); i++)
        if (target->features & row[i].bit)
            sk_text_printf(out, "%s%s", out->len ? "," : "", row[i].text);
    return !out->failed;
}

static sk_status make_machine(const sk_target *target, LLVMTargetMachineRef *out, sk_err *err)
{
    const char *triple = *target->triple ? target->triple : "x86_64-unknown-linux-gnu";
    LLVMTargetRef found;
    char *why = NULL;
    pthread_once(&targets_once, init_targets);
    if (LLVMGetTargetFromTriple(triple, &found, &why)) {
        sk_status st = sk_fail(err, SPHKV_EUNSUPPORTED, "LLVM: %s", why);
        LLVMDisposeMessage(why);
        return st;
    }
    sk_text features = {0};
    *out = NULL;
    const bool told = feature_text(target, &features);
    if (told)
        *out = LLVMCreateTargetMachine(found, triple, target->cpu, features.s,
                                       LLVMCodeGenLevelAggressive, LLVMRelocPIC,
                                       LLVMCodeModelSmall);
    sk_text_free(&features);
    if (!told)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for the features of %s", triple);
    return *out ? SPHKV_OK : sk_fail(err, SPHKV_ECOMPILE, "LLVM: no machine for %s", triple);
}

static void know_target(sk_lv *l, const sk_target *target)
{
    const uint32_t f = target->features;
    l->target = target;
    l->x86 = strncmp(target->triple, "x86_64", 6) == 0 || !*target->triple;
    l->avx512 = l->x86 && (f & SK_CPU_AVX512) && target->vector_bits >= 512;
    l->vbmi = l->avx512 && (f & SK_CPU_VBMI);
    l->bf16 = l->avx512 && (f & SK_CPU_BF16);
    l->avx2 = l->x86 && (f & (SK_CPU_AVX2 | SK_CPU_AVX512));
    l->vnni = l->avx512 ? (f & SK_CPU_VNNI) != 0 : l->avx2 && (f & SK_CPU_AVXVNNI);
    l->neon = strncmp(target->triple, "aarch64", 7) == 0 && (f & SK_CPU_NEON);
    l->dotprod = l->neon && (f & SK_CPU_DOTPROD);
    l->i8mm = l->dotprod && (f & SK_CPU_I8MM);
    l->ssse3 = l->avx2 || (l->x86 && (f & SK_CPU_SSE41));
    l->fma = l->half = l->avx2 || !l->x86;
    l->round = l->ssse3 || !l->x86;
}

static void know_types(sk_lv *l)
{
    l->i1 = LLVMInt1TypeInContext(l->ctx);
    l->i8 = LLVMInt8TypeInContext(l->ctx);
    l->i16 = LLVMInt16TypeInContext(l->ctx);
    l->i32 = LLVMInt32TypeInContext(l->ctx);
    l->i64 = LLVMInt64TypeInContext(l->ctx);
    l->f16 = LLVMHalfTypeInContext(l->ctx);
    l->bf = LLVMBFloatTypeInContext(l->ctx);
    l->f32 = LLVMFloatTypeInContext(l->ctx);
    l->f64 = LLVMDoubleTypeInContext(l->ctx);
    l->ptr = LLVMPointerTypeInContext(l->ctx, 0);
    l->none = LLVMVoidTypeInContext(l->ctx);
}

/* ---- output --------------------------------------------------------------------- */

/* An object with an undefined symbol would need a linker and a libm: LLVM
 * turned an operation into a call. The bytes are LLVM's own and well-formed. */
static sk_status check_undefined(const char *bytes, sk_err *err)
{
    Elf64_Ehdr head;
    memcpy(&head, bytes, sizeof head);
    for (uint32_t i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr s, strings;
        memcpy(&s, bytes + head.e_shoff + (size_t)i * sizeof s, sizeof s);
        if (s.sh_type != SHT_SYMTAB)
            continue;
        memcpy(&strings, bytes + head.e_shoff + (size_t)s.sh_link * sizeof strings,
               sizeof strings);
        for (size_t k = 1; k < s.sh_size / sizeof(Elf64_Sym); k++) {
            Elf64_Sym sym;
            memcpy(&sym, bytes + s.sh_offset + k * sizeof sym, sizeof sym);
            if (sym.st_shndx == SHN_UNDEF)
                return sk_fail(err, SPHKV_ECOMPILE, "compiled code calls %s",
                               bytes + strings.sh_offset + sym.st_name);
        }
    }
    return SPHKV_OK;
}

static sk_status copy_out(const char *from, size_t size, char **data, size_t *bytes, sk_err *err)
{
    *data = sk_malloc(size + 1);
    if (!*data)
        return sk_fail(err, SPHKV_ENOMEM, "compile: out of memory");
    memcpy(*data, from, size);
    (*data)[size] = '\0';
    *bytes = size;
    return SPHKV_OK;
}

static sk_status optimise(sk_lv *l, LLVMTargetMachineRef machine)
{
    char *text = NULL;
    if (LLVMVerifyModule(l->module, LLVMReturnStatusAction, &text)) {
        sk_status st = sk_fail(l->err, SPHKV_EINTERNAL, "LLVM refuses the module: %s", text);
        LLVMDisposeMessage(text);
        return st;
    }
    LLVMDisposeMessage(text);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMPassBuilderOptionsSetLoopVectorization(options, false);
    LLVMPassBuilderOptionsSetSLPVectorization(options, false);
    LLVMPassBuilderOptionsSetLoopInterleaving(options, false);
    LLVMPassBuilderOptionsSetLoopUnrolling(options, false);
    LLVMErrorRef error = LLVMRunPasses(l->module, "default<O3>", machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error)
        return SPHKV_OK;
    char *why = LLVMGetErrorMessage(error);
    sk_status st = sk_fail(l->err, SPHKV_ECOMPILE, "LLVM: %s", why);
    LLVMDisposeErrorMessage(why);
    return st;
}

static sk_status generate(sk_lv *l, LLVMTargetMachineRef machine, sk_emit_form form, char **data,
                          size_t *bytes)
{
    sk_status st = optimise(l, machine);
    if (st)
        return st;
    if (form == SK_EMIT_LLVM_IR) {
        char *text = LLVMPrintModuleToString(l->module);
        st = copy_out(text, strlen(text), data, bytes, l->err);
        LLVMDisposeMessage(text);
        return st;
    }
    LLVMMemoryBufferRef buffer = NULL;
    char *why = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(
            machine, l->module, form == SK_EMIT_ASM ? LLVMAssemblyFile : LLVMObjectFile, &why,
            &buffer)) {
        st = sk_fail(l->err, SPHKV_ECOMPILE, "LLVM: %s", why);
        LLVMDisposeMessage(why);
        return st;
    }
    if (form == SK_EMIT_OBJ)
        st = check_undefined(LLVMGetBufferStart(buffer), l->err);
    if (!st)
        st = copy_out(LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer), data, bytes, l->err);
    LLVMDisposeMemoryBuffer(buffer);
    return st;
}

/* ---- the way in -------------------------------------------------------------------- */

static sk_status fill_module(sk_lv *l, const sk_program *const *programs, uint32_t n,
                             LLVMTargetMachineRef machine)
{
    char *triple = LLVMGetTargetMachineTriple(machine);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetTarget(l->module, triple);
    LLVMSetModuleDataLayout(l->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMDisposeMessage(triple);
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < n && !st; i++)
        st = sk_lv_program(l, programs[i]);
    return st;
}

static sk_status check_ops(const sk_program *p, sk_err *err)
{
    for (uint32_t i = 0; i < p->ninstr; i++)
        if (!sk_op_on_cpu(p->instr[i].op))
            return sk_fail(err, SPHKV_EUNSUPPORTED, "%s: %%%u: the CPU has no %s", p->symbol, i,
                           sk_op_get(p->instr[i].op)->text);
    return SPHKV_OK;
}

static sk_status check_programs(const sk_program *const *programs, uint32_t n, sk_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        sk_status st = sk_ir_verify(programs[i], err);
        if (st)
            return st;
        if (programs[i]->warps != 1)
            return sk_fail(err, SPHKV_EUNSUPPORTED, "%s: blocks of %u warps; the CPU runs one",
                           programs[i]->symbol, programs[i]->warps);
        st = check_ops(programs[i], err);
        if (st)
            return st;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(programs[i]->symbol, programs[k]->symbol) == 0)
                return sk_fail(err, SPHKV_EINVAL, "two programs are called %s",
                               programs[i]->symbol);
    }
    return SPHKV_OK;
}

sk_status sk_emit_llvm(const sk_program *const *programs, uint32_t n, const sk_target *target,
                       sk_emit_form form, char **data, size_t *bytes, sk_err *err)
{
    sk_lv l = {.err = err};
    LLVMTargetMachineRef machine;
    *data = NULL;
    *bytes = 0;
    sk_status st = check_programs(programs, n, err);
    if (!st)
        st = make_machine(target, &machine, err);
    if (st)
        return st;
    know_target(&l, target);
    l.ctx = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(l.ctx, diagnose, &l);
    know_types(&l);
    l.module = LLVMModuleCreateWithNameInContext("sphkv", l.ctx);
    l.b = LLVMCreateBuilderInContext(l.ctx);
    l.entry = LLVMCreateBuilderInContext(l.ctx);
    st = fill_module(&l, programs, n, machine);
    if (!st)
        st = generate(&l, machine, form, data, bytes);
    LLVMDisposeBuilder(l.entry);
    LLVMDisposeBuilder(l.b);
    LLVMDisposeModule(l.module);
    LLVMContextDispose(l.ctx);
    LLVMDisposeTargetMachine(machine);
    return st;
}
