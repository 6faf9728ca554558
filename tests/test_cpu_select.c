/* test_cpu_select.c - which instructions the compiled code uses. Speed hangs on
 * a few selections that LLVM makes only when the code is put to it in one way:
 * broadcasts, conversions and sign extensions from memory, one instruction for
 * a byte look-up, scalar addressing for rows. A change of the emitter or of LLVM
 * that loses one shows here and not in a benchmark. Code is made for named
 * CPUs and not run, so any machine can do it. */
#include "sk_test.h"

#include <stdlib.h>

#include "cpu_target.h"
#include "jit.h"

static sk_jit jit;
static const sk_jit_llvm_api *api;

/* A program under construction: reads "in", stores vectors to "out". */
typedef struct frame {
    sk_arena arena;
    sk_builder b;
    sk_val in, out, n, zero;
    uint32_t stored;
} frame;

static void begin(frame *f, uint32_t w)
{
    memset(f, 0, sizeof *f);
    sk_ir_begin(&f->b, &f->arena, "kernel", w, 1);
    f->in = sk_ir_param_ptr(&f->b, "in", false);
    f->out = sk_ir_param_ptr(&f->b, "out", true);
    f->n = sk_ir_param_u32(&f->b, "n");
    f->zero = sk_ir_u32(&f->b, 0);
}

static void keep(frame *f, sk_val x)
{
    sk_ir_stv(&f->b, f->out, f->zero, f->stored++ * 256, x);
}

/* At an offset that is not constant: loads at constant places move to the
 * caller, whence they come in registers. */
static sk_val words(frame *f, uint32_t disp)
{
    return sk_ir_ldv(&f->b, SK_LD_U32, f->in, f->n, disp);
}

static sk_val floats(frame *f, uint32_t disp)
{
    return sk_ir_ldv(&f->b, SK_LD_F32, f->in, f->n, disp);
}

/* Compiles; the assembly text, blanks as single spaces. */
static char *assemble(frame *f, const char *cpu)
{
    sk_program *program = NULL;
    sk_target target;
    sk_err err = {0};
    char *text = NULL;
    size_t size = 0, to = 0;
    sk_assert_ok(sk_ir_finish(&f->b, &program, &err), &err);
    sk_assert_ok(sk_cpu_target_named(cpu, &target, &err), &err);
    const sk_program *one = program;
    sk_assert_ok(api->emit(&one, 1, &target, SK_EMIT_ASM, &text, &size, &err), &err);
    sk_arena_free(&f->arena);
    for (size_t i = 0; i < size; i++)
        if (text[i] != '\t')
            text[to++] = text[i];
        else if (to && text[to - 1] != '\n')
            text[to++] = ' ';
    text[to] = '\0';
    return text;
}

