/* kv_encode.c - one dense page into a page of another tier: a full tail page,
 * or a page of a prefill; one path, so bits do not depend on the order of
 * arrival. Applies to a mix of exactly two tiers, destination then dense
 * source, both after RoPE or both before it (p); keys coded, or dense, or segments of
 * these, of which dense ones lie in one segment of the source each; values of any format,
 * none of their own where they are dimensions of keys (vk). Positions are copied.
 *
 * A page is written whole by the block that makes it: what is between fields, and slots
 * from count on, become zeros. */
#include <string.h>

#include "kv_encode.h"
#include "part_rope.h"

/* The segment of a tier's key that a dimension is in. */
static uint32_t segment_of(const sk_page_layout *lay, uint32_t dim)
{
    uint32_t s = 0;
    while (s + 1 < lay->nseg && dim >= lay->seg[s + 1].dim0) s++;
    return s;
}

static sk_status segments_supported(const sk_spec *spec, sk_err *err)
{
    sk_page_layout to, from;
    sk_page_layout_get(spec, 0, &to);
    sk_page_layout_get(spec, 1, &from);
    for (uint32_t s = 0; s < to.nseg; s++) {
        const sk_seg_layout *at = &to.seg[s];
        const bool one = segment_of(&from, at->dim0) == segment_of(&from, at->dim0 + at->dims - 1);
        if (!one && spec->tier[0].seg[s].kind != SK_KEY_CODED)
            return sk_fail(err, SPHKV_EUNSUPPORTED,
                           "kv_encode: dimensions %u to %u, a dense segment, from more than one segment "
                           "of the source", at->dim0, at->dim0 + at->dims - 1);
    }
    return SPHKV_OK;
}

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    sk_status st = sk_rows_supported(spec, "kv_encode", err);
    if (st != SPHKV_OK) return st;
    if (spec->ntiers != 2)
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "kv_encode: a mix of two tiers (destination, dense source), not %u",
                       spec->ntiers);
    const sk_tier *to = &spec->tier[0], *from = &spec->tier[1];
    if (!sk_rows_float_keys(from) ||
        (sk_rows_value_kind(from->value) == SK_LD_KINDS && from->value != SK_VAL_KEY))
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "kv_encode: the source is a dense tier of kf32, kf16 or kbf16 with vf32, "
                       "vf16, vbf16 or vk");
    if (from->value == SK_VAL_KEY && to->value != SK_VAL_KEY)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "kv_encode: %s values from a source of vk",
                       sk_value_name(to->value));
    if (sk_tier_pre_rope(to) != sk_tier_pre_rope(from))
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "kv_encode: keys %s RoPE from keys %s it: a p tier is coded from kf32p, kf16p "
                       "or kbf16p, others from kf32, kf16 or kbf16",
                       sk_tier_pre_rope(to) ? "before" : "after",
                       sk_tier_pre_rope(from) ? "before" : "after");
    st = sk_rope_supported(spec, "kv_encode", err);
    if (st == SPHKV_OK) st = segments_supported(spec, err);
    return st == SPHKV_OK ? sk_variants_supported(spec, SPHKV_VARIANT_POSITIONS, err) : st;
}

/* Whether a segment of the destination is searched so. */
static bool search_fits(const sk_spec *spec, const sk_schedule *s)
{
    sk_enc c;
    bool fits = s->v[SK_T_search] == SK_SEARCH_ALL;
    sk_encode_init(&c, spec, s);
    for (uint32_t i = 0; i < c.dst.nseg; i++)
        fits |= sk_encode_is_sorted(&c, &spec->tier[0].seg[i]) ||
                sk_encode_is_dots(&c, &spec->tier[0].seg[i], &c.dst.seg[i]);
    return fits;
}

#define SORT_PAYS 64u /* tokens of a page; for half as many it takes as long as it saves */

/* Integers take half the turns for a product; what they take besides, for each key and where
 * they leave a doubt, does not pay for few codewords (Zen 4, low, 8 of them: 31 ns of a token
 * for 26; mid, 16: 40 for 46). */
#define DOTS_PAY 4u /* bits of a code */

static bool dots_pay(const sk_spec *spec, const sk_schedule *dots)
{
    sk_enc c;
    bool pay = false;
    sk_encode_init(&c, spec, dots);
    for (uint32_t i = 0; i < c.dst.nseg; i++) {
        const sk_segment *seg = &spec->tier[0].seg[i];
        pay |= sk_encode_is_dots(&c, seg, &c.dst.seg[i]) && seg->b >= DOTS_PAY;
    }
    return pay;
}

