/* decode_keys.c - keys of one page to rows, for page_decode. Lanes are tokens: a
 * vector is one dimension of W tokens, and W of them (packed pairs of dimensions
 * in 16-bit outputs) are transposed and stored, a piece of a row each.
 *
 * A codeword's element is looked up by a permutation of one or two registers
 * where the 2^b of them fit, else lane by lane from f32 in scratch. Dimensions
 * that share a group share the unpacking of its codes; where dimensions are
 * permuted, or groups and steps do not fit, each unpacks for itself. */
#include "decode_rows.h"
#include "part_dense.h"

bool sk_unrow_in_registers(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    const uint32_t w = (uint32_t)sched->v[SK_T_w];
    return seg->kind == SK_KEY_CODED && !sk_unrow_by_words(spec, sched, tier_slot) &&
           1u << seg->b >= w && 1u << seg->b <= 2 * w;
}

static bool in_registers(const sk_dec *d, uint32_t tier_slot)
{
    return sk_unrow_in_registers(d->spec, d->sched, tier_slot);
}

void sk_unrow_scratch(sk_unrow *c)
{
    sk_dec *d = &c->dec;
    uint32_t book = 0, spans = 0;
    bool words = false;
    for (uint32_t i = 0; i < d->spec->ntiers; i++) {
        const sk_segment *seg = sk_dec_seg(d->spec, i);
        sk_page_layout lay;
        sk_page_layout_get(d->spec, i, &lay);
        if (seg->kind != SK_KEY_CODED) continue;
        if (!in_registers(d, i) && d->d * 4 << seg->b > book) book = d->d * 4 << seg->b;
        if (lay.seg[0].spans > spans) spans = lay.seg[0].spans;
        words |= sk_unrow_by_words(d->spec, d->sched, i);
    }
    if (book) c->book = sk_ir_name(d->b, sk_ir_shared(d->b, book), "book");
    if (spans) d->rad = sk_ir_name(d->b, sk_ir_shared(d->b, spans * 4), "rad");
    if (spans && d->spec->book & SPHKV_BOOK_PERMUTATION)
        c->where = sk_ir_name(d->b, sk_ir_shared(d->b, d->d * 4), "where");
    if (words) {
        c->offs = sk_ir_name(d->b, sk_ir_shared(d->b, d->w * d->w * 4), "offs");
        c->radii = sk_ir_name(d->b, sk_ir_shared(d->b, d->w * d->w * 4), "radii");
    }
    c->held = sk_ir_var(d->b, SK_BLOCK, d->zero);
}

/* ---- codebooks ------------------------------------------------------------ */

/* What scratch holds of the set of a KV head, unless it does already. */
static void load_book(sk_unrow *c, uint32_t tier_slot, sk_val set, sk_val head)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_segment *seg = sk_dec_seg(d->spec, tier_slot);
    const bool permuted = d->spec->book & SPHKV_BOOK_PERMUTATION;
    if (in_registers(d, tier_slot) && !permuted) return;
    const sk_val id = sk_add(d, sk_mul(d, head, SK_MAX_TIERS), sk_k(d, tier_slot + 1));
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, sk_ir_get(b, c->held), id));
    sk_ir_set(b, c->held, id);
    if (sk_unrow_by_words(d->spec, d->sched, tier_slot)) {
        sk_unrow_load_words(c, tier_slot, set);
    } else if (!in_registers(d, tier_slot)) {
        const sk_val i = sk_ir_for(b, d->zero, sk_k(d, d->d << seg->b), d->w);
        const uint32_t off = sk_codebook_tier_off(d->spec, tier_slot, 0);
        sk_ir_stv(b, c->book, sk_mul(d, i, 4), 0, sk_ir_ldv(b, SK_LD_F16, set, sk_mul(d, i, 2), off));
        sk_ir_end(b);
    }
    if (permuted) { /* what a damaged permutation names nowhere stays where it is */
        const sk_val same = sk_ir_for(b, d->zero, sk_k(d, d->d), d->w);
        sk_ir_stv(b, c->where, sk_mul(d, same, 4), 0, sk_add(d, same, d->lane));
        sk_ir_end(b);
        const sk_val i = sk_ir_for(b, d->zero, sk_k(d, d->d), 1);
        const sk_val at = sk_ir_ldu(b, SK_LD_U32, set, sk_mul(d, i, 4),
                                    sk_codebook_permutation_off(d->spec));
        const sk_val place = sk_ir_2(b, SK_OP_UMIN, at, sk_k(d, d->d - 1));
        sk_ir_stu(b, c->where, sk_mul(d, place, 4), 0, i);
        sk_ir_end(b);
    }
    sk_ir_end(b);
}

