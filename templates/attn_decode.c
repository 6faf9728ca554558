/* attn_decode.c - ADA over the pages of a tier mix (design, sections 3 and 5):
 * out = softmax(logits) V for all query heads of a KV head, one query token or some.
 *
 * Applies when: every tier's key is coded or dense f32/f16/bf16/fp8/int8/int4, after RoPE
 * or before it (p), or of such segments, which a permutation or a transform may mix; values
 * are fields of their own or the first dimensions of keys, as they are stored (vk); dims of heads and segments and tokens of a
 * page are multiples of 16.
 *
 * A block is one work item: the pages of one list (or a part of them) for one
 * KV head. Per page: logits -> page softmax -> value product. Items that cover
 * a whole list write the output, others a partial (m, l, acc) that the merge
 * entry joins. What is asked for at run time, LSE per query head and (m, l) per
 * page, the item says: one kernel serves all.
 * Entries: decode, merge and, with lut_build = separate, tables. */
#include <math.h>
#include <string.h>

#include "attn_gpu.h"
#include "part_bytes.h"
#include "part_probs.h"
#include "part_rebuild.h"
#include "part_rope.h"
#include "part_segments.h"
#include "part_vk.h"

static sk_status tier_supported(const sk_spec *spec, uint32_t i, sk_err *err)
{
    const sk_tier *t = &spec->tier[i];
    for (uint32_t s = 0; s < t->nseg; s++) {
        if (t->seg[s].dims % 16 != 0)
            return sk_fail(err, SPHKV_EUNSUPPORTED,
                           "attn_decode: tier %u: a segment of %u dimensions (multiples of 16 only)", i,
                           t->seg[s].dims);
    }
    return SPHKV_OK;
}

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    if (spec->d % 16 != 0 || spec->dv % 16 != 0)
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "attn_decode: head dims %u/%u (multiples of 16 only)", spec->d, spec->dv);
    if (spec->page % 16 != 0)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "attn_decode: pages of %u tokens (multiples of 16 only)",
                       spec->page);
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        const sk_status st = tier_supported(spec, i, err);
        if (st != SPHKV_OK) return st;
    }
    const sk_status rope = sk_rope_supported(spec, "attn_decode", err);
    return rope == SPHKV_OK ? sk_variants_supported(spec, (1u << SK_VARIANTS) - 1, err) : rope;
}

/* ---- building ----------------------------------------------------------- */

void sk_dec_init(sk_dec *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched)
{
    memset(c, 0, sizeof *c);
    c->qt = c->q16 = c->qm = c->lut = c->h0 = c->plus = c->var.query = SK_NONE;
    c->b = b;
    c->spec = spec;
    c->sched = sched;
    c->warps = 1;
    c->h = sk_dec_turn_heads(spec);
    c->heads = spec->heads_per_kv;
    c->turns = sk_dec_turns(spec);
    c->w = (uint32_t)sched->v[SK_T_w];
    c->d = spec->d;
    c->dv = c->vdims = spec->dv;
    c->p = spec->page;
    c->tp = (spec->page + 15) / 16 * 16;
    c->cp = (spec->dv + 15) / 16 * 16;
    c->run = sk_dec_row_run(c->h, c->w);
    c->hr = (c->h + c->run - 1) / c->run * c->run;
    c->stat_l = c->h * 4;
    c->stat_alpha = c->h * 8;
    c->stat_beta = c->h * 12;
    c->stat_mass = c->h * 16;
    c->stat_scale = c->h * 20;
    c->stat_sinks = c->h * 24;
    c->stat_small = c->h * 28;
    c->stat_small_m = c->h * 32;
}

uint32_t sk_dec_turns(const sk_spec *spec)
{
    return (spec->heads_per_kv + SK_HEAD_TILE - 1) / SK_HEAD_TILE;
}

uint32_t sk_dec_turn_heads(const sk_spec *spec)
{
    const uint32_t turns = sk_dec_turns(spec);
    return (spec->heads_per_kv + turns - 1) / turns;
}

void sk_dec_turns_begin(sk_dec *c)
{
    if (c->turns == 1) return;
    const sk_val turn = sk_ir_for(c->b, c->zero, sk_k(c, c->turns), 1);
    c->h0 = sk_ir_2k(c->b, SK_OP_UMIN, sk_mul(c, turn, c->h), c->heads - c->h);
}

void sk_dec_turns_end(sk_dec *c)
{
    if (c->turns > 1) sk_ir_end(c->b);
    c->h0 = SK_NONE;
}

