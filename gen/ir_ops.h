/* ir_ops.h - every op of the lane IR, once. An op lands here with its rule (in
 * ir_verify.c), its interpretation (ir_interp.c, the definition) and its
 * emitters, or not at all.
 *
 * SK_OPS(X): X(NAME, text, nargs, result, exact, meaning)
 *   result: V none, U u32, F f32, P predicate, A address, Q quad (four 32-bit
 *           words per lane), S same as argument 0, T same as argument 1, K by
 *           load kind
 *   exact:  1 bit-exact in every execution, 0 inexact with a stated bound
 * A value has a scope: block < warp < lane. Unless said otherwise arguments
 * may have any scope and the result has the widest of them; a narrower value
 * is a splat where a lane value is wanted. "uniform" = block or warp scope.
 * imm, imm2: constants of the instruction.
 *
 * Memory ops address byte `address + offset + disp` (imm = disp); addresses
 * are uniform and 64 bits wide, offsets 32 bits unsigned. The kind (imm2)
 * of a load says what an element is and how it widens (sk_ld_kind). Elements
 * are naturally aligned to their own size only. Stores are of 32-bit words, or
 * of quads: 16 bytes at a multiple of 16.
 *
 * Inside a warp memory ops take effect in program order for all lanes; between
 * warps a BARRIER orders them, between blocks ATOMADD. What a copy of CPASYNC
 * writes is there when CPWAIT says so and not before.
 *
 * Packed half arithmetic (HADD2, HMUL2, HFMA2) rounds once to nearest even,
 * keeps subnormals, overflows to infinity; every NaN that it gives is 0x7fff,
 * as on the GPUs that have these instructions.
 *
 * "W = 32": the op has no meaning for other widths and is refused there. */
#ifndef SK_IR_OPS_H
#define SK_IR_OPS_H

