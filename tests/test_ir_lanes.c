/* test_ir_lanes.c - ops that look at other lanes, loads in every kind, stores:
 * against plain loops over bytes written another way than the interpreter. */
#include "sk_test.h"

#include "ir.h"

#define WORDS 256u
static _Alignas(64) uint32_t in[WORDS], out[WORDS];

typedef struct frame {
    sk_builder b;
    sk_arena arena;
    sk_val in, out, zero;
} frame;

static void begin(frame *f, uint32_t w)
{
    memset(f, 0, sizeof *f);
    sk_ir_begin(&f->b, &f->arena, "lanes", w, 1);
    f->in = sk_ir_param_ptr(&f->b, "in", false);
    f->out = sk_ir_param_ptr(&f->b, "out", true);
    f->zero = sk_ir_u32(&f->b, 0);
}

static void run(frame *f)
{
    sk_program *program = NULL;
    sk_err err = {0};
    sk_assert_ok(sk_ir_finish(&f->b, &program, &err), &err);
    memset(out, 0xee, sizeof out);
    const sk_interp_buffer buffer[2] = {{.data = in, .bytes = sizeof in},
                                        {.data = out, .bytes = sizeof out}};
    const sk_interp_args args = {.buffer = buffer, .grid = {1, 1, 1}};
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
    sk_arena_free(&f->arena);
}

/* op of the vectors at 0 and at words 64 and 128 of the input, stored at 0. */
static void run_cross(sk_op op, uint32_t imm, uint32_t w)
{
    frame f;
    begin(&f, w);
    const sk_ld_kind kind = op == SK_OP_RED_FADD || op == SK_OP_RED_FMAX ? SK_LD_F32 : SK_LD_U32;
    sk_val a[3];
    for (uint32_t k = 0; k < 3; k++)
        a[k] = sk_ir_ldv(&f.b, kind, f.in, f.zero, 256 * k);
    sk_ir_stv(&f.b, f.out, f.zero, 0, sk_ir_emit(&f.b, op, sk_op_get(op)->nargs, a, imm, 0));
    run(&f);
}

static void fill(sk_rng *rng)
{
    for (uint32_t k = 0; k < WORDS; k++)
        in[k] = (uint32_t)sk_rng_u64(rng);
}

static void pack16(void **state)
{
    (void)state;
    for (uint32_t w = 4; w <= 32; w *= 2) {
        for (uint32_t k = 0; k < WORDS; k++) /* -48000, -46500 .. : saturates at both ends */
            in[k] = (uint32_t)((int32_t)(k % 64) * 1500 - 48000);
        run_cross(SK_OP_PACK16, 0, w);
        const int16_t *const got = (const int16_t *)(const void *)out;
        for (uint32_t k = 0; k < 2 * w; k++) {
            const int32_t x = (int32_t)in[k < w ? k : 64 + k - w];
            assert_int_equal(got[k], x > 32767 ? 32767 : x < -32768 ? -32768 : x);
        }
    }
}

static void bytes(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(11);
    const uint8_t *const a = (const uint8_t *)in, *const b = a + 256;
    const uint8_t *const d = (const uint8_t *)out;
    for (uint32_t w = 4; w <= 32; w *= 2) {
        fill(&rng);
        run_cross(SK_OP_LUT16, 0, w);
        for (uint32_t k = 0; k < 4 * w; k++)
            assert_int_equal(d[k], a[(k & ~15u) + (b[k] & 15u)]);
        for (uint32_t high = 0; high < 2; high++) {
            run_cross(SK_OP_ZIP8, high, w);
            for (uint32_t k = 0; k < 4 * w; k++) {
                const uint32_t from = (k & ~15u) + 8 * high + k % 16 / 2;
                assert_int_equal(d[k], k % 2 ? b[from] : a[from]);
            }
        }
    }
}

