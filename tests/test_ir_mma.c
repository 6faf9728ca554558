/* test_ir_mma.c - the matrix product on fragments against a plain one of whole
 * matrices. Fragments are laid out here from the matrix's side (where does
 * element (row, column) go), the way PTX draws them for mma.m16n8k16. */
#include "sk_test.h"

#include <math.h>

#include "ir.h"

#define K 16u /* inner dimension */

/* Words of a (4 vectors), b (2), c (4), each of 32 lanes; then the result. */
static _Alignas(64) uint32_t in[10 * 32], out[4 * 32];

/* a is 16 x 16, b 16 x 8, c 16 x 8. */
typedef struct matrices {
    float a[16][K], b[K][8], c[16][8];
} matrices;

static uint32_t float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static uint32_t narrow(float x, bool bf16) { return bf16 ? sk_f32_to_bf16(x) : sk_f32_to_f16(x); }
static float rounded(float x, bool bf16)
{
    return bf16 ? sk_bf16_to_f32(sk_f32_to_bf16(x)) : sk_f16_to_f32(sk_f32_to_f16(x));
}

static void lay_out(const matrices *m, bool bf16)
{
    memset(in, 0, sizeof in);
    for (uint32_t r = 0; r < 16; r++)
        for (uint32_t k = 0; k < K; k++) {
            const uint32_t lane = (r & 7) * 4 + (k & 7) / 2, word = r / 8 + 2 * (k / 8);
            in[word * 32 + lane] |= narrow(m->a[r][k], bf16) << 16 * (k & 1);
        }
    for (uint32_t k = 0; k < K; k++)
        for (uint32_t n = 0; n < 8; n++) {
            const uint32_t lane = n * 4 + (k & 7) / 2, word = 4 + k / 8;
            in[word * 32 + lane] |= narrow(m->b[k][n], bf16) << 16 * (k & 1);
        }
    for (uint32_t r = 0; r < 16; r++)
        for (uint32_t n = 0; n < 8; n++)
            in[(6 + (n & 1) + 2 * (r / 8)) * 32 + (r & 7) * 4 + n / 2] = float_bits(m->c[r][n]);
}

static float result(uint32_t r, uint32_t n)
{
    float x;
    memcpy(&x, &out[((n & 1) + 2 * (r / 8)) * 32 + (r & 7) * 4 + n / 2], sizeof x);
    return x;
}

/* d = a b + c; with `uniform` every fragment holds lane 0's words everywhere. */
static void run(bool bf16, bool uniform)
{
    sk_arena arena = {0};
    sk_builder b;
    sk_program *program = NULL;
    sk_err err = {0};
    sk_val x[10];
    sk_ir_begin(&b, &arena, "product", 32, 1);
    const sk_val from = sk_ir_param_ptr(&b, "in", false), to = sk_ir_param_ptr(&b, "out", true);
    const sk_val zero = sk_ir_u32(&b, 0);
    for (uint32_t k = 0; k < 10; k++)
        x[k] = uniform ? sk_ir_ldu(&b, SK_LD_U32, from, zero, 128 * k)
                       : sk_ir_ldv(&b, SK_LD_U32, from, zero, 128 * k);
    const sk_val qa = sk_ir_quad(&b, x[0], x[1], x[2], x[3]);
    const sk_val qc = sk_ir_quad(&b, x[6], x[7], x[8], x[9]);
    const sk_val d = sk_ir_mma(&b, qa, x[4], x[5], qc, bf16);
    for (uint32_t k = 0; k < 4; k++)
        sk_ir_stv(&b, to, zero, 128 * k, sk_ir_word(&b, d, k));
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    const sk_interp_buffer buffer[2] = {{.data = in, .bytes = sizeof in},
                                        {.data = out, .bytes = sizeof out}};
    const sk_interp_args args = {.buffer = buffer, .grid = {1, 1, 1}};
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
    sk_arena_free(&arena);
}

static void check(const matrices *m, bool bf16, double bound)
{
    for (uint32_t r = 0; r < 16; r++)
        for (uint32_t n = 0; n < 8; n++) {
            double sum = (double)m->c[r][n], weight = fabs(sum);
            for (uint32_t k = 0; k < K; k++) {
                const double a = (double)rounded(m->a[r][k], bf16);
                const double b = (double)rounded(m->b[k][n], bf16);
                sum += a * b;
                weight += fabs(a * b);
            }
            if (fabs((double)result(r, n) - sum) > bound * weight)
                fail_msg("row %u, column %u: %g, should be %g", r, n, (double)result(r, n), sum);
        }
}

static void products(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(31);
    for (uint32_t turn = 0; turn < 40; turn++) {
        const bool bf16 = turn % 2, whole = turn % 4 > 1; /* small integers: exact */
        matrices m;
        float *const all = &m.a[0][0];
        for (uint32_t k = 0; k < sizeof m / sizeof *all; k++)
            all[k] = whole ? (float)sk_rng_below(&rng, 31) - 15
                           : (float)ldexp(sk_rng_normal(&rng), (int)sk_rng_below(&rng, 16) - 8);
        lay_out(&m, bf16);
        run(bf16, false);
        check(&m, bf16, whole ? 0 : 0x1.01p-24);
    }
}

/* One product of a kind that no other pair of places has. */
static void single_products(void **state)
{
    (void)state;
    for (uint32_t r = 0; r < 16; r++)
        for (uint32_t k = 0; k < K; k++)
            for (uint32_t n = 0; n < 8; n++) {
                matrices m;
                memset(&m, 0, sizeof m);
                m.a[r][k] = 3;
                m.b[k][n] = 5;
                lay_out(&m, false);
                run(false, false);
                for (uint32_t i = 0; i < 128; i++)
                    assert_int_equal(result(i / 8, i % 8) == 15, i == r * 8 + n);
            }
}

/* Uniform words are the same for every lane. */
static void uniform_fragments(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 10; k++)
        in[32 * k] = k < 6 ? 0x3c003c00 : float_bits((float)k); /* ones; 6 to 9 */
    run(false, true);
    for (uint32_t r = 0; r < 16; r++)
        for (uint32_t n = 0; n < 8; n++)
            assert_true(result(r, n) == 16 + 6 + (float)(n & 1) + (float)(2 * (r / 8)));
}

/* Infinity and NaN reach the elements that they belong to, and no other. */
static void not_finite(void **state)
{
    (void)state;
    for (uint32_t nan = 0; nan < 2; nan++) {
        matrices m;
        memset(&m, 0, sizeof m);
        m.a[9][13] = nan ? NAN : INFINITY;
        for (uint32_t n = 0; n < 8; n++)
            m.b[13][n] = n == 3 ? -1 : n == 4 ? 0 : 1;
        lay_out(&m, false);
        run(false, false);
        for (uint32_t r = 0; r < 16; r++)
            for (uint32_t n = 0; n < 8; n++) {
                const float x = result(r, n);
                if (r != 9)
                    assert_true(x == 0);
                else if (nan || n == 4)
                    assert_true(x != x);
                else
                    assert_true(isinf(x) && (x < 0) == (n == 3));
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(single_products),
        cmocka_unit_test(uniform_fragments),
        cmocka_unit_test(not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
