/* schedule.h - named tunables: how a kernel runs, never what it computes. One
 * table (X-macro): a new tunable is one line here and its use in a builder. */
#ifndef SK_SCHEDULE_H
#define SK_SCHEDULE_H

#include "spec.h"

/* What code runs on. */
typedef enum sk_backend { SK_BACKEND_CPU, SK_BACKEND_CUDA, SK_BACKENDS } sk_backend;

/* Kernels that a tunable belongs to, per back end: at most 16 kernels. */
#define SK_FOR(kernel) (1u << (kernel))            /* on CPUs */
#define SK_FOR_ALL 0xffffu                         /* all, on CPUs */
#define SK_ON_GPU(kernel) (1u << (16 + (kernel)))  /* on GPUs */

/* X(name, kernels it belongs to, values or names "a|b|c", meaning). A value is
 * stored as the number itself for numeric lists, as the index for names. */
#define SK_TUNABLES(X)                                                                            \
    X(w, SK_FOR_ALL, "4|8|16", "lanes of a warp (vector width in 32-bit words)")                  \
    X(lut, SK_FOR(SPHKV_ATTN_DECODE) | SK_FOR(SPHKV_PAGE_DECODE) | SK_FOR(SPHKV_PAGE_MASS), "rows|perm|pair16|rebuild|byte|word",                                         \
      "look-up of coded keys: f32 rows in scratch, f32 tables in registers, 16-bit byte-pair "    \
      "tables; tiers a form does not fit use rows; or none: keys are rebuilt and multiplied; 8-bit, " \
      "and 14- or 16-bit tables for byte permutes")                                       \
    X(lut_build, SK_FOR(SPHKV_ATTN_DECODE), "fused|separate",                                     \
      "tables built inside the attention kernel, or by a kernel of their own")                    \
    X(ktok, SK_FOR(SPHKV_ATTN_DECODE) | SK_FOR(SPHKV_PAGE_MASS), "1|2|4", "token vectors per block of dense keys")          \
    X(query, SK_FOR(SPHKV_ATTN_DECODE) | SK_FOR(SPHKV_PAGE_MASS), "f32|i16|dots|i7|dots16",                                       \
      "queries in the product with dense keys: f32; 16-bit integers with ki8 and ki4; bytes with " \
      "these, bfloat16 with kf16 and kbf16; bytes (ki8: 7 to 8 bits) whose products are added in " \
      "16 bits; the 16-bit integers as two bytes each")                                                      \
    X(vch, SK_FOR(SPHKV_ATTN_DECODE), "8|16|32|64", "channels per block of the value product")      \
    X(vtok, SK_FOR(SPHKV_ATTN_DECODE), "1|2|4|8", "tokens (pairs) unrolled in the value product") \
    X(prob, SK_FOR(SPHKV_ATTN_DECODE), "f32|i16|u8|u16|u7",                                       \
      "probabilities in the product with vi8 and vi4 values: u8 in bytes (class fast; with vf16 "  \
      "and vbf16 values bfloat16s), u16 in two bytes, u7 in bytes (vi8: of 7 bits) whose products " \
      "are added in 16 bits")                                                                      \
    X(prefetch, SK_FOR(SPHKV_ATTN_DECODE) | SK_FOR(SPHKV_PAGE_GATHER) | SK_FOR(SPHKV_PAGE_DECODE), "0|1|2|4",                \
      "pages ahead that are prefetched; 0 = none")                                                \
    X(spread, SK_FOR(SPHKV_ATTN_DECODE), "10|20|30|40|50",                                        \
      "percent of a page's lines that are prefetched during the logits of coded keys; the rest "  \
      "during the value product")                                                                 \
    X(pause, SK_FOR(SPHKV_ATTN_DECODE), "0|10|20",                                              \
      "percent of a page's lines that are prefetched during the softmax, which reads none")       \
    X(etok, SK_FOR(SPHKV_KV_ENCODE) | SK_FOR(SPHKV_PAGE_RETIER) | SK_ON_GPU(SPHKV_KV_ENCODE) | \
          SK_ON_GPU(SPHKV_PAGE_RETIER),                                                           \
      "1|2|4", "token vectors coded at once")                                                   \
    X(streams, SK_FOR(SPHKV_PAGE_GATHER), "1|2|4|8", "shares of a page copied side by side")      \
    X(store, SK_FOR(SPHKV_PAGE_GATHER) | SK_FOR(SPHKV_PAGE_DECODE) | SK_FOR(SPHKV_TOKEN_COMPACT), "plain|past",                 \
      "stores through the caches, or past them")                                                  \
    X(warps, SK_ON_GPU(SPHKV_KV_APPEND) | SK_ON_GPU(SPHKV_PAGE_GATHER) | SK_ON_GPU(SPHKV_ATTN_MERGE) | \
          SK_ON_GPU(SPHKV_ATTN_SCHEDULE) | SK_ON_GPU(SPHKV_ATTN_DECODE) | SK_ON_GPU(SPHKV_KV_ENCODE) | \
          SK_ON_GPU(SPHKV_PAGE_DECODE) | SK_ON_GPU(SPHKV_TOKEN_COMPACT) | SK_ON_GPU(SPHKV_ATTN_EXTEND) | \
          SK_ON_GPU(SPHKV_PAGE_RETIER),                                                           \
      "1|2|4|8|16|32", "warps of a block")                                                        \
    X(flight, SK_ON_GPU(SPHKV_PAGE_GATHER), "1|2|4|8", "16-byte loads of a lane under way at once") \
    X(pieces, SK_ON_GPU(SPHKV_PAGE_GATHER), "1|2|4|8|16", "blocks that share a page")       \
    X(room, SK_ON_GPU(SPHKV_ATTN_DECODE) | SK_ON_GPU(SPHKV_KV_ENCODE) | SK_ON_GPU(SPHKV_ATTN_EXTEND) | \
          SK_ON_GPU(SPHKV_PAGE_RETIER) | SK_ON_GPU(SPHKV_PAGE_MASS),                              \
      "shared|tables|global",                                                                    \
      "where scratch lies: in shared memory; look-up tables, and rebuilt pages, in global memory; " \
      "all of it there")   \
    X(blocks, SK_ON_GPU(SPHKV_ATTN_DECODE) | SK_ON_GPU(SPHKV_ATTN_EXTEND) | SK_ON_GPU(SPHKV_PAGE_MASS), "1|2|4|8|16",                                         \
      "blocks that a multiprocessor holds at once")                                                \
    X(merge, SK_ON_GPU(SPHKV_ATTN_DECODE), "last|separate",                                       \
      "lists that blocks share are joined by the last of them, or by a launch of their own")      \
    X(form, SK_ON_GPU(SPHKV_ATTN_DECODE) | SK_ON_GPU(SPHKV_ATTN_EXTEND), "warp|tile|raw",                                        \
      "a block is one warp that does what a CPU does; or warps with tensor cores; or text "       \
      "written by hand")                                                                          \
    X(slab, SK_ON_GPU(SPHKV_ATTN_DECODE) | SK_ON_GPU(SPHKV_ATTN_EXTEND), "16|32|64",              \
      "tokens of a page that a warp, or a block, takes at once") \
    X(stages, SK_ON_GPU(SPHKV_ATTN_DECODE), "0|1|2|3|4",                                          \
      "slabs that a warp copies to shared memory ahead; 0: it reads them where they are")         \
    X(qtile, SK_FOR(SPHKV_ATTN_EXTEND) | SK_ON_GPU(SPHKV_ATTN_EXTEND), "24|48|96|192|384",                                       \
      "query rows (tokens times heads of a KV head) that share a rebuilt page")                   \
    X(qrows, SK_FOR(SPHKV_ATTN_EXTEND) | SK_ON_GPU(SPHKV_ATTN_EXTEND), "4|6|8|12",               \
      "query rows of a register tile")                                                            \
    X(mrows, SK_ON_GPU(SPHKV_ATTN_EXTEND), "16|32", "query rows of a warp with tensor cores")      \
    X(qvec, SK_FOR(SPHKV_ATTN_EXTEND), "1|2|4",                                                   \
      "vectors of tokens, and of channels, of a register tile, at most")                          \
    X(product, SK_FOR(SPHKV_ATTN_EXTEND), "f32|bf16",                                             \
      "multiply-adds of rebuilt pages: of f32, or dot products of bfloat16s (class fast)")         \
    X(search, SK_FOR(SPHKV_KV_ENCODE) | SK_FOR(SPHKV_PAGE_RETIER), "all|sorted|dots",              \
      "codewords of coded keys: each is compared; or those of single dimensions are sorted, and " \
      "the nearest found by halving, where they are as many as lanes; or unit vectors meet 16-bit " \
      "integers, and f32 where these leave a doubt")

