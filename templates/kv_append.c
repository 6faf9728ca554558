/* kv_append.c - new rows into slots of dense tail pages, rounded to the tier's
 * format (nearest even). Applies to one dense tier: keys of f32/f16/bf16, in one or
 * several segments, and values of these, or values that are dimensions of the keys
 * (vk): then rows of keys are all.
 *
 * A block is one item: a run of rows for one page of one KV head; it owns the
 * page. Keys of two tokens share a 32-bit word (layout: 16 tokens of a
 * dimension side by side), so a key is put in by read and write of the word. */
#include <string.h>

#include "gpu.h"
#include "kv_append.h"
#include "rows.h"

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    const sk_status st = sk_rows_supported(spec, "kv_append", err);
    if (st != SPHKV_OK) return st;
    if (spec->ntiers != 1)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "kv_append: one dense tier, not a mix of %u",
                       spec->ntiers);
    if (!sk_rows_float_keys(&spec->tier[0]) ||
        (sk_rows_value_kind(spec->tier[0].value) == SK_LD_KINDS && sk_append_values(spec)))
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "kv_append: rows go to kf32, kf16 or kbf16 with vf32, vf16, vbf16 or vk");
    return sk_variants_supported(spec, SPHKV_VARIANT_POSITIONS, err);
}

typedef struct append {
    sk_builder *b;
    const sk_spec *spec;
    sk_page_layout lay;
    uint32_t w;
    sk_val zero, lane;
    sk_val positions; /* [rows], where pages have them */
} append;

/* Dimension lanes of segment s of the key of one token into column t. */
static void put_key(append *c, uint32_t s, sk_val row, sk_val page, sk_val t)
{
    sk_builder *b = c->b;
    const sk_seg_layout *lay = &c->lay.seg[s];
    const sk_ld_kind from = sk_rows_input_kind(c->spec->in_dtype);
    const sk_ld_kind kind = sk_rows_key_kind(c->spec->tier[0].seg[s].kind);
    const uint32_t es = sk_ld_bytes(kind), step = 16 * es;
    const sk_val block = sk_ir_2k(b, SK_OP_MUL, sk_ir_2k(b, SK_OP_SHR, t, 4), lay->dims * step);
    const sk_val column = sk_ir_2k(b, SK_OP_AND, t, kind == SK_LD_F32 ? 15 : 14);
    const sk_val base = sk_ir_2(b, SK_OP_ADD, block,
                                sk_ir_2k(b, SK_OP_MUL, column, es));
    const sk_val odd = sk_ir_2(b, SK_OP_NE, sk_ir_2k(b, SK_OP_AND, t, 1), c->zero);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_ir_u32(b, lay->dims), c->w);
    const sk_val off = sk_ir_2k(b, SK_OP_MUL, d0, sk_ld_bytes(from));
    const sk_val x = sk_ir_ldv(b, from, row, off, lay->dim0 * sk_ld_bytes(from));
    const sk_val dim = sk_ir_2(b, SK_OP_ADD, d0, c->lane);
    const sk_val at =
        sk_ir_2(b, SK_OP_ADD, base, sk_ir_2k(b, SK_OP_MUL, dim, step));
    const uint32_t disp = lay->key_off;
    sk_val word;
    if (kind == SK_LD_F32) {
        word = sk_ir_1(b, SK_OP_BITS, x);
    } else {
        const sk_op pack = kind == SK_LD_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16;
        const sk_val both = sk_ir_2(b, pack, x, x);
        const sk_val old = sk_ir_ldg(b, SK_LD_U32, page, at, disp, SK_NONE);
        const sk_val keep = sk_ir_3(b, SK_OP_SELECT, odd, sk_ir_u32(b, 0x0000ffffu),
                                    sk_ir_u32(b, 0xffff0000u));
        const sk_val flip = sk_ir_2k(b, SK_OP_XOR, keep, 0xffffffffu);
        const sk_val kept = sk_ir_2(b, SK_OP_AND, old, keep);
        word = sk_ir_2(b, SK_OP_OR, kept, sk_ir_2(b, SK_OP_AND, both, flip));
    }
    sk_ir_stg(b, page, at, disp, word, SK_NONE);
    sk_ir_end(b);
}

