/* extend_page.c - one page as the products of attn_extend want it: keys with tokens as
 * lanes, values with channels as lanes, both f32 and in panels, so that the loads of a
 * register tile follow each other. Every tier comes out the same, and what comes
 * behind is written once. Rebuilding costs a few per cent: hundreds of rows share it. */
#include "extend.h"
#include "part_rope.h"
#include "part_segments.h"
#include "part_vk.h"

/* ---- keys ----------------------------------------------------------------- */

static uint32_t book_bytes(const sk_extend *c, const sk_key_part *p)
{
    return sk_rebuild_book_bytes(&p->spec, c->dec.sched, p->slot);
}

void sk_extend_scratch(sk_extend *c)
{
    sk_dec *d = &c->dec;
    uint32_t book = 0, spans = 0;
    bool vk = false, back = false;
    for (uint32_t i = 0; i < d->spec->ntiers; i++) {
        uint32_t bytes = 0;
        for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, i, &p);) {
            const uint32_t all = sk_rebuild_spans(&p.spec, p.slot);
            bytes += book_bytes(c, &p);
            if (all > spans) spans = all;
            back |= sk_turns_back(&p.spec, p.slot);
        }
        if (bytes > book) book = bytes;
        vk |= sk_dec_vk(d->spec, i);
    }
    if (book) d->book = sk_extend_area(c, "book", book / 4, true);
    if (spans) d->rad = sk_extend_area(c, "rad", spans, false);
    if (spans && d->spec->book & SPHKV_BOOK_PERMUTATION) d->where = sk_extend_area(c, "where", d->d, false);
    if (back) d->turned = sk_extend_area(c, "turned", d->d * d->w, false);
    d->keys = sk_extend_area(c, "keys", d->d * 16, false);
    if (sk_spec_pre_rope(d->spec)) d->cosines = sk_extend_area(c, "cosines", sk_rope_bytes(d) / 4, false);
    if (vk) d->vals = sk_extend_area(c, "vals", d->cp * d->tp, true);
}

/* What scratch holds of the set of the block's head, unless it does already. */
static void load_book(sk_extend *c, uint32_t tier_slot, sk_val set)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    uint32_t bytes = 0;
    for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, tier_slot, &p);) bytes += book_bytes(c, &p);
    if (bytes == 0 && !(d->spec->book & SPHKV_BOOK_PERMUTATION)) return;
    sk_ir_if(b, sk_ir_2k(b, SK_OP_NE, sk_ir_get(b, c->held), tier_slot + 1));
    sk_ir_set(b, c->held, sk_k(d, tier_slot + 1));
    bytes = 0;
    for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, tier_slot, &p); bytes += book_bytes(c, &p)) {
        sk_dec part;
        if (book_bytes(c, &p) == 0) continue;
        sk_rebuilt_open(d, &p, d->dv, &part);
        if (bytes > 0) part.book = sk_ir_ptr_add(b, d->book, sk_k(d, bytes), 1);
        sk_rebuild_load_words(&part, p.slot, set);
    }
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

/* W tokens from t0 on of a key, or a part of one: rebuilt as W of a kf32 page's 16 tokens,
 * then to their panel. */
static void rebuild_tokens(sk_extend *c, sk_dec *d, uint32_t slot, const sk_seg_layout *lay, sk_val page,
                           sk_val set, sk_val t0)
{
    sk_builder *b = d->b;
    const uint32_t row = c->tokens_panel * 4;
    sk_val to = panel_at(d, c->kx, t0, c->tokens_panel, c->dec.d / c->each);
    sk_val x[16];
    if (d->vdim0 > 0) to = sk_ir_ptr_add(b, to, sk_k(d, d->vdim0 / c->each), row);
    sk_part_rebuild_vector(d, slot, lay, page, set, t0, d->zero, SK_NONE);
    if (sk_dec_vk(d->spec, slot)) sk_part_vk_vector(d, slot, t0, d->zero);
    sk_part_rope(d, slot, page, t0, d->zero);
    const sk_val d0 = sk_ir_for(b, d->zero, sk_k(d, d->d), d->w);
    const sk_val at = sk_mul(d, d0, row / c->each), from = sk_mul(d, d0, 64);
    for (uint32_t i = 0; i < d->w; i++) x[i] = sk_ir_ldv(b, SK_LD_F32, d->keys, from, i * 64);
    for (uint32_t i = 0; i < d->w; i += c->each)
        sk_ir_stv(b, to, at, i / c->each * row,
                  c->each == 2 ? sk_ir_2(b, SK_OP_PACKBF16, x[i], x[i + 1]) : x[i]);
    sk_ir_end(b);
}

