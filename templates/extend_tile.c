/* extend_tile.c - what a block of attn_extend does with an item, and where its scratch lies:
 * queries, the walk over the pages that the tile sees, the output. */
#include "extend.h"

#include <math.h>
#include <string.h>

#include "part_rope.h"
#include "rows.h"

uint32_t sk_extend_tokens(const sk_spec *spec, const sk_schedule *sched)
{
    const uint32_t tokens = (uint32_t)sched->v[SK_T_qtile] / spec->heads_per_kv;
    return tokens ? tokens : 1;
}

uint32_t sk_extend_panel(const sk_schedule *sched, uint32_t n)
{
    const uint32_t w = (uint32_t)sched->v[SK_T_w], vectors = n / w;
    uint32_t panel = (uint32_t)sched->v[SK_T_qvec];
    while (vectors % panel != 0) panel--;
    return panel * w;
}

/* ---- parameters ------------------------------------------------------------ */

/* head NULL: heads lie side by side, 4 bytes each. */
static sk_extend_tensor tensor(sk_builder *b, const char *data, const char *tok, const char *head,
                               bool writable)
{
    sk_extend_tensor p = {.data = sk_ir_param_ptr(b, data, writable)};
    p.tok_bytes = sk_ir_param_u32(b, tok);
    p.head_bytes = head ? sk_ir_param_u32(b, head) : sk_ir_u32(b, 4);
    return p;
}

void sk_extend_params(sk_extend *c, sk_extend_io *io)
{
    sk_builder *b = c->dec.b;
    c->dec.scale = sk_ir_param_f32(b, "scale_log2e");
    io->q = tensor(b, "q", "q_token_bytes", "q_head_bytes", false);
    io->out = tensor(b, "out", "out_token_bytes", "out_head_bytes", true);
    io->lse = tensor(b, "lse", "lse_token_bytes", NULL, true);
    sk_dec_variant_params(&c->dec);
    sk_rope_params(&c->dec);
}

/* ---- scratch --------------------------------------------------------------- */

void sk_extend_init(sk_extend *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched)
{
    memset(c, 0, sizeof *c);
    sk_dec *d = &c->dec;
    sk_dec_init(d, b, spec, sched);
    d->h = spec->heads_per_kv; /* no turns: rows are what they are */
    c->group = (uint32_t)sched->v[SK_T_qrows];
    c->tokens = sk_extend_tokens(spec, sched);
    c->rows = (c->tokens * d->h + c->group - 1) / c->group * c->group;
    c->each = sched->v[SK_T_product] == SK_PRODUCT_BF16 ? 2 : 1;
    c->q_words = (d->d / c->each + d->w - 1) / d->w * d->w;
    c->sum_words = d->w;
}

sk_val sk_extend_area(sk_extend *c, const char *name, uint32_t words, bool page)
{
    sk_builder *b = c->dec.b;
    const bool out = c->room.rule == SK_ROOM_GLOBAL || (c->room.rule == SK_ROOM_TABLES && page);
    uint32_t *taken = out ? &c->room.outside_bytes : &c->room.inside_bytes;
    const uint32_t at = *taken;
    *taken += sk_ir_area_bytes(words * 4);
    if (!b) return SK_NONE;
    const sk_val v = out ? sk_ir_ptr_add(b, c->room.outside, sk_ir_u32(b, at), 1)
                         : sk_ir_shared(b, words * 4);
    return sk_ir_name(b, v, name);
}

static void areas(sk_extend *c)
{
    sk_dec *d = &c->dec;
    c->tokens_panel = sk_extend_panel(d->sched, d->p);
    c->channels_panel = sk_extend_panel(d->sched, d->cp);
    d->qs = sk_extend_area(c, "qs", c->rows * c->q_words, false);
    c->kx = sk_extend_area(c, "kx", d->p * d->d / c->each, true);
    c->vx = sk_extend_area(c, "vx", d->tp * d->cp / c->each, true);
    d->s = sk_extend_area(c, "s", c->group * d->tp, false);
    d->acc = sk_extend_area(c, "acc", c->rows * d->cp, false);
    c->sums = sk_extend_area(c, "sums", c->rows * d->w, false);
    c->top = sk_extend_area(c, "top", c->rows, false);
    sk_extend_mask_scratch(c);
    c->alpha = sk_extend_area(c, "alpha", c->group, false);
    sk_extend_scratch(c);
}

