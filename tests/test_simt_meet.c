/* test_simt_meet.c - programs by chance about nothing but who touches what: loads and
 * stores of one warp to two pieces of scratch, in loops and branches, at offsets
 * that are sums of counters, lanes and constants. The emitter must put a
 * __syncwarp wherever the harness sees a race without one; and it must know of most
 * accesses that they need none, else its text would be right and slow. */
#include "sk_test.h"

#include "simt_case.h"

#define PROGRAMS 160u
#define TOGETHER 40u
#define PIECE 16384u    /* bytes; no offset below reaches its end */
#define OUT_WORDS 64u

typedef struct maker {
    sk_rng rng;
    sk_builder *b;
    sk_val piece[2], pointer; /* of either, nobody knows which */
    sk_val sum, n, eighth; /* eighth: 4 * (lane % 8), made before any loop */
    sk_val counter[3];
    uint32_t counters, left;
} maker;

static uint32_t below(maker *m, uint32_t n) { return sk_rng_below(&m->rng, n); }
static sk_val num(maker *m, uint32_t x) { return sk_ir_u32(m->b, x); }
static sk_val mul(maker *m, sk_val x, uint32_t y) { return sk_ir_2k(m->b, SK_OP_MUL, x, y); }
static sk_val add(maker *m, sk_val x, sk_val y) { return sk_ir_2(m->b, SK_OP_ADD, x, y); }

/* Counters times factors, a constant: a multiple of 16, the same for all lanes. */
static sk_val uniform_offset(maker *m)
{
    static const uint32_t factor[] = {16, 64, 128, 256, 512};
    sk_val off = num(m, 16 * below(m, below(m, 2) ? 4 : 64));
    for (uint32_t k = 0; k < m->counters; k++)
        if (below(m, 2))
            off = add(m, off, mul(m, m->counter[k], factor[below(m, SK_COUNT(factor))]));
    return off;
}

/* Words that no two lanes have in common; bytes: of a lane. */
static sk_val lane_offset(maker *m, uint32_t bytes)
{
    sk_val lane = sk_ir_lane(m->b);
    switch (below(m, 6)) {
    case 0: lane = sk_ir_2k(m->b, SK_OP_XOR, lane, 1 + below(m, 31)); break;
    case 1: lane = sk_ir_2(m->b, SK_OP_SUB, num(m, 31), lane); break;
    case 2: lane = mul(m, lane, 2); break;
    default: break;
    }
    return add(m, uniform_offset(m), mul(m, lane, bytes));
}

static sk_val somewhere(maker *m)
{
    return below(m, 8) ? m->piece[below(m, 2)] : m->pointer;
}

static sk_val mask(maker *m)
{
    return below(m, 3) ? SK_NONE : sk_ir_2k(m->b, SK_OP_ULT, sk_ir_lane(m->b), 1 + below(m, 31));
}

static void take(maker *m, sk_val x)
{
    sk_ir_set(m->b, m->sum, add(m, mul(m, sk_ir_get(m->b, m->sum), 3), x));
}

static void load(maker *m)
{
    sk_builder *const b = m->b;
    const sk_val at = somewhere(m);
    const uint32_t disp = 16 * below(m, 3);
    switch (below(m, 5)) {
    case 0: take(m, sk_ir_ldu(b, SK_LD_U32, at, uniform_offset(m), disp)); break;
    case 1: take(m, sk_ir_ldv(b, SK_LD_U32, at, uniform_offset(m), disp)); break;
    case 2:
        take(m, sk_ir_ldrows(b, SK_LD_U32, at, uniform_offset(m), disp, 1u << below(m, 6)));
        break;
    case 3: take(m, sk_ir_ldg(b, SK_LD_U32, at, lane_offset(m, 4), disp, mask(m))); break;
    default: take(m, sk_ir_word(b, sk_ir_ldq(b, at, lane_offset(m, 16), disp, mask(m)), 2)); break;
    }
}

static void store(maker *m)
{
    sk_builder *const b = m->b;
    const sk_val at = somewhere(m), x = sk_ir_get(b, m->sum);
    const uint32_t disp = 16 * below(m, 3);
    switch (below(m, 4)) {
    case 0: sk_ir_stu(b, at, uniform_offset(m), disp, sk_ir_extract(b, x, below(m, 32))); break;
    case 1: sk_ir_stv(b, at, uniform_offset(m), disp, x); break;
    case 2: sk_ir_stg(b, at, lane_offset(m, 4), disp, x, mask(m)); break;
    default: sk_ir_stq(b, at, lane_offset(m, 16), disp, sk_ir_quad(b, x, x, x, x), mask(m)); break;
    }
}