/* Channel lanes of the value of one token: 16 channels of a token lie together. */
static void put_value(append *c, sk_val row, sk_val page, sk_val t)
{
    sk_builder *b = c->b;
    const sk_ld_kind from = sk_rows_input_kind(c->spec->in_dtype);
    const sk_ld_kind kind = sk_rows_value_kind(c->spec->tier[0].value);
    const uint32_t es = sk_ld_bytes(kind), in = sk_ld_bytes(from);
    const sk_val c0 = sk_ir_for(b, c->zero, sk_ir_u32(b, c->spec->dv), 16);
    const sk_val off = sk_ir_2k(b, SK_OP_MUL, c0, in);
    const sk_val token = sk_ir_2k(b, SK_OP_MUL, t, 16 * es);
    const sk_val to =
        sk_ir_2(b, SK_OP_ADD, token, sk_ir_2k(b, SK_OP_MUL, c0, c->lay.tp * es));
    if (c->w == 16 && kind != SK_LD_F32) { /* one vector is all 16 channels: 8 words */
        const sk_val x = sk_ir_ldv(b, from, row, off, 0);
        const sk_val at = sk_ir_2(b, SK_OP_ADD, to, sk_ir_2k(b, SK_OP_MUL, c->lane, 4));
        sk_ir_stg(b, page, at, c->lay.value_off, sk_rows_pack16(b, kind, c->w, x, x),
                  sk_ir_2k(b, SK_OP_ULT, c->lane, 8));
        sk_ir_end(b);
        return;
    }
    for (uint32_t x = 0; x < 16; x += kind == SK_LD_F32 ? c->w : 2 * c->w) {
        const sk_val lo = sk_ir_ldv(b, from, row, off, x * in);
        const uint32_t disp = c->lay.value_off + x * es;
        if (kind == SK_LD_F32) {
            sk_ir_stv(b, page, to, disp, lo);
            continue;
        }
        const sk_val hi = sk_ir_ldv(b, from, row, off, (x + c->w) * in);
        sk_ir_stv(b, page, to, disp, sk_rows_pack16(b, kind, c->w, lo, hi));
    }
    sk_ir_end(b);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    append c = {.b = b, .spec = spec, .w = (uint32_t)sched->v[SK_T_w]};
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_page_layout_get(spec, 0, &c.lay);
    const uint32_t in = sk_ld_bytes(sk_rows_input_kind(spec->in_dtype));
    const sk_val item = sk_ir_param_ptr(b, "item", false);
    const sk_val k = sk_ir_param_ptr(b, "k", false);
    const sk_val v = sk_ir_param_ptr(b, "v", false);
    const sk_val pages = sk_ir_param_ptr(b, "arena", true);
    const sk_val k_row = sk_ir_param_u32(b, "k_row_stride");
    const sk_val k_head = sk_ir_param_u32(b, "k_head_stride");
    const sk_val v_row = sk_ir_param_u32(b, "v_row_stride");
    const sk_val v_head = sk_ir_param_u32(b, "v_head_stride");
    if (c.lay.pos_off != SK_NO_FIELD) c.positions = sk_ir_param_ptr(b, "positions", false);
    c.zero = sk_ir_u32(b, 0);
    c.lane = sk_ir_lane(b);
    sk_val f[5]; /* sphkv_append_item: unit, slot, count, row, kv_head */
    for (uint32_t i = 0; i < 5; i++) f[i] = sk_ir_ldu(b, SK_LD_U32, item, c.zero, i * 4);
    const sk_val page = sk_ir_ptr_add(b, pages, f[0], SPHKV_UNIT_BYTES);
    const sk_val kh = sk_ir_ptr_add(b, k, sk_ir_2(b, SK_OP_MUL, f[4], k_head), in);
    const sk_val vh = sk_ir_ptr_add(b, v, sk_ir_2(b, SK_OP_MUL, f[4], v_head), in);
    const sk_val i = sk_ir_for(b, c.zero, f[2], 1);
    const sk_val row = sk_ir_2(b, SK_OP_ADD, f[3], i);
    const sk_val t = sk_ir_2(b, SK_OP_ADD, f[1], i);
    const sk_val key = sk_ir_ptr_add(b, kh, sk_ir_2(b, SK_OP_MUL, row, k_row), in);
    for (uint32_t s = 0; s < c.lay.nseg; s++) put_key(&c, s, key, page, t);
    if (sk_append_values(spec))
        put_value(&c, sk_ir_ptr_add(b, vh, sk_ir_2(b, SK_OP_MUL, row, v_row), in), page, t);
    if (c.lay.pos_off != SK_NO_FIELD)
        sk_ir_stu(b, page, sk_ir_2k(b, SK_OP_MUL, t, 4), c.lay.pos_off,
                  sk_ir_ldu(b, SK_LD_U32, sk_ir_ptr_add(b, c.positions, row, 4), c.zero, 0));
    sk_ir_end(b);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ---------------------------------------------------------- */

static size_t workspace(const sk_image *image)
{
    return image->maxima.parts * sk_items_scratch(image);
}

static sk_status check_items(const sk_image *image, const sphkv_append_args *a, uint32_t *rows,
                             sk_err *err)
{
    sk_page_layout lay;
    sk_page_layout_get(&image->spec, 0, &lay);
    *rows = 0;
    for (uint32_t i = 0; i < a->items_count; i++) {
        const sphkv_append_item *it = &a->items[i];
        sk_status st = sk_items_tokens(image, i, it->slot, it->count, err);
        if (st == SPHKV_OK) st = sk_items_reserved(i, it->reserved, err);
        if (st == SPHKV_OK) st = sk_items_head(image, i, it->kv_head, err);
        if (st == SPHKV_OK)
            st = sk_items_page(i, "page", it->unit, lay.units, a->arena_bytes, err);
        if (st != SPHKV_OK) return st;
        if (it->row > UINT32_MAX - it->count)
            return sk_fail(err, SPHKV_EINVAL, "items[%u]: row %u is out of range", i, it->row);
        if (it->count > 0 && it->row + it->count > *rows) *rows = it->row + it->count;
    }
    return SPHKV_OK;
}

bool sk_append_positions(const sk_spec *spec)
{
    sk_page_layout lay;
    sk_page_layout_get(spec, 0, &lay);
    return lay.pos_off != SK_NO_FIELD;
}

sk_status sk_append_args(const sk_image *image, const void *args, sphkv_append_args *a,
                         sk_append_rows *rows, sk_err *err)
{
    const sk_spec *spec = &image->spec;
    sk_status st = sk_args_copy(a, sizeof *a, args, err);
    if (st == SPHKV_OK && a->positions && !sk_append_positions(spec))
        st = sk_fail(err, SPHKV_EINVAL, "positions, of a spec whose pages have none");
    if (st == SPHKV_OK) st = sk_items_count(image, a->items_count, err);
    if (st != SPHKV_OK) return st;
    if (a->items_count > 0 && sk_append_positions(spec) &&
        (a->positions == NULL || (uintptr_t)a->positions % sizeof *a->positions != 0))
        return sk_fail(err, SPHKV_EINVAL, "positions: NULL or not aligned, of a spec whose pages have them");
    const bool values = sk_append_values(spec);
    if (!values) a->v = NULL;
    if (a->items_count > 0 && (!a->items || !a->k || (values && !a->v) || !a->arena))
        return sk_fail(err, SPHKV_EINVAL, "items, k, v or arena is NULL");
    rows->k = (sk_rows){a->k, a->k_stride_row, a->k_stride_head, spec->d, spec->in_dtype};
    rows->v = (sk_rows){a->v, a->v_stride_row, a->v_stride_head, spec->dv, spec->in_dtype};
    st = sk_items_aligned(a->arena, err);
    if (st == SPHKV_OK) st = sk_items_rows(image, &rows->k, err);
    if (st == SPHKV_OK && values) st = sk_items_rows(image, &rows->v, err);
    return st;
}

static void ask_lines(const uint8_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 1, 2);
}

