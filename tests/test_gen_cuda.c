/* test_gen_cuda.c - CUDA text of programs: what it looks like (a golden), names, old
 * values of variables, what is refused, memory that runs out. What the text does is
 * tried on the harness (test_simt_*.c). */
#include "sk_test.h"

#include <locale.h>

#include "emit_cuda.h"

static sk_val word(sk_builder *b, uint32_t x)
{
    return sk_ir_u32(b, x);
}

/* Sums rows in two warps: copies ahead, a loop, a variable, the scratch, a branch. */
static sk_status build_sample(uint32_t w, sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder b;
    sk_ir_begin(&b, arena, "row_sums", w, 2);
    sk_ir_occupancy(&b, 4);
    const sk_val in = sk_ir_param_ptr(&b, "rows", false);
    const sk_val sums = sk_ir_param_ptr(&b, "out", true);
    const sk_val done = sk_ir_param_ptr(&b, "done", true);
    const sk_val n = sk_ir_param_u32(&b, "n");
    const sk_val scale = sk_ir_param_f32(&b, "scale");
    const sk_val stage = sk_ir_name(&b, sk_ir_shared(&b, 2 * 512), "stage");
    const sk_val part = sk_ir_name(&b, sk_ir_shared(&b, 2 * 4), "part");
    const sk_val warp = sk_ir_0(&b, SK_OP_WARP, 0);
    const sk_val lane16 = sk_ir_2k(&b, SK_OP_MUL, sk_ir_lane(&b), 16);
    const sk_val mine = sk_ir_ptr_add(&b, stage, warp, 512);
    const sk_val sum = sk_ir_name(&b, sk_ir_var(&b, SK_LANE, sk_ir_f32(&b, 0)), "sum");
    const sk_val row = sk_ir_name(&b, sk_ir_for(&b, warp, n, 2), "row");
    const sk_val from = sk_ir_ptr_add(&b, in, row, 512);
    sk_ir_cp_async(&b, mine, lane16, 0, from, lane16, 0, SK_NONE);
    sk_ir_cp_commit(&b);
    sk_ir_cp_wait(&b, 0);
    const sk_val q = sk_ir_ldq(&b, mine, lane16, 0, SK_NONE);
    const sk_val x = sk_ir_1(&b, SK_OP_FLOAT, sk_ir_word(&b, q, 0));
    sk_val y = sk_ir_1(&b, SK_OP_FLOAT, sk_ir_word(&b, q, 3));
    y = sk_ir_2(&b, SK_OP_FADD, x, y);
    sk_ir_set(&b, sum, sk_ir_3(&b, SK_OP_FMA, y, scale, sk_ir_get(&b, sum)));
    sk_ir_end(&b);
    const sk_val total = sk_ir_name(&b, sk_ir_1(&b, SK_OP_RED_FADD, sk_ir_get(&b, sum)), "sum");
    const sk_val zero = word(&b, 0);
    sk_ir_stu(&b, sk_ir_ptr_add(&b, part, warp, 4), zero, 0, total);
    sk_ir_barrier(&b);
    sk_ir_if(&b, sk_ir_2(&b, SK_OP_EQ, warp, zero));
    const sk_val lane4 = sk_ir_2k(&b, SK_OP_SHL, sk_ir_lane(&b), 2);
    const sk_val few = sk_ir_2k(&b, SK_OP_ULT, sk_ir_lane(&b), 2);
    const sk_val other = sk_ir_ldg(&b, SK_LD_F32, part, lane4, 0, few);
    const sk_val block = sk_ir_block(&b, 0);
    const sk_val to = sk_ir_ptr_add(&b, sums, block, 4);
    sk_ir_stu(&b, to, zero, 0, sk_ir_1(&b, SK_OP_RED_FADD, other));
    const sk_val before = sk_ir_atom_add(&b, done, zero, 0, word(&b, 1));
    sk_ir_if(&b, sk_ir_2k(&b, SK_OP_EQ, before, 7));
    sk_ir_stu(&b, done, zero, 0, zero);
    sk_ir_end(&b);
    sk_ir_else(&b);
    sk_ir_stn(&b, sums, word(&b, 1024), 0, sk_ir_f32(&b, -0.1f));
    sk_ir_end(&b);
    return sk_ir_finish(&b, out, err);
}

