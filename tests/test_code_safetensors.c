/* test_code_safetensors.c - the reader of tensor files against good files,
 * every kind of bad header that is known to slip through a JSON parser, and
 * damage at random places. */
#include "sk_test.h"

#include <math.h>

#include "safetensors.h"

/* A file in memory: header text and `data` bytes of 0, 1, 2 ... */
static char *make_file(const char *header, size_t data, size_t *size)
{
    size_t n = strlen(header);
    *size = 8 + n + data;
    char *file = sk_malloc(*size);
    for (uint32_t i = 0; i < 8; i++)
        file[i] = (char)((uint64_t)n >> 8 * i & 255);
    memcpy(file + 8, header, n);
    for (size_t i = 0; i < data; i++)
        file[8 + n + i] = (char)i;
    return file;
}

static void assert_header(const char *header, size_t data, const char *reason)
{
    size_t size;
    char *file = make_file(header, data, &size);
    sk_safetensors f;
    sk_err err = {0};
    sk_status st = sk_safetensors_parse(file, size, &f, &err);
    if (!reason) {
        sk_assert_ok(st, &err);
        sk_safetensors_free(&f);
    } else {
        if (st == SPHKV_OK)
            fail_msg("accepted: %s", header);
        if (!strstr(err.message, reason))
            fail_msg("%s: \"%s\" does not say \"%s\"", header, err.message, reason);
    }
    sk_free(file);
}

#define T(name, dtype, shape, from, to)                                                            \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to   \
    "]}"

static void test_headers(void **state)
{
    (void)state;
    assert_header("{}", 0, NULL);
    assert_header("{}   ", 0, NULL);
    assert_header("{" T("a", "F32", "[2]", 0, 8) "}", 8, NULL);
    assert_header("{" T("b", "U8", "[3]", 8, 11) "," T("a", "F32", "[2,1]", 0, 8) "}", 11, NULL);
    assert_header("{" T("s", "F16", "[]", 0, 2) "," T("e", "F16", "[0,7]", 2, 2) "}", 2, NULL);
    assert_header("{\"__metadata__\":{\"k\":\"v\"}}", 0, NULL);
    assert_header("{" T("\\\\u0000", "U8", "[1]", 0, 1) "}", 1, NULL); /* a backslash */

    assert_header("", 0, "no header");
    assert_header("[]", 0, "no header");
    assert_header("{", 0, "no JSON");
    assert_header("{} x", 0, "behind its object");
    assert_header("{}{}", 0, "behind its object");
    assert_header("{" T("a\\u0000b", "U8", "[1]", 0, 1) "}", 1, "NUL");
    assert_header("{\"a\":3}", 0, "no object");
    assert_header("{\"a\":{}}", 0, "lacks its dtype");
    assert_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, "lacks its data_offsets");
    assert_header("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1]}}", 4, "given twice");
    assert_header("{\"a\":{\"DTYPE\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown");
    assert_header("{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype");
    assert_header("{" T("a", "F12", "[1]", 0, 4) "}", 4, "dtype 'F12'");
    assert_header("{" T("a", "F32", "4", 0, 4) "}", 4, "no list");
    assert_header("{" T("a", "F32", "[-1]", 0, 4) "}", 4, "no size");
    assert_header("{" T("a", "F32", "[1.5]", 0, 4) "}", 4, "no size");
    assert_header("{" T("a", "F32", "[\"1\"]", 0, 4) "}", 4, "no size");
    assert_header("{" T("a", "F32", "[1e400]", 0, 4) "}", 4, "no size");
    assert_header("{" T("a", "F32", "[9007199254740993]", 0, 4) "}", 4, "no size");
    assert_header("{" T("a", "F32", "[4503599627370496,4503599627370496]", 0, 4) "}", 4, "no size");
    assert_header("{" T("a", "F64", "[4503599627370496,1024]", 0, 4) "}", 4,
                  "shape does not match");
    assert_header("{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, "more than 8");
    assert_header("{" T("a", "F32", "[1]", 0, 8) "}", 8, "shape does not match");
    assert_header("{" T("a", "F32", "[1]", 4, 0) "}", 8, "no byte range");
    assert_header("{" T("a", "F32", "[1]", 0, 4) "}", 3, "beyond the end");
    assert_header("{" T("a", "F32", "[1]", 9007199254740000, 9007199254740004) "}", 4, "beyond");
    assert_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "range");
    assert_header("{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[2]", 1, 3) "}", 3, "overlaps");
    assert_header("{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[2]", 3, 5) "}", 5, "gap");
    assert_header("{" T("a", "U8", "[2]", 0, 2) "}", 5, "belong to none");
    assert_header("{" T("a", "U8", "[2]", 0, 2) "," T("a", "U8", "[2]", 2, 4) "}", 4, "twice");
    assert_header("{\"__metadata__\":7}", 0, "__metadata__");
    assert_header("{\"__metadata__\":{\"k\":7}}", 0, "no text");
    assert_header("{\"__metadata__\":{\"k\":\"a\",\"k\":\"b\"}}", 0, "twice");
}

static void test_lengths(void **state)
{
    (void)state;
    sk_safetensors f;
    sk_err err = {0};
    uint8_t bytes[16] = {0};
    for (size_t n = 0; n < 8; n++)
        assert_int_equal(sk_safetensors_parse(bytes, n, &f, &err), SPHKV_EINVAL);
    memset(bytes, 0xff, 8);
    assert_int_equal(sk_safetensors_parse(bytes, 16, &f, &err), SPHKV_EINVAL);
    memset(bytes, 0, 8);
    bytes[0] = 9;
    assert_int_equal(sk_safetensors_parse(bytes, 16, &f, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "inside its header"));
    assert_int_equal(sk_safetensors_read("/nonexistent/x", 100, &f, &err), SPHKV_ENOTFOUND);
}