static void pick_search(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    const bool dots = (target->features & SK_CPU_VNNI) && out->v[SK_T_w] == 16;
    out->v[SK_T_search] = SK_SEARCH_DOTS;
    if (dots && dots_pay(spec, out)) return;
    out->v[SK_T_search] = SK_SEARCH_SORTED;
    if (spec->page >= SORT_PAYS && search_fits(spec, out)) {
        if (spec->page % (2 * (uint32_t)out->v[SK_T_w]) == 0) out->v[SK_T_etok] = 2;
        return;
    }
    out->v[SK_T_search] = SK_SEARCH_ALL;
}

/* The widest vectors there are for coded keys: their search is multiply-adds; one vector of
 * tokens, so that codewords are operands in memory; two where they are sorted and met in
 * registers. */
void sk_encode_default(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    const bool coded = !sk_tier_is_dense(&spec->tier[0]);
    const bool wide = coded && target->vector_bits >= 512;
    out->v[SK_T_w] = wide ? 16 : sk_rows_default_width(target);
    out->v[SK_T_etok] = coded && !wide ? 2 : 1;
    pick_search(spec, target, out);
}

sk_status sk_encode_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                          sk_err *err)
{
    const uint32_t w = (uint32_t)s->v[SK_T_w], chunk = w * (uint32_t)s->v[SK_T_etok];
    const sk_status st = sk_rows_width(s, target, err);
    if (st != SPHKV_OK) return st;
    if (spec->page % chunk != 0)
        return sk_fail(err, SPHKV_EINVAL, "chunks of %u tokens do not divide pages of %u", chunk,
                       spec->page);
    if (sk_tier_is_dense(&spec->tier[0]) && s->v[SK_T_etok] != 1)
        return sk_fail(err, SPHKV_EINVAL, "etok without coded keys");
    if (!search_fits(spec, s))
        return sk_fail(err, SPHKV_EINVAL,
                       "search: sorted is for groups of one dimension with as many codewords as lanes, "
                       "dots for spans of one group of an even number of dimensions");
    return SPHKV_OK;
}

void sk_encode_init(sk_enc *c, const sk_spec *spec, const sk_schedule *sched)
{
    memset(c, 0, sizeof *c);
    c->spec = c->set = spec;
    c->w = (uint32_t)sched->v[SK_T_w];
    c->t = c->w * (uint32_t)sched->v[SK_T_etok];
    c->gpu = sched->backend == SK_BACKEND_CUDA;
    c->search = c->gpu ? SK_SEARCH_ALL : (uint32_t)sched->v[SK_T_search];
    c->direct = c->gpu && sched->v[SK_T_room] != SK_ROOM_SHARED;
    c->room = c->fresh = SK_NONE;
    sk_page_layout_get(spec, 0, &c->dst);
    sk_page_layout_get(spec, 1, &c->src);
    sk_encode_segment(c, 0);
}

void sk_encode_segment(sk_enc *c, uint32_t s)
{
    c->seg = &c->spec->tier[0].seg[s];
    c->to = &c->dst.seg[s];
    const uint32_t from = segment_of(&c->src, c->to->dim0);
    c->from = &c->src.seg[from];
    c->from_kind = sk_rows_key_kind(c->spec->tier[1].seg[from].kind);
    c->codes = 1u << c->seg->b;
    if (!c->b) return;
    c->words = c->book;
    if (s > 0)
        c->words = sk_ir_ptr_add(c->b, c->book, sk_u32(c, sk_codebook_tier_off(c->spec, 0, s)), 1);
}

sk_val sk_encode_from(sk_enc *c, sk_val t0, sk_val d0, sk_val to)
{
    if (c->from->dims == c->to->dims) return to;
    const sk_val dim = sk_opk(c, SK_OP_ADD, d0, c->to->dim0 - c->from->dim0);
    return sk_op2(c, SK_OP_ADD, sk_times(c, t0, c->from->dims), sk_times(c, dim, 16));
}

