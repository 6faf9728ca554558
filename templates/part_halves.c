/* part_halves.c - coded keys of one radius rebuilt 32 tokens at a time: the codewords'
 * elements of a dimension are a table of 64, 128 or 256 halves in two, four or eight
 * registers, of which a permutation of two picks one for each token, the low halves for
 * 16 tokens, the high ones for the 16 behind. Class fast rounds elements to bfloat16,
 * which become f32 by a shift; the others keep the set's f16. A gather, the other way,
 * takes as long as 16 loads.
 *
 * The tables of all dimensions are more than the nearest cache holds. So 16 dimensions
 * of all tokens of the page come before the next 16, and stay halves in scratch; blocks
 * of 32 tokens become f32 from there, rotated on the way where they are kept before
 * RoPE. */
#include "part_rebuild.h"
#include "part_rope.h"
#include "part_vk.h"

bool sk_rebuild_by_halves(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    if (seg->kind != SK_KEY_CODED || sk_dec_form(spec, sched, tier_slot) != SK_FORM_REBUILD)
        return false;
    if (seg->pre_rope && sk_dec_vk(spec, tier_slot)) return false; /* values are not rotated */
    if (spec->tier[tier_slot].nseg > 1) return false;
    const bool one = seg->span == SK_SPAN_ALL || seg->span == (seg->dims ? seg->dims : spec->d);
    return one && seg->more == 0 && !sk_spec_turned(spec) && seg->b >= 6 && sched->v[SK_T_w] == 16 && sched->v[SK_T_ktok] >= 2;
}

static bool rounded(const sk_spec *spec) { return spec->accuracy == SPHKV_FAST; }

uint32_t sk_halves_bytes(const sk_spec *spec, uint32_t tier_slot)
{
    return rounded(spec) ? spec->d * 2 << sk_dec_seg(spec, tier_slot)->b : 0;
}

void sk_halves_load(sk_dec *c, uint32_t tier_slot, sk_val set)
{
    sk_builder *b = c->b;
    const uint32_t words = c->d << sk_dec_seg(c->spec, tier_slot)->b >> 1;
    if (!rounded(c->spec)) return;
    const sk_val at = sk_mul(c, sk_ir_for(b, c->zero, sk_k(c, words), c->w), 4);
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, set, at, sk_dec_words_off(c, tier_slot));
    sk_ir_stv(b, c->book, at, 0,
              sk_ir_2(b, SK_OP_PACKBF16, sk_ir_1(b, SK_OP_F16LO, x), sk_ir_1(b, SK_OP_F16HI, x)));
    sk_ir_end(b);
}

/* Codes of the group at hand of 32 tokens. */
typedef struct halves {
    sk_rebuild_at k[2];
    sk_val code, bit6, bit7; /* halves; all bits 7 of both bytes as that bit of the code */
} halves;

static void take_group(sk_dec *c, halves *v, sk_val j)
{
    for (uint32_t n = 0; n < 2; n++) sk_rebuild_group(c, &v->k[n], j);
    v->code = sk_or(c, v->k[0].code[0], sk_shl(c, v->k[1].code[0], 16));
    v->bit6 = sk_mul(c, sk_and(c, v->code, 0x00400040u), 0x0202);
    v->bit7 = sk_mul(c, sk_and(c, v->code, 0x00800080u), 0x0101);
}

/* The registers of dimension `dim` of a tier's table. */
static void load_table(sk_dec *c, const halves *v, sk_val dim, sk_val table[8])
{
    const uint32_t codes = 1u << v->k[0].seg->b, tier_slot = v->k[0].tier_slot;
    const bool bf16 = rounded(c->spec);
    const uint32_t off = bf16 ? 0 : sk_dec_words_off(c, tier_slot);
    const sk_val row = sk_ir_ptr_add(c->b, bf16 ? c->book : v->k[0].set, dim, codes * 2);
    for (uint32_t i = 0; i < codes / 32; i++)
        table[i] = sk_ir_ldv(c->b, SK_LD_U32, row, c->zero, off + i * 64);
}

/* Its elements in the codewords of 32 tokens. */
static sk_val look_up(sk_dec *c, const halves *v, const sk_val table[8])
{
    sk_builder *b = c->b;
    const uint32_t codes = 1u << v->k[0].seg->b;
    sk_val p[4];
    for (uint32_t i = 0; i < codes / 64; i++)
        p[i] = sk_ir_3(b, SK_OP_PERM16X2, table[2 * i], table[2 * i + 1], v->code);
    for (uint32_t i = 0; i < codes / 128; i++)
        p[i] = sk_ir_3(b, SK_OP_SEL8, v->bit6, p[2 * i + 1], p[2 * i]);
    return codes == 256 ? sk_ir_3(b, SK_OP_SEL8, v->bit7, p[1], p[0]) : p[0];
}

/* 16 dimensions of the model's key, from d0 on, of n times 32 tokens from t on. */
static void rebuild_step(sk_dec *c, halves *v, uint32_t n, sk_val d0, sk_val t)
{
    sk_builder *b = c->b;
    const sk_segment *seg = v->k[0].seg;
    const sk_val to = sk_mul(c, sk_add(c, sk_mul(c, sk_shr(c, t, 5), c->d), d0), 64);
    sk_val table[8];
    for (uint32_t i = 0; i < c->w; i++) {
        sk_val dim = sk_add(c, d0, sk_k(c, i));
        if (c->spec->book & SPHKV_BOOK_PERMUTATION)
            dim = sk_ir_ldu(b, SK_LD_U32, c->where, sk_mul(c, d0, 4), i * 4);
        if (!sk_rebuild_groups_fit(c, seg, c->w) || (seg->g >= c->w ? i == 0 : i % seg->g == 0))
            for (uint32_t x = 0; x < n; x++)
                take_group(c, &v[x], sk_ir_2(b, SK_OP_UDIV, dim, sk_k(c, seg->g)));
        load_table(c, v, dim, table);
        for (uint32_t x = 0; x < n; x++)
            sk_ir_stv(b, c->halves, to, (x * c->d + i) * 64, look_up(c, &v[x], table));
    }
}

