/* jit_nvrtc_log.c - see jit_nvrtc_log.h. The log's words have changed little from
 * 11.2 to 13: numbers are found by the words behind or before them, so that new
 * ones between do no harm. */
#include "jit_nvrtc_log.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines ---------------------------------------------------------------------------- */

/* One line without its end; false behind the last. */
static bool next_line(const char **log, char *line, size_t size)
{
    const size_t len = strcspn(*log, "\n");
    if (!**log)
        return false;
    snprintf(line, size, "%.*s", (int)(len < size ? len : size), *log);
    *log += len + ((*log)[len] == '\n');
    return true;
}

/* The number before `words`: "384 bytes stack frame". */
static bool number_before(const char *line, const char *words, uint32_t *out)
{
    const char *p = strstr(line, words);
    if (!p || p == line)
        return false;
    while (p > line && isdigit((unsigned char)p[-1]))
        p--;
    if (!isdigit((unsigned char)*p))
        return false;
    *out = (uint32_t)strtoul(p, NULL, 10);
    return true;
}

/* ---- resources -------------------------------------------------------------------------- */

/* "... Compiling entry function 'k' for 'sm_90'" */
static bool is_entry(const char *line, const char *entry)
{
    static const char words[] = "Compiling entry function '";
    const char *p = strstr(line, words);
    const size_t len = strlen(entry);
    return p && strncmp(p + sizeof words - 1, entry, len) == 0 && p[sizeof words - 1 + len] == '\'';
}

/* Device functions that were not inlined have blocks of their own behind the
 * kernel's: their spills are the kernel's. */
static void add(uint32_t *sum, uint32_t more)
{
    *sum = *sum == SK_CUDA_UNKNOWN ? more : *sum + more;
}

static void take_line(const char *line, sk_cuda_resources *out)
{
    uint32_t n;
    if (number_before(line, " bytes stack frame", &n))
        add(&out->stack_bytes, n);
    if (number_before(line, " bytes spill stores", &n))
        add(&out->spill_stores, n);
    if (number_before(line, " bytes spill loads", &n))
        add(&out->spill_loads, n);
    if (!strstr(line, ": Used "))
        return;
    (void)number_before(line, " registers", &out->registers);
    (void)number_before(line, " barriers", &out->barriers);
    if (!number_before(line, " bytes smem", &out->shared_bytes))
        out->shared_bytes = 0; /* none is left out */
}

bool sk_nvrtc_log_resources(const char *log, const char *entry, sk_cuda_resources *out)
{
    char line[1024];
    bool inside = false, found = false;
    *out = (sk_cuda_resources){SK_CUDA_UNKNOWN, SK_CUDA_UNKNOWN, SK_CUDA_UNKNOWN,
                               SK_CUDA_UNKNOWN, SK_CUDA_UNKNOWN, SK_CUDA_UNKNOWN};
    while (next_line(&log, line, sizeof line)) {
        if (strstr(line, "Compiling entry function '"))
            inside = is_entry(line, entry);
        else if (inside)
            take_line(line, out);
        found |= inside;
    }
    return found;
}

/* ---- errors ------------------------------------------------------------------------------- */

/* Where the words of an error begin, and where it is: a line of the text, or of the
 * PTX between; NULL when the line tells of no error. Shapes: "sphkv.cu(12): error: words", "nvrtc: error: words", "ptxas error   : words",
 * "ptxas fatal   : words", "ptxas application ptx input, line 30; error   : words". */
static const char *error_words(const char *line, char place[40])
{
    static const char *const kind[] = {"error", "fatal"};
    const char *paren = strchr(line, '('), *comma = strstr(line, ", line ");
    for (size_t i = 0; i < SK_COUNT(kind); i++) {
        const char *word = strstr(line, kind[i]), *p = word ? word + 5 : NULL;
        if (p && strncmp(p, " #", 2) == 0) /* "error #123-D: words" */
            p += strcspn(p, ":");
        while (p && *p == ' ')
            p++;
        if (!p || *p != ':')
            continue;
        if (paren && paren < word)
            snprintf(place, 40, "line %lu: ", strtoul(paren + 1, NULL, 10));
        else if (comma && comma < word)
            snprintf(place, 40, "PTX line %lu: ", strtoul(comma + 7, NULL, 10));
        return p + 1 + strspn(p + 1, " ");
    }
    return NULL;
}

/* Too much static shared memory is refused without a word of error: ptxas only
 * reports how much there was. */
#define MOST_STATIC_SHARED 49152u

void sk_nvrtc_log_error(const char *log, char *out, size_t size)
{
    char line[600], first[600] = "";
    uint32_t shared, most = 0;
    while (next_line(&log, line, sizeof line)) {
        char place[40] = "";
        const char *words = error_words(line, place);
        if (words) {
            snprintf(out, size, "%s%s", place, words);
            return;
        }
        if (number_before(line, " bytes smem", &shared) && shared > most)
            most = shared;
        if (!first[0] && strncmp(line, "ptxas ", 6) != 0)
            snprintf(first, sizeof first, "%s", line);
    }
    if (!first[0] && most > MOST_STATIC_SHARED)
        snprintf(out, size, "%u bytes of static shared memory, of which %u is the most", most,
                 MOST_STATIC_SHARED);
    else
        snprintf(out, size, "%s", first);
}
