/* part_rebuild.c - see part_rebuild.h. A codeword's element is looked up by a
 * permutation of one or two registers where the 2^b of them fit, else lane by lane
 * from f32 in scratch. Dimensions that share a group share the unpacking of its codes;
 * where dimensions are permuted, or groups and steps do not fit, each unpacks for
 * itself. */
#include "part_rebuild.h"

#include "part_segments.h"

bool sk_rebuild_in_registers(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    const uint32_t w = (uint32_t)sched->v[SK_T_w];
    return seg->kind == SK_KEY_CODED && 1u << seg->b >= w && 1u << seg->b <= 2 * w;
}

uint32_t sk_rebuild_book_bytes(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    uint32_t bytes = 0;
    for (sk_key_part p = {0}; sk_coded_next(spec, tier_slot, &p);) {
        const sk_segment *seg = sk_dec_seg(&p.spec, p.slot);
        if (seg->kind != SK_KEY_CODED || sk_rebuild_in_registers(&p.spec, sched, p.slot)) continue;
        bytes += (p.spec.d * sk_segment_codes(seg) * 4) << seg->b;
    }
    return bytes;
}

uint32_t sk_rebuild_spans(const sk_spec *spec, uint32_t tier_slot)
{
    sk_page_layout lay;
    uint32_t sum = 0;
    sk_page_layout_get(spec, tier_slot, &lay);
    for (uint32_t s = 0; s < lay.nseg; s++) sum += lay.seg[s].spans;
    return sum;
}

/* ---- codebooks ------------------------------------------------------------ */

static void load_words(sk_dec *d, uint32_t tier_slot, sk_val set)
{
    sk_builder *b = d->b;
    const sk_segment *seg = sk_dec_seg(d->spec, tier_slot);
    const uint32_t off = sk_dec_words_off(d, tier_slot);
    const sk_val i = sk_ir_for(b, d->zero, sk_k(d, (d->d * sk_segment_codes(seg)) << seg->b), d->w);
    sk_ir_stv(b, d->book, sk_mul(d, i, 4), 0, sk_ir_ldv(b, SK_LD_F16, set, sk_mul(d, i, 2), off));
    sk_ir_end(b);
}

void sk_rebuild_load_words(sk_dec *d, uint32_t tier_slot, sk_val set)
{
    if (sk_rebuild_book_bytes(d->spec, d->sched, tier_slot) == 0) return;
    if (d->spec->tier[tier_slot].nseg == 1) {
        load_words(d, tier_slot, set);
        return;
    }
    for (sk_key_part p = {0}; sk_coded_next(d->spec, tier_slot, &p);) {
        sk_dec part;
        if (sk_rebuild_book_bytes(&p.spec, d->sched, p.slot) == 0) continue;
        (void)sk_coded_open(d, &p, NULL, &part);
        load_words(&part, p.slot, set);
    }
}

/* What a damaged permutation names nowhere stays where it is. */
void sk_rebuild_load_order(sk_dec *d, sk_val set)
{
    sk_builder *b = d->b;
    if (!(d->spec->book & SPHKV_BOOK_PERMUTATION)) return;
    const sk_val same = sk_ir_for(b, d->zero, sk_k(d, d->d), d->w);
    sk_ir_stv(b, d->where, sk_mul(d, same, 4), 0, sk_add(d, same, d->lane));
    sk_ir_end(b);
    const sk_val i = sk_ir_for(b, d->zero, sk_k(d, d->d), 1);
    const sk_val at =
        sk_ir_ldu(b, SK_LD_U32, set, sk_mul(d, i, 4), sk_codebook_permutation_off(d->spec));
    const sk_val place = sk_ir_2(b, SK_OP_UMIN, at, sk_k(d, d->d - 1));
    sk_ir_stu(b, d->where, sk_mul(d, place, 4), 0, i);
    sk_ir_end(b);
}

void sk_rebuild_scales(sk_dec *d, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page)
{
    if (sk_dec_seg(d->spec, tier_slot)->kind != SK_KEY_CODED) return;
    for (sk_key_part p = {0}; sk_coded_next(d->spec, tier_slot, &p);) {
        sk_dec part;
        const sk_seg_layout at = sk_coded_open(d, &p, lay, &part);
        sk_unpack_radius_scales(&part, sk_dec_seg(&p.spec, p.slot), &at, page);
    }
}

/* ---- coded keys ----------------------------------------------------------- */

