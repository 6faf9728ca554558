/* part_bytes.h - look-up of coded keys by bytes: 8-bit tables, 64 look-ups an
 * instruction, four groups of a token side by side in a 32-bit word, added up by one
 * dot of bytes (lut=byte, class fast); or 14-bit tables (16 bits with a radius per group) as
 * two planes of bytes, each looked up and added by itself (lut=word, classes fast and
 * tight). Pages of whole 64s. Of 16 lanes, worth it where the CPU has VBMI and VNNI; bytes of
 * up to 6-bit codes of 8 lanes, too, on AVX2. part_bytes.c makes the tables,
 * part_bytes_page.c those of a page; part_bytes_logits.c looks up, part_bytes_narrow.c of 8
 * lanes. */
#ifndef SK_PART_BYTES_H
#define SK_PART_BYTES_H

#include "decode.h"

/* What a tier's tables are like, and where the parts of them lie. */
typedef struct sk_bytes {
    uint32_t heads;  /* query heads of a turn */
    uint32_t groups; /* of a key */
    uint32_t words;  /* of four groups; groups beyond the last count nothing */
    bool narrow;     /* 8 lanes (part_bytes_narrow.c) */
    uint32_t stored; /* entries that a group has in the f32 tables */
    uint32_t slots;  /* entries that a group has in a table, 16 to 256: its codes, but
                        whole vectors of them */
    uint32_t planes; /* bytes of an entry */
    uint32_t bits;   /* of an entry in a plane: 8; 7 where two words are added before the dot */
    uint32_t block;  /* narrow: words whose sums fit 16 bits; */
    uint32_t most;   /* the largest weight, 127, is less for it */
    float full;      /* the largest entry: 127, 8191 or about 32767 */
    bool radii;      /* the other factor of the dot is the radius of each group; else
                        a weight of each group and head, the radius comes at the end */
    bool keys;       /* groups of one dimension: tables hold codewords and serve all
                        heads, weights are queries */
    uint32_t row;    /* entries of a row of norms */
    uint32_t weights, units, starts, norms, inverses, floats; /* bytes from the tables on */
    uint32_t bytes;  /* of it all */
} sk_bytes;

/* False where the form does not fit the tier. */
bool sk_bytes_get(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot, sk_bytes *out);
/* Bytes of a page's own tables and units, where radii of groups are scaled by page; and of
 * the words of 64 tokens, of 8 lanes. */
uint32_t sk_bytes_page(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Bytes of a plane of the table of a head for one word, of all planes; heads that have
 * one. */
static inline uint32_t sk_bytes_plane(const sk_bytes *t) { return 4 * t->slots; }
static inline uint32_t sk_bytes_table(const sk_bytes *t) { return t->planes * sk_bytes_plane(t); }
static inline uint32_t sk_bytes_tables(const sk_bytes *t) { return t->keys ? 1 : t->heads; }

/* Words that are looked up together, and whose groups share their weights. */
static inline uint32_t sk_bytes_pair(const sk_bytes *t) 
{
    return t->planes == 2 && t->bits == 7 ? 2 : 1;
}

static inline uint32_t sk_bytes_page_units(const sk_bytes *t)
{
    return t->words * t->heads * sk_bytes_table(t);
}
/* Where words of 64 tokens begin: what one of four groups takes. */
#define SK_BYTES_WORD 256u
static inline uint32_t sk_bytes_words_at(const sk_bytes *t)
{
    return t->radii ? sk_bytes_page_units(t) + (t->heads * t->row * 4 + 63) / 64 * 64 : 0;
}

void sk_bytes_build(sk_dec *c, uint32_t tier_slot, sk_val cb, sk_val lut);
/* Steps of its loop in which the logits of a full page can ask for lines. */
uint32_t sk_bytes_steps(const sk_dec *c, uint32_t tier_slot);
void sk_bytes_logits(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                     sk_val limit, sk_val lut, sk_val next);

/* Logits of a page as they are made, of 8 lanes or 16. */
typedef struct sk_bytes_loop {
    const sk_bytes *t;
    const sk_segment *seg;
    const sk_seg_layout *lay;
    uint32_t tier_slot;
    sk_val page, lut;
    sk_val entries;  /* tables of bytes: of the item, or of the page */
    sk_val t0, word; /* the 64 tokens, the four groups */
    /* of 8 lanes, in scratch: */
    sk_val words;    /* indices of 64 tokens */
    sk_val radii;    /* the same, of words of radii */
    /* of 16 lanes: */
    uint32_t shares, share; /* of heads that are added up together; which one */
    uint32_t nv;     /* vectors of 64 tokens: 4; or of halves 2, */
    uint32_t half;   /* the half-th and the one two behind it */
} sk_bytes_loop;
/* Of 16 lanes: the i-th vector of 16 tokens at work, of the 64. */
#define SK_BYTES_VECTORS 4u
static inline uint32_t sk_bytes_vector(const sk_bytes_loop *l, uint32_t i)
{
    return l->nv == SK_BYTES_VECTORS ? i : l->half + 2 * i;
}
/* Indices of the word's codes: words of four groups, pairs where a group has 64 slots, else
 * groups as they are; radius codes of four groups in one word (part_bytes_index.c). */
void sk_bytes_indices(sk_dec *c, const sk_bytes_loop *l, sk_val index[SK_BYTES_VECTORS]);
void sk_bytes_radii(sk_dec *c, const sk_bytes_loop *l, sk_val radii[SK_BYTES_VECTORS]);
/* Of blocks of row 1 (layout.h) in two steps: bytes of two codes, of vectors n and
 * n + nv / 2; indices of them. */
void sk_bytes_blocked(sk_dec *c, const sk_bytes_loop *l, sk_val both[SK_BYTES_VECTORS / 2]);
void sk_bytes_of_blocked(sk_dec *c, const sk_bytes_loop *l, const sk_val both[SK_BYTES_VECTORS / 2],
                         sk_val index[SK_BYTES_VECTORS]);
/* Group k of the word; beyond the last the last, which weights take out. */
sk_val sk_bytes_group(sk_dec *c, const sk_bytes_loop *l, uint32_t k);
/* What sums of head h are of. */
sk_val sk_bytes_unit(sk_dec *c, const sk_bytes_loop *l, uint32_t h);

/* Parts of it. Tables of a page, and units of its sums, from tables in halves. */
void sk_bytes_page_tables(sk_dec *c, const sk_bytes *t, const sk_segment *seg,
                          const sk_seg_layout *lay, sk_val page, sk_val lut);
/* Bytes of four groups, 4W tokens each, become pairs of bytes: groups 0 and 1 of the first
 * and of the last tokens, then 2 and 3; and pairs words of all four. */
void sk_bytes_zip8(sk_builder *b, sk_val x[4]);
void sk_bytes_zip16(sk_builder *b, sk_val x[4]);
/* All of it, of 8 lanes. */
uint32_t sk_bytes_narrow_steps(const sk_dec *c, const sk_bytes *t);
void sk_bytes_narrow_logits(sk_dec *c, sk_bytes_loop *l, sk_val limit, sk_val next);

#endif
