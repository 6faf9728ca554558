/* part_bytes.c - tables of a coded tier in one byte or two. An entry is T = <q_j,
 * codeword> of a head, in full use of its bits; told for 8:
 *
 *   one radius per key   bytes b with T = middle + (b - 128) * w * unit: the weight w of a
 *                        group, 1 to 127, says how large its entries are, so that no
 *                        group is as coarse as the largest needs it; the middle between
 *                        its least and its largest (of one plane; of two it is 0) makes
 *                        them smaller. The dot is of unsigned b and signed w; it starts
 *                        from the sum of middles / unit - 128 w.
 *   a radius per group   bytes b with T = b * norm / 127, as 16-bit numbers; for each
 *                        page they are scaled by norm * r_scale over the largest such
 *                        product, rounded to bytes again, and the dot is of unsigned
 *                        radius codes and signed b. Scaling the radii instead takes as
 *                        long for four heads, and a group's weight would have to be
 *                        the same for all of them.
 *                        Two planes are of 7 bits each where words of four groups come in
 *                        pairs: bytes of two words are added first, half of the dots are
 *                        saved, and entries of 1/8191 of the largest lose 1e-4 of what
 *                        logits deviate by. Groups of a pair have one weight.
 *   groups of one        (8 bits only) as the first; b is of the codeword, and the weights are what
 *   dimension            queries are with the largest codeword taken out.
 *
 * Of 8 lanes the first has signed entries b and weights of up to 64 over the words that
 * are added up in 16 bits; groups of one dimension are like others, and with a radius per
 * group all is as of 16 lanes.
 *
 * In the tables' area: entries [word][head][plane] (radius per group: [word][head] {even,
 * odd halves} per 4W entries), weights [head][row / 4] of four bytes (8 lanes: [head][row / 2], two bytes twice), a unit and a start per head, norms
 * [head][row] (twice: inverses), and the f32 tables [group][head][code] that all comes from. */
#include "part_bytes.h"

#include <string.h>

static uint32_t round_up(uint32_t x, uint32_t to) { return (x + to - 1) / to * to; }

static uint32_t power_of_two(uint32_t x, uint32_t least)
{
    uint32_t n = least;
    while (n < x) n *= 2;
    return n;
}

static bool fits(const sk_spec *spec, const sk_segment *seg, const sk_seg_layout *lay, int32_t lut,
                 uint32_t w)
{
    const uint32_t codes = 1u << seg->b;
    if (w != 16 && (w != 8 || lut != SK_LUT_BYTE || codes > 64)) return false;
    if (lut != SK_LUT_BYTE && lut != SK_LUT_WORD) return false;
    if (spec->accuracy != SPHKV_FAST && (lut == SK_LUT_BYTE || spec->accuracy != SPHKV_TIGHT))
        return false;
    if (seg->kind != SK_KEY_CODED || spec->page % 64 != 0)
        return false;
    if (spec->d % 16 != 0 || (codes < w && seg->g % (w / codes) != 0)) return false;
    /* 512: sums stay within 32 bits; w: a vector of norms */
    return (lay->spans == 1 && lay->groups <= 512) || (seg->rb == 8 && lay->groups <= w);
}

