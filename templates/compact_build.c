/* compact_build.c - the program of token_compact: a block makes one sub-page of an
 * item and owns it. On a CPU with stores past the caches the page is made in scratch
 * and goes out by whole lines, which are then not read first; as its fields are done, so
 * that memory takes them while others are made. */
#include <string.h>

#include "token_compact.h"

static bool past(const sk_schedule *sched)
{
    return sched->backend == SK_BACKEND_CPU && sched->v[SK_T_store] == SK_STORE_PAST;
}

#define LINE 64u

static uint32_t most_units(const sk_spec *spec)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, i, &lay);
        if (lay.units > most) most = lay.units;
    }
    return most;
}

/* How a field is made. */
typedef void field_way(sk_compact *c, const sk_compact_field *f);

static field_way *way_of(const sk_compact *c, const sk_compact_field *f)
{
    const bool bits = sk_compact_bits_fit(c, f);
    if (sk_compact_nibbles_fit(c, f)) return sk_compact_nibbles;
    if (sk_compact_rows_fit(c, f) && !(bits && f->bits == 8)) return sk_compact_rows;
    if (bits) return sk_compact_bits;
    if (sk_compact_half_rows_fit(c, f)) return sk_compact_half_rows;
    if (sk_compact_keys_fit(c, f)) return sk_compact_keys;
    return sk_compact_values_fit(c, f) ? sk_compact_values : sk_compact_lanes;
}

/* Bytes that codes take on their way, in the tier that has most. */
static uint32_t code_bytes(sk_compact *c)
{
    uint32_t most = 0;
    for (uint32_t t = 0; t < c->dec.spec->ntiers; t++) {
        sk_compact_tier(c, t);
        for (uint32_t i = 0; i < c->n; i++)
            if (way_of(c, &c->field[i]) == sk_compact_bits && c->field[i].n * c->dec.p > most)
                most = c->field[i].n * c->dec.p;
    }
    return most;
}

static void init(sk_compact *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched)
{
    memset(c, 0, sizeof *c);
    c->dec = (sk_dec){.b = b, .spec = spec, .sched = sched, .w = (uint32_t)sched->v[SK_T_w],
                      .d = spec->d, .dv = spec->dv, .p = spec->page,
                      .tp = (spec->page + 15) / 16 * 16, .cp = (spec->dv + 15) / 16 * 16};
    c->dec.zero = sk_ir_u32(b, 0);
    c->dec.lane = sk_ir_lane(b);
    c->enc = (sk_enc){.b = b, .spec = spec, .w = c->dec.w, .zero = c->dec.zero, .lane = c->dec.lane,
                      .gpu = sched->backend == SK_BACKEND_CUDA};
    const uint32_t scales = sk_compact_scale_bytes(spec);
    c->slots = sk_ir_name(b, sk_ir_shared(b, c->dec.tp * 4), "slots");
    if (sk_compact_by_bytes(c)) c->slot8 = sk_ir_name(b, sk_ir_shared(b, c->dec.tp), "slot8");
    c->starts = sk_ir_name(b, sk_ir_shared(b, (c->dec.tp + 2) * 4), "starts");
    if (scales) c->scales = sk_ir_name(b, sk_ir_shared(b, scales), "scales");
    if (!c->enc.gpu) c->places = sk_ir_name(b, sk_ir_shared(b, 2 * c->dec.tp * 4), "places");
    const uint32_t codes = c->enc.gpu ? 0 : code_bytes(c);
    if (codes) c->bytes = sk_ir_name(b, sk_ir_shared(b, codes), "bytes");
    if (past(sched)) c->made = sk_ir_name(b, sk_ir_shared(b, most_units(spec) * SPHKV_UNIT_BYTES + LINE), "made");
}

/* Whether a field of scales is the minima of the one before. */
static bool is_minima(const sk_compact *c, uint32_t i)
{
    return i > 0 && c->field[i - 1].as == SK_AS_SCALES && c->field[i - 1].scale == i;
}

/* Whether all bytes of a field are stored, and none is added to. */
static bool made_whole(const sk_compact *c, const sk_compact_field *f)
{
    if (c->enc.gpu) return true;
    if (f->as == SK_AS_SCALES) return false;
    field_way *way = way_of(c, f);
    return way == sk_compact_values || way == sk_compact_bits || way == sk_compact_lanes;
}

/* Zeros wherever no field is made whole. */
static void zero(sk_compact *c)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const sk_compact_field *f = &c->field[i];
        if (!made_whole(c, f)) continue;
        sk_enc_zero(&c->enc, end, f->off);
        end = f->off + (sk_compact_elements(c->dec.spec, f) * f->bits + 31) / 32 * 4;
    }
    sk_enc_zero(&c->enc, end, c->lay.units * SPHKV_UNIT_BYTES);
}

