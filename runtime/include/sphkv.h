/* sphkv.h - the one public header of sphkv.
 *
 * Why: an engine plans once and launches many times. Everything that may
 * compile, allocate, lock or fail slowly happens in sphkv_open and
 * sphkv_plan_create; sphkv_run does none of it. This header is declarations
 * only, so every floor of the project may include it.
 *
 * Words (see README.md; runtime/README.md is the way in for engine authors):
 *   tier       how a token is stored: a key format and a value format
 *   mix        the ordered list of tiers a kernel can meet; a tier's place in it, from 0
 *              on, is its tier slot
 *   D, Dv, P   dimensions of a key, of a value; token slots of a page
 *   heads      query heads, kv_heads * heads_per_kv of them: query head h reads KV head
 *              h / heads_per_kv
 *   arena      the memory that pages lie in, addressed in units of SPHKV_UNIT_BYTES
 *   page       P slots of one tier for one KV head, a run of units; where KV heads share
 *              lists, kv_heads of these one behind the other, its sub-pages: that of KV
 *              head h begins h * units behind the first (sphkv_page_info)
 *   reference  64 bits: where a page lies, its tier slot, how many of its slots hold tokens
 *   list       the references that one KV head (or all of a sequence) attends to
 *   LSE        ln of the sum of exp(logit), natural logarithm, by which attention over
 *              disjoint sets of tokens is joined
 *
 * Conventions: every struct that is passed by itself starts with `size` (items, and
 * structs within others, do not), set by the caller to sizeof of the struct it was
 * compiled with, also where the library fills it in; bytes beyond what the library knows
 * must be zero, else SPHKV_EINVAL; words named reserved are 0. So zero-initialise and
 * fill. Strides are in elements unless a name
 * says bytes; one that is 0 is that of a contiguous tensor, whatever the others are.
 * Shapes are written with the slowest dimension first. What args point at is the
 * caller's, read or written during the run only. Nothing here prints, exits or keeps a
 * global. All memory is the caller's unless a comment says otherwise. An out parameter
 * is NULL after a failure; functions that free take NULL. */
#ifndef SPHKV_H
#define SPHKV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SPHKV_API __attribute__((visibility("default")))
#else
#define SPHKV_API
#endif

#define SPHKV_FORMAT_VERSION 1u /* pages and codebook sets */
/* The args structs and kernel parameters. What grows at the end of a struct keeps it:
 * `size` says who knows of it, and zeros mean what they did before. */
#define SPHKV_ARGS_VERSION 3u
#define SPHKV_UNIT_BYTES 128u   /* the arena is addressed in these */
#define SPHKV_MAX_TIERS 4u
#define SPHKV_MAX_HEADS_PER_KV 128u

typedef enum sphkv_status {
    SPHKV_OK = 0,
    SPHKV_EINVAL = 1,       /* the caller's input is wrong; the message says where */
    SPHKV_ENOMEM = 2,       /* an allocation failed; nothing was changed */
    SPHKV_EUNSUPPORTED = 3, /* valid, but no kernel does it; the missing thing is named */
    SPHKV_ENOTFOUND = 4,    /* a file, record or name is not there */
    SPHKV_EIO = 5,          /* the operating system refused a read or write */
    SPHKV_EDB = 6,          /* a database is damaged, foreign or too new */
    SPHKV_ECOMPILE = 7,     /* a compiler refused or is not available */
    SPHKV_EVERIFY = 8,      /* a kernel's result was wrong */
    SPHKV_EDEVICE = 9,      /* device or back end not available */
    SPHKV_EINTERNAL = 10    /* a defect in sphkv */
} sphkv_status;

/* Where the details of a failure go: one line, no newline, cut when it is too long. It
 * says something only after a call that failed. Owned by the caller; may be NULL. */
typedef struct sphkv_error {
    sphkv_status status;
    char message[504];
} sphkv_error;

/* ---- what is computed ------------------------------------------------- */

/* The mix that a kernel takes. */
typedef enum sphkv_mix {
    SPHKV_MIX_ANY,   /* one to four tiers, each page is of one of them */
    SPHKV_MIX_DENSE, /* one tier, dense: its rows */
    SPHKV_MIX_PAIR,  /* exactly two: the destination, then the dense source */
    SPHKV_MIX_NONE,  /* no pages: head_dim, tiers, page_tokens, layout are ignored */
    SPHKV_MIX_TWO    /* exactly two, of any kind: the destination, then the source */
} sphkv_mix;

/* The fields of a spec that only some kernels read, beside dims, page, layout,
 * mix and accuracy; the rest are ignored. */
enum {
    SPHKV_READS_HEADS = 1, /* heads_per_kv */
    SPHKV_READS_Q = 2,     /* q_dtype */
    SPHKV_READS_OUT = 4,   /* out_dtype */
    SPHKV_READS_IN = 8,    /* in_dtype */
    SPHKV_READS_BOOK = 16,       /* book: it reads codebooks */
    SPHKV_READS_POSITIONS = 32,  /* of variants: positions, which pages have */
    SPHKV_READS_LOGITS = 64,     /* softcap, headscale, window, bias */
    SPHKV_READS_SINK = 128,      /* sink */
    SPHKV_READS_QUERIES = 256    /* queries */
};

/* Every kernel, a row each, in an order that never changes:
 * X(enumerator, name, its mix, what it reads). */
#define SPHKV_KERNELS(X)                                                                   \
    /* lut_build + attention + merge, one pipeline */                                      \
    X(ATTN_DECODE, attn_decode, ANY,                                                       \
      SPHKV_READS_HEADS | SPHKV_READS_Q | SPHKV_READS_OUT | SPHKV_READS_BOOK |             \
          SPHKV_READS_POSITIONS | SPHKV_READS_LOGITS | SPHKV_READS_SINK |                  \
          SPHKV_READS_QUERIES)                                                             \
    /* new rows into dense tail pages */                                                   \
    X(KV_APPEND, kv_append, DENSE, SPHKV_READS_IN | SPHKV_READS_POSITIONS)                 \
    /* dense pages into pages of a coded tier */                                           \
    X(KV_ENCODE, kv_encode, PAIR, SPHKV_READS_BOOK | SPHKV_READS_POSITIONS)                \
    /* whole pages copied: defragment, offload, share */                                   \
    X(PAGE_GATHER, page_gather, ANY, SPHKV_READS_POSITIONS)                                \
    /* attention over disjoint sets of tokens, ours or an engine's, joined */              \
    X(ATTN_MERGE, attn_merge, NONE,                                                        \
      SPHKV_READS_HEADS | SPHKV_READS_IN | SPHKV_READS_OUT | SPHKV_READS_SINK)             \
    /* the work list of attn_decode: which pages each part takes */                        \
    X(ATTN_SCHEDULE, attn_schedule, ANY, SPHKV_READS_POSITIONS)                            \
    /* pages to dense rows of keys and values */                                           \
    X(PAGE_DECODE, page_decode, ANY,                                                       \
      SPHKV_READS_OUT | SPHKV_READS_BOOK | SPHKV_READS_POSITIONS)                          \
    /* attention of many query tokens: chunks of a prefill, what follows a prefix */       \
    X(ATTN_EXTEND, attn_extend, ANY,                                                       \
      SPHKV_READS_HEADS | SPHKV_READS_Q | SPHKV_READS_OUT | SPHKV_READS_BOOK |             \
          SPHKV_READS_POSITIONS | SPHKV_READS_LOGITS | SPHKV_READS_SINK)                \
    /* tokens that stay, gathered into pages of their tier */                              \
    X(TOKEN_COMPACT, token_compact, ANY, SPHKV_READS_POSITIONS)                            \
    /* softmax mass of every slot: which tokens the last queries look at */                \
    X(PAGE_MASS, page_mass, ANY,                                                           \
      SPHKV_READS_HEADS | SPHKV_READS_Q | SPHKV_READS_BOOK | SPHKV_READS_POSITIONS |       \
          SPHKV_READS_LOGITS | SPHKV_READS_SINK)                                           \
    /* pages of one tier into pages of another */                                          \
    X(PAGE_RETIER, page_retier, TWO, SPHKV_READS_BOOK | SPHKV_READS_POSITIONS)

