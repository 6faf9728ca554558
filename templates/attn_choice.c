/* attn_choice.c - schedules of attn_decode: which ones can run a spec on a target,
 * and which one is taken when nothing has been measured. */
#include <string.h>

#include "part_probs.h"
#include "part_segments.h"

/* Of 16 lanes a permute of bytes and a dot of bytes, of 8 a pick among 16 bytes (on NEON, of
 * two vectors, untimed: no default); without them the form is right, but slow. */
static bool has_byte_ops(const sk_target *target, int32_t w)
{
    const uint32_t both = SK_CPU_VBMI | SK_CPU_VNNI;
    const bool avx2 = target->vector_bits >= 256 && target->features & SK_CPU_AVX2;
    if (w < 16) return w == 8 && (avx2 || target->features & SK_CPU_NEON);
    return target->vector_bits >= 512 && (target->features & both) == both;
}

static bool any_of_form(const sk_spec *spec, const sk_schedule *s, int32_t lut, sk_lut_form form)
{
    sk_schedule with = *s;
    with.v[SK_T_lut] = lut;
    for (sk_key_part k = {0}; sk_key_next(spec, s, &k);)
        if (sk_dec_form(&k.spec, &with, k.slot) == form) return true;
    return false;
}

/* Whether every tier that bytes look up is looked up by 16-bit pairs, too. */
static bool pairs_for_bytes(const sk_spec *spec, const sk_schedule *s)
{
    sk_schedule bytes = *s, pairs = *s;
    bytes.v[SK_T_lut] = SK_LUT_BYTE;
    pairs.v[SK_T_lut] = SK_LUT_PAIR16;
    for (sk_key_part k = {0}; sk_key_next(spec, s, &k);)
        if (sk_dec_form(&k.spec, &bytes, k.slot) == SK_FORM_BYTE &&
            sk_dec_form(&k.spec, &pairs, k.slot) != SK_FORM_PAIR16)
            return false;
    return true;
}

/* Bytes where they fit; of 8 lanes one head has nobody to share indices with, and takes
 * 16-bit pairs where these do as well for all tiers (AVX2, good:vi8 by instructions: 4.5 ns
 * against 5.1; four heads 15.9 against 12.6; one head, with high:vi8 before it in a mix,
 * cold: 10.1 against 7.7). 16-bit pairs for 4-bit codes with one radius. Else tables in registers
 * where one look-up has few heads to serve: a row that is hardly a vector costs as much as a
 * permutation. Of 16 lanes up to 8 heads are few (Zen 4, 4 heads: mid:vi8 8.4 ns against
 * 10.0 with rows, fine:vi8 37 against 42), of 8 lanes up to 2, and only tables of two
 * registers. */
static int32_t default_lut(const sk_spec *spec, const sk_target *target, const sk_schedule *s)
{
    sk_schedule perm = *s;
    const uint32_t w = (uint32_t)s->v[SK_T_w];
    const bool pairs = any_of_form(spec, s, SK_LUT_PAIR16, SK_FORM_PAIR16);
    bool any_perm = false;
    perm.v[SK_T_lut] = SK_LUT_PERM;
    if (pairs && sk_dec_turn_heads(spec) == 1 && pairs_for_bytes(spec, s)) return SK_LUT_PAIR16;
    for (int32_t lut = SK_LUT_BYTE; lut <= SK_LUT_WORD; lut++)
        if (has_byte_ops(target, s->v[SK_T_w]) && any_of_form(spec, s, lut, SK_FORM_BYTE)) return lut;
    if (pairs) return SK_LUT_PAIR16;
    for (sk_key_part k = {0}; sk_key_next(spec, &perm, &k);) {
        if (sk_dec_form(&k.spec, &perm, k.slot) != SK_FORM_PERM) continue;
        any_perm |= w == 16 || 1u << sk_dec_seg(&k.spec, k.slot)->b <= 2 * w;
    }
    return any_perm && sk_dec_turn_heads(spec) <= (w == 16 ? 8 : 2) ? SK_LUT_PERM : SK_LUT_ROWS;
}