bool sk_bytes_get(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot, sk_bytes *t)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    sk_page_layout lay;
    sk_page_layout_get(spec, tier_slot, &lay);
    memset(t, 0, sizeof *t);
    const uint32_t w = (uint32_t)sched->v[SK_T_w], codes = 1u << seg->b;
    if (!fits(spec, seg, &lay.seg[0], sched->v[SK_T_lut], w)) return false;
    t->planes = sched->v[SK_T_lut] == SK_LUT_WORD ? 2 : 1;
    t->heads = sk_dec_turn_heads(spec);
    t->groups = lay.seg[0].groups;
    t->words = round_up(t->groups, 4) / 4;
    t->narrow = w < 16;
    t->slots = codes < 16 ? 16 : codes;
    t->stored = codes < w ? w : codes;
    t->radii = lay.seg[0].spans > 1;
    t->keys = !t->radii && seg->g == 1 && t->planes == 1 && !t->narrow;
    /* signed planes: the lower one, rounded off, may add one to the upper */
    t->bits = t->planes == 2 && !t->radii && t->groups % 8 == 0 ? 7 : 8;
    t->block = t->narrow && !t->radii ? 4 : 1;
    while (t->words % t->block != 0) t->block--;
    t->most = t->narrow ? 64 / t->block : 127;
    t->full = t->planes == 1 ? 127.0f : t->radii ? 32600.0f : t->bits == 7 ? 8191.0f : 32767.0f;
    t->row = t->radii ? power_of_two(t->words * 4, 4) : round_up(t->groups, 64);
    t->weights = t->words * sk_bytes_tables(t) *
                 (t->radii ? 2 * sk_bytes_plane(t) : sk_bytes_table(t));
    t->units = t->weights + (t->radii ? 0 : t->heads * t->row * (t->narrow ? 2 : 1));
    t->starts = t->units + round_up(t->heads * 4, 64);
    t->norms = t->starts + round_up(t->heads * 4, 64);
    t->inverses = t->norms + round_up(t->heads * t->row * 4, 64);
    t->floats = t->inverses + (t->radii ? t->inverses - t->norms : 0);
    t->bytes = t->floats + (t->keys ? 0 : t->groups * t->heads * t->stored * 4);
    return true;
}

uint32_t sk_bytes_page(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    sk_bytes t;
    if (!sk_bytes_get(spec, sched, tier_slot, &t)) return 0;
    return sk_bytes_words_at(&t) + (t.narrow ? t.words * (t.radii ? 2 : 1) * SK_BYTES_WORD : 0);
}

/* ---- f32 tables and their largest entries ------------------------------------------------- */

/* Fewer codewords than lanes: a vector is several dimensions of a group, and the sum
 * over them in the end is in every copy of the codes. */
static void narrow_tables(sk_dec *c, const sk_segment *seg, sk_val cb, sk_val to)
{
    sk_builder *b = c->b;
    const uint32_t codes = 1u << seg->b, dims = c->w / codes;
    const sk_val j = sk_ir_for(b, c->zero, sk_k(c, c->d / seg->g), 1);
    const sk_val cb0 = sk_mul(c, j, seg->g * codes * 2);
    const sk_val dim = sk_add(c, sk_mul(c, j, seg->g), sk_shr(c, c->lane, seg->b));
    for (uint32_t h = 0; h < c->h; h++) {
        sk_val sum = SK_NONE, q = SK_NONE, from = SK_NONE;
        for (uint32_t i = 0; i < seg->g; i += dims) {
            const sk_val cw = sk_ir_ldv(b, SK_LD_F16, cb, cb0, i * codes * 2);
            if (i % c->w == 0) { /* W dimensions, none behind the head */
                from = sk_add(c, sk_mul(c, j, seg->g), sk_k(c, i));
                from = sk_ir_2(b, SK_OP_UMIN, from, sk_k(c, c->d - c->w));
                q = sk_ir_ldv(b, SK_LD_F32, c->qc, sk_mul(c, from, 4), h * c->d * 4);
            }
            const sk_val at = sk_ir_2(b, SK_OP_SUB, sk_add(c, dim, sk_k(c, i)), from);
            const sk_val x = sk_shuf(c, q, at);
            sum = i == 0 ? sk_ir_2(b, SK_OP_FMUL, cw, x) : sk_fma(c, cw, x, sum);
        }
        for (uint32_t far = codes; far < c->w; far *= 2)
            sum = sk_ir_2(b, SK_OP_FADD, sum,
                          sk_shuf(c, sum, sk_ir_2(b, SK_OP_XOR, c->lane, sk_k(c, far))));
        sk_ir_stv(b, to, sk_mul(c, j, c->h * c->w * 4), h * c->w * 4, sum);
    }
    sk_ir_end(b);
}

static sk_val larger(sk_dec *c, sk_val x, sk_val y)
{
    return x == SK_NONE ? y : sk_ir_2(c->b, SK_OP_FMAX, x, y);
}

