/* decode_keys.c - keys of one page to rows, for page_decode. Lanes are tokens: a
 * vector is one dimension of W tokens, and W of them (packed pairs of dimensions
 * in 16-bit outputs) are transposed and stored, a piece of a row each.
 *
 * The numbers are those of part_rebuild.c, or whole codewords (decode_words.c). */
#include "decode_rows.h"
#include "part_dense.h"
#include "part_rope.h"

bool sk_unrow_in_registers(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return !sk_unrow_by_words(spec, sched, tier_slot) &&
           sk_rebuild_in_registers(spec, sched, tier_slot);
}

/* Bytes of `book` that a part takes. */
static uint32_t book_bytes(const sk_key_part *p, const sk_schedule *sched)
{
    const sk_segment *seg = sk_dec_seg(&p->spec, p->slot);
    if (!sk_unrow_by_words(&p->spec, sched, p->slot))
        return sk_rebuild_book_bytes(&p->spec, sched, p->slot);
    return (p->spec.d * sk_segment_codes(seg) * 4) << seg->b;
}

void sk_unrow_scratch(sk_unrow *c)
{
    sk_dec *d = &c->dec;
    uint32_t book = 0, spans = 0;
    bool words = false, back = false;
    for (uint32_t i = 0; i < d->spec->ntiers; i++) {
        uint32_t bytes = 0;
        for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, i, &p);) {
            const uint32_t all = sk_rebuild_spans(&p.spec, p.slot);
            bytes += book_bytes(&p, d->sched);
            spans = all > spans ? all : spans;
            back |= sk_turns_back(&p.spec, p.slot);
            words |= sk_unrow_by_words(&p.spec, d->sched, p.slot);
        }
        book = bytes > book ? bytes : book;
    }
    if (book) d->book = sk_ir_name(d->b, sk_ir_shared(d->b, book), "book");
    if (spans) d->rad = sk_ir_name(d->b, sk_ir_shared(d->b, spans * 4), "rad");
    if (spans && d->spec->book & SPHKV_BOOK_PERMUTATION)
        d->where = sk_ir_name(d->b, sk_ir_shared(d->b, d->d * 4), "where");
    if (back) d->turned = sk_ir_name(d->b, sk_ir_shared(d->b, d->d * d->w * 4), "turned");
    if (back || sk_spec_pre_rope(d->spec))
        d->keys = sk_ir_name(d->b, sk_ir_shared(d->b, d->d * 64), "keys");
    if (sk_spec_pre_rope(d->spec))
        d->cosines = sk_ir_name(d->b, sk_ir_shared(d->b, sk_rope_bytes(d)), "cosines");
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
    uint32_t bytes = 0;
    for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, tier_slot, &p);) bytes += book_bytes(&p, d->sched);
    if (bytes == 0 && !(d->spec->book & SPHKV_BOOK_PERMUTATION)) return;
    const sk_val id = sk_add(d, sk_mul(d, head, SK_MAX_TIERS), sk_k(d, tier_slot + 1));
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, sk_ir_get(b, c->held), id));
    sk_ir_set(b, c->held, id);
    bytes = 0;
    for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, tier_slot, &p); bytes += book_bytes(&p, d->sched)) {
        sk_unrow one = *c;
        if (book_bytes(&p, d->sched) == 0) continue;
        sk_rebuilt_open(d, &p, d->d, &one.dec);
        if (bytes > 0) one.dec.book = sk_ir_ptr_add(b, d->book, sk_k(d, bytes), 1);
        if (sk_unrow_by_words(&p.spec, d->sched, p.slot))
            sk_unrow_load_words(&one, p.slot, set);
        else
            sk_rebuild_load_words(&one.dec, p.slot, set);
    }
    sk_rebuild_load_order(d, set);
    sk_ir_end(b);
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

/* The step of dimensions d0 .. of W tokens, packed, to their rows. */
static void put_step(sk_unrow *c, sk_val *x, sk_val t0, sk_val d0, sk_val count)
{
    sk_dec *d = &c->dec;
    const sk_op pack = d->spec->out_dtype == SPHKV_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16;
    for (uint32_t i = 0; c->es == 2 && i < d->w; i++)
        x[i] = sk_ir_2(d->b, pack, x[2 * i], x[2 * i + 1]);
    put_rows(c, x, t0, sk_mul(d, d0, c->es), count);
}

/* The same of keys that are kept before RoPE or in the frame of a transform, all of them
 * first, in scratch. */
