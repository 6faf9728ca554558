/* test_simt_sync.c - the harness sees a sync that is missing: programs in which each
 * one is needed lose them one at a time, and some order of lanes must then fail.
 * What is not taken away runs in every order, and gives what the interpreter
 * says. A wait for copies and the end of their group count as syncs. */
#include "sk_test.h"

#include "simt_case.h"

#define WORDS 2048u
#define SEEDS 60u  /* tries, each with an order of its own */
#define VARIANTS 64u

typedef struct sync_row {
    const char *name;
    void (*build)(sk_builder *b, sk_val out, sk_val in);
    uint32_t warps, blocks, syncs;
} sync_row;

static _Alignas(64) uint32_t in[WORDS], want[WORDS], got[WORDS];

static sk_val num(sk_builder *b, uint32_t x) { return sk_ir_u32(b, x); }

/* 4 * (lane ^ x) */
static sk_val other(sk_builder *b, uint32_t x)
{
    return sk_ir_2k(b, SK_OP_SHL, sk_ir_2k(b, SK_OP_XOR, sk_ir_lane(b), x), 2);
}

/* ---- one warp ------------------------------------------------------------------------ */

static void exchange(sk_builder *b, sk_val out, sk_val unused)
{
    const sk_val s = sk_ir_shared(b, 128);
    (void)unused;
    sk_ir_stv(b, s, num(b, 0), 0, sk_ir_lane(b));
    sk_ir_stv(b, out, num(b, 0), 0, sk_ir_ldg(b, SK_LD_U32, s, other(b, 5), 0, SK_NONE));
}

/* Overwritten in every turn: the first sync of a turn is for what was stored, the
 * second for what is still read. */
static void exchange_in_turns(sk_builder *b, sk_val out, sk_val unused)
{
    const sk_val s = sk_ir_shared(b, 128), sum = sk_ir_var(b, SK_LANE, sk_ir_lane(b));
    (void)unused;
    const sk_val i = sk_ir_for(b, num(b, 0), num(b, 5), 1);
    sk_ir_stv(b, s, num(b, 0), 0, sk_ir_2(b, SK_OP_MUL, sk_ir_get(b, sum), i));
    const sk_val x = sk_ir_ldg(b, SK_LD_U32, s, other(b, 1), 0, SK_NONE);
    sk_ir_set(b, sum, sk_ir_2(b, SK_OP_ADD, sk_ir_get(b, sum), sk_ir_2k(b, SK_OP_ADD, x, 3)));
    sk_ir_end(b);
    sk_ir_stv(b, out, num(b, 0), 0, sk_ir_get(b, sum));
}

/* The same through memory, in place. */
static void neighbours_in_memory(sk_builder *b, sk_val out, sk_val unused)
{
    (void)unused;
    sk_ir_stv(b, out, num(b, 0), 0, sk_ir_lane(b));
    const sk_val x = sk_ir_ldg(b, SK_LD_U32, out, other(b, 31), 0, SK_NONE);
    sk_ir_stv(b, out, num(b, 0), 0, sk_ir_2k(b, SK_OP_MUL, x, 77));
}

/* One lane stores, all read; then one lane stores what another has read. */
static void one_for_all(sk_builder *b, sk_val out, sk_val unused)
{
    const sk_val s = sk_ir_shared(b, 64);
    (void)unused;
    sk_ir_stu(b, s, num(b, 0), 4, num(b, 41));
    const sk_val x = sk_ir_ldu(b, SK_LD_U32, s, num(b, 0), 4);
    sk_ir_stu(b, s, num(b, 0), 4, sk_ir_2k(b, SK_OP_ADD, x, 1));
    const sk_val y = sk_ir_ldu(b, SK_LD_U32, s, num(b, 0), 4);
    sk_ir_stv(b, out, num(b, 0), 0, sk_ir_2(b, SK_OP_ADD, x, y));
}

/* ---- several warps --------------------------------------------------------------------- */

static void warps_exchange(sk_builder *b, sk_val out, sk_val unused)
{
    const sk_val s = sk_ir_shared(b, 384), warp = sk_ir_0(b, SK_OP_WARP, 0);
    const sk_val sum = sk_ir_var(b, SK_LANE, sk_ir_lane(b));
    (void)unused;
    const sk_val next = sk_ir_2k(b, SK_OP_UREM, sk_ir_2k(b, SK_OP_ADD, warp, 1), 3);
    const sk_val i = sk_ir_for(b, num(b, 0), num(b, 4), 1);
    sk_ir_stv(b, sk_ir_ptr_add(b, s, warp, 128), num(b, 0), 0,
              sk_ir_2(b, SK_OP_ADD, sk_ir_get(b, sum), i));
    sk_ir_barrier(b);
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, sk_ir_ptr_add(b, s, next, 128), num(b, 0), 0);
    sk_ir_set(b, sum, sk_ir_2(b, SK_OP_ADD, sk_ir_get(b, sum), sk_ir_2k(b, SK_OP_MUL, x, 3)));
    sk_ir_barrier(b);
    sk_ir_end(b);
    sk_ir_stv(b, sk_ir_ptr_add(b, out, warp, 128), num(b, 0), 0, sk_ir_get(b, sum));
}

