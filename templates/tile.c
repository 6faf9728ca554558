/* tile.c - tiles as a whole: which schedules can run a spec, where things lie in
 * scratch, the loop over slabs. See tile.h.
 *
 * Applies when: every tier's key is coded, in groups of 1, 2, 4, 8, 16 or 32 and
 * spans of whole steps of 16 dimensions, or dense and not f32; values are not f32; the
 * class is not `exact` (factors have 11 bits, queries 22); the accumulators of all
 * channels and heads fit the registers of a warp; codewords fit in scratch.
 *
 * Counted in the code for sm_90, not timed: D = Dv = 128, good:vi8, up to 8 heads, f32
 * queries, slabs of 64 staged: about 1,350 instructions of a warp for a slab, 21 a
 * token: 5 of them look-ups (2 loads, each of two passes at most), 8 the values'
 * (bytes to halves), 1.5 products. An estimate from that: at four instructions a clock
 * a multiprocessor is done with a token in 5.3 clocks, and its shared memory with the
 * look-ups and the staged words in 6; the token's 164 bytes take longer where a clock
 * brings less than 27 bytes to each multiprocessor. No default schedule of the
 * first-class keys spills (D = 128, 4 and 16 heads, sm_80 and sm_90). */
#include <math.h>
#include <string.h>

#include "tile_impl.h"

#define MOST_ACC    16   /* quads of acc of a lane */
#define BLOCK_TAKES 2048 /* bytes of scratch beside ours, at most */

uint32_t sk_tile_warps(const sk_schedule *sched) { return (uint32_t)sched->v[SK_T_warps]; }

static uint32_t columns(const sk_spec *spec) { return (spec->heads_per_kv + 7) / 8; }

/* ---- scratch ------------------------------------------------------------------- */

static uint32_t ring_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    return (uint32_t)sched->v[SK_T_stages] * sk_tile_staged_bytes(spec, sched);
}

/* Queries, codewords, staged slabs; what the end of a piece takes is in their place. */
static uint32_t work_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    uint32_t bytes = sk_tile_warps(sched) * ring_bytes(spec, sched);
    for (uint32_t q = 0; q < SK_QUERIES; q++) bytes += sk_ir_area_bytes(sk_tile_query_bytes(spec, q));
    for (uint32_t k = 0; k < spec->ntiers; k++) bytes += sk_ir_area_bytes(sk_tile_book_bytes(spec, k));
    const uint32_t end = sk_ir_area_bytes(sk_tile_end_bytes(spec, sched));
    bytes += sched->v[SK_T_stages] > 0 ? 64 : 0; /* the ring begins at a multiple of 128 */
    return bytes > end ? bytes : end;
}

/* norm, unit, mean; pairs; stat. */
static uint32_t small_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    return 3 * 64 + sk_tile_warps(sched) * 128 + sk_ir_area_bytes(spec->heads_per_kv * SK_STAT_BYTES);
}

uint32_t sk_tile_scratch(const sk_spec *spec, const sk_schedule *sched)
{
    return work_bytes(spec, sched) + small_bytes(spec, sched);
}

static void place_scratch(sk_tile *t)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_val work = sk_ir_shared(b, work_bytes(c->spec, c->sched));
    uint32_t at = 0;
    for (uint32_t q = 0; q < SK_QUERIES; q++) {
        t->query[q] = sk_ir_name(b, sk_ir_ptr_add(b, work, sk_k(c, at), 1), "queries");
        at += sk_ir_area_bytes(sk_tile_query_bytes(c->spec, q));
    }
    for (uint32_t k = 0; k < c->spec->ntiers; k++) {
        t->book[k] = sk_ir_name(b, sk_ir_ptr_add(b, work, sk_k(c, at), 1), "book");
        at += sk_ir_area_bytes(sk_tile_book_bytes(c->spec, k));
    }
    at = (at + 127) & ~127u;
    t->ring = sk_ir_ptr_add(b, sk_ir_ptr_add(b, work, sk_k(c, at), 1), t->warp,
                            ring_bytes(c->spec, c->sched));
    c->acc = work;
    t->norm = sk_ir_name(b, sk_ir_shared(b, 64), "norm");
    t->unit = sk_ir_name(b, sk_ir_shared(b, 64), "unit");
    t->mean = sk_ir_name(b, sk_ir_shared(b, 64), "mean");
    t->pairs = sk_ir_name(b, sk_ir_shared(b, t->warps * 128), "pairs");
    c->stat = sk_ir_name(b, sk_ir_shared(b, c->h * SK_STAT_BYTES), "stat");
}

