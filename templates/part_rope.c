/* part_rope.c - see part_rope.h. */
#include "part_rope.h"

#include <string.h>

#include "part_unpack.h"

void sk_rope_params(sk_dec *c)
{
    if (!sk_spec_pre_rope(c->spec)) return;
    c->rope = sk_ir_param_ptr(c->b, "rope", false);
    c->rope_dims = sk_ir_param_u32(c->b, "rope_dims");
    c->rope_last = sk_ir_param_u32(c->b, "rope_last");
}

void sk_rope_call(sk_call *call, const sk_spec *spec, const sphkv_rope *rope)
{
    if (!sk_spec_pre_rope(spec)) return;
    sk_call_ptr(call, rope->table, (size_t)rope->positions * rope->dims * sizeof(float));
    sk_call_u32(call, rope->dims);
    sk_call_u32(call, rope->positions > 0 ? rope->positions - 1 : 0);
}

/* ---- rebuilt keys --------------------------------------------------------- */

/* Row of a position in the table, in elements. A slot that holds no token may hold any
 * number: it reads the last row. */
static sk_val row_of(sk_dec *c, sk_val position)
{
    const sk_val inside = sk_ir_2(c->b, SK_OP_UMIN, position, c->rope_last);
    return sk_ir_2(c->b, SK_OP_MUL, inside, c->rope_dims);
}

/* cosines[word of a row][token] of W tokens; the last piece of a row begins where it ends
 * with it. */
void sk_rope_turns(sk_dec *c, uint32_t pos_off, sk_val page, sk_val t)
{
    sk_builder *b = c->b;
    sk_val row[16], x[16];
    for (uint32_t i = 0; i < c->w; i++) {
        const sk_val position = sk_ir_ldu(b, SK_LD_U32, page, sk_mul(c, t, 4), pos_off + i * 4);
        row[i] = sk_ir_ptr_add(b, c->rope, row_of(c, position), 4);
    }
    const sk_val end = sk_ir_2(b, SK_OP_SUB, c->rope_dims, sk_k(c, c->w));
    const sk_val w0 = sk_ir_for(b, c->zero, c->rope_dims, c->w);
    const sk_val word = sk_ir_2(b, SK_OP_UMIN, w0, end);
    for (uint32_t i = 0; i < c->w; i++)
        x[i] = sk_ir_ldv(b, SK_LD_F32, row[i], sk_mul(c, word, 4), 0);
    sk_transpose(c, x, c->w);
    for (uint32_t i = 0; i < c->w; i++)
        sk_ir_stv(b, c->cosines, sk_mul(c, word, c->w * 4), i * c->w * 4, x[i]);
    sk_ir_end(b);
}

void sk_rope_prefetch(sk_dec *c, uint32_t pos_off, sk_val page, sk_val t, uint32_t tokens)
{
    sk_builder *b = c->b;
    const sk_val i = sk_add(c, sk_ir_for(b, c->zero, sk_k(c, tokens), 1), t);
    const sk_val position = sk_ir_ldu(b, SK_LD_U32, page, sk_mul(c, i, 4), pos_off);
    const sk_val row = sk_ir_ptr_add(b, c->rope, row_of(c, position), 4);
    const sk_val word = sk_ir_for(b, c->zero, c->rope_dims, 16);
    sk_ir_prefetch(b, row, sk_mul(c, word, 4), 0);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_rope_by(sk_dec *c, sk_val cosine, sk_val sine, sk_val *x, sk_val *y)
{
    const sk_val less = sk_ir_1(c->b, SK_OP_FNEG, sk_ir_2(c->b, SK_OP_FMUL, *y, sine));
    const sk_val more = sk_ir_2(c->b, SK_OP_FMUL, *x, sine);
    *x = sk_fma(c, *x, cosine, less);
    *y = sk_fma(c, *y, cosine, more);
}

void sk_rope_pair(sk_dec *c, sk_val i0, sk_val i1, uint32_t i, sk_val *x, sk_val *y)
{
    sk_builder *b = c->b;
    const uint32_t word = c->w * 4;
    const sk_val cosine = sk_ir_ldv(b, SK_LD_F32, c->cosines, sk_mul(c, i0, word), i * word);
    const sk_val sine = sk_ir_ldv(b, SK_LD_F32, c->cosines, sk_mul(c, i1, word), i * word);
    sk_rope_by(c, cosine, sine, x, y);
}

uint32_t sk_rope_positions(const sk_dec *c, uint32_t tier_slot)
{
    sk_page_layout lay;
    sk_page_layout_get(c->whole ? c->whole : c->spec, c->whole ? c->tier : tier_slot, &lay);
    return lay.pos_off;
}

/* Dimensions `dim0` on of W tokens, by what `cosines` holds, or back. */
static void rotate(sk_dec *c, uint32_t dim0, sk_val at, bool back)
{
    sk_builder *b = c->b;
    const sk_val half = sk_shr(c, c->rope_dims, 1);
    const sk_val column = sk_mul(c, sk_and(c, at, 15), 4);
    const sk_val first = sk_add(c, sk_mul(c, sk_shr(c, at, 4), c->d * 64), column);
    const sk_val i0 = sk_ir_for(b, c->zero, half, 4), i1 = sk_add(c, i0, half);
    const sk_val low = sk_add(c, first, sk_mul(c, i0, 64)), high = sk_add(c, first, sk_mul(c, i1, 64));
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t disp = (dim0 + i) * 64;
        sk_val x = sk_ir_ldv(b, SK_LD_F32, c->keys, low, disp);
        sk_val y = sk_ir_ldv(b, SK_LD_F32, c->keys, high, disp);
        sk_rope_pair(c, i0, i1, i, back ? &y : &x, back ? &x : &y);
        sk_ir_stv(b, c->keys, low, disp, x);
        sk_ir_stv(b, c->keys, high, disp, y);
    }
    sk_ir_end(b);
}