sk_rebuild_at sk_rebuild_begin(sk_dec *d, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                               sk_val set, sk_val t0)
{
    sk_rebuild_at k = {.tier_slot = tier_slot, .seg = sk_dec_seg(d->spec, tier_slot), .lay = lay,
                       .page = page, .set = set, .t0 = t0};
    k.field = sk_ir_ptr_add(d->b, page, sk_k(d, lay->code_off), 1);
    k.un = sk_unpack_begin(d, tier_slot, t0);
    return k;
}

bool sk_rebuild_groups_fit(const sk_dec *d, const sk_segment *seg, uint32_t step)
{
    const bool whole = step % seg->g == 0 || seg->g % step == 0;
    return whole && !(d->spec->book & SPHKV_BOOK_PERMUTATION);
}

void sk_rebuild_group(sk_dec *d, sk_rebuild_at *k, sk_val j)
{
    const sk_val span =
        sk_ir_2(d->b, SK_OP_UDIV, j, sk_k(d, k->lay->span_dims / k->seg->g));
    const uint32_t codes = sk_segment_codes(k->seg);
    const sk_val row = codes > 1 ? sk_mul(d, j, codes) : j;
    for (uint32_t i = 0; i < codes; i++)
        k->code[i] = sk_unpack_codes(d, &k->un, k->seg, k->field, i > 0 ? sk_add(d, row, sk_k(d, i)) : row);
    if (codes > 1) k->apart = sk_mul(d, j, k->seg->g * (codes - 1));
    if (k->lay->spans > 1)
        k->radius = sk_unpack_radii(d, k->seg, k->lay, k->page, span, k->t0);
}

/* The elements of row `dim` (a value) of codewords in the ones that W tokens have. */
static sk_val look_up_row(sk_dec *d, const sk_rebuild_at *k, sk_val dim, sk_val code)
{
    sk_builder *b = d->b;
    const uint32_t codes = 1u << k->seg->b;
    if (!sk_rebuild_in_registers(d->spec, d->sched, k->tier_slot)) {
        const sk_val row = sk_ir_ptr_add(b, d->book, dim, codes * 4);
        return sk_ir_ldg(b, SK_LD_F32, row, sk_mul(d, code, 4), 0, SK_NONE);
    }
    const uint32_t off = sk_dec_words_off(d, k->tier_slot);
    const sk_val row = sk_ir_ptr_add(b, k->set, dim, codes * 2);
    const sk_val low = sk_ir_ldv(b, SK_LD_F16, row, d->zero, off);
    const sk_val x = sk_shuf(d, low, code);
    if (codes == d->w) return x;
    const sk_val high = sk_ir_ldv(b, SK_LD_F16, row, d->zero, off + d->w * 2);
    const sk_val in_low = sk_ir_2(b, SK_OP_ULT, code, sk_k(d, d->w));
    return sk_sel(d, in_low, x, sk_shuf(d, high, code));
}

/* Of dimension `dim`: the sum over the group's codes, in their order. */
static sk_val look_up(sk_dec *d, const sk_rebuild_at *k, sk_val dim)
{
    if (k->seg->more == 0) return look_up_row(d, k, dim, k->code[0]);
    const sk_val first = sk_add(d, dim, k->apart);
    sk_val sum = look_up_row(d, k, first, k->code[0]);
    for (uint32_t i = 1; i < sk_segment_codes(k->seg); i++) {
        const sk_val row = sk_add(d, first, sk_k(d, i * k->seg->g));
        sum = sk_ir_2(d->b, SK_OP_FADD, sum, look_up_row(d, k, row, k->code[i]));
    }
    return sum;
}

sk_val sk_rebuild_dim(sk_dec *d, sk_rebuild_at *k, sk_val d0, uint32_t i, uint32_t step)
{
    sk_builder *b = d->b;
    const uint32_t g = k->seg->g;
    sk_val dim = sk_add(d, d0, sk_k(d, i));
    if (d->spec->book & SPHKV_BOOK_PERMUTATION)
        dim = sk_ir_ldu(b, SK_LD_U32, d->where, sk_mul(d, d0, 4), i * 4);
    if (!sk_rebuild_groups_fit(d, k->seg, step) || (g >= step ? i == 0 : i % g == 0))
        sk_rebuild_group(d, k, sk_ir_2(b, SK_OP_UDIV, dim, sk_k(d, g)));
    const sk_val x = look_up(d, k, dim);
    if (!(d->spec->book & SPHKV_BOOK_MEAN)) return sk_ir_2(b, SK_OP_FMUL, x, k->radius);
    const sk_val mean =
        sk_ir_ldu(b, SK_LD_F32, k->set, sk_mul(d, d0, 4), sk_dec_mean_off(d) + i * 4);
    return sk_fma(d, x, k->radius, mean);
}
