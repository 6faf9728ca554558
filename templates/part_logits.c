/* part_logits.c - logits of one page for all query heads of a KV head, into
 * s[head][token], lanes = tokens. logit = sum_p r_hat[p] * sum_{j in p}
 * LUT[j][code] (design, section 3); q already carries scale * log2(e).
 *
 * One function per form of look-up; dense keys are part_dense.c, rebuilt ones
 * part_rebuilt.c. K is read
 * once: every loop serves all heads (or a tile of them, from cache) with what it
 * has loaded. */
#include "decode.h"

#include "part_bytes.h"
#include "part_pair16.h"
#include "part_probs.h"
#include "part_rebuild.h"
#include "part_segments.h"
#include "part_vk.h"
#include "part_unpack.h"

static uint32_t form_block(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const uint32_t w = (uint32_t)sched->v[SK_T_w];
    switch (sk_dec_form(spec, sched, tier_slot)) {
    case SK_FORM_DENSE: return (uint32_t)sched->v[SK_T_ktok] * w;
    case SK_FORM_ROWS: return w;
    case SK_FORM_PERM: return 2 * w;
    case SK_FORM_PAIR16:
    case SK_FORM_BYTE: return 64;
    case SK_FORM_REBUILD: return sk_rebuild_tokens(sched);
    }
    return w;
}

uint32_t sk_dec_token_block(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const uint32_t w = (uint32_t)sched->v[SK_T_w], vtok = (uint32_t)sched->v[SK_T_vtok];
    uint32_t block = 0;
    for (sk_key_part p = {0}; sk_key_next_of(spec, sched, tier_slot, &p);) {
        const uint32_t one = form_block(&p.spec, sched, p.slot);
        block = one > block ? one : block;
    }
    const sk_probs form = sk_probs_of(spec, sched, tier_slot);
    const uint32_t packed = sk_probs_vectors(form) * w, step = sk_probs_step(spec, tier_slot, form);
    if (block < packed) block = packed;
    if (block < vtok * step) block = vtok * step;
    return block;
}

void sk_store_coded(sk_dec *c, uint32_t h, sk_val t0, uint32_t u, sk_val x, sk_val r)
{
    sk_builder *b = c->b;
    if (c->spec->book & SPHKV_BOOK_MEAN) {
        const sk_val mean = sk_ir_ldu(b, SK_LD_F32, c->qm, c->zero, h * 4);
        x = r == SK_NONE ? sk_ir_2(b, SK_OP_FADD, x, mean) : sk_fma(c, x, r, mean);
    } else if (r != SK_NONE) {
        x = sk_ir_2(b, SK_OP_FMUL, x, r);
    }
    sk_store_logits(c, h, t0, u, x);
}

/* ---- rows in scratch ---------------------------------------------------- */

/* Offsets of the runs of vector v: run r holds token r*n + v, so that radii
 * spread over runs inside groups of n lanes and the transposition ends in
 * order. Selects of uniform loads, so that a CPU addresses with scalars. */
static sk_val run_offsets(sk_dec *c, uint32_t group, uint32_t v)
{
    sk_builder *b = c->b;
    const uint32_t n = c->run, tv = c->w / n;
    if (n == 1) return sk_ir_ldv(b, SK_LD_U32, c->off, c->zero, group * c->w * 4);
    sk_val off = SK_NONE;
    for (uint32_t r = tv; r-- > 0;) {
        const sk_val one =
            sk_ir_ldu(b, SK_LD_U32, c->off, c->zero, (group * c->w + r * n + v) * 4);
        if (off == SK_NONE) {
            off = one;
            continue;
        }
        const sk_val here = sk_ir_2(b, SK_OP_ULT, c->lane, sk_k(c, (r + 1) * n));
        off = sk_sel(c, here, one, off);
    }
    return off;
}

/* Adds group j0 + i to the sums of W tokens. r: radii of these tokens when
 * each group (or several spans) has its own, else SK_NONE. */
static void rows_group(sk_dec *c, sk_val tab, uint32_t i, uint32_t codes, sk_val r, const sk_val *acc)
{
    sk_builder *b = c->b;
    const uint32_t n = c->run, nv = c->hr / n;
    const sk_val run = sk_and(c, c->lane, ~(n - 1));
    for (uint32_t v = 0; v < n; v++) {
        const sk_val off = run_offsets(c, i, v);
        sk_val rr = r;
        if (r != SK_NONE && n > 1) rr = sk_shuf(c, r, sk_add(c, run, sk_k(c, v)));
        for (uint32_t x = 0; x < nv; x++) {
            const uint32_t disp = (i * codes * c->hr + x * n) * 4;
            const sk_val row = sk_ir_ldrows(b, SK_LD_F32, tab, off, disp, n);
            const sk_val var = acc[v * nv + x], old = sk_ir_get(b, var);
            sk_ir_set(b, var,
                      r == SK_NONE ? sk_ir_2(b, SK_OP_FADD, old, row) : sk_fma(c, row, rr, old));
        }
    }
}

