/* tile_impl.h - what the parts of tiles share; see tile.h. Private to tile*.c. */
#ifndef SK_TILE_IMPL_H
#define SK_TILE_IMPL_H

#include "tile.h"

#define SK_TILE_MOST 4  /* tiles of a slab */
#define SK_TILE_WARPS 8 /* of a block, at most */
#define SK_TILE_STAGES 4

/* Queries as factors: what they are made of, and the order of dimensions. A tier's
 * keys say which; each is made once where a tier of the mix needs it. */
typedef enum sk_tile_query {
    SK_FACTORS_CODED, /* halves; dimensions in pairs, as the codebook set has them */
    SK_FACTORS_DENSE, /* halves; dimensions 4 apart: a word of a key is of one dimension */
    SK_FACTORS_BF16,  /* the same as bfloat16s */
    SK_QUERIES
} sk_tile_query;

struct sk_tile {
    sk_dec *c;
    const sk_tile_work *work;
    uint32_t warps, slab, stages;
    uint32_t tiles;  /* of 16 tokens, in a slab */
    uint32_t steps;  /* of 16 dimensions, in a key */
    uint32_t blocks; /* of 16 channels, in a value */
    uint32_t nt;     /* columns are so many times 8 query heads */
    /* scratch: addresses */
    sk_val query[SK_QUERIES]; /* as factors; those that some tier needs */
    sk_val norm;         /* [16] by head: what queries were multiplied by, */
    sk_val unit;         /* [16] what their logits are multiplied by, */
    sk_val mean;         /* [16] and <q, mean>, both in log2 units */
    sk_val book[SK_MAX_TIERS]; /* codewords */
    sk_val ring;         /* this warp's staged slabs */
    sk_val pairs;        /* [warps][16] bases, then [warps][16] sums */
    /* values */
    sk_val warp, g, t;   /* lane = 4 g + t */
    sk_val unit_of[2][2], mean_of[2][2]; /* of the heads of this lane's columns */
    sk_val base[2][2];   /* variables: what probabilities are relative to, log2 */
    sk_val sum[2];       /* variables: quads of sums of probabilities */
    sk_val acc[2][16];   /* variables: quads of unnormalised output */
    sk_val page_m[2][2], page_l[2][2]; /* variables: the page's statistics so far */
    sk_val wants_ml;     /* predicate of block scope */
};

/* A field from the slab's first token on. */
typedef struct sk_tile_field {
    sk_val at;       /* address */
    uint32_t stride; /* bytes between its rows: groups, spans, blocks of channels .. */
} sk_tile_field;

/* The fields of a page. */
enum {
    SK_FIELD_RSCALE, SK_FIELD_RADIUS, SK_FIELD_CODE,
    SK_FIELD_KSCALE, SK_FIELD_KEY,
    SK_FIELD_VSCALE, SK_FIELD_VMIN, SK_FIELD_VALUE,
    SK_FIELDS
};

typedef struct sk_slab {
    uint32_t tier;
    const sk_segment *seg;
    sk_page_layout lay;
    sk_val left;     /* valid tokens from its first on */
    sk_val half;     /* blocked codes, slabs of 32: which half of the block, times 4 */
    bool blocked;    /* codes stand in blocks of 64 tokens (layout.h, row 1) */
    sk_tile_field field[SK_FIELDS]; /* those that the tier has */
} sk_slab;

/* Slabs (tile_slab.c). Tokens t0 .. t0+slab-1 of a page of tier k, `count` of which
 * are valid; staged: address of its copy, where schedules stage. */
sk_slab sk_tile_slab(sk_tile *t, uint32_t k, sk_val page, sk_val t0, sk_val count, sk_val staged);
/* Begins to copy it. */
void sk_tile_copy(sk_tile *t, uint32_t k, sk_val page, sk_val t0, sk_val staged);
uint32_t sk_tile_staged_bytes(const sk_spec *spec, const sk_schedule *sched); /* of any tier */
uint32_t sk_tile_key_bytes(uint32_t kind);   /* of a row: 16 tokens of one dimension */
uint32_t sk_tile_value_bytes(uint32_t kind); /* of 16 channels of one token */

/* The 16 rows of tile i hold, from the slab's first token on:
 *   row g:     sk_tile_base + 2 * (g/2) + step * (g%2)
 *   row g + 8: the token behind it
 * with a step of 8, or of 16 where codes are blocked: there a lane's word holds
 * tokens that far apart. So a lane has pairs of tokens, as values are stored, and
 * a value's factors come from 4 pairs side by side. */
