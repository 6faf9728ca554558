/* extend_mma.c - form "tile" of attn_extend on a GPU as a whole: which schedules can run a
 * spec, where things lie in scratch, an item from its queries to its output. See
 * extend_mma.h. */
#include "extend_mma.h"

#include <math.h>
#include <string.h>

#include "rows.h"

#define MOST_SUMS 256u   /* words of acc of a lane, times 2 */
#define SPILLS_FROM 192u /* more channels leave too few registers: not without measuring */

/* ---- sizes ----------------------------------------------------------------- */

void sk_mma_init(sk_mma *x, sk_extend *c, sk_builder *b, const sk_spec *spec, const sk_schedule *s)
{
    memset(x, 0, sizeof *x);
    sk_extend_init(c, b, spec, s);
    x->c = c;
    c->dec.warps = (uint32_t)s->v[SK_T_warps];
    c->group = (uint32_t)s->v[SK_T_mrows];
    c->rows = c->group * c->dec.warps;
    c->tokens = c->rows / c->dec.h;
    c->sum_words = 1;
    x->parts = spec->accuracy == SPHKV_FAST ? 1 : 2;
    x->rows = c->group / 16;
    x->slab = (uint32_t)s->v[SK_T_slab];
    const uint32_t words = (spec->d + 31) / 32 * 16;
    x->row = words % 32 ? words : words + 16;
}

/* ---- scratch ----------------------------------------------------------------- */

static sk_val place(sk_mma *x, const char *name, sk_val from, uint32_t *at, uint32_t words)
{
    sk_builder *b = x->c->dec.b;
    const uint32_t here = *at;
    *at += words * 4;
    if (from == SK_NONE) return SK_NONE; /* only adds up */
    return sk_ir_name(b, sk_ir_ptr_add(b, from, sk_ir_u32(b, here), 1), name);
}

/* Factors, from an address on; what they take. */
static uint32_t factor_areas(sk_mma *x, sk_val from)
{
    uint32_t at = 0;
    for (uint32_t p = 0; p < x->parts; p++) x->q[p] = place(x, "queries", from, &at, x->c->rows * x->row);
    for (uint32_t p = 0; p < x->parts; p++) x->k[p] = place(x, "keys", from, &at, x->slab * x->row);
    for (uint32_t p = 0; p < x->parts; p++) x->v[p] = place(x, "values", from, &at, x->c->dec.dv * x->slab / 2);
    return at;
}

static void areas(sk_mma *x)
{
    sk_extend *c = x->c;
    uint32_t words = factor_areas(x, SK_NONE) / 4;
    const uint32_t end = c->rows * (c->dec.cp + 1);
    if (words < end) words = end;
    const sk_val work = sk_extend_area(c, "work", words, false);
    (void)factor_areas(x, work);
    uint32_t at = 0;
    c->dec.acc = place(x, "acc", work, &at, c->rows * c->dec.cp);
    c->sums = place(x, "sums", work, &at, c->rows);
    c->top = sk_extend_area(c, "top", c->rows, false);
    sk_extend_mask_scratch(c);
    sk_mma_page_scratch(x);
}

/* Bytes of scratch of a schedule. */
static uint32_t scratch_bytes(const sk_spec *spec, const sk_schedule *s)
{
    sk_extend c;
    sk_mma x;
    sk_mma_init(&x, &c, NULL, spec, s);
    areas(&x);
    return c.room.inside_bytes;
}

void sk_mma_begin(sk_mma *x)
{
    sk_dec *d = &x->c->dec;
    sk_builder *b = d->b;
    d->zero = sk_ir_u32(b, 0);
    d->lane = sk_ir_lane(b);
    d->warp = sk_ir_0(b, SK_OP_WARP, 0);
    x->g = sk_ir_name(b, sk_shr(d, d->lane, 2), "g");
    x->t = sk_ir_name(b, sk_and(d, d->lane, 3), "t");
    x->first = sk_mul(d, d->warp, x->c->group);
    areas(x);
}

/* ---- queries ---------------------------------------------------------------- */