sk_val sk_dec_turn_row(sk_dec *c, sk_val row, uint32_t bytes)
{
    return c->h0 == SK_NONE ? row : sk_ir_ptr_add(c->b, row, c->h0, bytes);
}

sk_val sk_dec_turn_row_by(sk_dec *c, sk_val row, sk_val bytes)
{
    if (c->h0 == SK_NONE) return row;
    return sk_ir_ptr_add(c->b, row, sk_ir_2(c->b, SK_OP_MUL, c->h0, bytes), 1);
}

/* Of tiers that are not taken in parts. */
static bool uses_rows(const sk_spec *spec, const sk_schedule *sched)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (!sk_key_parted(spec, sched, i) && sk_dec_form(spec, sched, i) == SK_FORM_ROWS) return true;
    return false;
}

static bool uses_query16(const sk_spec *spec, const sk_schedule *sched)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (!sk_key_parted(spec, sched, i) && sk_dec_query16(spec, sched, i)) return true;
    return false;
}

static uint32_t most_spans(const sk_spec *spec, const sk_schedule *sched)
{
    uint32_t most = 1;
    for (sk_key_part k = {0}; sk_key_next(spec, sched, &k);) {
        const uint32_t spans = sk_rebuild_spans(&k.spec, k.slot);
        if (spans > most) most = spans;
    }
    return most;
}

static uint32_t most_page_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    uint32_t most = 0;
    for (sk_key_part k = {0}; sk_key_next(spec, sched, &k);) {
        if (sk_dec_form(&k.spec, sched, k.slot) != SK_FORM_BYTE) continue;
        const uint32_t bytes = sk_bytes_page(&k.spec, sched, k.slot);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* The slots that decode and tables begin with, in the order of set_up_call
 * (attn_run.c). */
static void dec_params(sk_dec *c, bool writes_tables)
{
    sk_builder *b = c->b;
    c->item = sk_ir_param_ptr(b, "item", false);
    c->q = sk_ir_param_ptr(b, "q", false);
    c->codebook = sk_ir_param_ptr(b, "codebook", false);
    c->tables = sk_ir_param_ptr(b, "tables", writes_tables);
    c->scale = sk_ir_param_f32(b, "scale_log2e");
    c->q_stride = sk_ir_param_u32(b, "q_head_bytes");
}

static bool fused(const sk_schedule *sched)
{
    return sched->v[SK_T_lut_build] == SK_LUT_FUSED;
}

/* Of the page at work. */
static sk_val place_area(sk_dec *c, const char *name, uint32_t bytes, sk_dec_place *place, void *user)
{
    return place(c, &(sk_dec_area){.name = name, .bytes = bytes}, user);
}

/* Of a query token. */
static sk_val place_query(sk_dec *c, const char *name, uint32_t bytes, sk_dec_place *place, void *user)
{
    return place(c, &(sk_dec_area){.name = name, .bytes = bytes, .query = true}, user);
}

/* The queries of who makes tables (decode, and the entry of that), or of who does
 * not. */
static void query_areas(sk_dec *c, bool tables, sk_dec_place *place, void *user)
{
    const uint32_t heads = c->h * c->d * 4;
    c->qc = c->qs = place_query(c, "qs", heads, place, user);
    if (tables && (c->spec->book & SPHKV_BOOK_PERMUTATION || sk_spec_turned(c->spec)))
        c->qc = place_query(c, "qc", heads, place, user);
    if (tables && uses_rows(c->spec, c->sched))
        c->qt = place_query(c, "qt", c->hr * c->d * 4, place, user);
}

/* Of tiers whose keys are rebuilt. */
static void rebuild_areas(sk_dec *c, sk_dec_place *place, void *user)
{
    uint32_t book = 0, bytes = 0;
    bool any = false, coded = false, two = false, back = false;
    for (sk_key_part k = {0}; sk_key_next(c->spec, c->sched, &k);) {
        if (k.seg == 0) bytes = 0;
        if (!sk_part_rebuilds(&k.spec, c->sched, k.slot)) continue;
        bytes += sk_part_rebuild_bytes(&k.spec, c->sched, k.slot);
        if (bytes > book) book = bytes;
        two |= sk_rebuild_by_halves(&k.spec, c->sched, k.slot);
        any |= sk_dec_form(&k.spec, c->sched, k.slot) == SK_FORM_REBUILD;
        back |= sk_turns_back(&k.spec, k.slot);
        coded |= !sk_key_parted(c->spec, c->sched, k.tier) && sk_dec_seg(&k.spec, k.slot)->kind == SK_KEY_CODED;
    }
    if (book > 0)
        c->book = place(c, &(sk_dec_area){.name = "book", .bytes = book, .table = true}, user);
    if (coded && c->spec->book & SPHKV_BOOK_PERMUTATION)
        c->where = place_area(c, "where", c->d * 4, place, user);
    if (any)
        c->keys = place_area(c, "keys", c->d * sk_rebuild_tokens(c->sched) * 4, place, user);
    if (back) c->turned = place_area(c, "turned", c->d * c->w * 4, place, user);
    if (two) c->halves = place_area(c, "halves", c->d * c->p * 2, place, user);
    if (sk_spec_pre_rope(c->spec))
        c->cosines = place_area(c, "cosines", sk_rope_bytes(c), place, user);
}

/* Of the rows of the tier whose probabilities take most. */
static uint32_t probs_bytes(const sk_dec *c)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < c->spec->ntiers; i++) {
        const sk_probs form = sk_probs_of(c->spec, c->sched, i);
        const uint32_t bytes = sk_probs_planes(form) * c->h * sk_probs_row_bytes(c, form);
        if (form != SK_PROBS_F32 && bytes > most) most = bytes;
    }
    return most;
}