bool sk_dec_uses_query16(const sk_spec *spec, const sk_schedule *sched)
{
    for (sk_key_part k = {0}; sk_key_next(spec, sched, &k);)
        if (sk_dec_query16(&k.spec, sched, k.slot)) return true;
    return false;
}

/* Dot products, and what has a name of its own in messages. */
static const char *dots_name(int32_t query)
{
    switch (query) {
    case SK_QUERY_DOTS: return "dots";
    case SK_QUERY_DOTS16: return "dots16";
    case SK_QUERY_I7: return "i7";
    default: return NULL;
    }
}

/* What products of bytes and of bfloat16s need. Of fewer lanes than 16 there are none of
 * bfloat16s. */
static uint32_t query_needs(const sk_spec *spec, const sk_schedule *s)
{
    uint32_t need = SK_CPU_AVX512;
    if (sk_dec_uses_query(spec, s, SK_QUERY_AS_BYTES) ||
        sk_dec_uses_query(spec, s, SK_QUERY_AS_SPLIT))
        need |= SK_CPU_VBMI | SK_CPU_VNNI;
    if (sk_dec_uses_query(spec, s, SK_QUERY_FOR_HALVES) ||
        sk_dec_uses_query(spec, s, SK_QUERY_FOR_BF16))
        need |= SK_CPU_BF16;
    return need;
}

static sk_status valid_query(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                            sk_err *err)
{
    const uint32_t w = (uint32_t)s->v[SK_T_w], has = target->features, need = query_needs(spec, s);
    const int32_t query = s->v[SK_T_query];
    const char *const name = dots_name(query);
    if (!name) return SPHKV_OK;
    if (w < 16 && w * (uint32_t)s->v[SK_T_ktok] % 16 != 0)
        return sk_fail(err, SPHKV_EINVAL, "query=%s with w=%u: ktok of %u at least",
                       name, w, 16 / w);
    const bool pairs = has & (SK_CPU_SSE41 | SK_CPU_AVX2 | SK_CPU_AVX512);
    const bool narrow = has & (SK_CPU_VNNI | SK_CPU_AVXVNNI | SK_CPU_DOTPROD);
    if (query == SK_QUERY_I7 ? pairs : w < 16 ? narrow : (has & need) == need) return SPHKV_OK;
    if (query == SK_QUERY_I7)
        return sk_fail(err, SPHKV_EINVAL,
                       "query=i7 wants a CPU that adds products of bytes in pairs (SSSE3)");
    return sk_fail(err, SPHKV_EINVAL,
                   "query=%s wants a CPU with dot products of %s", name,
                   need & SK_CPU_BF16 ? "bfloat16s (and of bytes, where keys are)"
                                      : "bytes (VNNI, w=16 VBMI, too; NEON's)");
}

/* What a schedule makes of the tiers: which tunables change anything. */
typedef struct tier_uses {
    bool form, prob, query;    /* lut, prob, query that differ from the plain ones */
    bool dense, coded, tables; /* keys that are not looked up, are coded, have tables */
    bool dots;                 /* probabilities that the target can multiply */
} tier_uses;

static sk_status look_at_tiers(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                               tier_uses *out, sk_err *err)
{
    const uint32_t w = (uint32_t)s->v[SK_T_w];
    *out = (tier_uses){.form = s->v[SK_T_lut] == SK_LUT_ROWS, .prob = s->v[SK_T_prob] == SK_PROB_F32,
                       .query = s->v[SK_T_query] == SK_QUERY_F32, .dots = true};
    for (sk_key_part k = {0}; sk_key_next(spec, s, &k);) {
        const sk_segment *seg = sk_dec_seg(&k.spec, k.slot);
        const sk_lut_form form = sk_dec_form(&k.spec, s, k.slot);
        out->form |= form != SK_FORM_DENSE && form != SK_FORM_ROWS && !sk_dec_rebuilt(&k.spec, k.slot);
        out->prob |= sk_probs_of(spec, s, k.tier) != SK_PROBS_F32;
        out->dots &= sk_probs_run(spec, s, k.tier, target);
        out->query |= sk_dec_query16(&k.spec, s, k.slot);
        out->dense |= !sk_form_looks_up(form);
        out->coded |= form != SK_FORM_DENSE;
        out->tables |= sk_form_looks_up(form);
        if (sk_form_looks_up(form) && form != SK_FORM_BYTE && 1u << seg->b < w)
            return sk_fail(err, SPHKV_EINVAL, "w=%u: tier %u has only %u codewords", w, k.tier,
                           1u << seg->b);
        const uint32_t block = sk_dec_token_block(spec, s, k.tier);
        if (spec->page % block != 0)
            return sk_fail(err, SPHKV_EINVAL, "blocks of %u tokens do not divide pages of %u", block,
                           spec->page);
    }
    return SPHKV_OK;
}

