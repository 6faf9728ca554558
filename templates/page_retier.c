/* page_retier.c - whole pages from one tier to another, either of them coded or dense: a
 * token that is looked at less moves to a smaller tier, one that is looked at more
 * cannot get back what it lost, but moves all the same.
 *
 * Applies to a mix of exactly two tiers, destination then source, keys of either in one
 * segment or several; values of any format, from keys (vk) only where the destination's are,
 * too. Positions are copied. Where one tier keeps keys before RoPE (p) and the other does not,
 * they are rotated, or back, by the positions that the source page stores.
 *
 * An item is made by one block. It rebuilds the source page in scratch as a kf32:vf32 page, by the
 * code of attn_decode, and codes that by the code of kv_encode. Keys that are coded whole on
 * both sides, and not rotated, stay in the space of codes: a mean and a permutation are the set's, so that neither
 * is undone only to be done again, at the cost of bits where a mean is much larger than
 * what is left of a key without it. */
#include <string.h>

#include "page_retier.h"
#include "part_rebuild.h"
#include "part_rope.h"
#include "part_segments.h"
#include "part_value.h"

/* Segments of the destination's key that are coded. */
static uint32_t coded_segments(const sk_tier *tier)
{
    uint32_t n = 0;
    for (uint32_t s = 0; s < tier->nseg; s++) n += tier->seg[s].kind == SK_KEY_CODED;
    return n;
}

/* Whether keys are coded whole on both sides and not rotated: they stay in the space of codes. */
static bool stays_coded(const sk_spec *spec)
{
    const sk_tier *to = &spec->tier[SK_RETIER_TO], *from = &spec->tier[SK_RETIER_FROM];
    return !sk_encode_turns(spec) && coded_segments(to) == to->nseg && coded_segments(from) == from->nseg;
}

/* Whether source pages store them. */
static bool has_positions(const sk_spec *spec)
{
    sk_page_layout lay;
    sk_page_layout_get(spec, SK_RETIER_FROM, &lay);
    return lay.pos_off != SK_NO_FIELD;
}

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    sk_status st = sk_rows_supported(spec, "page_retier", err);
    const sk_tier *to = &spec->tier[SK_RETIER_TO], *from = &spec->tier[SK_RETIER_FROM];
    if (st != SPHKV_OK) return st;
    if (spec->ntiers != 2)
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "page_retier: a mix of two tiers (destination, source), not %u", spec->ntiers);
    if (from->value == SK_VAL_KEY && to->value != SK_VAL_KEY)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "page_retier: %s values from a source of vk",
                       sk_value_name(to->value));
    if (sk_encode_turns(spec) && !has_positions(spec))
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "page_retier: keys before RoPE (p) from keys after it in pages that store no "
                       "positions (variant positions)");
    const bool stay = stays_coded(spec);
    if (spec->book & SPHKV_BOOK_MEAN && coded_segments(from) > 0 && coded_segments(to) > 0 && !stay)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "page_retier: with a mean, coded keys %s",
                       sk_encode_turns(spec) ? "before RoPE (p) and after it"
                                             : "where some segments of either tier are dense");
    st = sk_rope_supported(spec, "page_retier", err);
    return st == SPHKV_OK ? sk_variants_supported(spec, SPHKV_VARIANT_POSITIONS, err) : st;
}

/* ---- building ------------------------------------------------------------- */

void sk_retier_split(const sk_spec *spec, sk_retier_specs *out)
{
    const bool keys_only = spec->tier[SK_RETIER_TO].value == SK_VAL_KEY;
    sk_tier *from = &out->from.tier[SK_RETIER_FROM];
    out->from = out->to = out->set = *spec;
    for (uint32_t s = 0; s < from->nseg; s++) from->seg[s].pre_rope = false;
    out->to.tier[SK_RETIER_FROM] =
        (sk_tier){.nseg = 1, .value = (uint8_t)(keys_only ? SK_VAL_KEY : SK_VAL_F32),
                  .seg = {{.kind = SK_KEY_F32}}};
    if (stays_coded(spec)) out->from.book = out->to.book = out->set.book = 0;
}

sk_retier_turn sk_retier_turn_of(const sk_spec *spec)
{
    const bool back = sk_tier_pre_rope(&spec->tier[SK_RETIER_TO]);
    return (sk_retier_turn){.any = sk_encode_turns(spec), .back = back,
                            .tier = back ? SK_RETIER_TO : SK_RETIER_FROM};
}

void sk_retier_rope_params(sk_dec *d, const sk_spec *spec)
{
    const sk_spec *own = d->spec;
    if (!sk_encode_turns(spec)) return;
    d->spec = spec;
    sk_rope_params(d);
    d->spec = own;
}

typedef struct retier {
    const sk_spec *spec;
    sk_retier_specs both;
    sk_page_layout lay; /* of the source */
    sk_dec dec;
    sk_enc enc;
    sk_val page, room;  /* the source, and what it becomes */
} retier;

static uint32_t book_bytes(const sk_dec *d, const sk_key_part *p)
{
    return sk_rebuild_book_bytes(&p->spec, d->sched, p->slot);
}

/* Of what keys are rebuilt from. */
static void rebuild_scratch(sk_dec *d)
{
    uint32_t book = 0, spans = 0;
    bool back = false;
    for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, SK_RETIER_FROM, &p);) {
        const uint32_t all = sk_rebuild_spans(&p.spec, p.slot);
        book = book_bytes(d, &p) > book ? book_bytes(d, &p) : book;
        spans = all > spans ? all : spans;
        back |= sk_turns_back(&p.spec, p.slot);
    }
    if (book) d->book = sk_ir_name(d->b, sk_ir_shared(d->b, book), "book");
    if (spans) d->rad = sk_ir_name(d->b, sk_ir_shared(d->b, spans * 4), "rad");
    if (back)
        d->turned = sk_ir_name(d->b, sk_ir_shared(d->b, d->d * d->w * 4), "turned");
    if (spans && d->spec->book & SPHKV_BOOK_PERMUTATION)
        d->where = sk_ir_name(d->b, sk_ir_shared(d->b, d->d * 4), "where");
}

