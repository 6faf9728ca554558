/* tile_slab.c - where the numbers of a slab lie, field by field: in its page, or in
 * scratch, where a warp's copies bring them `stages` slabs ahead.
 *
 * A field is so many rows (groups, spans, blocks of channels; one, where tokens are
 * the outermost order) with the slab's tokens a run in each. Copies are of 16 bytes a
 * lane; a field whose runs are no multiple of that is read where it is, and so is, in
 * a mix with coded tiers, a tier whose slabs are larger than theirs: the dense tail of
 * a cache is short, and scratch that waits for it would be lost. Runs stand in
 * scratch without gaps: what the lanes of a warp read at once is 128 bytes in a row
 * for blocked codes, keys and vi8 in pairs, so it meets no bank twice. */
#include "tile_impl.h"

#include <string.h>

bool sk_tile_blocked(const sk_spec *spec, uint32_t tier_slot)
{
    return sk_layout_codes_blocked(spec, sk_dec_seg(spec, tier_slot));
}

/* Bytes of 16 tokens of one dimension. */
uint32_t sk_tile_key_bytes(uint32_t kind)
{
    return kind == SK_KEY_I4 ? 8 : kind == SK_KEY_I8 || kind == SK_KEY_F8 ? 16 : 32;
}

/* Bytes of 16 channels of one token. */
uint32_t sk_tile_value_bytes(uint32_t kind)
{
    return kind == SK_VAL_I4 ? 8 : kind == SK_VAL_I8 || kind == SK_VAL_F8 ? 16 : 32;
}

/* ---- geometry ------------------------------------------------------------------ */

/* A field of a tier's pages, as a slab takes it. */
typedef struct part {
    uint32_t off;        /* in the page; SK_NO_FIELD: there is none */
    uint32_t rows, run;  /* how many, bytes of a slab in one */
    uint32_t stride;     /* bytes from a row to the next in the page */
    uint32_t shift, step;/* the slab from token t0 on begins (t0 >> shift) * step on */
    uint32_t staged;     /* where it begins in a staged slab, or SK_NONE */
} part;

static void set(part *p, uint32_t off, uint32_t rows, uint32_t run, uint32_t stride)
{
    if (off == SK_NO_FIELD) return;
    p->off = off;
    p->rows = rows;
    p->run = run;
    p->stride = stride;
}

/* Rows of P numbers of `bits`. */
static void set_tokens(part *p, uint32_t off, uint32_t rows, uint32_t bits, uint32_t page, uint32_t slab)
{
    set(p, off, rows, slab * bits / 8, page * bits / 8);
    p->shift = 4;
    p->step = 2 * bits;
}

static void key_parts(const sk_spec *spec, uint32_t k, const sk_seg_layout *lay, uint32_t slab, part *p)
{
    const sk_segment *seg = sk_dec_seg(spec, k);
    if (seg->kind == SK_KEY_CODED) {
        set(&p[SK_FIELD_RSCALE], lay->rscale_off, 1, (lay->spans * 2 + 15) & ~15u, 0);
        set_tokens(&p[SK_FIELD_RADIUS], lay->radius_off, lay->spans, seg->rb, spec->page, slab);
        set_tokens(&p[SK_FIELD_CODE], lay->code_off, lay->groups, seg->b, spec->page, slab);
        if (!sk_tile_blocked(spec, k)) return;
        p[SK_FIELD_CODE].run = p[SK_FIELD_CODE].step = 32; /* of 64 tokens */
        p[SK_FIELD_CODE].shift = 6;
        return;
    }
    const uint32_t rows = (spec->d + 31) / 32, bytes = spec->d * sk_tile_key_bytes(seg->kind);
    if (seg->kind == SK_KEY_F8)
        set(&p[SK_FIELD_KSCALE], lay->kscale_off, 1, 16, 0);
    else if (lay->kscale_off != SK_NO_FIELD)
        set_tokens(&p[SK_FIELD_KSCALE], lay->kscale_off, rows, 16, spec->page, slab);
    set(&p[SK_FIELD_KEY], lay->key_off, 1, slab / 16 * bytes, 0);
    p[SK_FIELD_KEY].shift = 4;
    p[SK_FIELD_KEY].step = bytes;
}

static bool can_stage(const part *p) { return p->off != SK_NO_FIELD && p->run % 16 == 0; }

/* Fields of tier k; the bytes of a slab that can be staged. */
static uint32_t geometry(const sk_spec *spec, const sk_schedule *sched, uint32_t k, part p[SK_FIELDS])
{
    const uint32_t slab = (uint32_t)sched->v[SK_T_slab];
    const uint32_t bytes = sk_tile_value_bytes(spec->tier[k].value);
    sk_page_layout lay;
    uint32_t all = 0;
    sk_page_layout_get(spec, k, &lay);
    memset(p, 0, SK_FIELDS * sizeof *p);
    for (uint32_t i = 0; i < SK_FIELDS; i++) p[i].off = SK_NO_FIELD;
    key_parts(spec, k, &lay.seg[0], slab, p);
    const uint32_t channels = spec->tier[k].value == SK_VAL_F8 ? 16 : lay.cp * 2;
    set(&p[SK_FIELD_VSCALE], lay.vscale_off, 1, channels, 0);
    set(&p[SK_FIELD_VMIN], lay.vmin_off, 1, channels, 0);
    set(&p[SK_FIELD_VALUE], lay.value_off, lay.cp / 16, slab * bytes, lay.tp * bytes);
    p[SK_FIELD_VALUE].step = bytes;
    for (uint32_t i = 0; i < SK_FIELDS; i++) all += can_stage(&p[i]) ? p[i].rows * p[i].run : 0;
    return all;
}

