/* simt_compile.c - from texts to entries that can be called.
 *
 * Units are wrapped (each entry under a name of its own, since two schedules of
 * a kernel share a symbol, and behind it a function that takes slots), gathered
 * into files that are worth a compiler's start, compiled side by side and linked
 * into one library. It is kept in the build folder by the hash of all that went
 * into it; a test that runs again compiles nothing. SK_SIMT_KEEP=1 leaves the C
 * files there, too, for who wants to see the text of a message's line. -O0: what
 * runs long is the machine, and it does not get faster with the text. */
#define _GNU_SOURCE
#include "simt_impl.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)64 << 10) /* of text, after which a new file begins */
#define FILES_MOST 256u
#define KEPT_MOST 512u                /* modules in the build folder */
#define SOURCE_LIMIT ((size_t)4 << 20)

struct sk_simt_module {
    void *library;
    uint32_t n;
    sk_simt_entry *entry; /* [n][SK_MAX_ENTRIES] */
};

/* What a compiler of C17 only warns of, emitted text may not have either. */
static const char *const options[] = {"-std=c17", "-O0", "-fPIC", "-fvisibility=hidden",
                                      "-ffp-contract=off", "-fno-strict-aliasing",
                                      "-fstack-clash-protection",
                                      "-Werror=implicit-function-declaration",
                                      "-Werror=int-conversion",
                                      "-Werror=incompatible-pointer-types"};

/* What a module is made of. */
typedef struct making {
    sk_text file[FILES_MOST];
    uint32_t files;
    sk_text dir; /* temporary; "" = not made */
    sk_err *err;
} making;

static sk_status out_of_memory(sk_err *err)
{
    return sk_fail(err, SPHKV_ENOMEM, "out of memory");
}

/* ---- wrapping ----------------------------------------------------------------------- */

static void slot_text(sk_text *t, uint32_t kind, uint32_t k)
{
    if (kind == SK_PARAM_PTR)
        sk_text_printf(t, "(void *)(uintptr_t)slot[%u]", k);
    else if (kind == SK_PARAM_U32)
        sk_text_printf(t, "(uint32_t)slot[%u]", k);
    else
        sk_text_printf(t, "simt_f32((uint32_t)slot[%u])", k);
}

/* void simt_U_E(const uint64_t *slot): the entry, its parameters from slots. */
static void wrap_entry(sk_text *t, const sk_program *p, uint32_t unit, uint32_t entry)
{
    sk_text_printf(
        t, "SIMT_SEEN void simt_%u_%u(const uint64_t *slot)\n{\n    (void)slot;\n    %s_%u(", unit,
        entry, p->symbol, unit);
    for (uint32_t k = 0; k < p->nparams; k++) {
        sk_text_append(t, ", ", k ? 2 : 0);
        slot_text(t, p->param[k].kind, k);
    }
    sk_text_printf(t, ");\n}\n");
}

static void wrap_unit(sk_text *t, const sk_simt_unit *unit, uint32_t index)
{
    for (uint32_t e = 0; e < unit->n; e++)
        sk_text_printf(t, "#define %s %s_%u\n", unit->program[e]->symbol, unit->program[e]->symbol,
                       index);
    sk_text_printf(t, "#line 1 \"unit %u\"\n%s\n", index, unit->text);
    sk_text_printf(t, "#line 1 \"around unit %u\"\n", index);
    for (uint32_t e = 0; e < unit->n; e++)
        sk_text_printf(t, "#undef %s\n", unit->program[e]->symbol);
    for (uint32_t e = 0; e < unit->n; e++)
        wrap_entry(t, unit->program[e], index, e);
}

static sk_status wrap_all(making *m, const sk_simt_unit *units, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const bool alone = units[i].alone || (i && units[i - 1].alone);
        if (i == 0 || alone || m->file[m->files - 1].len > FILE_BYTES) {
            if (m->files == FILES_MOST)
                return sk_fail(m->err, SPHKV_EINVAL, "%u units are too many for one module", n);
            sk_text_printf(&m->file[m->files], "#include \"simt_prelude.h\"\n");
            if (m->files++ == 0)
                sk_text_printf(&m->file[0],
                               "simt_machine *simt;\n"
                               "SIMT_SEEN void simt_bind(simt_machine *m) { simt = m; }\n");
        }
        wrap_unit(&m->file[m->files - 1], &units[i], i);
    }
    for (uint32_t i = 0; i < m->files; i++)
        if (m->file[i].failed)
            return out_of_memory(m->err);
    return SPHKV_OK;
}

/* ---- what it is called by ------------------------------------------------------------- */

static sk_status hash_file(sk_sha256 *sha, const char *name, sk_err *err)
{
    sk_text path = {0};
    char *data = NULL;
    size_t bytes = 0;
    sk_text_printf(&path, "%s/%s", SK_SOURCE_DIR, name);
    const sk_status st = path.failed ? out_of_memory(err)
                                     : sk_file_read(path.s, SOURCE_LIMIT, &data, &bytes, err);
    if (st == SPHKV_OK)
        sk_sha256_add(sha, data, bytes + 1);
    sk_free(data);
    sk_text_free(&path);
    return st;
}