typedef enum sk_tunable {
#define SK_X(name, kernels, values, doc) SK_T_##name,
    SK_TUNABLES(SK_X)
#undef SK_X
    SK_TUNABLE_COUNT
} sk_tunable;

enum { SK_LUT_ROWS, SK_LUT_PERM, SK_LUT_PAIR16, SK_LUT_REBUILD, SK_LUT_BYTE, SK_LUT_WORD };
enum { SK_LUT_FUSED, SK_LUT_SEPARATE };
enum { SK_QUERY_F32, SK_QUERY_I16, SK_QUERY_DOTS, SK_QUERY_I7, SK_QUERY_DOTS16 };
enum { SK_PROB_F32, SK_PROB_I16, SK_PROB_U8, SK_PROB_U16, SK_PROB_U7 };
enum { SK_STORE_PLAIN, SK_STORE_PAST };
enum { SK_SEARCH_ALL, SK_SEARCH_SORTED, SK_SEARCH_DOTS };
enum { SK_PRODUCT_F32, SK_PRODUCT_BF16 };
enum { SK_ATTN_WARP, SK_ATTN_TILE, SK_ATTN_RAW };
enum { SK_MERGE_LAST, SK_MERGE_SEPARATE };
enum { SK_ROOM_SHARED, SK_ROOM_TABLES, SK_ROOM_GLOBAL };

