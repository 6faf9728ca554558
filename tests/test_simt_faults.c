/* test_simt_faults.c - what the harness has to notice, each in a few lines of CUDA
 * written for it: a fault is a result with a message that names it, and the next
 * run is a good one again. */
#include "sk_test.h"

#include "simt.h"

#define WORDS 256u

typedef struct fault_row {
    const char *name, *body;
    const char *message; /* a part of it; NULL: no fault */
    uint32_t warps, shared;
} fault_row;

static const fault_row rows[] = {
    {"store and load", "st_u32(out + 4 * lane, ld_u32(in + 4 * lane));", NULL, 1, 0},
    {"through scratch, with a __syncwarp",
     "st_u32(s + 4 * lane, lane);\n__syncwarp();\nst_u32(out + 4 * lane, ld_u32(s + 4 * (lane ^ "
     "1)));",
     NULL, 1, 128},
    {"through scratch, without",
     "st_u32(s + 4 * lane, lane);\nst_u32(out + 4 * lane, ld_u32(s + 4 * (lane ^ 1)));", "shared+",
     1, 128},
    {"a shuffle orders nothing",
     "st_u32(s + 4 * lane, lane);\nshfl_u32(lane, 0);\nld_u32(s + 4 * (lane ^ 1));",
     "with no __syncwarp between", 1, 128},
    {"overwritten too early",
     "st_u32(s + 4 * lane, lane);\n__syncwarp();\nld_u32(s + 4 * (lane ^ 1));\nst_u32(s + 4 * "
     "lane, 7);",
     "with no __syncwarp between", 1, 128},
    {"two lanes store to one word", "st_u32(out, lane);", "writes out+0, which lane", 1, 0},
    {"between warps, with a barrier",
     "st_u32(s + 4 * self, self);\n__syncthreads();\nst_u32(out + 4 * self, ld_u32(s + 4 * (self ^ "
     "32)));",
     NULL, 2, 256},
    {"between warps, with a __syncwarp",
     "st_u32(s + 4 * self, self);\n__syncwarp();\nst_u32(out + 4 * self, ld_u32(s + 4 * (self ^ "
     "32)));",
     "shared+", 2, 256},
    {"overwritten before a barrier",
     "st_u32(s + 4 * self, self);\n__syncthreads();\nld_u32(s + 4 * (self ^ 32));\n__syncwarp();\n"
     "st_u32(s + 4 * self, 1);",
     "with no barrier between", 2, 256},
    {"never written", "st_u32(out + 4 * lane, ld_u32(s + 4 * lane));", "which nobody has written",
     1, 128},
    {"behind the scratch", "st_u32(s + 4 * lane + 4, lane);", "shared+128, which has 128 bytes", 1,
     128},
    {"before the scratch", "st_u32(s + 4 * lane - 4, lane);", "shared-4, which has 128 bytes", 1,
     128},
    {"behind a buffer", "ld_u32(in + 4 * lane + 4 * 240);", "in no buffer", 1, 0},
    {"far away", "ld_u32((const u8 *)0 + 4096);", "in no buffer", 1, 0},
    {"past the vocabulary", "*(volatile u32 *)(u64)64 = 1;", "where there is no memory", 1, 0},
    {"not aligned", "ld_u16(in + 1);", "in+1, which is not aligned", 1, 0},
    {"a quad not aligned", "ld_quad(in + 8 * lane);", "not aligned", 1, 0},
    {"read-only", "st_u32((u8 *)in + 4 * lane, lane);", "which is read-only", 1, 0},
    {"lanes part at a shuffle", "if (lane != 5)\nshfl_u32(lane, 0);", "but lane", 1, 0},
    {"lanes part for good", "if (lane == 5)\nreturn;\n__syncwarp();", "the kernel", 1, 0},
    {"lanes meet at two places", "if (lane < 9)\n__syncwarp();\nelse\n__syncwarp();", "but lane", 1,
     0},
    {"lanes meet in two ways", "if (lane < 9)\nwarp_any(1);\nelse\n__syncwarp();", "but lane", 1,
     0},
    {"a warp comes to no barrier", "if (self < 32)\n__syncthreads();", "barrier", 2, 0},
    {"a warp comes to one barrier less", "__syncthreads();\nif (self >= 32)\n__syncthreads();",
     "barrier", 3, 0},
    {"a stack that is too small", "volatile u8 a[1 << 20];\na[0] = a[(1 << 20) - 1];", "stack", 1,
     0},
    {"never ends", "for (;;)\nld_u32(in);", "never ends", 1, 0},
    {"a copy",
     "cp_async(s + 16 * lane, in + 16 * lane);\ncp_async_commit();\ncp_async_wait(0);\n"
     "st_u32(out + 4 * lane, ld_u32(s + 4 * (31 - lane)));",
     NULL, 1, 512},
    {"a copy not waited for",
     "cp_async(s + 16 * lane, in + 16 * lane);\ncp_async_commit();\nld_u32(s + 16 * lane);\n"
     "cp_async_wait(0);",
     "a copy is under way", 1, 512},
    {"a copy not committed",
     "cp_async(s + 16 * lane, in + 16 * lane);\ncp_async_wait(0);\nld_u32(s + 16 * lane);",
     "a copy is under way", 1, 512},
    {"a copy waited for too late",
     "cp_async(s + 16 * lane, in + 16 * lane);\ncp_async_commit();\ncp_async_wait(1);\n"
     "ld_u32(s + 16 * lane);",
     "a copy is under way", 1, 512},
    {"a copy onto what is read",
     "st_u32(s + 4 * lane, 1);\n__syncwarp();\nld_u32(s + 4 * (lane ^ 4));\n"
     "cp_async(s + 16 * lane, in + 16 * lane);\ncp_async_commit();\ncp_async_wait(0);",
     "with no __syncwarp between", 1, 512},
    {"a copy left behind", "cp_async(s + 16 * lane, in + 16 * lane);\ncp_async_commit();",
     "leaves the kernel with a copy", 1, 512},
    {"a copy whose source changes",
     "cp_async(s, out + 16 * lane);\ncp_async_commit();\nst_u32(out + 16 * lane, "
     "1);\ncp_async_wait(0);",
     "", 1, 512},
};

