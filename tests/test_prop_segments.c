/* test_prop_segments.c - laws of keys in segments and of values from keys (vk), without
 * a reference: a key cut into segments of its own format is the same key; segments in
 * another order, with queries to match, are the same attention; values from keys are
 * those that would be written beside them; a rotation (p) turns its own segment only and
 * never a value. */
#include "sk_test.h"

#include <math.h>

#include "prop_world.h"

#define SPEC(dv, tiers) "attn_decode d64 v" dv " h3 p32 l1 qf32 of32 if32 exact " tiers
#define TOLERANCE 4e-6

/* A rotation that is far from none, and positions in no order. */
static void turn_fill(world *w, uint64_t seed)
{
    const uint32_t n = sk_rope_dims_ref(&w->built.spec, &(sphkv_rope){0});
    sk_rng rng;
    float *row = &w->rope[0][0];
    sk_rng_seed(&rng, seed);
    for (uint32_t x = 0; x < ROPE_ROWS; x++, row += n)
        for (uint32_t i = 0; i < n / 2; i++) {
            row[i] = (float)cos(x * pow(500, -2.0 * i / n));
            row[i + n / 2] = (float)sin(x * pow(500, -2.0 * i / n));
        }
    for (uint32_t t = 0; t < PAGES * PAGE; t++) w->positions[t] = sk_rng_below(&rng, ROPE_ROWS);
}

/* What a spec makes of the numbers in `data` and the queries of the lab's seed, which
 * begin with dimension `from` of the head. */
static void run_spec(kernel_lab *lab, const char *spec, uint32_t from, world *w)
{
    uint32_t order[TOKENS];
    float q[MAX_D];
    world_make(lab, w, spec);
    in_order(order);
    turn_fill(w, lab->seed + 5);
    put_all(w, order);
    for (uint32_t h = 0; h < MAX_H; h++) {
        memcpy(q, w->q[h], sizeof q);
        for (uint32_t i = 0; i < MAX_D; i++) w->q[h][i] = q[(i + from) % MAX_D];
    }
    w->scale = 0.03f;
    world_run(w);
}

static void expect_same(kernel_lab *lab, const char *one, const char *other)
{
    static world a, b;
    data_fill(lab->seed + 3);
    run_spec(lab, one, 0, &a);
    run_spec(lab, other, 0, &b);
    assert_rows(&b, a.out, TOLERANCE);
    world_free(&a);
    world_free(&b);
}

/* Codewords of a group are the same wherever the key is cut, for the packed set is. */
static void test_cut(void **state)
{
    expect_same(*state, SPEC("64", "kf16:vf16"), SPEC("64", "32@kf16+32@kf16:vf16"));
    expect_same(*state, SPEC("64", "kf32:vf16"), SPEC("64", "16@kf32+32@kf32+16@kf32:vf16"));
    expect_same(*state, SPEC("64", "ki8:vi8"), SPEC("64", "32@ki8+32@ki8:vi8"));
    expect_same(*state, SPEC("64", "g8b5r16:vf16"), SPEC("64", "32@g8b5r16+32@g8b5r16:vf16"));
    expect_same(*state, SPEC("48", "g4b6r8s16:vk"), SPEC("48", "16@g4b6r8s16+48@g4b6r8s16:vk"));
    expect_same(*state, SPEC("48", "kf16:vk,g8b5r16:vf32"),
                SPEC("48", "48@kf16+16@kf16:vk,32@g8b5r16+32@g8b5r16:vf32"));
}

/* The first `n` dimensions of keys go to the end. */
static void roll_keys(uint32_t n)
{
    for (uint32_t t = 0; t < PAGES * PAGE; t++) {
        double k[MAX_D];
        memcpy(k, data.k[t], sizeof k);
        for (uint32_t i = 0; i < MAX_D; i++) data.k[t][i] = k[(i + n) % MAX_D];
    }
}

