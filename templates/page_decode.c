/* page_decode.c - pages of any mix to dense rows of keys and values: for an
 * engine's own attention, for checks, for leaving. Keys kept before RoPE are
 * rotated in scratch on their way; segments are decoded one after the other, and
 * values that are dimensions of keys (vk) once more as rows of theirs, never rotated.
 *
 * A block is a run of items, ordered by tier and KV head, so that what is built
 * from a codebook is built once a head. Keys: lanes are tokens, as pages have
 * them; W dimensions of W tokens (16-bit outputs: 2W, packed in pairs) become
 * rows by a transposition in registers (decode_keys.c), or codewords are taken
 * whole (decode_words.c). Values: lanes are channels already. */
#include <string.h>

#include "decode_rows.h"
#include "gpu.h"
#include "items.h"
#include "part_rope.h"
#include "rows.h"

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    const sk_status st = sk_rows_supported(spec, "page_decode", err);
    return st == SPHKV_OK ? sk_rope_supported(spec, "page_decode", err) : st;
}

/* Dimensions and channels that are written at once. */
static uint32_t step_of(const sk_spec *spec, uint32_t w)
{
    return spec->out_dtype == SPHKV_F32 ? w : 2 * w;
}

static sk_status valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                       sk_err *err)
{
    const uint32_t w = (uint32_t)s->v[SK_T_w], step = step_of(spec, w);
    const sk_status st = sk_rows_width(s, target, err);
    bool changed = s->v[SK_T_lut] == SK_LUT_ROWS;
    sk_schedule rows = *s;
    rows.v[SK_T_lut] = SK_LUT_ROWS;
    for (uint32_t i = 0; i < spec->ntiers; i++)
        for (sk_key_part p = {0}; sk_rebuilt_next(spec, i, &p);) {
            changed |= sk_unrow_by_words(&p.spec, &rows, p.slot) && sk_unrow_in_registers(&p.spec, s, p.slot);
            if (st == SPHKV_OK && p.spec.d % step != 0)
                return sk_fail(err, SPHKV_EINVAL, "w=%u: segments of %u, not a multiple of %u", w,
                               p.spec.d, step);
        }
    if (st == SPHKV_OK && s->v[SK_T_lut] != SK_LUT_ROWS && s->v[SK_T_lut] != SK_LUT_PERM)
        return sk_fail(err, SPHKV_EINVAL, "page_decode: lut is rows or perm");
    if (st == SPHKV_OK && !changed) /* would only repeat a candidate */
        return sk_fail(err, SPHKV_EINVAL, "lut=perm fits no tier of the mix");
    if (st == SPHKV_OK && (spec->d % step != 0 || spec->dv % step != 0))
        return sk_fail(err, SPHKV_EINVAL, "w=%u: head dims %u/%u are not multiples of %u", w, spec->d,
                       spec->dv, step);
    return st;
}

/* Whether look-ups in registers are the better form: short codewords would be loads
 * of few lanes. At W = 16 they are for every tier or the schedule is not. */
static bool prefers_registers(const sk_spec *spec, const sk_schedule *s, const sk_target *target)
{
    bool any = false, all = true;
    for (uint32_t i = 0; i < spec->ntiers; i++)
        for (sk_key_part p = {0}; sk_rebuilt_next(spec, i, &p);) {
            const sk_segment *seg = sk_dec_seg(&p.spec, p.slot);
            const bool fits = sk_unrow_in_registers(&p.spec, s, p.slot);
            any |= fits && seg->g < 8;
            all &= fits || seg->kind != SK_KEY_CODED;
        }
    return any && (all || s->v[SK_T_w] <= 8) && valid(spec, s, target, NULL) == SPHKV_OK;
}

static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    out->v[SK_T_prefetch] = 1;
    out->v[SK_T_store] = SK_STORE_PAST;
    out->v[SK_T_lut] = SK_LUT_PERM;
    out->v[SK_T_w] = 16;
    if (prefers_registers(spec, out, target)) return;
    out->v[SK_T_w] = sk_rows_default_width(target);
    if (prefers_registers(spec, out, target)) return;
    out->v[SK_T_lut] = SK_LUT_ROWS;
}

/* ---- building ------------------------------------------------------------- */

/* Words of an item. */
enum { ITEM_UNIT, ITEM_TIER, ITEM_COUNT, ITEM_ROW, ITEM_HEAD, ITEM_WORDS };

