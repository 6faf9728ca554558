/* test_kernel_probs.c - forms of probabilities on their own: that packing puts tokens
 * in order and sums what was packed, and that 8 bits straight from logits are as near
 * as they say. */
#include "sk_test.h"

#include <math.h>
#include <string.h>

#include "part_probs.h"

#define SPEC "attn_decode d64 v64 h1 p64 l1 qf32 of32 if32 fast kf16:vi8"
#define TOKENS 64u

typedef struct bench {
    sk_arena mem;
    sk_spec spec;
    sk_schedule sched;
    sk_builder b;
    sk_dec c;
    sk_val in, out, total;
} bench;

static void begin(bench *t, uint32_t w)
{
    memset(t, 0, sizeof *t);
    assert_int_equal(sk_spec_parse(SPEC, &t->spec, NULL), SPHKV_OK);
    t->sched.v[SK_T_w] = (int32_t)w;
    sk_ir_begin(&t->b, &t->mem, "probs", w, 1);
    sk_dec_init(&t->c, &t->b, &t->spec, &t->sched);
    t->in = sk_ir_param_ptr(&t->b, "in", false);
    t->out = sk_ir_param_ptr(&t->b, "out", true);
    t->total = sk_ir_param_ptr(&t->b, "total", true);
    t->c.zero = sk_ir_u32(&t->b, 0);
    t->c.lane = sk_ir_lane(&t->b);
}

/* x: numbers or logits of all tokens; row and sum of what the program stores. */
static void run(bench *t, const uint32_t *x, void *row, float *sum)
{
    sk_program *program = NULL;
    sk_err err = {0};
    sk_assert_ok(sk_ir_finish(&t->b, &program, &err), &err);
    const sk_interp_buffer buffer[3] = {{.data = (void *)(uintptr_t)x, .bytes = TOKENS * 4},
                                        {.data = row, .bytes = TOKENS * 4},
                                        {.data = sum, .bytes = 4}};
    const sk_interp_args args = {.buffer = buffer, .grid = {1, 1, 1}};
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
    sk_arena_free(&t->mem);
}

static void loads(bench *t, sk_ld_kind kind, uint32_t n, sk_val t0, sk_val *p)
{
    for (uint32_t u = 0; u < n; u++)
        p[u] = sk_ir_ldv(&t->b, kind, t->in, sk_mul(&t->c, t0, 4), u * t->c.w * 4);
}

/* Packs all tokens in a form. */
static void pack(bench *t, sk_probs form, const uint32_t *x, void *row, float *sum)
{
    sk_val p[4], all[2];
    const uint32_t n = sk_probs_vectors(form);
    const sk_ld_kind kind = form == SK_PROBS_BF16 ? SK_LD_F32 : SK_LD_U32;
    sk_probs_sum_begin(&t->c, form, all);
    const sk_val t0 = sk_ir_for(&t->b, t->c.zero, sk_k(&t->c, TOKENS), n * t->c.w);
    loads(t, kind, n, t0, p);
    const sk_probs_packed packed = sk_probs_pack(&t->c, form, p);
    sk_probs_sum(&t->c, form, &packed, all);
    sk_probs_put(&t->c, form, &packed, t->out, t0, 0);
    sk_ir_end(&t->b);
    sk_ir_stu(&t->b, t->total, t->c.zero, 0, sk_probs_sum_end(&t->c, form, all));
    run(t, x, row, sum);
}

/* What token k is in a row; of u16 there is one row for each byte. */
static uint32_t token_of(sk_probs form, const uint8_t *row, uint32_t k)
{
    if (form == SK_PROBS_U8 || form == SK_PROBS_U7) return row[k];
    if (form == SK_PROBS_U16) return (uint32_t)row[k] << 8 | row[TOKENS + k];
    return (uint32_t)row[2 * k] | (uint32_t)row[2 * k + 1] << 8;
}

static void check_form(sk_probs form, uint32_t w, sk_rng *rng)
{
    uint32_t x[TOKENS], want[TOKENS];
    uint8_t row[TOKENS * 4] = {0};
    float sum = 0, expected = 0;
    bench t;
    for (uint32_t k = 0; k < TOKENS; k++) {
        x[k] = want[k] = sk_rng_below(rng, sk_probs_one(form) + 1);
        float f = (float)x[k];
        if (k % 5 == 3) { /* rounded up: stays 1, and is nobody else's */
            want[k] = sk_probs_one(form);
            f = (float)want[k];
            x[k] = want[k] + 1 + k % 2;
        }
        if (form == SK_PROBS_BF16) {
            f = (float)sk_rng_unit(rng);
            memcpy(&x[k], &f, 4);
            want[k] = x[k] >> 16;
            const uint32_t cut = x[k] & 0xffff0000u;
            memcpy(&f, &cut, 4);
        }
        expected += f;
    }
    begin(&t, w);
    pack(&t, form, x, row, &sum);
    for (uint32_t k = 0; k < TOKENS; k++) assert_int_equal(token_of(form, row, k), want[k]);
    assert_true(fabsf(sum - expected) <= 1e-5f * expected);
}

static void test_order(void **state)
{
    static const sk_probs forms[] = {SK_PROBS_I16, SK_PROBS_U8, SK_PROBS_U7, SK_PROBS_U16,
                                     SK_PROBS_BF16};
    sk_rng rng;
    (void)state;
    sk_rng_seed(&rng, sk_test_seed(20240611));
    for (uint32_t i = 0; i < SK_COUNT(forms); i++)
        for (uint32_t w = 4; w <= 16; w *= 2) check_form(forms[i], w, &rng);
}

/* Logits from the largest down, and what is no number. */
static void check_from_logits(sk_probs form, double relative)
{
    for (uint32_t n = 0; n < 200; n++) {
        float x[TOKENS], sum = 0;
        uint32_t bits[TOKENS];
        uint8_t row[TOKENS * 4] = {0};
        const float m = n % 3 ? (float)n * 7.3f - 500 : 0;
        for (uint32_t k = 0; k < TOKENS; k++) x[k] = m - (float)(k * 300 + n) / 1024;
        x[0] = m;
        x[TOKENS - 1] = n % 2 ? -INFINITY : n % 4 ? NAN : -1e30f;
        memcpy(bits, x, sizeof bits);
        bench t;
        begin(&t, 16);
        sk_val p[4];
        const sk_exps tables = sk_exps_begin(&t.c, form);
        loads(&t, SK_LD_F32, 4, t.c.zero, p);
        const sk_probs_packed packed = sk_exps_pack(&t.c, &tables, p, sk_ir_f32(&t.b, m));
        sk_probs_put(&t.c, form, &packed, t.out, t.c.zero, 0);
        sk_ir_stu(&t.b, t.total, t.c.zero, 0, sk_ir_f32(&t.b, 0.0f));
        run(&t, bits, row, &sum);
        assert_int_equal(token_of(form, row, TOKENS - 1), 0);
        for (uint32_t k = 0; k + 1 < TOKENS; k++) {
            const double want = sk_probs_one(form) * exp2((double)x[k] - (double)m);
            assert_true(fabs(token_of(form, row, k) - want) <= 0.501 + relative * want);
        }
    }
}

static void test_from_logits(void **state)
{
    (void)state;
    check_from_logits(SK_PROBS_U8, 0.008);
    check_from_logits(SK_PROBS_U16, 0.0003);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_from_logits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