static void halves(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(15);
    const uint16_t *const a = (const uint16_t *)in, *const b = a + 128, *const c = a + 256;
    const uint16_t *const d = (const uint16_t *)out;
    const uint8_t *const packed = (const uint8_t *)out;
    for (uint32_t w = 4; w <= 32; w *= 2) {
        fill(&rng);
        for (uint32_t high = 0; high < 2; high++) {
            run_cross(SK_OP_ZIP16, high, w);
            for (uint32_t k = 0; k < 2 * w; k++) {
                const uint32_t from = (k & ~7u) + 4 * high + k % 8 / 2;
                assert_int_equal(d[k], k % 2 ? b[from] : a[from]);
            }
        }
        run_cross(SK_OP_PERM16, 0, w);
        for (uint32_t k = 0; k < 2 * w; k++)
            assert_int_equal(d[k], a[b[k] % (2 * w)]);
        run_cross(SK_OP_PERM16X2, 0, w);
        for (uint32_t k = 0; k < 2 * w; k++) {
            const uint32_t at = c[k] % (4 * w);
            assert_int_equal(d[k], at < 2 * w ? a[at] : b[at - 2 * w]);
        }
        for (uint32_t k = 0; k < WORDS; k++)
            in[k] &= 0x81ff81ffu; /* half of them within 0 .. 511 */
        run_cross(SK_OP_PACK8, 0, w);
        for (uint32_t k = 0; k < 4 * w; k++) {
            const int16_t x = (int16_t)(k < 2 * w ? a[k] : b[k - 2 * w]);
            assert_int_equal(packed[k], x < 0 ? 0 : x > 255 ? 255 : x);
        }
    }
}

static void bytes_of_all_lanes(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(16);
    const uint8_t *const a = (const uint8_t *)in, *const b = a + 256, *const c = a + 512;
    const uint8_t *const d = (const uint8_t *)out;
    for (uint32_t w = 4; w <= 32; w *= 2) {
        fill(&rng);
        run_cross(SK_OP_PERM8, 0, w);
        for (uint32_t k = 0; k < 4 * w; k++)
            assert_int_equal(d[k], a[b[k] % (4 * w)]);
        run_cross(SK_OP_PERM8X2, 0, w);
        for (uint32_t k = 0; k < 4 * w; k++) {
            const uint32_t at = c[k] % (8 * w);
            assert_int_equal(d[k], at < 4 * w ? a[at] : b[at - 4 * w]);
        }
        run_cross(SK_OP_FIELD8, 0, w);
        for (uint32_t k = 0; k < 4 * w; k++)
            for (uint32_t i = 0; i < 8; i++) {
                const uint32_t bit = (b[k] + i) % 64;
                assert_int_equal(d[k] >> i & 1, a[(k & ~7u) + bit / 8] >> bit % 8 & 1);
            }
    }
}

static void moves(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(12);
    for (uint32_t w = 4; w <= 32; w *= 2) {
        fill(&rng);
        run_cross(SK_OP_SHUFFLE, 0, w);
        for (uint32_t k = 0; k < w; k++)
            assert_int_equal(out[k], in[in[64 + k] % w]);
        for (uint32_t lane = 0; lane < w; lane++) {
            run_cross(SK_OP_EXTRACT, lane, w);
            assert_int_equal(out[0], in[lane]);
            assert_int_equal(out[w - 1], in[lane]);
        }
    }
}

static void reductions(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(13);
    for (uint32_t w = 4; w <= 32; w *= 2) {
        fill(&rng);
        uint32_t sum = 0, least = UINT32_MAX, most = 0;
        for (uint32_t k = 0; k < w; k++) {
            sum += in[k];
            least = in[k] < least ? in[k] : least;
            most = in[k] > most ? in[k] : most;
        }
        run_cross(SK_OP_RED_UADD, 0, w);
        assert_int_equal(out[0], sum);
        run_cross(SK_OP_RED_UMIN, 0, w);
        assert_int_equal(out[0], least);
        run_cross(SK_OP_RED_UMAX, 0, w);
        assert_int_equal(out[0], most);
    }
}

/* The order of the sum is part of the definition: a tree over halves. */
static float tree_sum(const float *x, uint32_t n, uint32_t stride)
{
    if (n == 1)
        return *x;
    return tree_sum(x, n / 2, stride * 2) + tree_sum(x + stride, n / 2, stride * 2);
}