/* One warp reduces what all have left. */
static void first_warp_sums(sk_builder *b, sk_val out, sk_val unused)
{
    const sk_val s = sk_ir_shared(b, 512), warp = sk_ir_0(b, SK_OP_WARP, 0);
    (void)unused;
    const sk_val own = sk_ir_2k(b, SK_OP_MUL, sk_ir_2k(b, SK_OP_ADD, warp, 1), 1000);
    sk_ir_stv(b, sk_ir_ptr_add(b, s, warp, 128), num(b, 0), 0,
              sk_ir_2(b, SK_OP_ADD, sk_ir_lane(b), own));
    sk_ir_barrier(b);
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, warp, num(b, 0)));
    sk_val sum = num(b, 0);
    for (uint32_t k = 0; k < 4; k++)
        sum = sk_ir_2(b, SK_OP_ADD, sum, sk_ir_ldv(b, SK_LD_U32, s, num(b, 128 * k), 0));
    sk_ir_stv(b, out, num(b, 0), 0, sum);
    sk_ir_end(b);
}

/* The last of the blocks reads what all warps of all blocks have left. */
static void last_block_sums(sk_builder *b, sk_val out, sk_val unused)
{
    const sk_val warp = sk_ir_0(b, SK_OP_WARP, 0), block = sk_ir_block(b, 0);
    const sk_val part = sk_ir_2(b, SK_OP_ADD, sk_ir_2k(b, SK_OP_MUL, block, 2), warp);
    (void)unused;
    sk_ir_stv(b, sk_ir_ptr_add(b, out, part, 128), num(b, 0), 256,
              sk_ir_2(b, SK_OP_ADD, sk_ir_lane(b), part));
    sk_ir_barrier(b);
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, warp, num(b, 0)));
    const sk_val old = sk_ir_atom_add(b, out, num(b, 0), 0, num(b, 1));
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, old, num(b, 5)));
    sk_val sum = num(b, 0);
    for (uint32_t k = 0; k < 12; k++)
        sum = sk_ir_2(b, SK_OP_ADD, sum, sk_ir_ldv(b, SK_LD_U32, out, num(b, 256 + 128 * k), 0));
    sk_ir_stv(b, out, num(b, 4096), 0, sum);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* ---- copies ------------------------------------------------------------------------------ */

/* Two stages: what is copied next overwrites what was read a turn before. */
static void copies_in_stages(sk_builder *b, sk_val out, sk_val from)
{
    const sk_val s = sk_ir_shared(b, 1024), sum = sk_ir_var(b, SK_LANE, num(b, 0));
    const sk_val own = sk_ir_2k(b, SK_OP_SHL, sk_ir_lane(b), 4);
    sk_ir_cp_async(b, s, own, 0, from, own, 0, SK_NONE);
    sk_ir_cp_commit(b);
    const sk_val i = sk_ir_for(b, num(b, 0), num(b, 6), 1);
    const sk_val turn = sk_ir_2k(b, SK_OP_AND, i, 1), next = sk_ir_2k(b, SK_OP_XOR, turn, 1);
    const sk_val source = sk_ir_2(b, SK_OP_ADD, own, sk_ir_2k(b, SK_OP_MUL, i, 512));
    sk_ir_cp_async(b, sk_ir_ptr_add(b, s, next, 512), own, 0, from, source, 512, SK_NONE);
    sk_ir_cp_commit(b);
    sk_ir_cp_wait(b, 1);
    const sk_val x =
        sk_ir_ldg(b, SK_LD_U32, sk_ir_ptr_add(b, s, turn, 512), other(b, 17), 0, SK_NONE);
    sk_ir_set(b, sum, sk_ir_2(b, SK_OP_ADD, sk_ir_2k(b, SK_OP_MUL, sk_ir_get(b, sum), 3), x));
    sk_ir_end(b);
    sk_ir_cp_wait(b, 0);
    sk_ir_stv(b, out, num(b, 0), 0, sk_ir_get(b, sum));
}

/* ---- the test ------------------------------------------------------------------------------- */