/* One lane's word for all. */
static void share(maker *m)
{
    const sk_val at = somewhere(m), off = uniform_offset(m), x = sk_ir_get(m->b, m->sum);
    sk_ir_stu(m->b, at, off, 0, sk_ir_extract(m->b, x, below(m, 32)));
    take(m, sk_ir_ldu(m->b, SK_LD_U32, at, off, 0));
}

/* Turns in which another eight lanes have the same words. */
static void hand_over(maker *m)
{
    const sk_val from = m->counters ? m->counter[m->counters - 1] : m->n;
    const sk_val turn = sk_ir_2k(m->b, SK_OP_XOR, from, below(m, 3));
    const sk_val on = sk_ir_2(m->b, SK_OP_EQ, sk_ir_2k(m->b, SK_OP_SHR, sk_ir_lane(m->b), 3), turn);
    take(m, sk_ir_ldg(m->b, SK_LD_U32, m->piece[0], m->eighth, 0, on));
    sk_ir_stg(m->b, m->piece[0], m->eighth, 0, sk_ir_get(m->b, m->sum), on);
}

/* Words that the lane at the other end wrote in the turn before, where turns meet. */
static void mirror(maker *m)
{
    const sk_val at = somewhere(m), row = uniform_offset(m), lane = sk_ir_lane(m->b);
    const sk_val turned = mul(m, sk_ir_2(m->b, SK_OP_SUB, num(m, 31), lane), 4);
    take(m, sk_ir_ldg(m->b, SK_LD_U32, at, add(m, row, turned), 0, SK_NONE));
    sk_ir_stv(m->b, at, row, 0, sk_ir_get(m->b, m->sum));
}

/* The same words read and written back: the commonest thing that needs no sync. */
static void update(maker *m)
{
    const sk_val at = somewhere(m), few = below(m, 3) ? SK_NONE : num(m, 8);
    sk_val off = lane_offset(m, 4), on = SK_NONE;
    if (few != SK_NONE) { /* lanes beyond have the words of others: they must not store */
        off = add(m, uniform_offset(m), mul(m, sk_ir_2k(m->b, SK_OP_AND, sk_ir_lane(m->b), 7), 4));
        on = sk_ir_2(m->b, SK_OP_ULT, sk_ir_lane(m->b), few);
    }
    take(m, sk_ir_ldg(m->b, SK_LD_U32, at, off, 0, below(m, 2) ? on : SK_NONE));
    sk_ir_stg(m->b, at, off, 0, sk_ir_get(m->b, m->sum), on);
}

static void body(maker *m, uint32_t depth);

static void loop(maker *m, uint32_t depth)
{
    const bool wraps = below(m, 6) == 0; /* any factor takes the offset round to itself */
    const uint32_t step = wraps ? 1u << 30 : 1 + below(m, 2);
    const sk_val most = wraps ? num(m, 3u << 30) : below(m, 4) ? num(m, 1 + below(m, 6)) : m->n;
    m->counter[m->counters++] = sk_ir_for(m->b, num(m, 0), most, step);
    body(m, depth + 1);
    sk_ir_end(m->b);
    m->counters--;
}

static void branch(maker *m, uint32_t depth)
{
    const sk_val x = m->counters ? m->counter[m->counters - 1] : m->n;
    sk_ir_if(m->b, sk_ir_2k(m->b, SK_OP_ULT, x, 2));
    body(m, depth + 1);
    if (below(m, 2)) {
        sk_ir_else(m->b);
        body(m, depth + 1);
    }
    sk_ir_end(m->b);
}

static void body(maker *m, uint32_t depth)
{
    for (uint32_t k = 1 + below(m, 4); k > 0 && m->left > 0; k--) {
        m->left--;
        const uint32_t what = below(m, depth < 4 ? 13 : 10);
        if (what < 3) load(m);
        else if (what < 6) store(m);
        else if (what < 7) update(m);
        else if (what < 8) hand_over(m);
        else if (what < 9) mirror(m);
        else if (what < 10) share(m);
        else if (what < 12 && m->counters < SK_COUNT(m->counter)) loop(m, depth);
        else branch(m, depth);
    }
}