static const char golden[] =
    "// rows of 128\n"
    "// warps=2\n"
    "// stages=1\n"
    "// By sphkv, in the vocabulary of gen/prelude.cuh. Addresses are in bytes; i12, f12, p12,\n"
    "// a12, q12 are value 12 of the program (--emit ir).\n"
    "\n"
    "// row_sums: 2 warps, 1088 bytes of scratch\n"
    "EXTERN_C __global__ void __launch_bounds__(64, 4)\n"
    "row_sums(\n"
    "    const u8 *rows,\n"
    "    u8 *out,\n"
    "    u8 *done,\n"
    "    u32 n,\n"
    "    float scale)\n"
    "{\n"
    "    SCRATCH(scratch);\n"
    "    const u32 lane = lane_index();\n"
    "    const u32 warp = warp_index();\n"
    "    u8 *const stage = scratch;\n"
    "    u8 *const part = scratch + 1024;\n"
    "    const u32 i10 = lane * 16;\n"
    "    u8 *const a11 = stage + (u64)warp * 512;\n"
    "    float sum = 0.0f;\n"
    "    for (u32 row = warp; row < n; row += 2) {\n"
    "        cp_async(a11 + i10, rows + (u64)row * 512 + i10);\n"
    "        cp_async_commit();\n"
    "        cp_async_wait(0);\n"
    "        const quad q19 = ld_quad(a11 + i10);\n"
    "        sum = fma_rn(float_of(q19.x) + float_of(q19.w), scale, sum);\n"
    "    }\n"
    "    const float sum_2 = warp_sum_f32(sum);\n"
    "    if (lane == 0) st_f32(part + (u64)warp * 4, sum_2);\n"
    "    __syncthreads();\n"
    "    if (warp == 0) {\n"
    "        const float f43 = lane < 2 ? ld_f32(part + (lane << 2)) : 0.0f;\n"
    "        const u32 block = block_index(0);\n"
    "        const float f46 = warp_sum_f32(f43);\n"
    "        if (lane == 0) st_f32(out + (u64)block * 4, f46);\n"
    "        const u32 i49 = atom_add(done, 1);\n"
    "        if (i49 == 7) {\n"
    "            if (lane == 0) st_u32(done, 0);\n"
    "        }\n"
    "    } else {\n"
    "        stream_f32(out + 1024 + 4 * lane, -0.1f);\n"
    "    }\n"
    "}\n";

static char *emit(const sk_program *program, const sk_cuda_note *note)
{
    sk_text text = {0};
    sk_err err = {0};
    sk_assert_ok(sk_emit_cuda(&program, 1, note, &text, &err), &err);
    return text.s;
}

static void text_is_what_it_was(void **state)
{
    (void)state;
    const sk_cuda_note note = {.spec = "rows of 128", .schedule = "warps=2\nstages=1"};
    sk_arena arena = {0};
    sk_err err = {0};
    sk_program *program;
    sk_assert_ok(build_sample(32, &arena, &program, &err), &err);
    char *text = emit(program, &note);
    if (strcmp(text, golden) != 0) {
        (void)fputs(text, stderr); /* longer than what cmocka prints */
        fail_msg("the text has changed");
    }
    sk_free(text);
    sk_arena_free(&arena);
}

/* An engine may have set a locale with a decimal comma. */
static void text_ignores_the_locale(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_err err = {0};
    sk_program *program;
    sk_test_decimal_comma(); /* or skips */
    sk_assert_ok(build_sample(32, &arena, &program, &err), &err);
    char *const text = emit(program, NULL);
    setlocale(LC_ALL, "C");
    assert_non_null(strstr(text, "4 * lane, -0.1f);"));
    sk_free(text);
    sk_arena_free(&arena);
}

/* ---- names --------------------------------------------------------------------------- */

/* Names that C, the vocabulary or another value has, or that are none. */
static void names_are_made_to_fit(void **state)
{
    (void)state;
    static const struct {
        const char *want, *got;
    } row[] = {{"int", "int_2"},     {"min_u32", "min_u32_2"}, {"page", "page"},
               {"page", "page_2"},   {"page_2", "page_2_2"},   {"lane", "lane_2"},
               {"k v", "k_v"},       {"2nd", "v2nd"},          {"__x", "v__x"},
               {"u8", "u8_2"},       {"stage.x", "stage_x"},   {"constexpr", "constexpr_2"}};
    sk_builder b;
    sk_arena arena = {0};
    sk_err err = {0};
    sk_program *program;
    sk_ir_begin(&b, &arena, "names", 32, 1);
    const sk_val out = sk_ir_param_ptr(&b, "out", true);
    for (uint32_t k = 0; k < SK_COUNT(row); k++) {
        const sk_val x = sk_ir_2k(&b, SK_OP_ADD, sk_ir_lane(&b), k + 1);
        sk_ir_stv(&b, out, word(&b, 128 * k), 0, sk_ir_name(&b, x, row[k].want));
    }
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    char *const text = emit(program, NULL);
    for (uint32_t k = 0; k < SK_COUNT(row); k++) {
        char line[64];
        (void)snprintf(line, sizeof line, "const u32 %s = lane", row[k].got);
        if (!strstr(text, line))
            fail_msg("%s is not called %s in\n%s", row[k].want, row[k].got, text);
    }
    sk_free(text);
    sk_arena_free(&arena);
}