static bool any_vk(const sk_spec *spec)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (sk_dec_vk(spec, i)) return true;
    return false;
}

void sk_dec_areas(sk_dec *c, sk_dec_place *place, void *user)
{
    const sk_spec *spec = c->spec;
    const uint32_t lut = fused(c->sched) ? sk_dec_lut_total(spec, c->sched) : 0;
    query_areas(c, fused(c->sched), place, user);
    if (uses_query16(spec, c->sched))
        c->q16 = place_query(c, "q16", sk_query16_bytes(c), place, user);
    if (spec->book & SPHKV_BOOK_MEAN) c->qm = place_query(c, "qm", c->hr * 4, place, user);
    if (lut > 0)
        c->lut = place(c, &(sk_dec_area){.name = "lut", .bytes = lut, .table = true, .query = true},
                       user);
    c->off = place_area(c, "off", 8 * c->w * 4, place, user);
    const uint32_t bytes = most_page_bytes(spec, c->sched);
    if (bytes > 0) c->bytes = place_area(c, "bytes", bytes, place, user);
    c->rad = place_area(c, "rad", most_spans(spec, c->sched) * 4, place, user);
    c->s = place_area(c, "s", c->h * c->tp * 4, place, user);
    const uint32_t probs = probs_bytes(c);
    if (probs > 0) c->probs = place_area(c, "probs", probs, place, user);
    rebuild_areas(c, place, user);
    sk_part_areas(c, place, user);
    if (any_vk(spec)) c->vals = place_area(c, "vals", c->cp * c->tp * 4, place, user);
    c->acc = place_query(c, "acc", c->h * c->cp * 4, place, user);
    c->stat = place_query(c, "stat", c->h * 36, place, user);
}

/* In the scratch of the block, or where there are several query tokens, theirs in
 * `tables`, *user bytes of which are taken; names serve the print. */
static sk_val in_scratch(sk_dec *c, const sk_dec_area *area, void *user)
{
    uint32_t *taken = user;
    if (!area->query || !sk_dec_has(c, SPHKV_VARIANT_QUERIES))
        return sk_ir_name(c->b, sk_ir_shared(c->b, area->bytes), area->name);
    const sk_val at = sk_ir_ptr_add(c->b, c->tables, sk_k(c, *taken), 1);
    *taken += (area->bytes + 63) & ~63u;
    return sk_ir_name(c->b, at, area->name);
}

static void constants(sk_dec *c)
{
    c->zero = sk_ir_u32(c->b, 0);
    c->lane = sk_ir_lane(c->b);
}

static sk_status build_tables(const sk_spec *spec, const sk_schedule *sched, const char *symbol,
                              sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    sk_ir_begin(b, arena, symbol, (uint32_t)sched->v[SK_T_w], 1);
    sk_dec_init(c, b, spec, sched);
    dec_params(c, true);
    sk_dec_variant_params(c);
    constants(c);
    query_areas(c, true, in_scratch, NULL);
    sk_part_query(c, uses_rows(spec, sched));
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        if (!sk_form_looks_up(sk_dec_form(spec, sched, i))) continue;
        const sk_val at = sk_k(c, sk_dec_lut_off(spec, sched, i));
        sk_part_tables(c, i, sk_ir_ptr_add(b, c->tables, at, 1));
    }
    return sk_ir_finish(b, out, err);
}