static sk_status valid_width(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                             sk_err *err)
{
    const uint32_t w = (uint32_t)s->v[SK_T_w], vch = (uint32_t)s->v[SK_T_vch];
    if (w * 32 > target->vector_bits && w > 8)
        return sk_fail(err, SPHKV_EINVAL, "w=%u: the target has %u-bit vectors", w,
                       target->vector_bits);
    if ((s->v[SK_T_lut] == SK_LUT_BYTE || s->v[SK_T_lut] == SK_LUT_WORD) &&
        !has_byte_ops(target, s->v[SK_T_w]))
        return sk_fail(err, SPHKV_EINVAL,
                       "lut=byte, word: the target lacks AVX-512 VBMI or VNNI (lut=byte, w=8: "
                       "AVX2 or NEON)");
    if (vch < w) return sk_fail(err, SPHKV_EINVAL, "vch=%u is less than w=%u", vch, w);
    if (spec->dv % vch != 0)
        return sk_fail(err, SPHKV_EINVAL, "vch=%u does not divide %u channels", vch, spec->dv);
    if (vch / w > 8) return sk_fail(err, SPHKV_EINVAL, "vch=%u is over 8 vectors of w=%u", vch, w);
    return SPHKV_OK;
}

/* Tables that another entry makes before. */
static sk_status valid_separate(const sk_spec *spec, const sk_schedule *s, const tier_uses *uses,
                                sk_err *err)
{
    if (s->v[SK_T_lut_build] == SK_LUT_FUSED) return SPHKV_OK;
    if (!uses->tables) return sk_fail(err, SPHKV_EINVAL, "lut_build=separate without tables");
    if (sk_dec_turns(spec) > 1)
        return sk_fail(err, SPHKV_EINVAL, "lut_build=separate: over %u query heads per KV head",
                       SK_HEAD_TILE);
    if (sk_key_any_parted(spec, s))
        return sk_fail(err, SPHKV_EINVAL, "lut_build=separate: keys of several segments");
    if (spec->variants & SPHKV_VARIANT_QUERIES)
        return sk_fail(err, SPHKV_EINVAL, "lut_build=separate: several query tokens");
    return SPHKV_OK;
}

sk_status sk_attn_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                        sk_err *err)
{
    tier_uses uses;
    sk_status st = valid_width(spec, s, target, err);
    if (st == SPHKV_OK) st = look_at_tiers(spec, s, target, &uses, err);
    if (st != SPHKV_OK) return st;
    /* a tunable that changes nothing would only repeat a candidate */
    if (!uses.form) return sk_fail(err, SPHKV_EINVAL, "lut form fits no tier of the mix");
    if (!uses.prob) return sk_fail(err, SPHKV_EINVAL, "prob fits no tier of the mix or class");
    if (!uses.dots)
        return sk_fail(err, SPHKV_EINVAL,
                       "prob of bytes wants vch of whole 16s and a CPU with dot products of bytes "
                       "(VNNI, w=16 VBMI, too; NEON's; u7: SSSE3)");
    if (!uses.query)
        return sk_fail(err, SPHKV_EINVAL, "query fits no tier of the mix or class");
    st = valid_query(spec, s, target, err);
    if (st != SPHKV_OK) return st;
    if (!uses.dense && s->v[SK_T_ktok] != 1)
        return sk_fail(err, SPHKV_EINVAL, "ktok without dense or rebuilt keys");
    if (s->v[SK_T_spread] != 10 && (!uses.coded || s->v[SK_T_prefetch] == 0))
        return sk_fail(err, SPHKV_EINVAL, "spread without coded keys or without prefetch");
    if (s->v[SK_T_pause] != 0 && s->v[SK_T_prefetch] == 0)
        return sk_fail(err, SPHKV_EINVAL, "pause without prefetch");
    return valid_separate(spec, s, &uses, err);
}