/* A variable that is set before its old value is used is copied; else it is not. */
static void old_values_are_kept(void **state)
{
    (void)state;
    sk_builder b;
    sk_arena arena = {0};
    sk_err err = {0};
    sk_program *program;
    sk_ir_begin(&b, &arena, "olds", 32, 1);
    const sk_val out = sk_ir_param_ptr(&b, "out", true);
    const sk_val v = sk_ir_name(&b, sk_ir_var(&b, SK_LANE, sk_ir_lane(&b)), "v");
    const sk_val first = sk_ir_get(&b, v);
    const sk_val before = sk_ir_2k(&b, SK_OP_ADD, first, 5); /* used once, behind the set */
    sk_ir_set(&b, v, sk_ir_2k(&b, SK_OP_MUL, sk_ir_get(&b, v), 3));
    sk_ir_stv(&b, out, word(&b, 0), 0, before);
    const sk_val outside = sk_ir_get(&b, v);
    (void)sk_ir_for(&b, word(&b, 0), word(&b, 4), 1);
    sk_ir_stv(&b, out, word(&b, 128), 0, outside); /* in the second turn the set is behind it */
    sk_ir_set(&b, v, word(&b, 9));
    sk_ir_end(&b);
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    char *const text = emit(program, NULL);
    static const char want[] = "    u32 v = lane;\n"
                               "    const u32 i3 = v;\n"
                               "    v = v * 3;\n"
                               "    st_u32(out + 4 * lane, i3 + 5);\n"
                               "    const u32 i12 = v;\n"
                               "    for (u32 i = 0; i < 4; i++) {\n";
    if (!strstr(text, want))
        fail_msg("not in this text:\n%s\n%s", want, text);
    sk_free(text);
    sk_arena_free(&arena);
}

/* ---- where lanes meet ------------------------------------------------------------------ */

typedef struct meeting {
    sk_builder *b;
    sk_val s, t, out, n, lane4; /* two pieces of scratch, buffer, count, 4 * lane */
} meeting;

static void read_what_another_wrote(meeting *m)
{
    sk_ir_stv(m->b, m->s, word(m->b, 0), 0, m->lane4);
    const sk_val other = sk_ir_2k(m->b, SK_OP_XOR, m->lane4, 4);
    sk_ir_stv(m->b, m->out, word(m->b, 0), 0,
              sk_ir_ldg(m->b, SK_LD_U32, m->s, other, 0, SK_NONE));
}

static void read_what_it_wrote(meeting *m)
{
    sk_ir_stv(m->b, m->s, word(m->b, 128), 0, m->lane4);
    const sk_val x = sk_ir_ldg(m->b, SK_LD_U32, m->s, m->lane4, 128, SK_NONE);
    sk_ir_stv(m->b, m->out, word(m->b, 0), 0, x);
}

/* for (i ..; i += 32) s[i + lane] += 1 */
static void count_up(meeting *m, sk_val most, uint32_t step)
{
    const sk_val i = sk_ir_for(m->b, word(m->b, 0), most, step);
    const sk_val off = sk_ir_2k(m->b, SK_OP_MUL, i, 4);
    const sk_val x = sk_ir_ldv(m->b, SK_LD_U32, m->s, off, 0);
    sk_ir_stv(m->b, m->s, off, 0, sk_ir_2k(m->b, SK_OP_ADD, x, 1));
    sk_ir_end(m->b);
}

static void rows_apart(meeting *m) { count_up(m, word(m->b, 96), 32); }
static void rows_overlap(meeting *m) { count_up(m, word(m->b, 96), 16); }
static void rows_come_round(meeting *m) { count_up(m, word(m->b, 3u << 30), 1u << 30); }
static void rows_uncounted(meeting *m) { count_up(m, m->n, 32); }

static void other_piece(meeting *m)
{
    const sk_val i = sk_ir_for(m->b, word(m->b, 0), m->n, 4);
    const sk_val x = sk_ir_ldu(m->b, SK_LD_U32, m->s, i, 0);
    sk_ir_stu(m->b, m->t, i, 0, x);
    sk_ir_end(m->b);
}