typedef struct sk_schedule {
    uint32_t backend;            /* sk_backend: whose tunables these are */
    int32_t v[SK_TUNABLE_COUNT]; /* by sk_tunable; those of others are 0, but w is
                                    32 on every GPU */
} sk_schedule;

typedef struct sk_tunable_info {
    const char *name;
    uint32_t kernels; /* mask of SK_FOR and SK_ON_GPU */
    const char *values; /* "4|8|16" */
    const char *doc;
} sk_tunable_info;
const sk_tunable_info *sk_tunable_get(uint32_t tunable);
/* Whether it is one of this kernel's on this back end. */
bool sk_tunable_tunes(uint32_t tunable, uint32_t kernel, uint32_t backend);

/* An empty schedule: every tunable that the back end does not leave open. */
void sk_schedule_begin(uint32_t backend, sk_schedule *out);

/* Number of values of a tunable, and the i-th (stored form). */
uint32_t sk_tunable_count(uint32_t tunable);
int32_t sk_tunable_value(uint32_t tunable, uint32_t i);
/* The tunable of this name of `len` characters; SK_TUNABLE_COUNT: there is none. */
uint32_t sk_tunable_find(const char *name, size_t len);
/* The place of a value, as text, in its list; the number of values: it is not there. */
uint32_t sk_tunable_place(uint32_t tunable, const char *text);
/* The stored form from text ("i16" -> 1, "8" -> 8); false when unknown. */
bool sk_tunable_parse(uint32_t tunable, const char *text, int32_t *value);

/* Canonical text "w=8,lut=rows,..." of the tunables of `kernel` on the schedule's
 * back end, and its inverse; parse starts from *schedule as given, so a partial
 * text overrides. */
void sk_schedule_print(uint32_t kernel, const sk_schedule *schedule, sk_text *out);
sk_status sk_schedule_parse(uint32_t kernel, const char *text, sk_schedule *schedule, sk_err *err);

/* The silicon as the generator sees it: what steers defaults and validity. */
typedef struct sk_target {
    uint32_t backend;         /* sk_backend: which of the two halves below counts */
    /* CPUs */
    uint32_t vector_bits;     /* widest useful vector: 128, 256, 512 */
    uint32_t features;        /* SK_CPU_* */
    uint32_t l1_bytes, l2_bytes;
    char cpu[64];             /* LLVM's name, "znver3"; "" = generic of the triple */
    char feature_text[1024];  /* LLVM's feature string "+avx2,+fma,..." */
    char triple[64];          /* "x86_64-unknown-linux-gnu" */
    /* GPUs */
    uint32_t sm;              /* compute capability, 90 = 9.0 */
    bool sm_exact;            /* code for this one alone (sm_90a) */
    uint32_t sms;             /* multiprocessors */
    uint32_t shared_block;    /* bytes of shared memory a block may ask for */
    uint32_t shared_sm;       /* that a multiprocessor has for all its blocks */
    uint32_t regs_sm;         /* 32-bit registers of a multiprocessor */
    uint32_t threads_sm;      /* that a multiprocessor holds at once */
} sk_target;
#define SK_CPU_SSE41 1u
#define SK_CPU_AVX2 2u  /* with FMA and F16C */
#define SK_CPU_AVX512 4u /* F, BW, DQ, VL */
#define SK_CPU_VBMI 8u
#define SK_CPU_VNNI 16u
#define SK_CPU_BF16 32u
#define SK_CPU_NEON 64u
#define SK_CPU_AVXVNNI 128u /* VNNI of vectors up to 256 bits */
#define SK_CPU_DOTPROD 256u /* NEON: dot products of bytes of one sign, */
#define SK_CPU_I8MM 512u    /* and of unsigned with signed ones */

/* A GPU of compute capability sm (90 = 9.0), with code for that one alone when
 * `exact` (sm_90a); SPHKV_EUNSUPPORTED names those known. */
sk_status sk_target_cuda(uint32_t sm, bool exact, sk_target *out, sk_err *err);
uint32_t sk_target_cuda_known(uint32_t i); /* the i-th of them, ascending; 0 behind the last */

#endif
