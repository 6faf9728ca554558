/* test_kernel_tiles.c - attention by tiles of tensor cores (templates/tile.h) in the
 * interpreter: every tier form, number of heads, slab and warp count, against the
 * double reference. A block takes a whole list here; how lists are dealt to blocks and
 * merged is the kernel's and is tested with it. */
#include "sk_test.h"

#include <math.h>


#include "case.h"
#include "tile.h"

#define KV_HEADS 2u

/* Slots of the program's parameters, in order. */
typedef struct tile_params {
    sk_val q, q_stride, scale, book, arena, refs, lo, hi, units[SK_MAX_TIERS], ml, ml_step, ml_add;
    sk_val item; /* of attn_decode: where it ends */
    sk_dec_outputs to;
} tile_params;

static void declare(sk_builder *b, const sk_spec *spec, tile_params *p)
{
    p->q = sk_ir_param_ptr(b, "q", false);
    p->q_stride = sk_ir_param_u32(b, "q_head_bytes");
    p->scale = sk_ir_param_f32(b, "scale_log2e");
    p->book = sk_ir_param_ptr(b, "book", false);
    p->arena = sk_ir_param_ptr(b, "arena", false);
    p->refs = sk_ir_param_ptr(b, "refs", false);
    p->lo = sk_ir_param_u32(b, "lo");
    p->hi = sk_ir_param_u32(b, "hi");
    for (uint32_t k = 0; k < spec->ntiers; k++) p->units[k] = sk_ir_param_u32(b, "unit_add");
    p->ml = sk_ir_param_ptr(b, "page_ml", true);
    p->ml_step = sk_ir_param_u32(b, "ml_step");
    p->ml_add = sk_ir_param_u32(b, "ml_add");
    p->item = sk_ir_param_ptr(b, "item", false);
    p->to.out = sk_ir_param_ptr(b, "out", true);
    p->to.out_stride = sk_ir_param_u32(b, "out_head_bytes");
    p->to.lse = sk_ir_param_ptr(b, "lse", true);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *mem, sk_program **out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    tile_params p;
    sk_dec dec;
    sk_ir_begin(b, mem, "tiles", 32, sk_tile_warps(sched));
    sk_dec_init(&dec, b, spec, sched);
    declare(b, spec, &p);
    dec.item = p.item;
    dec.warps = sk_tile_warps(sched);
    dec.warp = sk_ir_0(b, SK_OP_WARP, 0);
    dec.zero = sk_ir_u32(b, 0);
    dec.lane = sk_ir_lane(b);
    sk_tile_work work = {.q = p.q, .q_stride = p.q_stride, .scale = p.scale, .book = p.book,
                         .arena = p.arena, .refs = p.refs, .lo = p.lo, .hi = p.hi, .ml = p.ml,
                         .ml_step = p.ml_step, .ml_add = p.ml_add};
    for (uint32_t k = 0; k < spec->ntiers; k++) work.unit_add[k] = p.units[k];
    sk_tile *t = sk_tile_begin(&dec);
    assert_non_null(t);
    sk_tile_decode(t, &work);
    sk_part_finish_list(&dec, &p.to);
    return sk_ir_finish(b, out, err);
}

/* ---- running a case -------------------------------------------------------------- */

/* One list and KV head: a block. */
static sk_status run_pair(const sk_program *program, const sk_spec *spec, const sphkv_attn_args *a,
                          uint32_t seq, uint32_t head, sk_err *err)
{
    sk_call call = {0};
    const bool shared = a->table.lists_per_seq == 1;
    const uint32_t list = shared ? seq : seq * KV_HEADS + head, h = spec->heads_per_kv;
    const uint32_t first = head * h, lse = seq * (a->lse_stride_seq ? a->lse_stride_seq : KV_HEADS * h);
    const uint32_t q_head = a->q_stride_head ? a->q_stride_head : spec->d;
    const uint32_t out_head = a->out_stride_head ? a->out_stride_head : spec->dv;
    const uint32_t q_seq = a->q_stride_seq ? a->q_stride_seq : KV_HEADS * h * q_head;
    const uint32_t out_seq = a->out_stride_seq ? a->out_stride_seq : KV_HEADS * h * out_head;
    const uint32_t q_es = spec->q_dtype == SPHKV_F32 ? 4 : 2, refs = a->table.indptr[a->table.lists];
    const size_t book = sk_codebook_head_bytes(spec);
    sk_call_ptr(&call, (const uint8_t *)a->q + (seq * q_seq + first * q_head) * q_es,
                ((h - 1) * (size_t)q_head + spec->d) * q_es);
    sk_call_u32(&call, q_head * q_es);
    sk_call_f32(&call, (a->scale != 0 ? a->scale : 1.0f / sqrtf((float)spec->d)) * 1.44269504f);
    sk_call_ptr(&call, book ? (const uint8_t *)a->codebook + head * book : NULL, book);
    sk_call_ptr(&call, a->arena, a->arena_bytes);
    sk_call_ptr(&call, a->table.refs, refs * 8);
    sk_call_u32(&call, a->table.indptr[list]);
    sk_call_u32(&call, a->table.indptr[list + 1]);
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, k, &lay);
        sk_call_u32(&call, shared ? head * lay.units : 0);
    }
    const uint32_t step = a->page_ml ? (shared ? KV_HEADS : 1) : 0;
    sk_call_ptr(&call, a->page_ml, (size_t)refs * step * h * 8);
    sk_call_u32(&call, step);
    sk_call_u32(&call, shared ? head : 0);
    const uint32_t out_es = spec->out_dtype == SPHKV_F32 ? 4 : 2;
    const uint32_t item[SK_ITEM_WORDS] = {[SK_ITEM_LSE] = a->lse ? 0 : SK_ITEM_NONE};
    sk_call_ptr(&call, item, sizeof item);
    sk_call_ptr(&call, (uint8_t *)a->out + (seq * out_seq + first * out_head) * out_es,
                ((h - 1) * (size_t)out_head + spec->dv) * out_es);
    sk_call_u32(&call, out_head * out_es);
    sk_call_ptr(&call, a->lse ? a->lse + lse + first : NULL, a->lse ? h * 4 : 0);
    sk_interp_buffer buffer[SK_MAX_SLOTS] = {0};
    uint32_t scalar[SK_MAX_SLOTS];
    for (uint32_t i = 0; i < call.n; i++) {
        if (program->param[i].kind == SK_PARAM_PTR)
            buffer[i] = (sk_interp_buffer){.data = (void *)(uintptr_t)call.slot[i], .bytes = call.bytes[i]};
        scalar[i] = (uint32_t)call.slot[i];
    }
    const sk_interp_args args = {.buffer = buffer, .scalar = scalar, .grid = {1, 1, 1}};
    return sk_interp_run(program, &args, err);
}

