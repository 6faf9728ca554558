/* extend_page.c - one page as the products of attn_extend want it: keys with tokens as
 * lanes, values with channels as lanes, both f32 and in panels, so that the loads of a
 * register tile follow each other. Every tier comes out the same, and what comes
 * behind is written once. Rebuilding costs a few per cent: hundreds of rows share it. */
#include "extend.h"
#include "part_dense.h"

/* ---- keys ----------------------------------------------------------------- */

void sk_extend_scratch(sk_extend *c)
{
    sk_dec *d = &c->dec;
    uint32_t book = 0, spans = 0;
    for (uint32_t i = 0; i < d->spec->ntiers; i++) {
        const uint32_t bytes = sk_rebuild_book_bytes(d->spec, d->sched, i);
        sk_page_layout lay;
        sk_page_layout_get(d->spec, i, &lay);
        if (bytes > book) book = bytes;
        if (lay.seg[0].spans > spans) spans = lay.seg[0].spans;
    }
    if (book) d->book = sk_ir_name(d->b, sk_ir_shared(d->b, book), "book");
    if (spans) d->rad = sk_ir_name(d->b, sk_ir_shared(d->b, spans * 4), "rad");
    if (spans && d->spec->book & SPHKV_BOOK_PERMUTATION)
        d->where = sk_ir_name(d->b, sk_ir_shared(d->b, d->d * 4), "where");
    c->held = sk_ir_var(d->b, SK_BLOCK, d->zero);
}

/* What scratch holds of the set of the block's head, unless it does already. */
static void load_book(sk_extend *c, uint32_t tier_slot, sk_val set)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const bool words = sk_rebuild_book_bytes(d->spec, d->sched, tier_slot) > 0;
    if (!words && !(d->spec->book & SPHKV_BOOK_PERMUTATION)) return;
    sk_ir_if(b, sk_ir_2k(b, SK_OP_NE, sk_ir_get(b, c->held), tier_slot + 1));
    sk_ir_set(b, c->held, sk_k(d, tier_slot + 1));
    if (words) sk_rebuild_load_words(d, tier_slot, set);
    sk_rebuild_load_order(d, set);
    sk_ir_end(b);
}

/* Where a vector of a tensor in panels is: [n / panel][rows][panel], elements `at` ..
 * of its first row; at a multiple of W. */
static sk_val panel_at(sk_dec *d, sk_val base, sk_val at, uint32_t panel, uint32_t rows)
{
    sk_builder *b = d->b;
    const sk_val in = sk_ir_2k(b, SK_OP_UREM, at, panel), first = sk_ir_2(b, SK_OP_SUB, at, in);
    return sk_ir_ptr_add(b, sk_ir_ptr_add(b, base, first, rows * 4), in, 4);
}

/* W tokens from t0 on. */
static void rebuild_tokens(sk_extend *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                           sk_val set, sk_val t0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const bool coded = sk_dec_seg(d->spec, tier_slot)->kind == SK_KEY_CODED;
    const sk_val to = panel_at(d, c->kx, t0, c->tokens_panel, d->d);
    sk_rebuild_at k = {0};
    sk_dense_keys dense = {0};
    if (coded) k = sk_rebuild_begin(d, tier_slot, lay, page, set, t0);
    if (coded && lay->spans == 1) k.radius = sk_unpack_radii(d, k.seg, lay, page, d->zero, t0);
    if (!coded) dense = sk_dense_begin(d, tier_slot, lay, page, 1, t0);
    const sk_val d0 = sk_ir_for(b, d->zero, sk_k(d, d->d), d->w);
    const sk_val at = sk_mul(d, d0, c->tokens_panel * 4);
    const sk_val scale = coded ? SK_NONE : sk_dense_scales(d, &dense, d0, 0);
    for (uint32_t i = 0; i < d->w; i++) {
        const sk_val x = coded ? sk_rebuild_dim(d, &k, d0, i, d->w)
                               : sk_dense_floats(d, &dense, d0, i, 0, scale);
        sk_ir_stv(b, to, at, i * c->tokens_panel * 4, x);
    }
    sk_ir_end(b);
}

/* Tokens up to a whole panel. */
static void rebuild_keys(sk_extend *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                         sk_val count, sk_val set)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_segment *seg = sk_dec_seg(d->spec, tier_slot);
    if (seg->kind == SK_KEY_CODED) {
        load_book(c, tier_slot, set);
        sk_unpack_radius_scales(d, seg, lay, page);
    }
    const sk_val up = sk_add(d, count, sk_k(d, c->tokens_panel - 1));
    const sk_val past = sk_ir_2k(b, SK_OP_UREM, up, c->tokens_panel);
    const sk_val t0 = sk_ir_for(b, d->zero, sk_ir_2(b, SK_OP_SUB, up, past), d->w);
    rebuild_tokens(c, tier_slot, lay, page, set, t0);
    sk_ir_end(b);
}

/* ---- values ---------------------------------------------------------------- */

/* Channels c0 .. c0+W-1 of all tokens, in steps of one token or a pair. */
static void rebuild_channels(sk_extend *c, sk_value_form *f, const sk_page_layout *lay, sk_val page,
                             sk_val count, sk_val c0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val v0 = sk_ir_ptr_add(b, page, sk_k(d, lay->value_off), 1);
    const sk_val to = panel_at(d, c->vx, c0, c->channels_panel, d->tp);
    sk_val half[2][8];
    sk_value_channels(d, f, lay, page, c0);
    const sk_val block = sk_value_block(d, f, c0);
    const sk_val t = sk_ir_for(b, d->zero, count, f->pairs ? 2 : 1);
    const sk_val steps = f->pairs ? sk_shr(d, t, 1) : t;
    sk_value_floats(d, f, v0, sk_add(d, block, sk_mul(d, steps, f->step)), half[0], half[1]);
    const sk_val at = sk_mul(d, t, c->channels_panel * 4);
    sk_ir_stv(b, to, at, 0, half[0][0]);
    if (f->pairs) sk_ir_stv(b, to, at, c->channels_panel * 4, half[1][0]);
    sk_ir_end(b);
}

void sk_extend_rebuild(sk_extend *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val head)
{
    sk_dec *d = &c->dec;
    sk_page_layout lay;
    sk_page_layout_get(d->spec, tier_slot, &lay);
    const sk_val set = sk_ir_ptr_add(d->b, d->codebook, head, sk_codebook_head_bytes(d->spec));
    rebuild_keys(c, tier_slot, &lay.seg[0], page, count, set);
    sk_value_form f = sk_value_form_of(d, tier_slot, d->w, false);
    const sk_val c0 = sk_ir_for(d->b, d->zero, sk_k(d, d->dv), d->w);
    rebuild_channels(c, &f, &lay, page, count, c0);
    sk_ir_end(d->b);
}
