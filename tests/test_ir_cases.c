/* test_ir_cases.c - the per-op programs themselves: every one is accepted and
 * runs cleanly in every W, every op of the IR is in one, and what they compute
 * does not depend on the width where the op does not. The compiled back ends
 * run the same programs and compare with what the interpreter says here. */
#include "sk_test.h"

#include "op_cases.h"

static _Alignas(64) uint32_t in[SK_OP_IN_WORDS], out[SK_OP_OUT_WORDS], again[SK_OP_OUT_WORDS];

static void every_case_runs(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(1);
    for (uint32_t w = 4; w <= 32; w *= 2)
        for (uint32_t i = 0; i < sk_op_case_count(); i++) {
            if (!sk_op_case_fits(i, w))
                continue;
            sk_arena arena = {0};
            sk_program *program = NULL;
            sk_err err = {0};
            uint32_t where = 0;
            if (sk_op_case_build(i, w, &arena, &program, &err) != SPHKV_OK)
                fail_msg("%s, W %u: %s", sk_op_case_name(i), w, err.message);
            sk_op_case_fill(i, w, seed, in);
            if (sk_op_case_interpret(i, program, in, out, &err) != SPHKV_OK)
                fail_msg("%s, W %u: %s", sk_op_case_name(i), w, err.message);
            sk_assert_ok(sk_op_case_interpret(i, program, in, again, &err), &err);
            if (!sk_op_case_compare(i, out, again, &where))
                fail_msg("%s, W %u: word %u differs on the second run", sk_op_case_name(i), w,
                         where);
            uint32_t stored = 0;
            for (uint32_t k = 0; k < SK_OP_OUT_WORDS; k++)
                stored += out[k] != SK_OP_POISON;
            if (stored < 4)
                fail_msg("%s, W %u: stores only %u words", sk_op_case_name(i), w, stored);
            sk_arena_free(&arena);
        }
}

static void every_op_has_a_case(void **state)
{
    (void)state;
    bool seen[SK_OP_COUNT] = {false};
    for (uint32_t i = 0; i < sk_op_case_count(); i++) {
        sk_arena arena = {0};
        sk_program *program = NULL;
        sk_err err = {0};
        sk_assert_ok(sk_op_case_build(i, sk_op_case_fits(i, 8) ? 8 : 32, &arena, &program, &err), &err);
        sk_op_case_ops(program, seen);
        sk_arena_free(&arena);
    }
    for (uint32_t op = 0; op < SK_OP_COUNT; op++)
        if (!seen[op])
            fail_msg("no case for %s", sk_op_get(op)->text);
}

static void a_wrong_word_is_seen(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < sk_op_case_count(); i++) {
        sk_arena arena = {0};
        sk_program *program = NULL;
        sk_err err = {0};
        uint32_t where = 0, k = 0;
        const uint32_t w = sk_op_case_fits(i, 16) ? 16 : 32;
        sk_assert_ok(sk_op_case_build(i, w, &arena, &program, &err), &err);
        sk_op_case_fill(i, w, 1, in);
        sk_assert_ok(sk_op_case_interpret(i, program, in, out, &err), &err);
        memcpy(again, out, sizeof out);
        while (k + 1 < SK_OP_OUT_WORDS && out[k] == SK_OP_POISON)
            k++;
        again[k] ^= 0x80000000u;
        if (out[k] != 0 && (out[k] & 0x7f800000u) != 0x7f800000u
            && sk_op_case_compare(i, out, again, &where))
            fail_msg("%s: a flipped sign of word %u passes", sk_op_case_name(i), k);
        again[k] = SK_OP_POISON;
        if (sk_op_case_compare(i, out, again, &where))
            fail_msg("%s: an unwritten word %u passes", sk_op_case_name(i), k);
        assert_int_equal(where, k);
        sk_arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_runs),
        cmocka_unit_test(every_op_has_a_case),
        cmocka_unit_test(a_wrong_word_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
