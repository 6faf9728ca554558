/* attn_scratch.c - sizes of the attention kernel and the areas of its scratch (decode.h);
 * query heads in turns. */
#include <string.h>

#include "part_bytes.h"
#include "part_probs.h"
#include "part_rebuild.h"
#include "part_rope.h"
#include "part_segments.h"
#include "part_vk.h"

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
    c->stat_page = c->h * 20;
    c->stat_rest = c->h * 24;
    c->stat_size = c->h * 28;
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

bool sk_dec_uses_rows(const sk_spec *spec, const sk_schedule *sched)
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

void sk_dec_query_areas(sk_dec *c, bool tables, sk_dec_place *place, void *user)
{
    const uint32_t heads = c->h * c->d * 4;
    c->qc = c->qs = place_query(c, "qs", heads, place, user);
    if (tables && (c->spec->book & SPHKV_BOOK_PERMUTATION || sk_spec_turned(c->spec)))
        c->qc = place_query(c, "qc", heads, place, user);
    if (tables && sk_dec_uses_rows(c->spec, c->sched))
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
    const uint32_t lut = sk_dec_fused(c->sched) ? sk_dec_lut_total(spec, c->sched) : 0;
    sk_dec_query_areas(c, sk_dec_fused(c->sched), place, user);
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
    c->stat = place_query(c, "stat", c->h * SK_STAT_BYTES, place, user);
}
