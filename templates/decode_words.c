/* decode_words.c - coded keys to rows by whole codewords, for page_decode: lanes
 * are dimensions, a load brings a piece of a codeword, a multiplication the radius.
 * Nothing is transposed but the codebook, once a KV head: [group][code][g] in f32;
 * for 16-bit outputs the even dimensions of 2W (or of a codeword, where it is
 * shorter) stand before the odd ones, so that packing two vectors gives words in
 * order. Applies to groups of a power of two dimensions and one code, with sets that hold
 * neither mean nor permutation. */
#include "decode_rows.h"

bool sk_unrow_by_words(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    if (seg->kind != SK_KEY_CODED || seg->pre_rope || seg->g < 2 || (seg->g & (seg->g - 1)) != 0) return false;
    const uint32_t w = (uint32_t)sched->v[SK_T_w], codes = 1u << seg->b;
    if (spec->book != 0 || seg->more || codes < w) return false;
    return sched->v[SK_T_lut] == SK_LUT_ROWS || codes > 2 * w;
}

/* Dimensions of a codeword that a step takes, and lanes of a run of one group. */
static uint32_t piece_of(const sk_unrow *c, const sk_segment *seg)
{
    return seg->g < c->step ? seg->g : c->step;
}
static uint32_t run_of(const sk_unrow *c, const sk_segment *seg)
{
    return piece_of(c, seg) * c->dec.w / c->step;
}

/* The dimension of a group that stands at place p of its codewords. */
static uint32_t dimension_at(const sk_unrow *c, const sk_segment *seg, uint32_t p)
{
    const uint32_t piece = piece_of(c, seg), half = piece / 2, in = p % piece;
    if (c->es == 4) return p;
    return p - in + (in < half ? 2 * in : 2 * (in - half) + 1);
}

void sk_unrow_load_words(sk_unrow *c, uint32_t tier_slot, sk_val set)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_segment *seg = sk_dec_seg(d->spec, tier_slot);
    const uint32_t codes = 1u << seg->b, off = sk_dec_words_off(d, tier_slot);
    const uint32_t n = seg->g < d->w ? seg->g : d->w;
    const sk_val j = sk_ir_for(b, d->zero, sk_k(d, d->d / seg->g), 1);
    const sk_val from = sk_ir_ptr_add(b, set, j, seg->g * codes * 2);
    const sk_val to = sk_ir_ptr_add(b, c->dec.book, j, seg->g * codes * 4);
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, codes), d->w);
    const sk_val word = sk_mul(d, sk_add(d, c0, d->lane), seg->g * 4);
    for (uint32_t p = 0; p < seg->g; p += n) {
        sk_val x[16];
        for (uint32_t i = 0; i < n; i++)
            x[i] = sk_ir_ldv(b, SK_LD_F16, from, sk_mul(d, c0, 2),
                             off + dimension_at(c, seg, p + i) * codes * 2);
        if (n == d->w) sk_transpose(d, x, n);
        for (uint32_t i = 0; i < n; i++) {
            if (n < d->w) /* a lane is a code */
                sk_ir_stg(b, to, word, (p + i) * 4, x[i], SK_NONE);
            else /* a vector is a piece of one code's word */
                sk_ir_stv(b, to, sk_mul(d, c0, seg->g * 4), (i * seg->g + p) * 4, x[i]);
        }
    }
    sk_ir_end(b);
    sk_ir_end(b);
}

/* u32 or f32 of token i for each run: groups side by side in scratch, W tokens each. */
static sk_val spread(sk_dec *d, sk_ld_kind kind, sk_val from, uint32_t i, uint32_t runs, uint32_t n)
{
    sk_builder *b = d->b;
    sk_val all = sk_ir_ldu(b, kind, from, d->zero, ((runs - 1) * d->w + i) * 4);
    for (uint32_t r = runs - 1; r-- > 0;) {
        const sk_val one = sk_ir_ldu(b, kind, from, d->zero, (r * d->w + i) * 4);
        all = sk_sel(d, sk_ir_2(b, SK_OP_ULT, d->lane, sk_k(d, (r + 1) * n)), one, all);
    }
    return all;
}

/* Codes and, where groups have their own, radii of a step's groups, into scratch:
 * byte offsets of codewords behind the first group's. */
static void put_groups(sk_unrow *c, const sk_rebuild_at *k, sk_val j0, uint32_t groups)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t codes = 1u << k->seg->b, word = k->seg->g * 4;
    for (uint32_t q = 0; q < groups; q++) {
        const sk_val j = sk_add(d, j0, sk_k(d, q));
        const sk_val code = sk_unpack_codes(d, &k->un, k->seg, k->field, j);
        const sk_val at = sk_add(d, sk_mul(d, code, word), sk_k(d, q * codes * word));
        sk_ir_stv(b, c->offs, d->zero, q * d->w * 4, at);
        if (k->lay->spans == 1) continue;
        const sk_val span = sk_ir_2(b, SK_OP_UDIV, j, sk_k(d, k->lay->span_dims / k->seg->g));
        sk_ir_stv(b, c->radii, d->zero, q * d->w * 4,
                  sk_unpack_radii(d, k->seg, k->lay, k->page, span, k->t0));
    }
}

void sk_unrow_words(sk_unrow *c, const sk_rebuild_at *k, sk_val count, sk_val next)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t codes = 1u << k->seg->b, g = k->seg->g, n = run_of(c, k->seg);
    const uint32_t runs = d->w / n;
    const sk_op pack = d->spec->out_dtype == SPHKV_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16;
    if (k->lay->spans == 1)
        sk_ir_stv(b, c->radii, d->zero, 0,
                  sk_unpack_radii(d, k->seg, k->lay, k->page, d->zero, k->t0));
    const sk_val d0 = sk_ir_for(b, d->zero, sk_k(d, d->vdims), c->step);
    const sk_val j0 = sk_shr(d, d0, (uint32_t)__builtin_ctz(g));
    sk_val tab = sk_ir_ptr_add(b, c->dec.book, j0, codes * g * 4);
    tab = sk_ir_ptr_add(b, tab, sk_and(d, d0, g - 1), 4);
    sk_unrow_prefetch(c, k->tier_slot, next, k->t0, d0);
    put_groups(c, k, j0, runs);
    sk_val row = sk_ir_ptr_add(b, c->rows, sk_ir_2(b, SK_OP_MUL, k->t0, c->stride), c->es);
    for (uint32_t i = 0; i < d->w; i++) {
        if (count != SK_NONE)
            sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, sk_add(d, k->t0, sk_k(d, i)), count));
        const sk_val off = spread(d, SK_LD_U32, c->offs, i, runs, n);
        const sk_val r = spread(d, SK_LD_F32, c->radii, i, k->lay->spans == 1 ? 1 : runs, n);
        sk_val x = sk_ir_2(b, SK_OP_FMUL, sk_ir_ldrows(b, SK_LD_F32, tab, off, 0, n), r);
        if (c->es == 2) {
            const sk_val odd = sk_ir_ldrows(b, SK_LD_F32, tab, off, n * 4, n);
            x = sk_ir_2(b, pack, x, sk_ir_2(b, SK_OP_FMUL, odd, r));
        }
        sk_unrow_store(c, row, sk_mul(d, d0, c->es), x);
        if (count != SK_NONE) sk_ir_end(b);
        if (i + 1 < d->w) row = sk_ir_ptr_add(b, row, c->stride, c->es);
    }
    sk_ir_end(b);
}
