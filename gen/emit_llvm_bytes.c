/* emit_llvm_bytes.c - ops that move bytes and halves within a group of 4 lanes, a
 * pair of lanes, or the whole warp. CPUs with the instruction (pshufb, tbl, vpermb,
 * vpermw, vpmultishiftqb) are asked for it by its intrinsic; elsewhere a pick from
 * the whole warp is one pick from each 16 bytes of it and a choice, slow and right. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

static LLVMValueRef words(sk_lv *l, LLVMValueRef v, uint32_t lanes)
{
    return sk_lv_bits(l, v, l->i32, lanes);
}

/* x in each of n elements. */
static LLVMValueRef every(LLVMTypeRef element, uint32_t n, uint32_t x)
{
    LLVMValueRef lanes[128];
    for (uint32_t i = 0; i < n; i++)
        lanes[i] = LLVMConstInt(element, x, false);
    return LLVMConstVector(lanes, n);
}

/* ---- 16 bytes ------------------------------------------------------------------------- */

static LLVMValueRef chunk_pshufb(sk_lv *l, LLVMValueRef table, LLVMValueRef index)
{
    const uint32_t n = sk_lv_count(table);
    LLVMValueRef arg[2] = {sk_lv_bits(l, table, l->i8, 4 * n), sk_lv_bits(l, index, l->i8, 4 * n)};
    const LLVMValueRef r = sk_lv_call(l,
                                      n == 4   ? "llvm.x86.ssse3.pshuf.b.128"
                                      : n == 8 ? "llvm.x86.avx2.pshuf.b"
                                               : "llvm.x86.avx512.pshuf.b.512",
                                      NULL, arg, 2);
    return words(l, r, n);
}

static LLVMValueRef chunk_tbl(sk_lv *l, LLVMValueRef table, LLVMValueRef index)
{
    LLVMValueRef arg[2] = {sk_lv_bits(l, table, l->i8, 16), sk_lv_bits(l, index, l->i8, 16)};
    return words(l, sk_lv_call(l, "llvm.aarch64.neon.tbl1", LLVMTypeOf(arg[0]), arg, 2), 4);
}

/* Byte by byte, from a table on the stack: where the machine has no such instruction. */
static LLVMValueRef lut16_by_byte(sk_lv *l, LLVMValueRef table, LLVMValueRef index)
{
    LLVMValueRef part[8];
    const uint32_t n = l->w / 4;
    for (uint32_t k = 0; k < n; k++) {
        const LLVMValueRef t = sk_lv_bits(l, sk_lv_slice(l, table, 4 * k, 4), l->i8, 16);
        const LLVMValueRef x = sk_lv_bits(l, sk_lv_slice(l, index, 4 * k, 4), l->i8, 16);
        LLVMValueRef r = LLVMGetPoison(LLVMTypeOf(t));
        for (uint32_t i = 0; i < 16; i++) {
            const LLVMValueRef at = LLVMBuildExtractElement(l->b, x, sk_lv_index(l, i), "");
            r = LLVMBuildInsertElement(l->b, r, LLVMBuildExtractElement(l->b, t, at, ""),
                                       sk_lv_index(l, i), "");
        }
        part[k] = words(l, r, 4);
    }
    return sk_lv_join(l, part, n);
}

/* `may`: bits of the index that can be set. */
static LLVMValueRef lut16(sk_lv *l, LLVMValueRef table, LLVMValueRef index, uint32_t may)
{
    const bool fast = l->x86 && l->ssse3;
    /* pshufb gives 0 where bit 7 is set and ignores bits 4 to 6. */
    if (may & (fast ? 0x80808080u : 0xf0f0f0f0u))
        index = LLVMBuildAnd(l->b, index, sk_lv_u32(l, index, 0x0f0f0f0fu), "");
    if (fast) return sk_lv_chunked(l, table, index, chunk_pshufb);
    if (l->neon) return sk_lv_chunked(l, table, index, chunk_tbl);
    return lut16_by_byte(l, table, index);
}