/* One page for the query token at work, when it sees some of its tokens. */
static void decode_tokens(sk_dec *c, const sk_dec_at *at, sk_val lut)
{
    sk_builder *b = c->b;
    const uint32_t k = at->tier_slot;
    const sk_dec_seen seen = sk_part_seen(c, k, at->page, at->count);
    sk_ir_if(b, seen.any == SK_NONE ? sk_ir_2(b, SK_OP_NE, at->count, c->zero) : seen.any);
    sk_part_logits(c, k, at->page, seen.end, lut, at->next);
    sk_part_mask(c, k, at->page, &seen, at->bias);
    sk_part_softmax(c, k, seen.end, at->next);
    sk_part_values(c, k, at->page, seen.end, at->next);
    sk_ir_else(b);
    sk_part_empty_page(c);
    sk_ir_end(b);
}

/* The page `ahead` of refs[i], or the last of the item. */
static sk_val later_page(sk_dec *c, const sk_dec_pages *t, sk_val i, uint32_t ahead, sk_val last,
                         sk_val unit_add)
{
    sk_builder *b = c->b;
    const sk_val j = sk_ir_2(b, SK_OP_UMIN, sk_add(c, i, sk_k(c, ahead)), last);
    const sk_val unit = sk_ir_ldu(b, SK_LD_U32, sk_ir_ptr_add(b, t->refs, j, 8), c->zero, 0);
    return sk_ir_ptr_add(b, c->arena, sk_add(c, unit, unit_add), SPHKV_UNIT_BYTES);
}

/* Pages whose addresses are translated side by side. Where a page begins that nobody has
 * touched for long, the tables of its address come from memory, too, and even a prefetch
 * holds the core up for them: 150 ns a page (Zen 4 in a virtual machine, pages of 10 to
 * 64 KiB anywhere in huge pages), of which 8 pages that are touched together take one
 * (high:vi4 and high:vi8 0.95 of the time; 4 and 16 were no better). */
#define REACH 8u

/* Before every REACH pages of tier k, refs[lo] on: both ends of those that will be
 * prefetched after the next. */
static void reach_pages(sk_dec *c, uint32_t k, const sk_dec_pages *t, sk_val i, sk_val lo,
                        sk_val last, sk_val unit_add)
{
    sk_builder *b = c->b;
    const uint32_t ahead = (uint32_t)c->sched->v[SK_T_prefetch];
    sk_page_layout lay;
    if (ahead == 0) return;
    sk_page_layout_get(c->spec, k, &lay);
    const sk_val turn = sk_and(c, sk_ir_2(b, SK_OP_SUB, i, lo), REACH - 1);
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, turn, c->zero));
    for (uint32_t n = 1; n <= REACH; n++) {
        const sk_val page = later_page(c, t, i, ahead + n, last, unit_add);
        sk_ir_prefetch(b, page, c->zero, 0);
        sk_ir_prefetch(b, page, c->zero, lay.units * SPHKV_UNIT_BYTES - 64);
    }
    sk_ir_end(b);
}

/* One page for every query token. */
static void decode_queries(sk_dec *c, const sk_dec_pages *t, const sk_dec_at *at)
{
    sk_dec one;
    sk_dec_queries_begin(c, &one);
    const sk_val rows = sk_ir_ptr_add(c->b, t->ml, sk_dec_query_index(&one, at->row), c->heads * 8);
    one.ml = sk_dec_turn_row(c, rows, 8);
    decode_tokens(&one, at, one.lut != c->lut ? one.lut : at->lut);
    sk_dec_queries_end(c);
}