/* Asks for the lines that the first token of an item goes to: a key has as many as rows of
 * 16 tokens fill, and each would be waited for. */
static void ask(const sk_spec *spec, const sk_page_layout *lay, const uint8_t *arena,
                const sphkv_append_item *it)
{
    const uint8_t *page = arena + (size_t)it->unit * SPHKV_UNIT_BYTES;
    for (uint32_t s = 0; s < lay->nseg; s++) {
        const uint32_t es = sk_ld_bytes(sk_rows_key_kind(spec->tier[0].seg[s].kind));
        const size_t block = (size_t)lay->seg[s].dims * 16 * es;
        ask_lines(page + lay->seg[s].key_off + it->slot / 16 * block, block);
    }
    if (!sk_append_values(spec)) return;
    const size_t row = 16 * sk_ld_bytes(sk_rows_value_kind(spec->tier[0].value));
    for (uint32_t c0 = 0; c0 < spec->dv; c0 += 16)
        ask_lines(page + lay->value_off + (c0 / 16 * lay->tp + it->slot) * row, row);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_append_args a;
    sk_append_rows rows;
    uint32_t count = 0; /* of rows that items name */
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_append_args(image, args, &a, &rows, err);
    if (st == SPHKV_OK) st = check_items(image, &a, &count, err);
    if (st == SPHKV_OK) st = sk_items_reach(image, &rows.k, count, err);
    if (st == SPHKV_OK && a.v) st = sk_items_reach(image, &rows.v, count, err);
    sk_page_layout lay;
    sk_page_layout_get(&image->spec, 0, &lay);
    if (st == SPHKV_OK && part < a.items_count) ask(&image->spec, &lay, a.arena, &a.items[part]);
    for (uint32_t i = part; st == SPHKV_OK && i < a.items_count; i += parts) {
        if (i + parts < a.items_count) ask(&image->spec, &lay, a.arena, &a.items[i + parts]);
        if (a.items[i].count == 0) continue;
        sk_call call = {0};
        sk_call_ptr(&call, &a.items[i], sizeof a.items[i]);
        sk_call_ptr(&call, a.k, sk_items_extent(image, &rows.k, count));
        sk_call_ptr(&call, a.v, a.v ? sk_items_extent(image, &rows.v, count) : 0);
        sk_call_ptr(&call, a.arena, a.arena_bytes);
        sk_call_u32(&call, rows.k.stride_row);
        sk_call_u32(&call, rows.k.stride_head);
        sk_call_u32(&call, rows.v.stride_row);
        sk_call_u32(&call, rows.v.stride_head);
        if (sk_append_positions(&image->spec)) sk_call_ptr(&call, a.positions, (size_t)count * 4);
        st = sk_image_call(image, 0, &call, 0, err);
    }
    return st;
}

