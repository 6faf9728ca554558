/* part_query.c - the queries of a KV head, once per work item: scaled for dense
 * tiers; for coded ones in the order of dimensions and in the frame that the codebook
 * set gives them, with the number <q, mean> that every coded key's logit lacks (design,
 * section 3). Nothing of it is paid per token: see part_logits.c. */
#include "decode.h"

sk_val sk_dec_book(sk_dec *c)
{
    const sk_val head = sk_ir_ldu(c->b, SK_LD_U32, c->item, c->zero, SK_ITEM_HEAD * 4);
    return sk_ir_ptr_add(c->b, c->codebook, head,
                         sk_codebook_head_bytes(c->whole ? c->whole : c->spec));
}

uint32_t sk_dec_words_off(const sk_dec *c, uint32_t tier_slot)
{
    return c->whole ? sk_codebook_tier_off(c->whole, c->tier, c->seg)
                    : sk_codebook_tier_off(c->spec, tier_slot, 0);
}

static const sk_ld_kind q_kind[] = {SK_LD_F32, SK_LD_F16, SK_LD_BF16};

/* What the logits of query head h are multiplied by. */
static sk_val head_scale(sk_dec *c, uint32_t h)
{
    sk_builder *b = c->b;
    if (!sk_dec_has(c, SPHKV_VARIANT_HEADSCALE)) return c->scale;
    const sk_val kv = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_HEAD * 4);
    const sk_val turn = sk_dec_turn_row(c, c->var.head_scale, 4);
    const sk_val own = sk_ir_ldu(b, SK_LD_F32, turn, sk_mul(c, kv, c->heads * 4), h * 4);
    return sk_ir_2(b, SK_OP_FMUL, c->scale, own);
}

/* Dimensions of one query head, one vector a turn; transposed into qt where
 * `rows`. Rows h >= H of qt are zeros: rows of the tables are padded to runs. */
static void query_head(sk_dec *c, sk_val q, uint32_t h, bool rows)
{
    sk_builder *b = c->b;
    const sk_ld_kind kind = q_kind[c->spec->q_dtype];
    const sk_val scale = h < c->h ? head_scale(c, h) : SK_NONE;
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), c->w);
    sk_val x = sk_ir_f32(b, 0.0f);
    if (h < c->h) {
        x = sk_ir_ldv(b, kind, q, sk_mul(c, d0, sk_ld_bytes(kind)), 0);
        x = sk_ir_2(b, SK_OP_FMUL, x, scale);
        sk_ir_stv(b, c->qs, sk_mul(c, d0, 4), h * c->d * 4, x);
    }
    if (rows) {
        const sk_val at = sk_mul(c, sk_add(c, d0, c->lane), c->hr * 4);
        sk_ir_stg(b, c->qt, at, h * 4, x, SK_NONE);
    }
    sk_ir_end(b);
}

/* qt from qc. */
static void transpose_heads(sk_dec *c)
{
    sk_builder *b = c->b;
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), c->w), off = sk_mul(c, d0, 4);
    const sk_val at = sk_mul(c, sk_add(c, d0, c->lane), c->hr * 4);
    for (uint32_t h = 0; h < c->hr; h++) {
        const sk_val x = h < c->h ? sk_ir_ldv(b, SK_LD_F32, c->qc, off, h * c->d * 4)
                                  : sk_ir_f32(b, 0.0f);
        sk_ir_stg(b, c->qt, at, h * 4, x, SK_NONE);
    }
    sk_ir_end(b);
}

/* qc[h][i] = qs[h][perm[i]], and qt. An index beyond the head reads the last
 * dimension: a damaged set gives wrong numbers, never a stray read. */