uint32_t sk_rows_unroll(uint32_t groups)
{
    uint32_t unroll = 8;
    while (groups % unroll != 0) unroll /= 2;
    return unroll;
}

static void rows_chunk(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                       sk_val lut, sk_val t0, sk_val next)
{
    sk_builder *b = c->b;
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    const uint32_t n = c->run, nv = c->hr / n, codes = 1u << seg->b;
    const uint32_t unroll = sk_rows_unroll(lay->groups);
    const sk_unpack un = sk_unpack_begin(c, tier_slot, t0);
    const sk_val field = sk_ir_ptr_add(b, page, sk_k(c, lay->code_off), 1);
    sk_val acc[16 * SK_HEAD_TILE];
    for (uint32_t i = 0; i < n * nv; i++) acc[i] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val j0 = sk_ir_for(b, c->zero, sk_k(c, lay->groups), unroll);
    for (uint32_t i = 0; i < unroll; i++) {
        const sk_val code = sk_unpack_codes(c, &un, seg, field, sk_add(c, j0, sk_k(c, i)));
        sk_ir_stv(b, c->off, c->zero, i * c->w * 4, sk_mul(c, code, c->hr * 4));
    }
    const sk_val tab = sk_ir_ptr_add(b, lut, j0, codes * c->hr * 4);
    const sk_val turn = sk_mul(c, sk_shr(c, t0, (uint32_t)__builtin_ctz(c->w)), lay->groups / unroll);
    const sk_val step = sk_add(c, turn, sk_shr(c, j0, (uint32_t)__builtin_ctz(unroll)));
    for (uint32_t i = 0; i < unroll; i++) {
        sk_prefetch_share(c, tier_slot, next, step, i, unroll);
        sk_val r = SK_NONE;
        if (lay->spans > 1) {
            const sk_val j = sk_add(c, j0, sk_k(c, i));
            const sk_val span = sk_ir_2(b, SK_OP_UDIV, j, sk_k(c, lay->span_dims / seg->g));
            r = sk_unpack_radii(c, seg, lay, page, span, t0);
        }
        rows_group(c, tab, i, codes, r, acc);
    }
    sk_ir_end(b);
    const sk_val r = lay->spans > 1 ? SK_NONE : sk_unpack_radii(c, seg, lay, page, c->zero, t0);
    for (uint32_t x = 0; x < nv; x++) {
        sk_val col[16];
        for (uint32_t v = 0; v < n; v++) col[v] = sk_ir_get(b, acc[v * nv + x]);
        sk_transpose(c, col, n);
        for (uint32_t h = 0; h < n && x * n + h < c->h; h++)
            sk_store_coded(c, x * n + h, t0, 0, col[h], r);
    }
}

/* ---- tables in registers ------------------------------------------------ */

enum { PERM_U = 2, PERM_TABLES = 4 }; /* token vectors at once; registers of a table */

/* One permutation per register of the table, each replaced where the code is
 * beyond it. in[i]: the code is below table i + 1. */
static sk_val perm_lookup(sk_dec *c, const sk_val *table, uint32_t n, sk_val code, const sk_val *in)
{
    sk_val x = sk_shuf(c, table[0], code);
    for (uint32_t i = 1; i < n; i++) x = sk_sel(c, in[i - 1], x, sk_shuf(c, table[i], code));
    return x;
}