static void one_lane_writes(meeting *m)
{
    sk_ir_stu(m->b, m->s, word(m->b, 0), 0, m->n);
    sk_ir_stu(m->b, m->s, word(m->b, 0), 0, word(m->b, 1));
}

static void all_read_what_one_wrote(meeting *m)
{
    one_lane_writes(m);
    sk_ir_stu(m->b, m->out, word(m->b, 0), 0, sk_ir_ldu(m->b, SK_LD_U32, m->s, word(m->b, 0), 0));
}

static void barrier_between(meeting *m)
{
    one_lane_writes(m);
    sk_ir_barrier(m->b);
    sk_ir_stu(m->b, m->out, word(m->b, 0), 0, sk_ir_ldu(m->b, SK_LD_U32, m->s, word(m->b, 0), 0));
}

static void a_branch_wrote(meeting *m)
{
    sk_ir_if(m->b, sk_ir_2k(m->b, SK_OP_EQ, m->n, 1));
    one_lane_writes(m);
    sk_ir_else(m->b);
    sk_ir_end(m->b);
    sk_ir_stu(m->b, m->out, word(m->b, 0), 0, sk_ir_ldu(m->b, SK_LD_U32, m->s, word(m->b, 0), 0));
}

/* Neither more nor fewer than these; that they suffice is tried by test_simt_meet.c. */
static void lanes_meet_where_they_must(void **state)
{
    (void)state;
    static const struct {
        void (*build)(meeting *m);
        uint32_t syncs;
    } row[] = {{read_what_another_wrote, 1}, {read_what_it_wrote, 0},
               {rows_apart, 0},              {rows_overlap, 1},
               {rows_come_round, 1},         {rows_uncounted, 1},
               {other_piece, 0},             {one_lane_writes, 0},
               {all_read_what_one_wrote, 1}, {barrier_between, 0},
               {a_branch_wrote, 1}};
    for (uint32_t k = 0; k < SK_COUNT(row); k++) {
        sk_builder b;
        sk_arena arena = {0};
        sk_err err = {0};
        sk_program *program;
        uint32_t syncs = 0;
        sk_ir_begin(&b, &arena, "meeting", 32, 1);
        meeting m = {.b = &b};
        m.out = sk_ir_param_ptr(&b, "out", true);
        m.n = sk_ir_param_u32(&b, "n");
        m.s = sk_ir_shared(&b, 1024);
        m.t = sk_ir_shared(&b, 1024);
        m.lane4 = sk_ir_2k(&b, SK_OP_MUL, sk_ir_lane(&b), 4);
        row[k].build(&m);
        sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
        char *const text = emit(program, NULL);
        for (const char *at = text; (at = strstr(at, "__syncwarp")) != NULL; at++)
            syncs++;
        if (syncs != row[k].syncs)
            fail_msg("row %u: %u syncs, not %u, in\n%s", k, syncs, row[k].syncs, text);
        sk_free(text);
        sk_arena_free(&arena);
    }
}

/* ---- refusals ------------------------------------------------------------------------- */

static void other_widths_are_refused(void **state)
{
    (void)state;
    sk_builder b;
    sk_arena arena = {0};
    sk_err err = {0};
    sk_program *program;
    sk_text text = {0};
    sk_ir_begin(&b, &arena, "narrow", 16, 1);
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    assert_int_equal(sk_emit_cuda((const sk_program *const *)&program, 1, NULL, &text, &err),
                     SPHKV_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "narrow is for warps of 16 lanes"));
    sk_text_free(&text);
    sk_arena_free(&arena);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_err err = {0};
    sk_program *program;
    sk_assert_ok(build_sample(32, &arena, &program, &err), &err);
    sk_status st = SPHKV_ENOMEM;
    uint64_t nth = 0;
    while (st != SPHKV_OK) {
        sk_text text = {0};
        (void)sk_alloc_fault(++nth, true);
        st = sk_emit_cuda((const sk_program *const *)&program, 1, NULL, &text, &err);
        (void)sk_alloc_fault(0, false);
        assert_true(st == SPHKV_OK || st == SPHKV_ENOMEM);
        sk_text_free(&text);
    }
    assert_true(nth > 4);
    sk_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_what_it_was),
        cmocka_unit_test(text_ignores_the_locale),
        cmocka_unit_test(names_are_made_to_fit),
        cmocka_unit_test(old_values_are_kept),
        cmocka_unit_test(lanes_meet_where_they_must),
        cmocka_unit_test(other_widths_are_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
