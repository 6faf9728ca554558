/* test_spec_decode_ref.c - the reference reader of pages against pages made by
 * hand: what is put in are literal bytes and numbers, what must come out is
 * written beside them. Offsets come from the layout, which has its own test. */
#include "sk_test.h"

#include <math.h>

#include "layout.h"

typedef struct fixture {
    sk_spec spec;
    sk_page_layout at;
    uint8_t page[8192];
    uint8_t books[8192];
    double k[16 * 64], v[16 * 64];
} fixture;

static void open_fixture(fixture *f, const char *tier, uint32_t d, uint32_t dv, uint32_t layout)
{
    char text[200];
    sk_err err = {0};
    memset(f, 0, sizeof *f);
    snprintf(text, sizeof text, "attn_decode d%u v%u h1 p%u l%u qf32 of32 if32 tight %s", d, dv,
             layout ? 64u : 8u, layout, tier);
    sk_assert_ok(sk_spec_parse(text, &f->spec, &err), &err);
    sk_page_layout_get(&f->spec, 0, &f->at);
    assert_true(f->at.bytes <= sizeof f->page);
    assert_true(sk_codebook_head_bytes(&f->spec) <= sizeof f->books);
}

static void put_f16(uint8_t *base, uint32_t index, double x)
{
    uint16_t h = sk_f32_to_f16((float)x);
    assert_true((double)sk_f16_to_f32(h) == x); /* tests use exact numbers */
    memcpy(base + index * 2, &h, 2);
}

static void decode(fixture *f, uint32_t tokens)
{
    sk_page_decode_ref(&f->spec, 0, f->page, tokens, f->books, f->k, f->v);
}

/* Codeword `code` of dimension i of the head is i + code / 16. */
static void ramp_books(fixture *f, uint32_t segment, uint32_t dims, uint32_t codes)
{
    uint8_t *book = f->books + sk_codebook_tier_off(&f->spec, 0, segment);
    for (uint32_t i = 0; i < dims; i++)
        for (uint32_t c = 0; c < codes; c++)
            put_f16(book, i * codes + c, i + c / 16.0);
}

static void test_coded_r8(void **state)
{
    (void)state;
    fixture *f = sk_calloc(1, sizeof *f);
    open_fixture(f, "g2b4r8s4:vf32", 8, 8, 0);
    const sk_seg_layout *seg = &f->at.seg[0];
    ramp_books(f, 0, 8, 16);
    put_f16(f->page + seg->rscale_off, 0, 5);
    put_f16(f->page + seg->rscale_off, 1, 10);
    f->page[seg->radius_off + 3] = 255;     /* span 0, token 3 */
    f->page[seg->radius_off + 8 + 3] = 51;  /* span 1, token 3: a fifth */
    f->page[seg->code_off + 1] = 0x70;      /* group 0, token 3 = 7 */
    f->page[seg->code_off + 4 + 1] = 0xf0;  /* group 1 = 15 */
    f->page[seg->code_off + 8 + 1] = 0x01;  /* group 2, token 2 = 1, token 3 = 0 */
    f->page[seg->code_off + 12 + 1] = 0x40; /* group 3 = 4 */
    decode(f, 4);
    static const double code[4] = {7, 15, 0, 4};
    for (uint32_t i = 0; i < 8; i++) {
        double r = i < 4 ? 5.0 : 51 / 255.0 * 10;
        assert_true(f->k[3 * 8 + i] == r * (i + code[i / 2] / 16));
        assert_true(f->k[2 * 8 + i] == 0); /* radius 0 */
    }
    sk_free(f);
}