/* Whether entries are told from the middle of their group on. */
static bool has_middles(const sk_bytes *t) { return !t->radii && !t->keys && t->planes == 1; }

/* Takes the middle of each group out of its entries [group][head][code]; what the middles
 * of a head add up to goes, as f32, to where its start will be. */
static void take_middles(sk_dec *c, const sk_bytes *t, sk_val floats, sk_val lut)
{
    sk_builder *b = c->b;
    for (uint32_t h = 0; h < t->heads; h++)
        sk_ir_stu(b, lut, c->zero, t->starts + h * 4, sk_ir_f32(b, 0.0f));
    const sk_val j = sk_ir_for(b, c->zero, sk_k(c, t->groups), 1);
    const sk_val at = sk_mul(c, j, t->heads * t->stored * 4);
    for (uint32_t h = 0; h < t->heads; h++) {
        sk_val v[256 / 8], top = SK_NONE, below = SK_NONE;
        for (uint32_t x = 0; x < t->stored / c->w; x++) {
            v[x] = sk_ir_ldv(b, SK_LD_F32, floats, at, (h * t->stored + x * c->w) * 4);
            top = larger(c, top, v[x]);
            below = larger(c, below, sk_ir_2(b, SK_OP_FSUB, sk_ir_f32(b, 0.0f), v[x]));
        }
        const sk_val range = sk_ir_2(b, SK_OP_FSUB, sk_ir_1(b, SK_OP_RED_FMAX, top),
                                     sk_ir_1(b, SK_OP_RED_FMAX, below));
        const sk_val middle = sk_ir_2(b, SK_OP_FMUL, range, sk_ir_f32(b, 0.5f));
        for (uint32_t x = 0; x < t->stored / c->w; x++)
            sk_ir_stv(b, floats, at, (h * t->stored + x * c->w) * 4,
                      sk_ir_2(b, SK_OP_FSUB, v[x], middle));
        const sk_val sum = sk_ir_ldu(b, SK_LD_F32, lut, c->zero, t->starts + h * 4);
        sk_ir_stu(b, lut, c->zero, t->starts + h * 4, sk_ir_2(b, SK_OP_FADD, sum, middle));
    }
    sk_ir_end(b);
}

/* Rows of zeros, for what lies behind the groups; then the largest |entry| of each
 * group, from tables [group][head][code] of that kind. */
static void find_norms(sk_dec *c, const sk_bytes *t, sk_ld_kind kind, sk_val from, sk_val norms)
{
    sk_builder *b = c->b;
    const uint32_t tables = sk_bytes_tables(t), one = t->stored * sk_ld_bytes(kind);
    const sk_val i = sk_ir_for(b, c->zero, sk_k(c, round_up(t->heads * t->row, 16)), c->w);
    sk_ir_stv(b, norms, sk_mul(c, i, 4), 0, sk_ir_f32(b, 0.0f));
    sk_ir_end(b);
    const sk_val j = sk_ir_for(b, c->zero, sk_k(c, t->groups), 1);
    const sk_val at = sk_mul(c, j, tables * one), to = sk_mul(c, j, 4);
    for (uint32_t h = 0; h < tables; h++) {
        sk_val top = SK_NONE;
        for (uint32_t x = 0; x < t->stored; x += c->w) {
            const sk_val v = sk_ir_ldv(b, kind, from, at, h * one + x * sk_ld_bytes(kind));
            top = larger(c, top, sk_ir_1(b, SK_OP_FABS, v));
        }
        sk_ir_stu(b, norms, to, h * t->row * 4, sk_ir_1(b, SK_OP_RED_FMAX, top));
    }
    sk_ir_end(b);
}

/* ---- bytes ------------------------------------------------------------------------------- */

/* 4W integers as bytes, saturated to 0 .. 255. */
static sk_val pack_bytes(sk_dec *c, const sk_val v[4])
{
    sk_builder *b = c->b;
    return sk_ir_2(b, SK_OP_PACK8, sk_ir_2(b, SK_OP_PACK16, v[0], v[1]),
                   sk_ir_2(b, SK_OP_PACK16, v[2], v[3]));
}