static _Alignas(64) uint32_t in[WORDS], out[WORDS];

static sk_param params[] = {{.name = "out", .kind = SK_PARAM_PTR, .writable = true},
                            {.name = "in", .kind = SK_PARAM_PTR},
                            {.name = "n", .kind = SK_PARAM_U32},
                            {.name = "x", .kind = SK_PARAM_F32}};

static void stub(const fault_row *row, uint32_t i, sk_arena *arena, sk_simt_unit *unit)
{
    sk_text text = {0};
    sk_program *const p = sk_arena_alloc(arena, sizeof *p);
    const sk_program **const list = sk_arena_alloc(arena, sizeof *list);
    sk_text_printf(&text, "fault_%u", i);
    *p = (sk_program){.symbol = sk_arena_strdup(arena, text.s), .w = 32, .warps = row->warps,
                      .shared_bytes = row->shared, .nparams = SK_COUNT(params), .param = params};
    text.len = 0;
    sk_text_printf(
        &text,
        "EXTERN_C __global__ void __launch_bounds__(%u)\n"
        "%s(u8 *__restrict__ out, const u8 *__restrict__ in, u32 n, float x)\n{\n"
        "SCRATCH(s);\nconst u32 lane = lane_index(), self = lane + 32 * warp_index();\n%s\n}\n",
        32 * row->warps, p->symbol, row->body);
    assert_false(text.failed);
    *list = p;
    *unit = (sk_simt_unit){.text = sk_arena_strdup(arena, text.s), .n = 1, .program = list};
    sk_text_free(&text);
}

static sk_status run(const sk_simt_module *module, const sk_simt_unit *unit, uint32_t i,
                     uint64_t seed, sk_err *err)
{
    const float x = -1.5f;
    uint64_t slot[4] = {(uintptr_t)out, (uintptr_t)in, 7, 0};
    const size_t bytes[4] = {sizeof out, sizeof in, 0, 0};
    memcpy(&slot[3], &x, sizeof x);
    const sk_simt_launch launch = {.module = module, .unit = i, .program = unit->program[0],
                                   .slot = slot, .bytes = bytes, .grid = {1, 1, 1}, .seed = seed,
                                   .yields = SK_SIMT_YIELDS, .most_accesses = 1 << 20};
    return sk_simt_run(&launch, err);
}

/* Every row under many orders: what is reported does not depend on them. */
static void every_fault_is_seen(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(1);
    sk_simt_unit unit[SK_COUNT(rows)];
    sk_simt_module *module = NULL;
    sk_arena arena = {0};
    sk_err err = {0};
    for (uint32_t i = 0; i < SK_COUNT(rows); i++)
        stub(&rows[i], i, &arena, &unit[i]);
    sk_assert_ok(sk_simt_compile(unit, SK_COUNT(rows), &module, &err), &err);
    for (uint32_t i = 0; i < SK_COUNT(rows); i++)
        for (uint32_t k = 0; k < 20; k++) {
            const sk_status st = run(module, &unit[i], i, seed + k, &err);
            if (!rows[i].message && st != SPHKV_OK)
                fail_msg("%s, seed %u: %s", rows[i].name, k, err.message);
            else if (rows[i].message &&
                     (st != SPHKV_EVERIFY || !strstr(err.message, rows[i].message)))
                fail_msg("%s, seed %u: status %d: %s", rows[i].name, k, (int)st, err.message);
            else if (rows[i].message && k == 0)
                print_message("%s: %s\n", rows[i].name, err.message);
        }
    sk_simt_free(module);
    sk_arena_free(&arena);
}

/* What is not C is a result, too, and says what the compiler says. */
static void a_text_may_be_wrong(void **state)
{
    (void)state;
    static const fault_row wrong = {.name = "wrong", .body = "no_such_word(lane);", .warps = 1};
    sk_simt_unit unit;
    sk_simt_module *module = NULL;
    sk_arena arena = {0};
    sk_err err = {0};
    stub(&wrong, 0, &arena, &unit);
    assert_int_equal(sk_simt_compile(&unit, 1, &module, &err), SPHKV_ECOMPILE);
    assert_non_null(strstr(err.message, "no_such_word"));
    assert_null(module);
    sk_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_fault_is_seen),
                                       cmocka_unit_test(a_text_may_be_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
