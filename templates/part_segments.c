/* part_segments.c - see part_segments.h. */
#include "part_segments.h"

#include "part_rebuild.h"
#include "part_vk.h"

/* Whether the segments of a tier's key become the model's numbers together. sched: of
 * attention; NULL: keys are rebuilt. */
static bool whole_key(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    const bool mixed = spec->book & SPHKV_BOOK_PERMUTATION || sk_spec_turned(spec);
    if (tier->nseg == 1 || !mixed || sk_tier_is_dense(tier)) return false;
    return !sched || sk_tier_pre_rope(tier) || sk_dec_vk(spec, tier_slot);
}

/* Groups of a segment's part for each of its own. */
static uint32_t times_of(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot, uint32_t seg)
{
    const sk_segment *s = &spec->tier[tier_slot].seg[seg];
    const bool rebuilt = whole_key(spec, sched, tier_slot) || !sched || s->pre_rope || sched->v[SK_T_lut] == SK_LUT_REBUILD ||
                         sk_dec_vk(spec, tier_slot);
    return s->kind == SK_KEY_CODED && !rebuilt ? sk_segment_codes(s) : 1;
}

/* Whether a key is rebuilt as it is coded, in the frame of a transform. */
static bool framed(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    return sched && sched->v[SK_T_lut] == SK_LUT_REBUILD && sk_spec_turned(spec) &&
           !sk_tier_is_dense(tier) && !sk_tier_pre_rope(tier) && !sk_dec_vk(spec, tier_slot);
}

bool sk_key_parted(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    if (whole_key(spec, sched, tier_slot)) return false;
    return spec->tier[tier_slot].nseg > 1 || times_of(spec, sched, tier_slot, 0) > 1 ||
           framed(spec, sched, tier_slot);
}

bool sk_key_any_parted(const sk_spec *spec, const sk_schedule *sched)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (sk_key_parted(spec, sched, i)) return true;
    return false;
}

/* Whether the mean of a segment is <q, mean>, one number per query head: not of rotated
 * ones, which are rebuilt with it. */
static bool mean_apart(const sk_segment *seg) { return seg->kind == SK_KEY_CODED && !seg->pre_rope; }

static void cut_spec(const sk_spec *spec, uint32_t tier_slot, uint32_t seg, sk_spec *out)
{
    *out = *spec;
    out->ntiers = 1;
    out->tier[0] = spec->tier[tier_slot];
    out->tier[0].nseg = 1;
    out->tier[0].seg[0] = spec->tier[tier_slot].seg[seg];
    out->book &= out->tier[0].seg[0].kind == SK_KEY_CODED ? SPHKV_BOOK_MEAN : 0;
    if (mean_apart(&out->tier[0].seg[0])) out->book = 0;
    if (out->tier[0].seg[0].dims) out->d = out->tier[0].seg[0].dims;
    out->tier[0].seg[0].dims = 0;
}

/* One code a group, and `times` groups. */
static void spread_codes(sk_spec *spec, uint32_t times)
{
    sk_segment *seg = &spec->tier[0].seg[0];
    if (times == 1) return;
    spec->d *= times;
    seg->more = 0;
    if (seg->span != SK_SPAN_ALL) seg->span = (uint16_t)(seg->span * times);
}

bool sk_key_next_of(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot,
                    sk_key_part *at)
{
    const bool parted = sk_key_parted(spec, sched, tier_slot);
    if (at->next_seg >= (parted ? spec->tier[tier_slot].nseg : 1u)) return false;
    at->tier = tier_slot;
    at->seg = at->next_seg++;
    at->cut = parted;
    at->slot = parted ? 0 : tier_slot;
    at->times = times_of(spec, sched, tier_slot, at->seg);
    at->spec = *spec;
    if (!parted) return true;
    cut_spec(spec, tier_slot, at->seg, &at->spec);
    spread_codes(&at->spec, at->times);
    return true;
}

bool sk_rebuilt_next(const sk_spec *spec, uint32_t tier_slot, sk_key_part *at)
{
    if (!sk_key_next_of(spec, NULL, tier_slot, at)) return false;
    if (at->cut && sk_dec_seg(&at->spec, at->slot)->kind == SK_KEY_CODED)
        at->spec.book = spec->book & SPHKV_BOOK_MEAN;
    return true;
}

bool sk_coded_next(const sk_spec *spec, uint32_t tier_slot, sk_key_part *at)
{
    const uint32_t nseg = spec->tier[tier_slot].nseg;
    if (at->next_seg >= nseg) return false;
    at->tier = tier_slot;
    at->seg = at->next_seg++;
    at->cut = nseg > 1;
    at->slot = at->cut ? 0 : tier_slot;
    at->times = 1;
    at->spec = *spec;
    if (at->cut) cut_spec(spec, tier_slot, at->seg, &at->spec);
    at->spec.book = 0;
    return true;
}

