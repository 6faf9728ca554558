/* test_code_frame.c - codebook sets with a mean, a permutation, a transform: what is made
 * without data and from keys, where it stands in the packed set, the files it goes
 * through, and what happens where a file and a spec do not agree. */
#include "sk_test.h"

#include <math.h>

#include "codebook.h"
#include "safetensors.h"

#define D 32u
#define HEADS 2u
#define BOTH (SPHKV_BOOK_MEAN | SPHKV_BOOK_PERMUTATION)
#define BOOKS 12u /* sets of flags: a transform is of one kind */
#define TURNED (SPHKV_BOOK_TRANSFORM | SPHKV_BOOK_HADAMARD)

static sphkv_spec_params params_of(const char *mix, uint32_t book)
{
    return (sphkv_spec_params){
        .size = sizeof(sphkv_spec_params), .head_dim = D, .tiers = mix, .book = book};
}

static sphkv_codebook *make_default(const char *mix, uint32_t book)
{
    sphkv_spec_params params = params_of(mix, book);
    sphkv_codebook *cb;
    sk_err err = {0};
    sk_assert_ok(sphkv_codebook_default(&params, HEADS, 5, &cb, &err), &err);
    return cb;
}

static uint32_t rule(uint32_t i)
{
    return i % 2 ? i / 2 + D / 2 : i / 2;
}

/* The packed set of a head is its tables as in a plain one, then the permutation, then the
 * mean, then the transform by columns or signs over the root of D. */
static void assert_packed(const sphkv_codebook *cb, const sphkv_codebook *plain, uint32_t book)
{
    size_t stride, bytes;
    const uint8_t *data = sphkv_codebook_data(cb, &stride, &bytes);
    assert_non_null(data);
    assert_int_equal(bytes, stride * HEADS);
    for (uint32_t h = 0; h < HEADS; h++, data += stride) {
        const uint8_t *at = data + plain->head_bytes;
        assert_memory_equal(data, sk_codebook_head(plain, h), plain->head_bytes);
        if (book & SPHKV_BOOK_PERMUTATION) {
            assert_memory_equal(at, cb->permutation, D * 4);
            at += (D * 4 + 63) / 64 * 64;
        }
        if (book & SPHKV_BOOK_MEAN) {
            assert_memory_equal(at, cb->mean + (size_t)h * D, D * 4);
            at += (D * 4 + 63) / 64 * 64;
        }
        for (uint32_t n = 0; n < D * D && book & SPHKV_BOOK_TRANSFORM; n++)
            assert_memory_equal(at + n * 4,
                                &cb->transform[(h * D + n % D) * (size_t)D + n / D], 4);
        for (uint32_t i = 0; i < D && book & SPHKV_BOOK_HADAMARD; i++) {
            float x;
            memcpy(&x, at + i * 4, 4);
            assert_true(fabs((double)x - (double)cb->signs[h * D + i] / sqrt(D)) < 1e-7);
        }
        if (book & SPHKV_BOOK_TRANSFORM) at += D * D * 4;
        if (book & SPHKV_BOOK_HADAMARD) at += (D * 4 + 63) / 64 * 64;
        assert_ptr_equal(at, data + stride);
    }
}

static void test_default(void **state)
{
    (void)state;
    sphkv_codebook *plain = make_default("good:vi8,high:vi8,kf16:vf16", 0);
    assert_null(plain->mean);
    assert_null(plain->permutation);
    for (uint32_t book = 1; book < BOOKS; book++) {
        sphkv_codebook *cb = make_default("good:vi8,high:vi8,kf16:vf16", book);
        assert_int_equal(cb->mean != NULL, book & SPHKV_BOOK_MEAN);
        assert_int_equal(cb->permutation != NULL, (book & SPHKV_BOOK_PERMUTATION) != 0);
        assert_int_equal(cb->transform != NULL, (book & SPHKV_BOOK_TRANSFORM) != 0);
        assert_int_equal(cb->signs != NULL, (book & SPHKV_BOOK_HADAMARD) != 0);
        for (uint32_t i = 0; i < D && cb->permutation; i++)
            assert_int_equal(cb->permutation[i], rule(i));
        for (uint32_t i = 0; i < HEADS * D && cb->mean; i++)
            assert_true(cb->mean[i] == 0);
        assert_packed(cb, plain, book);
        sphkv_codebook_free(cb);
    }
    sphkv_codebook_free(plain);
    sphkv_codebook *dense = make_default("kf16:vf16", BOTH); /* nothing to hold it */
    assert_null(dense->mean);
    assert_null(sphkv_codebook_data(dense, NULL, NULL));
    sphkv_codebook_free(dense);
}