LLVMValueRef sk_lv_lut16(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    return lut16(l, a[0], a[1], l->bits[in->arg[1]]);
}

/* ZIP8 and ZIP16. */
LLVMValueRef sk_lv_zip(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    uint32_t mask[128];
    const uint32_t size = in->op == SK_OP_ZIP8 ? 1 : 2, n = 4 * l->w / size, group = 16 / size;
    const LLVMTypeRef element = size == 1 ? l->i8 : l->i16;
    for (uint32_t i = 0; i < n; i++)
        mask[i] = i / group * group + group / 2 * in->imm + i % group / 2 + (i & 1) * n;
    const LLVMValueRef r = sk_lv_pick(l, sk_lv_bits(l, a[0], element, n),
                                      sk_lv_bits(l, a[1], element, n), mask, n);
    return words(l, r, l->w);
}

LLVMValueRef sk_lv_sel8(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    const uint32_t lanes = sk_lv_count(a[0]), n = 4 * lanes;
    const LLVMValueRef by = sk_lv_bits(l, a[0], l->i8, n);
    const LLVMValueRef yes =
        LLVMBuildICmp(l->b, LLVMIntSLT, by, LLVMConstNull(LLVMTypeOf(by)), "");
    const LLVMValueRef r = LLVMBuildSelect(l->b, yes, sk_lv_bits(l, a[1], l->i8, n),
                                           sk_lv_bits(l, a[2], l->i8, n), "");
    return words(l, r, lanes);
}

/* ---- the whole warp ------------------------------------------------------------------- */

/* One table of c lanes, or two that follow each other, by bytes or halves; what the
 * index has above them is ignored. */
static LLVMValueRef permute(sk_lv *l, bool bytes, LLVMValueRef const *table, uint32_t tables,
                            LLVMValueRef index)
{
    static const char *const name[2][2][3] = {
        {{"llvm.x86.avx512.permvar.hi.128", "llvm.x86.avx512.permvar.hi.256",
          "llvm.x86.avx512.permvar.hi.512"},
         {"llvm.x86.avx512.vpermi2var.hi.128", "llvm.x86.avx512.vpermi2var.hi.256",
          "llvm.x86.avx512.vpermi2var.hi.512"}},
        {{"llvm.x86.avx512.permvar.qi.128", "llvm.x86.avx512.permvar.qi.256",
          "llvm.x86.avx512.permvar.qi.512"},
         {"llvm.x86.avx512.vpermi2var.qi.128", "llvm.x86.avx512.vpermi2var.qi.256",
          "llvm.x86.avx512.vpermi2var.qi.512"}}};
    const uint32_t c = sk_lv_count(index), n = bytes ? 4 * c : 2 * c;
    const LLVMTypeRef element = bytes ? l->i8 : l->i16;
    LLVMValueRef arg[3] = {sk_lv_bits(l, table[0], element, n), sk_lv_bits(l, index, element, n)};
    if (tables == 2)
        arg[2] = sk_lv_bits(l, table[1], element, n);
    return words(l, sk_lv_call(l, name[bytes][tables - 1][c / 8], NULL, arg, tables + 1), c);
}

/* Where bit `bit` of an element of the index is set: yes, else no. */
static LLVMValueRef choose(sk_lv *l, bool bytes, LLVMValueRef index, uint32_t bit, LLVMValueRef yes,
                           LLVMValueRef no)
{
    const uint32_t c = sk_lv_count(index), n = bytes ? 4 * c : 2 * c;
    const LLVMTypeRef element = bytes ? l->i8 : l->i16;
    const LLVMValueRef masked =
        LLVMBuildAnd(l->b, sk_lv_bits(l, index, element, n), every(element, n, 1u << bit), "");
    const LLVMValueRef set =
        LLVMBuildICmp(l->b, LLVMIntNE, masked, LLVMConstNull(LLVMTypeOf(masked)), "");
    const LLVMValueRef r = LLVMBuildSelect(l->b, set, sk_lv_bits(l, yes, element, n),
                                           sk_lv_bits(l, no, element, n), "");
    return words(l, r, c);
}