static void expect_order(kernel_lab *lab, const char *one, const char *other, uint32_t n)
{
    static world a, b;
    data_fill(lab->seed + 3);
    run_spec(lab, one, 0, &a);
    roll_keys(n);
    run_spec(lab, other, n, &b);
    assert_rows(&b, a.out, TOLERANCE);
    world_free(&a);
    world_free(&b);
}

static void test_order(void **state)
{
    expect_order(*state, SPEC("64", "32@kf16+32@lean:vf16"), SPEC("64", "32@lean+32@kf16:vf16"), 32);
    expect_order(*state, SPEC("64", "16@ki8+48@g4b5r8s16:vi8"), SPEC("64", "48@g4b5r8s16+16@ki8:vi8"), 16);
    expect_order(*state, SPEC("64", "48@lean+16@kf16p:vf16"), SPEC("64", "16@kf16p+48@lean:vf16"), 48);
}

/* Values of one kind of keys, taken from its pages, as values that are written. */
static void expect_values(kernel_lab *lab, const char *keys, const char *written)
{
    static world a, b;
    static double k[PAGE * MAX_D], v[PAGE * MAX_D];
    data_fill(lab->seed + 3);
    run_spec(lab, keys, 0, &a);
    const sk_spec *s = &a.built.spec;
    for (uint32_t p = 0; p < PAGES; p++) {
        const uint32_t n = sphkv_ref_tokens(a.refs[p]);
        if (s->tier[sphkv_ref_tier(a.refs[p])].value != SK_VAL_KEY) continue;
        sk_page_decode_ref(s, sphkv_ref_tier(a.refs[p]),
                           a.arena + (size_t)sphkv_ref_unit(a.refs[p]) * SPHKV_UNIT_BYTES, n, a.book, k, v);
        for (uint32_t t = 0; t < n; t++)
            memcpy(data.v[p * PAGE + t], k + (size_t)t * s->d, s->dv * sizeof *k);
    }
    run_spec(lab, written, 0, &b);
    assert_rows(&b, a.out, TOLERANCE);
    world_free(&a);
    world_free(&b);
}

static void test_values(void **state)
{
    expect_values(*state, SPEC("64", "lean:vk"), SPEC("64", "lean:vf32"));
    expect_values(*state, SPEC("48", "48@g16b8r16s48+16@kf16:vk"), SPEC("48", "48@g16b8r16s48+16@kf16:vf32"));
    expect_values(*state, SPEC("32", "16@ki8+48@g4b5r8s16:vk,kf16:vk"),
                  SPEC("32", "16@ki8+48@g4b5r8s16:vf32,kf16:vf32"));
    /* before RoPE, whether what is rotated is a value or not */
    expect_values(*state, SPEC("48", "48@g16b8r16s48+16@kf16p:vk"),
                  SPEC("48", "48@g16b8r16s48+16@kf16p:vf32"));
    expect_values(*state, SPEC("64", "g8b8r16sDp:vk,kf16p:vk"), SPEC("64", "g8b8r16sDp:vf32,kf16p:vf32"));
    expect_values(*state, SPEC("32", "32@kf32+32@lean:vk,32@lean+32@kf16p:vf16"),
                  SPEC("32", "32@kf32+32@lean:vf32,32@lean+32@kf16p:vf16"));
}

/* A rotation that does nothing would make the laws above empty. */
static void test_rotation_matters(void **state)
{
    kernel_lab *lab = *state;
    static world a, b;
    data_fill(lab->seed + 3);
    run_spec(lab, SPEC("48", "48@lean+16@kf16p:vk"), 0, &a);
    run_spec(lab, SPEC("48", "48@lean+16@kf16:vk"), 0, &b);
    assert_true(kernel_difference(b.out[0], a.out[0], 48) > 1e-3);
    world_free(&a);
    world_free(&b);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_cut, &lab),
                                       cmocka_unit_test_prestate(test_order, &lab),
                                       cmocka_unit_test_prestate(test_values, &lab),
                                       cmocka_unit_test_prestate(test_rotation_matters, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