uint32_t sk_tile_staged_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    uint32_t coded = 0, any = 0;
    for (uint32_t k = 0; k < spec->ntiers && sched->v[SK_T_stages] > 0; k++) {
        part p[SK_FIELDS];
        const uint32_t bytes = geometry(spec, sched, k, p);
        const bool is_coded = sk_dec_seg(spec, k)->kind == SK_KEY_CODED;
        coded = is_coded && bytes > coded ? bytes : coded;
        any = bytes > any ? bytes : any;
    }
    return ((coded > 0 ? coded : any) + 127) & ~127u;
}

/* Fields of tier k, and where they are staged. */
static void parts_of(const sk_spec *spec, const sk_schedule *sched, uint32_t k, part p[SK_FIELDS])
{
    const bool fits = geometry(spec, sched, k, p) <= sk_tile_staged_bytes(spec, sched);
    uint32_t at = 0;
    for (uint32_t i = 0; i < SK_FIELDS; i++) {
        p[i].staged = fits && can_stage(&p[i]) ? at : SK_NONE;
        if (p[i].staged != SK_NONE) at += p[i].rows * p[i].run;
    }
}

/* ---- a slab -------------------------------------------------------------------- */

static sk_val in_page(sk_tile *t, const part *p, sk_val page, sk_val t0)
{
    sk_dec *c = t->c;
    const sk_val from = sk_ir_ptr_add(c->b, page, sk_k(c, p->off), 1);
    return sk_ir_ptr_add(c->b, from, sk_shr(c, t0, p->shift), p->step);
}

sk_slab sk_tile_slab(sk_tile *t, uint32_t k, sk_val page, sk_val t0, sk_val count, sk_val staged)
{
    sk_dec *c = t->c;
    sk_slab s = {.tier = k, .seg = sk_dec_seg(c->spec, k), .half = SK_NONE};
    part p[SK_FIELDS];
    parts_of(c->spec, c->sched, k, p);
    sk_page_layout_get(c->spec, k, &s.lay);
    s.left = sk_ir_2(c->b, SK_OP_SUB, count, t0);
    s.blocked = sk_tile_blocked(c->spec, k);
    if (s.blocked) s.half = sk_shr(c, sk_and(c, t0, 32), 3);
    for (uint32_t i = 0; i < SK_FIELDS; i++) {
        if (p[i].off == SK_NO_FIELD) continue;
        const bool here = p[i].staged != SK_NONE;
        s.field[i].at = here ? sk_ir_ptr_add(c->b, staged, sk_k(c, p[i].staged), 1)
                             : in_page(t, &p[i], page, t0);
        s.field[i].stride = here ? p[i].run : p[i].stride;
    }
    return s;
}

/* ---- copies -------------------------------------------------------------------- */

/* Chunk i = lane + 32 * turn of a field: its row, and which of the row. */
static void copy_turn(sk_tile *t, const part *p, uint32_t turn, sk_val from, sk_val to)
{
    sk_dec *c = t->c;
    const uint32_t each = p->run / 16, all = p->rows * each;
    const sk_val i = sk_add(c, c->lane, sk_k(c, 32 * turn));
    const sk_val some = 32 * turn + 32 > all ? sk_ir_2k(c->b, SK_OP_ULT, i, all) : SK_NONE;
    sk_val src;
    uint32_t disp = 0;
    if (each % 32 == 0 || p->rows == 1) { /* a row is whole turns */
        const uint32_t turns = p->rows == 1 ? turn + 1 : each / 32;
        src = sk_mul(c, c->lane, 16);
        disp = turn / turns * p->stride + turn % turns * 512;
    } else if (32 % each == 0) { /* a turn is whole rows */
        const sk_val row = sk_ir_2(c->b, SK_OP_UDIV, c->lane, sk_k(c, each));
        const sk_val of_row = sk_mul(c, sk_and(c, c->lane, each - 1), 16);
        src = sk_add(c, sk_mul(c, row, p->stride), of_row);
        disp = 32 / each * turn * p->stride;
    } else {
        const sk_val row = sk_ir_2(c->b, SK_OP_UDIV, i, sk_k(c, each));
        const sk_val of_row = sk_mul(c, sk_ir_2(c->b, SK_OP_UREM, i, sk_k(c, each)), 16);
        src = sk_add(c, sk_mul(c, row, p->stride), of_row);
    }
    sk_ir_cp_async(c->b, to, sk_mul(c, c->lane, 16), p->staged + 512 * turn, from, src, disp, some);
}

void sk_tile_copy(sk_tile *t, uint32_t k, sk_val page, sk_val t0, sk_val staged)
{
    sk_dec *c = t->c;
    part p[SK_FIELDS];
    parts_of(c->spec, c->sched, k, p);
    for (uint32_t i = 0; i < SK_FIELDS; i++) {
        if (p[i].staged == SK_NONE) continue;
        const sk_val from = in_page(t, &p[i], page, t0);
        const uint32_t turns = (p[i].rows * p[i].run / 16 + 31) / 32;
        for (uint32_t turn = 0; turn < turns; turn++) copy_turn(t, &p[i], turn, from, staged);
    }
}