sk_extend_room sk_extend_room_of(const sk_spec *spec, const sk_schedule *sched, int32_t rule)
{
    sk_extend c;
    sk_extend_init(&c, NULL, spec, sched);
    c.room.rule = rule;
    areas(&c);
    return c.room;
}

sk_val sk_extend_word(sk_dec *d, uint32_t word)
{
    return sk_ir_ldu(d->b, SK_LD_U32, d->item, d->zero, word * 4);
}

/* ---- rows ------------------------------------------------------------------ */

sk_val sk_extend_row_at(sk_dec *d, const sk_extend_tensor *p, uint32_t word, sk_val i, sk_val h)
{
    sk_builder *b = d->b;
    const sk_val first = sk_ir_ptr_add(b, p->data, sk_extend_word(d, word), 1);
    const sk_val token = sk_ir_ptr_add(b, first, i, 1);
    return sk_ir_ptr_add(b, token, sk_ir_2(b, SK_OP_MUL, h, p->head_bytes), 1);
}

/* Begins the loops over query tokens, which warps take in turns, and heads: byte offset of
 * the token, head, row. Two ENDs close them. */
static void each_row(sk_dec *d, const sk_extend_tensor *p, sk_val *at, sk_val *token, sk_val *h, sk_val *r)
{
    sk_builder *b = d->b;
    const bool turns = d->warps > 1;
    *token = sk_ir_for(b, turns ? d->warp : d->zero, sk_extend_word(d, SK_EXT_TOKENS), turns ? d->warps : 1);
    *at = sk_ir_2(b, SK_OP_MUL, *token, p->tok_bytes);
    *h = sk_ir_for(b, d->zero, sk_k(d, d->h), 1);
    *r = sk_add(d, sk_mul(d, *token, d->h), *h);
}

/* Nothing is gathered yet, and no row there: what the tile lacks sees what its last
 * token does, so that ranges move on from row to row. */
static void clear(sk_extend *c)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val last = sk_ir_2(b, SK_OP_SUB, sk_extend_word(d, SK_EXT_TOKENS), sk_k(d, 1));
    const sk_val zero = sk_ir_f32(b, 0.0f);
    const sk_val r = sk_ir_for(b, d->zero, sk_k(d, c->rows), 1);
    sk_ir_stu(b, c->top, sk_mul(d, r, 4), 0, sk_ir_f32(b, -INFINITY));
    sk_extend_mask_row(c, r, last);
    sk_ir_stv(b, c->sums, sk_mul(d, r, d->w * 4), 0, zero);
    const sk_val acc = sk_ir_ptr_add(b, d->acc, r, d->cp * 4);
    sk_val i = sk_ir_for(b, d->zero, sk_k(d, d->cp), d->w);
    sk_ir_stv(b, acc, sk_mul(d, i, 4), 0, zero);
    sk_ir_end(b);
    const sk_val q = sk_ir_ptr_add(b, d->qs, r, c->q_words * 4);
    i = sk_ir_for(b, d->zero, sk_k(d, c->q_words), d->w);
    sk_ir_stv(b, q, sk_mul(d, i, 4), 0, zero);
    sk_ir_end(b);
    sk_ir_end(b);
}

sk_val sk_extend_head_scale(sk_dec *d, sk_val h)
{
    sk_builder *b = d->b;
    if (!sk_dec_has(d, SPHKV_VARIANT_HEADSCALE)) return d->scale;
    const sk_val head = sk_add(d, sk_mul(d, sk_extend_word(d, SK_EXT_HEAD), d->h), h);
    const sk_val own = sk_ir_ldu(b, SK_LD_F32, d->var.head_scale, sk_mul(d, head, 4), 0);
    return sk_ir_2(b, SK_OP_FMUL, d->scale, own);
}

