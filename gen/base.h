/* base.h - status, error sink, arena, text, hash: the ground under every
 * other file. Nothing here prints, exits or keeps a global, except the fault
 * hook that only tests have (sk_alloc_fault), which fails the n-th allocation. */
#ifndef SK_BASE_H
#define SK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sphkv.h"

typedef sphkv_status sk_status;
typedef sphkv_error sk_err; /* caller-owned, may be NULL everywhere */

#if defined(__GNUC__)
#define SK_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SK_PRINTF(fmt, args)
#endif

#define SK_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Writes the message (cut to fit) into err when there is one; returns st, so
 * that `return sk_fail(err, SPHKV_EINVAL, "...")` is one line. */
sk_status sk_fail(sk_err *err, sk_status st, const char *fmt, ...) SK_PRINTF(3, 4);

/* All heap memory of the project passes here, so that tests can fail it. */
void *sk_malloc(size_t bytes);
void *sk_calloc(size_t count, size_t bytes);
void *sk_realloc(void *old, size_t bytes);
void sk_free(void *p);
char *sk_strdup(const char *s);
/* Fails the n-th allocation from now (1 = the next) and, when `sticky`, all
 * after it; 0 = never. Thread-safe. Returns allocations seen since last call. */
uint64_t sk_alloc_fault(uint64_t nth, bool sticky);

/* Arena: many small allocations with one lifetime. sk_arena_alloc returns
 * zeroed, 16-byte aligned memory, or NULL. Zero-initialise before use. */
typedef struct sk_arena {
    struct sk_arena_block *head;
    size_t total;
} sk_arena;
void *sk_arena_alloc(sk_arena *arena, size_t bytes);
char *sk_arena_strdup(sk_arena *arena, const char *s);
void sk_arena_free(sk_arena *arena);

/* Growing text. After an allocation failure `failed` stays set and further
 * appends do nothing; check it once at the end. s is NUL-terminated, or NULL
 * when nothing was ever appended. */
typedef struct sk_text {
    char *s;
    size_t len, cap;
    bool failed;
} sk_text;
void sk_text_printf(sk_text *t, const char *fmt, ...) SK_PRINTF(2, 3);
void sk_text_append(sk_text *t, const char *s, size_t len);
void sk_text_free(sk_text *t);

/* SHA-256. hex is 64 characters and a NUL. */
typedef struct sk_sha256 {
    uint32_t h[8];
    uint64_t total;
    uint8_t block[64];
} sk_sha256;
void sk_sha256_init(sk_sha256 *s);
void sk_sha256_add(sk_sha256 *s, const void *data, size_t bytes);
void sk_sha256_hex(sk_sha256 *s, char hex[65]);
void sk_sha256_of(const void *data, size_t bytes, char hex[65]);

/* splitmix64 / xoshiro-quality seeded numbers, the same on every machine. */
typedef struct sk_rng {
    uint64_t s[4];
} sk_rng;
void sk_rng_seed(sk_rng *r, uint64_t seed);
uint64_t sk_rng_u64(sk_rng *r);
uint32_t sk_rng_below(sk_rng *r, uint32_t n); /* 0 .. n-1, n > 0 */
void sk_rng_order(sk_rng *r, uint32_t *order, uint32_t n); /* 0 .. n-1, shuffled */
double sk_rng_unit(sk_rng *r);                /* [0, 1) */
double sk_rng_normal(sk_rng *r);

/* f16 and bf16 bits <-> float, round to nearest even, in plain C. */
uint16_t sk_f32_to_f16(float x);
float sk_f16_to_f32(uint16_t h);
uint16_t sk_f32_to_bf16(float x);
float sk_bf16_to_f32(uint16_t h);
float sk_e4m3_to_f32(uint8_t x); /* e4m3fn: no infinities, 0x7f and 0xff are NaN */

/* Whole files. The caller frees *data with sk_free; a NUL is put behind it.
 * limit: refuse larger files. Writing goes to a temporary name in the same
 * folder, then an atomic rename. */
sk_status sk_file_read(const char *path, size_t limit, char **data, size_t *bytes, sk_err *err);
sk_status sk_file_write(const char *path, const void *data, size_t bytes, sk_err *err);
/* Whether it could be written, for who would know only after hours: the same errors, and
 * nothing of it stays. */
sk_status sk_file_try(const char *path, sk_err *err);

/* Strict numbers: the whole string, within [lo, hi]. */
bool sk_parse_u64(const char *s, uint64_t lo, uint64_t hi, uint64_t *out);
bool sk_parse_f64(const char *s, double lo, double hi, double *out);

#endif