static void init(retier *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched)
{
    c->spec = spec;
    sk_retier_split(spec, &c->both);
    sk_page_layout_get(spec, SK_RETIER_FROM, &c->lay);
    sk_dec_init(&c->dec, b, &c->both.from, sched);
    sk_retier_rope_params(&c->dec, spec);
    sk_encode_init(&c->enc, &c->both.to, sched);
    c->enc.b = b;
    c->enc.set = &c->both.set;
    c->enc.rebuilt = true;
    c->enc.zero = c->dec.zero = sk_ir_u32(b, 0);
    c->enc.lane = c->dec.lane = sk_ir_lane(b);
    c->room = sk_ir_name(b, sk_ir_shared(b, c->enc.src.units * SPHKV_UNIT_BYTES), "page");
    c->dec.keys = sk_ir_ptr_add(b, c->room, sk_k(&c->dec, c->enc.src.seg[0].key_off), 1);
    rebuild_scratch(&c->dec);
    if (sk_encode_turns(spec))
        c->dec.cosines = sk_ir_name(b, sk_ir_shared(b, sk_rope_bytes(&c->dec)), "cosines");
    sk_encode_scratch(&c->enc);
}

/* All slots of the page: what those behind count hold is left out when it is coded. */
static void rebuild_keys(retier *c)
{
    sk_dec *d = &c->dec, part;
    for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, SK_RETIER_FROM, &p);) {
        const sk_seg_layout *lay = &c->lay.seg[p.seg];
        sk_rebuilt_open(d, &p, d->d, &part);
        part.keys_d = d->d;
        if (lay->dim0 > 0) part.keys = sk_ir_ptr_add(d->b, d->keys, sk_k(d, lay->dim0), 64);
        if (sk_dec_seg(&p.spec, p.slot)->kind == SK_KEY_CODED) {
            sk_rebuild_load_words(&part, p.slot, c->enc.book);
            sk_rebuild_load_order(&part, c->enc.book);
            sk_rebuild_scales(&part, p.slot, lay, c->page);
        }
        const sk_val t = sk_ir_for(d->b, d->zero, sk_k(d, d->p), d->w);
        sk_part_rebuild_vector(&part, p.slot, lay, c->page, c->enc.book, t, t, SK_NONE);
        sk_ir_end(d->b);
    }
}

static void rotate_keys(retier *c)
{
    sk_dec *d = &c->dec;
    const sk_retier_turn turn = sk_retier_turn_of(c->spec);
    if (!turn.any) return;
    const sk_val t = sk_ir_for(d->b, d->zero, sk_k(d, d->p), d->w);
    sk_rope_like(d, c->spec, turn.tier, turn.back, c->lay.pos_off, c->page, t);
    sk_ir_end(d->b);
}

static void rebuild_values(retier *c)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    if (c->enc.src.value_off == SK_NO_FIELD) return;
    sk_value_form f = sk_value_form_of(d, SK_RETIER_FROM, d->w, false);
    const sk_val v0 = sk_ir_ptr_add(b, c->page, sk_k(d, c->lay.value_off), 1);
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, d->dv), d->w);
    sk_value_channels(d, &f, &c->lay, c->page, c0);
    const sk_val block = sk_value_block(d, &f, c0);
    const sk_val first = sk_mul(d, sk_mul(d, sk_shr(d, c0, 4), d->tp), 16);
    const sk_val to = sk_ir_ptr_add(b, c->room, sk_add(d, first, sk_and(d, c0, 15)), 4);
    const sk_val t = sk_ir_for(b, d->zero, sk_k(d, d->p), f.pairs ? 2 : 1);
    const sk_val steps = f.pairs ? sk_shr(d, t, 1) : t, at = sk_mul(d, t, 64);
    sk_val lo, hi;
    sk_value_floats(d, &f, v0, sk_add(d, block, sk_mul(d, steps, f.step)), &lo, &hi);
    sk_ir_stv(b, to, at, c->enc.src.value_off, lo);
    if (f.pairs) sk_ir_stv(b, to, at, c->enc.src.value_off + 64, hi);
    sk_ir_end(b);
    sk_ir_end(b);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    retier state, *c = &state;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_encode_list list;
    sk_encode_list_begin(&list, b);
    init(c, b, spec, sched);
    sk_encode_list_item(&list, &c->enc, spec);
    c->page = c->enc.src_page;
    rebuild_keys(c);
    rotate_keys(c);
    rebuild_values(c);
    c->enc.src_page = c->room;
    sk_encode_fields(&c->enc);
    sk_encode_positions(&c->enc, c->page, c->lay.pos_off);
    sk_encode_list_end(&list);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

static const sk_kernel_form on_cpu = {
    .default_schedule = sk_encode_default,
    .valid = sk_encode_valid,
    .build = build,
    .workspace = sk_encode_workspace,
    .run = sk_encode_run,
};

const sk_kernel sk_kernel_page_retier = {
    .args_size = sizeof(sphkv_encode_args),
    .workspace_at = offsetof(sphkv_encode_args, workspace),
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_retier_on_gpu},
    .cost = sk_encode_cost,
    .shape = sk_items_prefill,
};