/* Rows of keys times the transform of their head, from its definition. */
static void turn_keys(const sphkv_codebook *cb, float *keys, uint32_t rows)
{
    for (uint32_t n = 0; n < rows * HEADS; n++) {
        double x[D] = {0};
        for (uint32_t i = 0; i < D; i++)
            for (uint32_t j = 0; j < D; j++) {
                const uint32_t head = n % HEADS;
                const double t = cb->transform ? (double)cb->transform[(head * D + i) * D + j]
                                 : __builtin_popcount(i & j) % 2
                                     ? -(double)cb->signs[head * D + j] / sqrt(D)
                                     : (double)cb->signs[head * D + j] / sqrt(D);
                x[i] += t * (double)keys[n * D + j];
            }
        for (uint32_t i = 0; i < D; i++)
            keys[n * D + i] = (float)x[i];
    }
}

/* Sums of other orders: words that are rounded the other way. */
static void assert_words_near(const sphkv_codebook *a, const sphkv_codebook *b)
{
    for (uint32_t h = 0; h < HEADS; h++)
        for (uint32_t i = 0; i < b->head_bytes / 2; i++) {
            uint16_t x, y;
            memcpy(&x, sk_codebook_head(a, h) + 2 * (size_t)i, 2);
            memcpy(&y, sk_codebook_head(b, h) + 2 * (size_t)i, 2);
            assert_true(fabsf(sk_f16_to_f32(x) - sk_f16_to_f32(y)) < 2e-3f);
        }
}

/* Transforms that sphkv_codebook_default makes are orthogonal, and apply as packed. */
static void test_rotations(void **state)
{
    (void)state;
    for (uint32_t book = SPHKV_BOOK_TRANSFORM; book < BOOKS; book++) {
        sphkv_codebook *cb = make_default("good:vi8", book);
        sphkv_spec_params params = params_of("good:vi8", book);
        sk_spec spec;
        sk_err err = {0};
        sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
        for (uint32_t h = 0; h < HEADS; h++) {
            float key[D];
            double wide[D], x[D], want[D], in = 0, out = 0;
            for (uint32_t i = 0; i < D; i++) {
                key[i] = (float)(i * 37 % 19) - 7;
                wide[i] = (double)key[i];
                in += wide[i] * wide[i];
            }
            sk_codebook_frame_key(cb, h, key, x);
            sk_coded_key_ref(&spec, sk_codebook_head(cb, h), wide, 0, D, want);
            for (uint32_t i = 0; i < D; i++) {
                assert_true(fabs(x[i] - want[i]) < 1e-5);
                out += x[i] * x[i];
            }
            assert_true(fabs(out - in) < 1e-4 * in);
        }
        sphkv_codebook_free(cb);
    }
}

/* Small integers around an integer mean, so that nothing is rounded: training with
 * the flags must give the words of plain training on the keys as they are coded. */
static void test_train(void **state)
{
    enum { ROWS = 64 };
    (void)state;
    static float keys[ROWS * HEADS * D], coded[ROWS * HEADS * D];
    sk_rng rng = sk_test_rng(51);
    sk_err err = {0};
    for (uint32_t i = 0; i < HEADS * D; i++) {
        int mean = (int)sk_rng_below(&rng, 41) - 20, sum = 0;
        for (uint32_t r = 0; r < ROWS; r++) {
            int x = (int)sk_rng_below(&rng, 17) - 8;
            if (r + 1 == ROWS) x = -sum;
            sum += x;
            keys[r * HEADS * D + i] = (float)(mean + x);
        }
    }
    for (uint32_t book = 1; book < BOOKS; book++) {
        sphkv_spec_params params = params_of("good:vi8,g8b4r8:vi8", book), plain = params;
        sphkv_codebook *cb, *want;
        plain.book = 0;
        sk_assert_ok(sphkv_codebook_train(&params, HEADS, keys, ROWS, 5, &cb, &err), &err);
        for (uint32_t i = 0; i < HEADS * D && cb->mean; i++) {
            double sum = 0;
            for (uint32_t r = 0; r < ROWS; r++)
                sum += (double)keys[r * HEADS * D + i];
            assert_true((double)cb->mean[i] == sum / ROWS);
        }
        for (uint32_t n = 0; n < ROWS * HEADS * D; n++) {
            uint32_t head = n / D % HEADS, i = n % D;
            uint32_t from = book & SPHKV_BOOK_PERMUTATION ? rule(i) : i;
            coded[n] = keys[n - i + from] - (cb->mean ? cb->mean[head * D + from] : 0);
        }
        if (book & TURNED) turn_keys(cb, coded, ROWS);
        sk_assert_ok(sphkv_codebook_train(&plain, HEADS, coded, ROWS, 5, &want, &err), &err);
        if (book & TURNED)
            assert_words_near(cb, want);
        else
            assert_packed(cb, want, book);
        sphkv_codebook_free(cb);
        sphkv_codebook_free(want);
    }
}