static sk_status hash_all(const making *m, char hex[65])
{
    static const char *const headers[] = {"tests/simt/simt_prelude.h", "tests/simt/simt_machine.h",
                                          "gen/prelude.cuh"};
    sk_sha256 sha;
    sk_sha256_init(&sha);
    sk_sha256_add(&sha, SK_SIMT_CC, sizeof SK_SIMT_CC);
    for (uint32_t i = 0; i < SK_COUNT(options); i++)
        sk_sha256_add(&sha, options[i], strlen(options[i]) + 1);
    for (uint32_t i = 0; i < m->files; i++)
        sk_sha256_add(&sha, m->file[i].s, m->file[i].len + 1);
    for (uint32_t i = 0; i < SK_COUNT(headers); i++) {
        const sk_status st = hash_file(&sha, headers[i], m->err);
        if (st != SPHKV_OK)
            return st;
    }
    sk_sha256_hex(&sha, hex);
    return SPHKV_OK;
}

/* ---- the compiler ---------------------------------------------------------------------- */

extern char **environ;

/* Starts it with what it says going into a file. */
static pid_t start(char *const *argv, const char *log)
{
    pid_t pid = -1;
    posix_spawn_file_actions_t files;
    if (posix_spawn_file_actions_init(&files) != 0)
        return -1;
    (void)posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    (void)posix_spawn_file_actions_adddup2(&files, 1, 2);
    if (posix_spawnp(&pid, argv[0], &files, NULL, argv, environ) != 0)
        pid = -1;
    (void)posix_spawn_file_actions_destroy(&files);
    return pid;
}

/* A name in the temporary folder, for the caller to free; NULL without memory. */
static char *in_dir(const making *m, const char *name, uint32_t i)
{
    sk_text t = {0};
    sk_text_printf(&t, "%s/%u%s", m->dir.s, i, name);
    return t.s;
}

static pid_t compile_one(const making *m, uint32_t i)
{
    char *const source = in_dir(m, ".c", i), *const object = in_dir(m, ".o", i);
    char *const log = in_dir(m, ".log", i);
    pid_t pid = -1;
    if (source && object && log &&
        sk_file_write(source, m->file[i].s, m->file[i].len, m->err) == SPHKV_OK) {
        const char *argv[SK_COUNT(options) + 12] = {SK_SIMT_CC};
        uint32_t n = 1;
        for (uint32_t k = 0; k < SK_COUNT(options); k++)
            argv[n++] = options[k];
        const char *const rest[] = {"-I" SK_SOURCE_DIR "/tests/simt", "-I" SK_SOURCE_DIR "/gen",
                                    "-c", source, "-o", object};
        memcpy(&argv[n], rest, sizeof rest);
        pid = start((char *const *)(uintptr_t)argv, log);
    }
    sk_free(source);
    sk_free(object);
    sk_free(log);
    return pid;
}

/* What the compiler of file i said, cut to what a message holds. */
static sk_status complaint(const making *m, uint32_t i)
{
    char *const log = in_dir(m, ".log", i), *data = NULL;
    size_t bytes = 0;
    if (log)
        (void)sk_file_read(log, SOURCE_LIMIT, &data, &bytes, NULL);
    const sk_status st = sk_fail(m->err, SPHKV_ECOMPILE, "%s refuses emitted text: %s", SK_SIMT_CC,
                                 data ? data : "(it does not say why)");
    sk_free(data);
    sk_free(log);
    return st;
}

/* As many at a time as there are cores; the first failure is reported. */
static sk_status compile_all(const making *m)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pid_t pid[FILES_MOST];
    uint32_t begun = 0, ended = 0, failed = FILES_MOST;
    while (ended < m->files) {
        if (begun < m->files && begun - ended < (cores > 0 ? (uint32_t)cores : 1)) {
            pid[begun] = compile_one(m, begun);
            begun++;
            continue;
        }
        int how = 1;
        if (pid[ended] < 0 || waitpid(pid[ended], &how, 0) < 0 || how != 0)
            failed = failed < ended ? failed : ended;
        ended++;
    }
    return failed < FILES_MOST ? complaint(m, failed) : SPHKV_OK;
}

static sk_status link_all(const making *m, const char *library)
{
    const char *argv[FILES_MOST + 8] = {SK_SIMT_CC, "-shared", "-o", library};
    char *object[FILES_MOST];
    uint32_t n = 4;
    int how = 1;
    for (uint32_t i = 0; i < m->files; i++)
        argv[n++] = object[i] = in_dir(m, ".o", i);
    argv[n] = "-lm";
    char *const log = in_dir(m, ".log", 0);
    const pid_t pid = start((char *const *)(uintptr_t)argv, log);
    const bool linked = pid > 0 && waitpid(pid, &how, 0) > 0 && how == 0;
    for (uint32_t i = 0; i < m->files; i++)
        sk_free(object[i]);
    sk_free(log);
    return linked ? SPHKV_OK : complaint(m, 0);
}