sk_tile *sk_tile_begin(sk_dec *c)
{
    sk_builder *b = c->b;
    sk_tile *t = sk_arena_alloc(b->arena, sizeof *t);
    if (!t) {
        b->failed = true;
        (void)sk_fail(&b->err, SPHKV_ENOMEM, "attn_decode: out of memory");
        return NULL;
    }
    memset(t, 0, sizeof *t);
    t->c = c;
    t->warps = sk_tile_warps(c->sched);
    t->slab = (uint32_t)c->sched->v[SK_T_slab];
    t->stages = (uint32_t)c->sched->v[SK_T_stages];
    t->tiles = t->slab / 16;
    t->steps = c->d / 16;
    t->blocks = c->dv / 16;
    t->nt = columns(c->spec);
    t->warp = sk_ir_0(b, SK_OP_WARP, 0);
    t->g = sk_ir_name(b, sk_shr(c, c->lane, 2), "g");
    t->t = sk_ir_name(b, sk_and(c, c->lane, 3), "t");
    place_scratch(t);
    return t;
}

/* ---- the loop ------------------------------------------------------------------ */

/* A slab that a warp will come to: its reference, read ahead. */
typedef struct turn {
    sk_val unit, info; /* variables; info 0: nothing to do */
} turn;

/* Which slab number n of the block is: page of the piece, slab of the page. Warp
 * n mod warps takes it; where statistics of pages are wanted, warps take pages. */
static void deal(sk_tile *t, sk_val n, sk_val *page, sk_val *slab)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_val of_page = sk_k(c, c->p / t->slab);
    const sk_val turn = sk_ir_2(b, SK_OP_UDIV, n, sk_k(c, t->warps));
    const sk_val round = sk_mul(c, sk_ir_2(b, SK_OP_UDIV, turn, of_page), t->warps);
    *page = sk_sel(c, t->wants_ml, sk_add(c, round, t->warp), sk_ir_2(b, SK_OP_UDIV, n, of_page));
    *slab = sk_ir_2(b, SK_OP_UREM, sk_sel(c, t->wants_ml, turn, n), of_page);
}

/* Reads the reference of slab n, which may be beyond the last. */
static void look(sk_tile *t, sk_val n, sk_val *unit, sk_val *info)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    sk_val page, slab;
    deal(t, n, &page, &slab);
    const sk_val pages = sk_ir_2(b, SK_OP_SUB, t->work->hi, t->work->lo);
    const sk_val some = sk_ir_2(b, SK_OP_ULT, page, pages);
    const sk_val i = sk_add(c, t->work->lo, sk_sel(c, some, page, c->zero));
    const sk_val ref = sk_ir_ptr_add(b, t->work->refs, i, 8);
    *unit = sk_ir_ldu(b, SK_LD_U32, ref, c->zero, 0);
    *info = sk_sel(c, some, sk_ir_ldu(b, SK_LD_U32, ref, c->zero, 4), c->zero);
}

static void run_slab(sk_tile *t, uint32_t k, sk_val page, sk_val t0, sk_val count, sk_val staged)
{
    const sk_slab s = sk_tile_slab(t, k, page, t0, count, staged);
    sk_tile_logit x;
    sk_tile_probs p;
    if (s.seg->kind == SK_KEY_CODED)
        sk_tile_logits(t, &s, x);
    else
        sk_tile_logits_dense(t, &s, x);
    sk_tile_softmax(t, &s, x, &p);
    sk_tile_values(t, &s, &p);
}