static void test_convert(void **state)
{
    static const struct {
        uint32_t dtype;
        uint8_t bytes[8];
        float value;
    } cases[] = {
        {SK_TENSOR_BOOL, {1}, 1},
        {SK_TENSOR_U8, {255}, 255},
        {SK_TENSOR_I8, {255}, -1},
        {SK_TENSOR_F8_E4M3, {0xb8}, -1},
        {SK_TENSOR_F8_E5M2, {0x3c}, 1},
        {SK_TENSOR_U16, {0xff, 0xff}, 65535},
        {SK_TENSOR_I16, {0xfe, 0xff}, -2},
        {SK_TENSOR_F16, {0x00, 0xc0}, -2},
        {SK_TENSOR_BF16, {0x80, 0x3f}, 1},
        {SK_TENSOR_U32, {0, 0, 0, 0x80}, 2147483648.0f},
        {SK_TENSOR_I32, {0xfd, 0xff, 0xff, 0xff}, -3},
        {SK_TENSOR_F32, {0, 0, 0x20, 0x40}, 2.5f},
        {SK_TENSOR_U64, {0, 0, 0, 0, 1}, 4294967296.0f},
        {SK_TENSOR_I64, {0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -4},
        {SK_TENSOR_F64, {0, 0, 0, 0, 0, 0, 0xf8, 0xbf}, -1.5f},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        uint32_t size = sk_tensor_dtype_bytes(cases[i].dtype);
        uint8_t data[32] = {0};
        float out[2];
        memcpy(data + 1 + size, cases[i].bytes, size); /* not aligned */
        sk_tensor t = {.dtype = cases[i].dtype, .data = data + 1, .count = 2};
        sk_tensor_to_f32(&t, 0, 2, out);
        assert_true(out[0] == 0 && out[1] == cases[i].value);
        sk_tensor_to_f32(&t, 1, 1, out);
        assert_true(out[0] == cases[i].value);
    }
    assert_null(sk_tensor_dtype_name(99));
    assert_int_equal(sk_tensor_dtype_bytes(99), 0);
}

static void test_write_read(void **state)
{
    (void)state;
    static const float a[6] = {1, 2, 3, 4, 5, 6};
    static const uint8_t b[3] = {7, 8, 9};
    const sk_tensor tensors[] = {
        {.name = "a.weight",
         .dtype = SK_TENSOR_F32,
         .ndim = 2,
         .dims = {2, 3},
         .data = (const uint8_t *)a},
        {.name = "odd \"name\" \\ \t \xc3\xa9",
         .dtype = SK_TENSOR_U8,
         .ndim = 1,
         .dims = {3},
         .data = b},
    };
    const sk_tensor_note notes[] = {{"k", "v"}, {"quote\"", "line\nbreak"}};
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "x.safetensors");
    sk_safetensors f;
    sk_err err = {0};
    float out[6];
    sk_assert_ok(sk_safetensors_write(path, tensors, 2, notes, 2, &err), &err);
    sk_assert_ok(sk_safetensors_read(path, 4096, &f, &err), &err);
    assert_int_equal(f.tensors, 2);
    assert_int_equal((f.data - (const uint8_t *)f.file) % 64, 0);
    const sk_tensor *t = sk_safetensors_find(&f, "a.weight");
    assert_non_null(t);
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->dims[1], 3);
    assert_int_equal(t->count, 6);
    sk_tensor_to_f32(t, 0, 6, out);
    assert_memory_equal(out, a, sizeof a);
    t = sk_safetensors_find(&f, tensors[1].name);
    assert_non_null(t);
    assert_memory_equal(t->data, b, 3);
    assert_null(sk_safetensors_find(&f, "A.weight"));
    assert_string_equal(sk_safetensors_note(&f, "quote\""), "line\nbreak");
    assert_null(sk_safetensors_note(&f, "K"));
    sk_safetensors_free(&f);
    assert_int_equal(sk_safetensors_read(path, 16, &f, &err), SPHKV_EINVAL); /* the limit */
    sk_free(path);
    sk_test_dir_remove(dir);
}

/* Random damage to the header never crashes, and what is accepted is sane. */
static void test_damage(void **state)
{
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\"}," T(
        "a", "F32", "[2,3]", 0, 24) "," T("b", "F16", "[4]", 24, 32) "}";
    sk_rng rng = sk_test_rng(31);
    size_t size;
    char *good = make_file(header, 32, &size);
    for (int i = 0; i < 20000; i++) {
        char *file = sk_malloc(size); /* exact size: the sanitizer sees one byte too far */
        size_t n = sk_rng_below(&rng, 4) ? size : sk_rng_below(&rng, (uint32_t)size);
        memcpy(file, good, size);
        for (uint32_t k = sk_rng_below(&rng, 4); k; k--)
            file[sk_rng_below(&rng, (uint32_t)size)] = (char)sk_rng_u64(&rng);
        char *cut = sk_realloc(file, n ? n : 1);
        sk_safetensors f;
        sk_err err = {0};
        if (sk_safetensors_parse(cut, n, &f, &err) == SPHKV_OK) {
            float sum = 0, x;
            for (uint32_t t = 0; t < f.tensors; t++)
                for (uint64_t e = 0; e < f.tensor[t].count; e++) {
                    sk_tensor_to_f32(&f.tensor[t], e, 1, &x);
                    sum += x;
                }
            (void)sum;
            sk_safetensors_free(&f);
        } else {
            assert_int_not_equal(err.message[0], 0);
        }
        sk_free(cut);
    }
    sk_free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_convert), cmocka_unit_test(test_write_read),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests_name("code_safetensors", tests, NULL, NULL);
}