/* Vector v of table k of a word: f32 entries of head h, for words from `word` on, times
 * the factor of their group. Groups behind the last take those of the last. */
static sk_val scaled_entries(sk_dec *c, const sk_bytes *t, sk_val from, sk_ld_kind kind, sk_val by,
                             sk_val word, uint32_t h, uint32_t entry)
{
    sk_builder *b = c->b;
    const uint32_t size = sk_ld_bytes(kind), tables = sk_bytes_tables(t);
    const sk_val group = sk_add(c, sk_mul(c, word, 4), sk_k(c, entry / t->slots));
    const sk_val j = sk_ir_2(b, SK_OP_UMIN, group, sk_k(c, t->groups - 1));
    const uint32_t disp = (h * t->stored + entry % t->stored) * size;
    const sk_val x = sk_ir_ldv(b, kind, from, sk_mul(c, j, tables * t->stored * size), disp);
    const sk_val factor = sk_ir_ldu(b, SK_LD_F32, by, sk_mul(c, group, 4), h * t->row * 4);
    return sk_ir_2(b, SK_OP_FMUL, x, factor);
}

/* ---- weights ------------------------------------------------------------------------------ */

static sk_val one_over(sk_dec *c, float over, sk_val x)
{
    return sk_ir_2(c->b, SK_OP_FDIV, sk_ir_f32(c->b, over), x);
}

/* What weights of head h are made of, W groups from `at` (bytes of f32) on: norms, of a
 * pair of words the larger ones, or queries times norms. */
static sk_val raw_weights(sk_dec *c, const sk_bytes *t, sk_val norms, uint32_t h, sk_val at, uint32_t k)
{
    sk_builder *b = c->b;
    if (!t->keys) {
        const sk_val x = sk_ir_ldv(b, SK_LD_F32, norms, at, (h * t->row + k * c->w) * 4);
        if (sk_bytes_pair(t) == 1) return x;
        return larger(c, x, sk_shuf(c, x, sk_ir_2k(b, SK_OP_XOR, c->lane, 4)));
    }
    const sk_val dim = sk_add(c, sk_shr(c, at, 2), sk_k(c, k * c->w));
    const sk_val here = sk_ir_2(b, SK_OP_UMIN, dim, sk_k(c, c->d - c->w));
    const sk_val q = sk_ir_ldv(b, SK_LD_F32, c->qc, sk_mul(c, here, 4), h * c->d * 4);
    return sk_ir_2(b, SK_OP_FMUL, q, sk_ir_ldv(b, SK_LD_F32, norms, at, k * c->w * 4));
}

/* Weights of 4W groups, each pair twice in a word. */
static void pair_weights(sk_dec *c, const sk_bytes *t, sk_val lut, uint32_t h, sk_val at, sk_val bytes)
{
    sk_builder *b = c->b;
    for (uint32_t v = 0; v < 2; v++) {
        const sk_val pair = sk_add(c, sk_shl(c, c->lane, 1), sk_k(c, 2 * v * c->w));
        const sk_val from = sk_add(c, sk_mul(c, pair, 0x01010101u), sk_k(c, 0x01000100u));
        sk_ir_stv(b, lut, at, t->weights + h * t->row * 2 + v * c->w * 4,
                  sk_ir_2(b, SK_OP_PERM8, bytes, from));
    }
}

/* The largest of them gets the most there is, and the others at least what they need, so that no
 * entry is larger than 127; of queries, the nearest. */