static sk_val item_word(sk_unrow *c, sk_val item, uint32_t word)
{
    return sk_ir_ldu(c->dec.b, SK_LD_U32, item, c->dec.zero, word * 4);
}

/* Where the rows of an item begin. */
static sk_val rows_at(sk_unrow *c, sk_val data, const sk_val f[ITEM_WORDS], sk_val stride_row,
                      sk_val stride_head)
{
    sk_builder *b = c->dec.b;
    const sk_val head = sk_ir_2(b, SK_OP_MUL, f[ITEM_HEAD], stride_head);
    const sk_val row = sk_ir_2(b, SK_OP_MUL, f[ITEM_ROW], stride_row);
    return sk_ir_ptr_add(b, sk_ir_ptr_add(b, data, head, c->es), row, c->es);
}

/* The values of one token, or of a pair whose second is token t + 1. */
static void put_values(sk_unrow *c, sk_value_form *f, const sk_page_layout *lay, sk_val page,
                       sk_val t, sk_val count)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val row = sk_ir_ptr_add(b, c->rows, sk_ir_2(b, SK_OP_MUL, t, c->stride), c->es);
    const sk_val next = sk_ir_ptr_add(b, row, c->stride, c->es);
    const sk_val v0 = sk_ir_ptr_add(b, page, sk_k(d, lay->value_off), 1);
    const sk_val second = sk_ir_2(b, SK_OP_ULT, sk_add(d, t, sk_k(d, 1)), count);
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, d->dv), c->step);
    sk_val half[2][8];
    sk_value_channels(d, f, lay, page, c0);
    const sk_val steps = f->pairs ? sk_shr(d, t, 1) : t;
    const sk_val off = sk_add(d, sk_value_block(d, f, c0), sk_mul(d, steps, f->step));
    sk_value_floats(d, f, v0, off, half[0], half[1]);
    for (uint32_t k = 0; k < (f->pairs ? 2u : 1u); k++) {
        sk_val words = half[k][0];
        if (c->es == 2)
            words = sk_rows_pack16(b, sk_rows_input_kind(d->spec->out_dtype), d->w, half[k][0],
                                   half[k][1]);
        if (k == 1) sk_ir_if(b, second);
        sk_unrow_store(c, k ? next : row, sk_mul(d, c0, c->es), words);
        if (k == 1) sk_ir_end(b);
    }
    sk_ir_end(b);
}

static void decode_values(sk_unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                          sk_val count)
{
    sk_dec *d = &c->dec;
    sk_value_form f = sk_value_form_of(d, tier_slot, c->step, false);
    const sk_val t = sk_ir_for(d->b, d->zero, count, f.pairs ? 2 : 1);
    put_values(c, &f, lay, page, t, count);
    sk_ir_end(d->b);
}

/* The parameters of rows of keys (0) and values (1). */
typedef struct row_params {
    sk_val data, wanted, stride_row, stride_head;
} row_params;

static void decode_item(sk_unrow *c, uint32_t tier_slot, const sk_val f[ITEM_WORDS],
                        const row_params rows[2], sk_val next)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_page_layout lay;
    sk_page_layout_get(d->spec, tier_slot, &lay);
    const sk_val page = sk_ir_ptr_add(b, d->arena, f[ITEM_UNIT], SPHKV_UNIT_BYTES);
    for (uint32_t k = 0; k < 2; k++) {
        sk_ir_if(b, sk_ir_2(b, SK_OP_NE, rows[k].wanted, d->zero));
        c->rows = rows_at(c, rows[k].data, f, rows[k].stride_row, rows[k].stride_head);
        c->stride = rows[k].stride_row;
        c->turned = k == 0; /* values are keys as they are stored */
        if (k == 0)
            sk_unrow_keys(c, tier_slot, &lay, page, f[ITEM_COUNT], f[ITEM_HEAD], next, d->d);
        else if (d->spec->tier[tier_slot].value == SK_VAL_KEY)
            sk_unrow_keys(c, tier_slot, &lay, page, f[ITEM_COUNT], f[ITEM_HEAD], SK_NONE, d->dv);
        else
            decode_values(c, tier_slot, &lay, page, f[ITEM_COUNT]);
        sk_ir_end(b);
    }
}

static row_params row_params_of(sk_builder *b, const char *data, const char *wanted,
                                const char *stride_row, const char *stride_head)
{
    row_params r;
    r.data = sk_ir_param_ptr(b, data, true);
    r.wanted = sk_ir_param_u32(b, wanted);
    r.stride_row = sk_ir_param_u32(b, stride_row);
    r.stride_head = sk_ir_param_u32(b, stride_head);
    return r;
}