/* Tables of c lanes that follow each other, one, two or four of them. */
static LLVMValueRef pick_native(sk_lv *l, bool bytes, LLVMValueRef const *table, uint32_t n,
                                LLVMValueRef index)
{
    const LLVMValueRef low = permute(l, bytes, table, n > 1 ? 2 : 1, index);
    if (n < 4)
        return low;
    const uint32_t bit = bytes ? 7 : 6; /* 2 tables are 128 bytes or 64 halves */
    return choose(l, bytes, index, bit, permute(l, bytes, table + 2, 2, index), low);
}

/* Halves by the numbers of their bytes. */
static LLVMValueRef bytes_of_halves(sk_lv *l, LLVMValueRef index, uint32_t halves)
{
    const uint32_t n = 2 * sk_lv_count(index);
    LLVMValueRef x = sk_lv_bits(l, index, l->i16, n);
    x = LLVMBuildAnd(l->b, x, every(l->i16, n, halves - 1), "");
    x = LLVMBuildMul(l->b, x, every(l->i16, n, 0x0202), "");
    return words(l, LLVMBuildAdd(l->b, x, every(l->i16, n, 0x0100), ""), n / 2);
}

/* Bytes of tables of the warp, piece by piece of 16. */
static LLVMValueRef pick_by_pieces(sk_lv *l, LLVMValueRef const *table, uint32_t n,
                                   LLVMValueRef index)
{
    const uint32_t each = l->w / 4, bytes = 4 * l->w;
    const LLVMTypeRef element = l->i8;
    LLVMValueRef at = sk_lv_bits(l, index, element, bytes), r = NULL;
    at = LLVMBuildAnd(l->b, at, every(element, bytes, n * bytes - 1), "");
    const LLVMValueRef piece = LLVMBuildLShr(l->b, at, every(element, bytes, 4), "");
    for (uint32_t k = 0; k < n * each; k++) {
        uint32_t mask[32];
        for (uint32_t i = 0; i < l->w; i++)
            mask[i] = k % each * 4 + i % 4;
        const LLVMValueRef row = sk_lv_pick(l, table[k / each], NULL, mask, l->w);
        const LLVMValueRef x = sk_lv_bits(l, lut16(l, row, words(l, at, l->w), ~0u), element, bytes);
        const LLVMValueRef here =
            LLVMBuildICmp(l->b, LLVMIntEQ, piece, every(element, bytes, k), "");
        r = r ? LLVMBuildSelect(l->b, here, x, r, "") : x;
    }
    return words(l, r, l->w);
}

/* An index of n elements of `bits` bits as constants, modulo `all`, when it is one. */
static bool constant_places(LLVMValueRef index, uint32_t bits, uint32_t n, uint32_t all,
                            uint32_t *place)
{
    if (!LLVMIsConstant(index))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const LLVMValueRef word = LLVMGetAggregateElement(index, i * bits / 32);
        if (!word || !LLVMIsAConstantInt(word))
            return false;
        const uint32_t x = (uint32_t)LLVMConstIntGetZExtValue(word) >> i * bits % 32;
        place[i] = x & (all - 1);
    }
    return true;
}

/* By constants: LLVM finds the few shuffles of the machine that do it. */
static LLVMValueRef pick_by_constants(sk_lv *l, bool bytes, LLVMValueRef const *a, uint32_t tables)
{
    uint32_t place[128];
    const uint32_t n = bytes ? 4 * l->w : 2 * l->w;
    const LLVMTypeRef element = bytes ? l->i8 : l->i16;
    if (!constant_places(a[tables], bytes ? 8 : 16, n, n * tables, place))
        return NULL;
    const LLVMValueRef second = tables > 1 ? sk_lv_bits(l, a[1], element, n) : NULL;
    return words(l, sk_lv_pick(l, sk_lv_bits(l, a[0], element, n), second, place, n), l->w);
}

