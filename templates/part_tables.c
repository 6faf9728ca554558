/* part_tables.c - look-up tables of a coded tier: LUT[j][c] = <q_j, codeword c
 * of group j> (design, section 3), for all query heads of a KV head at once.
 *
 * Forms, so that the look-up fits what the machine has:
 *   rows    [group][code][HR]  f32, the heads side by side: one load a code
 *           gives all heads. Any code width.
 *   perm    [group][head][code] f32: the table of a head is one to four vector
 *           registers, the look-up a permutation of each. 2^b <= 4W.
 *   pair16  [group][head] {16 low bytes twice, 16 high bytes twice}: 16-bit
 *           entries for byte shuffles, scaled so that sk_pair16_block groups
 *           add up without overflow; behind them the f32 tables they come from
 *           and 1/scale per head. Not for the exact class.
 *   byte, word  8-bit entries, class fast only, and 14- or 16-bit ones: part_bytes.h.
 * Tried and left: folding r_scale of the page into the tables (costs as much
 * as the look-ups). */
#include "decode.h"

#include "part_bytes.h"
#include "part_pair16.h"
#include "part_segments.h"

uint32_t sk_dec_row_run(uint32_t heads, uint32_t w)
{
    uint32_t n = 1;
    while (n < heads && n < w) n *= 2;
    return n;
}

static uint32_t row_words(const sk_spec *spec, uint32_t w)
{
    const uint32_t heads = sk_dec_turn_heads(spec), n = sk_dec_row_run(heads, w);
    return (heads + n - 1) / n * n;
}

/* Tables would be of one position; values that are keys are the model's, so of a transform,
 * or of mixed segments, they are rebuilt anyway. */
bool sk_dec_rebuilt(const sk_spec *spec, uint32_t tier_slot)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    const bool mixed = sk_spec_turned(spec) || (tier->nseg > 1 && spec->book & SPHKV_BOOK_PERMUTATION);
    return sk_tier_pre_rope(tier) || (mixed && tier->value == SK_VAL_KEY && !sk_tier_is_dense(tier));
}

sk_lut_form sk_dec_form(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    const uint32_t w = (uint32_t)sched->v[SK_T_w];
    if (sk_dec_rebuilt(spec, tier_slot)) return SK_FORM_REBUILD;
    if (seg->kind != SK_KEY_CODED) return SK_FORM_DENSE;
    if (sched->v[SK_T_lut] == SK_LUT_REBUILD || seg->more) return SK_FORM_REBUILD;
    sk_bytes bytes;
    if (sk_bytes_get(spec, sched, tier_slot, &bytes)) return SK_FORM_BYTE;
    if (sched->v[SK_T_lut] == SK_LUT_PERM && 1u << seg->b >= w && 1u << seg->b <= 4 * w)
        return SK_FORM_PERM;
    if (sched->v[SK_T_lut] == SK_LUT_PAIR16 && w == 8 && seg->span == SK_SPAN_ALL &&
        sk_layout_codes_blocked(spec, seg) && spec->accuracy != SPHKV_EXACT)
        return SK_FORM_PAIR16;
    return SK_FORM_ROWS;
}

static uint32_t key_lut_bytes(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    const uint32_t w = (uint32_t)sched->v[SK_T_w];
    const uint32_t groups = seg->kind == SK_KEY_CODED ? spec->d / seg->g : 0;
    const uint32_t heads = sk_dec_turn_heads(spec);
    uint32_t bytes = 0;
    sk_bytes of;
    switch (sk_dec_form(spec, sched, tier_slot)) {
    case SK_FORM_DENSE:
    case SK_FORM_REBUILD: break;
    case SK_FORM_ROWS: bytes = groups * (row_words(spec, w) * 4 << seg->b); break;
    case SK_FORM_PERM: bytes = groups * (heads * 4 << seg->b); break;
    case SK_FORM_PAIR16: bytes = groups * heads * 128 + heads * 4; break;
    case SK_FORM_BYTE: bytes = sk_bytes_get(spec, sched, tier_slot, &of) ? of.bytes : 0; break;
    }
    return (bytes + 63) & ~63u;
}

uint32_t sk_dec_lut_bytes(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    uint32_t bytes = 0;
    for (sk_key_part p = {0}; sk_key_next_of(spec, sched, tier_slot, &p);)
        bytes += key_lut_bytes(&p.spec, sched, p.slot);
    return bytes;
}

uint32_t sk_dec_lut_off(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    uint32_t off = 0;
    if (sched->v[SK_T_lut_build] == SK_LUT_FUSED) return 0;
    for (uint32_t i = 0; i < tier_slot; i++) off += sk_dec_lut_bytes(spec, sched, i);
    return off;
}

uint32_t sk_dec_lut_total(const sk_spec *spec, const sk_schedule *sched)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        const uint32_t end = sk_dec_lut_off(spec, sched, i) + sk_dec_lut_bytes(spec, sched, i);
        total = end > total ? end : total;
    }
    return total;
}

/* One block of W codes of one group: the codewords' dimensions are spread over
 * the runs by shuffles, the heads come from qt as a row repeated in each run. */