/* SPHKV_ATTN_DECODE = 0, SPHKV_KV_APPEND, SPHKV_KV_ENCODE ... */
typedef enum sphkv_kernel {
#define SPHKV_ROW(id, name, mix, reads) SPHKV_##id,
    SPHKV_KERNELS(SPHKV_ROW)
#undef SPHKV_ROW
    SPHKV_KERNEL_COUNT /* of this header; a library may know more */
} sphkv_kernel;

typedef enum sphkv_dtype { SPHKV_F32 = 0, SPHKV_F16 = 1, SPHKV_BF16 = 2 } sphkv_dtype;

/* The error that is allowed: RMS of ||o - ref|| / ||sum p |v| ||, with o a row of the
 * output, ref the same in double precision, p the probabilities and v the values: exact
 * 1e-5, tight 1e-3 (the default), fast 5e-2. ref is attention over what the pages hold, so
 * the loss of coding is not in it. The rounding of an output in f16 (2^-11) or bf16 (2^-8)
 * comes on top. fast may take elements of f16 keys and values below 2^-14 for 0. */
typedef enum sphkv_accuracy {
    SPHKV_TIGHT = 0,
    SPHKV_EXACT = 1,
    SPHKV_FAST = 2
} sphkv_accuracy;

/* What is compiled into a kernel. Zero-initialise, then fill. A spec may say more
 * than kernels do (dims and pages are multiples of 8 in a spec, of 16 in every
 * kernel so far): sphkv_supported answers. Fields that a kernel does not read
 * are ignored, so one struct serves all of them with its kernel and tiers changed.
 * Kernels that work on the same pages agree on head_dim, value_dim, page_tokens, layout,
 * the variant positions and the tiers of these pages; those that read codebooks on book,
 * too. The text of tiers is the caller's and only read during a call. */
typedef struct sphkv_spec_params {
    uint32_t size;
    uint32_t kernel;       /* sphkv_kernel */
    uint32_t head_dim;     /* D */
    uint32_t value_dim;    /* Dv; 0 = D */
    uint32_t heads_per_kv; /* query heads that share a KV head; 0 = 1 */
    uint32_t page_tokens;  /* P; 0 = 128 */
    const char *tiers;     /* the mix, "good:vi8,kf16:vf16"; for KV_ENCODE
                              exactly two: destination, dense source; for
                              PAGE_RETIER destination, source; for
                              KV_APPEND one dense tier (see sphkv_mix). NULL =
                              that default */
    uint32_t layout;       /* 0 = the layout the CPU kernels want, else 1 + a row of the
                              layout table; sphkv-tune --layouts all says which */
    uint32_t q_dtype, out_dtype, in_dtype; /* sphkv_dtype: queries; output, and rows of
                                              PAGE_DECODE; rows of KV_APPEND, and
                                              sources of ATTN_MERGE */
    uint32_t accuracy;                     /* sphkv_accuracy */
    uint32_t reserved;                     /* not read: was padding */
    uint32_t book;                         /* SPHKV_BOOK_*: what the codebook set holds
                                              beside its codewords */
    uint32_t variants;                     /* SPHKV_VARIANT_* */
} sphkv_spec_params;

/* A codebook set may hold a mean per KV head, a permutation of dimensions, the same for
 * all heads, and an orthogonal transform T. Then coded tiers hold, instead of k,
 *   x = T y,  y[i] = k[perm[i]] - mean[perm[i]],
 * and logit(q, t) = scale * (<T q[perm], x_hat(t)> + <q, mean>): dense tiers are not
 * touched, and dense and coded tokens meet in one softmax. T is any orthogonal matrix
 * [D][D] (transform), one for all KV heads or one each, or, D being a power of two,
 * T[i][j] = (-1)^popcount(i & j) * sign[j] / sqrt(D) with the signs of each KV head
 * (hadamard), which costs log2(D) additions a dimension instead of D multiplications. It
 * is compiled in, so the spec says it; where nothing is coded, or a kernel reads no
 * codebooks, it is ignored. A permutation and a transform ask for tiers that are coded
 * whole or not at all. */
#define SPHKV_BOOK_MEAN 1u
#define SPHKV_BOOK_PERMUTATION 2u
#define SPHKV_BOOK_TRANSFORM 4u
#define SPHKV_BOOK_HADAMARD 8u /* instead of a transform */

/* Variants of attention, any set of them. What none asks for costs nothing; what one
 * needs at run time stands in args (sphkv_attn_args, where the equation is).
 *   softcap    logits through cap * tanh(logit / cap)
 *   sink       a learned logit per query head beside the tokens
 *   headscale  a factor on the logits of each query head
 *   window     a query sees the last tokens only, up to its own
 *   bias       a number per token that is added to its logits
 *   positions  every page stores a u32 per slot, the position of its token, which
 *              masks and windows go by: where tokens were dropped, a token's place in
 *              its list does not tell it. Part of the page format: all kernels of a
 *              cache have it, or none
 *   queries    several query tokens per sequence in one run (speculative decoding) */
#define SPHKV_VARIANT_SOFTCAP 1u
#define SPHKV_VARIANT_SINK 2u
#define SPHKV_VARIANT_HEADSCALE 4u
#define SPHKV_VARIANT_WINDOW 8u
#define SPHKV_VARIANT_BIAS 16u
#define SPHKV_VARIANT_POSITIONS 32u
#define SPHKV_VARIANT_QUERIES 64u
#define SPHKV_MAX_Q_LEN 16u

/* ---- pages (format version 1) ------------------------------------------ */

/* Page reference: arena unit where the page begins (bits 0-31), valid tokens (32-47),
 * 0 to P, in its first slots; tier slot (48-55), flags (56-63, zero so far: refused
 * otherwise). Tokens of a draft that are rejected are cut off here; nothing moves. Several
 * lists may name one page, each with its own number of tokens. */