/* The segments of a tier that are p. */
static void rotate_segments(sk_dec *c, const sk_spec *spec, uint32_t tier_slot, sk_val at, bool back)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    sk_page_layout lay;
    sk_page_layout_get(spec, tier_slot, &lay);
    for (uint32_t s = 0; s < tier->nseg; s++)
        if (tier->seg[s].pre_rope) rotate(c, lay.seg[s].dim0, at, back);
}

void sk_part_rope(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val t, sk_val at)
{
    if (!sk_tier_pre_rope(&c->spec->tier[tier_slot])) return;
    sk_rope_turns(c, sk_rope_positions(c, tier_slot), page, t);
    rotate_segments(c, c->spec, tier_slot, at, false);
}

void sk_rope_like(sk_dec *c, const sk_spec *spec, uint32_t tier_slot, bool back, uint32_t pos_off,
                  sk_val page, sk_val t)
{
    sk_rope_turns(c, pos_off, page, t);
    rotate_segments(c, spec, tier_slot, t, back);
}

/* ---- lanes ---------------------------------------------------------------- */

sk_rope_lanes sk_rope_lanes_begin(sk_dec *c, uint32_t pos_off, sk_val page, sk_val token)
{
    const sk_val position = sk_ir_ldg(c->b, SK_LD_U32, page, sk_mul(c, token, 4), pos_off, SK_NONE);
    return (sk_rope_lanes){.row = row_of(c, position), .half = sk_shr(c, c->rope_dims, 1)};
}

sk_rope_turn sk_rope_lanes_turn(sk_dec *c, const sk_rope_lanes *r, sk_val dim)
{
    sk_builder *b = c->b;
    sk_rope_turn turn;
    const sk_val turned = sk_ir_2(b, SK_OP_ULT, dim, c->rope_dims);
    const sk_val first = sk_ir_2(b, SK_OP_ULT, dim, r->half);
    const sk_val up = sk_add(c, dim, r->half), down = sk_ir_2(b, SK_OP_SUB, dim, r->half);
    const sk_val pair = sk_sel(c, turned, sk_sel(c, first, dim, down), c->zero);
    turn.partner = sk_sel(c, turned, sk_sel(c, first, up, down), dim);
    const sk_val off = sk_mul(c, sk_add(c, r->row, pair), 4);
    const sk_val cosine = sk_ir_ldg(b, SK_LD_F32, c->rope, off, 0, turned);
    const sk_val sine =
        sk_ir_ldg(b, SK_LD_F32, c->rope, sk_add(c, off, sk_mul(c, r->half, 4)), 0, turned);
    turn.c = sk_sel(c, turned, cosine, sk_ir_f32(b, 1.0f));
    turn.s = sk_sel(c, first, sk_ir_1(b, SK_OP_FNEG, sine), sine);
    return turn;
}

/* ---- what makes sense ------------------------------------------------------- */