static void rows_block(sk_dec *c, const sk_segment *seg, sk_val cb, sk_val lut, sk_val j,
                       uint32_t code0)
{
    sk_builder *b = c->b;
    const uint32_t n = c->run, tv = c->w / n, nv = c->hr / n, codes = 1u << seg->b;
    sk_val acc[16][SK_HEAD_TILE];
    const sk_val run = sk_shr(c, c->lane, (uint32_t)__builtin_ctz(n));
    const sk_val qrow0 = sk_mul(c, j, seg->g * c->hr * 4);
    const sk_val cb0 = sk_mul(c, j, seg->g * codes * 2);
    for (uint32_t i = 0; i < seg->g; i++) {
        const sk_val cw = sk_ir_ldv(b, SK_LD_F16, cb, cb0, (i * codes + code0) * 2);
        for (uint32_t x = 0; x < nv; x++) {
            const sk_val q = sk_ir_ldrows(b, SK_LD_F32, c->qt, qrow0, (i * c->hr + x * n) * 4, n);
            for (uint32_t v = 0; v < n; v++) {
                const sk_val k = n == 1 ? cw : sk_shuf(c, cw, sk_add(c, run, sk_k(c, v * tv)));
                acc[v][x] = i == 0 ? sk_ir_2(b, SK_OP_FMUL, k, q) : sk_fma(c, k, q, acc[v][x]);
            }
        }
    }
    const sk_val to = sk_mul(c, j, codes * c->hr * 4);
    for (uint32_t v = 0; v < n; v++)
        for (uint32_t x = 0; x < nv; x++)
            sk_ir_stv(b, lut, to, ((code0 + v * tv) * c->hr + x * n) * 4, acc[v][x]);
}

/* Codewords come from memory, once per item, and a table is made faster than they do
 * unless they are asked for in time: so far ahead (lean:vi4, 64 KiB a head, 8192 tokens,
 * best of three: 7.3 ns a token without, 6.6 with). Behind them are the next head's. */
#define BOOK_AHEAD 4096u

/* Codes x0 .. x0 + nx - 1 (vectors) of group j, heads h0 .. h0 + hn - 1. */
static void perm_tile(sk_dec *c, const sk_segment *seg, sk_val cb, sk_val lut, sk_val j, uint32_t h0,
                      uint32_t hn, uint32_t x0, uint32_t nx)
{
    sk_builder *b = c->b;
    const uint32_t codes = 1u << seg->b, one = c->w * 2;
    const sk_val q0 = sk_mul(c, j, seg->g * 4), cb0 = sk_mul(c, j, seg->g * codes * 2);
    sk_val acc[8][4];
    for (uint32_t i = 0; i < seg->g; i++)
        for (uint32_t x = 0; x < nx; x++) {
            const uint32_t at = (i * codes + (x0 + x) * c->w) * 2;
            if (h0 == 0 && at % 64 < one) sk_ir_prefetch(b, cb, cb0, at + BOOK_AHEAD);
            const sk_val cw = sk_ir_ldv(b, SK_LD_F16, cb, cb0, at);
            for (uint32_t h = 0; h < hn; h++) {
                const sk_val q = sk_ir_ldu(b, SK_LD_F32, c->qc, q0, ((h0 + h) * c->d + i) * 4);
                acc[h][x] = i == 0 ? sk_ir_2(b, SK_OP_FMUL, cw, q) : sk_fma(c, cw, q, acc[h][x]);
            }
        }
    const sk_val to = sk_mul(c, j, c->h * codes * 4);
    for (uint32_t h = 0; h < hn; h++)
        for (uint32_t x = 0; x < nx; x++)
            sk_ir_stv(b, lut, to, ((h0 + h) * codes + (x0 + x) * c->w) * 4, acc[h][x]);
}

/* f32 tables [group][head][code]; heads in tiles so that sums stay in registers: there are
 * twice as many of 16 lanes. Codewords are read in the order they lie in. */
void sk_tables_perm(sk_dec *c, const sk_segment *seg, sk_val cb, sk_val lut)
{
    const uint32_t codes = 1u << seg->b, nc = codes / c->w, nx = nc < 4 ? nc : 4;
    const uint32_t room = (c->w == 16 ? 16 : 8) / nx, tile = room < 8 ? room : 8;
    const sk_val j = sk_ir_for(c->b, c->zero, sk_k(c, c->d / seg->g), 1);
    for (uint32_t x0 = 0; x0 < nc; x0 += nx)
        for (uint32_t h0 = 0; h0 < c->h; h0 += tile)
            perm_tile(c, seg, cb, lut, j, h0, c->h - h0 < tile ? c->h - h0 : tile, x0, nx);
    sk_ir_end(c->b);
}

/* The largest sum over sk_pair16_block groups of the largest |entry| must not
 * overflow 16 bits, roundings included. Stores 1/scale, returns scale. */
