/* page_retier_gpu.c - page_retier on a GPU: a block is one item. The source page becomes
 * numbers lane by lane (decode_lanes.h), in the order of a kf32:vf32 page, and what
 * kv_encode makes of that page is the destination.
 *
 * Room of a block: `page`, the numbers; behind it scratch, that of the rebuilding (where,
 * framed) and then that of the coding, one over the other, for the one is done before the
 * other begins. room=shared: all of it in shared memory; tables: the page in the workspace,
 * codewords where the set has them; global: all in the workspace. */
#include <string.h>

#include "decode_lanes.h"
#include "page_retier.h"
#include "part_rope.h"

#define STEP 16u /* dimensions of a piece: a row of 16 is 64 bytes of the page */

/* ---- where scratch lies ------------------------------------------------------ */

typedef struct room {
    uint32_t page, scratch;   /* bytes, multiples of 64 */
    uint32_t shared, global;  /* of a block: in shared memory, in the workspace */
} room;

static room room_of(const sk_spec *spec, const sk_schedule *s)
{
    sk_retier_specs both;
    sk_page_layout page;
    sk_retier_split(spec, &both);
    sk_page_layout_get(&both.to, SK_RETIER_FROM, &page);
    const uint32_t rebuild = sk_ir_area_bytes(sk_numbers_where_bytes(&both.from)) +
                             sk_ir_area_bytes(sk_numbers_framed_bytes(&both.from));
    const uint32_t code = sk_encode_scratch_of(&both.to, s);
    room r = {.page = page.units * SPHKV_UNIT_BYTES, .scratch = code > rebuild ? code : rebuild};
    const int32_t rule = s->v[SK_T_room];
    if (rule != SK_ROOM_GLOBAL) r.shared = r.scratch;
    if (rule == SK_ROOM_SHARED) r.shared += r.page;
    r.global = r.page + r.scratch - r.shared;
    return r;
}

static sk_status valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                       sk_err *err)
{
    return sk_encode_gpu_valid(spec, s, room_of(spec, s).shared, target, err);
}

/* A page of usual size is too large for shared memory. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    sk_encode_gpu_default(spec, out);
    if (sk_encode_gpu_roomy(target, room_of(spec, out).shared)) return;
    out->v[SK_T_room] = SK_ROOM_TABLES;
    if (room_of(spec, out).shared > target->shared_block) out->v[SK_T_room] = SK_ROOM_GLOBAL;
}

/* ---- building ------------------------------------------------------------- */

typedef struct retier {
    sk_numbers numbers;
    sk_enc enc;
    sk_page_layout lay; /* of the source */
    sk_val page;        /* what it becomes */
} retier;

/* Dimensions of 32 tokens: two rows of 16 for each. */
static void put_keys(sk_numbers *n, sk_val *x, sk_val t0, sk_val d0)
{
    const retier *c = n->user;
    sk_dec *d = &n->dec;
    sk_builder *b = d->b;
    const sk_seg_layout *key = &c->enc.src.seg[0];
    const sk_val token = sk_add(d, t0, d->lane);
    const bool pages = d->p % 32 == 0 && !sk_numbers_fewer(n), pieces = d->vdims % STEP == 0;
    const sk_val used = pages ? SK_NONE : sk_ir_2(b, SK_OP_ULT, token, n->count);
    const sk_val row = sk_add(d, sk_mul(d, sk_shr(d, token, 4), key->dims), d0);
    const sk_val at = sk_add(d, sk_mul(d, row, 64), sk_mul(d, sk_and(d, token, 15), 4));
    for (uint32_t i = 0; i < STEP; i++) {
        if (!pieces) sk_ir_if(b, sk_ir_2k(b, SK_OP_ULT, sk_add(d, d0, sk_k(d, i)), d->vdims));
        sk_ir_stg(b, c->page, at, key->key_off + (d->vdim0 + i) * 64, x[i], used);
        if (!pieces) sk_ir_end(b);
    }
}

static void put_values(sk_numbers *n, const sk_val *x, sk_val t, sk_val word, sk_val inside)
{
    const retier *c = n->user;
    sk_dec *d = &n->dec;
    const sk_val row = sk_add(d, sk_mul(d, sk_shr(d, word, 4), d->tp), t);
    const sk_val at = sk_add(d, sk_mul(d, row, 64), sk_mul(d, sk_and(d, word, 15), 4));
    sk_ir_stg(d->b, c->page, at, c->enc.src.value_off, x[0], inside);
}

/* All slots of the page: what those behind count hold is left out when it is coded. */
static void rebuild(retier *c)
{
    sk_numbers *n = &c->numbers;
    n->set = c->enc.book;
    n->count = sk_ir_u32(n->dec.b, n->dec.p);
    sk_numbers_keys(n, SK_RETIER_FROM, &c->lay, c->enc.src_page, n->dec.d);
    if (c->enc.src.value_off != SK_NO_FIELD)
        sk_numbers_values(n, SK_RETIER_FROM, &c->lay, c->enc.src_page, 1);
    sk_ir_barrier(n->dec.b);
}

/* Keys of the page as the destination has them: a lane is a token, a warp takes a pair of
 * dimensions of 32. */
