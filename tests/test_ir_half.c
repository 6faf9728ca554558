/* test_ir_half.c - packed half arithmetic against whole numbers: a half is a
 * multiple of 2^-24, a product of two one of 2^-48, so 128 bits hold every sum
 * exactly; the nearest half is found by halving the interval of all halves. */
#include "sk_test.h"

#include "ir.h"

__extension__ typedef __int128 wide;

#define COUNT 4096u /* triples a run: one in the low and one in the high half */

static _Alignas(64) uint32_t in[3 * COUNT], out[3 * COUNT];

static bool is_nan(uint32_t h) { return (h & 0x7fffu) > 0x7c00u; }
static bool is_inf(uint32_t h) { return (h & 0x7fffu) == 0x7c00u; }

/* |h| in units of 2^-24. */
static int64_t magnitude(uint32_t h)
{
    const uint32_t exponent = h >> 10 & 31u, fraction = h & 0x3ffu;
    return exponent ? (int64_t)(fraction | 0x400u) << (exponent - 1) : (int64_t)fraction;
}

static wide units(uint32_t h) { return h & 0x8000u ? -(wide)magnitude(h) : (wide)magnitude(h); }

/* The half nearest to x * 2^-48; `sign` is that of an exact zero. */
static uint32_t nearest(wide x, uint32_t sign)
{
    if (x == 0)
        return sign;
    const wide most = x < 0 ? -x : x;
    uint32_t lo = 0, hi = 0x7c00; /* value(lo) <= most < value(hi), infinity as 65536 */
    if (most >= (wide)65536 << 48)
        return 0x7c00u | (x < 0 ? 0x8000u : 0);
    while (hi - lo > 1) {
        const uint32_t mid = (lo + hi) / 2;
        if ((wide)magnitude(mid) << 24 <= most)
            lo = mid;
        else
            hi = mid;
    }
    const wide below = most - ((wide)magnitude(lo) << 24);
    const wide above = ((wide)(hi == 0x7c00 ? (int64_t)65536 << 24 : magnitude(hi)) << 24) - most;
    const uint32_t h = below < above || (below == above && lo % 2 == 0) ? lo : hi;
    return h | (x < 0 ? 0x8000u : 0);
}

/* a b + c, or a + c (b = 1), or a b (c = the zero that changes nothing). */
static uint32_t fused(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t sign = (a ^ b) & 0x8000u; /* of the product */
    const bool zero = (magnitude(a) == 0 || magnitude(b) == 0);
    if (is_nan(a) || is_nan(b) || is_nan(c))
        return 0x7fff;
    if (is_inf(a) || is_inf(b)) {
        if ((zero && !(is_inf(a) && is_inf(b))) || (is_inf(c) && (c & 0x8000u) != sign))
            return 0x7fff;
        return 0x7c00u | sign;
    }
    if (is_inf(c))
        return c;
    const wide sum = units(a) * units(b) + units(c) * ((wide)1 << 24);
    return nearest(sum, sign && (c & 0x8000u) ? 0x8000u : 0);
}

static uint32_t expected(uint32_t op, uint32_t a, uint32_t b, uint32_t c)
{
    switch (op) {
    case SK_OP_HADD2: return fused(a, 0x3c00, b);
    case SK_OP_HMUL2: return fused(a, b, (a ^ b) & 0x8000u);
    default: return fused(a, b, c);
    }
}