/* ---- files ------------------------------------------------------------------- */

/* A file of every kind against a spec of every kind: the same set where they agree,
 * else one line that names what is missing or too much. */
static void test_agreement(void **state)
{
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "set.safetensors");
    for (uint32_t has = 0; has < BOOKS; has++) {
        sphkv_codebook *a = make_default("mid:vi8", has), *b;
        sk_err err = {0};
        for (uint32_t i = 0; i < HEADS * D && a->mean; i++)
            a->mean[i] = (float)i / 8 - 3;
        for (uint32_t i = 0; i < D && a->permutation; i++)
            a->permutation[i] = (i * 5 + 3) % D;
        sk_codebook_frame_pack(a);
        sk_assert_ok(sphkv_codebook_save(a, path, &err), &err);
        for (uint32_t says = 0; says < BOOKS; says++) {
            sphkv_spec_params params = params_of("mid:vi8,kf16:vf16", says);
            sk_status st = sphkv_codebook_load(path, &params, HEADS, &b, &err);
            if (has == says) {
                sk_assert_ok(st, &err);
                assert_int_equal(a->head_bytes, b->head_bytes);
                assert_memory_equal(a->packed, b->packed, (size_t)a->head_bytes * HEADS);
                sphkv_codebook_free(b);
                continue;
            }
            uint32_t bit = (uint32_t)__builtin_ctz(has ^ says);
            assert_int_equal(st, SPHKV_EINVAL);
            assert_null(b);
            assert_non_null(strstr(err.message, sk_book_name(bit)));
            assert_non_null(strstr(err.message, says >> bit & 1 ? "has none" : "does not ask"));
            assert_non_null(strstr(err.message, "set.safetensors"));
        }
        sphkv_codebook_free(a);
    }
    sk_free(path);
    sk_test_dir_remove(dir);
}

/* A set made for one kind of spec does not fit another. */
static void test_fits(void **state)
{
    (void)state;
    sphkv_codebook *cb = make_default("good:vi8", SPHKV_BOOK_MEAN);
    for (uint32_t book = 0; book < BOOKS; book++) {
        sphkv_spec_params params = params_of("good:vi4,kf16:vf16", book);
        sk_spec spec;
        sk_err err = {0};
        sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
        assert_int_equal(sk_codebook_fits(cb, &spec, HEADS, &err),
                         book == SPHKV_BOOK_MEAN ? SPHKV_OK : SPHKV_EINVAL);
    }
    sphkv_codebook_free(cb);
}

/* Means and permutations that are not: as a file, and as a packed set that a page is
 * read with. */
static void test_hostile(void **state)
{
    static const struct {
        bool mean;
        uint32_t at, bits;
        const char *reason;
    } bad[] = {
        {true, 0, 0x7fc00000, "mean: element 0 is not finite"},
        {true, 63, 0xff800000, "mean: element 63 is not finite"},
        {false, 0, D, "permutation: element 0 is out of range or twice"},
        {false, 31, 0xffffffff, "permutation: element 31 is out of range or twice"},
        {false, 7, 1, "permutation: element 7 is out of range or twice"},
    };
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "set.safetensors");
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sphkv_spec_params params = params_of("mid:vi8", BOTH);
        sphkv_codebook *a = make_default("mid:vi8", BOTH), *b;
        sk_err err = {0};
        double k[D];
        memcpy(bad[i].mean ? (void *)&a->mean[bad[i].at] : (void *)&a->permutation[bad[i].at],
               &bad[i].bits, 4);
        sk_assert_ok(sphkv_codebook_save(a, path, &err), &err);
        assert_int_equal(sphkv_codebook_load(path, &params, HEADS, &b, &err), SPHKV_EINVAL);
        assert_null(b);
        if (!strstr(err.message, bad[i].reason)) fail_msg("%s", err.message);
        sk_codebook_frame_pack(a);
        static uint8_t page[128 * 128];
        sk_status st = sphkv_page_read(&params, 0, page, 1, sk_codebook_head(a, 1), k, NULL, &err);
        assert_int_equal(st, bad[i].mean ? SPHKV_OK : SPHKV_EINVAL);
        if (!bad[i].mean) assert_non_null(strstr(err.message, "out of range or twice"));
        sphkv_codebook_free(a);
    }
    sk_free(path);
    sk_test_dir_remove(dir);
}