static sk_program *make(uint64_t seed, sk_arena *arena)
{
    sk_builder b;
    sk_program *program = NULL;
    sk_err err = {0};
    maker m = {.b = &b, .left = 14};
    sk_rng_seed(&m.rng, seed);
    sk_ir_begin(&b, arena, "meet", 32, 1);
    const sk_val out = sk_ir_param_ptr(&b, "out", true);
    m.n = sk_ir_param_u32(&b, "n");
    for (uint32_t k = 0; k < 2; k++)
        m.piece[k] = sk_ir_shared(&b, PIECE);
    const sk_val off = sk_ir_for(&b, num(&m, 0), num(&m, PIECE), 128);
    sk_ir_stv(&b, m.piece[0], off, 0, add(&m, off, sk_ir_lane(&b)));
    sk_ir_stv(&b, m.piece[1], off, 0, sk_ir_lane(&b));
    sk_ir_end(&b);
    sk_ir_barrier(&b);
    m.eighth = mul(&m, sk_ir_2k(&b, SK_OP_AND, sk_ir_lane(&b), 7), 4);
    m.sum = sk_ir_var(&b, SK_LANE, sk_ir_lane(&b));
    m.pointer = sk_ir_3(&b, SK_OP_SELECT, sk_ir_2k(&b, SK_OP_ULT, m.n, below(&m, 8)), m.piece[0],
                        m.piece[1]);
    while (m.left > 0)
        body(&m, 0);
    sk_ir_stv(&b, out, num(&m, 0), 0, sk_ir_get(&b, m.sum));
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    return program;
}

/* The interpreter's sums and the harness's, in several orders. */
static void run(const sk_simt_module *module, uint32_t unit, const sk_program *program,
                uint64_t seed, const char *text)
{
    static _Alignas(64) uint32_t want[OUT_WORDS], got[OUT_WORDS];
    const sk_interp_buffer buffer[2] = {{.data = want, .bytes = sizeof want}};
    const uint32_t scalar[2] = {0, 3};
    const sk_interp_args args = {.buffer = buffer, .scalar = scalar, .grid = {1, 1, 1}};
    const uint64_t slot[2] = {(uintptr_t)got, 3};
    const size_t bytes[2] = {sizeof got, 0};
    sk_err err = {0};
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
    for (uint32_t round = 0; round < 2; round++) {
        const sk_simt_launch launch = {.module = module, .unit = unit, .program = program,
                                       .slot = slot, .bytes = bytes, .grid = {1, 1, 1},
                                       .seed = seed + round, .yields = SK_SIMT_YIELDS};
        if (sk_simt_run(&launch, &err) != SPHKV_OK) {
            (void)fprintf(stderr, "%s\n%s", sk_test_repeat(seed), text);
            fail_msg("%s", err.message);
        }
        assert_memory_equal(want, got, sizeof want);
    }
}

static uint32_t count_of(const char *text, const char *what)
{
    uint32_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void no_race_is_left(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(70);
    const uint32_t cases = sk_test_cases(PROGRAMS);
    uint32_t accesses = 0, syncs = 0;
    for (uint32_t from = 0; from < cases; from += TOGETHER) {
        const uint32_t n = cases - from < TOGETHER ? cases - from : TOGETHER;
        sk_program *program[TOGETHER];
        sk_simt_unit unit[TOGETHER];
        sk_simt_module *module = NULL;
        sk_arena arena = {0};
        sk_err err = {0};
        for (uint32_t k = 0; k < n; k++) {
            program[k] = make(seed + from + k, &arena);
            unit[k] = simt_unit((const sk_program *const *)&program[k], 1, &arena);
            accesses += count_of(unit[k].text, " ld_") + count_of(unit[k].text, " st_");
            syncs += count_of(unit[k].text, "__syncwarp");
        }
        sk_assert_ok(sk_simt_compile(unit, n, &module, &err), &err);
        for (uint32_t k = 0; k < n; k++)
            run(module, k, program[k], seed + from + k, unit[k].text);
        sk_simt_free(module);
        sk_arena_free(&arena);
    }
    print_message("%u programs: %u accesses, %u syncs\n", cases, accesses, syncs);
    assert_true(cases < PROGRAMS || (syncs > accesses / 8 && syncs < accesses * 5 / 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_race_is_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