static bool probs_fit(const sk_spec *spec, const sk_schedule *s)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (sk_probs_of(spec, s, i) != SK_PROBS_F32) return true;
    return false;
}

/* Whether the target has what a form of bytes asks for, and it is worth it. It is not for
 * products of bfloat16s alone where there are none; nor for pairs of 7 bits alone (u7 of
 * vi8): they take as long as 16 bits (Zen 4: high:vi8 11.7 ns by instructions, 11.3 with
 * i16; high:vi4 10.3, 13.8). */
static bool bytes_pay(const sk_spec *spec, const sk_schedule *s, const sk_target *target)
{
    bool pays = false;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        const sk_probs form = sk_probs_of(spec, s, i);
        if (!sk_probs_run(spec, s, i, target)) return false;
        pays |= form == SK_PROBS_U8 || form == SK_PROBS_U16;
        pays |= form == SK_PROBS_BF16 && target->features & SK_CPU_BF16;
    }
    return pays;
}

/* Bytes where they may be and there are instructions for them, two of them in class tight
 * (Zen 4: high:vi4 0.96 of the time of i16, high:vi8 0.98); else 16 bits. They are packed
 * four vectors at once. */
static void default_probs(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    static const int32_t bytes[] = {SK_PROB_U8, SK_PROB_U7, SK_PROB_U16};
    const uint32_t packed = 4 * (uint32_t)out->v[SK_T_w];
    sk_schedule with = *out;
    with.v[SK_T_vch] = 16;
    for (uint32_t i = 0; i < SK_COUNT(bytes) && spec->page % packed == 0; i++) {
        with.v[SK_T_prob] = bytes[i];
        if (!bytes_pay(spec, &with, target)) continue;
        *out = with;
        return;
    }
    out->v[SK_T_prob] = SK_PROB_I16;
    if (!probs_fit(spec, out)) out->v[SK_T_prob] = SK_PROB_F32;
}

/* Whether keys are looked up in so few steps that they take less of the time than of the
 * bytes. */
static bool short_logits(const sk_spec *spec, const sk_schedule *s)
{
    for (sk_key_part k = {0}; sk_key_next(spec, s, &k);) {
        const sk_segment *seg = sk_dec_seg(&k.spec, k.slot);
        if (seg->kind != SK_KEY_CODED || k.spec.d / seg->g > 8) return false;
    }
    return true;
}

/* Dot products are so short that several vectors of channels are wanted to hide how long
 * one takes, and few streams of values; requests are then as even as can be one step at a
 * time, and the softmax takes long enough to ask for some (Zen 4, cold, against two steps
 * and no pause: good:vf16 0.91, high:vi8 0.93, ki8:vi8 0.92 of the time). Longer look-ups
 * ask for more (high:vi8 with spread 20 0.95 of the time with 30, good:vi8 1.02; with vf16
 * values 30 is worse for both). */
static void default_dots(const sk_spec *spec, bool coded, sk_schedule *out)
{
    bool dots = false, floats = false;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        const sk_probs form = sk_probs_of(spec, out, i);
        dots |= sk_probs_dots(form);
        floats |= form == SK_PROBS_BF16;
    }
    if (!dots) return;
    if (coded && !floats) out->v[SK_T_spread] = 30;
    if (out->v[SK_T_w] != 16) return;
    if (spec->dv % 32 == 0) out->v[SK_T_vch] = floats && spec->dv % 64 == 0 ? 64 : 32;
    out->v[SK_T_vtok] = 1;
    out->v[SK_T_pause] = 10;
    if (short_logits(spec, out)) out->v[SK_T_spread] = 20;
}