/* Slab n, if it has tokens: copies it, or runs it. By tier: k and up. */
static void by_tier(sk_tile *t, uint32_t k, sk_val n, sk_val unit, sk_val info, sk_val staged, bool copy)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const bool last = k + 1 == c->spec->ntiers;
    const sk_val tier = sk_and(c, sk_shr(c, info, 16), 0xff);
    if (!last) sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, tier, k));
    sk_val page, slab;
    deal(t, n, &page, &slab);
    const sk_val at = sk_add(c, unit, t->work->unit_add[k]);
    page = sk_ir_name(b, sk_ir_ptr_add(b, t->work->arena, at, SPHKV_UNIT_BYTES), "page");
    const sk_val t0 = sk_mul(c, slab, t->slab);
    if (copy)
        sk_tile_copy(t, k, page, t0, staged);
    else
        run_slab(t, k, page, t0, sk_and(c, info, 0xffff), staged);
    if (last) return;
    sk_ir_else(b);
    by_tier(t, k + 1, n, unit, info, staged, copy);
    sk_ir_end(b);
}

static void some_tokens(sk_tile *t, sk_val n, sk_val info)
{
    sk_dec *c = t->c;
    sk_val page, slab;
    deal(t, n, &page, &slab);
    sk_ir_if(c->b, sk_ir_2(c->b, SK_OP_ULT, sk_mul(c, slab, t->slab), sk_and(c, info, 0xffff)));
}

/* Begins to bring slab n to place `slot` of the ring; a group of copies each time. */
static void bring(sk_tile *t, sk_val n, sk_val unit, sk_val info, sk_val slot)
{
    sk_builder *b = t->c->b;
    const uint32_t bytes = sk_tile_staged_bytes(t->c->spec, t->c->sched);
    some_tokens(t, n, info);
    by_tier(t, 0, n, unit, info, sk_ir_ptr_add(b, t->ring, slot, bytes), true);
    sk_ir_end(b);
    sk_ir_cp_commit(b);
}

/* Statistics around the slabs of a page, which are one warp's where they are wanted. */
static void page_border(sk_tile *t, sk_val n, bool end)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    sk_val page, slab;
    deal(t, n, &page, &slab);
    const sk_val pages = sk_ir_2(b, SK_OP_SUB, t->work->hi, t->work->lo);
    const sk_val here = sk_ir_2k(b, SK_OP_EQ, slab, end ? c->p / t->slab - 1 : 0);
    const sk_val wanted = sk_ir_2(b, SK_OP_PAND, t->wants_ml, sk_ir_2(b, SK_OP_ULT, page, pages));
    sk_ir_if(b, sk_ir_2(b, SK_OP_PAND, wanted, here));
    if (end)
        sk_tile_page_end(t, sk_add(c, t->work->lo, page));
    else
        sk_tile_page_begin(t);
    sk_ir_end(b);
}

/* The slabs of a warp, each with what has to be under way for later ones: references
 * of the `stages` slabs behind it, copies of all but the last of them. */
static void stream(sk_tile *t)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const uint32_t stages = t->stages, bytes = sk_tile_staged_bytes(c->spec, c->sched);
    const sk_val pages = sk_ir_2(b, SK_OP_SUB, t->work->hi, t->work->lo);
    const sk_val rounds = sk_ir_2(b, SK_OP_UDIV, sk_add(c, pages, sk_k(c, t->warps - 1)), sk_k(c, t->warps));
    const sk_val even = sk_sel(c, t->wants_ml, sk_mul(c, rounds, t->warps), pages);
    turn ahead[SK_TILE_STAGES + 1];
    for (uint32_t k = 0; k <= stages; k++) {
        sk_val unit, info;
        const sk_val n = sk_add(c, t->warp, sk_k(c, k * t->warps));
        look(t, n, &unit, &info);
        ahead[k] = (turn){sk_ir_var(b, SK_WARP, unit), sk_ir_var(b, SK_WARP, info)};
        if (k < stages) bring(t, n, unit, info, sk_k(c, k));
    }
    const sk_val slot = sk_ir_var(b, SK_WARP, c->zero);
    const sk_val n = sk_ir_for(b, t->warp, sk_mul(c, even, c->p / t->slab), t->warps);
    sk_val unit, info, at = SK_NONE;
    look(t, sk_add(c, n, sk_k(c, (stages + 1) * t->warps)), &unit, &info);
    page_border(t, n, false);
    if (stages > 0) {
        at = sk_ir_ptr_add(b, t->ring, sk_ir_get(b, slot), bytes);
        sk_ir_cp_wait(b, stages - 1);
    }
    const sk_val now = sk_ir_get(b, ahead[0].info);
    some_tokens(t, n, now);
    by_tier(t, 0, n, sk_ir_get(b, ahead[0].unit), now, at, false);
    sk_ir_end(b);
    page_border(t, n, true);
    if (stages > 0) {
        const sk_val far = sk_add(c, n, sk_k(c, stages * t->warps)), here = sk_ir_get(b, slot);
        bring(t, far, sk_ir_get(b, ahead[stages].unit), sk_ir_get(b, ahead[stages].info), here);
        const sk_val next = sk_add(c, here, sk_k(c, 1));
        sk_ir_set(b, slot, sk_sel(c, sk_ir_2k(b, SK_OP_EQ, next, stages), c->zero, next));
    }
    for (uint32_t k = 0; k <= stages; k++) {
        sk_ir_set(b, ahead[k].unit, k < stages ? sk_ir_get(b, ahead[k + 1].unit) : unit);
        sk_ir_set(b, ahead[k].info, k < stages ? sk_ir_get(b, ahead[k + 1].info) : info);
    }
    sk_ir_end(b);
    if (stages > 0) sk_ir_cp_wait(b, 0);
}