/* ---- coded keys ----------------------------------------------------------- */

/* Whether the groups of a step can be told apart while building. */
static bool groups_fit(const sk_unrow *c, const sk_segment *seg)
{
    const bool whole = c->step % seg->g == 0 || seg->g % c->step == 0;
    return whole && !(c->dec.spec->book & SPHKV_BOOK_PERMUTATION);
}

static void take_group(sk_dec *d, sk_unrow_keys_at *k, sk_val j)
{
    const sk_val span =
        sk_ir_2(d->b, SK_OP_UDIV, j, sk_k(d, k->lay->span_dims / k->seg->g));
    k->code = sk_unpack_codes(d, &k->un, k->seg, k->field, j);
    if (k->lay->spans > 1)
        k->radius = sk_unpack_radii(d, k->seg, k->lay, k->page, span, k->t0);
}

/* The elements of dimension `dim` (a value) in the codewords of W tokens. */
static sk_val look_up(sk_unrow *c, const sk_unrow_keys_at *k, sk_val dim)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t codes = 1u << k->seg->b;
    if (!in_registers(d, k->tier_slot)) {
        const sk_val row = sk_ir_ptr_add(b, c->book, dim, codes * 4);
        return sk_ir_ldg(b, SK_LD_F32, row, sk_mul(d, k->code, 4), 0, SK_NONE);
    }
    const uint32_t off = sk_codebook_tier_off(d->spec, k->tier_slot, 0);
    const sk_val row = sk_ir_ptr_add(b, k->set, dim, codes * 2);
    const sk_val low = sk_ir_ldv(b, SK_LD_F16, row, d->zero, off);
    const sk_val x = sk_shuf(d, low, k->code);
    if (codes == d->w) return x;
    const sk_val high = sk_ir_ldv(b, SK_LD_F16, row, d->zero, off + d->w * 2);
    const sk_val in_low = sk_ir_2(b, SK_OP_ULT, k->code, sk_k(d, d->w));
    return sk_sel(d, in_low, x, sk_shuf(d, high, k->code));
}

/* Dimension d0 + i of the model's key. */
static sk_val coded_dim(sk_unrow *c, sk_unrow_keys_at *k, sk_val d0, uint32_t i)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t g = k->seg->g;
    const sk_val model = sk_add(d, d0, sk_k(d, i));
    sk_val dim = model;
    if (d->spec->book & SPHKV_BOOK_PERMUTATION)
        dim = sk_ir_ldu(b, SK_LD_U32, c->where, sk_mul(d, d0, 4), i * 4);
    if (!groups_fit(c, k->seg) || (g >= c->step ? i == 0 : i % g == 0))
        take_group(d, k, sk_ir_2(b, SK_OP_UDIV, dim, sk_k(d, g)));
    const sk_val x = look_up(c, k, dim);
    if (!(d->spec->book & SPHKV_BOOK_MEAN)) return sk_ir_2(b, SK_OP_FMUL, x, k->radius);
    const sk_val mean =
        sk_ir_ldu(b, SK_LD_F32, k->set, sk_mul(d, d0, 4), sk_codebook_mean_off(d->spec) + i * 4);
    return sk_fma(d, x, k->radius, mean);
}

/* ---- rows ----------------------------------------------------------------- */

/* W vectors of words, lane = token, to W rows at byte `at`; tokens from t0 on. */
static void put_rows(sk_unrow *c, sk_val *x, sk_val t0, sk_val at, sk_val count)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_transpose(d, x, d->w);
    sk_val row = sk_ir_ptr_add(b, c->rows, sk_ir_2(b, SK_OP_MUL, t0, c->stride), c->es);
    for (uint32_t i = 0; i < d->w; i++) {
        if (count != SK_NONE)
            sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, sk_add(d, t0, sk_k(d, i)), count));
        sk_unrow_store(c, row, at, x[i]);
        if (count != SK_NONE) sk_ir_end(b);
        if (i + 1 < d->w) row = sk_ir_ptr_add(b, row, c->stride, c->es);
    }
}

