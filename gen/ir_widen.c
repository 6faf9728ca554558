/* ir_widen.c - a program of narrow warps as one of 32 lanes, for back ends whose
 * warps have no other width. Page layouts go by sixteens, so parts written for a
 * vector of 16 lanes have no use for more; on a GPU they run as they are, and the
 * lanes beyond repeat them: lane i holds what lane i mod W holds, bit for bit, and
 * only the first W store or are added up. */
#include "ir.h"

typedef struct widening {
    sk_builder *b;
    const sk_program *p;
    sk_val *now;       /* by value of the narrow program */
    sk_val *param;     /* by slot */
    sk_val lane, real; /* i mod W; whether i < W */
} widening;

static sk_val op2(widening *n, sk_op op, sk_val x, sk_val y) { return sk_ir_2(n->b, op, x, y); }

static sk_val op2k(widening *n, sk_op op, sk_val x, uint32_t y)
{
    return sk_ir_2k(n->b, op, x, y);
}

/* Saturated to signed 16 bits. */
static sk_val saturated(widening *n, sk_val x)
{
    return op2k(n, SK_OP_SMAX, op2k(n, SK_OP_SMIN, x, 32767), (uint32_t)-32768);
}

/* Which lanes of what SK_OP_PACK16 takes follows from W. */
static sk_val pack16(widening *n, const sk_val a[])
{
    sk_builder *b = n->b;
    const sk_val low = op2k(n, SK_OP_ULT, n->lane, n->p->w / 2);
    const sk_val twice = op2k(n, SK_OP_SHL, n->lane, 1);
    sk_val half[2];
    for (uint32_t odd = 0; odd < 2; odd++) {
        const sk_val from = op2k(n, SK_OP_AND, op2k(n, SK_OP_ADD, twice, odd), n->p->w - 1);
        const sk_val x = op2(n, SK_OP_SHUFFLE, a[0], from), y = op2(n, SK_OP_SHUFFLE, a[1], from);
        half[odd] = saturated(n, sk_ir_3(b, SK_OP_SELECT, low, x, y));
    }
    return op2(n, SK_OP_OR, op2k(n, SK_OP_AND, half[0], 0xffff),
               op2k(n, SK_OP_SHL, half[1], 16));
}

/* The same for SK_OP_PACK8. */
static sk_val pack8(widening *n, const sk_val a[])
{
    sk_builder *b = n->b;
    const sk_val low = op2k(n, SK_OP_ULT, n->lane, n->p->w / 2);
    const sk_val twice = op2k(n, SK_OP_SHL, n->lane, 1);
    sk_val r = sk_ir_u32(b, 0);
    for (uint32_t k = 0; k < 4; k++) {
        const sk_val from = op2k(n, SK_OP_AND, op2k(n, SK_OP_ADD, twice, k / 2), n->p->w - 1);
        const sk_val x = op2(n, SK_OP_SHUFFLE, a[0], from), y = op2(n, SK_OP_SHUFFLE, a[1], from);
        const sk_val one = sk_ir_3(b, SK_OP_SELECT, low, x, y);
        const sk_val half = op2k(n, SK_OP_SRA, k % 2 ? one : op2k(n, SK_OP_SHL, one, 16), 16);
        const sk_val byte = op2k(n, SK_OP_SMAX, op2k(n, SK_OP_SMIN, half, 255), 0);
        r = op2(n, SK_OP_OR, r, op2k(n, SK_OP_SHL, byte, 8 * k));
    }
    return r;
}

/* Numbers of bytes or halves ("each": one in every place), mod what one or two
 * arguments of W lanes have of them: the second one's begin at `second`. */
static sk_val picks(widening *n, sk_val x, uint32_t each, uint32_t have, uint32_t two, uint32_t second)
{
    const sk_val low = op2k(n, SK_OP_AND, x, (have - 1) * each);
    if (!two) return low;
    const sk_val other = op2k(n, SK_OP_AND, x, have * each);
    const uint32_t by = (uint32_t)(__builtin_ctz(second) - __builtin_ctz(have));
    return op2(n, SK_OP_OR, low, op2k(n, SK_OP_SHL, other, by));
}

/* Offset of this lane's element of a row at `off`. */
static sk_val element(widening *n, sk_val off, uint32_t bytes)
{
    return op2(n, SK_OP_ADD, off, op2k(n, SK_OP_MUL, n->lane, bytes));
}