static void test_coded_r4_r16(void **state)
{
    (void)state;
    fixture *f = sk_calloc(1, sizeof *f);
    open_fixture(f, "g4b6r4:vf32", 8, 8, 0); /* two spans */
    const sk_seg_layout *seg = &f->at.seg[0];
    ramp_books(f, 0, 8, 64);
    put_f16(f->page + seg->rscale_off, 0, 15);
    put_f16(f->page + seg->rscale_off, 1, 30);
    f->page[seg->radius_off] = 0x90;     /* span 0, token 1 = 9 */
    f->page[seg->radius_off + 4] = 0x10; /* span 1, token 1 = 1 */
    f->page[seg->code_off] = 0x40;       /* group 0, token 1 = bits 6..11 = 0b101001 */
    f->page[seg->code_off + 1] = 0x0a;
    f->page[seg->code_off + 6] = 0x80; /* group 1, token 1 = 0b000010 */
    decode(f, 2);
    for (uint32_t i = 0; i < 8; i++) {
        double r = i < 4 ? 9.0 : 2.0, c = i < 4 ? 41 : 2;
        assert_true(f->k[8 + i] == r * (i + c / 16));
    }

    open_fixture(f, "g1b2r16sDp:vf32", 8, 8, 0);
    seg = &f->at.seg[0];
    assert_int_equal(seg->rscale_off, SK_NO_FIELD);
    assert_int_not_equal(f->at.pos_off, SK_NO_FIELD);
    ramp_books(f, 0, 8, 4);
    put_f16(f->page + seg->radius_off, 5, 0.375);
    for (uint32_t j = 0; j < 8; j++)
        f->page[seg->code_off + j * 2 + 1] = (uint8_t)((j % 4) << 2); /* token 5 */
    decode(f, 6);
    for (uint32_t i = 0; i < 8; i++)
        assert_true(f->k[5 * 8 + i] == 0.375 * (i + i % 4 / 16.0));
    sk_free(f);
}

static void test_dense_keys(void **state)
{
    (void)state;
    fixture *f = sk_calloc(1, sizeof *f);
    open_fixture(f, "kf32:vf32", 16, 8, 0);
    float x = 1.1f;
    memcpy(f->page + f->at.seg[0].key_off + (3 * 16 + 5) * 4, &x, 4); /* dim 3, token 5 */
    decode(f, 8);
    assert_true(f->k[5 * 16 + 3] == (double)x);

    open_fixture(f, "kf16:vf32", 16, 8, 0);
    put_f16(f->page + f->at.seg[0].key_off, 15 * 16 + 7, -3.25);
    decode(f, 8);
    assert_true(f->k[7 * 16 + 15] == -3.25);

    open_fixture(f, "kbf16:vf32", 16, 8, 0);
    uint16_t h = sk_f32_to_bf16(-80.0f);
    memcpy(f->page + f->at.seg[0].key_off + 2 * 16 * 2, &h, 2);
    decode(f, 8);
    assert_true(f->k[2] == -80);

    open_fixture(f, "ki8:vf32", 40, 8, 0);
    put_f16(f->page + f->at.seg[0].kscale_off, 0 * 8 + 6, 0.5); /* dims 0..31, token 6 */
    put_f16(f->page + f->at.seg[0].kscale_off, 1 * 8 + 6, 2);   /* dims 32..39 */
    f->page[f->at.seg[0].key_off + 31 * 16 + 6] = 0x80;
    f->page[f->at.seg[0].key_off + 32 * 16 + 6] = 0x7f;
    decode(f, 8);
    assert_true(f->k[6 * 40 + 31] == -64);
    assert_true(f->k[6 * 40 + 32] == 254);

    open_fixture(f, "ki4:vf32", 32, 8, 0);
    put_f16(f->page + f->at.seg[0].kscale_off, 6, 0.5);
    put_f16(f->page + f->at.seg[0].kscale_off, 7, 0.25);
    f->page[f->at.seg[0].key_off + (9 * 16 + 6) / 2] = 0xf0; /* low: token 6, high: 7 */
    decode(f, 8);
    assert_true(f->k[6 * 32 + 9] == -4);
    assert_true(f->k[7 * 32 + 9] == 1.75);
    sk_free(f);
}