/* What the warp starts with. */
static void stream_begin(sk_tile *t)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_val none = sk_ir_f32(b, 0.0f), never = sk_ir_f32(b, -INFINITY);
    t->wants_ml = sk_ir_2(b, SK_OP_NE, t->work->ml_step, c->zero);
    for (uint32_t n = 0; n < t->nt; n++) {
        for (uint32_t e = 0; e < 2; e++) {
            const sk_val at = sk_mul(c, sk_add(c, sk_shl(c, t->t, 1), sk_k(c, 8 * n + e)), 4);
            t->unit_of[n][e] = sk_ir_ldg(b, SK_LD_F32, t->unit, at, 0, SK_NONE);
            if (c->spec->book & SPHKV_BOOK_MEAN)
                t->mean_of[n][e] = sk_ir_ldg(b, SK_LD_F32, t->mean, at, 0, SK_NONE);
            t->base[n][e] = sk_ir_var(b, SK_LANE, never);
            t->page_m[n][e] = sk_ir_var(b, SK_LANE, never);
            t->page_l[n][e] = sk_ir_var(b, SK_LANE, none);
        }
        t->sum[n] = sk_ir_var(b, SK_LANE, sk_zero_quad(t));
        for (uint32_t i = 0; i < t->blocks; i++) t->acc[n][i] = sk_ir_var(b, SK_LANE, sk_zero_quad(t));
    }
}

void sk_tile_decode(sk_tile *t, const sk_tile_work *work)
{
    sk_builder *b = t->c->b;
    t->work = work;
    sk_ir_barrier(b);
    sk_tile_norms(t);
    sk_tile_books(t);
    sk_ir_barrier(b);
    for (uint32_t q = 0; q < SK_QUERIES; q++)
        if (sk_tile_needs_query(t->c->spec, q)) sk_tile_queries(t, q);
    sk_ir_barrier(b);
    stream_begin(t);
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, work->lo, work->hi));
    stream(t);
    sk_ir_end(b);
    sk_tile_end(t);
}

/* ---- choice -------------------------------------------------------------------- */

static sk_status tier_supported(const sk_spec *spec, uint32_t k, const sk_target *target, sk_err *err)
{
    const sk_segment *seg = sk_dec_seg(spec, k);
    const uint32_t value = spec->tier[k].value;
    const uint32_t span = seg->span == SK_SPAN_ALL ? spec->d : seg->span;
    if (spec->tier[k].nseg > 1)
        return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: keys of several segments", k);
    if (seg->pre_rope) return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: keys before RoPE (p)", k);
    if (seg->kind == SK_KEY_F32 || value == SK_VAL_F32 || value == SK_VAL_KEY)
        return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: f32 keys or values", k);
    if (target->sm < 80 && (seg->kind == SK_KEY_BF16 || value == SK_VAL_BF16))
        return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: bfloat16 products need sm_80", k);
    if (seg->kind != SK_KEY_CODED) return SPHKV_OK;
    if (seg->more)
        return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: %u codes per group", k, sk_segment_codes(seg));
    if ((seg->g & (seg->g - 1)) != 0 || seg->g > 32)
        return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: groups of %u dimensions", k, seg->g);
    if (span % 16 != 0 || spec->d % span != 0)
        return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: a radius per %u dimensions", k, span);
    return SPHKV_OK;
}