static void perm_tile(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                      sk_val lut, sk_val t0, uint32_t h0, uint32_t hn, sk_val next)
{
    enum { U = PERM_U };
    sk_builder *b = c->b;
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    const uint32_t codes = 1u << seg->b, n = codes / c->w;
    const sk_val field = sk_ir_ptr_add(b, page, sk_k(c, lay->code_off), 1);
    sk_unpack un[U];
    sk_val at[U], acc[4][U];
    for (uint32_t u = 0; u < U; u++) {
        at[u] = sk_add(c, t0, sk_k(c, u * c->w));
        un[u] = sk_unpack_begin(c, tier_slot, at[u]);
        for (uint32_t h = 0; h < hn; h++)
            acc[h][u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    }
    const sk_val j = sk_ir_for(b, c->zero, sk_k(c, lay->groups), 1);
    const sk_val span = sk_ir_2(b, SK_OP_UDIV, j, sk_k(c, lay->span_dims / seg->g));
    const sk_val tab = sk_mul(c, j, c->h * codes * 4);
    const sk_val turn = sk_shr(c, t0, (uint32_t)__builtin_ctz(U * c->w));
    const sk_val step = sk_add(c, sk_mul(c, turn, lay->groups), j);
    if (h0 == 0) sk_prefetch_share(c, tier_slot, next, step, 0, 1);
    sk_val code[U], r[U], in[U][PERM_TABLES];
    for (uint32_t u = 0; u < U; u++) {
        code[u] = sk_unpack_codes(c, &un[u], seg, field, j);
        r[u] = lay->spans > 1 ? sk_unpack_radii(c, seg, lay, page, span, at[u]) : SK_NONE;
        for (uint32_t i = 1; i < n; i++)
            in[u][i - 1] = sk_ir_2(b, SK_OP_ULT, code[u], sk_k(c, i * c->w));
    }
    for (uint32_t h = 0; h < hn; h++) {
        const uint32_t disp = (h0 + h) * codes * 4;
        sk_val table[PERM_TABLES];
        for (uint32_t i = 0; i < n; i++)
            table[i] = sk_ir_ldv(b, SK_LD_F32, lut, tab, disp + i * c->w * 4);
        for (uint32_t u = 0; u < U; u++) {
            const sk_val x = perm_lookup(c, table, n, code[u], in[u]);
            const sk_val old = sk_ir_get(b, acc[h][u]);
            sk_ir_set(b, acc[h][u],
                      r[u] == SK_NONE ? sk_ir_2(b, SK_OP_FADD, old, x) : sk_fma(c, x, r[u], old));
        }
    }
    sk_ir_end(b);
    for (uint32_t u = 0; u < U; u++) {
        const sk_val one =
            lay->spans > 1 ? SK_NONE : sk_unpack_radii(c, seg, lay, page, c->zero, at[u]);
        for (uint32_t h = 0; h < hn; h++)
            sk_store_coded(c, h0 + h, t0, u, sk_ir_get(b, acc[h][u]), one);
    }
}

/* ---- 16-bit byte-pair tables -------------------------------------------- */

/* Adds the groups j0 .. j0+block-1 for 64 tokens of one head: sum[k] gets
 * tokens 8k .. 8k+7 as integers. Order of tokens: see layout.h, row 1. */
static void pair16_groups(sk_dec *c, sk_val field, sk_val lut, sk_val t0, sk_val j0,
                          uint32_t block, uint32_t h, const sk_val *sum)
{
    sk_builder *b = c->b;
    sk_val acc[4];
    const sk_val at = sk_add(c, sk_mul(c, j0, c->p / 2), sk_shr(c, t0, 1));
    const sk_val tab = sk_mul(c, j0, c->h * 64);
    for (uint32_t i = 0; i < block; i++) {
        const sk_val codes = sk_ir_ldv(b, SK_LD_U32, field, at, i * c->p / 2);
        const uint32_t disp = (i * c->h + h) * 64;
        const sk_val low = sk_ir_ldv(b, SK_LD_U32, lut, tab, disp);
        const sk_val high = sk_ir_ldv(b, SK_LD_U32, lut, tab, disp + 32);
        for (uint32_t nib = 0; nib < 2; nib++) {
            const sk_val x = sk_and(c, nib ? sk_shr(c, codes, 4) : codes, 0x0f0f0f0fu);
            const sk_val lo = sk_ir_2(b, SK_OP_LUT16, low, x);
            const sk_val hi = sk_ir_2(b, SK_OP_LUT16, high, x);
            for (uint32_t half = 0; half < 2; half++) {
                const sk_val z = sk_ir_zip8(b, lo, hi, half != 0);
                sk_val *to = &acc[nib * 2 + half];
                *to = i == 0 ? z : sk_ir_2(b, SK_OP_ADD16X2, *to, z);
            }
        }
    }
    for (uint32_t k = 0; k < 8; k++) {
        const sk_val pick = sk_k(c, k % 2 ? 0x00010000u : 0x00000001u);
        sk_ir_set(b, sum[k], sk_ir_3(b, SK_OP_DOT2, sk_ir_get(b, sum[k]), acc[k / 2], pick));
    }
}

static void logits_pair16(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                          sk_val limit, sk_val lut, sk_val next)
{
    sk_builder *b = c->b;
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    const uint32_t block = sk_pair16_block(c->spec, lay->groups);
    const sk_val field = sk_ir_ptr_add(b, page, sk_k(c, lay->code_off), 1);
    const sk_val inv = sk_ir_ptr_add(b, lut, sk_k(c, lay->groups * c->h * 128), 1);
    const sk_val t0 = sk_ir_for(b, c->zero, limit, 64);
    for (uint32_t h = 0; h < c->h; h++) {
        sk_val sum[8];
        for (uint32_t k = 0; k < 8; k++) sum[k] = sk_ir_var(b, SK_LANE, sk_k(c, 0));
        const sk_val j0 = sk_ir_for(b, c->zero, sk_k(c, lay->groups), block);
        const sk_val turn = sk_add(c, sk_mul(c, sk_shr(c, t0, 6), c->h), sk_k(c, h));
        const sk_val step = sk_shr(c, j0, (uint32_t)__builtin_ctz(block));
        sk_prefetch_share(c, tier_slot, next, sk_add(c, sk_mul(c, turn, lay->groups / block), step), 0, 1);
        pair16_groups(c, field, lut, t0, j0, block, h, sum);
        sk_ir_end(b);
        const sk_val unit = sk_ir_ldu(b, SK_LD_F32, inv, c->zero, h * 4);
        for (uint32_t k = 0; k < 8; k++) {
            const sk_val t = sk_add(c, t0, sk_k(c, k * 8));
            const sk_val r = sk_unpack_radii(c, seg, lay, page, c->zero, t);
            const sk_val x = sk_ir_1(b, SK_OP_I2F, sk_ir_get(b, sum[k]));
            sk_store_coded(c, h, t0, k, sk_ir_2(b, SK_OP_FMUL, x, unit), r);
        }
    }
    sk_ir_end(b);
}

/* Those of a key, or of a segment that is like one. */
static void key_logits(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                       sk_val limit, sk_val lut, sk_val next)
{
    sk_builder *b = c->b;
    const sk_lut_form form = sk_dec_form(c->spec, c->sched, tier_slot);
    if (form == SK_FORM_DENSE) {
        sk_part_logits_dense(c, tier_slot, lay, page, limit, next);
        return;
    }
    if (form == SK_FORM_BYTE) {
        sk_bytes_logits(c, tier_slot, lay, page, limit, lut, next);
        return;
    }
    sk_rebuild_scales(c, tier_slot, lay, page);
    if (form == SK_FORM_REBUILD) {
        sk_part_logits_rebuild(c, tier_slot, lay, page, limit, next);
        return;
    }
    if (form == SK_FORM_PAIR16) {
        logits_pair16(c, tier_slot, lay, page, limit, lut, next);
        return;
    }
    const uint32_t block = form == SK_FORM_PERM ? 2 * c->w : c->w;
    const sk_val t0 = sk_ir_for(b, c->zero, limit, block);
    for (uint32_t h = 0; form == SK_FORM_PERM && h < c->h; h += 4)
        perm_tile(c, tier_slot, lay, page, lut, t0, h, c->h - h < 4 ? c->h - h : 4, next);
    if (form == SK_FORM_ROWS) rows_chunk(c, tier_slot, lay, page, lut, t0, next);
    sk_ir_end(b);
}

void sk_part_logits(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val lut,
                    sk_val next)
{
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    const sk_val limit = sk_round_up(c, count, sk_dec_token_block(c->spec, c->sched, tier_slot));
    for (sk_key_part p = {0}; sk_key_next_of(c->spec, c->sched, tier_slot, &p);) {
        sk_dec part;
        uint32_t off;
        sk_part_open(c, &p, &part, &off);
        const sk_val tables = off > 0 ? sk_ir_ptr_add(c->b, lut, sk_k(c, off), 1) : lut;
        const bool asks = c->spec->tier[tier_slot].nseg == 1 && !sk_dec_vk(c->spec, tier_slot);
        const sk_seg_layout fields = sk_key_fields(&p, &lay);
        key_logits(&part, p.slot, &fields, page, limit, tables, asks ? next : SK_NONE);
        if (sk_dec_vk(c->spec, tier_slot) && sk_dec_form(&p.spec, c->sched, p.slot) != SK_FORM_REBUILD)
            sk_part_vk(&part, p.slot, &fields, page, limit);
    }
}