static void make_weights(sk_dec *c, const sk_bytes *t, sk_val lut, sk_val norms, uint32_t h)
{
    sk_builder *b = c->b;
    const sk_val most = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 1e-30f));
    const sk_val sum = sk_ir_var(b, SK_LANE, c->zero);
    sk_val at = sk_mul(c, sk_ir_for(b, c->zero, sk_k(c, t->row), c->w), 4);
    const sk_val x = sk_ir_1(b, SK_OP_FABS, raw_weights(c, t, norms, h, at, 0));
    sk_ir_set(b, most, larger(c, x, sk_ir_get(b, most)));
    sk_ir_end(b);
    const sk_val top = sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, most));
    const sk_val scale = one_over(c, (float)t->most, top), half = sk_ir_f32(b, t->keys ? 0.0f : 0.5f);
    const sk_val unit = sk_ir_2(b, SK_OP_FMUL, top, sk_ir_f32(b, 1.0f / ((float)t->most * t->full)));
    const sk_val entry = one_over(c, 1.0f, unit);
    at = sk_mul(c, sk_ir_for(b, c->zero, sk_k(c, t->row), 4 * c->w), 4);
    sk_val w[4];
    for (uint32_t k = 0; k < 4; k++) {
        const sk_val wide = sk_fma(c, raw_weights(c, t, norms, h, at, k), scale, half);
        w[k] = sk_ir_2k(b, SK_OP_SMIN, sk_ir_1(b, SK_OP_F2I, wide), t->most);
        sk_ir_set(b, sum, sk_add(c, sk_ir_get(b, sum), w[k]));
        if (t->keys) continue;
        const sk_val by = sk_ir_2(b, SK_OP_FDIV, entry, sk_ir_1(b, SK_OP_I2F, w[k]));
        sk_ir_stv(b, norms, at, (h * t->row + k * c->w) * 4, by);
    }
    for (uint32_t k = 0; k < 4; k++) w[k] = sk_add(c, w[k], sk_k(c, 128));
    const sk_val bytes = sk_ir_2k(b, SK_OP_XOR, pack_bytes(c, w), 0x80808080u);
    if (t->narrow)
        pair_weights(c, t, lut, h, sk_shr(c, at, 1), bytes);
    else
        sk_ir_stv(b, lut, sk_shr(c, at, 2), t->weights + h * t->row, bytes);
    sk_ir_end(b);
    const sk_val weights = sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, sum));
    sk_val all = sk_mul(c, weights, 0u - (1u << (t->bits - 1)));
    if (has_middles(t)) {
        const sk_val middles = sk_ir_ldu(b, SK_LD_F32, lut, c->zero, t->starts + h * 4);
        if (t->narrow) all = c->zero; /* its entries are signed */
        all = sk_add(c, all, sk_ir_1(b, SK_OP_F2I, sk_ir_2(b, SK_OP_FMUL, middles, entry)));
    }
    sk_ir_stu(b, lut, c->zero, t->starts + h * 4, all);
    sk_ir_stu(b, lut, c->zero, t->units + h * 4, unit);
}

/* Factors with which the largest entries of groups become what they may be; `to` may be
 * norms. */
static void invert_norms(sk_dec *c, const sk_bytes *t, sk_val norms, sk_val to)
{
    sk_builder *b = c->b;
    const uint32_t n = round_up(sk_bytes_tables(t) * t->row, 16);
    const sk_val at = sk_mul(c, sk_ir_for(b, c->zero, sk_k(c, n), c->w), 4);
    const sk_val x = larger(c, sk_ir_ldv(b, SK_LD_F32, norms, at, 0), sk_ir_f32(b, 1e-30f));
    sk_ir_stv(b, to, at, 0, one_over(c, t->full, x));
    sk_ir_end(b);
}

/* Plane p of entries that are integers: the first is of the lower bytes. */
static sk_val plane_bytes(sk_dec *c, const sk_bytes *t, const sk_val v[4], uint32_t p)
{
    sk_val x[4];
    for (uint32_t k = 0; k < 4; k++) {
        x[k] = sk_add(c, v[k], sk_k(c, 1u << (t->bits * t->planes - 1)));
        if (t->planes == 2) x[k] = p ? sk_shr(c, x[k], t->bits) : sk_and(c, x[k], (1u << t->bits) - 1);
    }
    const sk_val bytes = pack_bytes(c, x);
    return t->narrow ? sk_ir_2k(c->b, SK_OP_XOR, bytes, 0x80808080u) : bytes;
}