static void run_case(const sk_program *program, const sk_case_params *params, double *worst)
{
    sk_case c;
    sk_err err = {0}, why = {0};
    double error = 0, bound = 0;
    sk_assert_ok(sk_case_make(params, &c, &err), &err);
    const sphkv_attn_args *a = sk_case_args(&c, 0);
    sk_status st = SPHKV_OK;
    for (uint32_t seq = 0; seq < a->batch && st == SPHKV_OK; seq++)
        for (uint32_t head = 0; head < KV_HEADS && st == SPHKV_OK; head++)
            st = run_pair(program, &params->spec, a, seq, head, &why);
    if (st == SPHKV_OK) st = sk_case_judge(&c, 0, &error, &bound, &why);
    if (st != SPHKV_OK)
        fail_msg("input %s, %s, tiers %#x, seed %llu: %s", sk_input_name(params->input),
                 params->lists_per_seq == 1 ? "shared lists" : "lists per head", params->tier_mask,
                 (unsigned long long)params->seed, why.message);
    if (bound > 0 && error / bound > *worst) *worst = error / bound;
    sk_case_free(&c);
}

/* ---- rows as tests ---------------------------------------------------------------- */

typedef struct tile_row {
    const char *spec, *schedule;
    bool thorough; /* every input, not the first and the last */
} tile_row;

typedef struct tile_test {
    tile_row row;
    uint64_t seed;
    char name[240];
} tile_test;

static const sk_target target = {.backend = SK_BACKEND_CUDA, .sm = 90, .sms = 1,
                                 .shared_block = 232448, .shared_sm = 233472, .regs_sm = 65536,
                                 .threads_sm = 2048};

static void run_row(void **state)
{
    const tile_test *test = *state;
    sk_err err = {0};
    sk_spec spec;
    sk_schedule sched;
    sk_arena mem = {0};
    sk_program *program;
    double worst = 0;
    sk_assert_ok(sk_spec_parse(test->row.spec, &spec, &err), &err);
    sk_schedule_begin(SK_BACKEND_CUDA, &sched);
    sk_assert_ok(sk_tile_supported(&spec, &target, &err), &err);
    sk_tile_default(&spec, &target, &sched);
    sk_assert_ok(sk_schedule_parse(spec.kernel, test->row.schedule, &sched, &err), &err);

    sk_assert_ok(sk_tile_valid(&spec, &sched, &target, &err), &err);
    sk_assert_ok(build(&spec, &sched, &mem, &program, &err), &err);
    assert_true(program->shared_bytes <= sk_tile_scratch(&spec, &sched));
    for (uint32_t input = 0; input < SK_INPUT_COUNT; input++) {
        if (!test->row.thorough && input != SK_IN_S1 && input != SK_IN_EDGE) continue;
        for (uint32_t shared = 0; shared < 2; shared++) {
            if (!test->row.thorough && shared != (input == SK_IN_EDGE)) continue;
            sk_case_params p = {.spec = spec, .lists_per_seq = shared ? 1 : KV_HEADS,
                                .input = (sk_input)input, .seed = test->seed + input, .copies = 1,
                                .uneven = input != SK_IN_S1};
            p.shape = (sk_shape){.batch = p.uneven ? 3 : 1, .kv_heads = KV_HEADS, .threads = 1,
                                 .context = (spec.ntiers + 1) * spec.page - 3};
            run_case(program, &p, &worst);
        }
    }
    print_message("    %u instructions, %u bytes of scratch, worst error %.2f of its bound\n",
                  program->ninstr, program->shared_bytes, worst);
    sk_arena_free(&mem);
}