bool sk_key_next(const sk_spec *spec, const sk_schedule *sched, sk_key_part *at)
{
    for (; at->next_tier < spec->ntiers; at->next_tier++) {
        if (sk_key_next_of(spec, sched, at->next_tier, at)) return true;
        at->next_seg = 0;
    }
    return false;
}

sk_seg_layout sk_key_fields(const sk_key_part *at, const sk_page_layout *lay)
{
    sk_seg_layout fields = lay->seg[at->seg];
    fields.dims *= at->times;
    fields.groups *= at->times;
    fields.span_dims *= at->times;
    return fields;
}

/* ---- the decode of a part ---------------------------------------------------- */

bool sk_part_rebuilds(const sk_spec *spec, const sk_schedule *sched, uint32_t slot)
{
    return sk_dec_form(spec, sched, slot) == SK_FORM_REBUILD || sk_vk_rebuilds(spec, sched, slot);
}

static uint32_t first_with_mean(const sk_tier *tier)
{
    uint32_t s = 0;
    while (s < tier->nseg && !mean_apart(&tier->seg[s])) s++;
    return s;
}

/* Whether <q, mean> is over fewer dimensions than the head's. */
static bool own_mean(const sk_spec *spec, uint32_t tier_slot)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    uint32_t coded = 0;
    for (uint32_t s = 0; s < tier->nseg; s++) coded += mean_apart(&tier->seg[s]);
    return spec->book & SPHKV_BOOK_MEAN && coded > 0 && coded < tier->nseg;
}

void sk_rebuilt_open(const sk_dec *c, const sk_key_part *part, uint32_t dims, sk_dec *out)
{
    *out = *c;
    out->vdim0 = 0;
    if (part->cut) {
        out->spec = &part->spec;
        out->whole = c->spec;
        out->tier = part->tier;
        out->seg = part->seg;
        out->d = part->spec.d;
        for (uint32_t s = 0; s < part->seg; s++) out->vdim0 += c->spec->tier[part->tier].seg[s].dims;
    }
    const uint32_t left = dims > out->vdim0 ? dims - out->vdim0 : 0;
    out->vdims = left < out->d ? left : out->d;
}

sk_seg_layout sk_coded_open(const sk_dec *c, const sk_key_part *part, const sk_seg_layout *lay,
                            sk_dec *out)
{
    uint32_t book = 0, spans = 0;
    sk_page_layout page;
    sk_rebuilt_open(c, part, c->d, out);
    out->spec = &part->spec;
    if (!part->cut) return *lay;
    sk_page_layout_get(c->spec, part->tier, &page);
    for (sk_key_part p = {0}; sk_coded_next(c->spec, part->tier, &p) && p.seg < part->seg;) {
        book += sk_rebuild_book_bytes(&p.spec, c->sched, p.slot);
        spans += page.seg[p.seg].spans;
    }
    if (book > 0) out->book = sk_ir_ptr_add(c->b, c->book, sk_k(out, book), 1);
    if (spans > 0) out->rad = sk_ir_ptr_add(c->b, c->rad, sk_k(out, spans), 4);
    return page.seg[part->seg];
}

void sk_part_open(const sk_dec *c, const sk_key_part *part, sk_dec *out, uint32_t *lut_off)
{
    uint32_t book_off = 0;
    sk_rebuilt_open(c, part, c->dv, out);
    *lut_off = 0;
    if (!part->cut) return;
    for (sk_key_part p = {0}; sk_key_next_of(c->spec, c->sched, part->tier, &p) && p.seg < part->seg;) {
        *lut_off += sk_dec_lut_bytes(&p.spec, c->sched, p.slot);
        if (sk_part_rebuilds(&p.spec, c->sched, p.slot))
            book_off += sk_part_rebuild_bytes(&p.spec, c->sched, p.slot);
    }
    const sk_dec_part *at = &c->part[part->tier][part->seg];
    out->qs = out->qc = at->qs;
    out->qt = at->qt;
    out->q16 = at->q16;
    out->qm = SK_NONE;
    out->more = part->seg > 0;
    if (c->spec->book & SPHKV_BOOK_MEAN && part->seg == first_with_mean(&c->spec->tier[part->tier]))
        out->plus = own_mean(c->spec, part->tier) ? c->part_qm[part->tier] : c->qm;
    if (book_off > 0) out->book = sk_ir_ptr_add(c->b, c->book, sk_k(out, book_off), 1);
}

/* ---- queries ------------------------------------------------------------------ */

