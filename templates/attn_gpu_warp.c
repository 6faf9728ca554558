/* attn_gpu_warp.c - form "warp" of attn_decode on a GPU: a block is one warp, and its
 * pages go through the parts that a CPU runs, with as many lanes as their page layouts
 * allow (ir_widen.c makes 32 of them). It serves every spec; where tensor cores can
 * do the work, form "tile" is what is meant to be fast.
 *
 * The parts read an item from scratch, which the block writes here for itself. The
 * scratch of large heads, or its tables, may lie in global memory (tunable room). */
#include "attn_gpu.h"

/* Tokens and channels at a time change little for a warp that waits for memory: those
 * that any page takes. */
void sk_warp_inner(const sk_spec *spec, sk_schedule *out)
{
    const sk_target vectors = {.backend = SK_BACKEND_CPU, .vector_bits = 512};
    for (int32_t w = 16; w >= 4; w /= 2) {
        for (int32_t vtok = 2; vtok >= 1; vtok--) {
            sk_schedule_begin(SK_BACKEND_CPU, out);
            out->v[SK_T_w] = w;
            out->v[SK_T_ktok] = 1;
            out->v[SK_T_vch] = w < 16 && sk_dec_turn_heads(spec) > 8 ? 8 : 16;
            out->v[SK_T_vtok] = vtok;
            out->v[SK_T_spread] = sk_tunable_value(SK_T_spread, 0);
            if (sk_attn_valid(spec, out, &vectors, NULL) == SPHKV_OK) return;
        }
    }
}

/* ---- where scratch lies ---------------------------------------------------------- */

typedef struct room {
    int32_t rule;       /* SK_ROOM_* */
    sk_warp_room taken; /* so far */
    sk_val tables;      /* of this block */
    sk_val queries;     /* what its query tokens have of their own, the first one's */
    bool several;       /* query tokens */
} room;

static bool outside(const room *r, const sk_dec_area *area)
{
    return r->rule == SK_ROOM_GLOBAL || (r->rule == SK_ROOM_TABLES && area->table);
}

static uint32_t *count(room *r, const sk_dec_area *area)
{
    if (r->several && area->query) return &r->taken.query;
    return outside(r, area) ? &r->taken.tables : &r->taken.scratch;
}

/* Only adds up. */
static sk_val measure(sk_dec *c, const sk_dec_area *area, void *user)
{
    (void)c;
    *count(user, area) += sk_ir_area_bytes(area->bytes);
    return 0;
}

static sk_val place(sk_dec *c, const sk_dec_area *area, void *user)
{
    room *r = user;
    uint32_t *taken = count(r, area);
    const uint32_t at = *taken;
    *taken += sk_ir_area_bytes(area->bytes);
    const sk_val v = taken == &r->taken.query    ? sk_ir_ptr_add(c->b, r->queries, sk_k(c, at), 1)
                     : taken == &r->taken.tables ? sk_ir_ptr_add(c->b, r->tables, sk_k(c, at), 1)
                                                 : sk_ir_shared(c->b, area->bytes);
    return sk_ir_name(c->b, v, area->name);
}

static bool several(const sk_spec *spec) { return (spec->variants & SPHKV_VARIANT_QUERIES) != 0; }

uint32_t sk_grid_scratch(const sk_spec *spec)
{
    return sk_ir_area_bytes(sk_item_words(spec) * 4) + sk_ir_area_bytes(SK_DEAL_WORDS * 4);
}

sk_warp_room sk_warp_room_of(const sk_spec *spec, const sk_schedule *sched, uint32_t own)
{
    sk_schedule inner;
    sk_dec dec;
    sk_warp_inner(spec, &inner);
    sk_dec_init(&dec, NULL, spec, &inner);
    room r = {.rule = sched->v[SK_T_room], .several = several(spec)};
    r.taken.scratch = own;
    sk_dec_areas(&dec, measure, &r);
    return r.taken;
}

void sk_warp_begin(sk_grid *g, const sk_schedule *sched)
{
    sk_dec *c = g->c;
    const sk_warp_room whole = sk_warp_room_of(c->spec, sched, 0);
    room r = {.rule = sched->v[SK_T_room], .several = several(c->spec)};
    r.tables = sk_ir_ptr_add(c->b, c->tables, g->block, whole.tables);
    if (r.several) {
        const sk_val first = sk_ir_2(c->b, SK_OP_MUL, g->block, c->var.q_len);
        const sk_val all = sk_ir_ptr_add(c->b, c->tables, g->blocks, whole.tables);
        r.queries = sk_ir_ptr_add(c->b, all, first, whole.query);
    }
    sk_dec_areas(c, place, &r);
}