static void rotate(retier *c, const sk_spec *spec, sk_val source)
{
    sk_dec *d = &c->numbers.dec;
    sk_builder *b = d->b;
    const sk_retier_turn turn = sk_retier_turn_of(spec);
    const sk_tier *tier = &spec->tier[turn.tier];
    sk_page_layout lay;
    if (!turn.any) return;
    sk_page_layout_get(spec, turn.tier, &lay);
    const sk_val token = sk_add(d, sk_ir_for(b, d->zero, sk_k(d, d->p), 32), d->lane);
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, token, d->p);
    const sk_val slot = sk_ir_2k(b, SK_OP_UMIN, token, d->p - 1);
    const sk_rope_lanes at = sk_rope_lanes_begin(d, c->lay.pos_off, source, slot);
    const sk_val i = sk_gpu_turns(b, at.half, 1), half = sk_mul(d, at.half, 64);
    const sk_val from = sk_mul(d, sk_add(d, at.row, i), 4);
    const sk_val cosine = sk_ir_ldg(b, SK_LD_F32, d->rope, from, 0, SK_NONE);
    const sk_val sine =
        sk_ir_ldg(b, SK_LD_F32, d->rope, sk_add(d, from, sk_mul(d, at.half, 4)), 0, SK_NONE);
    const sk_val row = sk_add(d, sk_mul(d, sk_shr(d, token, 4), d->d), i);
    const sk_val low = sk_add(d, sk_mul(d, row, 64), sk_mul(d, sk_and(d, token, 15), 4));
    const sk_val high = sk_add(d, low, half);
    for (uint32_t s = 0; s < tier->nseg; s++) {
        if (!tier->seg[s].pre_rope) continue;
        const uint32_t off = c->enc.src.seg[0].key_off + lay.seg[s].dim0 * 64;
        sk_val x = sk_ir_ldg(b, SK_LD_F32, c->page, low, off, inside);
        sk_val y = sk_ir_ldg(b, SK_LD_F32, c->page, high, off, inside);
        sk_rope_by(d, cosine, sine, turn.back ? &y : &x, turn.back ? &x : &y);
        sk_ir_stg(b, c->page, low, off, x, inside);
        sk_ir_stg(b, c->page, high, off, y, inside);
    }
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_barrier(b);
}

static void place(retier *c, const sk_encode_grid *g, const sk_schedule *s, const room *r)
{
    sk_builder *b = g->b;
    const int32_t rule = s->v[SK_T_room];
    sk_val scratch = rule == SK_ROOM_GLOBAL ? sk_ir_ptr_add(b, g->room, sk_ir_u32(b, r->page), 1)
                                            : sk_ir_shared(b, r->scratch);
    scratch = sk_ir_name(b, scratch, "scratch");
    c->page = rule == SK_ROOM_SHARED ? sk_ir_shared(b, r->page) : g->room;
    c->page = sk_ir_name(b, c->page, "page");
    const uint32_t where = sk_numbers_where_bytes(c->numbers.dec.spec);
    if (where) c->numbers.where = scratch;
    c->numbers.framed = where ? sk_ir_ptr_add(b, scratch, sk_ir_u32(b, sk_ir_area_bytes(where)), 1) : scratch;
    c->enc.room = scratch;
    sk_encode_scratch(&c->enc);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_encode_grid grid;
    sk_retier_specs both;
    retier state, *c = &state;
    const room r = room_of(spec, sched);
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_encode_gpu_occupancy(b, spec, sched);
    sk_retier_split(spec, &both);
    sk_page_layout_get(spec, SK_RETIER_FROM, &c->lay);
    sk_numbers_init(&c->numbers, b, &both.from, sched, STEP);
    c->numbers.put_keys = put_keys;
    c->numbers.put_values = put_values;
    c->numbers.user = c;
    sk_encode_init(&c->enc, &both.to, sched);
    c->enc.b = b;
    c->enc.set = &both.set;
    c->enc.rebuilt = true;
    sk_encode_grid_begin(&grid, b, r.global);
    sk_retier_rope_params(&c->numbers.dec, spec);
    c->enc.zero = c->numbers.dec.zero = sk_ir_u32(b, 0);
    c->enc.lane = c->numbers.dec.lane = sk_ir_lane(b);
    place(c, &grid, sched, &r);
    const sk_val item = sk_encode_grid_item(&grid);
    sk_encode_begin(&c->enc, spec, item, grid.src, grid.dst, grid.book);
    const sk_val source = c->enc.src_page;
    rebuild(c);
    rotate(c, spec, source);
    c->enc.src_page = c->page;
    sk_encode_fields(&c->enc);
    sk_encode_positions(&c->enc, source, c->lay.pos_off);
    sk_ir_end(b);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

static size_t workspace(const sk_image *image)
{
    return sk_encode_gpu_rooms(image, room_of(&image->spec, &image->schedule).global);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    const uint32_t room = room_of(&image->spec, &image->schedule).global;
    return sk_encode_gpu_run(image, room, args, part, parts, err);
}

const sk_kernel_form sk_retier_on_gpu = {
    .default_schedule = default_schedule,
    .valid = valid,
    .build = build,
    .workspace = workspace,
    .run = run,
};