static inline uint64_t sphkv_page_ref(uint32_t unit, uint32_t tokens, uint32_t tier_slot)
{
    return (uint64_t)unit | (uint64_t)(tokens & 0xffffu) << 32 |
           (uint64_t)(tier_slot & 0xffu) << 48;
}
static inline uint32_t sphkv_ref_unit(uint64_t ref) { return (uint32_t)ref; }
static inline uint32_t sphkv_ref_tokens(uint64_t ref) { return (uint32_t)(ref >> 32) & 0xffffu; }
static inline uint32_t sphkv_ref_tier(uint64_t ref) { return (uint32_t)(ref >> 48) & 0xffu; }

/* Keys before RoPE. A tier whose key ends in p (sharp, thin, g2b4r16sDp, kf16p) holds
 * keys as they are before rotary embedding, and a u32 per slot, the position of its
 * token. Attention rotates keys by it. Queries are after RoPE, as for all tiers, and pages
 * of all tiers meet in one softmax. Shifting a context is a change of positions.
 *
 * The path of a token: kv_append writes it, with its position, into a dense page of such a
 * tier (kf16p, kbf16p, kf32p: the tail of a mix sharp:vi8,kf16p:vf16); kv_encode codes
 * that page and takes positions along. Nothing is rotated on the way, so bits do not
 * depend on the order of arrival. kv_encode does not go between p and other tiers,
 * page_retier does.
 *
 * Of a key of several segments (512@g16b8r16s512+64@kf16p) those are kept before RoPE
 * that end in p. Each is rotated by itself: pairs are of its own dimensions, from its
 * first one on, n of them at most, by the same table. All p tiers of a mix rotate the same
 * dimensions: the model's, as before any permutation or transform. Values from keys (vk)
 * are the key as it is stored, never rotated.
 *
 * The rotation is a table that the engine makes, since how positions are scaled is the
 * model's affair. With n = dims, pair i < n/2 at position x
 *   k'[i] = k[i] c - k[i + n/2] s,  k'[i + n/2] = k[i + n/2] c + k[i] s,
 *   c = table[x * n + i], s = table[x * n + n/2 + i]
 * in the order of the model's dimensions, the mean of the codebook set added before;
 * dimensions from n on stay as they are. The table is not looked at where no tier of the
 * mix is p. On a CPU a position that is not in the table is refused (SPHKV_EINVAL). */
typedef struct sphkv_rope {
    const float *table; /* [positions][dims], aligned to 4 bytes: cosines, then sines */
    uint32_t positions; /* rows of the table; times dims at most 2^30 */
    uint32_t dims;      /* a multiple of 8, 16 to D, or to the least segment that is p; 0 = that */
} sphkv_rope;

/* Size of one page of one tier for one KV head, from the one function that
 * computes every offset. `units` is the page's size in arena units; with
 * shared lists a page is kv_heads of these, one behind the other. The caller sets `size`,
 * the rest is filled in. SPHKV_EINVAL: the spec is wrong, or has no such tier slot. A page
 * needs no preparation: what is in slots that nothing was written to does not matter. */
typedef struct sphkv_page_info {
    uint32_t size;
    uint32_t bytes;           /* used, before rounding to units */
    uint32_t units;           /* allocated */
    double bytes_per_token;   /* all fields, page scales spread over P tokens */
    uint32_t positions;       /* byte where the positions begin, a u32 per slot; 0 = none */
    uint32_t reserved;
} sphkv_page_info;
SPHKV_API sphkv_status sphkv_page_info_get(const sphkv_spec_params *spec, uint32_t tier_slot,
                                           sphkv_page_info *info, sphkv_error *err);

/* Reads a page back to dense rows in double (k: [tokens][D], v: [tokens][Dv];
 * either may be NULL). Plain and slow: for checks, tools and tests; on memory of the host.
 * Keys are the model's, transform and permutation undone and the mean added; those of p
 * tiers as they are before RoPE. tokens: 0 to P.
 * head_codebook: the packed set of this KV head (sphkv_codebook_data + kv_head *
 * head_stride), NULL for dense tiers. page points at the sub-page. */
SPHKV_API sphkv_status sphkv_page_read(const sphkv_spec_params *spec, uint32_t tier_slot,
                                       const void *page, uint32_t tokens,
                                       const void *head_codebook,
                                       double *k, double *v, sphkv_error *err);

/* ---- context ------------------------------------------------------------ */

typedef struct sphkv_context sphkv_context;

typedef void (*sphkv_log_fn)(void *user, const char *line);

typedef struct sphkv_open_params {
    uint32_t size;
    uint32_t flags;      /* SPHKV_OPEN_* */
    const char *db_path; /* user database; NULL = $SPHKV_DB, else
                            $XDG_CACHE_HOME/sphkv/kernels.db, else
                            ~/.cache/sphkv/kernels.db; over the installed ones. Texts
                            are read by sphkv_open only */
    sphkv_log_fn log;    /* one line per warning, from the thread that called; may
                            be NULL (silent) */
    void *log_user;
    const char *device;  /* NULL or "cpu"; "cpu:NAME": with no more than the instructions of
                            that CPU, in LLVM's words ("cpu:x86-64-v3"); "cuda": the device
                            of the CUDA context that is current in this thread; "cuda:N":
                            number N */
} sphkv_open_params;

#define SPHKV_OPEN_NO_JIT 1u    /* never load a compiler */
#define SPHKV_OPEN_READ_ONLY 2u /* never write the database */

/* Opens the databases and identifies the device. params may be NULL. A database
 * that cannot be used is a warning, not an error. Thread-safe afterwards:
 * plans may be created from several threads.
 *
 * A GPU that cannot be had is SPHKV_EDEVICE, with the reason: no driver, no such
 * device, no current context. Code is loaded into the CUDA context that is current
 * when it is of the asked device; else into the device's primary context, which is
 * held until sphkv_close and the last plan are done. A current context that is no
 * primary one must outlive both. */
SPHKV_API sphkv_status sphkv_open(const sphkv_open_params *params, sphkv_context **out,
                                  sphkv_error *err);
/* After its plans, and with no other call on ctx under way; NULL is fine. */
SPHKV_API void sphkv_close(sphkv_context *ctx);

/* Whether a kernel does the spec: SPHKV_OK, or why not, truthfully: SPHKV_EUNSUPPORTED
 * names what is missing, SPHKV_EINVAL what is wrong. Compiles nothing. ctx may be NULL
 * (any CPU). */
SPHKV_API sphkv_status sphkv_supported(const sphkv_context *ctx, const sphkv_spec_params *spec,
                                       sphkv_error *err);

/* ---- codebook sets (of one layer) --------------------------------------- */

