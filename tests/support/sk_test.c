/* sk_test.c - the helpers of sk_test.h. They fail the running test rather than
 * return errors: a test has no use for a half-made temporary folder. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <errno.h>
#include <ftw.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

uint64_t sk_test_seed(uint64_t fallback)
{
    const char *text = getenv("SK_TEST_SEED");
    uint64_t seed = fallback;
    if (text && !sk_parse_u64(text, 0, UINT64_MAX, &seed))
        fail_msg("SK_TEST_SEED is not a number: %s", text);
    printf("seed %llu (SK_TEST_SEED)\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

sk_rng sk_test_rng(uint64_t fallback)
{
    sk_rng rng;
    sk_rng_seed(&rng, sk_test_seed(fallback));
    return rng;
}

/* A number of the environment, or `fallback`. */
static uint32_t count_of(const char *name, uint32_t fallback)
{
    const char *text = getenv(name);
    uint64_t n = fallback;
    if (text && !sk_parse_u64(text, 1, 1u << 30, &n))
        fail_msg("%s is not a number from 1 on: %s", name, text);
    return (uint32_t)n;
}

uint32_t sk_test_cases(uint32_t fallback) { return count_of("SK_CASES", fallback); }

uint32_t sk_test_each(uint32_t fallback) { return count_of("SK_EACH", fallback); }

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static struct sigaction before[SK_COUNT(fatal)]; /* cmocka's, or a sanitizer's */
static char repeat_line[200];

/* Says which case it was, and leaves the rest to the handler before this one:
 * what failed fails again. */
static void say_line(int number)
{
    (void)!write(STDERR_FILENO, repeat_line, strlen(repeat_line));
    (void)!write(STDERR_FILENO, "\n", 1);
    for (size_t i = 0; i < SK_COUNT(fatal); i++)
        if (fatal[i] == number)
            (void)sigaction(number, &before[i], NULL);
}

const char *sk_test_repeat(uint64_t seed)
{
    const struct sigaction ours = {.sa_handler = say_line};
    const char *each = getenv("SK_EACH");
    (void)snprintf(repeat_line, sizeof repeat_line, "SK_TEST_SEED=%llu SK_CASES=1%s%s build/bin/%s",
                   (unsigned long long)seed, each ? " SK_EACH=" : "", each ? each : "",
                   program_invocation_short_name);
    for (size_t i = 0; i < SK_COUNT(fatal); i++) {
        struct sigaction now;
        (void)sigaction(fatal[i], &ours, &now);
        if (now.sa_handler != say_line)
            before[i] = now;
    }
    return repeat_line;
}

void sk_test_shard(uint32_t *first, uint32_t *step)
{
    const char *text = getenv("SK_SHARD"), *slash = text ? strchr(text, '/') : NULL;
    char left[16] = "";
    uint64_t i = 0, n = 1;
    if (slash && slash - text < (ptrdiff_t)sizeof left)
        memcpy(left, text, (size_t)(slash - text));
    if (text && (!slash || !sk_parse_u64(slash + 1, 1, 1024, &n)
                 || !sk_parse_u64(left, 0, n - 1, &i)))
        fail_msg("SK_SHARD is not i/n with i below n: %s", text);
    if (text)
        printf("shard %s (SK_SHARD)\n", text);
    *first = (uint32_t)i;
    *step = (uint32_t)n;
}

char *sk_test_dir(void)
{
    const char *root = getenv("TMPDIR");
    char *dir = sk_test_path(root && *root ? root : "/tmp", "sphkv-test-XXXXXX");
    if (!mkdtemp(dir))
        fail_msg("no temporary folder %s: %s", dir, strerror(errno));
    return dir;
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *place)
{
    (void)facts;
    (void)kind;
    (void)place;
    return remove(path);
}

void sk_test_dir_remove(char *dir)
{
    if (!dir)
        return;
    if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "left behind: %s: %s\n", dir, strerror(errno));
    sk_free(dir);
}

char *sk_test_path(const char *dir, const char *name)
{
    sk_text t = {0};
    sk_text_printf(&t, "%s/%s", dir, name);
    if (t.failed)
        fail_msg("out of memory for a path");
    return t.s;
}

void sk_test_ok(sk_status status, const sk_err *err, const char *what, const char *file, int line)
{
    if (status == SPHKV_OK)
        return;
    print_error("%s: status %d: %s\n", what, (int)status, err ? err->message : "(no message)");
    _fail(file, line);
}

void sk_test_decimal_comma(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    char probe[16];
    for (size_t i = 0; i < SK_COUNT(names); i++) {
        if (!setlocale(LC_ALL, names[i])) continue;
        snprintf(probe, sizeof probe, "%.1f", 0.5);
        if (probe[1] == ',') return;
    }
    setlocale(LC_ALL, "C");
    print_message("no locale with a decimal comma is installed\n");
    skip();
}

int sk_test_skip(const char *reason)
{
    fprintf(stderr, "skipped: %s\n", reason);
    return SK_TEST_SKIP;
}