/* Dimensions that a rotation has at most: of the shortest segment that is p; 0 = none is. */
static uint32_t width_of(const sk_spec *spec)
{
    uint32_t least = 0;
    for (uint32_t i = 0; i < spec->ntiers; i++)
        for (uint32_t s = 0; s < spec->tier[i].nseg; s++) {
            const sk_segment *seg = &spec->tier[i].seg[s];
            const uint32_t dims = seg->dims ? seg->dims : spec->d;
            if (seg->pre_rope && (least == 0 || dims < least)) least = dims;
        }
    return least;
}

/* The next segment from `*s` on that is p: its first dimension and the one behind it. */
static bool next_rotated(const sk_tier *tier, const sk_page_layout *lay, uint32_t *s, uint32_t at[2])
{
    while (*s < tier->nseg && !tier->seg[*s].pre_rope) ++*s;
    if (*s == tier->nseg) return false;
    at[0] = lay->seg[*s].dim0;
    at[1] = at[0] + lay->seg[(*s)++].dims;
    return true;
}

/* Whether two tiers rotate the same dimensions, in the same pairs. */
static bool rotate_alike(const sk_spec *spec, uint32_t i, uint32_t k)
{
    sk_page_layout a, b;
    uint32_t s = 0, t = 0;
    sk_page_layout_get(spec, i, &a);
    sk_page_layout_get(spec, k, &b);
    for (;;) {
        uint32_t x[2] = {0}, y[2] = {0};
        const bool more = next_rotated(&spec->tier[i], &a, &s, x);
        if (more != next_rotated(&spec->tier[k], &b, &t, y)) return false;
        if (!more) return true;
        if (x[0] != y[0] || x[1] != y[1]) return false;
    }
}

/* Whether dimensions that are values of a tier are rotated. */
static bool turns_values(const sk_spec *spec, uint32_t tier)
{
    sk_page_layout lay;
    uint32_t s = 0, at[2];
    sk_page_layout_get(spec, tier, &lay);
    return next_rotated(&spec->tier[tier], &lay, &s, at) && at[0] < spec->dv;
}

sk_status sk_rope_supported(const sk_spec *spec, const char *kernel, sk_err *err)
{
    uint32_t first = 0;
    while (first < spec->ntiers && !sk_tier_pre_rope(&spec->tier[first])) first++;
    for (uint32_t i = 0; i < spec->ntiers && first < spec->ntiers; i++) {
        const sk_tier *tier = &spec->tier[i];
        const bool before = sk_tier_pre_rope(tier);
        if (before && !rotate_alike(spec, first, i))
            return sk_fail(err, SPHKV_EUNSUPPORTED,
                           "%s: tiers %u and %u rotate other dimensions (p): a mix is of one model", kernel,
                           first, i);
        if (!before && tier->value == SK_VAL_KEY && turns_values(spec, first))
            return sk_fail(err, SPHKV_EUNSUPPORTED,
                           "%s: tier %u: values from keys (vk) after RoPE, of tier %u they would be "
                           "before it (p)", kernel, i, first);
    }
    return SPHKV_OK;
}

/* ---- host side ------------------------------------------------------------ */

sk_status sk_rope_check(const sk_spec *spec, sphkv_rope *rope, bool may_lack, sk_err *err)
{
    if (!sk_spec_pre_rope(spec)) return SPHKV_OK;
    if (rope->table == NULL) {
        *rope = (sphkv_rope){0};
        if (may_lack) return SPHKV_OK;
        return sk_fail(err, SPHKV_EINVAL, "rope.table is NULL: keys of the mix are kept before RoPE (p)");
    }
    const uint32_t most = width_of(spec);
    if (rope->dims == 0) rope->dims = most;
    if (rope->dims < 16 || rope->dims > most || rope->dims % 8 != 0)
        return sk_fail(err, SPHKV_EINVAL, "rope.dims is %u: a multiple of 8, 16 to %u", rope->dims, most);
    if ((uintptr_t)rope->table % sizeof *rope->table != 0)
        return sk_fail(err, SPHKV_EINVAL, "rope.table is not aligned to its elements");
    if (rope->positions == 0 || (uint64_t)rope->positions * rope->dims > 1u << 30) /* bytes in 32 bits */
        return sk_fail(err, SPHKV_EINVAL, "rope: %u positions of %u: 1 to 2^30 elements",
                       rope->positions, rope->dims);
    return SPHKV_OK;
}

bool sk_rope_inside(const sphkv_rope *rope, const uint8_t *positions, uint32_t count)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t x;
        memcpy(&x, positions + (size_t)i * 4, 4);
        most = x > most ? x : most;
    }
    return most < rope->positions;
}