/* A set belongs to the coded keys of a mix, in their order; value formats, dense
 * tiers and page size do not matter to it. So the set of good:vi8,kf16:vf16
 * serves both KV_ENCODE and ATTN_DECODE of that mix; a mix of two coded tiers
 * needs a set for attention and one for the KV_ENCODE of each tier (what is made
 * or loaded for a key is the same in all of them). A set never changes: threads, plans
 * and runs may share it, as long as it is not freed. */
typedef struct sphkv_codebook sphkv_codebook;

/* A key with several codes per group (g16b8x2r16sD: two; up to x4) has as many codebooks
 * for each group, and a group is its radius times the sum of their codewords. kv_encode
 * takes the codes one after the other: the nearest codeword to k / r, r the norm of the
 * span, then the nearest to what is left, and so on, ties to the lowest index; the radius
 * is the least-squares one for the sums, <k, c> / <c, c> over the span, never negative.
 * Codewords are unit vectors where a span is one group of one code, and free elsewhere. */

/* Seeded data-free codebooks for the coded tiers of the mix: everything runs
 * with no training. Owned by the caller, freed with sphkv_codebook_free. With the
 * flags of the spec: a mean of zeros; the permutation that puts pairs of RoPE side by
 * side, perm[2i] = i, perm[2i+1] = i + D/2, whatever the groups; a random orthogonal
 * matrix, random signs, of each KV head. */
SPHKV_API sphkv_status sphkv_codebook_default(const sphkv_spec_params *spec, uint32_t kv_heads,
                                              uint64_t seed, sphkv_codebook **out,
                                              sphkv_error *err);
/* k-means on keys [rows][kv_heads][head_dim] f32, contiguous, as the tiers code them
 * (after RoPE; before it for p tiers: a mix that has both is refused, SPHKV_EINVAL), per
 * KV head, tier and group; of several codes per group each codebook on what the ones
 * before it leave. Deterministic for a seed. Keys are not kept; such that are not finite
 * are refused (SPHKV_EINVAL). Of more than 16384 rows, as many are taken evenly. With the
 * flags of the spec: the mean is that of all rows, per KV head, permutation, transform and
 * signs as in sphkv_codebook_default, and what is clustered is what will be coded. */
SPHKV_API sphkv_status sphkv_codebook_train(const sphkv_spec_params *spec, uint32_t kv_heads,
                                            const float *keys, size_t rows, uint64_t seed,
                                            sphkv_codebook **out, sphkv_error *err);
/* One safetensors file serves every mix whose coded keys it holds; its tensors (GROUPS:
 * rows of codes, those of a group side by side):
 *   tier.KEY.segI.codebook  F16 [kv_heads][GROUPS][codes][g], KEY the text of the key
 *   mean F32 [kv_heads][D], permutation I32 [D], transform F32 [D][D] or [kv_heads][D][D],
 *   hadamard F32 [kv_heads][D], signs: each just where the spec says so (SPHKV_EINVAL)
 * and metadata that sphkv_codebook_save writes, a hash of the data included. A transform
 * whose rows are not orthonormal to 1e-3 is refused. SPHKV_ENOTFOUND: no such file, or a
 * key of the mix is not in it; SPHKV_EINVAL: it is damaged, or of another head_dim or
 * number of KV heads; SPHKV_EIO. Saving replaces the file as a whole, or not at all. */
SPHKV_API sphkv_status sphkv_codebook_load(const char *path, const sphkv_spec_params *spec,
                                           uint32_t kv_heads, sphkv_codebook **out,
                                           sphkv_error *err);
SPHKV_API sphkv_status sphkv_codebook_save(const sphkv_codebook *cb, const char *path,
                                           sphkv_error *err);
SPHKV_API void sphkv_codebook_free(sphkv_codebook *cb);
/* The packed set that kernels read, `head_stride` bytes per KV head, `bytes` in all: f16
 * tables, and what the flags name, for the tiers of the spec it was made for. Owned by the
 * set, on the host: for a run on a GPU the engine copies it there. NULL, and 0 bytes, when
 * nothing is coded. head_stride and bytes may be NULL. */
SPHKV_API const void *sphkv_codebook_data(const sphkv_codebook *cb, size_t *head_stride,
                                          size_t *bytes);

/* ---- plan and run ------------------------------------------------------- */

typedef struct sphkv_plan sphkv_plan;

/* The largest shape the plan will meet, and the shape it is chosen for. */
typedef struct sphkv_maxima {
    uint32_t size;
    uint32_t batch;          /* sequences of a run; of kernels with items, items */
    uint32_t kv_heads;       /* KV heads of this plan's arena; kernels with items: 0 = 1 */
    uint32_t pages_per_list; /* longest list; kernels with items do not read it */
    uint32_t parts;          /* most threads that will share one run; 0 = 1 */
    uint32_t context;        /* typical tokens per list, steers the choice only;
                                0 = as many as fit in a list */
    uint32_t q_len;          /* query tokens of a sequence (variant queries), at most
                                SPHKV_MAX_Q_LEN; workspace grows with it; 0 = 1. Of
                                attn_extend: typical ones, any number may come */
} sphkv_maxima;

/* Finds the kernel that fits best (sphkv_plan_describe says which), or takes the default
 * schedule: compiled, checked and kept, which may take seconds. From any thread. The plan
 * is the caller's, for sphkv_plan_destroy once no run of it is under way.
 * SPHKV_EINVAL: spec or maxima are wrong; SPHKV_EUNSUPPORTED: no kernel does it, as
 * sphkv_supported says; SPHKV_ECOMPILE: nothing is stored and there is no compiler (or
 * SPHKV_OPEN_NO_JIT); SPHKV_EVERIFY: what was compiled computes wrongly; SPHKV_EDEVICE;
 * SPHKV_ENOMEM. */
SPHKV_API sphkv_status sphkv_plan_create(sphkv_context *ctx, const sphkv_spec_params *spec,
                                         const sphkv_maxima *maxima, sphkv_plan **out,
                                         sphkv_error *err);
SPHKV_API void sphkv_plan_destroy(sphkv_plan *plan);
/* Bytes of workspace a run needs, 64-byte aligned, zeroed once by the caller
 * before the first run; every run leaves it fit for the next of this plan,
 * not of another: one workspace serves one plan, and one run at a time. May be 0. */
SPHKV_API size_t sphkv_plan_workspace(const sphkv_plan *plan);
/* How many parts a work list of attn_schedule should have for runs of this plan of
 * attn_decode: on a CPU those of the run, at most maxima.parts, which this gives; on a
 * GPU the blocks that a run starts, at most SPHKV_MAX_PARTS. */
SPHKV_API uint32_t sphkv_plan_parts(const sphkv_plan *plan);
/* One line: spec, schedule, and how the look-up matched (exact, near shape,
 * same architecture, default). Valid until the plan is destroyed. */
SPHKV_API const char *sphkv_plan_describe(const sphkv_plan *plan);