/* W words of a query from word i0 on, scaled: dimensions, or pairs of them. */
static sk_val query_words(sk_extend *c, sk_val q, sk_val i0, sk_val scale)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_ld_kind kind = sk_rows_input_kind(d->spec->q_dtype);
    const uint32_t es = sk_ld_bytes(kind);
    if (c->each == 1)
        return sk_ir_2(b, SK_OP_FMUL, sk_ir_ldv(b, kind, q, sk_mul(d, i0, es), 0), scale);
    const sk_val pair = sk_add(d, i0, d->lane), at = sk_mul(d, pair, 2 * es);
    const sk_val in = sk_ir_2k(b, SK_OP_ULT, pair, d->d / 2);
    const sk_val even = sk_ir_ldg(b, kind, q, at, 0, in), odd = sk_ir_ldg(b, kind, q, at, es, in);
    return sk_ir_2(b, SK_OP_PACKBF16, sk_ir_2(b, SK_OP_FMUL, even, scale),
                   sk_ir_2(b, SK_OP_FMUL, odd, scale));
}

static void queries(sk_extend *c, const sk_extend_tensor *from)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_val at, token, h, r;
    each_row(d, from, &at, &token, &h, &r);
    sk_extend_mask_row(c, r, token);
    const sk_val scale = sk_extend_head_scale(d, h);
    const sk_val q = sk_extend_row_at(d, from, SK_EXT_Q, at, h), to = sk_ir_ptr_add(b, d->qs, r, c->q_words * 4);
    const sk_val i0 = sk_ir_for(b, d->zero, sk_k(d, c->q_words), d->w);
    sk_ir_stv(b, to, sk_mul(d, i0, 4), 0, query_words(c, q, i0, scale));
    for (uint32_t i = 0; i < 3; i++) sk_ir_end(b);
}

sk_val sk_extend_page_at(sk_extend *c, const sk_extend_ref *ref)
{
    sk_dec *d = &c->dec;
    const sk_val more = sk_ir_ldu(d->b, SK_LD_U32, d->item, sk_shl(d, ref->tier, 2), SK_EXT_UNITS * 4);
    return sk_ir_ptr_add(d->b, d->arena, sk_add(d, ref->unit, more), SPHKV_UNIT_BYTES);
}

void sk_extend_walk(sk_extend *c, sk_val refs, sk_extend_visit *visit, void *user)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val before = sk_ir_var(b, SK_BLOCK, sk_extend_word(d, SK_EXT_BEFORE));
    const sk_val i = sk_ir_for(b, sk_extend_word(d, SK_EXT_LO), sk_extend_word(d, SK_EXT_HI), 1);
    const sk_val at = sk_ir_ptr_add(b, refs, i, 8); /* tables may be larger than 4 GiB */
    const sk_val rest = sk_ir_ldu(b, SK_LD_U32, at, d->zero, 4), count = sk_and(d, rest, 0xffff);
    sk_extend_ref ref = {.unit = sk_ir_ldu(b, SK_LD_U32, at, d->zero, 0), .tier = sk_shr(d, rest, 16)};
    ref.page = (sk_extend_page){.before = sk_ir_get(b, before), .count = count, .bias = SK_NONE};
    if (sk_dec_has(d, SPHKV_VARIANT_BIAS)) ref.page.bias = sk_ir_ptr_add(b, d->var.bias, i, d->p * 4);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, count, d->zero));
    visit(c, user, &ref);
    sk_ir_set(b, before, sk_add(d, ref.page.before, count));
    sk_ir_end(b);
    sk_ir_end(b);
}