/* ---- the folder of modules ---------------------------------------------------------------- */

#define CACHE SK_BUILD_DIR "/simt"

static void remove_dir(const char *path)
{
    DIR *const dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

/* The module that was not used for longest goes when there are too many. */
static void prune(void)
{
    DIR *const dir = opendir(CACHE);
    struct stat facts, least = {0};
    char oldest[256] = "";
    uint32_t n = 0;
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        const size_t len = strlen(e->d_name);
        if (len < 3 || len >= sizeof oldest || strcmp(e->d_name + len - 3, ".so") != 0 ||
            fstatat(dirfd(dir), e->d_name, &facts, 0) != 0)
            continue;
        if (n++ == 0 || facts.st_mtime < least.st_mtime) {
            least = facts;
            memcpy(oldest, e->d_name, len + 1);
        }
    }
    if (n > KEPT_MOST)
        (void)unlinkat(dirfd(dir), oldest, 0);
    if (dir)
        (void)closedir(dir);
}

/* Compiles into a folder of its own, then gives the module its name. */
static sk_status build(making *m, const char *library)
{
    (void)mkdir(CACHE, 0777);
    sk_text_printf(&m->dir, CACHE "/making-XXXXXX");
    if (m->dir.failed)
        return out_of_memory(m->err);
    if (!mkdtemp(m->dir.s))
        return sk_fail(m->err, SPHKV_EIO, "no folder %s: %s", m->dir.s, strerror(errno));
    char *const made = in_dir(m, ".so", 0);
    sk_status st = made ? compile_all(m) : out_of_memory(m->err);
    if (st == SPHKV_OK)
        st = link_all(m, made);
    if (st == SPHKV_OK && rename(made, library) != 0)
        st = sk_fail(m->err, SPHKV_EIO, "%s: %s", library, strerror(errno));
    sk_free(made);
    if (!getenv("SK_SIMT_KEEP"))
        remove_dir(m->dir.s);
    prune();
    return st;
}

static sk_status find_entries(sk_simt_module *module, const sk_simt_unit *units, sk_err *err)
{
    for (uint32_t i = 0; i < module->n; i++)
        for (uint32_t e = 0; e < units[i].n; e++) {
            char name[40];
            (void)snprintf(name, sizeof name, "simt_%u_%u", i, e);
            void *const at = dlsym(module->library, name);
            if (!at)
                return sk_fail(err, SPHKV_EINTERNAL, "no %s in the module: %s", name, dlerror());
            memcpy(&module->entry[i * SK_MAX_ENTRIES + e], &at, sizeof at);
        }
    return SPHKV_OK;
}

static sk_status load(const char *library, const sk_simt_unit *units, uint32_t n,
                      sk_simt_module **out, sk_err *err)
{
    sk_simt_module *const module = sk_calloc(1, sizeof *module);
    if (!module)
        return out_of_memory(err);
    module->n = n;
    module->entry = sk_calloc((size_t)n * SK_MAX_ENTRIES + 1, sizeof *module->entry);
    module->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    sk_status st = SPHKV_OK;
    if (!module->entry)
        st = out_of_memory(err);
    else if (!module->library)
        st = sk_fail(err, SPHKV_EINTERNAL, "%s", dlerror());
    else
        st = find_entries(module, units, err);
    if (st == SPHKV_OK)
        *out = module;
    else
        sk_simt_free(module);
    return st;
}

sk_status sk_simt_compile(const sk_simt_unit *units, uint32_t n, sk_simt_module **out, sk_err *err)
{
    making *const m = sk_calloc(1, sizeof *m);
    sk_text library = {0};
    char hex[65];
    if (!m)
        return out_of_memory(err);
    m->err = err;
    sk_status st = wrap_all(m, units, n);
    if (st == SPHKV_OK)
        st = hash_all(m, hex);
    if (st == SPHKV_OK) {
        sk_text_printf(&library, CACHE "/%s.so", hex);
        st = library.failed ? out_of_memory(err) : SPHKV_OK;
    }
    if (st == SPHKV_OK && utimensat(AT_FDCWD, library.s, NULL, 0) != 0)
        st = build(m, library.s);
    if (st == SPHKV_OK)
        st = load(library.s, units, n, out, err);
    for (uint32_t i = 0; i < m->files; i++)
        sk_text_free(&m->file[i]);
    sk_text_free(&m->dir);
    sk_text_free(&library);
    sk_free(m);
    return st;
}

void sk_simt_free(sk_simt_module *module)
{
    if (!module)
        return;
    if (module->library)
        (void)dlclose(module->library);
    sk_free(module->entry);
    sk_free(module);
}

sk_simt_entry sk_simt_get(const sk_simt_module *module, uint32_t unit, uint32_t entry)
{
    return module->entry[unit * SK_MAX_ENTRIES + entry];
}

void sk_simt_bind(const sk_simt_module *module, simt_machine *machine)
{
    void (*bind)(simt_machine *);
    void *const at = dlsym(module->library, "simt_bind");
    memcpy(&bind, &at, sizeof at);
    bind(machine);
}