/* Rows of the table of rotations, those of all tokens of a page evenly over its steps:
 * in the nearest cache but one when they are wanted. */
static void ask_for_rows(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val step, uint32_t steps)
{
    if (!sk_dec_seg(c->spec, tier_slot)->pre_rope) return;
    const uint32_t each = (c->p + steps - 1) / steps;
    const sk_val t = sk_ir_2k(c->b, SK_OP_UMIN, sk_mul(c, step, each), c->p - each);
    sk_rope_prefetch(c, sk_rope_positions(c, tier_slot), page, t, each);
}

void sk_halves_page(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                    sk_val limit, sk_val next)
{
    sk_builder *b = c->b;
    const sk_val set = sk_dec_book(c);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), c->w);
    const uint32_t many = c->p % 64 == 0 ? 2 : 1; /* a table serves so many times 32 tokens */
    const sk_val t = sk_ir_for(b, c->zero, limit, many * 32);
    halves v[2] = {{.code = SK_NONE}, {.code = SK_NONE}};
    for (uint32_t n = 0; n < 2 * many; n++)
        v[n / 2].k[n % 2] =
            sk_rebuild_begin(c, tier_slot, lay, page, set, sk_add(c, t, sk_k(c, n * 16)));
    const sk_val step = sk_add(c, sk_mul(c, sk_shr(c, d0, 4), c->p / 16), sk_shr(c, t, 4));
    for (uint32_t n = 0; n < 2 * many; n++)
        sk_prefetch_share(c, tier_slot, next, sk_add(c, step, sk_k(c, n)), 0, 1);
    ask_for_rows(c, tier_slot, page, sk_shr(c, step, many), c->d / 16 * (c->p / 32 / many));
    rebuild_step(c, v, many, d0, t);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* 16 tokens that become f32. */
typedef struct widening {
    sk_val from, to;    /* byte offsets of dimension 0 in `halves` and `keys` */
    sk_val set, radius;
    uint32_t half;      /* which of the halves */
} widening;

/* Dimension d0 + i. */
static sk_val wide(sk_dec *c, const widening *v, sk_val d0, uint32_t i)
{
    sk_builder *b = c->b;
    const sk_val at = sk_add(c, v->from, sk_mul(c, d0, 64));
    sk_val x = sk_ir_ldv(b, SK_LD_U32, c->halves, at, i * 64);
    if (rounded(c->spec))
        x = sk_ir_1(b, SK_OP_FLOAT, v->half ? sk_and(c, x, 0xffff0000u) : sk_shl(c, x, 16));
    else
        x = sk_ir_1(b, v->half ? SK_OP_F16HI : SK_OP_F16LO, x);
    if (!(c->spec->book & SPHKV_BOOK_MEAN)) return sk_ir_2(b, SK_OP_FMUL, x, v->radius);
    const sk_val mean = sk_ir_ldu(b, SK_LD_F32, v->set, sk_mul(c, d0, 4),
                                  sk_dec_mean_off(c) + i * 4);
    return sk_fma(c, x, v->radius, mean);
}

static void put(sk_dec *c, const widening *v, sk_val d0, uint32_t i, sk_val x)
{
    sk_ir_stv(c->b, c->keys, sk_add(c, v->to, sk_mul(c, d0, 64)), i * 64, x);
}

static void widen_pairs(sk_dec *c, const widening *v)
{
    const sk_val half = sk_shr(c, c->rope_dims, 1);
    const sk_val i0 = sk_ir_for(c->b, c->zero, half, 4), i1 = sk_add(c, i0, half);
    for (uint32_t i = 0; i < 4; i++) {
        sk_val x = wide(c, v, i0, i), y = wide(c, v, i1, i);
        sk_rope_pair(c, i0, i1, i, &x, &y);
        put(c, v, i0, i, x);
        put(c, v, i1, i, y);
    }
    sk_ir_end(c->b);
}

void sk_halves_block(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page, sk_val t,
                     sk_val at)
{
    sk_builder *b = c->b;
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    for (uint32_t n = 0; n < 2; n++) {
        const sk_val t0 = sk_add(c, t, sk_k(c, n * 16)), to = sk_add(c, at, sk_k(c, n * 16));
        widening v = {.set = sk_dec_book(c), .half = n};
        v.from = sk_mul(c, sk_shr(c, t, 5), c->d * 64);
        v.to = sk_mul(c, sk_shr(c, to, 4), c->d * 64);
        v.radius = sk_unpack_radii(c, seg, lay, page, c->zero, t0);
        if (seg->pre_rope) {
            sk_rope_turns(c, sk_rope_positions(c, tier_slot), page, t0);
            widen_pairs(c, &v);
        }
        const sk_val d0 = sk_ir_for(b, seg->pre_rope ? c->rope_dims : c->zero, sk_k(c, c->d), 8);
        for (uint32_t i = 0; i < 8; i++) put(c, &v, d0, i, wide(c, &v, d0, i));
        sk_ir_end(b);
    }
}
