/* tile.c - tiles as a whole: which schedules can run a spec, where things lie in
 * scratch, the loop over slabs. See tile.h.
 *
 * Applies when: every tier's key is coded, in groups of 1, 2, 4, 8, 16 or 32 and
 * spans of whole steps of 16 dimensions, or dense and not f32; values are not f32; the
 * class is not `exact` (factors have 11 bits, queries 22); the accumulators of all
 * channels and heads fit the registers of a warp; codewords fit in scratch.
 *
 * Registers, an estimate for D = Dv = 128, slabs of 64, up to 8 heads: 32 acc, 32
 * logits and their factors, 32 places of codewords, 16 values under way, about 20
 * addresses and constants. */
#include <math.h>
#include <string.h>

#include "tile_impl.h"

#define MOST_ACC 16 /* quads of acc of a lane */

uint32_t sk_tile_warps(const sk_schedule *sched) { return (uint32_t)sched->v[SK_T_warps]; }

static uint32_t columns(const sk_spec *spec) { return (spec->heads_per_kv + 7) / 8; }

/* ---- scratch ------------------------------------------------------------------- */

static uint32_t whole_lines(uint32_t bytes) { return (bytes + 63) & ~63u; }

/* Queries and codewords; what the end of a piece takes is in their place. */
static uint32_t work_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    uint32_t bytes = 0;
    for (uint32_t q = 0; q < SK_QUERIES; q++) bytes += whole_lines(sk_tile_query_bytes(spec, q));
    for (uint32_t k = 0; k < spec->ntiers; k++) bytes += whole_lines(sk_tile_book_bytes(spec, k));
    const uint32_t end = whole_lines(sk_tile_end_bytes(spec, sched));
    return bytes > end ? bytes : end;
}

/* norm, unit, mean; pairs; stat. */
static uint32_t small_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    return 3 * 64 + sk_tile_warps(sched) * 128 + whole_lines(spec->heads_per_kv * 28);
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
        at += whole_lines(sk_tile_query_bytes(c->spec, q));
    }
    for (uint32_t k = 0; k < c->spec->ntiers; k++) {
        t->book[k] = sk_ir_name(b, sk_ir_ptr_add(b, work, sk_k(c, at), 1), "book");
        at += whole_lines(sk_tile_book_bytes(c->spec, k));
    }
    c->acc = work;
    t->norm = sk_ir_name(b, sk_ir_shared(b, 64), "norm");
    t->unit = sk_ir_name(b, sk_ir_shared(b, 64), "unit");
    t->mean = sk_ir_name(b, sk_ir_shared(b, 64), "mean");
    t->pairs = sk_ir_name(b, sk_ir_shared(b, t->warps * 128), "pairs");
    c->stat = sk_ir_name(b, sk_ir_shared(b, c->h * 28), "stat");
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

/* ---- a slab -------------------------------------------------------------------- */

static sk_tile_field field(sk_tile *t, const sk_slab *s, uint32_t off, sk_val step, uint32_t bytes,
                           uint32_t stride)
{
    if (off == SK_NO_FIELD) return (sk_tile_field){SK_NONE, 0};
    const sk_val from = sk_ir_ptr_add(t->c->b, s->page, sk_k(t->c, off), 1);
    return (sk_tile_field){sk_ir_ptr_add(t->c->b, from, step, bytes), stride};
}

/* Bytes of 16 channels of one token. */
static uint32_t value_bytes(uint32_t kind)
{
    return kind == SK_VAL_I4 ? 8 : kind == SK_VAL_I8 || kind == SK_VAL_F8 ? 16 : 32;
}

/* Tokens t0 .. t0+slab-1 of a page of tier k, `count` of which are valid. */
static sk_slab slab_of(sk_tile *t, uint32_t k, sk_val page, sk_val t0, sk_val count)
{
    sk_dec *c = t->c;
    const uint32_t p = c->p;
    sk_slab s = {.tier = k, .seg = sk_dec_seg(c->spec, k), .page = page, .t0 = t0, .half = SK_NONE};
    sk_page_layout_get(c->spec, k, &s.lay);
    const sk_seg_layout *lay = &s.lay.seg[0];
    s.left = sk_ir_2(c->b, SK_OP_SUB, count, t0);
    s.blocked = sk_tile_blocked(c->spec, k);
    if (s.seg->kind == SK_KEY_CODED) {
        const uint32_t row = p * s.seg->b / 8;
        const sk_val sixteen = sk_shr(c, t0, 4);
        s.code = s.blocked ? field(t, &s, lay->code_off, sk_shr(c, t0, 6), 32, row)
                           : field(t, &s, lay->code_off, sixteen, 2 * s.seg->b, row);
        s.radius = field(t, &s, lay->radius_off, sixteen, 2 * s.seg->rb, p * s.seg->rb / 8);
        if (s.blocked) s.half = sk_shr(c, sk_and(c, t0, 32), 3);
    } else {
        s.key = field(t, &s, lay->key_off, sk_shr(c, t0, 4), c->d * sk_tile_key_bytes(s.seg->kind), 0);
        s.kscale = field(t, &s, lay->kscale_off, t0, 2, p * 2);
    }
    const uint32_t bytes = value_bytes(c->spec->tier[k].value);
    s.value = field(t, &s, s.lay.value_off, t0, bytes, s.lay.tp * bytes);
    return s;
}

