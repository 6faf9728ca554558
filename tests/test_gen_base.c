/* test_gen_base.c - the ground: known answers where a standard gives them, an
 * oracle in double where it does not, and a failed allocation at every place. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <fcntl.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- SHA-256 -------------------------------------------------------------- */

static void sha256_known_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
         "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    char hex[65];
    for (size_t i = 0; i < SK_COUNT(known); i++) {
        sk_sha256_of(known[i].text, strlen(known[i].text), hex);
        assert_string_equal(hex, known[i].hex);
    }
    sk_sha256 s;
    sk_sha256_init(&s);
    char thousand[1000];
    memset(thousand, 'a', sizeof thousand);
    for (int i = 0; i < 1000; i++)
        sk_sha256_add(&s, thousand, sizeof thousand);
    sk_sha256_hex(&s, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Any way of cutting the input gives the same hash, at every length around the
 * block and padding borders. */
static void sha256_any_pieces(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(1);
    uint8_t data[260];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)sk_rng_u64(&rng);
    for (size_t len = 0; len <= sizeof data; len++) {
        char whole[65], pieces[65];
        sk_sha256_of(data, len, whole);
        sk_sha256 s;
        sk_sha256_init(&s);
        for (size_t at = 0; at < len;) {
            size_t take = sk_rng_below(&rng, 70);
            if (take > len - at)
                take = len - at;
            sk_sha256_add(&s, data + at, take);
            at += take;
        }
        sk_sha256_hex(&s, pieces);
        assert_string_equal(pieces, whole);
    }
}

/* ---- halves ---------------------------------------------------------------- */

/* The value of f16 bits by arithmetic alone; not for NaN. */
static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 0x3ff;
    double magnitude = exponent == 31 ? (double)INFINITY
                       : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                      : ldexp(fraction, -24);
    return h & 0x8000 ? -magnitude : magnitude;
}

static void check_to_half(double x, uint16_t want)
{
    uint16_t got = sk_f32_to_f16((float)x);
    if (got != want)
        fail_msg("f16 of %a is %04x, want %04x", x, got, want);
    got = sk_f32_to_f16((float)-x);
    if (got != (want ^ 0x8000))
        fail_msg("f16 of %a is %04x, want %04x", -x, got, want ^ 0x8000);
}

/* Every half, and every border between two neighbours with the floats beside
 * it: rounding is monotone, so this settles all floats. */
static void half_exhaustive(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7fff) > 0x7c00)
            continue;
        float x = sk_f16_to_f32((uint16_t)h);
        if ((double)x != half_value((uint16_t)h) || !!signbit(x) != (h >> 15))
            fail_msg("f16 %04x reads as %a", h, (double)x);
        assert_int_equal(sk_f32_to_f16(x), h);
    }
    for (uint16_t h = 0; h < 0x7c00; h++) {
        double low = half_value(h);
        double high = h == 0x7bff ? 65536.0 : half_value((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2); /* exact */
        check_to_half(middle, (uint16_t)(h & 1 ? h + 1 : h));
        check_to_half(nextafterf(middle, 0), h);
        check_to_half(nextafterf(middle, INFINITY), (uint16_t)(h + 1));
    }
    check_to_half(FLT_MAX, 0x7c00);
    check_to_half((double)INFINITY, 0x7c00);
    check_to_half((double)FLT_TRUE_MIN, 0);
}