static uint32_t count(const char *text, const char *what)
{
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* Each word of `all` (separated by |) occurs, none of `none` does. A word is
 * the beginning of an instruction with its first operand. */
static void expect(frame *f, const char *cpu, const char *all, const char *none)
{
    char *text = assemble(f, cpu);
    for (int wanted = 1; wanted >= 0; wanted--) {
        char list[256];
        (void)snprintf(list, sizeof list, "%s", wanted ? all : none);
        for (char *save = NULL, *word = strtok_r(list, "|", &save); word;
             word = strtok_r(NULL, "|", &save))
            if ((count(text, word) > 0) != wanted)
                fail_msg("%s: %s '%s' in\n%s", cpu, wanted ? "no" : "there is", word, text);
    }
    sk_free(text);
}

/* ---- loads ------------------------------------------------------------------------ */

static void loads_widen_from_memory(void **state)
{
    (void)state;
    static const struct {
        sk_ld_kind kind;
        const char *word;
    } row[] = {
        {SK_LD_F16, "vcvtph2ps 8(%"},   {SK_LD_S8, "vpmovsxbd 8(%"},
        {SK_LD_U8, "vpmovzxbd 8(%"},    {SK_LD_S8X2, "vpmovsxbw 8(%"},
        {SK_LD_U16, "vpmovzxwd 8(%"},   {SK_LD_BF16, "vpmovzxwd 8(%"},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        frame f;
        begin(&f, 8);
        keep(&f, sk_ir_ldv(&f.b, row[i].kind, f.in, f.n, 8));
        expect(&f, "znver3", row[i].word, "call");
    }
}

static void uniform_loads_broadcast(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    const sk_val i = sk_ir_for(&f.b, f.zero, f.n, 4);
    const sk_val s = sk_ir_ldu(&f.b, SK_LD_F32, f.in, i, 64);
    const sk_val x = sk_ir_ldv(&f.b, SK_LD_F16, f.in, i, 128);
    const sk_val y = sk_ir_ldv(&f.b, SK_LD_F32, f.in, i, 256);
    sk_ir_stv(&f.b, f.out, i, 0, sk_ir_3(&f.b, SK_OP_FMA, s, x, y));
    sk_ir_end(&f.b);
    expect(&f, "znver3", "vbroadcastss 64(%|vfmadd213ps 256(%", "vmovss|vinsertps|vshufps");
}

static void stores_past_caches_end_with_a_fence(void **state)
{
    (void)state;
    static const struct {
        uint32_t w;
        const char *cpu, *all, *none;
    } row[] = {
        {4, "x86-64", "movnt|sfence", "ymm"}, {8, "x86-64", "movnt|sfence", "ymm"},
        {8, "znver3", "vmovnt|%ymm|sfence", "call"}, {16, "znver4", "vmovnt|%zmm|sfence", "call"},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++)
        for (uint32_t past = 0; past < 2; past++) {
            frame f;
            begin(&f, row[i].w);
            const sk_val x = words(&f, 0);
            past ? sk_ir_stn(&f.b, f.out, f.zero, 64, x) : sk_ir_stv(&f.b, f.out, f.zero, 64, x);
            expect(&f, row[i].cpu, past ? row[i].all : "ret", past ? row[i].none : "movnt|fence");
        }
}

static void fma_takes_memory(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    keep(&f, sk_ir_3(&f.b, SK_OP_FMA, floats(&f, 0), floats(&f, 32), floats(&f, 64)));
    expect(&f, "znver3", "ps 32(%|ps 64(%", "vmulps|vaddps");
}

/* Runs at offsets made of uniform values: no vector holds an offset. */
static void rows_are_scalar_addressing(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    const sk_val row0 = sk_ir_ldu(&f.b, SK_LD_U32, f.in, f.zero, 0);
    const sk_val row1 = sk_ir_ldu(&f.b, SK_LD_U32, f.in, f.zero, 4);
    const sk_val low = sk_ir_2(&f.b, SK_OP_ULT, sk_ir_lane(&f.b), sk_ir_u32(&f.b, 4));
    const sk_val off = sk_ir_3(&f.b, SK_OP_SELECT, low, row0, row1);
    const sk_val rows = sk_ir_ldrows(&f.b, SK_LD_F32, f.in, off, 64, 4);
    keep(&f, sk_ir_2(&f.b, SK_OP_FADD, rows, rows));
    expect(&f, "znver3", "vmovups 64(%|vinsertf128 $1, 64(%", "vpextrd|vmovd|vpinsrd|blend");
}

static void gathers_with_lane_offsets_are_scalar(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    const sk_val step = sk_ir_2(&f.b, SK_OP_MUL, sk_ir_lane(&f.b), sk_ir_u32(&f.b, 512));
    keep(&f, sk_ir_ldg(&f.b, SK_LD_U32, f.in, sk_ir_2(&f.b, SK_OP_ADD, step, f.n), 0, SK_NONE));
    expect(&f, "znver3", "vpinsrd", "vpextrd|gather");
}

/* ---- packed ops ----------------------------------------------------------------------- */

static void byte_lookup(frame *f, uint32_t w, bool masked)
{
    begin(f, w);
    sk_val index = words(f, 64);
    if (masked)
        index = sk_ir_2(&f->b, SK_OP_AND, index, sk_ir_u32(&f->b, 0x0f0f0f0f));
    keep(f, sk_ir_2(&f->b, SK_OP_LUT16, words(f, 0), index));
}

static void byte_lookups_are_one_instruction(void **state)
{
    (void)state;
    frame f;
    byte_lookup(&f, 8, true);
    char *text = assemble(&f, "znver3");
    assert_int_equal(count(text, "vpshufb"), 1);
    assert_int_equal(count(text, "vpand") + count(text, "vandps"), 1); /* its own, no second */
    sk_free(text);
    byte_lookup(&f, 8, false);
    expect(&f, "znver3", "vpshufb|and", "call");
    byte_lookup(&f, 4, true);
    expect(&f, "x86-64-v2", "pshufb", "call");
    byte_lookup(&f, 16, true);
    expect(&f, "znver4", "vpshufb|zmm", "ymm");
}

static void packed_ops_are_one_instruction(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    keep(&f, sk_ir_zip8(&f.b, words(&f, 0), words(&f, 32), false));
    keep(&f, sk_ir_zip8(&f.b, words(&f, 0), words(&f, 32), true));
    keep(&f, sk_ir_2(&f.b, SK_OP_ADD16X2, words(&f, 64), words(&f, 96)));
    keep(&f, sk_ir_3(&f.b, SK_OP_DOT2, words(&f, 0), words(&f, 64), words(&f, 96)));
    keep(&f, sk_ir_2(&f.b, SK_OP_PACK16, words(&f, 128), words(&f, 160)));
    expect(&f, "znver3", "vpunpcklbw|vpunpckhbw|vpaddw|vpmaddwd|vpaddd|vpackssdw|vpermq",
           "vpshufb|vpextr|call");
    begin(&f, 16);
    keep(&f, sk_ir_3(&f.b, SK_OP_DOT2, words(&f, 0), words(&f, 64), words(&f, 128)));
    expect(&f, "znver4", "vpdpwssd|zmm", "vpmaddwd");
}

/* What byte tables live on: one instruction each where there is VBMI and VNNI. */
static void byte_tables_are_one_instruction(void **state)
{
    (void)state;
    frame f;
    begin(&f, 16);
    const sk_val index = words(&f, 256);
    keep(&f, sk_ir_2(&f.b, SK_OP_PERM8, words(&f, 0), index));
    keep(&f, sk_ir_3(&f.b, SK_OP_PERM8X2, words(&f, 64), words(&f, 128), index));
    keep(&f, sk_ir_2(&f.b, SK_OP_FIELD8, words(&f, 192), index));
    keep(&f, sk_ir_dot4us(&f.b, words(&f, 320), words(&f, 384), words(&f, 448)));
    expect(&f, "znver4", "vpermb|2b |vpmultishiftqb|vpdpbusd|zmm", "vpand|vpmaddwd|call");
    begin(&f, 16);
    const sk_val wide = words(&f, 256);
    keep(&f, sk_ir_2(&f.b, SK_OP_PERM16, words(&f, 0), wide));
    keep(&f, sk_ir_3(&f.b, SK_OP_PERM16X2, words(&f, 64), words(&f, 128), wide));
    keep(&f, sk_ir_zip16(&f.b, words(&f, 0), words(&f, 64), true));
    keep(&f, sk_ir_2(&f.b, SK_OP_PACK8, words(&f, 128), words(&f, 192)));
    expect(&f, "znver4", "vpermw|2w |vpunpckhwd|vpackuswb|zmm", "vpand|call");
    begin(&f, 8);
    keep(&f, sk_ir_dot4us(&f.b, words(&f, 0), words(&f, 64), words(&f, 128)));
    expect(&f, "znver3", "vpmaddwd", "vpmaddubsw|call"); /* that saturates */
}

static void narrow_byte_tables_on(const char *cpu, const char *all, const char *none)
{
    frame f;
    sk_builder *b = &f.b;
    begin(&f, 8);
    const sk_val index = sk_ir_2k(b, SK_OP_AND, words(&f, 0), 0x1f1f1f1fu);
    sk_val x[2];
    for (uint32_t i = 0; i < 2; i++)
        x[i] = sk_ir_2(b, SK_OP_LUT16, sk_ir_ldrows(b, SK_LD_U32, f.in, f.n, 64 + 16 * i, 4), index);
    const sk_val by = sk_ir_2k(b, SK_OP_SHL, index, 3);
    const sk_val found = sk_ir_3(b, SK_OP_SEL8, by, x[1], x[0]);
    const sk_val two = sk_ir_zip8(b, found, words(&f, 128), false);
    const sk_val weight = sk_ir_ldu(b, SK_LD_U32, f.in, f.n, 256);
    keep(&f, sk_ir_2(b, SK_OP_MADD8, weight, two));
    expect(&f, cpu, all, none);
}

/* And of 8 lanes: 16 entries are one load and one pick (of two vectors each, on NEON), 32 a
 * choice more; a weight is multiplied as it was loaded. */
static void narrow_byte_tables_are_few_instructions(void **state)
{
    (void)state;
    narrow_byte_tables_on("znver3",
                          "vbroadcasti128|vpshufb|vpblendvb|vpunpcklbw|vpmaddubsw|vpbroadcastd|ymm",
                          "vpinsr|vpextr|vpcmp|vinserti128|xmm|call");
    narrow_byte_tables_on("cortex-a72", "tbl|zip1|mul|sqadd|ld1r", "umov|ldrb|strb|ins ");
}

/* Products of bytes where there is no AVX-512. */
static void byte_products_of_lesser_cpus(void **state)
{
    (void)state;
    static const struct {
        const char *cpu;
        uint32_t w, known; /* bits of the unsigned bytes that may be set */
        const char *all, *none;
    } row[] = {
        {"znver3", 8, 0x7f7f7f7f, "vpmaddubsw|vpmaddwd|ymm", "vpsrlw|call"},
        {"x86-64-v2", 4, 0x7f7f7f7f, "pmaddubsw|pmaddwd", "psrlw|call"},
        {"alderlake", 8, ~0u, "vpdpbusd|%ymm", "vpmadd|zmm|call"},
        {"cortex-a72", 4, ~0u, "mul|sadalp", "dot"},
        {"cortex-a76", 4, 0x7f7f7f7f, "sdot", "mul|eor"},
        {"cortex-a76", 4, ~0u, "eor|sdot", "mul|udot"},
        {"neoverse-v1", 4, ~0u, "usdot", "mul|eor"},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        frame f;
        begin(&f, row[i].w);
        const sk_val x = sk_ir_2k(&f.b, SK_OP_AND, words(&f, 64), row[i].known);
        keep(&f, sk_ir_dot4us(&f.b, words(&f, 0), x, words(&f, 128)));
        expect(&f, row[i].cpu, row[i].all, row[i].none);
    }
    frame f;
    begin(&f, 8);
    const sk_val two = sk_ir_2(&f.b, SK_OP_MADD8, words(&f, 0), words(&f, 32));
    keep(&f, sk_ir_2(&f.b, SK_OP_ADD16X2, two, words(&f, 64)));
    expect(&f, "znver3", "vpmaddubsw|vpaddw", "vpsrlw|call");
    begin(&f, 16);
    keep(&f, sk_ir_bdot2(&f.b, floats(&f, 0), words(&f, 64), words(&f, 128)));
    expect(&f, "znver4", "vdpbf16ps|zmm", "vfmadd|call");
}

/* Bytes brought to constant places: a pick inside 16 bytes and moves of what is larger. */
static void constant_picks_are_a_few_shuffles(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    const sk_val lane = sk_ir_2k(&f.b, SK_OP_MUL, sk_ir_lane(&f.b), 0x01010101u);
    const sk_val order = sk_ir_2k(&f.b, SK_OP_ADD, lane, 0x18100800u);
    keep(&f, sk_ir_2(&f.b, SK_OP_PERM8, words(&f, 0), order));
    expect(&f, "znver3", "vpshufb", "vpblend|vpcmp|vpextr|call");
}

/* ki8 and ki4 keys of part_dense.c: a transposition of bytes, or bytes spread and
 * shifted, before the product. */
static void integer_keys_are_unpacked_in_few_instructions(void **state)
{
    (void)state;
    frame f;
    sk_builder *b = &f.b;
    begin(&f, 16);
    const sk_val two = sk_ir_2k(b, SK_OP_AND, sk_ir_lane(b), 3);
    const sk_val from = sk_ir_2(b, SK_OP_ADD, sk_ir_2k(b, SK_OP_SHL, two, 2),
                                sk_ir_2k(b, SK_OP_SHR, sk_ir_lane(b), 2));
    const sk_val order = sk_ir_2k(b, SK_OP_ADD, sk_ir_2k(b, SK_OP_MUL, two, 0x01010101u),
                                  0x0c040800u);
    const sk_val row = sk_ir_2(b, SK_OP_SHUFFLE, words(&f, 0), from);
    keep(&f, sk_ir_2(b, SK_OP_LUT16, row, order));
    expect(&f, "znver4", "vpermb|zmm", "vpshufb|vpermd");
    begin(&f, 8);
    const sk_val quad = sk_ir_2k(b, SK_OP_MUL, sk_ir_2k(b, SK_OP_SHR, sk_ir_lane(b), 2), 0x02020202u);
    const sk_val all = sk_ir_ldrows(b, SK_LD_U32, f.in, f.n, 0, 4);
    const sk_val pairs = sk_ir_2(b, SK_OP_LUT16, all, sk_ir_2k(b, SK_OP_ADD, quad, 0x09080100u));
    const sk_val by = sk_ir_2k(b, SK_OP_SHL, sk_ir_2k(b, SK_OP_AND, sk_ir_lane(b), 3), 2);
    keep(&f, sk_ir_2k(b, SK_OP_AND, sk_ir_2(b, SK_OP_SHR, pairs, by), 0x000f000fu));
    expect(&f, "znver3", "vpshufb|vpsrlvd|vpand", "vpinsr|vpextr|call");
}

/* ---- across lanes, shifts, conversions --------------------------------------------------- */

static void shuffles_are_permutes(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    const sk_val index = words(&f, 256);
    keep(&f, sk_ir_2(&f.b, SK_OP_SHUFFLE, floats(&f, 0), index));
    keep(&f, sk_ir_2(&f.b, SK_OP_SHUFFLE, words(&f, 32), index));
    expect(&f, "znver3", "vperm", "vpextrd|vpand");
    begin(&f, 16);
    keep(&f, sk_ir_2(&f.b, SK_OP_SHUFFLE, floats(&f, 0), words(&f, 256)));
    expect(&f, "znver3", "vperm|vblendvps", "vpextrd|vpcmp");
    begin(&f, 8);
    const sk_val swap = sk_ir_2(&f.b, SK_OP_XOR, sk_ir_lane(&f.b), sk_ir_u32(&f.b, 1));
    keep(&f, sk_ir_2(&f.b, SK_OP_SHUFFLE, floats(&f, 0), swap));
    expect(&f, "znver3", "$177,", "vpermps|vpermd"); /* one shuffle by constant */
}

static void shifts_need_no_select(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    keep(&f, sk_ir_2(&f.b, SK_OP_SHR, words(&f, 0), words(&f, 32)));
    keep(&f, sk_ir_2(&f.b, SK_OP_SHL, words(&f, 0), words(&f, 64)));
    keep(&f, sk_ir_2(&f.b, SK_OP_SHR, words(&f, 0), sk_ir_u32(&f.b, 4)));
    expect(&f, "znver3", "vpsrlvd|vpsllvd|vpsrld $4", "vpcmp|vblend|vpand|vpmin");
}

static void min_max_and_conversions_are_one_instruction(void **state)
{
    (void)state;
    frame f;
    begin(&f, 8);
    keep(&f, sk_ir_2(&f.b, SK_OP_FMIN, floats(&f, 0), floats(&f, 32)));
    keep(&f, sk_ir_2(&f.b, SK_OP_FMAX, floats(&f, 0), floats(&f, 32)));
    keep(&f, sk_ir_1(&f.b, SK_OP_F2I, floats(&f, 64)));
    keep(&f, sk_ir_1(&f.b, SK_OP_I2F, words(&f, 96)));
    keep(&f, sk_ir_1(&f.b, SK_OP_FRINT, floats(&f, 128)));
    expect(&f, "znver3", "vminps|vmaxps|vcvtps2dq|vcvtdq2ps|vroundps $4", "vcmp|vblend");
}

static void exp2_is_a_polynomial(void **state)
{
    (void)state;
    for (uint32_t fast = 0; fast < 2; fast++) {
        frame f;
        begin(&f, 8);
        keep(&f, sk_ir_exp2(&f.b, floats(&f, 0), fast));
        char *text = assemble(&f, "znver3");
        assert_int_equal(count(text, "vfmadd"), fast ? 3 : 5);
        assert_int_equal(count(text, "call"), 0);
        sk_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_widen_from_memory),
        cmocka_unit_test(uniform_loads_broadcast),
        cmocka_unit_test(stores_past_caches_end_with_a_fence),
        cmocka_unit_test(fma_takes_memory),
        cmocka_unit_test(rows_are_scalar_addressing),
        cmocka_unit_test(gathers_with_lane_offsets_are_scalar),
        cmocka_unit_test(byte_lookups_are_one_instruction),
        cmocka_unit_test(packed_ops_are_one_instruction),
        cmocka_unit_test(byte_tables_are_one_instruction),
        cmocka_unit_test(narrow_byte_tables_are_few_instructions),
        cmocka_unit_test(byte_products_of_lesser_cpus),
        cmocka_unit_test(constant_picks_are_a_few_shuffles),
        cmocka_unit_test(integer_keys_are_unpacked_in_few_instructions),
        cmocka_unit_test(shuffles_are_permutes),
        cmocka_unit_test(shifts_need_no_select),
        cmocka_unit_test(min_max_and_conversions_are_one_instruction),
        cmocka_unit_test(exp2_is_a_polynomial),
    };
    sk_err err = {0};
    sk_jit_init(&jit, true);
    if (sk_jit_get(&jit, &api, &err) != SPHKV_OK)
        return sk_test_skip(err.message);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sk_jit_close(&jit);
    return failed;
}