/* Dimensions behind the last one, of keys. */
static void clear_keys(sk_mma *x)
{
    sk_dec *d = &x->c->dec;
    sk_builder *b = d->b;
    if (d->d % 32 == 0) return;
    const sk_val lane = sk_and(d, d->lane, 7), half = sk_shr(d, d->lane, 3);
    const sk_val t0 = sk_gpu_turns(b, sk_k(d, x->slab), 4);
    const sk_val at = sk_mul(d, sk_add(d, sk_mul(d, sk_add(d, t0, half), x->row), lane), 4);
    for (uint32_t p = 0; p < x->parts; p++) sk_ir_stg(b, x->k[p], at, d->d * 2, d->zero, SK_NONE);
    sk_ir_end(b);
}

/* Rows are dealt to warps; those that the tile lacks are zeros, and see what its last
 * token does. */
static void queries(sk_mma *x, const sk_extend_tensor *from)
{
    sk_dec *d = &x->c->dec;
    sk_builder *b = d->b;
    const sk_ld_kind kind = sk_rows_input_kind(d->spec->q_dtype);
    const uint32_t es = sk_ld_bytes(kind);
    const sk_val last = sk_ir_2(b, SK_OP_SUB, sk_extend_word(d, SK_EXT_TOKENS), sk_k(d, 1));
    const sk_val r = sk_gpu_turns(b, sk_k(d, x->c->rows), 1);
    const sk_val own = sk_ir_2k(b, SK_OP_UDIV, r, d->h), h = sk_ir_2k(b, SK_OP_UREM, r, d->h);
    const sk_val token = sk_ir_2(b, SK_OP_UMIN, own, last);
    sk_extend_mask_row(x->c, r, token);
    const sk_val scale = sk_extend_head_scale(d, h);
    const sk_val row = sk_extend_row_at(d, from, SK_EXT_Q, sk_ir_2(b, SK_OP_MUL, token, from->tok_bytes), h);
    const sk_val i = sk_add(d, sk_ir_for(b, d->zero, sk_k(d, (d->d + 31) / 32 * 16), 32), d->lane);
    const sk_val there = sk_ir_2(b, SK_OP_PAND, sk_ir_2(b, SK_OP_ULE, own, last), sk_ir_2k(b, SK_OP_ULT, i, d->d / 2));
    sk_val pair[2];
    for (uint32_t e = 0; e < 2; e++)
        pair[e] = sk_ir_2(b, SK_OP_FMUL, sk_ir_ldg(b, kind, row, sk_mul(d, i, 2 * es), e * es, there), scale);
    const sk_val word = sk_ir_2(b, SK_OP_PACKBF16, pair[0], pair[1]);
    const sk_val at = sk_mul(d, sk_add(d, sk_mul(d, r, x->row), i), 4);
    const sk_val room = sk_ir_2k(b, SK_OP_ULT, i, (d->d + 31) / 32 * 16);
    sk_ir_stg(b, x->q[0], at, 0, word, room);
    if (x->parts == 2) sk_ir_stg(b, x->q[1], at, 0, sk_bf16_rest(d, pair, word), room);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* ---- an item ----------------------------------------------------------------- */

static void start(sk_mma *x)
{
    sk_builder *b = x->c->dec.b;
    const sk_val none = sk_ir_f32(b, 0.0f), never = sk_ir_f32(b, -INFINITY);
    for (uint32_t n = 0; n < x->rows; n++) {
        for (uint32_t y = 0; y < 2; y++) {
            x->base[n][y] = sk_ir_var(b, SK_LANE, never);
            x->sum[n][y] = sk_ir_var(b, SK_LANE, none);
        }
        for (uint32_t i = 0; 8 * i < x->c->dec.dv; i++)
            x->acc[n][i] = sk_ir_var(b, SK_LANE, sk_ir_quad(b, none, none, none, none));
    }
}

static sk_val positions_at(sk_extend *c, const sk_extend_ref *ref, sk_val page)
{
    sk_dec *d = &c->dec;
    const sk_val off = sk_ir_var(d->b, SK_BLOCK, d->zero);
    for (uint32_t k = 0; k < d->spec->ntiers; k++) {
        sk_page_layout lay;
        sk_page_layout_get(d->spec, k, &lay);
        sk_ir_if(d->b, sk_ir_2k(d->b, SK_OP_EQ, ref->tier, k));
        sk_ir_set(d->b, off, sk_k(d, lay.pos_off));
        sk_ir_end(d->b);
    }
    return sk_ir_ptr_add(d->b, page, sk_ir_get(d->b, off), 1);
}

/* A page, slab by slab. */
static void visit(sk_extend *c, void *user, const sk_extend_ref *ref)
{
    sk_mma *x = user;
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_extend_page *page = &ref->page;
    sk_mma_slab slab = {.bias = SK_NONE, .positions = SK_NONE};
    slab.first = sk_ir_for(b, d->zero, page->count, x->slab);
    slab.before = sk_add(d, page->before, slab.first);
    slab.count = sk_ir_2k(b, SK_OP_UMIN, sk_ir_2(b, SK_OP_SUB, page->count, slab.first), x->slab);
    if (page->bias != SK_NONE) slab.bias = sk_ir_ptr_add(b, page->bias, slab.first, 4);
    const sk_val at = sk_extend_page_at(c, ref);
    if (sk_extend_by_position(c))
        slab.positions = sk_ir_ptr_add(b, positions_at(c, ref, at), slab.first, 4);
    sk_ir_barrier(b); /* nobody is at the last slab any more */
    sk_mma_rebuild(x, ref->tier, at, &slab);
    sk_ir_barrier(b);
    sk_mma_products(x, &slab);
    sk_ir_end(b);
}

/* Rows g and g + 8 of a register tile: what the lane has of them, to scratch. */
static void put_rows(sk_mma *x, uint32_t n)
{
    sk_dec *d = &x->c->dec;
    sk_builder *b = d->b;
    const sk_val never = sk_ir_f32(b, -INFINITY), first = sk_ir_2k(b, SK_OP_EQ, x->t, 0);
    const sk_val row = sk_add(d, sk_add(d, x->first, x->g), sk_k(d, 16 * n));
    for (uint32_t y = 0; y < 2; y++) {
        sk_val sum = sk_ir_get(b, x->sum[n][y]);
        for (uint32_t bit = 1; bit < 4; bit *= 2)
            sum = sk_ir_2(b, SK_OP_FADD, sum, sk_shuf(d, sum, sk_ir_2k(b, SK_OP_XOR, d->lane, bit)));
        const sk_val base = sk_ir_get(b, x->base[n][y]), at = sk_shl(d, row, 2);
        const sk_val none = sk_ir_2(b, SK_OP_FEQ, base, never); /* probabilities may not be 0 */
        sk_ir_stg(b, x->c->top, at, 32 * y, base, first);
        sk_ir_stg(b, x->c->sums, at, 32 * y, sk_sel(d, none, sk_ir_f32(b, 0.0f), sum), first);
    }
    const sk_val at = sk_add(d, sk_mul(d, row, d->cp * 4), sk_shl(d, x->t, 3));
    for (uint32_t i = 0; 8 * i < d->dv; i++) {
        const sk_val quad = sk_ir_get(b, x->acc[n][i]);
        for (uint32_t k = 0; k < 4; k++)
            sk_ir_stg(b, d->acc, at, (8 * (k / 2) * d->cp + 8 * i + k % 2) * 4,
                      sk_ir_1(b, SK_OP_FLOAT, sk_ir_word(b, quad, k)), SK_NONE);
    }
}

void sk_mma_tile(sk_mma *x, const sk_extend_io *io)
{
    sk_builder *b = x->c->dec.b;
    clear_keys(x);
    queries(x, &io->q);
    start(x);
    sk_extend_walk(x->c, io->refs, visit, x);
    sk_ir_barrier(b);
    for (uint32_t n = 0; n < x->rows; n++) put_rows(x, n);
    sk_ir_barrier(b);
    sk_extend_outputs(x->c, &io->out, &io->lse);
}

/* ---- choice ------------------------------------------------------------------ */

static sk_status spec_valid(const sk_spec *spec, const sk_target *target, sk_err *err)
{
    if (target->sm < 80) return sk_fail(err, SPHKV_EINVAL, "form=tile: bfloat16 products need sm_80");
    if (spec->accuracy == SPHKV_EXACT)
        return sk_fail(err, SPHKV_EINVAL, "form=tile: products of bfloat16s are not for class exact");
    if (spec->d > SK_MMA_MOST || spec->dv > SK_MMA_MOST)
        return sk_fail(err, SPHKV_EINVAL, "form=tile: head dims %u/%u, at most %u", spec->d, spec->dv, SK_MMA_MOST);
    for (uint32_t k = 0; k < spec->ntiers; k++)
        if (spec->tier[k].value == SK_VAL_KEY)
            return sk_fail(err, SPHKV_EINVAL, "form=tile: tier %u: values that are keys", k);
    return SPHKV_OK;
}

sk_status sk_mma_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target, sk_err *err)
{
    const int32_t rows = s->v[SK_T_mrows], warps = s->v[SK_T_warps], slab = s->v[SK_T_slab];
    const sk_status st = spec_valid(spec, target, err);
    if (st != SPHKV_OK) return st;
    const int32_t qtile = sk_tunable_value(SK_T_qtile, 0), qrows = sk_tunable_value(SK_T_qrows, 0);
    if (s->v[SK_T_room] != SK_ROOM_SHARED || s->v[SK_T_qtile] != qtile || s->v[SK_T_qrows] != qrows)
        return sk_fail(err, SPHKV_EINVAL, "form=tile has room=shared, qtile=%d, qrows=%d", qtile, qrows);
    if (slab < 32 || warps < 2 || warps > 8)
        return sk_fail(err, SPHKV_EINVAL, "form=tile has slab=32 or 64, 2 to 8 warps");
    if ((uint32_t)rows / 16 * spec->dv > MOST_SUMS)
        return sk_fail(err, SPHKV_EINVAL, "mrows=%d of %u channels do not fit the registers", rows, spec->dv);
    if ((uint32_t)(rows * warps) < spec->heads_per_kv)
        return sk_fail(err, SPHKV_EINVAL, "mrows=%d, warps=%d: a token has %u query heads", rows, warps,
                       spec->heads_per_kv);
    const uint32_t scratch = scratch_bytes(spec, s) + sk_ir_area_bytes(SK_EXT_ALL_WORDS * 4);
    return sk_gpu_home(target, (uint32_t)s->v[SK_T_blocks], scratch, 32 * (uint32_t)warps, err);
}

