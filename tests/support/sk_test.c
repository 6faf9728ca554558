/* sk_test.c - the helpers of sk_test.h. They fail the running test rather than
 * return errors: a test has no use for a half-made temporary folder. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <errno.h>
#include <ftw.h>
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

int sk_test_skip(const char *reason)
{
    fprintf(stderr, "skipped: %s\n", reason);
    return SK_TEST_SKIP;
}