void sk_compact_out(sk_compact *c, sk_val end)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    if (!past(d->sched)) return;
    const sk_val whole = sk_and(d, end, ~(4 * d->w - 1)), from = sk_ir_get(b, c->sent);
    const sk_val at = sk_ir_for(b, from, whole, 4 * d->w);
    sk_ir_stn(b, c->out, at, 0, sk_ir_ldv(b, SK_LD_U32, c->enc.dst_page, at, 0));
    sk_ir_end(b);
    sk_ir_set(b, c->sent, sk_ir_2(b, SK_OP_UMAX, from, whole));
}

void sk_compact_out_one(sk_compact *c, sk_val end)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    if (!past(d->sched)) return;
    const sk_val at = sk_ir_get(b, c->sent), next = sk_add(d, at, sk_k(d, 4 * d->w));
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULE, next, end));
    sk_ir_stn(b, c->out, at, 0, sk_ir_ldv(b, SK_LD_U32, c->enc.dst_page, at, 0));
    sk_ir_set(b, c->sent, next);
    sk_ir_end(b);
}

/* In the order of their offsets, which what goes out follows. */
static void fields(sk_compact *c)
{
    uint32_t asked = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const sk_compact_field *f = &c->field[i];
        if (!c->enc.gpu && f->as != SK_AS_SCALES && way_of(c, f) != sk_compact_lanes)
            asked = sk_compact_ahead_field(c, f, asked);
        if (f->as == SK_AS_SCALES)
            sk_encode_pack(&c->enc, sk_ir_ptr_add(c->dec.b, c->scales, sk_k(&c->dec, c->at[i]), 1), f->n, 16,
                           f->off);
        else
            way_of(c, f)(c, f);
        sk_compact_out(c, sk_k(&c->dec, i + 1 < c->n ? f->off + sk_compact_elements(c->dec.spec, f) * f->bits / 8
                                                     : c->lay.units * SPHKV_UNIT_BYTES));
    }
}

/* A page that is made aside, so that lines of its largest field are lines there. */
static sk_val made_page(sk_compact *c)
{
    uint32_t off = 0, most = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const uint32_t bits = sk_compact_elements(c->dec.spec, &c->field[i]) * c->field[i].bits;
        if (bits > most) {
            most = bits;
            off = c->field[i].off;
        }
    }
    return sk_ir_ptr_add(c->dec.b, c->made, sk_k(&c->dec, (LINE - off % LINE) % LINE), 1);
}

static void page(sk_compact *c, uint32_t tier_slot, sk_val src, sk_val dst, sk_val unit, sk_val sub)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const bool aside = past(d->sched);
    sk_compact_tier(c, tier_slot);
    const sk_val more = sk_mul(d, sub, c->lay.units);
    c->src = sk_ir_ptr_add(b, src, more, SPHKV_UNIT_BYTES);
    dst = sk_ir_ptr_add(b, sk_ir_ptr_add(b, dst, unit, SPHKV_UNIT_BYTES), more, SPHKV_UNIT_BYTES);
    c->enc.dst_page = aside ? made_page(c) : dst;
    c->out = dst;
    if (aside) c->sent = sk_ir_var(b, SK_WARP, d->zero);
    if (!c->enc.gpu) c->next_src = sk_ir_ptr_add(b, src, sk_mul(d, c->next_sub, c->lay.units), SPHKV_UNIT_BYTES);
    zero(c);
    for (uint32_t i = 0; i < c->n; i++)
        if (c->field[i].as == SK_AS_SCALES && !is_minima(c, i)) sk_compact_scales(c, i);
    sk_enc_sync(&c->enc);
    fields(c);
}

sk_status sk_compact_build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                           sk_build *out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_compact compact, *c = &compact;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    const sk_val items = sk_ir_param_ptr(b, "items", false);
    const sk_val tokens = sk_ir_param_ptr(b, "tokens", false);
    const sk_val src = sk_ir_param_ptr(b, "src", false), dst = sk_ir_param_ptr(b, "dst", true);
    const sk_val subs = sk_ir_param_u32(b, "sub_pages"), last = sk_ir_param_u32(b, "last_block");
    const sk_val block = sk_ir_block(b, 0);
    init(c, b, spec, sched);
    const sk_val index = sk_ir_2(b, SK_OP_UDIV, block, subs), sub = sk_ir_2(b, SK_OP_UREM, block, subs);
    const sk_val item = sk_ir_ptr_add(b, items, index, sizeof(sphkv_compact_item));
    sk_val f[4]; /* dst_unit, tier_slot, first, count */
    for (uint32_t i = 0; i < 4; i++) f[i] = sk_ir_ldu(b, SK_LD_U32, item, c->dec.zero, i * 4);
    c->tokens = sk_ir_ptr_add(b, tokens, f[2], sizeof(sphkv_compact_token));
    c->count = sk_ir_2k(b, SK_OP_UMIN, f[3], spec->page);
    sk_compact_tokens(c);
    sk_compact_ahead(c, items, tokens, subs, sk_ir_2(b, SK_OP_UMIN, sk_ir_2k(b, SK_OP_ADD, block, 1), last));
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, f[1], i));
        page(c, i, src, dst, f[0], sub);
        sk_ir_end(b);
    }
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}