/* ---- a piece ------------------------------------------------------------------------ */

static void put(sk_grid *g, uint32_t word, sk_val x)
{
    sk_ir_stu(g->c->b, g->c->item, g->c->zero, word * 4, x);
}

/* Where the tiers of the piece begin: references are sorted by tier slot, so tier k
 * begins behind all of lower ones. */
static void put_tiers(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const uint32_t n = c->spec->ntiers;
    sk_val lower[SK_MAX_TIERS];
    put(g, SK_ITEM_TIER, piece->lo);
    put(g, SK_ITEM_TIER + n, piece->hi);
    if (n == 1) return;
    for (uint32_t k = 1; k < n; k++) lower[k] = sk_ir_var(b, SK_LANE, c->zero);
    const sk_val i0 = sk_ir_for(b, piece->lo, piece->hi, c->w);
    const sk_val inside = sk_ir_2(b, SK_OP_ULT, sk_add(c, i0, c->lane), piece->hi);
    const sk_val tier = sk_ir_ldg(b, SK_LD_U8, sk_ir_ptr_add(b, g->refs, i0, 8),
                                  sk_shl(c, c->lane, 3), 6, inside);
    for (uint32_t k = 1; k < n; k++) {
        const sk_val below = sk_ir_2(b, SK_OP_PAND, inside, sk_ir_2(b, SK_OP_ULT, tier, sk_k(c, k)));
        const sk_val one = sk_sel(c, below, sk_k(c, 1), c->zero);
        sk_ir_set(b, lower[k], sk_add(c, sk_ir_get(b, lower[k]), one));
    }
    sk_ir_end(b);
    for (uint32_t k = 1; k < n; k++)
        put(g, SK_ITEM_TIER + k,
            sk_add(c, piece->lo, sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, lower[k]))));
}

/* Tokens of the list before the piece, and of the whole list. */
static void put_tokens(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_grid_list l = sk_grid_pair(g, piece->pair);
    const sk_val before = sk_ir_var(b, SK_LANE, c->zero), all = sk_ir_var(b, SK_LANE, c->zero);
    const sk_val i0 = sk_ir_for(b, l.begin, l.end, c->w), i = sk_add(c, i0, c->lane);
    const sk_val inside = sk_ir_2(b, SK_OP_ULT, i, l.end);
    const sk_val n = sk_ir_ldg(b, SK_LD_U16, sk_ir_ptr_add(b, g->refs, i0, 8),
                               sk_shl(c, c->lane, 3), 4, inside);
    const sk_val early = sk_sel(c, sk_ir_2(b, SK_OP_ULT, i, piece->lo), n, c->zero);
    sk_ir_set(b, before, sk_add(c, sk_ir_get(b, before), early));
    sk_ir_set(b, all, sk_add(c, sk_ir_get(b, all), n));
    sk_ir_end(b);
    put(g, SK_ITEM_BEFORE, sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, before)));
    put(g, SK_ITEM_TOKENS, sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, all)));
}

/* What variants read of an item before it ends. */
static void put_variants(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    if (sk_dec_counts(c->spec)) put_tokens(g, piece);
    if (!sk_dec_has(c, SPHKV_VARIANT_POSITIONS)) return;
    const bool many = sk_dec_has(c, SPHKV_VARIANT_QUERIES) || c->spec->kernel == SPHKV_PAGE_MASS;
    put(g, SK_ITEM_QUERY,
        many ? sk_ir_2(c->b, SK_OP_MUL, piece->seq, c->var.q_len) : piece->seq);
}

void sk_warp_item(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val rows = sk_ir_2(b, SK_OP_MUL, sk_mul(c, piece->head, c->heads), c->q_stride);
    put(g, SK_ITEM_Q, sk_add(c, sk_ir_2(b, SK_OP_MUL, piece->seq, g->q_seq), rows));
    put(g, SK_ITEM_HEAD, piece->head);
    put_tiers(g, piece);
    for (uint32_t k = 0; k < c->spec->ntiers; k++)
        put(g, SK_ITEM_UNITS + k, sk_grid_units(g, piece, k));
    const sk_grid_statistics ml = sk_grid_statistics_of(g, piece);
    put(g, SK_ITEM_ML_STEP, ml.step);
    put(g, SK_ITEM_ML_ADD, ml.add);
    put_variants(g, piece);
}

void sk_warp_decode(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_warp_item(g, piece);
    sk_dec_pages pages = {.refs = g->refs, .ml = g->page_ml};
    sk_dec_start(c);
    sk_dec_walk(c, &pages);
}