static sk_val place_area(sk_dec *c, const char *name, uint32_t bytes, sk_dec_place *place, void *user)
{
    return place(c, &(sk_dec_area){.name = name, .bytes = bytes, .query = true}, user);
}

void sk_part_shift(sk_dec *c, sk_val i, uint32_t bytes)
{
    for (sk_key_part p = {0}; sk_key_next(c->spec, c->sched, &p);) {
        if (!p.cut) continue;
        sk_dec_part *at = &c->part[p.tier][p.seg];
        sk_val *area[] = {&at->qs, &at->qt, &at->q16, &c->part_qm[p.tier]};
        const uint32_t n = p.seg == 0 && own_mean(c->spec, p.tier) ? 4 : 3;
        for (uint32_t k = 0; k < n; k++)
            if (*area[k] != SK_NONE) *area[k] = sk_ir_ptr_add(c->b, *area[k], i, bytes);
    }
}

void sk_part_areas(sk_dec *c, sk_dec_place *place, void *user)
{
    for (sk_key_part p = {0}; sk_key_next(c->spec, c->sched, &p);) {
        if (!p.cut) continue;
        sk_dec_part *at = &c->part[p.tier][p.seg];
        sk_dec part;
        *at = (sk_dec_part){SK_NONE, SK_NONE, SK_NONE};
        at->qs = place_area(c, "part_qs", c->h * p.spec.d * 4, place, user);
        if (sk_dec_form(&p.spec, c->sched, p.slot) == SK_FORM_ROWS)
            at->qt = place_area(c, "part_qt", c->hr * p.spec.d * 4, place, user);
        if (sk_dec_query16(&p.spec, c->sched, p.slot)) {
            part = *c;
            part.spec = &p.spec;
            part.d = p.spec.d;
            at->q16 = place_area(c, "part_q16", sk_query16_bytes(&part), place, user);
        }
        if (p.seg == 0 && own_mean(c->spec, p.tier))
            c->part_qm[p.tier] = place_area(c, "part_qm", c->hr * 4, place, user);
    }
}

/* W of a part's queries from dimension d0 (byte `off`) on, of one head: those of a group
 * follow each other as often as the group has codes. */
static sk_val part_query(sk_dec *part, const sk_key_part *p, sk_val from, sk_val d0, sk_val off,
                         uint32_t first)
{
    sk_builder *b = part->b;
    if (p->times == 1) return sk_ir_ldv(b, SK_LD_F32, from, off, first * 4);
    const uint32_t g = sk_dec_seg(&p->spec, p->slot)->g;
    const sk_val dim = sk_add(part, d0, part->lane);
    const sk_val group = sk_mul(part, sk_ir_2k(b, SK_OP_UDIV, dim, g * p->times), g);
    const sk_val at = sk_add(part, group, sk_ir_2k(b, SK_OP_UREM, dim, g));
    return sk_ir_ldg(b, SK_LD_F32, from, sk_mul(part, at, 4), first * 4, SK_NONE);
}

/* Dimensions dim0 on of all heads from `from`, and transposed where qt is wanted. */
static void cut_queries(sk_dec *part, const sk_key_part *p, sk_val from, uint32_t d, uint32_t dim0)
{
    sk_builder *b = part->b;
    const sk_val d0 = sk_ir_for(b, part->zero, sk_k(part, part->d), part->w), off = sk_mul(part, d0, 4);
    const sk_val at = sk_mul(part, sk_add(part, d0, part->lane), part->hr * 4);
    for (uint32_t h = 0; h < (part->qt != SK_NONE ? part->hr : part->h); h++) {
        sk_val x = sk_ir_f32(b, 0.0f);
        if (h < part->h) {
            x = part_query(part, p, from, d0, off, h * d + dim0);
            sk_ir_stv(b, part->qs, off, h * part->d * 4, x);
        }
        if (part->qt != SK_NONE) sk_ir_stg(b, part->qt, at, h * 4, x, SK_NONE);
    }
    sk_ir_end(b);
}

void sk_part_queries(sk_dec *c)
{
    for (sk_key_part p = {0}; sk_key_next(c->spec, c->sched, &p);) {
        if (!p.cut) continue;
        sk_dec part;
        uint32_t lut_off;
        sk_page_layout lay;
        sk_part_open(c, &p, &part, &lut_off);
        sk_page_layout_get(c->spec, p.tier, &lay);
        const bool coded = sk_dec_seg(&p.spec, p.slot)->kind == SK_KEY_CODED;
        cut_queries(&part, &p, coded ? c->qc : c->qs, c->d, lay.seg[p.seg].dim0);
        if (part.q16 != SK_NONE) sk_part_query16(&part);
        if (p.seg == 0 && own_mean(c->spec, p.tier)) sk_part_mean_coded(c, p.tier, c->part_qm[p.tier]);
    }
}