static void init(sk_unrow *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched)
{
    memset(c, 0, sizeof *c);
    sk_dec *d = &c->dec;
    d->b = b;
    d->spec = spec;
    d->sched = sched;
    d->w = (uint32_t)sched->v[SK_T_w];
    d->d = spec->d;
    d->dv = spec->dv;
    d->p = spec->page;
    d->tp = (spec->page + 15) / 16 * 16;
    d->cp = (spec->dv + 15) / 16 * 16;
    c->es = spec->out_dtype == SPHKV_F32 ? 4 : 2;
    c->step = step_of(spec, d->w);
}

/* Item i of the order, and the page of a later one. */
static sk_val item_at(sk_unrow *c, sk_val items, sk_val order, sk_val i)
{
    sk_builder *b = c->dec.b;
    const sk_val at = sk_ir_ldu(b, SK_LD_U32, sk_ir_ptr_add(b, order, i, 4), c->dec.zero, 0);
    return sk_ir_ptr_add(b, items, at, sizeof(sphkv_decode_item));
}

static sk_status build_entry(const sk_spec *spec, const sk_schedule *sched, bool past,
                             sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_unrow unrow, *c = &unrow;
    sk_dec *d = &c->dec;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, past ? "past" : "", err);
    if (st != SPHKV_OK) return st;
    init(c, b, spec, sched);
    c->past = past;
    const sk_val items = sk_ir_param_ptr(b, "items", false);
    const sk_val order = sk_ir_param_ptr(b, "order", false);
    d->arena = sk_ir_param_ptr(b, "arena", false);
    d->codebook = sk_ir_param_ptr(b, "codebook", false);
    const row_params rows[2] = {
        row_params_of(b, "k", "k_wanted", "k_row_stride", "k_head_stride"),
        row_params_of(b, "v", "v_wanted", "v_row_stride", "v_head_stride")};
    const sk_val first = sk_ir_param_u32(b, "first"), end = sk_ir_param_u32(b, "end");
    sk_rope_params(d);
    d->zero = sk_ir_u32(b, 0);
    d->lane = sk_ir_lane(b);
    sk_unrow_scratch(c);
    const uint32_t ahead = (uint32_t)sched->v[SK_T_prefetch];
    const sk_val i = sk_ir_for(b, first, end, 1);
    const sk_val item = item_at(c, items, order, i);
    sk_val f[ITEM_WORDS], next = SK_NONE;
    for (uint32_t k = 0; k < ITEM_WORDS; k++) f[k] = item_word(c, item, k);
    if (ahead > 0) {
        const sk_val last = sk_ir_2(b, SK_OP_SUB, end, sk_k(d, 1));
        const sk_val j = sk_ir_2(b, SK_OP_UMIN, sk_add(d, i, sk_k(d, ahead)), last);
        const sk_val far = item_word(c, item_at(c, items, order, j), ITEM_UNIT);
        next = sk_ir_ptr_add(b, d->arena, far, SPHKV_UNIT_BYTES);
    }
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, f[ITEM_TIER], k));
        decode_item(c, k, f, rows, next);
        sk_ir_end(b);
    }
    sk_ir_end(b);
    return sk_ir_finish(b, out, err);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->n = sched->v[SK_T_store] == SK_STORE_PAST ? 2 : 1;
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; st == SPHKV_OK && i < out->n; i++)
        st = build_entry(spec, sched, i == SK_UNROW_PAST, arena, &out->program[i], err);
    return st;
}

static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    sk_page_layout lay;
    sk_page_layout_get(spec, 0, &lay);
    memset(out, 0, sizeof *out);
    out->token_heads = (double)shape->batch * spec->page;
    out->read_bytes = (double)shape->batch * lay.bytes +
                      (double)shape->kv_heads * sk_codebook_head_bytes(spec);
    out->write_bytes = out->token_heads * (spec->d + spec->dv) * (spec->out_dtype == SPHKV_F32 ? 4 : 2);
}

static const sk_kernel_form on_cpu = {
    .default_schedule = default_schedule,
    .valid = valid,
    .build = build,
    .workspace = sk_decode_workspace,
    .run = sk_decode_run,
};

const sk_kernel sk_kernel_page_decode = {
    .args_size = sizeof(sphkv_decode_args),
    .workspace_at = offsetof(sphkv_decode_args, workspace),
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_unrow_on_gpu},
    .cost = cost,
    .shape = sk_items_prefill,
};