static void run_slab(sk_tile *t, uint32_t k, sk_val unit, sk_val t0, sk_val count)
{
    sk_dec *c = t->c;
    const sk_val at = sk_add(c, unit, t->work->unit_add[k]);
    const sk_val page = sk_ir_name(c->b, sk_ir_ptr_add(c->b, t->work->arena, at, SPHKV_UNIT_BYTES), "page");
    const sk_slab s = slab_of(t, k, page, t0, count);
    sk_tile_logit x;
    sk_tile_probs p;
    if (s.seg->kind == SK_KEY_CODED)
        sk_tile_logits(t, &s, x);
    else
        sk_tile_logits_dense(t, &s, x);
    sk_tile_softmax(t, &s, x, &p);
    sk_tile_values(t, &s, &p);
}

/* ---- the loop ------------------------------------------------------------------ */

/* Which slab turn n of the warp's is: page of the piece, slab of the page. The warps
 * take slabs in turn, or, where statistics of pages are wanted, pages. */
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

/* The tier's code, by reference: tiers k and up. */
static void dispatch(sk_tile *t, uint32_t k, sk_val tier, sk_val unit, sk_val t0, sk_val count)
{
    sk_builder *b = t->c->b;
    const bool last = k + 1 == t->c->spec->ntiers;
    if (!last) sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, tier, k));
    run_slab(t, k, unit, t0, count);
    if (last) return;
    sk_ir_else(b);
    dispatch(t, k + 1, tier, unit, t0, count);
    sk_ir_end(b);
}

static void stream(sk_tile *t)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_tile_work *work = t->work;
    const uint32_t of_page = c->p / t->slab;
    const sk_val pages = sk_ir_2(b, SK_OP_SUB, work->hi, work->lo);
    const sk_val rounds = sk_mul(c, sk_ir_2(b, SK_OP_UDIV, sk_add(c, pages, sk_k(c, t->warps - 1)),
                                            sk_k(c, t->warps)), t->warps);
    const sk_val total = sk_mul(c, sk_sel(c, t->wants_ml, rounds, pages), of_page);
    const sk_val n = sk_ir_for(b, t->warp, total, t->warps);
    sk_val page, slab;
    deal(t, n, &page, &slab);
    const sk_val here = sk_ir_2(b, SK_OP_ULT, page, pages);
    sk_ir_if(b, here);
    const sk_val i = sk_add(c, work->lo, page);
    const sk_val ref = sk_ir_ptr_add(b, work->refs, i, 8);
    const sk_val unit = sk_ir_ldu(b, SK_LD_U32, ref, c->zero, 0);
    const sk_val info = sk_ir_ldu(b, SK_LD_U32, ref, c->zero, 4);
    const sk_val count = sk_and(c, info, 0xffff), tier = sk_and(c, sk_shr(c, info, 16), 0xff);
    const sk_val t0 = sk_mul(c, slab, t->slab);
    sk_ir_if(b, sk_ir_2(b, SK_OP_PAND, t->wants_ml, sk_ir_2(b, SK_OP_EQ, slab, c->zero)));
    sk_tile_page_begin(t);
    sk_ir_end(b);
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, t0, count));
    dispatch(t, 0, tier, unit, t0, count);
    sk_ir_end(b);
    sk_ir_if(b, sk_ir_2(b, SK_OP_PAND, t->wants_ml, sk_ir_2k(b, SK_OP_EQ, slab, of_page - 1)));
    sk_tile_page_end(t, i);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_end(b);
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
    stream(t);
    sk_tile_end(t);
}

/* ---- choice -------------------------------------------------------------------- */

static sk_status tier_supported(const sk_spec *spec, uint32_t k, const sk_target *target, sk_err *err)
{
    const sk_segment *seg = sk_dec_seg(spec, k);
    const uint32_t value = spec->tier[k].value;
    const uint32_t span = seg->span == SK_SPAN_ALL ? spec->d : seg->span;
    if (seg->kind == SK_KEY_F32 || value == SK_VAL_F32 || value == SK_VAL_KEY)
        return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: f32 keys or values", k);
    if (target->sm < 80 && (seg->kind == SK_KEY_BF16 || value == SK_VAL_BF16))
        return sk_fail(err, SPHKV_EINVAL, "tiles: tier %u: bfloat16 products need sm_80", k);
    if (seg->kind != SK_KEY_CODED) return SPHKV_OK;
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

void sk_tile_default(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    uint32_t slab = 64;
    while (spec->page % slab != 0) slab /= 2;
    if (columns(spec) == 2 && slab == 64) slab = 32;
    out->v[SK_T_slab] = (int32_t)slab;
    for (int32_t warps = 4; warps >= 1; warps /= 2) {
        out->v[SK_T_warps] = warps;
        if (sk_tile_valid(spec, out, target, NULL) == SPHKV_OK) return;
    }
}

sk_status sk_tile_supported(const sk_spec *spec, const sk_target *target, sk_err *err)
{
    sk_schedule best;
    sk_schedule_begin(SK_BACKEND_CUDA, &best);
    sk_tile_default(spec, target, &best);
    return sk_tile_valid(spec, &best, target, err);
}