/* One page of tier k, refs[i]. */
static void decode_page(sk_dec *c, uint32_t k, const sk_dec_pages *t, sk_val i, sk_val last,
                        sk_val unit_add, sk_val lut)
{
    sk_builder *b = c->b;
    const uint32_t ahead = (uint32_t)c->sched->v[SK_T_prefetch];
    const sk_val ref = sk_ir_ptr_add(b, t->refs, i, 8); /* tables may be larger than 4 GiB */
    const sk_val unit = sk_add(c, sk_ir_ldu(b, SK_LD_U32, ref, c->zero, 0), unit_add);
    const sk_val count = sk_and(c, sk_ir_ldu(b, SK_LD_U32, ref, c->zero, 4), 0xffff);
    const sk_val page = sk_ir_name(b, sk_ir_ptr_add(b, c->arena, unit, SPHKV_UNIT_BYTES), "page");
    const sk_val next = ahead > 0 ? later_page(c, t, i, ahead, last, unit_add) : SK_NONE;
    const sk_val row = sk_add(c, sk_ir_2(b, SK_OP_MUL, i, t->step), t->add);
    sk_dec_at at = {k, row, page, count, lut, next, SK_NONE};
    if (sk_dec_has(c, SPHKV_VARIANT_BIAS)) at.bias = sk_ir_ptr_add(b, c->var.bias, i, c->p * 4);
    if (c->page_step)
        c->page_step(c, &at);
    else
        decode_queries(c, t, &at);
    if (sk_dec_counts(c->spec))
        sk_ir_set(b, c->var.before, sk_add(c, sk_ir_get(b, c->var.before), count));
}

/* What the keys of tier k need before its first page: tables, of every query token. */
static void begin_tier(sk_dec *c, uint32_t k, sk_val lut)
{
    for (sk_key_part p = {0}; sk_key_next_of(c->spec, c->sched, k, &p);) {
        sk_dec part, one = *c;
        uint32_t off;
        const sk_lut_form form = sk_dec_form(&p.spec, c->sched, p.slot);
        const bool tables = sk_form_looks_up(form) && fused(c->sched);
        if (tables) sk_dec_queries_begin(c, &one);
        const sk_val base = one.lut != c->lut ? one.lut : lut;
        sk_part_open(&one, &p, &part, &off);
        const sk_val at = off > 0 ? sk_ir_ptr_add(c->b, base, sk_k(c, off), 1) : base;
        if (tables) sk_part_tables(&part, p.slot, at);
        if (tables) sk_dec_queries_end(c);
        if (!sk_part_rebuilds(&p.spec, c->sched, p.slot)) continue;
        sk_part_open(c, &p, &part, &off);
        sk_part_rebuild_begin(&part, p.slot);
    }
}

void sk_dec_walk(sk_dec *c, sk_dec_pages *t)
{
    sk_builder *b = c->b;
    t->step = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_ML_STEP * 4);
    t->add = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_ML_ADD * 4);
    c->ml_wanted = sk_ir_2(b, SK_OP_NE, t->step, c->zero);
    const sk_val end =
        sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_TIER + c->spec->ntiers) * 4);
    const sk_val last = sk_ir_2(b, SK_OP_SUB, end, sk_k(c, 1));
    if (sk_dec_counts(c->spec))
        c->var.before =
            sk_ir_var(b, SK_WARP, sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_BEFORE * 4));
    for (uint32_t k = 0; k < c->spec->ntiers; k++) {
        const sk_val lo = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_TIER + k) * 4);
        const sk_val hi = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_TIER + k + 1) * 4);
        const sk_val unit_add = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_UNITS + k) * 4);
        sk_val lut = c->lut;
        if (sk_dec_lut_bytes(c->spec, c->sched, k) > 0 && !fused(c->sched))
            lut = sk_ir_ptr_add(b, c->tables, sk_k(c, sk_dec_lut_off(c->spec, c->sched, k)), 1);
        sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, lo, hi));
        begin_tier(c, k, lut);
        const sk_val i = sk_ir_for(b, lo, hi, 1);
        reach_pages(c, k, t, i, lo, last, unit_add);
        decode_page(c, k, t, i, last, unit_add, lut);
        sk_ir_end(b);
        sk_ir_end(b);
    }
}

static void decode_clear(sk_dec *c)
{
    sk_builder *b = c->b;
    for (uint32_t h = 0; h < c->h; h++) {
        sk_ir_stu(b, c->stat, c->zero, c->stat_m + h * 4, sk_ir_f32(b, -INFINITY));
        sk_ir_stu(b, c->stat, c->zero, c->stat_l + h * 4, sk_ir_f32(b, 0.0f));
        sk_ir_stu(b, c->stat, c->zero, c->stat_small + h * 4, sk_ir_f32(b, 0.0f));
        sk_ir_stu(b, c->stat, c->zero, c->stat_small_m + h * 4, sk_ir_f32(b, -INFINITY));
    }
    const sk_val i = sk_ir_for(b, c->zero, sk_k(c, c->h * c->cp), c->w);
    sk_ir_stv(b, c->acc, sk_mul(c, i, 4), 0, sk_ir_f32(b, 0.0f));
    sk_ir_end(b);
}

