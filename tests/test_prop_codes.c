/* test_prop_codes.c - laws of codes that add up. A further codebook of zeros changes
 * nothing: keys get the same first codes and the same radii, attention and page_decode
 * give the same bits as for one code. Which of two codes stands first does not matter,
 * and a codeword that is split in two is what it was. */
#include "sk_test.h"

#include "prop_world.h"

enum { KINDS = 3 };
static const char *const forms[KINDS] = {"lut=rows", "lut=perm,w=8", "lut=rebuild"};

typedef struct pair {
    world one, two; /* of one code, of two */
} pair;

static void make(kernel_lab *lab, world *w, const char *codes, const char *form)
{
    char spec[160];
    (void)snprintf(spec, sizeof spec,
                   "attn_decode d64 v32 h3 p32 l1 qf32 of32 if32 exact g4b4%sr16sD:vf32", codes);
    world_make(lab, w, spec);
    kernel_built_free(&w->built);
    const kernel_row row = {spec, form, 256};
    kernel_build(lab, &row, &w->built);
    w->scale = 0.03f;
}

static uint16_t word_get(const uint8_t *book, uint32_t i)
{
    uint16_t x;
    memcpy(&x, book + 2 * (size_t)i, 2);
    return x;
}

static void word_put(uint8_t *book, uint32_t i, uint16_t x) { memcpy(book + 2 * (size_t)i, &x, 2); }

/* Codebook `from` of every group of `one` becomes codebook `to` of `two`. */
static void copy_books(const world *one, world *two, uint32_t times, uint32_t from, uint32_t to)
{
    const uint32_t n = 4 * 16; /* g * 2^b */
    for (uint32_t j = 0; j < 16; j++)
        for (uint32_t i = 0; i < n; i++)
            word_put(two->book, (j * 2 + to) * n + i,
                     word_get(one->book, (j * times + from) * n + i));
}

static void pair_make(kernel_lab *lab, pair *p, const char *form)
{
    uint32_t order[TOKENS];
    make(lab, &p->one, "", form);
    make(lab, &p->two, "x2", form);
    memset(p->two.book, 0, sk_codebook_head_bytes(&p->two.built.spec));
    copy_books(&p->one, &p->two, 1, 0, 0);
    memcpy(p->two.q, p->one.q, sizeof p->two.q);
    data_fill(lab->seed);
    in_order(order);
    put_all(&p->one, order);
    put_all(&p->two, order);
}

static uint32_t code_of(const world *w, uint32_t page, uint32_t row, uint32_t t)
{
    const sk_spec *s = &w->built.spec;
    const uint8_t *at = w->arena + (size_t)sphkv_ref_unit(w->refs[page]) * SPHKV_UNIT_BYTES;
    return sk_bits_get(at + w->at[0].seg[0].code_off, sk_layout_code_bit(s, &s->tier[0].seg[0], row, t), 4);
}

static void swap_codes(world *w, uint32_t page, uint32_t j, uint32_t t)
{
    const sk_spec *s = &w->built.spec;
    uint8_t *at = w->arena + (size_t)sphkv_ref_unit(w->refs[page]) * SPHKV_UNIT_BYTES;
    const uint32_t x[2] = {code_of(w, page, 2 * j, t), code_of(w, page, 2 * j + 1, t)};
    for (uint32_t i = 0; i < 2; i++)
        sk_bits_put(at + w->at[0].seg[0].code_off,
                    sk_layout_code_bit(s, &s->tier[0].seg[0], 2 * j + i, t), 4, x[1 - i]);
}

static void test_zeros_add_nothing(void **state)
{
    for (uint32_t k = 0; k < KINDS; k++) {
        pair p;
        pair_make(*state, &p, forms[k]);
        for (uint32_t page = 0; page < PAGES; page++)
            for (uint32_t t = 0; t < sphkv_ref_tokens(p.one.refs[page]); t++)
                for (uint32_t j = 0; j < 16; j++) {
                    assert_int_equal(code_of(&p.two, page, 2 * j, t), code_of(&p.one, page, j, t));
                    assert_int_equal(code_of(&p.two, page, 2 * j + 1, t), 0); /* a tie */
                }
        world_run(&p.one);
        world_run(&p.two);
        assert_memory_equal(p.one.out, p.two.out, sizeof p.one.out);
        world_free(&p.one);
        world_free(&p.two);
    }
}

/* Both books are halves of the one: c = c/2 + c/2, and every code stands twice. */
static void test_halves_make_a_whole(void **state)
{
    for (uint32_t k = 0; k < KINDS; k++) {
        pair p;
        pair_make(*state, &p, forms[k]);
        copy_books(&p.one, &p.two, 1, 0, 1);
        for (uint32_t i = 0; i < 2 * 64 * 16; i++) {
            const float x = sk_f16_to_f32(word_get(p.two.book, i)) / 2;
            word_put(p.two.book, i, sk_f32_to_f16(x));
        }
        for (uint32_t page = 0; page < PAGES; page++)
            for (uint32_t t = 0; t < sphkv_ref_tokens(p.one.refs[page]); t++)
                for (uint32_t j = 0; j < 16; j++) {
                    swap_codes(&p.two, page, j, t);
                    sk_bits_put(p.two.arena + (size_t)sphkv_ref_unit(p.two.refs[page]) * SPHKV_UNIT_BYTES +
                                    p.two.at[0].seg[0].code_off,
                                sk_layout_code_bit(&p.two.built.spec, &p.two.built.spec.tier[0].seg[0],
                                                   2 * j, t), 4, code_of(&p.one, page, j, t));
                }
        world_run(&p.one);
        world_run(&p.two);
        assert_rows(&p.two, p.one.out, 1e-5); /* halves of small words are rounded */
        world_free(&p.one);
        world_free(&p.two);
    }
}

static void test_order_of_codes(void **state)
{
    for (uint32_t k = 0; k < KINDS; k++) {
        uint32_t order[TOKENS];
        world a, b;
        make(*state, &a, "x2", forms[k]);
        make(*state, &b, "x2", forms[k]);
        data_fill(((kernel_lab *)*state)->seed);
        in_order(order);
        put_all(&a, order);
        memcpy(b.q, a.q, sizeof b.q);
        memcpy(b.book, a.book, sk_codebook_head_bytes(&a.built.spec));
        put_all(&b, order);
        copy_books(&a, &b, 2, 0, 1);
        copy_books(&a, &b, 2, 1, 0);
        for (uint32_t page = 0; page < PAGES; page++)
            for (uint32_t t = 0; t < sphkv_ref_tokens(b.refs[page]); t++)
                for (uint32_t j = 0; j < 16; j++) swap_codes(&b, page, j, t);
        world_run(&a);
        world_run(&b);
        if (k == KINDS - 1)
            assert_memory_equal(a.out, b.out, sizeof a.out); /* sums of two */
        assert_rows(&b, a.out, 1e-5);
        world_free(&a);
        world_free(&b);
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_zeros_add_nothing, &lab),
        cmocka_unit_test_prestate(test_halves_make_a_whole, &lab),
        cmocka_unit_test_prestate(test_order_of_codes, &lab),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