/* Ops whose last argument is a predicate that may be missing: only real lanes. */
static sk_val guarded(widening *n, const sk_instr *in, sk_val *a)
{
    const uint32_t last = sk_op_get(in->op)->nargs - 1;
    a[last] = in->nargs > last ? op2(n, SK_OP_PAND, a[last], n->real) : n->real;
    return sk_ir_emit(n->b, in->op, last + 1, a, in->imm, in->imm2);
}

static sk_val widen_one(widening *n, const sk_instr *in, sk_val *a)
{
    sk_builder *b = n->b;
    switch (in->op) {
    case SK_OP_LANE: return n->lane;
    case SK_OP_PARAM_PTR:
    case SK_OP_PARAM_U32:
    case SK_OP_PARAM_F32: return n->param[in->imm];
    case SK_OP_SHUFFLE: a[1] = op2k(n, SK_OP_AND, a[1], n->p->w - 1); break;
    case SK_OP_PACK16: return pack16(n, a);
    case SK_OP_PACK8: return pack8(n, a);
    case SK_OP_PERM8: a[1] = picks(n, a[1], 0x01010101u, 4 * n->p->w, 0, 0); break;
    case SK_OP_PERM8X2: a[2] = picks(n, a[2], 0x01010101u, 4 * n->p->w, 1, 128); break;
    case SK_OP_PERM16: a[1] = picks(n, a[1], 0x00010001u, 2 * n->p->w, 0, 0); break;
    case SK_OP_PERM16X2: a[2] = picks(n, a[2], 0x00010001u, 2 * n->p->w, 1, 64); break;
    case SK_OP_RED_FADD: /* -0 adds nothing, to -0 either */
        a[0] = sk_ir_3(b, SK_OP_SELECT, n->real, a[0], sk_ir_f32(b, -0.0f));
        break;
    case SK_OP_RED_UADD:
        a[0] = sk_ir_3(b, SK_OP_SELECT, n->real, a[0], sk_ir_u32(b, 0));
        break;
    case SK_OP_LDV:
        return sk_ir_ldg(b, (sk_ld_kind)in->imm2, a[0], element(n, a[1], sk_ld_bytes(in->imm2)),
                         in->imm, SK_NONE);
    case SK_OP_STV:
    case SK_OP_STN:
        sk_ir_stg(b, a[0], element(n, a[1], 4), in->imm, a[2], n->real);
        return SK_NONE;
    case SK_OP_STG:
    case SK_OP_STQ:
    case SK_OP_CPASYNC: return guarded(n, in, a);
    default: break;
    }
    return sk_ir_emit(b, in->op, in->nargs, a, in->imm, in->imm2);
}

static void declare(widening *n)
{
    for (uint32_t k = 0; k < n->p->nparams; k++) {
        const sk_param *param = &n->p->param[k];
        n->param[k] = param->kind == SK_PARAM_PTR
                          ? sk_ir_param_ptr(n->b, param->name, param->writable)
                      : param->kind == SK_PARAM_U32 ? sk_ir_param_u32(n->b, param->name)
                                                    : sk_ir_param_f32(n->b, param->name);
    }
    const sk_val lane = sk_ir_lane(n->b);
    n->lane = op2k(n, SK_OP_AND, lane, n->p->w - 1);
    n->real = op2k(n, SK_OP_ULT, lane, n->p->w);
}

static void widen_all(widening *n)
{
    n->b->shared_top = n->p->shared_bytes;
    declare(n);
    for (uint32_t i = 0; i < n->p->ninstr && !n->b->failed; i++) {
        const sk_instr *in = &n->p->instr[i];
        sk_val a[SK_MAX_ARGS];
        for (uint32_t k = 0; k < in->nargs; k++) a[k] = n->now[in->arg[k]];
        n->now[i] = widen_one(n, in, a);
        if (in->name && n->now[i] != SK_NONE) (void)sk_ir_name(n->b, n->now[i], in->name);
    }
}

sk_status sk_ir_widen(const sk_program *narrow, sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder;
    widening n = {.b = &builder, .p = narrow};
    n.now = sk_calloc(narrow->ninstr + 1u, sizeof *n.now);
    n.param = sk_calloc(narrow->nparams + 1u, sizeof *n.param);
    sk_ir_begin(n.b, arena, narrow->symbol, 32, narrow->warps);
    sk_ir_occupancy(n.b, narrow->occupancy);
    sk_status st = SPHKV_ENOMEM;
    if (n.now && n.param) {
        widen_all(&n);
        st = sk_ir_finish(n.b, out, err);
    } else {
        (void)sk_fail(err, st, "out of memory for a program of 32 lanes");
    }
    sk_free(n.now);
    sk_free(n.param);
    return st;
}