static float float_from(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint32_t bits_from(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static void half_nan(void **state)
{
    (void)state;
    for (uint32_t h = 0x7c01; h < 0x8000; h++) {
        uint32_t u = bits_from(sk_f16_to_f32((uint16_t)h));
        assert_int_equal(u, 0x7f800000u | 0x400000u | (h & 0x3ff) << 13);
        assert_int_equal(sk_f32_to_f16(float_from(u)), h | 0x200);
        assert_int_equal(sk_f32_to_f16(float_from(u | 0x80000000u)), h | 0x8200);
    }
    assert_int_equal(sk_f32_to_f16(float_from(0x7f800001u)), 0x7e00);
    assert_int_equal(sk_f32_to_bf16(float_from(0x7f800001u)), 0x7fc0);
    assert_int_equal(sk_f32_to_bf16(float_from(0xff812345u)), 0xffc1);
}

/* The hardware's word on it: the compiler's own half type, where it has one. */
static void half_as_the_compiler(void **state)
{
    (void)state;
#if defined(__FLT16_MAX__)
    sk_rng rng = sk_test_rng(2);
    for (int i = 0; i < 2000000; i++) {
        uint32_t u = (uint32_t)sk_rng_u64(&rng);
        if (i & 1) /* most floats are far outside the range of halves */
            u = (u & 0x807fffffu) | (100 + sk_rng_below(&rng, 46)) << 23;
        float x = float_from(u);
        _Float16 half = (_Float16)x;
        uint16_t want;
        memcpy(&want, &half, sizeof want);
        if (sk_f32_to_f16(x) != want && !isnan(x))
            fail_msg("f16 of %a: %04x, the compiler says %04x", (double)x, sk_f32_to_f16(x), want);
    }
#else
    skip();
#endif
}

/* bf16 by doubles: nearest of the two neighbours, ties to the even one. */
static void bf16_rounds_to_nearest(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(3);
    for (uint32_t h = 0; h < 0x7f80; h++) {
        assert_int_equal(sk_f32_to_bf16(sk_bf16_to_f32((uint16_t)h)), h);
        float middle = float_from(h << 16 | 0x8000);
        assert_int_equal(sk_f32_to_bf16(middle), h + (h & 1));
        assert_int_equal(sk_f32_to_bf16(nextafterf(middle, 0)), h);
        assert_int_equal(sk_f32_to_bf16(nextafterf(middle, INFINITY)), h + 1);
        uint32_t any = h << 16 | sk_rng_below(&rng, 0x8000);
        assert_int_equal(sk_f32_to_bf16(float_from(any | 0x80000000u)), h | 0x8000);
    }
    assert_int_equal(sk_f32_to_bf16(FLT_MAX), 0x7f80);
}

/* ---- numbers ---------------------------------------------------------------- */

static void rng_is_the_same_everywhere(void **state)
{
    (void)state;
    sk_rng rng;
    /* splitmix64 of 1234567: published first values, here as the state */
    sk_rng_seed(&rng, 1234567);
    assert_true(rng.s[0] == 6457827717110365317u && rng.s[1] == 3203168211198807973u);
    assert_true(rng.s[2] == 9817491932198370423u && rng.s[3] == 4593380528125082431u);
    /* xoshiro256** from the state 1 2 3 4: published first values */
    rng = (sk_rng){{1, 2, 3, 4}};
    static const uint64_t want[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
    for (size_t i = 0; i < SK_COUNT(want); i++)
        assert_true(sk_rng_u64(&rng) == want[i]);
    /* exact bits, so that a changed compiler or libm shows */
    sk_rng_seed(&rng, 42);
    double sum = 0;
    for (int i = 0; i < 1000; i++)
        sum += sk_rng_normal(&rng);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    assert_true(bits == 0x4037f5de21b40822u);
}

static void rng_distributions(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(4);
    uint32_t seen[7] = {0};
    for (int i = 0; i < 70000; i++)
        seen[sk_rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 9400, 10600);
    assert_int_equal(sk_rng_below(&rng, 1), 0);
    double mean = 0, square = 0, fourth = 0, unit = 0;
    int n = 200000;
    for (int i = 0; i < n; i++) {
        double u = sk_rng_unit(&rng), x = sk_rng_normal(&rng);
        assert_true(u >= 0 && u < 1 && isfinite(x));
        unit += u;
        mean += x;
        square += x * x;
        fourth += x * x * x * x;
    }
    assert_true(fabs(unit / n - 0.5) < 0.005);
    assert_true(fabs(mean / n) < 0.015);
    assert_true(fabs(square / n - 1) < 0.02);
    assert_true(fabs(fourth / n - 3) < 0.2);
}

static void parse_numbers(void **state)
{
    (void)state;
    uint64_t u = 7;
    assert_true(sk_parse_u64("0", 0, 9, &u) && u == 0);
    assert_true(sk_parse_u64("18446744073709551615", 0, UINT64_MAX, &u) && u == UINT64_MAX);
    assert_true(sk_parse_u64("007", 7, 7, &u) && u == 7);
    static const char *const bad_u64[] = {"",
                                          " 1",
                                          "1 ",
                                          "+1",
                                          "-1",
                                          "0x10",
                                          "1.0",
                                          "1e3",
                                          "a",
                                          "18446744073709551616",
                                          "99999999999999999999999"};
    for (size_t i = 0; i < SK_COUNT(bad_u64); i++)
        assert_false(sk_parse_u64(bad_u64[i], 0, UINT64_MAX, &u));
    assert_false(sk_parse_u64(NULL, 0, 1, &u));
    assert_false(sk_parse_u64("3", 4, 9, &u));
    assert_false(sk_parse_u64("10", 4, 9, &u));
    assert_true(u == 7);

    double x = 7;
    assert_true(sk_parse_f64("-1.5e-3", -1, 1, &x) && x == -1.5e-3);
    assert_true(sk_parse_f64("+.5", 0, 1, &x) && x == 0.5);
    assert_true(sk_parse_f64("5.", 0, 9, &x) && x == 5);
    assert_true(sk_parse_f64("1E2", 0, 100, &x) && x == 100);
    static const char *const bad_f64[] = {"",      ".",  "-",   "e5",   "1e",    "1e+",
                                          " 1",    "1 ", "0x1", "inf",  "nan",   "1,5",
                                          "1.5.2", "1f", "--1", "1e5x", "1e400", "-inf"};
    for (size_t i = 0; i < SK_COUNT(bad_f64); i++)
        assert_false(sk_parse_f64(bad_f64[i], -INFINITY, INFINITY, &x));
    assert_false(sk_parse_f64("1.01", 0, 1, &x));
    assert_false(sk_parse_f64(NULL, 0, 1, &x));
    assert_true(x == 100);
}

/* An engine may have set a locale with a decimal comma. */
static void numbers_ignore_the_locale(void **state)
{
    (void)state;
    char probe[16];
    sk_text t = {0};
    double x = 0;
    sk_test_decimal_comma();
    sk_text_printf(&t, "%.1f", 0.5);
    bool read = sk_parse_f64("0.5", 0, 1, &x);
    snprintf(probe, sizeof probe, "%.1f", 0.5);
    setlocale(LC_ALL, "C");
    assert_string_equal(t.s, "0.5");
    assert_true(read && x == 0.5);
    assert_string_equal(probe, "0,5"); /* theirs again */
    sk_text_free(&t);
}

/* ---- errors, text, arena ------------------------------------------------------ */

static void errors_are_one_line(void **state)
{
    (void)state;
    assert_int_equal(sk_fail(NULL, SPHKV_EIO, "%d", 1), SPHKV_EIO);
    sk_err err = {0};
    assert_int_equal(sk_fail(&err, SPHKV_EINVAL, "a\nb\r%d", 3), SPHKV_EINVAL);
    assert_int_equal(err.status, SPHKV_EINVAL);
    assert_string_equal(err.message, "a b 3");
    sk_fail(&err, SPHKV_EDB, "outer: %s", err.message);
    assert_string_equal(err.message, "outer: a b 3");
    sk_fail(&err, SPHKV_EINVAL, "%s", "x\033[31m\ty\177"); /* a stranger's file may hold it */
    assert_string_equal(err.message, "x [31m y ");
    for (size_t before = 495; before < sizeof err.message; before++) {
        char text[600];
        memset(text, 'x', before);
        strcpy(text + before, "\xf0\x9f\x94\x91 \xc3\xa9 \xe2\x82\xac tail");
        sk_fail(&err, SPHKV_EDB, "%s", text);
        size_t len = strlen(err.message);
        assert_true(len < sizeof err.message && strncmp(err.message, text, len) == 0);
        assert_true(((unsigned char)text[len] & 0xc0) != 0x80); /* cut between characters */
        assert_true(len + 4 >= sizeof err.message - 1 || len == strlen(text));
    }
}

static void text_grows(void **state)
{
    (void)state;
    sk_text t = {0};
    assert_null(t.s);
    sk_text_append(&t, "", 0);
    assert_string_equal(t.s, "");
    char want[4000];
    size_t len = 0;
    for (int i = 0; i < 500; i++) {
        sk_text_printf(&t, "%d,", i);
        len += (size_t)sprintf(want + len, "%d,", i);
    }
    assert_false(t.failed);
    assert_int_equal(t.len, len);
    assert_string_equal(t.s, want);
    sk_text_append(&t, "a\0b", 3);
    assert_int_equal(t.len, len + 3);
    assert_memory_equal(t.s + len, "a\0b", 4);
    sk_text_free(&t);
    assert_null(t.s);
    assert_int_equal(t.cap, 0);
}

/* A failure is kept, what was there before stays whole. */
static void text_survives_failure(void **state)
{
    (void)state;
    sk_text t = {0};
    sk_text_printf(&t, "kept");
    sk_alloc_fault(1, true);
    sk_text_printf(&t, "%0200d", 1);
    sk_alloc_fault(0, false);
    assert_true(t.failed);
    assert_string_equal(t.s, "kept");
    sk_text_append(&t, "x", 1);
    sk_text_printf(&t, "y");
    assert_string_equal(t.s, "kept");
    sk_text_free(&t);

    sk_alloc_fault(1, false);
    sk_text_append(&t, "x", 1);
    sk_alloc_fault(0, false);
    assert_true(t.failed);
    sk_text_free(&t);
    assert_false(t.failed);
}

static void arena_gives_zeroed_apart(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(5);
    sk_arena arena = {0};
    struct piece {
        uint8_t *p;
        size_t bytes;
    } pieces[600];
    for (size_t i = 0; i < SK_COUNT(pieces); i++) {
        size_t bytes = i % 50 == 7 ? 3000000 / (i + 1) : sk_rng_below(&rng, 300);
        uint8_t *p = sk_arena_alloc(&arena, bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < bytes; k++)
            assert_int_equal(p[k], 0);
        memset(p, (int)(i & 0xff), bytes);
        pieces[i] = (struct piece){p, bytes};
    }
    for (size_t i = 0; i < SK_COUNT(pieces); i++) /* no two overlap */
        for (size_t k = 0; k < pieces[i].bytes; k++)
            assert_int_equal(pieces[i].p[k], i & 0xff);
    assert_string_equal(sk_arena_strdup(&arena, "word"), "word");
    assert_null(sk_arena_alloc(&arena, SIZE_MAX));
    assert_null(sk_arena_alloc(&arena, SIZE_MAX - 40));
    sk_arena_free(&arena);
    assert_null(arena.head);
    assert_int_equal(arena.total, 0);
    sk_arena_free(&arena);
}

static void alloc_fault_counts(void **state)
{
    (void)state;
    sk_alloc_fault(2, false);
    void *a = sk_malloc(0), *b = sk_calloc(0, 8), *c = sk_strdup("c");
    assert_non_null(a);
    assert_null(b);
    assert_string_equal(c, "c");
    assert_int_equal(sk_alloc_fault(1, true), 3);
    assert_null(sk_malloc(8));
    assert_null(sk_realloc(a, 100));
    assert_null(sk_strdup("x"));
    assert_int_equal(sk_alloc_fault(0, false), 3);
    sk_free(a);
    sk_free(c);
    sk_free(NULL);
    assert_null(sk_calloc(SIZE_MAX / 2, 3));
    assert_null(sk_calloc(3, SIZE_MAX / 2));
    assert_null(sk_malloc(SIZE_MAX));
    assert_null(sk_realloc(NULL, SIZE_MAX - 8));

    sk_arena arena = {0};
    sk_alloc_fault(1, false);
    assert_null(sk_arena_alloc(&arena, 1));
    assert_null(arena.head);
    assert_non_null(sk_arena_alloc(&arena, 1)); /* still usable */
    sk_alloc_fault(0, false);
    sk_arena_free(&arena);
}

/* ---- files -------------------------------------------------------------------- */

static size_t files_in(const char *dir)
{
    size_t n = 0;
    sk_text command = {0};
    sk_text_printf(&command, "ls -A '%s' | wc -l", dir);
    FILE *pipe = popen(command.s, "r");
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%zu", &n), 1);
    pclose(pipe);
    sk_text_free(&command);
    return n;
}

static void file_round_trip(void **state)
{
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "file");
    sk_err err = {0};
    static char big[100000];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7);
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, sizeof big};
    for (size_t i = 0; i < SK_COUNT(sizes); i++) {
        char *data;
        size_t bytes;
        sk_assert_ok(sk_file_write(path, big, sizes[i], &err), &err);
        sk_assert_ok(sk_file_read(path, sizes[i], &data, &bytes, &err), &err);
        assert_int_equal(bytes, sizes[i]);
        assert_memory_equal(data, big, bytes);
        assert_int_equal(data[bytes], 0);
        sk_free(data);
        if (sizes[i] > 0) {
            assert_int_equal(sk_file_read(path, sizes[i] - 1, &data, &bytes, &err), SPHKV_EINVAL);
            assert_null(data);
            assert_non_null(strstr(err.message, path));
        }
    }
    struct stat facts;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0666 & ~mask);
    assert_int_equal(files_in(dir), 1);
    sk_free(path);
    sk_test_dir_remove(dir);
}

