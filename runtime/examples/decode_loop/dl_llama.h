/* dl_llama.h - a decoder of Llama form whose tokens are bytes: RMSNorm, RoPE
 * that rotates halves, grouped queries, SwiGLU, in f32; attention is the
 * cache's. Read from config.json and model.safetensors as Hugging Face writes
 * them. Sequences run side by side, so that weights are read once per step. */
#ifndef DL_LLAMA_H
#define DL_LLAMA_H

#include "dl_cache.h"

#define DL_VOCABULARY 256u

typedef struct dl_llama_layer {
    const float *norm1, *q, *k, *v, *o, *norm2, *gate, *up, *down; /* inside weights */
} dl_llama_layer;

typedef struct dl_llama {
    uint32_t hidden, inner, layers, heads, kv_heads, head_dim, positions;
    double epsilon, theta;
    float *weights; /* all of them */
    dl_llama_layer *layer;
    const float *embed, *norm, *head;
    float *rotations; /* [positions][head_dim] (dl_rope.h) */
} dl_llama;

sphkv_status dl_llama_open(const char *dir, dl_llama *m, sphkv_error *err);
void dl_llama_close(dl_llama *m); /* also after a failed open */

/* Takes the keys of a step, before RoPE: [batch][kv_heads][head_dim]. */
typedef void (*dl_key_sink)(void *user, uint32_t layer, uint32_t position, uint32_t batch,
                            const float *k);

/* What a step needs beside the model; buffers are [batch][...]. */
typedef struct dl_stepper {
    const dl_llama *m;
    dl_cache *cache;
    dl_team *team;
    float *x, *n, *q, *k, *v, *o, *gate, *up, *logits;
    dl_key_sink sink; /* may be NULL */
    void *user;
} dl_stepper;

sphkv_status dl_stepper_open(const dl_llama *m, dl_cache *cache, dl_team *team, uint32_t batch,
                             dl_stepper *s, sphkv_error *err);
void dl_stepper_close(dl_stepper *s);

/* One byte of every sequence of the cache: appends, attends, fills logits
 * [batch][256]. */
sphkv_status dl_stepper_run(dl_stepper *s, const uint8_t *bytes, uint32_t position,
                            sphkv_error *err);

/* Minus the logarithm of the share that logits give to a byte. */
double dl_nats(const float *logits, uint8_t byte);

/* The same model in double over one text with attention as it is written in a
 * book: nats of each of bytes[1] .. bytes[count], summed. bytes has count + 1. */
sphkv_status dl_llama_reference(const dl_llama *m, dl_team *team, const uint8_t *bytes,
                                uint32_t count, double *nats, sphkv_error *err);

#endif