/* A page: rebuilt, then gone through by all rows. */
static void visit(sk_extend *c, void *user, const sk_extend_ref *ref)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val head = sk_extend_word(d, SK_EXT_HEAD);
    const sk_val least = sk_ir_var(b, SK_WARP, d->zero), most = sk_ir_var(b, SK_WARP, d->zero);
    const sk_val rows = sk_mul(d, sk_extend_word(d, SK_EXT_TOKENS), d->h), from = sk_extend_page_at(c, ref);
    (void)user;
    for (uint32_t k = 0; k < d->spec->ntiers; k++) {
        sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, ref->tier, k));
        sk_extend_rebuild(c, k, from, ref->page.count, head);
        sk_extend_places(c, k, from, ref->page.count, least, most);
        sk_ir_end(b);
    }
    sk_extend_page page = ref->page;
    page.least = sk_ir_get(b, least);
    page.most = sk_ir_get(b, most);
    const sk_val r0 = sk_ir_for(b, d->zero, rows, c->group);
    sk_extend_rows(c, r0, &page);
    sk_ir_end(b);
}

/* m and l of a row, its sink in it; keep: what acc is multiplied by. */
static sk_dec_sum row_sum(sk_extend *c, sk_val r, sk_val h)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val at = sk_mul(d, r, c->sum_words * 4);
    const sk_val l = c->sum_words == 1 ? sk_ir_ldu(b, SK_LD_F32, c->sums, at, 0)
                                       : sk_ir_1(b, SK_OP_RED_FADD, sk_ir_ldv(b, SK_LD_F32, c->sums, at, 0));
    const sk_dec_sum sum = {.m = sk_ir_ldu(b, SK_LD_F32, c->top, sk_mul(d, r, 4), 0),
                            .l = l, .keep = sk_ir_f32(b, 1.0f)};
    if (!sk_dec_has(d, SPHKV_VARIANT_SINK)) return sum;
    const sk_val first = sk_extend_word(d, SK_EXT_SINK), none = sk_k(d, SK_ITEM_NONE);
    const sk_val own = sk_add(d, first, sk_mul(d, h, 4));
    return sk_part_sink(d, sk_sel(d, sk_ir_2(b, SK_OP_EQ, first, none), none, own), 0, sum.m, sum.l);
}

/* acc of one row over its sum. */
typedef struct final_row {
    sk_val acc, inv;
} final_row;

static sk_val final_channels(sk_dec *d, const void *of, sk_val at)
{
    const final_row *r = of;
    return sk_ir_2(d->b, SK_OP_FMUL, sk_part_row(d, r->acc, at, 0, d->cp), r->inv);
}

void sk_extend_outputs(sk_extend *c, const sk_extend_tensor *out, const sk_extend_tensor *lse)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_val at, token, h, r;
    each_row(d, out, &at, &token, &h, &r);
    const sk_val none = sk_ir_f32(b, 0.0f);
    const sk_dec_sum sum = row_sum(c, r, h);
    const sk_val inv = sk_sel(d, sk_ir_2(b, SK_OP_FLT, none, sum.l),
                              sk_ir_2(b, SK_OP_FDIV, sum.keep, sum.l), none);
    sk_part_out(d, sk_extend_row_at(d, out, SK_EXT_OUT, at, h), final_channels,
                &(final_row){sk_ir_ptr_add(b, d->acc, r, d->cp * 4), inv});
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, sk_extend_word(d, SK_EXT_LSE), sk_k(d, SK_ITEM_NONE)));
    const sk_val to = sk_ir_2(b, SK_OP_MUL, token, lse->tok_bytes);
    sk_ir_stu(b, sk_extend_row_at(d, lse, SK_EXT_LSE, to, h), d->zero, 0, sk_part_lse(d, sum.m, sum.l));
    for (uint32_t i = 0; i < 3; i++) sk_ir_end(b);
}

void sk_extend_begin(sk_extend *c)
{
    c->dec.zero = sk_ir_u32(c->dec.b, 0);
    c->dec.lane = sk_ir_lane(c->dec.b);
    areas(c);
}

void sk_extend_tile(sk_extend *c, const sk_extend_io *io)
{
    c->held = sk_ir_var(c->dec.b, SK_BLOCK, c->dec.zero);
    clear(c);
    queries(c, &io->q);
    sk_extend_walk(c, io->refs, visit, NULL);
    sk_extend_outputs(c, &io->out, &io->lse);
}