static void file_errors(void **state)
{
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "no/such"), *data;
    size_t bytes;
    sk_err err = {0};
    assert_int_equal(sk_file_read(path, 10, &data, &bytes, &err), SPHKV_ENOTFOUND);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(sk_file_write(path, "x", 1, &err), SPHKV_ENOTFOUND);
    assert_int_equal(sk_file_try(path, &err), SPHKV_ENOTFOUND);
    assert_int_equal(sk_file_read(dir, 1u << 20, &data, &bytes, &err), SPHKV_EIO);
    sk_assert_ok(sk_file_read("/proc/self/status", 1u << 20, &data, &bytes, &err), &err);
    assert_true(bytes > 100); /* says that it is empty */
    sk_free(data);
    assert_int_equal(sk_file_read("/dev/zero", 100000, &data, &bytes, &err), SPHKV_EINVAL);
    assert_int_equal(sk_file_read("/dev/zero", 100000, &data, &bytes, NULL), SPHKV_EINVAL);
    sk_free(path);
    sk_test_dir_remove(dir);
}

/* The old content or the new, never part of either, and no litter: a target
 * that cannot be replaced, and a reader that looks on while we write. */
static void file_write_is_atomic(void **state)
{
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "file");
    sk_err err = {0};
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(sk_file_write(path, "x", 1, &err), SPHKV_EIO);
    assert_int_equal(sk_file_try(path, &err), SPHKV_EIO);
    assert_int_equal(files_in(dir), 1);
    assert_int_equal(rmdir(path), 0);
    sk_assert_ok(sk_file_try(path, &err), &err);
    assert_int_equal(files_in(dir), 0);

    static char as[50000], bs[50000];
    memset(as, 'a', sizeof as);
    memset(bs, 'b', sizeof bs);
    sk_assert_ok(sk_file_write(path, as, sizeof as, &err), &err);
    int old = open(path, O_RDONLY);
    char *data;
    size_t bytes;
    sk_assert_ok(sk_file_write(path, bs, sizeof bs, &err), &err);
    static char seen[sizeof as];
    assert_int_equal(read(old, seen, sizeof seen), sizeof seen);
    close(old);
    assert_memory_equal(seen, as, sizeof seen); /* an open reader keeps the old file */
    sk_assert_ok(sk_file_try(path, &err), &err);
    sk_assert_ok(sk_file_read(path, sizeof bs, &data, &bytes, &err), &err);
    assert_memory_equal(data, bs, sizeof bs);
    sk_free(data);
    assert_int_equal(files_in(dir), 1);
    sk_free(path);
    sk_test_dir_remove(dir);
}