/* PERM8, PERM16 and their forms of two tables: the index is the last argument. */
LLVMValueRef sk_lv_perm(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const bool bytes = in->op == SK_OP_PERM8 || in->op == SK_OP_PERM8X2;
    const uint32_t tables = in->nargs - 1u;
    LLVMValueRef part[2], table[4];
    if (bytes ? !l->vbmi : !l->avx512) {
        const LLVMValueRef known = pick_by_constants(l, bytes, a, tables);
        if (known) return known;
        return pick_by_pieces(l, a, tables,
                              bytes ? a[tables] : bytes_of_halves(l, a[tables], 2 * l->w * tables));
    }
    const uint32_t c = sk_lv_chunk(l), n = l->w / c;
    for (uint32_t k = 0; k < tables * n; k++)
        table[k] = sk_lv_slice(l, a[k / n], k % n * c, c);
    for (uint32_t i = 0; i < n; i++)
        part[i] = pick_native(l, bytes, table, tables * n, sk_lv_slice(l, a[tables], i * c, c));
    return sk_lv_join(l, part, n);
}

/* Where a pick by constants is one instruction, LLVM makes several of two picks and a choice
 * (19, Zen 4: four pshufb, two or, and a permute for two vpermi2b). Text that is empty hides
 * them. Elsewhere it is to know them. */
LLVMValueRef sk_lv_hide(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    LLVMTypeRef type = LLVMTypeOf(a[0]);
    if (!l->x86 || !l->vbmi || LLVMGetTypeKind(type) != LLVMVectorTypeKind || sk_lv_count(a[0]) != sk_lv_chunk(l))
        return a[0];
    LLVMValueRef x = a[0];
    const LLVMTypeRef fn = LLVMFunctionType(type, &type, 1, false);
    const LLVMValueRef same =
        LLVMGetInlineAsm(fn, "", 0, "=v,0", 4, false, false, LLVMInlineAsmDialectATT, false);
    return LLVMBuildCall2(l->b, fn, same, &x, 1, "");
}

/* ---- 64 bits ---------------------------------------------------------------------------- */

static LLVMValueRef chunk_multishift(sk_lv *l, LLVMValueRef x, LLVMValueRef from)
{
    const uint32_t n = sk_lv_count(x);
    LLVMValueRef arg[2] = {sk_lv_bits(l, from, l->i8, 4 * n), sk_lv_bits(l, x, l->i8, 4 * n)};
    return words(l, sk_lv_call(l,
                               n == 4   ? "llvm.x86.avx512.pmultishift.qb.128"
                               : n == 8 ? "llvm.x86.avx512.pmultishift.qb.256"
                                        : "llvm.x86.avx512.pmultishift.qb.512",
                               NULL, arg, 2), n);
}

LLVMValueRef sk_lv_field8(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    if (l->vbmi)
        return sk_lv_chunked(l, a[0], a[1], chunk_multishift);
    const uint32_t n = l->w / 2;
    const LLVMValueRef x = sk_lv_bits(l, a[0], l->i64, n), from = sk_lv_bits(l, a[1], l->i64, n);
    LLVMValueRef r = LLVMConstNull(LLVMTypeOf(x));
    for (uint32_t k = 0; k < 8; k++) {
        const LLVMValueRef place = every(l->i64, n, 8 * k);
        LLVMValueRef arg[3] = {x, x, LLVMBuildLShr(l->b, from, place, "")};
        arg[2] = LLVMBuildAnd(l->b, arg[2], every(l->i64, n, 63), "");
        LLVMValueRef byte = sk_lv_call(l, "llvm.fshr", LLVMTypeOf(x), arg, 3);
        byte = LLVMBuildAnd(l->b, byte, every(l->i64, n, 255), "");
        r = LLVMBuildOr(l->b, r, LLVMBuildShl(l->b, byte, place, ""), "");
    }
    return words(l, r, l->w);
}