sk_status sk_tile_valid(const sk_spec *spec, const sk_schedule *sched, const sk_target *target,
                        sk_err *err)
{
    const uint32_t slab = (uint32_t)sched->v[SK_T_slab];
    if (sk_spec_turned(spec))
        return sk_fail(err, SPHKV_EINVAL, "tiles: codebook sets with a transform");
    if (spec->accuracy == SPHKV_EXACT)
        return sk_fail(err, SPHKV_EINVAL, "tiles: factors of 11 bits are not for class exact");
    if (sk_tile_warps(sched) > SK_TILE_WARPS)
        return sk_fail(err, SPHKV_EINVAL, "warps=%u: tiles take up to %u", sk_tile_warps(sched),
                       SK_TILE_WARPS);
    if (target->sm < 75) return sk_fail(err, SPHKV_EINVAL, "tiles: products need sm_75");
    if (columns(spec) > 2 || columns(spec) * (spec->dv / 16) > MOST_ACC)
        return sk_fail(err, SPHKV_EINVAL, "tiles: %u heads of %u channels do not fit the registers",
                       spec->heads_per_kv, spec->dv);
    if (spec->page % slab != 0)
        return sk_fail(err, SPHKV_EINVAL, "slab=%u does not divide pages of %u", slab, spec->page);
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        const sk_status st = tier_supported(spec, k, target, err);
        if (st != SPHKV_OK) return st;
        if (slab == 16 && sk_tile_blocked(spec, k))
            return sk_fail(err, SPHKV_EINVAL, "slab=16: tier %u has codes in blocks of 64", k);
    }
    if (sk_tile_scratch(spec, sched) > target->shared_block)
        return sk_fail(err, SPHKV_EINVAL, "tiles: %u bytes of scratch, the target has %u",
                       sk_tile_scratch(spec, sched), target->shared_block);
    return SPHKV_OK;
}

/* Of the schedules in this order, the first that leaves room for its blocks: warps are
 * streams, whose number hides the latency of one's arithmetic; two stages hide that of
 * memory; larger slabs have fewer reductions. */
void sk_tile_default(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    static const struct {
        uint8_t halved, stages, blocks;
    } order[] = {{0, 2, 2}, {1, 2, 2}, {0, 1, 2}, {1, 1, 2}, {1, 2, 1}, {1, 1, 1}, {2, 1, 1}, {0, 0, 1}};
    /* acc of many channels leaves fewer registers to a slab */
    uint32_t slab = columns(spec) == 2 || spec->dv > 192 ? 32 : 64;
    while (spec->page % slab != 0) slab /= 2;
    for (int32_t warps = 4; warps >= 1; warps /= 2)
        for (uint32_t i = 0; i < SK_COUNT(order); i++) {
            const uint32_t small = slab >> order[i].halved;
            out->v[SK_T_slab] = (int32_t)(small < 16 ? 16 : small);
            out->v[SK_T_warps] = warps;
            out->v[SK_T_stages] = order[i].stages;
            out->v[SK_T_blocks] = order[i].blocks;
            if (sk_tile_valid(spec, out, target, NULL) != SPHKV_OK) continue;
            if (order[i].blocks * (sk_tile_scratch(spec, out) + BLOCK_TAKES) <= target->shared_sm) return;
        }
}

sk_status sk_tile_supported(const sk_spec *spec, const sk_target *target, sk_err *err)
{
    sk_schedule best;
    sk_schedule_begin(SK_BACKEND_CUDA, &best);
    sk_tile_default(spec, target, &best);
    return sk_tile_valid(spec, &best, target, err);
}
