/* fault.c - see fault.h. */
#define _GNU_SOURCE
#include "fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef SK_FAULTS

static const char *const words[] = {"", "hang", "crash", "oob", "wrong", "abort", "illegal",
                                    "hog", "twin"};

sk_fault_kind sk_fault_of(uint32_t ordinal)
{
    const char *text = getenv("SPHKV_FAULT");
    while (text && *text) {
        for (uint32_t k = SK_FAULT_HANG; k <= SK_FAULT_TWIN; k++) {
            size_t n = strlen(words[k]);
            if (strncmp(text, words[k], n) != 0 || text[n] != ':') continue;
            if (strtoul(text + n + 1, NULL, 10) == ordinal) return (sk_fault_kind)k;
        }
        text = strchr(text, ',');
        if (text) text++;
    }
    return SK_FAULT_NONE;
}

/* Address space until there is no more, or far more than a trial may have; then it ends
 * as what cannot do without would. None of it is touched: the machine is others' too. */
static void hog(void)
{
    const size_t step = (size_t)64 << 20;
    uint32_t n = 0;
    while (n < 1024 && mmap(NULL, step, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED)
        n++;
    fprintf(stderr, "out of memory\n");
    abort();
}

void sk_fault_strike(sk_fault_kind kind)
{
    while (kind == SK_FAULT_HANG) sleep(1);
    if (kind == SK_FAULT_ABORT) abort();
    if (kind == SK_FAULT_HOG) hog();
    /* raise() after SIG_DFL: a sanitizer would turn the real thing into a report. */
    int number = kind == SK_FAULT_CRASH ? SIGSEGV : kind == SK_FAULT_ILLEGAL ? SIGILL : 0;
    if (number) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void sk_fault_spoil(sk_fault_kind kind, void *out, size_t bytes)
{
    if (kind == SK_FAULT_OOB) ((uint8_t *)out)[bytes] ^= 0xff;
    if (kind == SK_FAULT_WRONG) memset(out, 0x5e, bytes < 64 ? bytes : 64);
}

double sk_fault_limit(void)
{
    const char *text = getenv("SPHKV_LIMIT");
    return text ? strtod(text, NULL) : 0;
}

#else

sk_fault_kind sk_fault_of(uint32_t ordinal)
{
    (void)ordinal;
    return SK_FAULT_NONE;
}
void sk_fault_strike(sk_fault_kind kind)
{
    (void)kind;
}
void sk_fault_spoil(sk_fault_kind kind, void *out, size_t bytes)
{
    (void)kind;
    (void)out;
    (void)bytes;
}
double sk_fault_limit(void)
{
    return 0;
}

#endif