static void float_reductions(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(14);
    const float *const x = (const float *)(const void *)in;
    uint32_t differs = 0;
    for (uint32_t w = 4; w <= 32; w *= 2)
        for (uint32_t turn = 0; turn < 20; turn++) {
            float plain = 0, most = -1e30f;
            for (uint32_t k = 0; k < WORDS; k++) {
                const float v = (float)sk_rng_normal(&rng);
                memcpy(&in[k], &v, sizeof v);
            }
            for (uint32_t k = 0; k < w; k++) {
                plain += x[k];
                most = x[k] > most ? x[k] : most;
            }
            run_cross(SK_OP_RED_FADD, 0, w);
            const float want = tree_sum(x, w, 1);
            assert_memory_equal(out, &want, sizeof want);
            differs += memcmp(out, &plain, sizeof plain) != 0;
            run_cross(SK_OP_RED_FMAX, 0, w);
            assert_memory_equal(out, &most, sizeof most);
        }
    assert_true(differs > 0); /* else the order would not have been looked at */
}

/* Element `index` of memory as the kind reads it. */
static uint32_t expected(sk_ld_kind kind, const uint8_t *m, uint32_t index)
{
    const uint8_t *const at = m + index * sk_ld_bytes(kind);
    const uint32_t half = at[0] | (uint32_t)at[1] << 8;
    float f = 0;
    uint32_t x;
    switch (kind) {
    case SK_LD_U8: return at[0];
    case SK_LD_S8: return at[0] < 128 ? at[0] : at[0] - 256u;
    case SK_LD_U16: return half;
    case SK_LD_S8X2:
        return (at[0] < 128 ? at[0] : at[0] | 0xff00u)
               | (at[1] < 128 ? at[1] : at[1] | 0xff00u) << 16;
    case SK_LD_BF16: return half << 16;
    case SK_LD_F16: f = sk_f16_to_f32((uint16_t)half); memcpy(&x, &f, 4); return x;
    default: memcpy(&x, at, 4); return x;
    }
}

static void loads(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(15);
    for (uint32_t w = 4; w <= 32; w *= 2)
        for (uint32_t kind = 0; kind < SK_LD_KINDS; kind++) {
            const sk_ld_kind k = (sk_ld_kind)kind;
            const uint32_t bytes_each = sk_ld_bytes(kind);
            frame f;
            fill(&rng);
            begin(&f, w);
            const sk_val off = sk_ir_u32(&f.b, 3 * bytes_each);
            const sk_val back = sk_ir_2(&f.b, SK_OP_SUB, sk_ir_u32(&f.b, w), sk_ir_lane(&f.b));
            const sk_val at = sk_ir_2(&f.b, SK_OP_MUL, back, sk_ir_u32(&f.b, bytes_each));
            const sk_val even = sk_ir_2(&f.b, SK_OP_AND, sk_ir_lane(&f.b), sk_ir_u32(&f.b, 1));
            const sk_val on = sk_ir_2(&f.b, SK_OP_EQ, even, f.zero);
            sk_ir_stu(&f.b, f.out, f.zero, 0, sk_ir_ldu(&f.b, k, f.in, off, 2 * bytes_each));
            sk_ir_stv(&f.b, f.out, f.zero, 4, sk_ir_ldv(&f.b, k, f.in, off, 0));
            sk_ir_stv(&f.b, f.out, f.zero, 256, sk_ir_ldg(&f.b, k, f.in, at, 0, on));
            sk_ir_stv(&f.b, f.out, f.zero, 512, sk_ir_ldg(&f.b, k, f.in, at, 0, SK_NONE));
            run(&f);
            const uint8_t *const m = (const uint8_t *)in;
            assert_int_equal(out[0], expected(k, m, 5));
            for (uint32_t i = 0; i < w; i++) {
                assert_int_equal(out[1 + i], expected(k, m, 3 + i));
                assert_int_equal(out[64 + i], i % 2 ? 0 : expected(k, m, w - i));
                assert_int_equal(out[128 + i], expected(k, m, w - i));
            }
        }
}