/* On a GPU. Specs, plans and args are the same as on a CPU, and so is what a run
 * computes. What differs:
 *   stream  args' `stream` is a CUstream (or cudaStream_t) of the plan's CUDA context;
 *     NULL is the default one. sphkv_run enqueues there and returns: it does not
 *     wait, and results are there when the stream has got so far. CPUs do not read it.
 *   pointers  everything in args that points somewhere, the work list and workspace
 *     included, is the device's (cuMemAlloc, managed or registered memory): the host
 *     reads nothing of it. The args struct itself is host memory, done with when
 *     sphkv_run returns.
 *   checks  that pointers are there and aligned, that sizes, strides and counts fit
 *     the plan's maxima and the buffers. What lies behind pointers is the caller's
 *     promise: that tables and items are as described and stay inside of arenas and
 *     rows, that items do not overlap. A promise that is broken may end as an error of
 *     the device.
 *   capture  a run may be captured in a CUDA graph and replayed. Pointers, counts and
 *     strides are those of the capture; the contents of tables, items and work lists
 *     are read anew by every replay, so contexts grow, within the maxima, without
 *     another capture.
 *   parts  one: maxima.parts is 0 or 1, and sphkv_run is called with part 0 of 1. The
 *     blocks of attn_decode share the pages evenly, or take a part each of a work list
 *     of up to sphkv_plan_parts parts; a list that is not of this run is ignored.
 *   workspace  zeroed once before the first run (cuMemsetD8), as on a CPU. Runs on one
 *     stream follow each other and may share it; on two streams each has its own.
 *   context  the CUDA context that sphkv_open found (see there). sphkv_run makes it
 *     current for the call where it is not. Code stays loaded until sphkv_close: runs
 *     are done by then, and graphs that captured one are not replayed any more.
 *   plans  what never ran on this kind of GPU is checked by sphkv_plan_create: it
 *     launches on the default stream and waits for the context, in managed memory,
 *     so no stream of it may be in the middle of a capture. Where host and device
 *     cannot have such memory at once (WSL), nothing else of the process may run on
 *     the GPU meanwhile. */

/* Page table of a layer: list i is refs[indptr[i] .. indptr[i+1]), sorted by
 * tier slot. lists = batch * lists_per_seq. lists_per_seq is kv_heads
 * (retention per head: list seq * kv_heads + kv_head) or 1 (all heads share the list of
 * their sequence; a page then holds one sub-page per KV head). Within a tier slot the
 * order is the caller's; where tokens are counted (windows, causal masks) it is that of
 * the tokens. Empty lists and partly filled pages are normal. */
typedef struct sphkv_page_table {
    const uint32_t *indptr; /* [lists + 1], never falling */
    const uint64_t *refs;   /* [indptr[lists]], page references */
    uint32_t lists;
    uint32_t lists_per_seq;
} sphkv_page_table;

/* attn_decode: out = softmax(logits) V over all pages of a list,
 * whatever their tiers (paper's ADA). q [batch][q_len][heads][D] in q_dtype, after RoPE,
 * out [batch][q_len][heads][Dv] in out_dtype, heads = kv_heads * heads_per_kv; each of
 * them, and lse, spans less than 4 GiB. Empty list: out 0. In any out_dtype out is
 * aligned to 4 bytes and so is every row: the strides of a 16-bit out are even. A sum
 * beyond f16 becomes infinity there.
 *
 * With x = scale * head_scale[head] * <q, k>, the logit of a token that is seen is
 *   softcap * tanh(x / softcap) + bias[token]
 * where each part stands only if the spec has its variant. A token is seen where
 *   position(token) <= position(query), and, with window,
 *   position(query) - position(token) < window;
 * which tokens have which position:
 *   with positions  what their pages store, and q_positions of the queries;
 *   without         its place in the list, counted over the tokens of the references
 *                   in their order, and the last q_len tokens are the queries' own:
 *                   query i of a list of n tokens is at n - q_len + i, and does not see
 *                   the last q_len - 1 - i. One before the list's beginning sees none.
 * Who sees no token gets out 0 and lse minus infinity.
 * sink: exp(sinks[head]) is added to the sum of exp(logit) once, at the end of a list,
 * with no value: out = sum exp(logit) v / (sum exp(logit) + exp(sink)). It is in lse
 * (of an empty list the sink itself), not in page_ml. sinks NULL leaves it out: for
 * what is joined with other tokens (attn_merge) the last one to join adds it.
 * bias: of a list, so of all its query heads and, where lists are shared, KV heads,
 * indexed like refs: slot t of refs[i] has bias[i * P + t]; only slots of tokens are
 * read. Minus infinity, and NaN, count as -1e30: no weight beside any other token, or
 * beside a sink. Who sees none but such, and has no sink, weighs them alike: out is the
 * mean of their values, and lse, about -1e30, does not tell how many they are.
 *
 * Two more outputs for who asks, each at no extra pass, logits being what
 * enters the softmax (after scale, soft-cap and bias), logarithms natural:
 *   lse [batch][q_len][heads] = ln sum exp(logit) over the tokens that are seen; of
 *     none minus infinity. Of two disjoint lists: the output over both is
 *     the mean of their outputs weighted by exp(lse).
 *   page_ml [refs index][KV head][q_len][heads_per_kv][2], KV heads only where lists
 *     are shared (per head, the list says it): the pair m, l of a page and a
 *     query head: m its largest logit, l = sum exp(logit - m) over the tokens seen.
 *     A page's share of the softmax is l * exp(m - lse). A page with none of them
 *     has m minus infinity and l 0; pairs of references that are in no list
 *     are not touched. Indexed like refs, so indptr[0] need not be 0.
 *
 * A run over some of the KV heads takes all arguments as if it were over all:
 * strides, indices, the table and the plan stay those of all heads. Of the others
 * nothing is read (queries, lists, pages or sub-pages, codebooks) or written. */