static void test_dense_values(void **state)
{
    (void)state;
    fixture *f = sk_calloc(1, sizeof *f);
    open_fixture(f, "kf16:vi8", 8, 24, 0); /* row 0: element ((c/16)*16 + t)*16 + c%16 */
    put_f16(f->page + f->at.vscale_off, 18, 0.25);
    f->page[f->at.value_off + (16 + 5) * 16 + 2] = 0xff; /* channel 18, token 5 */
    decode(f, 8);
    assert_true(f->v[5 * 24 + 18] == -0.25);

    open_fixture(f, "kf16:vi4", 8, 24, 0);
    put_f16(f->page + f->at.vscale_off, 19, 0.5);
    put_f16(f->page + f->at.vmin_off, 19, -2);
    put_f16(f->page + f->at.vmin_off, 18, 7);
    f->page[f->at.value_off + ((16 + 5) * 16 + 2) / 2] = 0xf0;
    decode(f, 8);
    assert_true(f->v[5 * 24 + 19] == 5.5);
    assert_true(f->v[5 * 24 + 18] == 7);

    open_fixture(f, "kf16:vf16", 8, 8, 0);
    put_f16(f->page + f->at.value_off, 1 * 16 + 7, 12.5);
    decode(f, 8);
    assert_true(f->v[8 + 7] == 12.5);

    open_fixture(f, "kf16:vf8", 8, 8, 0);
    static const struct {
        uint8_t byte;
        double value;
    } e4m3[] = {{0x38, 1},  {0x7e, 448}, {0x01, 0.001953125}, {0x08, 0.015625},
                {0xb8, -1}, {0x3c, 1.5}, {0x00, 0},           {0x07, 0.013671875}};
    put_f16(f->page + f->at.vscale_off, 0, 0.5);
    for (uint32_t i = 0; i < 8; i++)
        f->page[f->at.value_off + i] = e4m3[i].byte;
    f->page[f->at.value_off + 16] = 0x7f;
    decode(f, 2);
    for (uint32_t i = 0; i < 8; i++)
        assert_true(f->v[i] == 0.5 * e4m3[i].value);
    assert_true(isnan(f->v[8]));
    sk_free(f);
}

/* Row 1, with literal places from the table of the format. */
static void test_row_one(void **state)
{
    (void)state;
    fixture *f = sk_calloc(1, sizeof *f);
    open_fixture(f, "good:vi8", 8, 16, 1);
    const sk_seg_layout *seg = &f->at.seg[0];
    ramp_books(f, 0, 8, 16);
    for (uint32_t t = 0; t < 64; t++)
        put_f16(f->page + seg->radius_off, t, 1);
    /* token 46: T = 14, i = 6, q = 1: byte 16 + 0 + 4 + 1, high nibble */
    f->page[seg->code_off + 2 * 32 + 21] = 0xb0;
    put_f16(f->page + f->at.vscale_off, 3, 1);
    f->page[f->at.value_off + (23 * 16 + 3) * 2 + 1] = 9; /* channel 3, token 47 */
    double *k = sk_malloc(64 * 8 * sizeof *k), *v = sk_malloc(64 * 16 * sizeof *v);
    sk_page_decode_ref(&f->spec, 0, f->page, 64, f->books, k, v);
    for (uint32_t t = 0; t < 64; t++)
        for (uint32_t i = 0; i < 8; i++)
            assert_true(k[t * 8 + i] == i + (t == 46 && i / 2 == 2 ? 11 / 16.0 : 0));
    for (uint32_t t = 0; t < 64; t++)
        for (uint32_t c = 0; c < 16; c++)
            assert_true(v[t * 16 + c] == (t == 47 && c == 3 ? 9 : 0));
    sk_free(k);
    sk_free(v);
    sk_free(f);
}