static void files_survive_failed_allocations(void **state)
{
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "file"), *data;
    size_t bytes;
    sk_err err = {0};
    sk_assert_ok(sk_file_write(path, "old", 3, &err), &err);
    uint64_t n = 1;
    for (; n < 100; n++) {
        sk_alloc_fault(n, true);
        sk_status st = sk_file_write(path, "new", 3, &err);
        sk_alloc_fault(0, false);
        assert_int_equal(files_in(dir), 1);
        sk_assert_ok(sk_file_read(path, 3, &data, &bytes, &err), &err);
        assert_memory_equal(data, st == SPHKV_OK ? "new" : "old", 3);
        sk_free(data);
        if (st == SPHKV_OK)
            break;
        assert_int_equal(st, SPHKV_ENOMEM);
    }
    assert_in_range(n, 2, 99);
    for (n = 1; n < 100; n++) {
        sk_alloc_fault(n, true);
        sk_status st = sk_file_read("/proc/self/maps", 1u << 24, &data, &bytes, &err);
        sk_alloc_fault(0, false);
        sk_free(data);
        if (st == SPHKV_OK)
            break;
        assert_int_equal(st, SPHKV_ENOMEM);
    }
    assert_in_range(n, 2, 99);
    sk_free(path);
    sk_test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(sha256_any_pieces),
        cmocka_unit_test(half_exhaustive),
        cmocka_unit_test(half_nan),
        cmocka_unit_test(half_as_the_compiler),
        cmocka_unit_test(bf16_rounds_to_nearest),
        cmocka_unit_test(rng_is_the_same_everywhere),
        cmocka_unit_test(rng_distributions),
        cmocka_unit_test(parse_numbers),
        cmocka_unit_test(numbers_ignore_the_locale),
        cmocka_unit_test(errors_are_one_line),
        cmocka_unit_test(text_grows),
        cmocka_unit_test(text_survives_failure),
        cmocka_unit_test(arena_gives_zeroed_apart),
        cmocka_unit_test(alloc_fault_counts),
        cmocka_unit_test(file_round_trip),
        cmocka_unit_test(file_errors),
        cmocka_unit_test(file_write_is_atomic),
        cmocka_unit_test(files_survive_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
