/* base.c - the error sink, arenas, growing text and strict numbers.
 *
 * Ownership: an sk_err belongs to the caller, an arena owns all that came from
 * it, a text owns its bytes. Numbers are read and printed as in the C locale
 * whatever locale the engine around us has set: what we write are keys, files
 * and JSON, and a decimal comma would break all three. The sprintf family's own
 * allocations are avoided by printing twice, once to measure. */
#define _GNU_SOURCE /* uselocale, strtod_l */
#include "base.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ------------------------------------------------------------- */

/* A message that was cut must not end in half a UTF-8 character. */
static void cut_partial_char(char *s, size_t len)
{
    size_t start = len;
    while (start > 0 && len - start < 3 && ((unsigned char)s[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0 || ((unsigned char)s[start - 1] & 0xc0) != 0xc0)
        return;
    unsigned char lead = (unsigned char)s[start - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (len - (start - 1) < want)
        s[start - 1] = '\0';
}

sk_status sk_fail(sk_err *err, sk_status st, const char *fmt, ...)
{
    if (!err)
        return st;
    char line[sizeof err->message]; /* an argument may be err->message itself */
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n < 0)
        line[0] = '\0';
    else if ((size_t)n >= sizeof line)
        cut_partial_char(line, sizeof line - 1);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) /* of a stranger's file, perhaps */
            *c = ' ';
    err->status = st;
    memcpy(err->message, line, sizeof line);
    return st;
}

/* ---- arena -------------------------------------------------------------- */

#define ARENA_ALIGN 16u
#define ARENA_BLOCK_MIN 4096u
#define ARENA_BLOCK_MAX (1024u * 1024u)

/* Blocks form a list, the newest first; only the newest is allocated from. */
typedef struct sk_arena_block {
    _Alignas(16) struct sk_arena_block *next; /* older */
    size_t used, cap;                         /* bytes behind this header */
} sk_arena_block;

static sk_arena_block *arena_block_new(const sk_arena *arena, size_t bytes)
{
    size_t cap = arena->head ? arena->head->cap * 2 : ARENA_BLOCK_MIN;
    if (cap > ARENA_BLOCK_MAX)
        cap = ARENA_BLOCK_MAX;
    if (cap < bytes)
        cap = bytes;
    sk_arena_block *block = sk_calloc(1, sizeof *block + cap);
    if (block)
        block->cap = cap;
    return block;
}

void *sk_arena_alloc(sk_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = bytes ? (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN : ARENA_ALIGN;
    sk_arena_block *block = arena->head;
    if (!block || block->cap - block->used < bytes) {
        block = arena_block_new(arena, bytes);
        if (!block)
            return NULL;
        block->next = arena->head;
        arena->head = block;
    }
    void *p = (char *)(block + 1) + block->used;
    block->used += bytes;
    arena->total += bytes;
    return p;
}

char *sk_arena_strdup(sk_arena *arena, const char *s)
{
    size_t bytes = strlen(s) + 1;
    char *copy = sk_arena_alloc(arena, bytes);
    if (copy)
        memcpy(copy, s, bytes);
    return copy;
}

void sk_arena_free(sk_arena *arena)
{
    sk_arena_block *block = arena->head;
    while (block) {
        sk_arena_block *next = block->next;
        sk_free(block);
        block = next;
    }
    *arena = (sk_arena){0};
}

/* ---- text --------------------------------------------------------------- */

/* Room for `more` bytes and a NUL. */
static bool text_grow(sk_text *t, size_t more)
{
    if (t->failed)
        return false;
    if (more >= SIZE_MAX / 2 - t->len) {
        t->failed = true;
        return false;
    }
    size_t need = t->len + more + 1;
    if (need <= t->cap)
        return true;
    size_t cap = t->cap ? t->cap * 2 : 64;
    if (cap < need)
        cap = need;
    char *s = sk_realloc(t->s, cap);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->cap = cap;
    return true;
}

void sk_text_append(sk_text *t, const char *s, size_t len)
{
    if (!text_grow(t, len))
        return;
    if (len)
        memcpy(t->s + t->len, s, len);
    t->len += len;
    t->s[t->len] = '\0';
}

/* vsnprintf in the C locale; only this thread's locale is touched. */
static int print_c(char *to, size_t size, const char *fmt, va_list args)
{
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = plain ? uselocale(plain) : (locale_t)0;
    int n = vsnprintf(to, size, fmt, args);
    if (plain) {
        uselocale(before);
        freelocale(plain);
    }
    return n;
}

void sk_text_printf(sk_text *t, const char *fmt, ...)
{
    if (!text_grow(t, 0))
        return;
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = print_c(t->s + t->len, t->cap - t->len, fmt, args);
    va_end(args);
    if (n < 0)
        t->failed = true;
    else if ((size_t)n >= t->cap - t->len && text_grow(t, (size_t)n))
        n = print_c(t->s + t->len, t->cap - t->len, fmt, again);
    va_end(again);
    if (t->failed)
        t->s[t->len] = '\0'; /* no half of an append is left */
    else
        t->len += (size_t)n;
}

void sk_text_free(sk_text *t)
{
    sk_free(t->s);
    *t = (sk_text){0};
}

/* ---- strict numbers ----------------------------------------------------- */

bool sk_parse_u64(const char *s, uint64_t lo, uint64_t hi, uint64_t *out)
{
    if (!s || !*s)
        return false;
    uint64_t x = 0;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        unsigned digit = (unsigned)(*s - '0');
        if (x > (UINT64_MAX - digit) / 10)
            return false;
        x = x * 10 + digit;
    }
    if (x < lo || x > hi)
        return false;
    *out = x;
    return true;
}

static const char *skip_digits(const char *s)
{
    while (*s >= '0' && *s <= '9')
        s++;
    return s;
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit before the e:
 * no blanks, no hexadecimal, no inf or nan, all of which strtod would take. */
static bool is_decimal(const char *s)
{
    if (*s == '+' || *s == '-')
        s++;
    const char *whole = skip_digits(s);
    ptrdiff_t digits = whole - s;
    if (*whole == '.') {
        const char *fraction = skip_digits(whole + 1);
        digits += fraction - (whole + 1);
        whole = fraction;
    }
    if (digits == 0)
        return false;
    if (*whole == 'e' || *whole == 'E') {
        whole++;
        if (*whole == '+' || *whole == '-')
            whole++;
        const char *end = skip_digits(whole);
        if (end == whole)
            return false;
        whole = end;
    }
    return *whole == '\0';
}

bool sk_parse_f64(const char *s, double lo, double hi, double *out)
{
    if (!s || !is_decimal(s))
        return false;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return false;
    double x = strtod_l(s, NULL, plain);
    freelocale(plain);
    if (!isfinite(x) || !(x >= lo && x <= hi))
        return false;
    *out = x;
    return true;
}