/* All three ops of all triples of `in`, the results one after the other. */
static void run_all(void)
{
    static const sk_op op[3] = {SK_OP_HADD2, SK_OP_HMUL2, SK_OP_HFMA2};
    sk_arena arena = {0};
    sk_builder b;
    sk_program *program = NULL;
    sk_err err = {0};
    sk_ir_begin(&b, &arena, "halves", 32, 1);
    const sk_val from = sk_ir_param_ptr(&b, "in", false), to = sk_ir_param_ptr(&b, "out", true);
    const sk_val off = sk_ir_for(&b, sk_ir_u32(&b, 0), sk_ir_u32(&b, 4 * COUNT), 128);
    sk_val x[3];
    for (uint32_t k = 0; k < 3; k++)
        x[k] = sk_ir_ldv(&b, SK_LD_U32, from, off, 4 * COUNT * k);
    for (uint32_t k = 0; k < 3; k++)
        sk_ir_stv(&b, to, off, 4 * COUNT * k, sk_ir_emit(&b, op[k], k == 2 ? 3 : 2, x, 0, 0));
    sk_ir_end(&b);
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    const sk_interp_buffer buffer[2] = {{.data = in, .bytes = sizeof in},
                                        {.data = out, .bytes = sizeof out}};
    const sk_interp_args args = {.buffer = buffer, .grid = {1, 1, 1}};
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
    sk_arena_free(&arena);
    for (uint32_t k = 0; k < 3; k++)
        for (uint32_t i = 0; i < COUNT; i++)
            for (uint32_t shift = 0; shift < 32; shift += 16) {
                uint32_t h[3];
                for (uint32_t j = 0; j < 3; j++)
                    h[j] = in[j * COUNT + i] >> shift & 0xffffu;
                const uint32_t got = out[k * COUNT + i] >> shift & 0xffffu;
                const uint32_t want = expected(op[k], h[0], h[1], h[2]);
                if (got != want)
                    fail_msg("%s of %04x, %04x, %04x is %04x, should be %04x",
                             sk_op_get(op[k])->text, h[0], h[1], h[2], got, want);
            }
}

static void any_bits(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(21);
    for (uint32_t turn = 0; turn < 60; turn++) {
        for (uint32_t k = 0; k < SK_COUNT(in); k++)
            in[k] = (uint32_t)sk_rng_u64(&rng);
        run_all();
    }
}

/* c close to a b, so that much cancels; and c where a b is half a step of it. */
static void close_ones(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(22);
    for (uint32_t turn = 0; turn < 60; turn++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t word[3] = {0};
            for (uint32_t shift = 0; shift < 32; shift += 16) {
                const uint32_t a = sk_rng_below(&rng, 0x7c00), b = sk_rng_below(&rng, 0x7c00);
                const uint32_t near = fused(a, b, 0) & 0x7fffu;
                const uint32_t step = sk_rng_below(&rng, 2) ? 11u << 10 : 0;
                const uint32_t c = (near + step + sk_rng_below(&rng, 3) - 1) & 0x7fffu;
                word[0] |= a << shift;
                word[1] |= b << shift;
                word[2] |= (c | (sk_rng_below(&rng, 2) ? 0x8000u : 0)) << shift;
            }
            for (uint32_t k = 0; k < 3; k++)
                in[k * COUNT + i] = word[k];
        }
        run_all();
    }
}

static void edges(void **state)
{
    (void)state;
    static const uint16_t edge[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x0200, 0x03ff, 0x0400, 0x0401,
                                    0x1400, 0x3bff, 0x3c00, 0x3c01, 0xbc00, 0x6800, 0x6801, 0x7bff,
                                    0xfbff, 0x7c00, 0xfc00, 0x7c01, 0x7fff, 0xfe00, 0x4c00, 0x4bff};
    const uint32_t n = SK_COUNT(edge), all = n * n * n;
    for (uint32_t first = 0; first < all; first += COUNT) {
        for (uint32_t i = 0; i < COUNT; i++) {
            const uint32_t e = (first + i) % all, f = (e + 7919) % all;
            in[i] = edge[e % n] | (uint32_t)edge[f % n] << 16;
            in[COUNT + i] = edge[e / n % n] | (uint32_t)edge[f / n % n] << 16;
            in[2 * COUNT + i] = edge[e / n / n] | (uint32_t)edge[f / n / n] << 16;
        }
        run_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bits),
        cmocka_unit_test(close_ones),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
