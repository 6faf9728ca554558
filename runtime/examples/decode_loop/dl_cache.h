/* dl_cache.h - a paged KV cache on top of sphkv.h: what an engine keeps.
 *
 * Per layer: an arena, a list of page references per sequence and KV head, the
 * codebook sets. For all layers together: the plans, one workspace per plan
 * (layers run one after the other), the threads.
 *
 * The last tier of the mix is the tail: new tokens go there, into one page per
 * list. With a mix of one tier full pages stay where they are; else a full page
 * is coded at once into page p's tier, p % (tiers - 1), so that a mix of several
 * tiers is met in all of them, and the tail page is taken again. A host that
 * keeps some tokens better than others would choose the tier here.
 *
 * Where the tiers of the mix keep keys before RoPE (p: sharp:vi8,kf16p:vf16), rows are
 * appended before it, with their positions, and attention gets a table of rotations.
 *
 * All sequences of a cache are as long as each other: this is a loop, not a
 * server. */
#ifndef DL_CACHE_H
#define DL_CACHE_H

#include "dl_base.h"
#include "dl_team.h"

typedef struct dl_setup {
    const char *tiers;     /* the mix */
    const char *db;        /* path, or NULL */
    bool no_jit;           /* never load a compiler */
    bool verbose;          /* the library's warnings on stderr */
    uint32_t layers, heads, kv_heads, head_dim;
    uint32_t page;         /* tokens per page */
    uint32_t batch;        /* most sequences */
    uint32_t context;      /* most tokens per sequence */
    uint32_t accuracy;     /* sphkv_accuracy */
    uint32_t book;         /* SPHKV_BOOK_*: what codebook sets hold beside codewords */
    double theta;          /* base of RoPE, where keys are kept before it; 0 = 10000 */
} dl_setup;

typedef struct dl_tier {
    char text[64];
    sphkv_page_info info;
    sphkv_plan *encode;       /* NULL for the tail */
    sphkv_spec_params spec;   /* of encode */
    char pair[132];           /* spec.tiers: "this,tail" */
    void *workspace;          /* of encode */
} dl_tier;

typedef struct dl_list {
    uint64_t *refs; /* sorted by tier slot; a tail page, when there is one, is last */
    uint32_t count;
} dl_list;

typedef struct dl_layer {
    uint8_t *arena;
    uint32_t next_unit;          /* never handed out from here on */
    uint32_t *spare;             /* tail pages given back, [lists] */
    uint32_t spares;
    dl_list *list;               /* [lists] */
    uint32_t tokens;             /* of every sequence */
    sphkv_codebook *book;        /* of the mix, for attention; owned */
    sphkv_codebook *tier_book[SPHKV_MAX_TIERS]; /* of "tier,tail"; owned, NULL = book */
} dl_layer;

/* Seconds spent in the library's calls, since dl_cache_reset_clock. */
typedef struct dl_clock {
    double append, encode, attend;
} dl_clock;

typedef struct dl_cache {
    dl_setup setup;
    uint32_t batch;              /* sequences now, at most setup.batch */
    uint32_t lists;              /* batch * kv_heads */
    uint32_t ntiers;
    dl_tier tier[SPHKV_MAX_TIERS];
    sphkv_context *ctx;
    bool before_rope;            /* rows of keys are before RoPE */
    float *rotations;            /* then: [context][head_dim] (dl_rope.h) */
    uint32_t *positions;         /* and those of the rows of a call */
    sphkv_plan *attn, *append;
    sphkv_spec_params attn_spec;
    void *attn_space, *append_space;
    size_t arena_bytes;          /* of one layer */
    uint32_t pages_per_list;
    dl_layer *layer;
    dl_team *team;               /* the caller's */
    uint32_t *indptr;            /* page table of the layer in hand */
    uint64_t *refs;
    sphkv_append_item *append_item;
    sphkv_encode_item *encode_item;
    dl_clock clock;
} dl_cache;

/* Opens the library, makes the plans, maps the arenas. */
sphkv_status dl_cache_open(const dl_setup *setup, dl_team *team, dl_cache *cache, sphkv_error *err);
void dl_cache_close(dl_cache *cache); /* also after a failed open */

/* Forgets all tokens; `batch` sequences from now on. */
void dl_cache_reset(dl_cache *cache, uint32_t batch);

/* `count` new tokens of every sequence: k, v [batch][count][kv_heads][head_dim]
 * f32, k before RoPE when cache->before_rope. Full tail pages are coded on the way. */
sphkv_status dl_cache_append(dl_cache *cache, uint32_t layer, const float *k, const float *v,
                             uint32_t count, sphkv_error *err);

/* One step of attention: q, out [batch][heads][head_dim]. */
sphkv_status dl_cache_attend(dl_cache *cache, uint32_t layer, const float *q, float *out,
                             sphkv_error *err);

/* ---- codebooks, one set per layer (dl_books.c) ---------------------------- */

bool dl_cache_is_coded(const dl_cache *cache); /* whether it needs any */
sphkv_status dl_books_default(dl_cache *cache, uint64_t seed, sphkv_error *err);
/* keys: of one layer, [rows][kv_heads][head_dim] */
sphkv_status dl_books_train(dl_cache *cache, uint32_t layer, const float *keys, size_t rows,
                            uint64_t seed, sphkv_error *err);
/* dir/layer-N.safetensors */
sphkv_status dl_books_load(dl_cache *cache, const char *dir, sphkv_error *err);
sphkv_status dl_books_save(const dl_cache *cache, const char *dir, sphkv_error *err);

/* ---- what is in it (dl_cache_facts.c) ------------------------------------- */

/* Bytes of all pages in use over tokens and KV heads, and the share of tokens
 * that are not in the tail's tier. Both 0 when empty. */
void dl_cache_weigh(const dl_cache *cache, double *bytes_per_token_head, double *coded_share);

/* Tokens of a list of a layer, read back in double: k (after RoPE), v [tokens][head_dim],
 * in the order of the list. Room for setup.context tokens. */
sphkv_status dl_cache_read(const dl_cache *cache, uint32_t layer, uint32_t list, double *k,
                           double *v, uint32_t *tokens, sphkv_error *err);

/* Whether two caches hold the same bits: same lists, same tiers and counts, and
 * every page equal in all its bytes. The error says where not. */
sphkv_status dl_cache_equal(const dl_cache *a, const dl_cache *b, sphkv_error *err);

#endif