#define S(d, v, h, p, l, rest) "attn_decode d" d " v" v " h" h " p" p " l" l " " rest

#define T(h, rest) S("64", "64", h, "64", "1", "qf32 of32 if32 tight " rest)

static const tile_row rows[] = {
    {S("128", "128", "4", "128", "1", "qf32 of32 if32 tight good:vi8,kf16:vf16"), "", true},
    {S("128", "128", "8", "128", "1", "qf16 of16 if16 tight good:vi8,kf16:vf16"), "", true},
    /* every first-class key, every value, both layouts */
    {T("4", "high:vi8,mid:vi4"), "", true},
    {T("4", "low:vi4,lean:vi8"), "", true},
    {T("4", "fine:vf8,turbo:vi8"), "", true},
    {T("4", "kbf16:vbf16,kf16:vf16"), "", true},
    {T("4", "ki8:vf8,ki4:vi4,kf8:vf8"), "", true},
    {S("64", "64", "3", "64", "0", "qbf16 obf16 ibf16 tight good:vi8,turbo:vbf16,mid:vf16"), "", true},
    /* stages: none, and more than a warp has slabs; a tier that is not staged */
    {T("4", "good:vi8,kf16:vf16"), "stages=0", true},
    {T("4", "high:vi8,mid:vi8,kf16:vf16"), "stages=4,slab=32", true},
    {T("4", "low:vi4,fine:vi8"), "stages=3,warps=2", false},
    {T("4", "ki8:vf8,ki4:vi4,kf8:vf8"), "stages=0,slab=16", false},
    {T("4", "lean:vf16,turbo:vi4"), "stages=1,slab=32", false},
    /* heads: columns of one and of two products */
    {T("1", "good:vi8"), "slab=32,stages=0", false},
    {T("2", "turbo:vi8,kbf16:vf8"), "slab=32,warps=8", false},
    {T("5", "good:vi4"), "warps=1", false},
    {T("7", "fine:vi8"), "slab=16,warps=2", false},
    {T("8", "fine:vbf16"), "slab=16", false},
    {T("9", "good:vi8,kf16:vf16"), "slab=64", false},
    {T("12", "high:vi4,ki4:vbf16"), "slab=32,warps=2", false},
    {T("16", "lean:vi8,ki8:vf16"), "warps=8", true},
    /* dims of keys and values, pages */
    {S("80", "48", "5", "48", "1", "qf32 of32 if32 tight good:vi8,g16b8r16sD:vi4,kbf16:vbf16"), "", false},
    {S("96", "16", "6", "96", "0", "qf16 of32 if32 tight fine:vi8,ki8:vf16"), "", false},
    {S("112", "128", "4", "16", "1", "qf32 of32 if32 tight ki4:vi8,good:vi8"), "", false},
    {S("192", "128", "9", "128", "1", "qf16 of32 if32 tight good:vi8,high:vi8"), "warps=8", false},
    {S("256", "256", "8", "64", "1", "qf16 of32 if32 tight good:vi8"), "warps=1,slab=32", false},
    {S("16", "16", "1", "256", "1", "qf32 of32 if32 tight good:vi8,kf16:vf16"), "", false},
    /* widths of codes and radii, groups, spans */
    {T("4", "g1b2r8s16:vi8,g2b3r4s32:vi8"), "", false},
    {T("4", "g4b5r8sD:vi8,g8b6r16s16:vi8"), "", false},
    {T("4", "g16b7r4:vi8,g32b8r16:vi8"), "", false},
    {T("4", "g4b8r16sD:vi8,g8b4r8s32:vi8"), "", false},
    {T("4", "g1b8r16sD:vi8,g16b4r4sD:vi8"), "slab=32", false},
    {T("4", "g32b4r8:vf16,g2b2r16sD:vf16"), "", false},
    {S("64", "64", "4", "64", "1", "qf32 of32 if32 fast good:vi8,kf16:vf16"), "", true},
    /* what a codebook set may hold */
    {T("4", "good:vi8,kf16:vf16 mean permutation"), "", true},
};

int main(void)
{
    struct CMUnitTest tests[SK_COUNT(rows)];
    static tile_test each[SK_COUNT(rows)];
    for (size_t i = 0; i < SK_COUNT(rows); i++) {
        each[i].row = rows[i];
        each[i].seed = sk_test_seed(20250711);
        snprintf(each[i].name, sizeof each[i].name, "%s %s", rows[i].spec, rows[i].schedule);
        tests[i] = (struct CMUnitTest){.name = each[i].name, .test_func = run_row,
                                       .initial_state = &each[i]};
    }
    return _cmocka_run_group_tests("tiles", tests, SK_COUNT(rows), NULL, NULL);
}