static void rows(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(16);
    for (uint32_t w = 4; w <= 32; w *= 2)
        for (uint32_t n = 1; n <= w; n *= 2) {
            frame f;
            fill(&rng);
            begin(&f, w);
            /* run r starts at word 2r + 1 */
            const sk_val r = sk_ir_2(&f.b, SK_OP_UDIV, sk_ir_lane(&f.b), sk_ir_u32(&f.b, n));
            const sk_val at = sk_ir_2(&f.b, SK_OP_MUL, r, sk_ir_u32(&f.b, 8));
            sk_ir_stv(&f.b, f.out, f.zero, 0, sk_ir_ldrows(&f.b, SK_LD_U32, f.in, at, 4, n));
            run(&f);
            for (uint32_t i = 0; i < w; i++)
                assert_int_equal(out[i], in[2 * (i / n) + 1 + i % n]);
        }
}

static void stores(void **state)
{
    (void)state;
    for (uint32_t w = 4; w <= 32; w *= 2) {
        frame f;
        begin(&f, w);
        const sk_val lane = sk_ir_lane(&f.b);
        const sk_val at = sk_ir_2(&f.b, SK_OP_MUL, lane, sk_ir_u32(&f.b, 8));
        const sk_val low = sk_ir_2(&f.b, SK_OP_ULT, lane, sk_ir_u32(&f.b, 3));
        sk_ir_stu(&f.b, f.out, sk_ir_u32(&f.b, 4), 4, sk_ir_u32(&f.b, 99));
        sk_ir_stv(&f.b, f.out, sk_ir_u32(&f.b, 128), 0, lane);
        sk_ir_stg(&f.b, f.out, at, 512, lane, low);
        run(&f);
        assert_int_equal(out[2], 99);
        assert_int_equal(out[1], 0xeeeeeeee);
        for (uint32_t i = 0; i < w; i++) {
            assert_int_equal(out[32 + i], i);
            assert_int_equal(out[128 + 2 * i], i < 3 ? i : 0xeeeeeeee);
        }
        assert_int_equal(out[32 + w], 0xeeeeeeee);
    }
}

/* ---- quads, votes, transposes ----------------------------------------------------------- */

static void quads(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(17);
    for (uint32_t w = 4; w <= 32; w *= 2) {
        frame f;
        fill(&rng);
        begin(&f, w);
        const sk_val lane = sk_ir_lane(&f.b);
        const sk_val turned = sk_ir_2k(&f.b, SK_OP_XOR, lane, 3);
        const sk_val at = sk_ir_2k(&f.b, SK_OP_MUL, turned, 16);
        const sk_val odd = sk_ir_2(&f.b, SK_OP_NE, sk_ir_2k(&f.b, SK_OP_AND, lane, 1), f.zero);
        const sk_val off = sk_ir_3(&f.b, SK_OP_SELECT, odd, at, sk_ir_u32(&f.b, 0xfffffff1));
        const sk_val q = sk_ir_ldq(&f.b, f.in, off, 16, odd);
        const sk_val last = sk_ir_1(&f.b, SK_OP_FLOAT, sk_ir_word(&f.b, q, 3));
        const sk_val r = sk_ir_quad(&f.b, last, f.zero, sk_ir_word(&f.b, q, 0), lane);
        const sk_val low = sk_ir_2(&f.b, SK_OP_ULT, lane, sk_ir_u32(&f.b, 3));
        const sk_val s = sk_ir_3(&f.b, SK_OP_SELECT, low, r, q);
        sk_ir_stq(&f.b, f.out, sk_ir_2k(&f.b, SK_OP_MUL, lane, 16), 0, s, SK_NONE);
        sk_ir_stq(&f.b, f.out, off, 512, r, odd);
        run(&f);
        for (uint32_t i = 0; i < w; i++) {
            const uint32_t *const d = &out[4 * i], *const to = &out[128 + 4 * (i ^ 3)];
            const uint32_t *const m = &in[4 + 4 * (i ^ 3)];
            uint32_t x[4];
            for (uint32_t k = 0; k < 4; k++)
                x[k] = i % 2 ? m[k] : 0;
            const uint32_t turn[4] = {x[3], 0, x[0], i}, none[4] = {0xeeeeeeee, 0xeeeeeeee,
                                                                    0xeeeeeeee, 0xeeeeeeee};
            assert_memory_equal(d, i < 3 ? turn : x, 16);
            assert_memory_equal(to, i % 2 ? turn : none, 16);
        }
    }
}

