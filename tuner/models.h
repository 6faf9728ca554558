/* models.h - the attention of a model, by name or from the config.json that
 * Hugging Face models carry: heads, which layers see how much, which variants
 * they need, and the sizes of the weights, which decide what a faster attention
 * is worth for a whole token.
 *
 * A config is somebody else's file: every number that is used is checked, and
 * what is missing or absurd gets one clear line. What would give a wrong shape
 * if it were overlooked (heads that differ from layer to layer, a kind of layer
 * that nobody here knows) is refused and not guessed.
 *
 * Layers that see a part of the context are served exactly, though no kernel
 * knows of windows: keys are coded after RoPE and the order of tokens in a page
 * means nothing, so
 * - a sliding window of n tokens is a ring of n slots in dense pages, where the
 *   newest row takes the slot of the one that leaves (kv_append writes any
 *   slot). Dense: codes of a page cannot be replaced row by row;
 * - a chunk is a list that begins at the chunk's first page.
 * A learned sink beside the tokens is a partial of its own, output 0 and LSE the
 * sink: with the LSE of attn_decode, out is multiplied by 1 / (1 + exp(sink - lse)),
 * or attn_merge joins the two; or the spec has the variant sink. */
#ifndef SK_MODELS_H
#define SK_MODELS_H

#include "base.h"

/* Variants of attention that some models need. Soft-cap is one of the kernel
 * (sk_model_variants); a sink may be, and is exact without; no kernel has the others. */
typedef enum sk_need {
    SK_NEED_SOFTCAP = 1 << 0,    /* logits through tanh */
    SK_NEED_SINK = 1 << 1,       /* a learned logit beside the tokens */
    SK_NEED_LATENT = 1 << 2,     /* values are a part of the key, one KV head for all */
    SK_NEED_BIAS = 1 << 3,       /* ALiBi and other biases by distance */
    SK_NEED_SPARSE = 1 << 4,     /* blocks or tokens that a head skips */
    SK_NEED_DUAL_CHUNK = 1 << 5, /* positions that depend on the pair of chunks */
    SK_NEED_CROSS = 1 << 6,      /* a decoder that attends to an encoder's rows */
} sk_need;
#define SK_NEEDS 7u
const char *sk_need_text(sk_need need); /* "soft-capped logits" */

/* The layers of a model that attend alike. */
typedef struct sk_layers {
    uint32_t n;        /* 0 = there are none */
    uint32_t owners;   /* of them, with keys of their own; the rest read another layer's */
    uint32_t kv_heads, head_dim, value_dim;
    uint32_t span;     /* tokens they see: a window or a chunk; 0 = all */
} sk_layers;

/* Sizes of the matrices. hidden 0: not known. */
typedef struct sk_weights {
    uint32_t hidden, vocab;
    bool tied;                /* embedding and head are one matrix */
    uint32_t gates;           /* matrices of a feed-forward block: 3 gated, 2 plain */
    uint32_t dense_layers, intermediate;
    uint32_t moe_layers, experts, active, moe_intermediate; /* routed, per token */
    uint32_t shared_intermediate; /* of the experts that every token uses, together */
} sk_weights;

typedef struct sk_model {
    char name[96];        /* as asked, or the config's model_type */
    uint32_t heads;       /* query heads of a layer */
    sk_layers full, local;
    bool chunked;         /* local: chunks of span tokens, else a window */
    uint32_t cacheless;   /* layers without a growing cache: recurrent, linear, cross attention */
    uint32_t max_context; /* positions it was made for */
    uint32_t needs;       /* sk_need */
    double scale;         /* of the logits; 0 = 1 / sqrt(head_dim) */
    sk_weights weights;
} sk_model;

/* The i-th model that is known by name, NULL behind the last. */
const sk_model *sk_model_get(uint32_t i);

/* A name of the list, or the path of a config.json (whatever ends in .json or
 * holds a slash). SPHKV_EINVAL for an unknown name (the nearest ones are named)
 * and for a config that cannot be right; SPHKV_ENOTFOUND for an absent file;
 * SPHKV_EUNSUPPORTED, with *out filled, for a model that sk_model_served
 * refuses. */
sk_status sk_model_find(const char *name, sk_model *out, sk_err *err);

/* The text of a config.json, text[bytes] being its NUL; `where` names it in
 * messages. SPHKV_EUNSUPPORTED (and *out untouched) for fields whose meaning
 * would change the shape and is not understood; variants stand in out->needs. */
sk_status sk_model_parse(const char *text, size_t bytes, const char *where, sk_model *out,
                         sk_err *err);

/* SPHKV_VARIANT_* that specs of this model have whatever else is asked for. */
uint32_t sk_model_variants(const sk_model *model);

/* OK, or SPHKV_EUNSUPPORTED with everything named that no kernel does. */
sk_status sk_model_served(const sk_model *model, sk_err *err);

/* What a tool tunes for: the layers that see everything, or else the others. */
const sk_layers *sk_model_main(const sk_model *model);

/* "5 full, 29 window 1024, 3 without a cache". */
void sk_model_kinds(const sk_model *model, sk_text *out);
/* How windows, chunks and sinks are served, in one line without a newline;
 * nothing when there are none. */
void sk_model_note(const sk_model *model, sk_text *out);
/* The table of known models, for --model list: for people, or as JSON. */
void sk_models_print(bool json, sk_text *out);

/* Parameters, from the sizes of the matrices (norms and biases are left out, a
 * tenth of a percent at most):
 *   attention   hidden * (heads * (D + Dv)) a layer, + hidden * KV heads * (D + Dv) a layer
 *               with keys of its own
 *   dense       gates * hidden * intermediate
 *   experts     hidden * experts + gates * hidden * (moe_intermediate * experts
 *               + shared_intermediate)
 *   vocabulary  vocab * hidden for the head, and again for the embedding unless tied
 * false when the sizes are not known. */
bool sk_model_parameters(const sk_model *model, double *all);
/* Those that a step of `batch` sequences reads once. The embedding is a look-up
 * of single rows and not counted; of the experts, those that `batch` tokens are
 * expected to choose when all are alike: experts * (1 - (1 - active/experts)^batch). */
bool sk_model_parameters_read(const sk_model *model, uint32_t batch, double *read);

/* Bits per weight of a format: f32 f16 bf16 f8 q8_0 q6_k q5_k q5_0 q4_k q4_0 q3_k
 * q2_k (scales of a block included), or a number such as 4.85. SPHKV_EINVAL. */
sk_status sk_weight_bits(const char *format, double *bits, sk_err *err);

#endif