/* Tokens up to a whole panel. */
static void rebuild_keys(sk_extend *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                         sk_val count, sk_val set)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    uint32_t bytes = 0;
    if (!sk_tier_is_dense(&d->spec->tier[tier_slot])) load_book(c, tier_slot, set);
    const sk_val up = sk_add(d, count, sk_k(d, c->tokens_panel - 1));
    const sk_val past = sk_ir_2k(b, SK_OP_UREM, up, c->tokens_panel);
    const sk_val end = sk_ir_2(b, SK_OP_SUB, up, past);
    for (sk_key_part p = {0}; sk_rebuilt_next(d->spec, tier_slot, &p); bytes += book_bytes(c, &p)) {
        sk_dec part;
        const sk_seg_layout *at = &lay->seg[p.seg];
        sk_rebuilt_open(d, &p, d->dv, &part);
        if (bytes > 0) part.book = sk_ir_ptr_add(b, d->book, sk_k(d, bytes), 1);
        sk_rebuild_scales(&part, p.slot, at, page);
        const sk_val t0 = sk_ir_for(b, d->zero, end, d->w);
        rebuild_tokens(c, &part, p.slot, at, page, set, t0);
        sk_ir_end(b);
    }
}

/* ---- values ---------------------------------------------------------------- */

sk_val sk_extend_words(sk_extend *c, sk_val tokens)
{
    sk_dec *d = &c->dec;
    if (c->each == 1) return tokens;
    const sk_val rest = sk_and(d, tokens, 2 * d->w - 1);
    const sk_val whole = sk_shr(d, sk_ir_2(d->b, SK_OP_SUB, tokens, rest), 1);
    return sk_add(d, whole, sk_ir_2k(d->b, SK_OP_UMIN, rest, d->w));
}

/* W channels of a page's values. */
typedef struct channels {
    sk_value_form f;
    sk_val v0, block, count;
} channels;

/* Of token t, and where values stand in pairs of t + 1; 0 of what is no token. */
static void channels_at(sk_extend *c, const channels *x, sk_val t, bool masked, sk_val v[2])
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val steps = x->f.pairs ? sk_shr(d, t, 1) : t;
    sk_value_floats(d, &x->f, x->v0, sk_add(d, x->block, sk_mul(d, steps, x->f.step)), &v[0], &v[1]);
    for (uint32_t i = 0; masked && i < (x->f.pairs ? 2u : 1u); i++) {
        const sk_val in = sk_ir_2(b, SK_OP_ULT, sk_add(d, t, sk_k(d, i)), x->count);
        v[i] = sk_sel(d, in, v[i], sk_ir_f32(b, 0.0f));
    }
}

/* Words t .. of the channels at `to`: one or a pair of tokens, or with bfloat16s those
 * and the ones W behind them. */
static void put_channels(sk_extend *c, const channels *x, sk_val to, sk_val word, sk_val t)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t row = c->channels_panel * 4;
    sk_val v[2], far[2];
    channels_at(c, x, t, c->each == 2, v);
    if (c->each == 2) channels_at(c, x, sk_add(d, t, sk_k(d, d->w)), true, far);
    for (uint32_t i = 0; i < (x->f.pairs ? 2u : 1u); i++)
        sk_ir_stv(b, to, sk_mul(d, word, row), i * row,
                  c->each == 2 ? sk_ir_2(b, SK_OP_PACKBF16, v[i], far[i]) : v[i]);
}

static void rebuild_channels(sk_extend *c, channels *x, sk_val c0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t step = x->f.pairs ? 2 : 1;
    const sk_val to = panel_at(d, c->vx, c0, c->channels_panel, d->tp / c->each);
    if (c->each == 1) {
        const sk_val t = sk_ir_for(b, d->zero, x->count, step);
        put_channels(c, x, to, t, t);
        sk_ir_end(b);
        return;
    }
    const sk_val t0 = sk_ir_for(b, d->zero, x->count, 2 * d->w);
    const sk_val left = sk_ir_2(b, SK_OP_SUB, x->count, t0);
    const sk_val i = sk_ir_for(b, d->zero, sk_ir_2k(b, SK_OP_UMIN, left, d->w), step);
    put_channels(c, x, to, sk_add(d, sk_shr(d, t0, 1), i), sk_add(d, t0, i));
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_extend_rebuild(sk_extend *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val head)
{
    sk_dec *d = &c->dec;
    sk_page_layout lay;
    sk_page_layout_get(d->spec, tier_slot, &lay);
    const sk_val set = sk_ir_ptr_add(d->b, d->codebook, head, sk_codebook_head_bytes(d->spec));
    rebuild_keys(c, tier_slot, &lay, page, count, set);
    channels x = {.f = sk_value_form_of(d, tier_slot, d->w, false), .count = count};
    x.v0 = sk_dec_vk(d->spec, tier_slot) ? d->vals : sk_ir_ptr_add(d->b, page, sk_k(d, lay.value_off), 1);
    const sk_val c0 = sk_ir_for(d->b, d->zero, sk_k(d, d->dv), d->w);
    sk_value_channels(d, &x.f, &lay, page, c0);
    x.block = sk_value_block(d, &x.f, c0);
    rebuild_channels(c, &x, c0);
    sk_ir_end(d->b);
}
