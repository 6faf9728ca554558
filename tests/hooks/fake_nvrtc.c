/* fake_nvrtc.c - a library with the interface of NVRTC that compiles nothing and
 * does what it is told: by the environment what it is, by lines of the text what
 * becomes of it. Built three ways: as it is; without nvrtcSetFlowCallback, as
 * releases before 12.8 (FAKE_NVRTC_OLD); and under the name of the library of
 * built-in functions, of which only that name matters.
 *
 *   FAKE_NVRTC=11.8           its version (13.0)
 *   FAKE_NVRTC_REJECTS=--x    the option it does not know, complained of in the log
 *   FAKE_NVRTC_QUIET=1        ... without a log
 *   FAKE_NVRTC_CUBINS=1       it hands out a CUBIN with the kernels of the text, and the
 *                             text in it, where the text names none
 *
 *   //! result N                what compiling returns
 *   //! log WORDS               a line of the log
 *   //! slow MS                 takes so long, asking the callback every millisecond
 *   //! cubin FILE              the CUBIN it hands out
 *
 * As the real one it wants its built-in functions open by name (result 7). The PTX
 * names every option in a comment, and has the version that belongs to the release. */
#include "fake_nvrtc.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct program {
    char *text, *log, *ptx, *cubin;
    size_t cubin_size;
    int (*flow)(void *, void *);
    void *user;
} program;

EXPORT int nvrtcVersion(int *major, int *minor);
EXPORT int nvrtcGetNumSupportedArchs(int *n);
EXPORT int nvrtcGetSupportedArchs(int *archs);
EXPORT int nvrtcCreateProgram(program **out, const char *text, const char *name, int n,
                              const char *const *headers, const char *const *names);
EXPORT int nvrtcDestroyProgram(program **p);
EXPORT int nvrtcCompileProgram(program *p, int n, const char *const *options);
EXPORT int nvrtcGetProgramLogSize(program *p, size_t *size);
EXPORT int nvrtcGetProgramLog(program *p, char *log);
EXPORT int nvrtcGetPTXSize(program *p, size_t *size);
EXPORT int nvrtcGetPTX(program *p, char *ptx);
EXPORT int nvrtcGetCUBINSize(program *p, size_t *size);
EXPORT int nvrtcGetCUBIN(program *p, char *cubin);
EXPORT const char *nvrtcGetErrorString(int result);
#ifndef FAKE_NVRTC_OLD
EXPORT int nvrtcSetFlowCallback(program *p, int (*flow)(void *, void *), void *user);
#endif

int nvrtcVersion(int *major, int *minor)
{
    const char *said = getenv("FAKE_NVRTC");
    return sscanf(said ? said : "13.0", "%d.%d", major, minor) == 2 ? 0 : 3;
}

static const int archs_of[] = {75, 80, 90};

int nvrtcGetNumSupportedArchs(int *n)
{
    *n = 3;
    return 0;
}

int nvrtcGetSupportedArchs(int *archs)
{
    memcpy(archs, archs_of, sizeof archs_of);
    return 0;
}

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

int nvrtcCreateProgram(program **out, const char *text, const char *name, int n,
                       const char *const *headers, const char *const *names)
{
    (void)name;
    (void)headers;
    (void)names;
    if (n || strstr(text, "//! nothing"))
        return 2;
    *out = must(calloc(1, sizeof **out));
    (*out)->text = must(strdup(text));
    (*out)->log = must(calloc(1, strlen(text) + 200));
    (*out)->ptx = must(calloc(1, 2000));
    return 0;
}

int nvrtcDestroyProgram(program **p)
{
    free((*p)->text);
    free((*p)->log);
    free((*p)->ptx);
    free((*p)->cubin);
    free(*p);
    *p = NULL;
    return 0;
}

/* ---- directives --------------------------------------------------------------------- */