typedef struct sphkv_attn_args {
    uint32_t size;
    uint32_t batch;
    const void *q;
    void *out;
    uint32_t q_stride_seq, q_stride_head;     /* elements; 0 = contiguous */
    uint32_t out_stride_seq, out_stride_head; /* elements; 0 = contiguous */
    const void *arena;                        /* 128-byte aligned */
    size_t arena_bytes;
    sphkv_page_table table;
    const void *codebook; /* sphkv_codebook_data of a set made for this mix, aligned
                             to 4 bytes; NULL when the mix is dense */
    size_t codebook_bytes;
    float scale;                    /* on logits; 0 = 1/sqrt(D) */
    uint32_t reserved;
    void *workspace;         /* this plan's, see sphkv_plan_workspace */
    size_t workspace_bytes;
    float *lse;              /* NULL = not wanted */
    float *page_ml;          /* NULL = not wanted */
    uint32_t lse_stride_seq; /* elements; 0 = heads */
    uint32_t kv_head_first;  /* tensor parallel: only the KV heads kv_head_first .. */
    uint32_t kv_head_count;  /* + kv_head_count - 1; 0 = all from the first on */
    uint32_t reserved2;
    const void *schedule;    /* work list of attn_schedule for this table, these KV
                                heads and as many parts; NULL = shares in pages */
    size_t schedule_bytes;
    /* each read by the variant of the spec that is named, else 0 */
    uint32_t q_len;          /* queries: tokens, 1 to maxima.q_len; 0 = 1 */
    uint32_t q_stride_tok, out_stride_tok, lse_stride_tok; /* queries: from token to
                                token, elements; 0 = contiguous, behind all heads */
    uint32_t window;         /* window: tokens that a query sees, its own one of them; at
                                least 1 */
    float softcap;           /* softcap: finite, more than 0 */
    const float *head_scale; /* headscale: [heads], finite */
    const float *sinks;      /* sink: [heads]; minus infinity: this head has none; NULL:
                                left out */
    const float *bias;       /* bias: [refs index][P], natural logarithms as logits are */
    const uint32_t *q_positions; /* positions: [batch][q_len], falling or rising */
    sphkv_rope rope;         /* of a mix with p tiers */
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_attn_args;

/* What the query tokens of attn_extend see of a list. */
#define SPHKV_MASK_CAUSAL 0u /* each its own token and what stands before it */
#define SPHKV_MASK_NONE 1u   /* all of it */

/* attn_extend: attn_decode for many query tokens per sequence: a chunk of a prefill,
 * the tokens behind a prefix that is in the cache, a long draft. Sequence s has the
 * query tokens q_indptr[s] .. q_indptr[s + 1] - 1, as many as it likes, none too:
 *   q [tokens][heads][D], out [tokens][heads][Dv], lse [tokens][heads],
 * heads = kv_heads * heads_per_kv; rows of q that no sequence names are not read, and
 * such rows of out and lse are left alone. Each row is what attn_decode gives for that
 * query over the tokens it sees: softmax(scale <q, k>) V; out 0 and lse minus infinity
 * where it sees none. Logits, sinks and lse of variants are those of attn_args.
 *
 * A token's position is its place in its list, counted over the tokens of the
 * references in their order. With SPHKV_MASK_CAUSAL the last q_len tokens of a list are
 * the queries' own (so their keys and values are appended first): query i of a list of
 * n tokens is at n - q_len + i and sees all tokens up to its own. Where the cache holds
 * only what stood before the queries, SPHKV_MASK_NONE lets all of them see all of it,
 * and attn_merge joins that with the engine's own attention among them, by lse.
 * A window counts from the query's own place; with SPHKV_MASK_NONE query i stands behind
 * the list, at n + i. With the variant positions these say who is seen, as in attn_decode,
 * and the mask is SPHKV_MASK_CAUSAL.
 *
 * Numbers that are not finite in a token reach rows of its list, also such that do not
 * see it. Parts take whole tiles of query tokens, so none waits for another; few query
 * tokens on a long context are better served by attn_decode.
 *
 * On a GPU only the device knows how many query tokens there are. So that q, out and lse
 * span less than 4 GiB is the caller's promise, and the grid and the workspace are those
 * of maxima.q_len, however many tokens come. */
typedef struct sphkv_extend_args {
    uint32_t size;
    uint32_t batch;
    const uint32_t *q_indptr; /* [batch + 1], never falling */
    const void *q;
    void *out;
    uint32_t q_stride_tok, q_stride_head;     /* elements; 0 = contiguous */
    uint32_t out_stride_tok, out_stride_head; /* elements; 0 = contiguous */
    const void *arena;                        /* this and the next five as in attn_args */
    size_t arena_bytes;
    sphkv_page_table table;
    const void *codebook;
    size_t codebook_bytes;
    float scale;                    /* on logits; 0 = 1/sqrt(D) */
    uint32_t mask;                  /* SPHKV_MASK_* */
    void *workspace;
    size_t workspace_bytes;
    float *lse;                     /* NULL = not wanted */
    uint32_t lse_stride_tok;        /* elements; 0 = heads */
    uint32_t kv_head_first, kv_head_count; /* as in attn_args */
    uint32_t reserved;
    sphkv_rope rope;                /* of a mix with p tiers; queries are after RoPE */
    uint32_t window;                /* this and the next five: of variants, as in attn_args */
    float softcap;
    const float *head_scale;
    const float *sinks;
    const float *bias;
    const uint32_t *q_positions;    /* of query tokens, numbered as rows of q are */
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_extend_args;

/* One run of rows that goes into one page of one KV head: rows row ..
 * row+count-1 become slots slot .. slot+count-1 of the page at `unit`. */
typedef struct sphkv_append_item {
    uint32_t unit;     /* of the page; where lists are shared, of the KV head's sub-page */
    uint32_t slot;     /* slot + count is at most P */
    uint32_t count;    /* rows; 0: none */
    uint32_t row;      /* the first */
    uint32_t kv_head;  /* whose rows they are */
    uint32_t reserved;
} sphkv_append_item;

/* kv_append: new rows into dense tail pages: kf32, kf16 or kbf16 with vf32, vf16, vbf16 or
 * vk; numbers are rounded to the nearest, ties to even.
 *   k [rows][kv_heads][D], v [rows][kv_heads][Dv] in in_dtype; v is not read where values
 *     are from keys (vk). That they hold the rows which items name is the caller's promise.
 *     Rows and KV heads span at most 2^32 elements, which a GPU cannot check.
 *   keys of several segments (512@kf16+64@kf32): rows of all D dimensions, each rounded to
 *     the format of its segment; of a p tier or segment before RoPE
 *   positions: of the rows, stored where pages have them: p tiers, the variant positions
 * No two items share a page. Slots that no item names keep what they hold. */
typedef struct sphkv_append_args {
    uint32_t size;
    uint32_t items_count;
    const sphkv_append_item *items;
    const void *k, *v;
    uint32_t k_stride_row, k_stride_head; /* elements; 0 = contiguous */
    uint32_t v_stride_row, v_stride_head;
    void *arena;
    size_t arena_bytes;
    void *workspace;
    size_t workspace_bytes;
    const uint32_t *positions; /* [rows]; p tier or variant positions only, else NULL */
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_append_args;

/* One dense page into one coded page: tokens 0 .. count-1 of the page at
 * src_unit. Slots count .. P-1 of the destination become zeros. */
typedef struct sphkv_encode_item {
    uint32_t src_unit; /* of the KV head's sub-page where lists are shared, as dst_unit */
    uint32_t dst_unit;
    uint32_t count;    /* 0 to P */
    uint32_t kv_head;  /* selects the codebook */
} sphkv_encode_item;

/* kv_encode: a full tail page, or a page of a prefill, into a page of a coded
 * tier; one path, so bits do not depend on the order of arrival. No two items
 * share a destination, and no destination is the source of another. Either may be of
 * several segments, cut alike or not, but a dense segment of the destination lies in one
 * of the source. Positions, which pages of p tiers and of the variant positions have, go
 * along. */
typedef struct sphkv_encode_args {
    uint32_t size;
    uint32_t items_count;
    const sphkv_encode_item *items;
    const void *src_arena;
    size_t src_arena_bytes;
    void *dst_arena; /* may be src_arena; pages must differ */
    size_t dst_arena_bytes;
    const void *codebook; /* as in attn_args, of a set made for this spec's mix */
    size_t codebook_bytes;
    void *workspace;
    size_t workspace_bytes;
    sphkv_rope rope; /* page_retier between p and other tiers; else zeros */
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_encode_args;

/* page_retier: pages of any tier into pages of another, args and items as for kv_encode.
 * With k, v the rows that the source page holds (codeword times radius, code times
 * scale), the destination is what kv_encode makes of them: one path, and what the first
 * coding lost stays lost. Slots count .. P-1 become zeros, positions go along.
 *   codebooks  both tiers are of one set, made for this spec's mix; between coded keys its
 *     mean and permutation stay as they are
 *   RoPE  between a tier that keeps keys before RoPE (p) and one that does not, k is rotated
 *     by the position of its slot in the source page: to what it is after RoPE, or back to
 *     what it was before. This takes args' rope, which no other pair of tiers reads. From
 *     keys after RoPE it takes pages that store positions (variant positions); between two
 *     coded tiers it takes a set without a mean.
 *   values  a destination of vk drops values that the source has
 * On a GPU the workspace holds the numbers of the pages at work; how many these are at once
 * depends on the device, not on the run. */

/* Tokens 0 .. count-1 of one page (sub-page) of one KV head, which become rows row
 * .. row+count-1. */
typedef struct sphkv_decode_item {
    uint32_t unit;      /* of the KV head's sub-page where lists are shared */
    uint32_t tier_slot;
    uint32_t count;     /* 0 to P */
    uint32_t row;       /* the first */
    uint32_t kv_head;   /* selects rows and codebook */
    uint32_t reserved;
} sphkv_decode_item;

/* page_decode: pages of any tiers of the mix to dense rows in the spec's out_dtype:
 * k [rows][kv_heads][D], v [rows][kv_heads][Dv], either may be NULL. Keys are the
 * model's: codeword times radius, transform and permutation undone, the mean added; those
 * of p tiers rotated to what they are after RoPE, or, where rope.table is NULL, left as they
 * are before it. Rows that no item names are left alone; that no two items name the same row
 * of a KV head is the caller's promise. 16-bit rows begin at multiples of 4 bytes. */
typedef struct sphkv_decode_args {
    uint32_t size;
    uint32_t items_count;
    const sphkv_decode_item *items;
    void *k, *v;
    uint32_t k_stride_row, k_stride_head; /* elements; 0 = contiguous */
    uint32_t v_stride_row, v_stride_head;
    uint32_t rows; /* that k and v have: items stay inside */
    uint32_t reserved;
    const void *arena;
    size_t arena_bytes;
    const void *codebook; /* as in attn_args; NULL when the mix is dense, or k is NULL and
                             no tier's values are from keys */
    size_t codebook_bytes;
    void *workspace;
    size_t workspace_bytes;
    sphkv_rope rope;      /* of a mix with p tiers; table NULL: their keys before RoPE */
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_decode_args;

/* One page, with all its sub-pages where lists are shared, that is copied. */
typedef struct sphkv_gather_item {
    uint32_t src_unit;
    uint32_t dst_unit;
    uint32_t tier_slot; /* says how long the page is */
    uint32_t sub_pages; /* that lie one behind the other; 0 = 1 */
} sphkv_gather_item;

/* page_gather: whole pages of any tiers of the mix, as they are, within an arena,
 * between arenas, to and from a buffer: that is an arena too (128-byte aligned)
 * whose pages lie one behind the other. No destination may overlap another, nor
 * the source of any item: refused (SPHKV_EINVAL) before anything is copied; the
 * workspace is used to find out. */
typedef struct sphkv_gather_args {
    uint32_t size;
    uint32_t items_count;
    const sphkv_gather_item *items;
    const void *src_arena;
    size_t src_arena_bytes;
    void *dst_arena; /* may be src_arena */
    size_t dst_arena_bytes;
    void *workspace;
    size_t workspace_bytes;
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_gather_args;

/* A token that stays: slot `slot` of the page at src_unit. */
typedef struct sphkv_compact_token {
    uint32_t src_unit; /* where the page begins; where lists are shared, its first sub-page */
    uint32_t slot;     /* below P */
} sphkv_compact_token;

/* One page that is made: tokens[first .. first+count) become its slots 0 .. count-1. */
typedef struct sphkv_compact_item {
    uint32_t dst_unit;
    uint32_t tier_slot; /* of the page, and of all pages that its tokens come from */
    uint32_t first;
    uint32_t count;     /* up to P; 0: a page of zeros */
} sphkv_compact_item;

/* token_compact: tokens that stay, of pages that lose the others, into full pages of
 * the same tier: the end of a retention step. Who decides which stay has a score per
 * token (page_mass) and writes them down page by page; tokens of a page that follow
 * each other in `tokens` cost one pass together, in any order of slots.
 *
 *   moved as they are  angle codes, half-precision radii, dense keys (kf32 kf16 kbf16),
 *     ki8 and ki4 with their scales, float values (vf32 vf16 vbf16), positions
 *   coded anew  what has a scale per page: radii of 4 and 8 bits, vi8, vf8, kf8 to the
 *     largest scale of the pages that the destination's tokens come from; vi4 to the
 *     least minimum and the range that covers theirs. A code is the nearest: it is off
 *     by half a step of the new scale at most, and by nothing where that is the old one
 *
 * Slots count .. P-1 become zeros, and so is what is between fields. A destination is
 * a page of its own: it overlaps no other, nor any page that a token of the run comes
 * from, which is refused (SPHKV_EINVAL) before anything is written. Sources are only
 * read; a token may be taken more than once. Where lists are shared, pages are
 * `sub_pages` long and all of them are made alike, each with scales of its own. */
typedef struct sphkv_compact_args {
    uint32_t size;
    uint32_t items_count;
    const sphkv_compact_item *items;
    const sphkv_compact_token *tokens; /* [tokens_count], of all items */
    uint32_t tokens_count;
    uint32_t sub_pages;      /* of every page, one behind the other; 0 = 1 */
    const void *src_arena;
    size_t src_arena_bytes;
    void *dst_arena;         /* may be src_arena */
    size_t dst_arena_bytes;
    void *workspace;
    size_t workspace_bytes;
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_compact_args;

/* page_mass: how much of the softmax falls on each slot, the utility signal of a
 * retention: with q [batch][q_len][heads][D], the last q_len queries of sequences whose
 * tokens are all in their lists,
 *   mass [refs index][KV head][P] = sum of exp(logit - lse) over the query heads of the
 *     KV head and the q_len queries; KV heads only where lists are shared (per head,
 *     the list says it); 0 in slots behind a page's tokens
 *   page_mass [refs index][KV head] = its sum over the slots; NULL: not wanted
 * logit and lse are those of attn_decode, with its variants, of which the several
 * queries are always there: query i does not see the last q_len - 1 - i tokens of its
 * list, counted over its references in their order, or, with positions, those of a later
 * one; a token that is not seen has no mass. So the masses of a list add up to query
 * heads times queries that see a token, less the share of sinks, which are in lse.
 *   lse [batch][q_len][heads], read: as attn_decode gives it, of these queries over these
 *     lists, sinks included. NULL: it is found here, by going over the keys once more. Where
 *     there are biases, a given one below -1024 is found anew, too, without its sink: of
 *     tokens that all have a bias of minus infinity it does not tell the number, and so not
 *     their equal shares.
 * Values are not read. Rows of references that are in no list are not touched. KV heads
 * as in attn_args. A list is one part's, so batch times KV heads bound the parts that
 * have work. On a GPU blocks share lists, and each 64 queries are launches of their own:
 * two, or one where lse is given and the spec has no bias. */
typedef struct sphkv_mass_args {
    uint32_t size;
    uint32_t batch;
    const void *q;
    uint32_t q_stride_seq, q_stride_tok, q_stride_head; /* elements; 0 = contiguous */
    uint32_t q_len;          /* any number of queries; 0 = 1 */
    const void *arena;       /* 128-byte aligned */
    size_t arena_bytes;
    sphkv_page_table table;
    const void *codebook;    /* as in attn_args */
    size_t codebook_bytes;
    float scale;             /* on logits; 0 = 1/sqrt(D) */
    uint32_t reserved;
    const float *lse;        /* given, or NULL: found here */
    uint32_t lse_stride_seq, lse_stride_tok; /* elements; 0 = contiguous */
    float *mass;             /* written */
    float *page_mass;        /* written; NULL = not wanted */
    uint32_t kv_head_first, kv_head_count;   /* as in attn_args */
    void *workspace;
    size_t workspace_bytes;
    sphkv_rope rope;                /* of a mix with p tiers; queries are after RoPE */
    uint32_t window;                /* this and the next five: of variants, as in attn_args */
    float softcap;
    const float *head_scale;
    const float *sinks;             /* not read where lse is given */
    const float *bias;
    const uint32_t *q_positions;    /* [batch][q_len] */
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_mass_args;

#define SPHKV_MAX_PARTS 1024u

/* Bytes of a work list at most. */
static inline size_t sphkv_schedule_bytes(uint32_t batch, uint32_t kv_heads, uint32_t parts)
{
    return 64 + ((size_t)parts + 8) / 8 * 32 + ((size_t)batch * kv_heads + parts) * 16;
}

/* attn_schedule: a balanced work list for attn_decode from the page table: lists
 * of a retention per head differ several-fold in length and tiers in bytes, so
 * parts are balanced by the bytes that they read. One list serves all layers
 * whose tables are the same and every run until the table changes; without one,
 * attn_decode shares pages evenly and looks for its share at every run. The spec
 * needs tiers, page and layout as in attn_decode; the plan's maxima as there. */
typedef struct sphkv_schedule_args {
    uint32_t size;
    uint32_t batch;
    sphkv_page_table table;
    uint32_t kv_head_first, kv_head_count; /* as in attn_args */
    uint32_t parts;         /* of the run of attn_decode, 1 to SPHKV_MAX_PARTS */
    uint32_t reserved;
    void *schedule;         /* written; aligned to 64 bytes. Its contents are ours,
                               and checked by who reads them */
    size_t schedule_bytes;  /* at least sphkv_schedule_bytes(batch, KV heads, parts) */
    void *workspace;
    size_t workspace_bytes;
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_schedule_args;

#define SPHKV_MAX_SOURCES 8u

/* Attention over some tokens: out [batch][heads][Dv] in the spec's in_dtype,
 * normalised, and lse [batch][heads] = ln sum exp(logit) over these tokens; minus
 * infinity where there was none, whatever out holds then. */
typedef struct sphkv_merge_source {
    const void *out;
    const float *lse;
    uint32_t out_stride_seq, out_stride_head; /* elements; 0 = contiguous */
    uint32_t lse_stride_seq;                  /* elements; 0 = heads */
    uint32_t reserved;
} sphkv_merge_source;

/* attn_merge: joins attention over disjoint sets of tokens, as attn_decode with
 * lse and an engine's own attention give it: with w_i = exp(lse_i),
 *   out = sum w_i out_i / sum w_i,   lse = ln sum w_i
 * exactly the softmax over all tokens. heads = kv_heads * heads_per_kv of the
 * plan; no token anywhere: out 0, lse minus infinity. With the variant sink, exp(sink)
 * is added to sum w_i once, with no output of its own; sources then leave it out. Query
 * tokens are rows of their own: batch * q_len of them. out is in out_dtype and
 * aligned as in attn_args. out may be the out of a source of the same dtype and
 * strides, and lse the lse of one of the same stride; else neither overlaps what a
 * source holds. More sources are merged in several runs. */
typedef struct sphkv_merge_args {
    uint32_t size;
    uint32_t batch;
    uint32_t sources_count; /* 1 to SPHKV_MAX_SOURCES */
    uint32_t reserved;
    sphkv_merge_source sources[SPHKV_MAX_SOURCES];
    void *out;
    float *lse;             /* NULL = not wanted */
    uint32_t out_stride_seq, out_stride_head; /* elements; 0 = contiguous */
    uint32_t lse_stride_seq;                  /* elements; 0 = heads */
    uint32_t reserved2;
    void *workspace;
    size_t workspace_bytes;
    const float *sinks; /* sink: [heads]; minus infinity: this head has none; NULL: none has */
    void *stream; /* GPU: where the run is enqueued; not read on a CPU */
} sphkv_merge_args;

/* Numbers that are not finite, in queries, rows or pages, crash nothing and are
 * written nowhere else, and what does not read them keeps its bits. attn_decode: a
 * row of output reads its own query and its own list; attn_merge: the same row of
 * its sources; such a row may then hold anything. kv_append: they are converted
 * like others, into their own slot. kv_encode: only finite numbers are stored in
 * coded fields; a NaN becomes some number in its own token, an infinity the largest
 * that fits, at the cost of the precision of what shares a scale with it.
 *
 * Runs part `part` of `parts` (1 <= parts <= maxima.parts) of the plan's
 * kernel on the calling thread; args is the args struct of the plan's
 * kernel, the same for every part. All parts must be called, from any threads,
 * in any order, with no barrier: the last to finish merges, and the result is
 * there when all have returned. A plan never changes: runs with workspaces of
 * their own may overlap. No allocation, no lock, no compile. Args that are wrong
 * are refused (SPHKV_EINVAL, in every part) before anything is written; the
 * status is all that is said. On a GPU SPHKV_EDEVICE, too, where the driver refuses. */
SPHKV_API sphkv_status sphkv_run(const sphkv_plan *plan, const void *args, uint32_t part,
                                 uint32_t parts);

/* A few words for a status, and the version of the library: constant texts, never NULL. */
SPHKV_API const char *sphkv_status_text(sphkv_status status);
SPHKV_API const char *sphkv_version(void);

#ifdef __cplusplus
}
#endif
#endif