void sk_unrow_prefetch(sk_unrow *c, uint32_t tier_slot, sk_val next, sk_val t0, sk_val d0)
{
    sk_dec *d = &c->dec;
    sk_page_layout lay;
    if (next == SK_NONE) return;
    sk_page_layout_get(d->spec, tier_slot, &lay);
    const uint32_t turns = d->d / c->step, steps = d->p / d->w * turns;
    const uint32_t lines = lay.units * (SPHKV_UNIT_BYTES / 64), each = (lines + steps - 1) / steps;
    const sk_val step = sk_add(d, sk_mul(d, sk_shr(d, t0, (uint32_t)__builtin_ctz(d->w)), turns),
                               sk_shr(d, d0, (uint32_t)__builtin_ctz(c->step)));
    const sk_val at = sk_mul(d, step, each * 64);
    for (uint32_t i = 0; i < each; i++) sk_ir_prefetch(d->b, next, at, i * 64);
}

/* W tokens from t0 on; count: SK_NONE where all of them are rows. */
static void key_block(sk_unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                      sk_val set, sk_val t0, sk_val count, sk_val next)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_segment *seg = sk_dec_seg(d->spec, tier_slot);
    const bool coded = seg->kind == SK_KEY_CODED;
    sk_unrow_keys_at k = {.tier_slot = tier_slot, .seg = seg, .lay = &lay->seg[0], .page = page,
                          .set = set, .t0 = t0};
    sk_dense_keys dense = {0};
    if (coded) {
        k.field = sk_ir_ptr_add(b, page, sk_k(d, lay->seg[0].code_off), 1);
        k.un = sk_unpack_begin(d, tier_slot, t0);
    }
    if (sk_unrow_by_words(d->spec, d->sched, tier_slot)) {
        sk_unrow_words(c, &k, count, next);
        return;
    }
    if (coded && k.lay->spans == 1) k.radius = sk_unpack_radii(d, seg, k.lay, page, d->zero, t0);
    if (!coded) dense = sk_dense_begin(d, tier_slot, &lay->seg[0], page, 1, t0);
    const sk_val d0 = sk_ir_for(b, d->zero, sk_k(d, d->d), c->step);
    const sk_val scale = coded ? SK_NONE : sk_dense_scales(d, &dense, d0, 0);
    const sk_op pack = d->spec->out_dtype == SPHKV_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16;
    sk_val x[32];
    sk_unrow_prefetch(c, tier_slot, next, t0, d0);
    for (uint32_t i = 0; i < c->step; i++)
        x[i] = coded ? coded_dim(c, &k, d0, i) : sk_dense_floats(d, &dense, d0, i, 0, scale);
    for (uint32_t i = 0; c->es == 2 && i < d->w; i++) x[i] = sk_ir_2(b, pack, x[2 * i], x[2 * i + 1]);
    put_rows(c, x, t0, sk_mul(d, d0, c->es), count);
    sk_ir_end(b);
}

void sk_unrow_keys(sk_unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                   sk_val count, sk_val head, sk_val next)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_segment *seg = sk_dec_seg(d->spec, tier_slot);
    const sk_val set = sk_ir_ptr_add(b, d->codebook, head, sk_codebook_head_bytes(d->spec));
    if (seg->kind == SK_KEY_CODED) {
        load_book(c, tier_slot, set, head);
        sk_unpack_radius_scales(d, seg, &lay->seg[0], page);
    }
    const sk_val whole = sk_and(d, count, ~(d->w - 1));
    const sk_val t0 = sk_ir_for(b, d->zero, whole, d->w);
    key_block(c, tier_slot, lay, page, set, t0, SK_NONE, next);
    sk_ir_end(b);
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, whole, count));
    key_block(c, tier_slot, lay, page, set, whole, count, SK_NONE);
    sk_ir_end(b);
}