/* Bytes of all words: 4W an instruction, four vectors of f32 each. */
static void write_bytes(sk_dec *c, const sk_bytes *t, sk_val from, sk_ld_kind kind, sk_val by,
                        sk_val lut)
{
    sk_builder *b = c->b;
    const uint32_t tables = sk_bytes_tables(t), size = sk_bytes_table(t), plane = sk_bytes_plane(t);
    const sk_val word = sk_ir_for(b, c->zero, sk_k(c, t->words), 1);
    const sk_val to = sk_mul(c, word, tables * size);
    for (uint32_t h = 0; h < tables; h++)
        for (uint32_t at = 0; at < plane; at += 4 * c->w) {
            sk_val v[4];
            for (uint32_t k = 0; k < 4; k++)
                v[k] = sk_ir_1(b, SK_OP_F2I,
                               scaled_entries(c, t, from, kind, by, word, h, at + c->w * k));
            for (uint32_t p = 0; p < t->planes; p++)
                sk_ir_stv(b, lut, to, h * size + p * plane + at, plane_bytes(c, t, v, p));
        }
    sk_ir_end(b);
}

/* ---- tables that are scaled by page ------------------------------------------------------- */

/* 4W entries as halves, those of even and of odd places apart: so bytes of them are
 * one shift and one choice. */
static void write_halves(sk_dec *c, const sk_bytes *t, sk_val from, sk_val by, sk_val lut)
{
    sk_builder *b = c->b;
    const uint32_t size = sk_bytes_plane(t);
    const sk_val word = sk_ir_for(b, c->zero, sk_k(c, t->words), 1);
    const sk_val to = sk_mul(c, word, t->heads * size * 2);
    const sk_val pick = sk_add(c, sk_mul(c, c->lane, 0x00040004u), sk_k(c, 0x00020000u));
    for (uint32_t h = 0; h < t->heads; h++)
        for (uint32_t at = 0; at < size; at += 4 * c->w) {
            sk_val v[4];
            for (uint32_t k = 0; k < 4; k++)
                v[k] = sk_ir_1(b, SK_OP_F2I,
                               scaled_entries(c, t, from, SK_LD_F32, by, word, h, at + c->w * k));
            const sk_val x = sk_ir_2(b, SK_OP_PACK16, v[0], v[1]);
            const sk_val y = sk_ir_2(b, SK_OP_PACK16, v[2], v[3]);
            for (uint32_t odd = 0; odd < 2; odd++) {
                const sk_val which = sk_add(c, pick, sk_k(c, odd * 0x00010001u));
                sk_ir_stv(b, lut, to, (h * size + at) * 2 + odd * 4 * c->w,
                          sk_ir_3(b, SK_OP_PERM16X2, x, y, which));
            }
        }
    sk_ir_end(b);
}

void sk_bytes_build(sk_dec *c, uint32_t tier_slot, sk_val cb, sk_val lut)
{
    sk_builder *b = c->b;
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    sk_bytes t;
    if (!sk_bytes_get(c->spec, c->sched, tier_slot, &t)) return;
    const sk_val norms = sk_ir_ptr_add(b, lut, sk_k(c, t.norms), 1);
    const sk_val floats = t.keys ? cb : sk_ir_ptr_add(b, lut, sk_k(c, t.floats), 1);
    const sk_ld_kind kind = t.keys ? SK_LD_F16 : SK_LD_F32;
    if (!t.keys && 1u << seg->b < c->w)
        narrow_tables(c, seg, cb, floats);
    else if (!t.keys)
        sk_tables_perm(c, seg, cb, floats);
    if (has_middles(&t)) take_middles(c, &t, floats, lut);
    find_norms(c, &t, kind, floats, norms);
    if (t.radii) {
        const sk_val by = sk_ir_ptr_add(b, lut, sk_k(c, t.inverses), 1);
        invert_norms(c, &t, norms, by);
        write_halves(c, &t, floats, by, lut);
        return;
    }
    for (uint32_t h = 0; h < t.heads; h++) make_weights(c, &t, lut, norms, h);
    if (t.keys) invert_norms(c, &t, norms, norms);
    write_bytes(c, &t, floats, kind, norms, lut);
}