/* The arrays of scratch, in order. */
#define ARRAYS(X) X(vs) X(vm) X(ks) X(cb) X(hn) X(tree) X(leaf) X(pair) X(two) X(key) X(rad) X(code) X(rs) X(red) X(turn)
enum {
#define X(name) A_##name,
    ARRAYS(X)
#undef X
    ARRAYS_MOST
};
static const struct {
    const char *name;
    size_t to; /* where in sk_enc its address goes */
} arrays[ARRAYS_MOST] = {
#define X(name) {#name, offsetof(sk_enc, name)},
    ARRAYS(X)
#undef X
};

static void at_least(uint32_t *words, uint32_t n) { *words = *words < n ? n : *words; }

/* Words of each, 0 of those that are not wanted. */
static void scratch_words(const sk_enc *c, uint32_t words[ARRAYS_MOST])
{
    const sk_tier *tier = &c->spec->tier[0];
    const uint32_t page = c->spec->page;
    bool f8 = tier->value == SK_VAL_F8;
    memset(words, 0, ARRAYS_MOST * sizeof *words);
    words[A_vs] = c->dst.cp;
    if (tier->value == SK_VAL_I4) words[A_vm] = c->dst.cp;
    for (uint32_t s = 0; s < tier->nseg; s++) {
        const sk_seg_layout *lay = &c->dst.seg[s];
        const uint32_t kind = tier->seg[s].kind, codes = 1u << tier->seg[s].b;
        f8 |= kind == SK_KEY_F8;
        if (kind == SK_KEY_I8 || kind == SK_KEY_I4)
            at_least(&words[A_ks], (lay->dims + 31) / 32 * page);
        if (kind != SK_KEY_CODED) continue;
        if (!c->direct) at_least(&words[A_cb], lay->codes * tier->seg[s].g * codes);
        at_least(&words[A_hn], lay->codes * codes);
        if (sk_encode_is_sorted(c, &tier->seg[s])) {
            at_least(&words[A_tree], lay->codes * codes);
            at_least(&words[A_leaf], lay->codes * codes);
        }
        if (sk_encode_is_dots(c, &tier->seg[s], lay)) {
            at_least(&words[A_pair], lay->codes * tier->seg[s].g / 2 * codes);
            at_least(&words[A_two], page * tier->seg[s].g / 2);
            at_least(&words[A_key], page * tier->seg[s].g);
        }
        if (!c->gpu) at_least(&words[A_key], lay->span_dims * c->t);
        at_least(&words[A_rad], lay->spans * page);
        at_least(&words[A_code], lay->codes * page);
        at_least(&words[A_rs], lay->spans);
    }
    if (c->gpu && f8) words[A_red] = 64;
    if (sk_encode_turned(c)) words[A_turn] = sk_encode_tokens(c) * c->spec->d;
}

uint32_t sk_encode_scratch_bytes(const sk_enc *c)
{
    uint32_t words[ARRAYS_MOST], sum = 0;
    scratch_words(c, words);
    for (uint32_t i = 0; i < ARRAYS_MOST; i++) sum += sk_ir_area_bytes(words[i] * 4);
    return sum;
}

void sk_encode_scratch(sk_enc *c)
{
    uint32_t words[ARRAYS_MOST], sum = 0;
    scratch_words(c, words);
    for (uint32_t i = 0; i < ARRAYS_MOST; i++) {
        if (words[i] == 0) continue;
        sk_val at = c->room == SK_NONE ? sk_ir_shared(c->b, words[i] * 4)
                                       : sk_ir_ptr_add(c->b, c->room, sk_u32(c, sum), 1);
        at = sk_ir_name(c->b, at, arrays[i].name);
        memcpy((uint8_t *)c + arrays[i].to, &at, sizeof at);
        sum += sk_ir_area_bytes(words[i] * 4);
    }
}

void sk_encode_zeros(sk_enc *c)
{
    const bool values = c->spec->tier[0].value != SK_VAL_KEY;
    sk_enc_zero(c, 0, values ? c->dst.value_off : c->dst.bytes & ~3u);
    sk_enc_zero(c, c->dst.bytes & ~3u, c->dst.units * SPHKV_UNIT_BYTES);
    sk_enc_sync(c);
}

static void encode_key(sk_enc *c)
{
    if (c->seg->kind == SK_KEY_CODED)
        sk_encode_coded_keys(c);
    else if (c->seg->kind == SK_KEY_F8)
        sk_encode_float8_keys(c);
    else if (c->to->kscale_off != SK_NO_FIELD)
        sk_encode_int_keys(c);
    else
        sk_encode_dense_keys(c);
}

