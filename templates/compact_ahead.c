/* compact_ahead.c - on a CPU: while a page is made, the lines of the sources of the next
 * one are asked for, field by field, a few in each turn of a field's loop, and with its
 * first those of the scales before it. Of the pages that its tokens come from those of the
 * first and of the last token are asked for: where half of the tokens stay that is all of
 * them. */
#include "compact.h"

/* Arena units of the pages, in variables: 0 where the next item has no tokens. */
void sk_compact_ahead(sk_compact *c, sk_val items, sk_val tokens, sk_val subs, sk_val next)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    if (c->enc.gpu) return;
    const sk_val item = sk_ir_ptr_add(b, items, sk_ir_2(b, SK_OP_UDIV, next, subs), sizeof(sphkv_compact_item));
    const sk_val first = sk_ir_ldu(b, SK_LD_U32, item, d->zero, offsetof(sphkv_compact_item, first));
    const sk_val count = sk_ir_ldu(b, SK_LD_U32, item, d->zero, offsetof(sphkv_compact_item, count));
    c->next_sub = sk_ir_2(b, SK_OP_UREM, next, subs);
    for (uint32_t i = 0; i < 2; i++) c->next_unit[i] = sk_ir_var(b, SK_WARP, d->zero);
    c->asked = sk_ir_var(b, SK_WARP, d->zero);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, count, d->zero));
    const sk_val last = sk_ir_2(b, SK_OP_SUB, sk_add(d, first, count), sk_k(d, 1));
    for (uint32_t i = 0; i < 2; i++) {
        const sk_val token = sk_ir_ptr_add(b, tokens, i ? last : first, sizeof(sphkv_compact_token));
        sk_ir_set(b, c->next_unit[i], sk_ir_ldu(b, SK_LD_U32, token, d->zero, 0));
    }
    sk_ir_end(b);
}

static sk_val next_page(sk_compact *c, uint32_t i)
{
    sk_builder *b = c->dec.b;
    return sk_ir_ptr_add(b, c->next_src, sk_ir_get(b, c->next_unit[i]), SPHKV_UNIT_BYTES);
}

#define LINE 64u

static uint32_t end_of(sk_compact *c, const sk_compact_field *f)
{
    return f->off + (sk_compact_elements(c->dec.spec, f) * f->bits + 7) / 8;
}

/* Lines of the page that are asked for when a field begins end here; from there on a
 * field's own are, by turns. */
static uint32_t begin_of(const sk_compact_field *f) { return f->off / LINE * LINE + LINE; }

uint32_t sk_compact_ahead_field(sk_compact *c, const sk_compact_field *f, uint32_t from)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t begin = begin_of(f), end = (end_of(c, f) + LINE - 1) / LINE * LINE;
    if (from < begin) {
        const sk_val page[2] = {next_page(c, 0), next_page(c, 1)};
        const sk_val at = sk_ir_for(b, sk_k(d, from), sk_k(d, begin), LINE);
        for (uint32_t i = 0; i < 2; i++) sk_ir_prefetch(b, page[i], at, 0);
        sk_ir_end(b);
    }
    sk_ir_set(b, c->asked, sk_k(d, begin));
    return end > begin ? end : begin;
}

void sk_compact_ask(sk_compact *c, const sk_compact_field *f, uint32_t turns)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t begin = begin_of(f), end = end_of(c, f), bytes = end > begin ? end - begin : 0;
    const uint32_t shares = turns ? turns : 1; /* a block may be shorter than a turn */
    const uint32_t lines = ((bytes + LINE - 1) / LINE + shares - 1) / shares;
    const sk_val at = sk_ir_get(b, c->asked);
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t k = 0; k < lines; k++) sk_ir_prefetch(b, next_page(c, i), at, k * LINE);
    sk_ir_set(b, c->asked, sk_ir_2k(b, SK_OP_UMIN, sk_add(d, at, sk_k(d, lines * LINE)), end));
}