/* Transforms that are none, and a matrix that all heads share, which a file holds once. */
static void test_hostile_transforms(void **state)
{
    static const struct {
        uint32_t book, at;
        float x;
        const char *reason;
    } bad[] = {
        {SPHKV_BOOK_TRANSFORM, 5, 4.0f, "transform: rows 0 and 0 are not orthonormal"},
        {SPHKV_BOOK_TRANSFORM, D * D + 3 * D, NAN, "are not orthonormal"},
        {SPHKV_BOOK_HADAMARD, 0, 0.5f, "hadamard: element 0 is 0.5, not 1 or -1"},
        {SPHKV_BOOK_HADAMARD, HEADS * D - 1, NAN, "hadamard: element 63 is"},
    };
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "set.safetensors");
    sk_err err = {0};
    sphkv_codebook *a, *b;
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sphkv_spec_params params = params_of("mid:vi8", bad[i].book);
        a = make_default("mid:vi8", bad[i].book);
        (a->transform ? a->transform : a->signs)[bad[i].at] = bad[i].x;
        sk_assert_ok(sphkv_codebook_save(a, path, &err), &err);
        assert_int_equal(sphkv_codebook_load(path, &params, HEADS, &b, &err), SPHKV_EINVAL);
        if (!strstr(err.message, bad[i].reason)) fail_msg("%s", err.message);
        sphkv_codebook_free(a);
    }
    sphkv_spec_params params = params_of("mid:vi8", SPHKV_BOOK_TRANSFORM);
    a = make_default("mid:vi8", SPHKV_BOOK_TRANSFORM);
    memcpy(a->transform + D * D, a->transform, D * D * sizeof *a->transform);
    sk_codebook_frame_pack(a);
    sk_assert_ok(sphkv_codebook_save(a, path, &err), &err);
    sk_safetensors f;
    sk_assert_ok(sk_safetensors_read(path, 1 << 20, &f, &err), &err);
    assert_int_equal(sk_safetensors_find(&f, "transform")->ndim, 2);
    sk_safetensors_free(&f);
    sk_assert_ok(sphkv_codebook_load(path, &params, HEADS, &b, &err), &err);
    assert_memory_equal(a->packed, b->packed, (size_t)a->head_bytes * HEADS);
    sphkv_codebook_free(a);
    sphkv_codebook_free(b);
    sk_free(path);
    sk_test_dir_remove(dir);
}

static sk_status call_of(uint32_t call, const sphkv_spec_params *params, const sphkv_codebook *a,
                         const char *path, sphkv_codebook **b)
{
    static float keys[8 * HEADS * D];
    sk_err err = {0};
    for (uint32_t i = 0; i < SK_COUNT(keys); i++)
        keys[i] = (float)(i * 7 % 31);
    if (call == 0) return sphkv_codebook_default(params, HEADS, 5, b, &err);
    if (call == 1) return sphkv_codebook_train(params, HEADS, keys, 8, 5, b, &err);
    if (call == 2) return sphkv_codebook_load(path, params, HEADS, b, &err);
    return sphkv_codebook_save(a, path, &err);
}

/* Every allocation of every call may fail, whatever the set holds. */
static void out_of_memory(const char *mix, uint32_t book)
{
    sphkv_spec_params params = params_of(mix, book);
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "set.safetensors");
    sk_err err = {0};
    sphkv_codebook *a = make_default(mix, book), *b;
    sk_assert_ok(sphkv_codebook_save(a, path, &err), &err);
    for (uint32_t call = 0; call < 4; call++) {
        uint64_t n = 1;
        for (bool reached = true; reached; n++) {
            b = NULL;
            sk_alloc_fault(n, n % 2);
            sk_status st = call_of(call, &params, a, path, &b);
            reached = sk_alloc_fault(0, false) >= n;
            assert_true(st == SPHKV_OK || (reached && st == SPHKV_ENOMEM));
            assert_true(call == 3 || (st == SPHKV_OK) == (b != NULL));
            sphkv_codebook_free(b);
        }
        assert_true(n > 4);
    }
    sk_assert_ok(sphkv_codebook_load(path, &params, HEADS, &b, &err), &err);
    assert_memory_equal(a->packed, b->packed, (size_t)a->head_bytes * HEADS);
    sphkv_codebook_free(a);
    sphkv_codebook_free(b);
    sk_free(path);
    sk_test_dir_remove(dir);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    out_of_memory("g2b4r8:vi8", BOTH);
    out_of_memory("g4b2x2r16sD:vi8", BOTH | SPHKV_BOOK_TRANSFORM);
    out_of_memory("16@g2b4r16s16p+16@kf16:vi8", SPHKV_BOOK_MEAN);
    out_of_memory("g8b4r16sDp:vk,kf16p:vf16", BOTH | SPHKV_BOOK_HADAMARD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default), cmocka_unit_test(test_train),
        cmocka_unit_test(test_agreement), cmocka_unit_test(test_fits),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_rotations),
        cmocka_unit_test(test_hostile_transforms), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("code_frame", tests, NULL, NULL);
}