/* Dots where the class and the CPU allow them, else sums of pairs, else 16-bit integers, of 16
 * lanes as bytes (Zen 4, class tight: ki4:vi4 0.94 of the time of i16): a
 * product and its sum in one instruction; in two, floats are as good of 16 lanes, and not of
 * 8 (Zen 4, AVX2, class tight: ki8:vi8 20.3 ns against 23.2, ki4:vi4 21.7 against 26.6). */
static void default_query(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    static const int32_t bytes[] = {SK_QUERY_DOTS, SK_QUERY_I7, SK_QUERY_DOTS16};
    sk_schedule with = *out;
    with.v[SK_T_ktok] = 16 / with.v[SK_T_w]; /* a page in its order */
    for (uint32_t i = 0; i < SK_COUNT(bytes); i++) {
        with.v[SK_T_query] = bytes[i];
        if (bytes[i] == SK_QUERY_DOTS16 && with.v[SK_T_w] < 16) continue;
        if (!sk_dec_uses_query16(spec, &with) || valid_query(spec, &with, target, NULL) != SPHKV_OK)
            continue;
        *out = with;
        return;
    }
    out->v[SK_T_query] = SK_QUERY_I16;
    const bool pays = target->features & SK_CPU_VNNI ||
                      (out->v[SK_T_w] < 16 && !(target->features & SK_CPU_NEON));
    if (!pays || !sk_dec_uses_query16(spec, out)) out->v[SK_T_query] = SK_QUERY_F32;
}

/* What is best of w lanes, then what fits short pages: they take smaller blocks,
 * and 4-bit blocked codes exist from 64 tokens on. */
static bool default_of_width(const sk_spec *spec, const sk_target *target, uint32_t w,
                             sk_schedule *out)
{
    bool dense = false, dense_only = true;
    memset(out, 0, sizeof *out);
    for (sk_key_part k = {0}; sk_key_next(spec, out, &k);) {
        const sk_segment *seg = sk_dec_seg(&k.spec, k.slot);
        dense |= seg->kind != SK_KEY_CODED || sk_dec_rebuilt(&k.spec, k.slot);
        dense_only &= seg->kind != SK_KEY_CODED;
    }
    out->v[SK_T_w] = (int32_t)w;
    out->v[SK_T_ktok] = dense ? 2 : 1;
    out->v[SK_T_vch] = w == 16 || sk_dec_turn_heads(spec) <= 8 ? 16 : 8;
    out->v[SK_T_vtok] = 2;
    out->v[SK_T_prefetch] = 1;
    out->v[SK_T_spread] = dense_only ? 10 : 20;
    default_probs(spec, target, out);
    default_dots(spec, !dense_only, out);
    default_query(spec, target, out);
    out->v[SK_T_lut] = default_lut(spec, target, out);
    if (sk_attn_valid(spec, out, target, NULL) == SPHKV_OK) return true;
    out->v[SK_T_lut] = SK_LUT_ROWS;
    out->v[SK_T_ktok] = 1;
    out->v[SK_T_vtok] = 1;
    return sk_attn_valid(spec, out, target, NULL) == SPHKV_OK;
}

/* Bytes of 16 lanes; else the widest vectors there are, but 16-bit pairs, which are of 8,
 * are better than any other form of 16 (Zen 4: good:vi8 15.5 ns against 18.6), and bytes of
 * 8 better than pairs. */
void sk_attn_default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    if (has_byte_ops(target, 16) && default_of_width(spec, target, 16, out) &&
        (out->v[SK_T_lut] == SK_LUT_BYTE || out->v[SK_T_lut] == SK_LUT_WORD))
        return;
    const bool narrow = target->vector_bits >= 256 && default_of_width(spec, target, 8, out) &&
                        (out->v[SK_T_lut] == SK_LUT_PAIR16 || out->v[SK_T_lut] == SK_LUT_BYTE);
    if (narrow) return;
    for (uint32_t w = target->vector_bits >= 512 ? 16 : target->vector_bits >= 256 ? 8 : 4; w >= 4;
         w /= 2)
        if (default_of_width(spec, target, w, out)) return;
}
