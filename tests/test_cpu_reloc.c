/* test_cpu_reloc.c - relocations of both machines, on any of them: against words
 * that an assembler made, and what does not fit. */
#include "sk_test.h"

#include <elf.h>

#include "object_reloc.h"

typedef struct sample {
    uint32_t type, before, after; /* the instruction without and with its target */
    uint64_t place, value;
} sample;

#define BASE 0x7f0012340000ull

static void aarch64_words_are_those_of_an_assembler(void **state)
{
    (void)state;
    static const sample samples[] = {
        {R_AARCH64_ADR_PREL_PG_HI21, 0x90000000, 0xb0091a20, BASE + 0x8, BASE + 0x12345678},
        {R_AARCH64_ADR_PREL_PG_HI21, 0xb0091a20, 0x90000000, BASE + 0x8, BASE + 0xff8},
        {R_AARCH64_ADR_PREL_PG_HI21, 0x90000000, 0xf0ffffe0, BASE + 0x8, BASE - 1},
        {R_AARCH64_ADD_ABS_LO12_NC, 0x91000000, 0x9119e000, BASE, BASE + 0x12345678},
        {R_AARCH64_LDST8_ABS_LO12_NC, 0x39400001, 0x3959e001, BASE, BASE + 0x678},
        {R_AARCH64_LDST16_ABS_LO12_NC, 0x79400001, 0x794cf001, BASE, BASE + 0x678},
        {R_AARCH64_LDST32_ABS_LO12_NC, 0xb9400001, 0xb9467801, BASE, BASE + 0x678},
        {R_AARCH64_LDST64_ABS_LO12_NC, 0xf9400001, 0xf9433c01, BASE, BASE + 0x678},
        {R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc00000, 0x3dc19c00, BASE, BASE + 0x670},
        {R_AARCH64_CALL26, 0x94000000, 0x94000400, BASE + 0x10, BASE + 0x1010},
        {R_AARCH64_JUMP26, 0x14000000, 0x17ffffff, BASE + 0x10, BASE + 0xc},
    };
    for (size_t i = 0; i < SK_COUNT(samples); i++) {
        const sample *s = &samples[i];
        uint8_t at[4];
        memcpy(at, &s->before, 4);
        assert_int_equal(sk_reloc_width(EM_AARCH64, s->type), 4);
        assert_true(sk_reloc_apply(EM_AARCH64, s->type, at, s->place, s->value));
        uint32_t after;
        memcpy(&after, at, 4);
        assert_int_equal(after, s->after);
    }
}

static void what_does_not_fit_is_left_alone(void **state)
{
    (void)state;
    static const struct {
        uint32_t machine, type;
        uint64_t place, value;
    } wrong[] = {
        {EM_AARCH64, R_AARCH64_ADR_PREL_PG_HI21, BASE, BASE + (1ull << 32)},
        {EM_AARCH64, R_AARCH64_CALL26, BASE, BASE + (1ull << 27)},
        {EM_AARCH64, R_AARCH64_CALL26, BASE, BASE + 2},
        {EM_AARCH64, R_AARCH64_LDST128_ABS_LO12_NC, BASE, BASE + 8},
        {EM_AARCH64, R_AARCH64_PREL32, BASE, BASE + (1ull << 31)},
        {EM_X86_64, R_X86_64_PC32, BASE, BASE + (1ull << 31)},
        {EM_X86_64, R_X86_64_32, BASE, BASE},
        {EM_X86_64, R_X86_64_32S, BASE, 1ull << 31},
    };
    for (size_t i = 0; i < SK_COUNT(wrong); i++) {
        const uint8_t before[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        uint8_t at[8];
        memcpy(at, before, 8);
        assert_false(sk_reloc_apply(wrong[i].machine, wrong[i].type, at, wrong[i].place,
                                    wrong[i].value));
        assert_memory_equal(at, before, 8);
    }
}

static void whole_words(void **state)
{
    (void)state;
    uint64_t at = 0;
    assert_true(sk_reloc_apply(EM_X86_64, R_X86_64_PC32, (uint8_t *)&at, BASE, BASE - 4));
    assert_true(at == 0xfffffffcu);
    assert_true(sk_reloc_apply(EM_X86_64, R_X86_64_64, (uint8_t *)&at, BASE, BASE + 1));
    assert_true(at == BASE + 1);
    assert_true(sk_reloc_apply(EM_AARCH64, R_AARCH64_ABS64, (uint8_t *)&at, 0, BASE));
    assert_true(at == BASE);
    assert_int_equal(sk_reloc_width(EM_X86_64, R_X86_64_64), 8);
    assert_int_equal(sk_reloc_width(EM_X86_64, R_X86_64_NONE), 0);
    assert_int_equal(sk_reloc_width(EM_X86_64, R_X86_64_GOTPCREL), SK_RELOC_UNKNOWN);
    assert_int_equal(sk_reloc_width(EM_AARCH64, R_AARCH64_NONE), 0);
    assert_int_equal(sk_reloc_width(EM_AARCH64, R_AARCH64_TLSGD_ADR_PAGE21), SK_RELOC_UNKNOWN);
    assert_int_equal(sk_reloc_width(EM_386, 1), SK_RELOC_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aarch64_words_are_those_of_an_assembler),
        cmocka_unit_test(what_does_not_fit_is_left_alone),
        cmocka_unit_test(whole_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
