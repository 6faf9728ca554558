/* sk_test.h - what every test includes first: cmocka with the headers that it
 * forgets, the base, a temporary folder, a seed that is printed.
 *
 * Include this before anything else of the project. SK_SOURCE_DIR and
 * SK_BUILD_DIR are string constants given by the build. Every test program
 * carries the allocation hook, in release builds too, so sk_alloc_fault always
 * works here. */
#ifndef SK_TEST_H
#define SK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base.h"

/* Exit code by which ctest counts a skip. */
#define SK_TEST_SKIP 77

/* The seed of this run: $SK_TEST_SEED when set, else `fallback`. Prints the
 * seed, so that a failure can be repeated. */
uint64_t sk_test_seed(uint64_t fallback);

/* A generator seeded with sk_test_seed(fallback). */
sk_rng sk_test_rng(uint64_t fallback);

/* How many cases by chance to try: $SK_CASES when set, else `fallback`, which is
 * what every run of the tests can afford. Case k has the seed `seed + k`, so
 * that SK_TEST_SEED and SK_CASES=1 repeat it alone. */
uint32_t sk_test_cases(uint32_t fallback);

/* How many of them share what is dear to make: $SK_EACH when set, else `fallback`. */
uint32_t sk_test_each(uint32_t fallback);

/* The line that repeats the case of this seed alone. It is kept, and printed,
 * too, when this process dies by a signal. */
const char *sk_test_repeat(uint64_t seed);

/* The cases of this process: k = first, first + step, ...; $SK_SHARD is i/n for
 * the i-th of n processes, from 0. Prints what it is when it is set. */
void sk_test_shard(uint32_t *first, uint32_t *step);

/* A new empty folder under $TMPDIR or /tmp; fails the test when it cannot be
 * made. Free the name with sk_test_dir_remove, which deletes the folder and all
 * that is in it (links are deleted, never followed). NULL is fine. */
char *sk_test_dir(void);
void sk_test_dir_remove(char *dir);

/* dir/name in memory of the test's; free with sk_free. */
char *sk_test_path(const char *dir, const char *name);

/* Sets a locale with a decimal comma, as an engine may have; the caller sets "C"
 * again. Skips the test, with the reason, where none is installed. */
void sk_test_decimal_comma(void);

/* SPHKV_OK, or the test fails with the message of err. */
#define sk_assert_ok(status, err) sk_test_ok((status), (err), #status, __FILE__, __LINE__)
void sk_test_ok(sk_status status, const sk_err *err, const char *what, const char *file, int line);

/* The reason on stderr, then SK_TEST_SKIP: for `return sk_test_skip("...")` in
 * main, when what the whole program tests is absent. */
int sk_test_skip(const char *reason);

#endif