/* As many rows for a page as one block can have, for rebuilding it takes instructions as
 * products take the tensor cores'; 32 of a warp where registers are left beside its sums. */
bool sk_mma_default(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    static const struct {
        uint8_t warps, rows, slab;
    } order[] = {{8, 32, 64}, {8, 16, 64}, {8, 16, 32}, {4, 16, 64}, {4, 16, 32}, {2, 16, 32}};
    const bool roomy = spec->accuracy == SPHKV_FAST && spec->dv <= 64;
    if (spec->dv > SPILLS_FROM) return false;
    out->v[SK_T_form] = SK_ATTN_TILE;
    out->v[SK_T_blocks] = 1;
    out->v[SK_T_room] = SK_ROOM_SHARED;
    out->v[SK_T_qtile] = sk_tunable_value(SK_T_qtile, 0);
    out->v[SK_T_qrows] = sk_tunable_value(SK_T_qrows, 0);
    for (uint32_t i = 0; i < SK_COUNT(order); i++) {
        if (!roomy && order[i].rows > 16) continue;
        out->v[SK_T_warps] = order[i].warps;
        out->v[SK_T_mrows] = order[i].rows;
        out->v[SK_T_slab] = order[i].slab;
        if (sk_mma_valid(spec, out, target, NULL) == SPHKV_OK) return true;
    }
    return false;
}