/* The rest of the next line "//! WORD ..." after *at; false when there is none. */
static int directive(const char **at, const char *word, char rest[512])
{
    char head[40];
    snprintf(head, sizeof head, "//! %s ", word);
    const char *p = strstr(*at, head);
    if (!p)
        return 0;
    p += strlen(head);
    *at = p;
    snprintf(rest, 512, "%.*s", (int)strcspn(p, "\n"), p);
    return 1;
}

static void read_cubin(program *p, const char *path)
{
    FILE *file = must(fopen(path, "rb"));
    p->cubin = must(malloc(1 << 20));
    p->cubin_size = fread(p->cubin, 1, 1 << 20, file);
    fclose(file);
}

static int slowly(program *p, long ms)
{
    for (long i = 0; i < ms; i++) {
        const struct timespec one = {0, 1000000};
        if (p->flow && p->flow(p->user, NULL))
            return 16;
        nanosleep(&one, NULL);
    }
    return 0;
}

static int refuses(program *p, int n, const char *const *options)
{
    const char *bad = getenv("FAKE_NVRTC_REJECTS");
    for (int i = 0; bad && i < n; i++)
        if (strncmp(options[i], bad, strlen(bad)) == 0) {
            if (!getenv("FAKE_NVRTC_QUIET"))
                sprintf(p->log, "nvrtc: error: unrecognized option %.100s found\n", bad);
            return 1;
        }
    return 0;
}

int nvrtcCompileProgram(program *p, int n, const char *const *options)
{
    int major = 0, minor = 0, result = 0;
    char rest[512], name[64];
    const char *at = p->text;
    (void)nvrtcVersion(&major, &minor);
    snprintf(name, sizeof name, "libnvrtc-builtins.so.%d.%d", major, minor);
    void *builtins = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
    if (!builtins)
        return 7;
    dlclose(builtins);
    if (refuses(p, n, options))
        return 5;
    while (directive(&at, "log", rest))
        strcat(strcat(p->log, rest), "\n");
    if (at = p->text, directive(&at, "result", rest))
        result = atoi(rest);
    if (at = p->text, directive(&at, "cubin", rest))
        read_cubin(p, rest);
    unsigned sm = 90;
    for (int i = 0; i < n; i++)
        if (strstr(options[i], "=sm_")) sm = (unsigned)atoi(strstr(options[i], "sm_") + 3);
    if (getenv("FAKE_NVRTC_CUBINS") && !p->cubin)
        p->cubin = fake_nvrtc_cubin(p->text, sm, &p->cubin_size);
    if (at = p->text, directive(&at, "slow", rest))
        result = slowly(p, atol(rest));
    for (int i = 0; i < n; i++)
        strcat(strcat(strcat(p->ptx, "// "), options[i]), "\n");
    snprintf(rest, sizeof rest, ".version %d.%d\n", major - 4, minor);
    strcat(p->ptx, rest);
    return result;
}

/* ---- results -------------------------------------------------------------------------- */

int nvrtcGetProgramLogSize(program *p, size_t *size)
{
    *size = strlen(p->log) + 1;
    return 0;
}

int nvrtcGetProgramLog(program *p, char *log)
{
    strcpy(log, p->log);
    return 0;
}

int nvrtcGetPTXSize(program *p, size_t *size)
{
    *size = strlen(p->ptx) + 1;
    return 0;
}

int nvrtcGetPTX(program *p, char *ptx)
{
    strcpy(ptx, p->ptx);
    return 0;
}

int nvrtcGetCUBINSize(program *p, size_t *size)
{
    *size = p->cubin_size;
    return 0;
}

int nvrtcGetCUBIN(program *p, char *cubin)
{
    memcpy(cubin, p->cubin, p->cubin_size);
    return 0;
}

const char *nvrtcGetErrorString(int result)
{
    return result == 2 ? "NVRTC_ERROR_PROGRAM_CREATION_FAILURE" : "NVRTC_ERROR unknown";
}

#ifndef FAKE_NVRTC_OLD
int nvrtcSetFlowCallback(program *p, int (*flow)(void *, void *), void *user)
{
    p->flow = flow;
    p->user = user;
    return 0;
}
#endif
