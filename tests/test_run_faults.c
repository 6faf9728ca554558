/* test_run_faults.c - public calls where something fails beneath them that is not an
 * argument: memory that has run out when a question is asked, a disk that takes no more
 * bytes, folders that are none. What could be answered is; what could not says why, and
 * what was there before is whole. (Opening and planning out of memory: test_run_memory;
 * codebook sets: test_code_codebook, test_code_frame.) */
#include "sk_test.h"

#include <signal.h>
#include <sys/resource.h>

#include "run_case.h"

/* ---- memory -------------------------------------------------------------------- */

typedef struct answer {
    sphkv_status status;
    sphkv_page_info info;
    double k[1024], v[1024];
} answer;

static _Alignas(128) uint8_t page[1 << 20]; /* zeros */
static uint16_t book[1 << 20];

static void ask(uint32_t call, const sphkv_context *ctx, const sphkv_spec_params *spec, answer *a)
{
    sphkv_error err = {0};
    memset(a, 0, sizeof *a);
    a->info.size = sizeof a->info;
    if (call == 0)
        a->status = sphkv_supported(ctx, spec, &err);
    else if (call == 1)
        a->status = sphkv_page_info_get(spec, 0, &a->info, &err);
    else
        a->status = sphkv_page_read(spec, 0, page, 1, book, a->k, a->v, &err);
    assert_true((a->status == SPHKV_OK) == (err.message[0] == '\0'));
}

/* Questions take no memory, so the answer is what it was: never that a kernel is missing
 * which is there. */
static void answers_without_memory(const sphkv_context *ctx, const sphkv_spec_params *spec)
{
    for (uint32_t call = 0; call < 3; call++) {
        answer want, got;
        ask(call, ctx, spec, &want);
        (void)sk_alloc_fault(1, true);
        ask(call, ctx, spec, &got);
        assert_int_equal(sk_alloc_fault(0, false), 0);
        assert_memory_equal(&got, &want, sizeof got);
    }
}

static void questions_take_no_memory(void **state)
{
    sphkv_context *ctx = run_open(*state, SPHKV_OPEN_NO_JIT);
    sphkv_spec_params wide = run_spec_get(0).params;
    for (uint32_t i = 0; run_spec_get(i).params.size; i++) {
        const sphkv_spec_params spec = run_spec_get(i).params;
        answers_without_memory(ctx, &spec);
        answers_without_memory(NULL, &spec);
    }
    wide.head_dim = 1024, wide.tiers = "g1b8r16sD:vf32"; /* more than any kernel takes */
    answers_without_memory(ctx, &wide);
    sphkv_close(ctx);
}

/* ---- disks ------------------------------------------------------------------------- */

/* No file grows beyond so many bytes; RLIM_INFINITY: as far as they like. */
static void disk_limit(rlim_t most)
{
    struct rlimit now;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &now), 0);
    now.rlim_cur = most < now.rlim_max ? most : now.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
}

/* A kernel that cannot be stored is used all the same, with a warning, and those that
 * were stored before are still there. */
static void full_disk_costs_only_the_store(void **state)
{
    run_place *p = *state;
    const run_spec kept = run_spec_get(3), other = run_spec_get(1);
    sphkv_context *ctx = run_open(p, 0);
    sphkv_plan_destroy(run_plan(ctx, &kept));
    assert_int_equal(p->lines, 0);
    disk_limit(1);
    sphkv_plan *plan = run_plan(ctx, &other);
    disk_limit(RLIM_INFINITY);
    run_assert_logged(p, "a proven kernel could not be stored");
    run_once(plan, &other, SK_IN_S1, 3, other.shape.threads);
    sphkv_plan_destroy(plan);
    sphkv_close(ctx);
    run_log_clear(p);
    ctx = run_open(p, SPHKV_OPEN_NO_JIT);
    plan = run_plan(ctx, &kept);
    run_once(plan, &kept, SK_IN_S1, 3, kept.shape.threads);
    sphkv_plan_destroy(plan);
    sphkv_close(ctx);
    assert_int_equal(p->lines, 0);
}

