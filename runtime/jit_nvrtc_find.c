/* jit_nvrtc_find.c - see jit_nvrtc_find.h. Nothing is opened here and no memory is
 * asked for: a path that does not fit PATH_MAX is passed over. */
#include "jit_nvrtc_find.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__aarch64__)
#define MACHINE "aarch64"
#define TARGET "sbsa-linux"
#else
#define MACHINE "x86_64"
#define TARGET "x86_64-linux"
#endif

/* The sonames, newest first. 11.2 is what all later 11.x are called. */
static const struct {
    const char *file; /* a slash, the name */
    uint32_t major;
} library[] = {{"/libnvrtc.so.13", 13}, {"/libnvrtc.so.12", 12}, {"/libnvrtc.so.11.2", 11}};

typedef struct search {
    const sk_nvrtc_places *places;
    sk_nvrtc_try attempt;
    void *user;
} search;

/* a b c as one path; false when it is too long for one. */
static bool join(char path[PATH_MAX], const char *a, const char *b, const char *c)
{
    const size_t na = strlen(a), nb = strlen(b), nc = strlen(c);
    if (na + nb + nc >= PATH_MAX)
        return false;
    memcpy(path, a, na);
    memcpy(path + na, b, nb);
    memcpy(path + na + nb, c, nc + 1);
    return true;
}

static bool wanted(const search *s, size_t i)
{
    const uint32_t limit = s->places->newest_major;
    return !limit || library[i].major <= limit;
}

/* The newest library in FOLDER BELOW, when there is one. */
static bool in_folder(const search *s, const char *folder, const char *below)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < SK_COUNT(library); i++)
        if (wanted(s, i) && join(path, folder, below, library[i].file) && access(path, F_OK) == 0)
            return s->attempt(s->user, path);
    return false;
}

static bool in_toolkit(const search *s, const char *toolkit)
{
    static const char *const below[] = {"/lib64", "/targets/" TARGET "/lib", "/lib",
                                        "/lib/" MACHINE "-linux-gnu"};
    for (size_t i = 0; toolkit && *toolkit && i < SK_COUNT(below); i++)
        if (in_folder(s, toolkit, below[i]))
            return true;
    return false;
}

/* ---- folders by version ------------------------------------------------------------ */

/* 13.0 -> 13000, 3.11 -> 3011, "" -> 0; -1: no version. */
static long version_of(const char *text)
{
    unsigned major = 0, minor = 0;
    int end = 0, more = 0;
    if (!*text)
        return 0;
    if (sscanf(text, "%4u%n", &major, &end) != 1)
        return -1;
    if (text[end] == '.' && sscanf(text + end, ".%3u%n", &minor, &more) != 1)
        return -1;
    return text[end + more] ? -1 : (long)major * 1000 + minor;
}

/* Of the entries of `folder` called `before` + version: the highest below `limit`,
 * which becomes it. False when there is none. */
static bool next_version(const char *folder, const char *before, long *limit, char name[64])
{
    DIR *dir = opendir(folder);
    long best = -1;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strncmp(e->d_name, before, strlen(before)) != 0 || strlen(e->d_name) >= 64)
            continue;
        const long version = version_of(e->d_name + strlen(before));
        if (version > best && version < *limit) {
            best = version;
            strcpy(name, e->d_name);
        }
    }
    if (dir)
        closedir(dir);
    *limit = best;
    return best >= 0;
}

static bool in_usual_places(const search *s)
{
    static const char *const fixed[] = {"/opt/cuda", "/usr/lib/cuda", "/usr/lib/nvidia-cuda-toolkit"};
    char local[PATH_MAX], path[PATH_MAX], name[64];
    const char *root = s->places->root;
    if (join(path, root, "/usr/local/cuda", "") && in_toolkit(s, path))
        return true;
    if (join(local, root, "/usr/local", ""))
        for (long limit = LONG_MAX; next_version(local, "cuda-", &limit, name);)
            if (join(path, local, "/", name) && in_toolkit(s, path))
                return true;
    for (size_t i = 0; i < SK_COUNT(fixed); i++)
        if (join(path, root, fixed[i], "") && in_toolkit(s, path))
            return true;
    return false;
}