void sk_dec_start(sk_dec *all)
{
    sk_dec one, *c = &one;
    sk_dec_queries_begin(all, c);
    c->q = sk_dec_query_row(c, c->q, c->var.q_tok);
    sk_part_query(c, c->qt != SK_NONE);
    if (c->q16 != SK_NONE) sk_part_query16(c);
    if (c->qm != SK_NONE) sk_part_mean(c);
    sk_part_queries(c);
    decode_clear(c);
    sk_dec_queries_end(all);
}

static sk_status build_decode(const sk_spec *spec, const sk_schedule *sched, const char *symbol,
                              sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    uint32_t taken = 0;
    sk_ir_begin(b, arena, symbol, (uint32_t)sched->v[SK_T_w], 1);
    sk_dec_init(c, b, spec, sched);
    dec_params(c, (spec->variants & SPHKV_VARIANT_QUERIES) != 0);
    sk_dec_variant_params(c);
    c->arena = sk_ir_param_ptr(b, "arena", false);
    sk_dec_pages pages = {.refs = sk_ir_param_ptr(b, "refs", false)};
    sk_dec_outputs to = {.out = sk_ir_param_ptr(b, "out", true)};
    to.out_stride = sk_ir_param_u32(b, "out_head_bytes");
    to.partials = sk_ir_param_ptr(b, "partials", true);
    to.lse = sk_ir_param_ptr(b, "lse", true);
    pages.ml = sk_ir_param_ptr(b, "page_ml", true);
    sk_rope_params(c);
    constants(c);
    sk_dec_areas(c, in_scratch, &taken);
    sk_dec_turns_begin(c);
    sk_dec_start(c);
    sk_dec_walk(c, &pages);
    sk_part_finish(c, &to);
    sk_dec_turns_end(c);
    return sk_ir_finish(b, out, err);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_text symbol = {0}, tables = {0};
    memset(out, 0, sizeof *out);
    sk_spec_symbol(spec, &symbol);
    sk_text_printf(&tables, "%s_lut_build", symbol.s ? symbol.s : "");
    sk_status st = symbol.failed || tables.failed
                       ? sk_fail(err, SPHKV_ENOMEM, "out of memory")
                       : build_decode(spec, sched, symbol.s, arena, &out->program[SK_DEC_DECODE], err);
    if (st == SPHKV_OK) st = sk_build_merge(spec, sched, arena, &out->program[SK_DEC_MERGE], err);
    out->n = 2;
    if (st == SPHKV_OK && sched->v[SK_T_lut_build] == SK_LUT_SEPARATE) {
        st = build_tables(spec, sched, tables.s, arena, &out->program[SK_DEC_LUT], err);
        out->n = 3;
    }
    sk_text_free(&symbol);
    sk_text_free(&tables);
    return st;
}

/* Codes, scales, values, codebooks, q and out, each once. Tokens are taken to
 * be spread evenly over the tiers of the mix. */
static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    const double lists = (double)shape->batch * shape->kv_heads;
    const bool many = (spec->variants & SPHKV_VARIANT_QUERIES) != 0 && shape->q_len > 1;
    const double queries = many ? shape->q_len : 1;
    const double heads = lists * spec->heads_per_kv * queries;
    double page_bytes = 0;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, i, &lay);
        page_bytes += (double)lay.bytes / spec->ntiers;
    }
    memset(out, 0, sizeof *out);
    out->token_heads = lists * shape->context;
    out->read_bytes = out->token_heads / spec->page * page_bytes;
    out->read_bytes += (double)shape->kv_heads * sk_codebook_head_bytes(spec);
    out->read_bytes += heads * spec->d * (spec->q_dtype == SPHKV_F32 ? 4 : 2);
    out->write_bytes = heads * spec->dv * (spec->out_dtype == SPHKV_F32 ? 4 : 2);
    out->operations = out->token_heads * queries * spec->heads_per_kv * (spec->d + spec->dv);
}

static const sk_kernel_form on_cpu = {
    .default_schedule = sk_attn_default_schedule,
    .valid = sk_attn_valid,
    .build = build,
    .prepare = sk_attn_prepare,
    .workspace = sk_attn_workspace,
    .run = sk_attn_run,
};

const sk_kernel sk_kernel_attn_decode = {
    .args_size = sizeof(sphkv_attn_args),
    .workspace_at = offsetof(sphkv_attn_args, workspace),
    .over_lists = true,
    .weight = 4, /* attention is where time goes */
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_gpu_attn},
    .cost = cost,
};