static void permute_heads(sk_dec *c, bool rows)
{
    sk_builder *b = c->b;
    const sk_val book = sk_dec_book(c);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), c->w), off = sk_mul(c, d0, 4);
    sk_val from = sk_ir_ldv(b, SK_LD_U32, book, off, sk_codebook_permutation_off(c->spec));
    from = sk_mul(c, sk_ir_2k(b, SK_OP_UMIN, from, c->d - 1), 4);
    const sk_val at = sk_mul(c, sk_add(c, d0, c->lane), c->hr * 4);
    for (uint32_t h = 0; h < (rows ? c->hr : c->h); h++) {
        sk_val x = sk_ir_f32(b, 0.0f);
        if (h < c->h) x = sk_ir_ldg(b, SK_LD_F32, c->qs, from, h * c->d * 4, SK_NONE);
        if (h < c->h) sk_ir_stv(b, c->qc, off, h * c->d * 4, x);
        if (rows) sk_ir_stg(b, c->qt, at, h * 4, x, SK_NONE);
    }
    sk_ir_end(b);
}

void sk_part_query(sk_dec *c, bool rows)
{
    sk_builder *b = c->b;
    const bool apart = c->qc != c->qs, here = rows && !apart;
    sk_val q = sk_ir_ptr_add(b, c->q, sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_Q * 4), 1);
    q = sk_dec_turn_row_by(c, q, c->q_stride);
    for (uint32_t h = 0; h < (here ? c->hr : c->h); h++) {
        query_head(c, q, h, here);
        if (h + 1 < c->h) q = sk_ir_ptr_add(b, q, c->q_stride, 1);
    }
    if (!apart) return;
    if (sk_spec_turned(c->spec)) {
        sk_part_turn_queries(c);
        if (rows) transpose_heads(c);
    } else {
        permute_heads(c, rows);
    }
}

uint32_t sk_dec_mean_off(const sk_dec *c)
{
    uint32_t dim0 = 0;
    if (!c->whole) return sk_codebook_mean_off(c->spec);
    for (uint32_t s = 0; s < c->seg; s++) dim0 += c->whole->tier[c->tier].seg[s].dims;
    return sk_codebook_mean_off(c->whole) + dim0 * 4;
}

/* Adds the products of dimensions dim0 .. dim0+dims-1 of head h and the mean. */
static void add_mean(sk_dec *c, sk_val book, uint32_t h, uint32_t dim0, uint32_t dims, sk_val acc)
{
    sk_builder *b = c->b;
    const sk_val at = sk_mul(c, sk_ir_for(b, c->zero, sk_k(c, dims), c->w), 4);
    const sk_val q = sk_ir_ldv(b, SK_LD_F32, c->qs, at, (h * c->d + dim0) * 4);
    const sk_val m = sk_ir_ldv(b, SK_LD_F32, book, at, sk_codebook_mean_off(c->spec) + dim0 * 4);
    sk_ir_set(b, acc, sk_fma(c, q, m, sk_ir_get(b, acc)));
    sk_ir_end(b);
}

/* Over the dimensions of all heads, or of a tier's segments that are coded and not
 * rotated. */
static void mean_into(sk_dec *c, const sk_tier *tier, const sk_page_layout *lay, sk_val qm)
{
    sk_builder *b = c->b;
    const sk_val book = sk_dec_book(c), zero = sk_ir_f32(b, 0.0f);
    for (uint32_t h = 0; h < c->hr; h++) {
        sk_val sum = zero; /* of the padding */
        if (h < c->h) {
            const sk_val acc = sk_ir_var(b, SK_LANE, zero);
            if (!tier) add_mean(c, book, h, 0, c->d, acc);
            for (uint32_t s = 0; tier && s < tier->nseg; s++)
                if (tier->seg[s].kind == SK_KEY_CODED && !tier->seg[s].pre_rope)
                    add_mean(c, book, h, lay->seg[s].dim0, lay->seg[s].dims, acc);
            sum = sk_ir_1(b, SK_OP_RED_FADD, sk_ir_get(b, acc));
        }
        sk_ir_stu(b, qm, c->zero, h * 4, sum);
    }
}

void sk_part_mean(sk_dec *c) { mean_into(c, NULL, NULL, c->qm); }

void sk_part_mean_coded(sk_dec *c, uint32_t tier_slot, sk_val qm)
{
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    mean_into(c, &c->spec->tier[tier_slot], &lay, qm);
}