/* ---- Python packages ------------------------------------------------------------------ */

/* In one site folder: a folder for each release since 13, one for all before. */
static bool in_site(const search *s, const char *site)
{
    char nvidia[PATH_MAX], path[PATH_MAX], name[64];
    if (!join(nvidia, site, "/nvidia", ""))
        return false;
    for (long limit = LONG_MAX; next_version(nvidia, "cu", &limit, name);)
        if (join(path, nvidia, "/", name) && in_folder(s, path, "/lib"))
            return true;
    return in_folder(s, nvidia, "/cuda_nvrtc/lib");
}

/* In the site folders of every Python in FOLDER, the newest first. */
static bool in_pythons(const search *s, const char *folder)
{
    char python[PATH_MAX], site[PATH_MAX], name[64];
    for (long limit = LONG_MAX; next_version(folder, "python", &limit, name);)
        if (join(python, folder, "/", name) &&
            ((join(site, python, "/site-packages", "") && in_site(s, site)) ||
             (join(site, python, "/dist-packages", "") && in_site(s, site))))
            return true;
    return false;
}

/* Under a prefix as Python has them: root prefix /lib and /lib64. */
static bool in_prefix(const search *s, const char *root, const char *prefix)
{
    char folder[PATH_MAX];
    return prefix && *prefix &&
           ((join(folder, root, prefix, "/lib") && in_pythons(s, folder)) ||
            (join(folder, root, prefix, "/lib64") && in_pythons(s, folder)));
}

static bool in_python_packages(const search *s)
{
    const sk_nvrtc_places *p = s->places;
    const bool home = p->home && *p->home;
    char local[PATH_MAX];
    return in_prefix(s, "", p->venv) || in_toolkit(s, p->conda) || in_prefix(s, "", p->conda) ||
           in_prefix(s, "", p->user_base) ||
           (home && join(local, p->home, "/.local", "") && in_prefix(s, "", local)) ||
           in_prefix(s, p->root, "/usr/local") || in_prefix(s, p->root, "/usr");
}

/* ---- the order ------------------------------------------------------------------------- */

void sk_nvrtc_places_read(sk_nvrtc_places *out)
{
    *out = (sk_nvrtc_places){
        .asked = getenv("SPHKV_NVRTC"),
        .toolkit = {getenv("CUDA_HOME"), getenv("CUDA_PATH")},
        .venv = getenv("VIRTUAL_ENV"),
        .conda = getenv("CONDA_PREFIX"),
        .user_base = getenv("PYTHONUSERBASE"),
        .home = getenv("HOME"),
        .root = "",
    };
}

/* A folder that was named may hold the library, or be a toolkit. */
static bool where_asked(const search *s, const char *asked)
{
    sk_nvrtc_places any = *s->places;
    any.newest_major = 0;
    const search all = {&any, s->attempt, s->user};
    struct stat facts;
    if (stat(asked, &facts) == 0 && S_ISDIR(facts.st_mode))
        return in_folder(&all, asked, "") || in_toolkit(&all, asked);
    return s->attempt(s->user, asked);
}

bool sk_nvrtc_find(const sk_nvrtc_places *places, sk_nvrtc_try attempt, void *user)
{
    const search s = {places, attempt, user};
    if (places->asked && *places->asked)
        return where_asked(&s, places->asked);
    for (size_t i = 0; i < SK_COUNT(places->toolkit); i++)
        if (in_toolkit(&s, places->toolkit[i]))
            return true;
    for (size_t i = 0; i < SK_COUNT(library); i++)
        if (wanted(&s, i) && attempt(user, library[i].file + 1))
            return true;
    return in_usual_places(&s) || in_python_packages(&s);
}