static const sync_row rows[] = {
    {"exchange", exchange, 1, 1, 1},
    {"exchange in turns", exchange_in_turns, 1, 1, 2},
    {"neighbours in memory", neighbours_in_memory, 1, 1, 2},
    {"one for all", one_for_all, 1, 1, 3},
    {"warps exchange", warps_exchange, 3, 1, 2},
    {"first warp sums", first_warp_sums, 4, 1, 1},
    {"last block sums", last_block_sums, 2, 6, 1},
    {"copies in stages", copies_in_stages, 1, 1, 5},
};

static sk_program *build(const sync_row *row, sk_arena *arena)
{
    sk_builder b;
    sk_program *program = NULL;
    sk_err err = {0};
    sk_ir_begin(&b, arena, "sync", 32, row->warps);
    const sk_val out = sk_ir_param_ptr(&b, "out", true), from = sk_ir_param_ptr(&b, "in", false);
    row->build(&b, out, from);
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    return program;
}

static void interpret(const sync_row *row, const sk_program *program)
{
    sk_err err = {0};
    const sk_interp_buffer buffer[2] = {{.data = want, .bytes = sizeof want},
                                        {.data = in, .bytes = sizeof in}};
    const sk_interp_args args = {.buffer = buffer, .grid = {row->blocks, 1, 1}};
    memset(want, 0, sizeof want);
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
}

/* The text without its which-th sync; NULL when it has no more. */
static const char *without(const char *text, uint32_t which, sk_arena *arena)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        const bool commit = strncmp(line + strspn(line, " "), "cp_async_commit(", 16) == 0;
        if ((!commit && !simt_is_sync(line)) || which--)
            continue;
        char *const copy = sk_arena_strdup(arena, text);
        memmove(copy + (line - text), line + strcspn(line, "\n"),
                strlen(line + strcspn(line, "\n")) + 1);
        return copy;
    }
    return NULL;
}

/* Runs a variant in one order: whether it gave what the interpreter says. */
static bool runs(const sk_simt_module *module, uint32_t unit, const sync_row *row,
                 const sk_program *program, uint64_t seed, sk_err *err)
{
    const uint64_t slot[2] = {(uintptr_t)got, (uintptr_t)in};
    const size_t bytes[2] = {sizeof got, sizeof in};
    const sk_simt_launch launch = {.module = module, .unit = unit, .program = program,
                                   .slot = slot, .bytes = bytes, .grid = {row->blocks, 1, 1},
                                   .seed = seed, .yields = SK_SIMT_YIELDS};
    memset(got, 0, sizeof got);
    if (sk_simt_run(&launch, err) != SPHKV_OK)
        return false;
    if (memcmp(got, want, sizeof got) != 0)
        (void)sk_fail(err, SPHKV_EVERIFY, "another result");
    return memcmp(got, want, sizeof got) == 0;
}

static void check_row(const sync_row *row, uint64_t seed)
{
    sk_arena arena = {0};
    sk_err err = {0};
    sk_simt_module *module = NULL;
    sk_simt_unit unit[VARIANTS];
    uint32_t n = 1;
    const sk_program *const program = build(row, &arena);
    unit[0] = simt_unit(&program, 1, &arena);
    for (; n < VARIANTS; n++) {
        unit[n] = unit[0];
        unit[n].text = without(unit[0].text, n - 1, &arena);
        if (!unit[n].text)
            break;
    }
    if (n - 1 != row->syncs)
        fail_msg("%s: %u syncs, not %u:\n%s", row->name, n - 1, row->syncs, unit[0].text);
    sk_assert_ok(sk_simt_compile(unit, n, &module, &err), &err);
    interpret(row, program);
    for (uint32_t k = 0; k < SEEDS; k++)
        if (!runs(module, 0, row, program, seed + k, &err))
            fail_msg("%s, seed %llu: %s", row->name, (unsigned long long)seed + k, err.message);
    for (uint32_t i = 1; i < n; i++) {
        uint32_t k = 0;
        while (k < SEEDS && runs(module, i, row, program, seed + k, &err))
            k++;
        if (k == SEEDS)
            fail_msg("%s: nobody misses sync %u in %u orders:\n%s", row->name, i, SEEDS,
                     unit[i].text);
        print_message("%s, without sync %u, order %u: %s\n", row->name, i, k, err.message);
    }
    sk_simt_free(module);
    sk_arena_free(&arena);
}

static void every_sync_is_missed(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(1);
    for (uint32_t k = 0; k < WORDS; k++)
        in[k] = k * 2654435761u;
    for (uint32_t i = 0; i < SK_COUNT(rows); i++)
        check_row(&rows[i], seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_sync_is_missed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
