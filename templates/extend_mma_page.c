/* extend_mma_page.c - keys and values of a slab as factors of products. Keys come from what
 * makes numbers of pages (decode_lanes.h), with all that a tier or a codebook set asks for.
 * Values are transposed: a lane is a channel and takes 8 tokens. */
#include "extend_mma.h"
#include "lanes.h"

#define PIECE 16u /* dimensions: few, for the sums of all rows are in registers meanwhile */

/* A piece of 32 tokens to rows of factors. */
static void put_keys(sk_numbers *n, sk_val *x, sk_val t0, sk_val d0)
{
    const sk_mma *m = n->user;
    sk_dec *d = &n->dec;
    sk_numbers slab = *n;
    sk_val word[2][PIECE / 2];
    for (uint32_t i = 0; i < PIECE / 2; i++) {
        word[0][i] = sk_ir_2(d->b, SK_OP_PACKBF16, x[2 * i], x[2 * i + 1]);
        if (m->parts == 2) word[1][i] = sk_bf16_rest(d, &x[2 * i], word[0][i]);
    }
    slab.count = sk_ir_2(d->b, SK_OP_SUB, n->count, n->first);
    for (uint32_t p = 0; p < m->parts; p++) {
        const sk_number_rows to = {.es = 2, .rows = m->k[p], .stride = sk_k(d, 2 * m->row)};
        sk_numbers_put_rows(&slab, &to, word[p], sk_ir_2(d->b, SK_OP_SUB, t0, n->first), d0);
    }
}

void sk_mma_page_scratch(sk_mma *x)
{
    sk_numbers *n = &x->numbers;
    const sk_spec *spec = x->c->dec.spec;
    const uint32_t where = sk_numbers_where_bytes(spec), framed = sk_numbers_framed_bytes(spec);
    if (x->c->dec.b) {
        sk_numbers_init(n, x->c->dec.b, spec, x->c->dec.sched, PIECE);
        n->dec = x->c->dec;
    }
    n->turned = true;
    n->most = x->slab;
    n->put_keys = put_keys;
    n->user = x;
    if (where) n->where = sk_extend_area(x->c, "where", where / 4, false);
    if (framed) n->framed = sk_extend_area(x->c, "framed", framed / 4, false);
}

static void rebuild_keys(sk_mma *x, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                         const sk_mma_slab *slab)
{
    sk_dec *d = &x->c->dec;
    sk_numbers *n = &x->numbers;
    n->set = sk_ir_ptr_add(d->b, d->codebook, sk_extend_word(d, SK_EXT_HEAD), sk_codebook_head_bytes(d->spec));
    n->first = slab->first;
    n->count = sk_add(d, slab->first, sk_round_up(d, slab->count, SK_MMA_STEP));
    sk_numbers_keys(n, tier_slot, lay, page, d->d);
}

/* 8 tokens of 32 channels, from slot t0 of the page, the slab's `at`. */
static void put_channels(sk_mma *x, const sk_lane_values *v, const sk_mma_slab *slab, sk_val at, sk_val inside)
{
    sk_dec *d = &x->c->dec;
    sk_builder *b = d->b;
    const sk_val none = sk_ir_f32(b, 0.0f);
    sk_val word[2][4];
    for (uint32_t i = 0; i < 4; i++) {
        sk_val pair[2];
        for (uint32_t e = 0; e < 2; e++) {
            const sk_val t = sk_add(d, at, sk_k(d, 2 * i + e));
            const sk_val in = sk_ir_2(b, SK_OP_PAND, inside, sk_ir_2(b, SK_OP_ULT, t, slab->count));
            pair[e] = sk_sel(d, in, sk_lane_value(v, sk_add(d, slab->first, t), in), none);
        }
        word[0][i] = sk_ir_2(b, SK_OP_PACKBF16, pair[0], pair[1]);
        if (x->parts == 2) word[1][i] = sk_bf16_rest(d, pair, word[0][i]);
    }
    const sk_val place = sk_ir_2(b, SK_OP_XOR, sk_shr(d, at, 3), sk_mma_turn(x, v->channel));
    const sk_val to = sk_add(d, sk_mul(d, v->channel, 2 * x->slab), sk_shl(d, place, 4));
    for (uint32_t p = 0; p < x->parts; p++)
        sk_ir_stq(b, x->v[p], to, 0, sk_ir_quad(b, word[p][0], word[p][1], word[p][2], word[p][3]), inside);
}

static void rebuild_values(sk_mma *x, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                           const sk_mma_slab *slab)
{
    sk_dec *d = &x->c->dec;
    sk_builder *b = d->b;
    const uint32_t runs = x->slab / 8, blocks = (d->dv + 31) / 32;
    const sk_val turn = sk_gpu_turns(b, sk_k(d, blocks * runs), 1);
    const sk_val at = sk_mul(d, sk_ir_2k(b, SK_OP_UREM, turn, runs), 8);
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, at, sk_round_up(d, slab->count, SK_MMA_STEP)));
    const sk_val channel = sk_add(d, sk_mul(d, sk_ir_2k(b, SK_OP_UDIV, turn, runs), 32), d->lane);
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, channel, d->dv);
    const sk_lane_values v = sk_lane_values_begin(d, tier_slot, lay, page, channel, inside);
    put_channels(x, &v, slab, at, inside);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_mma_rebuild(sk_mma *x, sk_val tier, sk_val page, const sk_mma_slab *slab)
{
    sk_dec *d = &x->c->dec;
    sk_builder *b = d->b;
    for (uint32_t k = 0; k < d->spec->ntiers; k++) {
        sk_page_layout lay;
        sk_page_layout_get(d->spec, k, &lay);
        sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, tier, k));
        rebuild_keys(x, k, &lay, page, slab);
        rebuild_values(x, k, &lay, page, slab);
        sk_ir_end(b);
    }
}