void sk_encode_positions(sk_enc *c, sk_val from, uint32_t off)
{
    sk_builder *b = c->b;
    const uint32_t page = c->spec->page;
    if (c->dst.pos_off == SK_NO_FIELD) return;
    const sk_val t = sk_op2(c, SK_OP_ADD, sk_enc_turns(c, page, c->w), c->lane);
    const sk_val at = sk_times(c, t, 4), inside = sk_opk(c, SK_OP_ULT, t, page);
    const sk_val used = sk_op2(c, SK_OP_PAND, inside, sk_op2(c, SK_OP_ULT, t, c->count));
    const sk_val x = sk_ir_ldg(b, SK_LD_U32, from, at, off, used);
    sk_ir_stg(b, c->dst_page, at, c->dst.pos_off, x, inside);
    sk_ir_end(b);
}

void sk_encode_begin(sk_enc *c, const sk_spec *set, sk_val item, sk_val src, sk_val dst, sk_val book)
{
    sk_builder *b = c->b;
    sk_val f[4]; /* sphkv_encode_item: src_unit, dst_unit, count, kv_head */
    for (uint32_t i = 0; i < 4; i++) f[i] = sk_ir_ldu(b, SK_LD_U32, item, c->zero, i * 4);
    c->src_page = sk_ir_name(b, sk_ir_ptr_add(b, src, f[0], SPHKV_UNIT_BYTES), "src_page");
    c->dst_page = sk_ir_name(b, sk_ir_ptr_add(b, dst, f[1], SPHKV_UNIT_BYTES), "dst_page");
    c->book = sk_ir_ptr_add(b, book, f[3], sk_codebook_head_bytes(set));
    c->count = f[2];
    c->head = f[3];
}

void sk_encode_fields(sk_enc *c)
{
    if (sk_encode_turned(c)) sk_encode_turn(c);
    for (uint32_t s = 0; s < c->dst.nseg; s++) {
        if (s > 0) sk_enc_sync(c); /* scratch of the last segment is free */
        sk_encode_segment(c, s);
        if (s == 0 && c->seg->kind != SK_KEY_CODED) sk_encode_zeros(c);
        encode_key(c);
    }
    sk_enc_sync(c); /* no store of keys is before a load of values */
    if (c->spec->tier[0].value != SK_VAL_KEY) sk_encode_values(c);
}

void sk_encode_page(sk_enc *c, sk_val item, sk_val src, sk_val dst, sk_val book)
{
    sk_encode_begin(c, c->spec, item, src, dst, book);
    sk_encode_fields(c);
    sk_encode_positions(c, c->src_page, c->src.pos_off);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_enc enc, *c = &enc;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_encode_init(c, spec, sched);
    c->b = b;
    sk_encode_list list;
    sk_encode_list_begin(&list, b);
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    sk_encode_scratch(c);
    sk_encode_list_item(&list, c, spec);
    sk_encode_fields(c);
    sk_encode_positions(c, c->src_page, c->src.pos_off);
    sk_encode_list_end(&list);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- the kernel ----------------------------------------------------------- */

void sk_encode_cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    sk_page_layout dst, src;
    const double pages = (double)shape->batch;
    const sk_tier *tier = &spec->tier[0];
    sk_page_layout_get(spec, 0, &dst);
    sk_page_layout_get(spec, 1, &src);
    memset(out, 0, sizeof *out);
    out->token_heads = pages * spec->page;
    out->read_bytes = pages * src.bytes + (double)shape->kv_heads * sk_codebook_head_bytes(spec);
    out->write_bytes = pages * dst.bytes;
    for (uint32_t s = 0; s < tier->nseg; s++)
        if (tier->seg[s].kind == SK_KEY_CODED)
            out->operations += out->token_heads * dst.seg[s].dims * (1u << tier->seg[s].b);
}

static const sk_kernel_form on_cpu = {
    .default_schedule = sk_encode_default,
    .valid = sk_encode_valid,
    .build = build,
    .workspace = sk_encode_workspace,
    .run = sk_encode_run,
};

const sk_kernel sk_kernel_kv_encode = {
    .args_size = sizeof(sphkv_encode_args),
    .workspace_at = offsetof(sphkv_encode_args, workspace),
    .multiplies = true,
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_encode_on_gpu},
    .cost = sk_encode_cost,
    .shape = sk_items_prefill,
};
