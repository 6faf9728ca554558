/* random_gpu.c - statements of random programs that GPUs have and the CPU has
 * not: quads in memory, copies that take their time, atomic adds. Each warp has
 * two stages of 16 W bytes in the scratch, filled from the start, which only it
 * changes; a copy is waited for by the statement that began it. */
#include "random_impl.h"

static sk_val lane_times_16(gen *g, uint32_t turn)
{
    const sk_val lane = op2(g, SK_OP_XOR, g->lane, num(g, turn));
    return op2(g, SK_OP_MUL, lane, num(g, 16));
}

/* off where on, else anything. */
static sk_val wild(gen *g, sk_val on, sk_val off)
{
    return sk_ir_3(&g->b, SK_OP_SELECT, on, off, gen_draw(g, SK_U32, SK_LANE));
}

static void load_quad(gen *g)
{
    const sk_val p = below(g, 3) ? g->in : g->mine;
    const uint32_t disp = 16 * below(g, 5);
    const sk_val inside = gen_offset(g, SK_LANE, 16);
    if (below(g, 2)) {
        keep(g, sk_ir_ldq(&g->b, p, inside, disp, SK_NONE));
        return;
    }
    const sk_val on = gen_draw(g, SK_PRED, SK_LANE);
    keep(g, sk_ir_ldq(&g->b, p, wild(g, on, inside), disp, on));
}

/* Where the lanes change places: in a stage, or in the own output. */
static void store_quad(gen *g)
{
    const sk_val turned = lane_times_16(g, below(g, g->w));
    const bool staged = below(g, 2);
    const sk_val base = staged ? num(g, 16 * g->w * below(g, 2)) : gen_offset(g, SK_WARP, 16);
    const sk_val place = op2(g, SK_OP_ADD, base, turned);
    const sk_val p = staged ? g->stages : g->mine, quad = gen_draw(g, SK_QUAD, SK_LANE);
    if (below(g, 2)) {
        sk_ir_stq(&g->b, p, place, 0, quad, SK_NONE);
        return;
    }
    const sk_val on = gen_draw(g, SK_PRED, SK_LANE);
    sk_ir_stq(&g->b, p, wild(g, on, place), 0, quad, on);
}

static void begin_copy(gen *g, uint32_t stage)
{
    const sk_val to = lane_times_16(g, below(g, g->w));
    const sk_val from = gen_offset(g, SK_LANE, 16), p = below(g, 4) ? g->in : g->mine;
    const uint32_t disp = 16 * below(g, 5);
    if (below(g, 2)) {
        sk_ir_cp_async(&g->b, g->stages, to, 16 * g->w * stage, p, from, disp, SK_NONE);
    } else {
        const sk_val on = gen_draw(g, SK_PRED, SK_LANE);
        const sk_val place = wild(g, on, to);
        sk_ir_cp_async(&g->b, g->stages, place, 16 * g->w * stage, p, wild(g, on, from), disp, on);
    }
}

static void read_stage(gen *g, uint32_t stage)
{
    const uint32_t first = 16 * g->w * stage, turn = below(g, g->w);
    if (below(g, 2))
        keep(g, sk_ir_ldq(&g->b, g->stages, lane_times_16(g, turn), first, SK_NONE));
    else
        keep(g, sk_ir_ldv(&g->b, SK_LD_U32, g->stages, num(g, 4 * turn), first));
}

/* The first stage is used while the copy to the second may be under way. */
static void copies(gen *g)
{
    const uint32_t stage = below(g, 2), two = below(g, 3), open = below(g, 3) == 0;
    begin_copy(g, stage);
    sk_ir_cp_commit(&g->b);
    if (two) {
        begin_copy(g, 1 - stage);
        if (!open)
            sk_ir_cp_commit(&g->b);
        sk_ir_cp_wait(&g->b, open ? 0 : 1); /* what is in no group is not waited for */
        read_stage(g, stage);
        if (open)
            sk_ir_cp_commit(&g->b);
    }
    sk_ir_cp_wait(&g->b, 0);
    read_stage(g, stage);
    if (two)
        read_stage(g, 1 - stage);
}

/* Of a word that no other warp has. */
static void atomic_add(gen *g)
{
    const sk_val off = gen_offset(g, SK_WARP, 4), x = gen_draw(g, SK_U32, SK_WARP);
    keep(g, sk_ir_atom_add(&g->b, g->mine, off, 4 * below(g, 16), x));
}

void gen_gpu_statement(gen *g)
{
    static void (*const kind[])(gen *) = {load_quad, load_quad, store_quad,
                                          store_quad, copies, atomic_add};
    kind[below(g, SK_COUNT(kind))](g);
}

void gen_gpu_prologue(gen *g)
{
    sk_builder *const b = &g->b;
    const uint32_t bytes = 32 * g->w;
    const sk_val warp = sk_ir_0(b, SK_OP_WARP, 0);
    g->all_stages = sk_ir_shared(b, bytes * g->warps);
    g->stages = sk_ir_ptr_add(b, g->all_stages, warp, bytes);
    const sk_val quad = sk_ir_quad(b, g->lane, warp, num(g, 3), num(g, 0xffff0000));
    const sk_val place = lane_times_16(g, 0);
    sk_ir_stq(b, g->stages, place, 0, quad, SK_NONE);
    sk_ir_stq(b, g->stages, place, 16 * g->w, quad, SK_NONE);
    keep(g, quad);
}

void gen_gpu_exchange(gen *g, sk_val other)
{
    const sk_val theirs = sk_ir_ptr_add(&g->b, g->all_stages, other, 32 * g->w);
    const sk_val place = lane_times_16(g, below(g, g->w));
    keep(g, sk_ir_ldq(&g->b, theirs, place, 16 * g->w * below(g, 2), SK_NONE));
}