static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    const double rows = (double)shape->batch; /* one an item */
    const double in = spec->in_dtype == SPHKV_F32 ? 4 : 2;
    sk_page_layout lay;
    double k = 0; /* bytes of a key */
    sk_page_layout_get(spec, 0, &lay);
    for (uint32_t s = 0; s < lay.nseg; s++)
        k += lay.seg[s].dims * (spec->tier[0].seg[s].kind == SK_KEY_F32 ? 4.0 : 2.0);
    const double dv = sk_append_values(spec) ? spec->dv : 0;
    const double v = spec->tier[0].value == SK_VAL_F32 ? 4 : 2;
    memset(out, 0, sizeof *out);
    out->token_heads = rows;
    out->read_bytes = rows * (spec->d + dv) * in;
    out->write_bytes = rows * (k + dv * v);
}

/* One new row for every KV head of a sequence. */
static sk_shape shape(const sk_spec *spec, const sk_shape *step)
{
    (void)spec;
    sk_shape s = *step;
    s.batch *= s.kv_heads;
    return s;
}

static const sk_kernel_form on_cpu = {
    .default_schedule = sk_rows_only_width,
    .valid = sk_rows_valid,
    .build = build,
    .workspace = workspace,
    .run = run,
};

const sk_kernel sk_kernel_kv_append = {
    .args_size = sizeof(sphkv_append_args),
    .workspace_at = offsetof(sphkv_append_args, workspace),
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_append_on_gpu},
    .cost = cost,
    .shape = shape,
};