static void whole_block(sk_unrow *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                          sk_val set, sk_val t0, sk_val count, sk_val next)
{
    sk_dec *d = &c->dec;
    sk_part_rebuild_vector(d, tier_slot, lay, page, set, t0, d->zero, SK_NONE);
    if (c->turned) sk_part_rope(d, tier_slot, page, t0, d->zero);
    const sk_val d0 = sk_ir_for(d->b, d->zero, sk_k(d, d->vdims), c->step);
    sk_val x[32];
    sk_unrow_prefetch(c, tier_slot, next, t0, d0);
    for (uint32_t i = 0; i < c->step; i++)
        x[i] = sk_ir_ldv(d->b, SK_LD_F32, d->keys, sk_mul(d, d0, 64), i * 64);
    put_step(c, x, t0, d0, count);
    sk_ir_end(d->b);
}

/* W tokens from t0 on; count: SK_NONE where all of them are rows. */
static void key_block(sk_unrow *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                      sk_val set, sk_val t0, sk_val count, sk_val next)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_segment *seg = sk_dec_seg(d->spec, tier_slot);
    const bool coded = seg->kind == SK_KEY_CODED;
    sk_rebuild_at k = {0};
    sk_dense_keys dense = {0};
    const bool rotated = c->turned && sk_tier_pre_rope(&d->spec->tier[tier_slot]);
    if (rotated || sk_turns_back(d->spec, tier_slot)) {
        whole_block(c, tier_slot, lay, page, set, t0, count, next);
        return;
    }
    if (coded) k = sk_rebuild_begin(d, tier_slot, lay, page, set, t0);
    if (sk_unrow_by_words(d->spec, d->sched, tier_slot)) {
        sk_unrow_words(c, &k, count, next);
        return;
    }
    if (coded && k.lay->spans == 1) k.radius = sk_unpack_radii(d, seg, k.lay, page, d->zero, t0);
    if (!coded) dense = sk_dense_begin(d, tier_slot, lay, page, 1, t0);
    const sk_val d0 = sk_ir_for(b, d->zero, sk_k(d, d->vdims), c->step);
    const sk_val scale = coded ? SK_NONE : sk_dense_scales(d, &dense, d0, 0);
    sk_val x[32];
    sk_unrow_prefetch(c, tier_slot, next, t0, d0);
    for (uint32_t i = 0; i < c->step; i++)
        x[i] = coded ? sk_rebuild_dim(d, &k, d0, i, c->step) : sk_dense_floats(d, &dense, d0, i, 0, scale);
    put_step(c, x, t0, d0, count);
    sk_ir_end(b);
}

static void part_keys(sk_unrow *c, uint32_t slot, const sk_seg_layout *lay, sk_val page, sk_val set,
                      sk_val count, sk_val next)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_rebuild_scales(d, slot, lay, page);
    const sk_val whole = sk_and(d, count, ~(d->w - 1));
    const sk_val t0 = sk_ir_for(b, d->zero, whole, d->w);
    key_block(c, slot, lay, page, set, t0, SK_NONE, next);
    sk_ir_end(b);
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, whole, count));
    key_block(c, slot, lay, page, set, whole, count, SK_NONE);
    sk_ir_end(b);
}

void sk_unrow_keys(sk_unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                   sk_val count, sk_val head, sk_val next, uint32_t dims)
{
    sk_dec *d = &c->dec;
    const sk_val set = sk_ir_ptr_add(d->b, d->codebook, head, sk_codebook_head_bytes(d->spec));
    uint32_t bytes = 0;
    if (!sk_tier_is_dense(&d->spec->tier[tier_slot])) load_book(c, tier_slot, set, head);
    for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, tier_slot, &p); bytes += book_bytes(&p, d->sched)) {
        sk_unrow one = *c;
        sk_rebuilt_open(d, &p, dims, &one.dec);
        if (one.dec.vdims == 0) continue;
        if (bytes > 0) one.dec.book = sk_ir_ptr_add(d->b, d->book, sk_k(d, bytes), 1);
        if (one.dec.vdim0 > 0)
            one.rows = sk_ir_ptr_add(d->b, c->rows, sk_k(d, one.dec.vdim0), c->es);
        part_keys(&one, p.slot, &lay->seg[p.seg], page, set, count,
                  sk_key_parted(d->spec, NULL, tier_slot) ? SK_NONE : next);
    }
}