#define SK_OPS(X)                                                                                  \
    /* values without arguments */                                                                 \
    X(CONST_U32, "const.u32", 0, U, 1, "imm; block scope")                                         \
    X(CONST_F32, "const.f32", 0, F, 1, "bits imm; block scope")                                    \
    X(LANE, "lane", 0, U, 1, "lane index 0..W-1; lane scope")                                      \
    X(WARP, "warp", 0, U, 1, "warp index in the block; warp scope")                                \
    X(BLOCK, "block", 0, U, 1, "block index, imm = dimension 0..2; block scope")                   \
    X(PARAM_U32, "param.u32", 0, U, 1, "parameter slot imm; block scope")                          \
    X(PARAM_F32, "param.f32", 0, F, 1, "parameter slot imm; block scope")                          \
    X(PARAM_PTR, "param.ptr", 0, A, 1, "parameter slot imm; block scope")                          \
    X(SHARED, "shared", 0, A, 1,                                                                   \
      "the block's scratch at byte imm; what comes of it addresses the piece up to the next "      \
      "SHARED of the program; block scope")                                                        \
    X(PTR_ADD, "ptr.add", 2, A, 1, "a + (u64)b * imm bytes; b uniform u32")                        \
    /* mutable variables; become registers */                                                      \
    X(VAR, "var", 1, S, 1, "new variable, initial value a; imm = scope of the variable")           \
    X(GET, "get", 1, S, 1, "current value of variable a")                                          \
    X(SET, "set", 2, V, 1, "variable a = b")                                                       \
    /* integers, 32 bits, wrapping */                                                              \
    X(ADD, "add", 2, U, 1, "a + b")                                                                \
    X(SUB, "sub", 2, U, 1, "a - b")                                                                \
    X(MUL, "mul", 2, U, 1, "low 32 bits of a * b")                                                 \
    X(UDIV, "udiv", 2, U, 1, "a / b unsigned; b = 0 gives 0xffffffff")                             \
    X(UREM, "urem", 2, U, 1, "a % b unsigned; b = 0 gives a")                                      \
    X(AND, "and", 2, U, 1, "a & b")                                                                \
    X(OR, "or", 2, U, 1, "a | b")                                                                  \
    X(XOR, "xor", 2, U, 1, "a ^ b")                                                                \
    X(SHL, "shl", 2, U, 1, "a << b; 0 when b >= 32")                                               \
    X(SHR, "shr", 2, U, 1, "a >> b logical; 0 when b >= 32")                                       \
    X(SRA, "sra", 2, U, 1, "a >> b arithmetic; b >= 32 as 31")                                     \
    X(UMIN, "umin", 2, U, 1, "unsigned minimum")                                                   \
    X(UMAX, "umax", 2, U, 1, "unsigned maximum")                                                   \
    X(SMIN, "smin", 2, U, 1, "signed minimum")                                                     \
    X(SMAX, "smax", 2, U, 1, "signed maximum")                                                     \
    /* floats, IEEE binary32, round to nearest even, no contraction, no flush */                   \
    X(FADD, "fadd", 2, F, 1, "a + b")                                                              \
    X(FSUB, "fsub", 2, F, 1, "a - b")                                                              \
    X(FMUL, "fmul", 2, F, 1, "a * b")                                                              \
    X(FMA, "fma", 3, F, 1, "a * b + c, rounded once")                                              \
    X(FDIV, "fdiv", 2, F, 1, "a / b")                                                              \
    X(FSQRT, "fsqrt", 1, F, 1, "square root")                                                      \
    X(FMIN, "fmin", 2, F, 1, "a < b ? a : b (b when either is NaN)")                               \
    X(FMAX, "fmax", 2, F, 1, "a > b ? a : b (b when either is NaN)")                               \
    X(FABS, "fabs", 1, F, 1, "sign bit cleared")                                                   \
    X(FNEG, "fneg", 1, F, 1, "sign bit flipped")                                                   \
    X(FRINT, "frint", 1, F, 1, "to integral, nearest even")                                        \
    X(EXP2, "exp2", 1, F, 0,                                                                       \
      "2^a; relative error 4e-7 (imm 0) or 1e-4 (imm 1) for -126 <= a <= 127; a < -126, and "      \
      "-inf: anything in [0, 2^-125]; 127 < a: not used")                                          \
    X(LOG2, "log2", 1, F, 0, "log2 a for normal a > 0; error 2e-6 before rounding; else unspecified") \
    /* compare, predicates */                                                                      \
    X(EQ, "eq", 2, P, 1, "integers equal")                                                         \
    X(NE, "ne", 2, P, 1, "integers differ")                                                        \
    X(ULT, "ult", 2, P, 1, "a < b unsigned")                                                       \
    X(ULE, "ule", 2, P, 1, "a <= b unsigned")                                                      \
    X(SLT, "slt", 2, P, 1, "a < b signed")                                                         \
    X(FLT, "flt", 2, P, 1, "a < b, false for NaN")                                                 \
    X(FLE, "fle", 2, P, 1, "a <= b, false for NaN")                                                \
    X(FEQ, "feq", 2, P, 1, "a == b, false for NaN")                                                \
    X(PAND, "pand", 2, P, 1, "a and b")                                                            \
    X(POR, "por", 2, P, 1, "a or b")                                                               \
    X(PNOT, "pnot", 1, P, 1, "not a")                                                              \
    X(SELECT, "select", 3, T, 1, "a ? b : c; b and c of one type")                                 \
    /* conversions */                                                                              \
    X(BITS, "bits", 1, U, 1, "bits of a float")                                                    \
    X(FLOAT, "float", 1, F, 1, "float of bits")                                                    \
    X(I2F, "i2f", 1, F, 1, "signed integer to float, nearest even")                                \
    X(F2I, "f2i", 1, U, 1, "nearest-even signed integer; NaN or out of range: 0x80000000")         \
    X(F16LO, "f16.lo", 1, F, 1, "float of the half in bits 0-15")                                  \
    X(F16HI, "f16.hi", 1, F, 1, "float of the half in bits 16-31")                                 \
    X(PACKF16, "pack.f16", 2, U, 1, "halves: a in the low, b in the high bits; nearest even")      \
    X(PACKBF16, "pack.bf16", 2, U, 1, "bfloat16s: a low, b high; nearest even; NaN stays NaN")     \
    X(QUAD, "quad", 4, Q, 1, "quad of the words a, b, c, d (u32 or f32 each)")                     \
    X(WORD, "word", 1, U, 1, "word imm (0..3) of quad a")                                          \
    /* packed sub-word data */                                                                     \
    X(ADD16X2, "add.16x2", 2, U, 1, "two 16-bit sums, wrapping")                                   \
    X(UMIN16X2, "umin.16x2", 2, U, 1, "two minima of unsigned 16-bit numbers")                     \
    X(UMAX16X2, "umax.16x2", 2, U, 1, "two maxima of unsigned 16-bit numbers")                     \
    X(SMAX16X2, "smax.16x2", 2, U, 1, "two maxima of signed 16-bit numbers")                       \
    X(MULR16X2, "mulr.16x2", 2, U, 1,                                                              \
      "two products of signed 16-bit factors as fractions: (a * b + 2^14) >> 15, its low 16 bits") \
    X(MADD8, "madd.8", 2, U, 1,                                                                    \
      "two 16-bit sums of two products of the unsigned bytes of a and the signed ones of b, "      \
      "signed saturating")                                                                         \
    X(DOT2, "dot2", 3, U, 1, "a + b.lo*c.lo + b.hi*c.hi, signed 16-bit factors, wrapping")         \
    X(DOT4, "dot4", 3, U, 1, "a + four products of the signed bytes of b and c, wrapping")         \
    X(DOT4US, "dot4.us", 3, U, 1,                                                                  \
      "a + four products of the unsigned bytes of b and the signed ones of c, wrapping")           \
    X(SEL8, "sel.8", 3, U, 1, "byte by byte: that of b where bit 7 of that of a is set, else of c") \
    X(SRA16X2, "sra.16x2", 1, U, 1, "two signed 16-bit shifts right, by imm (0..15)")                \
    X(BDOT2, "bdot2", 3, F, 0,                                                                     \
      "a + b.lo*c.lo + b.hi*c.hi, bfloat16 factors; error 2^-20 (|a| + |b.lo c.lo| + |b.hi c.hi|); " \
      "subnormal factors and results may count as 0; the bits of a NaN are open")                  \
    X(HADD2, "hadd2", 2, U, 1, "two half sums")                                                    \
    X(HMUL2, "hmul2", 2, U, 1, "two half products")                                                \
    X(HFMA2, "hfma2", 3, U, 1, "twice a * b + c of halves, rounded once")                          \
    X(PRMT, "prmt", 3, U, 1,                                                                       \
      "byte k is picked by nibble k of c (its low 16 bits): bits 0-2 say which byte of b:a (a is " \
      "bytes 0-3); with bit 3 the byte is 0xff or 0x00 by the sign bit of that one")               \
    X(PACK16, "pack.16", 2, U, 1,                                                                  \
      "signed saturating: lane i of the lower half of the warp holds (a[2i], a[2i+1]) as 16-bit "  \
      "low, high; the upper half the same of b; lane scope")                                       \
    X(PACK8, "pack.8", 2, U, 1,                                                                    \
      "signed halves to bytes, unsigned saturating: lane i of the lower half of the warp holds "   \
      "the four of a[2i], a[2i+1] in order; the upper half the same of b; lane scope")             \
    X(LUT16, "lut16", 2, U, 1,                                                                     \
      "byte look-up: each byte of b (its low 4 bits) picks one of the 16 bytes held by a in the "  \
      "4 lanes of the same aligned group of 4; lane scope")                                        \
    X(ZIP8, "zip8", 2, U, 1,                                                                       \
      "per aligned group of 4 lanes (16 bytes): interleaves bytes of a (even places) and b (odd) " \
      "of the low 8 bytes (imm 0) or the high 8 bytes (imm 1); lane scope")                        \
    X(ZIP16, "zip16", 2, U, 1, "as zip8 with halves in place of bytes; lane scope")                \
    X(PERM8, "perm.8", 2, U, 1, "each byte of b, mod 4W, picks one of all 4W bytes of a; lane scope") \
    X(PERM8X2, "perm.8x2", 3, U, 1,                                                                \
      "each byte of c, mod 8W, picks one of the 4W bytes of a and, behind them, of b; lane scope") \
    X(PERM16, "perm.16", 2, U, 1, "each half of b, mod 2W, picks one of the 2W halves of a; lane scope") \
    X(PERM16X2, "perm.16x2", 3, U, 1,                                                              \
      "each half of c, mod 4W, picks one of the 2W halves of a and, behind them, of b; lane scope") \
    X(HIDE, "hide", 1, U, 1,                                                                       \
      "a; a hint: what a is, a compiler is not to know, so that a pick by constants stays the one "  \
      "instruction that it is")                                                                    \
    X(FIELD8, "field.8", 2, U, 1,                                                                  \
      "per aligned pair of lanes (64 bits): each byte of b, mod 64, is the bit where the 8 bits "  \
      "of a that take its place begin, wrapping round; lane scope")                                \
    /* across lanes */                                                                             \
    X(SHUFFLE, "shuffle", 2, S, 1, "lane i gets a of lane b[i] mod W; lane scope")                 \
    X(EXTRACT, "extract", 1, S, 1, "a of lane imm; warp scope")                                    \
    X(RED_FADD, "red.fadd", 1, F, 1, "butterfly W/2, W/4 .. 1: v[i] + v[i^s]; lane 0; warp scope") \
    X(RED_FMAX, "red.fmax", 1, F, 1, "butterfly with FMAX(v[i], v[i^s]); lane 0; warp scope")      \
    X(RED_UADD, "red.uadd", 1, U, 1, "sum; warp scope")                                            \
    X(RED_UMIN, "red.umin", 1, U, 1, "unsigned minimum; warp scope")                               \
    X(RED_UMAX, "red.umax", 1, U, 1, "unsigned maximum; warp scope")                               \
    X(ANY, "any", 1, P, 1, "whether a holds in any lane; warp scope")                              \
    X(MOVM, "movm", 1, U, 1,                                                                       \
      "transposes an 8x8 matrix of 16-bit elements, lane i holding row i/4, columns 2(i%4) (low) " \
      "and 2(i%4)+1 (high); W = 32; lane scope")                                                   \
    X(MMA, "mma", 4, Q, 0,                                                                         \
      "d = a b + c: a 16x16 (quad a) and b 16x8 (words b, c) of halves (imm 0) or bfloat16s "      \
      "(imm 1), c and d 16x8 of f32 (quads); fragments as in PTX mma.m16n8k16, ir_interp_quad.c; " \
      "error 2^-20 (sum |a b| + |c|); the bits of a NaN are open; W = 32; lane scope")             \
    /* memory */                                                                                   \
    X(LDU, "ldu", 2, K, 1, "uniform load; address a, offset b uniform")                            \
    X(LDV, "ldv", 2, K, 1, "lane i loads element i from address a + b, b uniform; lane scope")     \
    X(LDG, "ldg", 3, K, 1,                                                                         \
      "gather: lane i loads at a + b[i] where predicate c, else 0 and no access; lane scope")      \
    X(LDROWS, "ldrows", 2, K, 1,                                                                   \
      "runs of n lanes (n = imm >> 24, a power of two <= W; disp = low 24 bits): lane i loads "    \
      "word i mod n at a + b[i]; b must be equal within a run; 32-bit kinds; lane scope")          \
    X(STU, "stu", 3, V, 1, "uniform store of c to a + b; one lane stores")                         \
    X(STV, "stv", 3, V, 1, "lane i stores c to a + b + 4i, b uniform")                             \
    X(STN, "stn", 3, V, 1,                                                                         \
      "as stv, for what is not read soon (may pass the caches); a + b a multiple of 4W, or of "    \
      "64 where that is less; others see it when the block has ended")                             \
    X(STG, "stg", 4, V, 1, "scatter: lane i stores c to a + b[i] where predicate d")               \
    X(LDQ, "ldq", 3, Q, 1,                                                                         \
      "lane i loads 16 bytes at a + b[i], a multiple of 16, where predicate c, else zeros and no " \
      "access; lane scope")                                                                        \
    X(STQ, "stq", 4, V, 1,                                                                         \
      "lane i stores quad c to a + b[i], a multiple of 16, where predicate d")                     \
    X(CPASYNC, "cp.async", 5, V, 1,                                                                \
      "lane i begins to copy 16 bytes from c + d[i] + imm, not in the scratch, to a + b[i] + "     \
      "imm2 in the scratch, both multiples of 16, where predicate e; until waited for, nobody "    \
      "touches the target or changes the source")                                                  \
    X(CPCOMMIT, "cp.commit", 0, V, 1, "the warp's copies begun since the last one are a group")    \
    X(CPWAIT, "cp.wait", 0, V, 1,                                                                  \
      "waits until at most the imm newest groups of the warp are under way: the others, written "  \
      "by the warp now, are seen by it, and by other warps after a barrier; no copy may be left "  \
      "at the end of the block")                                                                   \
    X(ATOMADD, "atom.add", 3, U, 1,                                                                \
      "adds c to the word at a + b, not in the scratch, and gives the old one; b, c uniform; one " \
      "lane acts; releases what the warp did and, of the other warps, what a barrier put before "  \
      "it; acquires what adds to the same word have released; device scope; warp scope")           \
    X(PREFETCH, "prefetch", 2, V, 1, "hint: the cache line at a + b, b uniform; may be outside; "  \
      "into the second cache, or (imm2 1, a CPU) the nearest")                                     \
    X(BARRIER, "barrier", 0, V, 1, "block barrier, only under block-scope control")                \
    /* control: block or warp scope only */                                                        \
    X(FOR, "for", 2, U, 1, "for (i = a; i < b; i += imm), unsigned, imm > 0; value: i")            \
    X(IF, "if", 1, V, 1, "uniform predicate a")                                                    \
    X(ELSE, "else", 0, V, 1, "")                                                                   \
    X(END, "end", 0, V, 1, "closes FOR or IF")

#endif