/* A database whose folder is none, or which may not grow from the first byte on. */
static void no_database_costs_only_the_store(void **state)
{
    run_place *p = *state;
    const run_spec r = run_spec_get(3);
    for (uint32_t full = 0; full < 2; full++) {
        char *under = sk_test_path(p->dir, "file/kernels.db"), *file = sk_test_path(p->dir, "file");
        sphkv_open_params params = {.size = sizeof params, .db_path = full ? p->db : under,
                                    .log = run_log, .log_user = p};
        sphkv_context *ctx = NULL;
        sphkv_error err = {0};
        run_log_clear(p);
        sk_assert_ok(sk_file_write(file, "x", 1, NULL), NULL);
        disk_limit(full ? 1 : RLIM_INFINITY);
        sk_assert_ok(sphkv_open(&params, &ctx, &err), &err);
        sphkv_plan *plan = run_plan(ctx, &r);
        disk_limit(RLIM_INFINITY);
        assert_int_not_equal(p->lines, 0);
        run_assert_logged(p, "kernels.db");
        run_once(plan, &r, SK_IN_S1, 3, r.shape.threads);
        sphkv_plan_destroy(plan);
        sphkv_close(ctx);
        sk_free(under);
        sk_free(file);
    }
}

static void save_refused(const sphkv_codebook *cb, const char *path, sphkv_status why)
{
    sphkv_error err = {0};
    assert_int_equal(sphkv_codebook_save(cb, path, &err), why);
    assert_non_null(strstr(err.message, path));
}

/* A set that cannot be written leaves the one that was there; what is no file is not
 * read. */
static void codebook_files_fail_whole(void **state)
{
    run_place *p = *state;
    const sphkv_spec_params spec = run_spec_get(0).params;
    char *path = sk_test_path(p->dir, "set"), *under = sk_test_path(p->dir, "set/set"),
         *nowhere = sk_test_path(p->dir, "nowhere/set");
    sphkv_codebook *old = NULL, *new = NULL, *read = NULL;
    sphkv_error err = {0};
    size_t bytes;
    sk_assert_ok(sphkv_codebook_default(&spec, 2, 1, &old, &err), &err);
    sk_assert_ok(sphkv_codebook_default(&spec, 2, 2, &new, &err), &err);
    sk_assert_ok(sphkv_codebook_save(old, path, &err), &err);
    for (rlim_t most = 0; most < 4096; most = most * 2 + 1) {
        disk_limit(most);
        save_refused(new, path, SPHKV_EIO);
        disk_limit(RLIM_INFINITY);
    }
    save_refused(new, under, SPHKV_ENOTFOUND);
    save_refused(new, nowhere, SPHKV_ENOTFOUND);
    save_refused(new, p->dir, SPHKV_EIO);
    sk_assert_ok(sphkv_codebook_load(path, &spec, 2, &read, &err), &err);
    const void *is = sphkv_codebook_data(read, NULL, &bytes);
    assert_memory_equal(is, sphkv_codebook_data(old, NULL, NULL), bytes);
    assert_true(memcmp(is, sphkv_codebook_data(new, NULL, NULL), bytes) != 0);
    sphkv_codebook_free(read);
    assert_int_equal(sphkv_codebook_load(nowhere, &spec, 2, &read, &err), SPHKV_ENOTFOUND);
    assert_non_null(strstr(err.message, nowhere));
    assert_int_equal(sphkv_codebook_load(p->dir, &spec, 2, &read, &err), SPHKV_EIO);
    assert_non_null(strstr(err.message, p->dir));
    assert_null(read);
    sphkv_codebook_free(old);
    sphkv_codebook_free(new);
    sk_free(path);
    sk_free(under);
    sk_free(nowhere);
}

int main(void)
{
    const struct CMUnitTest no_compiler[] = {
        cmocka_unit_test_setup_teardown(questions_take_no_memory, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(codebook_files_fail_whole, run_place_make,
                                        run_place_free),
    };
    const struct CMUnitTest compiler[] = {
        cmocka_unit_test_setup_teardown(full_disk_costs_only_the_store, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(no_database_costs_only_the_store, run_place_make,
                                        run_place_free),
    };
    int failed = cmocka_run_group_tests(no_compiler, NULL, NULL);
    if (failed || !run_has_compiler())
        return failed ? failed : sk_test_skip("no compiler module: nothing can be planned");
    return cmocka_run_group_tests(compiler, NULL, NULL);
}