/* A variable keeps all four words, and a uniform quad is one for all lanes. */
static void quads_in_variables(void **state)
{
    (void)state;
    for (uint32_t w = 4; w <= 32; w *= 2) {
        frame f;
        begin(&f, w);
        const sk_val lane = sk_ir_lane(&f.b), at = sk_ir_2k(&f.b, SK_OP_MUL, lane, 16);
        const sk_val one = sk_ir_u32(&f.b, 1), two = sk_ir_u32(&f.b, 2);
        const sk_val uniform = sk_ir_quad(&f.b, one, two, sk_ir_f32(&f.b, 1.0f), f.zero);
        const sk_val v = sk_ir_var(&f.b, SK_LANE, uniform);
        const sk_val i = sk_ir_for(&f.b, f.zero, sk_ir_u32(&f.b, 3), 1);
        const sk_val old = sk_ir_get(&f.b, v);
        const sk_val sum = sk_ir_2(&f.b, SK_OP_ADD, sk_ir_word(&f.b, old, 0), lane);
        const sk_val y = sk_ir_word(&f.b, old, 2), z = sk_ir_word(&f.b, old, 1);
        sk_ir_set(&f.b, v, sk_ir_quad(&f.b, sum, y, i, z));
        sk_ir_end(&f.b);
        sk_ir_stq(&f.b, f.out, at, 0, sk_ir_get(&f.b, v), SK_NONE);
        sk_ir_stq(&f.b, f.out, at, 512, uniform, SK_NONE);
        sk_ir_stu(&f.b, f.out, f.zero, 512, sk_ir_word(&f.b, uniform, 1));
        run(&f);
        for (uint32_t k = 0; k < w; k++) {
            const uint32_t want[4] = {1 + 3 * k, 1, 2, 0};
            const uint32_t same[4] = {k ? 1 : 2, 2, 0x3f800000, 0};
            assert_memory_equal(&out[4 * k], want, 16);
            assert_memory_equal(&out[128 + 4 * k], same, 16);
        }
    }
}

static void votes(void **state)
{
    (void)state;
    for (uint32_t w = 4; w <= 32; w *= 2)
        for (uint32_t which = 0; which <= w; which++) { /* w: no lane */
            frame f;
            begin(&f, w);
            const sk_val p = sk_ir_2(&f.b, SK_OP_EQ, sk_ir_lane(&f.b), sk_ir_u32(&f.b, which));
            const sk_val some = sk_ir_any(&f.b, p);
            sk_ir_if(&f.b, some);
            sk_ir_stu(&f.b, f.out, f.zero, 0, sk_ir_u32(&f.b, 7));
            sk_ir_end(&f.b);
            run(&f);
            assert_int_equal(out[0], which < w ? 7 : 0xeeeeeeee);
        }
}

static void transposes(void **state)
{
    (void)state;
    const uint16_t *const a = (const uint16_t *)in, *const d = (const uint16_t *)out;
    sk_rng rng = sk_test_rng(18);
    fill(&rng);
    run_cross(SK_OP_MOVM, 0, 32);
    for (uint32_t row = 0; row < 8; row++)
        for (uint32_t column = 0; column < 8; column++)
            assert_int_equal(d[row * 8 + column], a[column * 8 + row]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pack16), cmocka_unit_test(bytes),
        cmocka_unit_test(halves), cmocka_unit_test(bytes_of_all_lanes),
        cmocka_unit_test(moves),  cmocka_unit_test(reductions),
        cmocka_unit_test(float_reductions), cmocka_unit_test(loads),
        cmocka_unit_test(rows),   cmocka_unit_test(stores),
        cmocka_unit_test(quads),  cmocka_unit_test(quads_in_variables),
        cmocka_unit_test(votes),  cmocka_unit_test(transposes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