/* Segments side by side, and values that are the key's first dimensions. */
static void test_segments(void **state)
{
    (void)state;
    fixture *f = sk_calloc(1, sizeof *f);
    open_fixture(f, "8@g4b8r16s8+8@kf16+8@g2b2r16:vk", 24, 16, 0);
    assert_int_equal(f->at.nseg, 3);
    assert_int_equal(f->at.value_off, SK_NO_FIELD);
    ramp_books(f, 0, 8, 256);
    ramp_books(f, 2, 8, 4);
    put_f16(f->page + f->at.seg[0].radius_off, 1, 2);
    f->page[f->at.seg[0].code_off + 1] = 32;      /* group 0, token 1 */
    f->page[f->at.seg[0].code_off + 8 + 1] = 200; /* group 1, token 1 */
    put_f16(f->page + f->at.seg[1].key_off, 5 * 16 + 1, 0.75);
    put_f16(f->page + f->at.seg[2].radius_off, 3 * 8 + 1, 4); /* span 3, token 1 */
    f->page[f->at.seg[2].code_off + 3 * 2] = 3 << 2;          /* group 3, token 1 */
    decode(f, 2);
    for (uint32_t i = 0; i < 24; i++) {
        double want = 0;
        if (i < 8)
            want = 2 * (i + (i < 4 ? 32 : 200) / 16.0);
        else if (i == 13)
            want = 0.75;
        else if (i >= 22)
            want = 4 * (i - 16 + 3 / 16.0);
        assert_true(f->k[24 + i] == want);
        if (i < 16)
            assert_true(f->v[16 + i] == want);
    }
    /* either output alone */
    double first = f->v[16];
    sk_page_decode_ref(&f->spec, 0, f->page, 2, f->books, NULL, f->v);
    sk_page_decode_ref(&f->spec, 0, f->page, 2, f->books, f->k, NULL);
    assert_true(f->v[16] == first && f->k[24] == first);
    sk_free(f);
}

/* Keys come back as the model's: coded dimension i is dimension perm[i], and its mean
 * is added; vk takes its values from there. */
static void test_mean_and_permutation(void **state)
{
    (void)state;
    fixture *f = sk_calloc(1, sizeof *f);
    open_fixture(f, "g2b4r16sD:vk mean permutation", 8, 8, 0);
    assert_int_equal(sk_codebook_permutation_off(&f->spec), 256); /* 8 * 16 halves */
    assert_int_equal(sk_codebook_mean_off(&f->spec), 320);
    assert_int_equal(sk_codebook_head_bytes(&f->spec), 384);
    static const uint32_t order[8] = {2, 7, 0, 1, 6, 3, 5, 4};
    static const float mean[8] = {1, 2, 4, 8, 16, 32, 64, -128};
    memcpy(f->books + 256, order, sizeof order);
    memcpy(f->books + 320, mean, sizeof mean);
    ramp_books(f, 0, 8, 16);
    put_f16(f->page + f->at.seg[0].radius_off, 1, 2);
    f->page[f->at.seg[0].code_off] = 0x80; /* group 0, token 1 = 8 */
    decode(f, 2);
    for (uint32_t i = 0; i < 8; i++) {
        double coded = 2 * (i + (i < 2 ? 0.5 : 0));
        assert_true(f->k[8 + order[i]] == coded + (double)mean[order[i]]);
        assert_true(f->v[8 + order[i]] == coded + (double)mean[order[i]]);
        assert_true(f->k[i] == (double)mean[i]); /* radius 0 */
    }
    sk_free(f);
}

/* A dense segment beside a coded one, and a dense tier, have no mean. */
static void test_mean_of_segments(void **state)
{
    (void)state;
    fixture *f = sk_calloc(1, sizeof *f);
    open_fixture(f, "8@g4b8r16s8+8@kf16:vf16,kf32:vf32 mean", 16, 16, 0);
    float mean[16];
    for (uint32_t i = 0; i < 16; i++)
        mean[i] = (float)i - 20;
    memcpy(f->books + sk_codebook_mean_off(&f->spec), mean, sizeof mean);
    put_f16(f->page + f->at.seg[1].key_off, 5 * 16, 0.75); /* dimension 13, token 0 */
    decode(f, 1);
    for (uint32_t i = 0; i < 16; i++)
        assert_true(f->k[i] == (i < 8 ? (double)mean[i] : i == 13 ? 0.75 : 0));
    memset(f->page, 0, sizeof f->page);
    sk_page_decode_ref(&f->spec, 1, f->page, 1, f->books, f->k, NULL);
    for (uint32_t i = 0; i < 16; i++)
        assert_true(f->k[i] == 0);
    sk_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coded_r8),   cmocka_unit_test(test_coded_r4_r16),
        cmocka_unit_test(test_dense_keys), cmocka_unit_test(test_dense_values),
        cmocka_unit_test(test_row_one),    cmocka_unit_test(test_segments),
        cmocka_unit_test(test_mean_and_permutation),
        cmocka_unit_test(test_mean_of_segments),
    };
    return cmocka_run_group_tests_name("spec_decode_ref", tests, NULL, NULL);
}