static sk_val pair16_scale(sk_dec *c, uint32_t groups, sk_val ftab, sk_val inv, uint32_t h)
{
    sk_builder *b = c->b;
    const uint32_t block = sk_pair16_block(c->spec, groups);
    const sk_val top = sk_ir_var(b, SK_WARP, sk_ir_f32(b, 1e-30f));
    const sk_val j = sk_ir_for(b, c->zero, sk_k(c, groups), block);
    const sk_val from = sk_mul(c, j, c->h * 64);
    sk_val sum = SK_NONE;
    for (uint32_t i = 0; i < block; i++) {
        sk_val x[2];
        for (uint32_t k = 0; k < 2; k++)
            x[k] = sk_ir_1(b, SK_OP_FABS,
                           sk_ir_ldv(b, SK_LD_F32, ftab, from, (i * c->h + h) * 64 + k * 32));
        const sk_val m = sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_2(b, SK_OP_FMAX, x[0], x[1]));
        sum = i == 0 ? m : sk_ir_2(b, SK_OP_FADD, sum, m);
    }
    sk_ir_set(b, top, sk_ir_2(b, SK_OP_FMAX, sk_ir_get(b, top), sum));
    sk_ir_end(b);
    const sk_val room = sk_ir_f32(b, 32766.0f - (float)block);
    const sk_val most = sk_ir_get(b, top);
    sk_ir_stu(b, inv, c->zero, h * 4, sk_ir_2(b, SK_OP_FDIV, most, room));
    return sk_ir_2(b, SK_OP_FDIV, room, most);
}

/* The 16 bytes in the low halves (shift 0) or high halves of 16-bit pairs, as
 * 4 words, twice. */
static sk_val pair16_bytes(sk_dec *c, sk_val pairs, uint32_t shift)
{
    sk_val x = sk_and(c, shift ? sk_shr(c, pairs, shift) : pairs, 0x00ff00ffu);
    x = sk_and(c, sk_or(c, x, sk_shr(c, x, 8)), 0xffffu);
    const sk_val even = sk_shl(c, c->lane, 1);
    const sk_val odd = sk_add(c, even, sk_k(c, 1));
    const sk_val low = sk_shuf(c, x, even);
    return sk_or(c, low, sk_shl(c, sk_shuf(c, x, odd), 16));
}

static void pair16_tables(sk_dec *c, const sk_segment *seg, sk_val cb, sk_val lut)
{
    sk_builder *b = c->b;
    const uint32_t groups = c->d / seg->g;
    const sk_val ftab = sk_ir_ptr_add(b, lut, sk_k(c, groups * c->h * 64), 1);
    const sk_val inv = sk_ir_ptr_add(b, lut, sk_k(c, groups * c->h * 128), 1);
    sk_tables_perm(c, seg, cb, ftab);
    for (uint32_t h = 0; h < c->h; h++) {
        const sk_val scale = pair16_scale(c, groups, ftab, inv, h);
        const sk_val j = sk_ir_for(b, c->zero, sk_k(c, groups), 1);
        const sk_val at = sk_mul(c, j, c->h * 64);
        sk_val x[2];
        for (uint32_t k = 0; k < 2; k++) {
            x[k] = sk_ir_ldv(b, SK_LD_F32, ftab, at, h * 64 + k * 32);
            x[k] = sk_ir_1(b, SK_OP_F2I, sk_ir_2(b, SK_OP_FMUL, x[k], scale));
        }
        const sk_val pairs = sk_ir_2(b, SK_OP_PACK16, x[0], x[1]);
        sk_ir_stv(b, lut, at, h * 64, pair16_bytes(c, pairs, 0));
        sk_ir_stv(b, lut, at, h * 64 + 32, pair16_bytes(c, pairs, 8));
        sk_ir_end(b);
    }
}

void sk_part_tables(sk_dec *c, uint32_t tier_slot, sk_val lut)
{
    sk_builder *b = c->b;
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    const sk_val cb = sk_ir_ptr_add(b, sk_dec_book(c), sk_k(c, sk_dec_words_off(c, tier_slot)), 1);
    const uint32_t words = (c->d << seg->b) * 2, first = words < BOOK_AHEAD ? words : BOOK_AHEAD;
    const sk_val line = sk_ir_for(b, c->zero, sk_k(c, first), 64);
    sk_ir_prefetch(b, cb, line, 0);
    sk_ir_end(b);
    switch (sk_dec_form(c->spec, c->sched, tier_slot)) {
    case SK_FORM_DENSE:
    case SK_FORM_REBUILD: break;
    case SK_FORM_PERM: sk_tables_perm(c, seg, cb, lut); break;
    case SK_FORM_PAIR16: pair16_tables(c, seg, cb, lut); break;
    case SK_FORM_BYTE: sk_bytes_build(c, tier_slot, cb, lut); break;
    case SK_FORM_ROWS: {
        const sk_val j = sk_ir_for(b, c->zero, sk_k(c, c->d / seg->g), 1);
        for (uint32_t code0 = 0; code0 < 1u << seg->b; code0 += c->w)
            rows_block(c, seg, cb, lut, j, code0);
        sk_ir_end(b);
        break;
    }
    }
}