static inline uint32_t sk_tile_step(const sk_slab *s) { return s->blocked ? 16 : 8; }
static inline uint32_t sk_tile_base(const sk_tile *t, const sk_slab *s, uint32_t i)
{
    if (!s->blocked) return 16 * i;
    return t->slab == 64 ? 32 * (i & 1) + 8 * (i >> 1) : 8 * i;
}
/* The lane's token of tile 0, row g. */
static inline sk_val sk_tile_row(sk_tile *t, const sk_slab *s)
{
    const sk_val far = sk_mul(t->c, sk_and(t->c, t->g, 1), sk_tile_step(s));
    return sk_add(t->c, sk_and(t->c, t->g, ~1u), far);
}

bool sk_tile_blocked(const sk_spec *spec, uint32_t tier_slot);

/* Queries (tile_query.c), by the whole block; barriers are the caller's: norms
 * first, then factors. */
sk_tile_query sk_tile_query_of(const sk_spec *spec, uint32_t tier_slot);
bool sk_tile_needs_query(const sk_spec *spec, uint32_t query);
uint32_t sk_tile_query_bytes(const sk_spec *spec, uint32_t query);
void sk_tile_norms(sk_tile *t);
void sk_tile_queries(sk_tile *t, uint32_t query);
/* Factors b0, b1 of step s, columns n; low: what rounding left, or SK_NONE. */
typedef struct sk_tile_factor {
    sk_val b[2], low[2];
} sk_tile_factor;
sk_tile_factor sk_tile_factors(sk_tile *t, uint32_t query, uint32_t s, uint32_t n);
/* Bytes between the factors of an even step and those of `steps` steps, an even
 * number, behind it. */
uint32_t sk_tile_factor_bytes(const sk_tile *t, uint32_t query, uint32_t steps);
/* sum + a (a quad of factors) times queries. */
sk_val sk_tile_multiply(sk_tile *t, sk_val a, const sk_tile_factor *f, sk_val sum, bool bf16);

/* Codewords (tile_book.c). */
uint32_t sk_tile_book_bytes(const sk_spec *spec, uint32_t tier_slot);
void sk_tile_books(sk_tile *t);

/* Small numbers as halves (tile_halves.c). */
sk_val sk_tile_int8(sk_tile *t, sk_val x, uint32_t r);
sk_val sk_tile_float8(sk_tile *t, sk_val x, uint32_t r);
sk_val sk_tile_int4(sk_tile *t, sk_val x, uint32_t r, uint32_t less);

/* Logits in log2 units (tile_keys.c, tile_dense.c): x[n][tile][k], k as of the
 * accumulators of a product: rows g, g, g+8, g+8, columns 2t, 2t+1, 2t, 2t+1. */
typedef sk_val sk_tile_logit[2][SK_TILE_MOST][4];
void sk_tile_logits(sk_tile *t, const sk_slab *s, sk_tile_logit x);
void sk_tile_logits_dense(sk_tile *t, const sk_slab *s, sk_tile_logit x);
/* x += r * sum, row by row; r[0], r[1]: of rows g, g+8; first: x is not set yet. */
void sk_tile_fold(sk_tile *t, sk_val sum, const sk_val r[2], bool first, sk_val x[4]);

/* Probabilities (tile_softmax.c): factors of the value product, per columns and
 * tile: words b0, b1, and their lower parts where values are bfloat16. Also keeps base,
 * sum, acc; slab_sum: quads of the slab's own sums. */
typedef struct sk_tile_probs {
    sk_val b[2][SK_TILE_MOST][2], low[2][SK_TILE_MOST][2];
    sk_val slab_sum[2];
} sk_tile_probs;
void sk_tile_softmax(sk_tile *t, const sk_slab *s, sk_tile_logit x, sk_tile_probs *p);
void sk_tile_page_begin(sk_tile *t);
void sk_tile_page_end(sk_tile *t, sk_val ref);

/* acc += values * probabilities (tile_values.c). */
void sk_tile_values(sk_tile *t, const sk_slab *s, const sk_tile_probs *p);

/* The warps' streams become one (tile_end.c). */
void sk_tile_end(sk_tile *t);
uint32_t sk_tile_end_bytes(const sk_spec *spec, const sk_schedule *sched);

/* ---- small words --------------------------------------------------------------- */

static inline sk_val sk_zero_quad(sk_tile *t)
{
    const sk_val z = sk_ir_f32(t->c->b, 0.0f);
    return sk_ir_quad(t->c->b, z, z, z, z);
}
static inline sk_val sk_quad_float(sk_tile *t, sk_val quad, uint32_t k)
{
    return sk_ir_1(t->c->b, SK_OP_FLOAT, sk_ir_word(t->c->b, quad, k));
}
static inline sk_val sk_prmt(sk_tile *t, sk_val x, sk_val y, uint32_t sel)
{
    return sk_ir_prmt(t->c->b, x, y, sk_k(t->c, sel));
}
/* Gathers from a field: lane offset + disp. */
static inline sk_val sk_tile_load(sk_tile *t, sk_ld_kind kind, sk_val at, sk_val off, uint32_t disp)
{
    return sk_ir_ldg(t->c->b, kind, at, off, disp, SK_NONE);
}

#endif
