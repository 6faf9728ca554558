/* test_run_stored.c - life without a compiler: stored objects run and LLVM is
 * never mapped into this process; nothing stored is a documented error; damage
 * is a line in the log and never wrong code. Everything that compiles happens
 * in child processes. */
#include "sk_test.h"

#include "run_case.h"

static bool llvm_is_mapped(void)
{
    char *maps = NULL;
    size_t bytes = 0;
    sk_assert_ok(sk_file_read("/proc/self/maps", 64u << 20, &maps, &bytes, NULL), NULL);
    bool mapped = strstr(maps, "LLVM") || strstr(maps, "sphkv_llvm");
    sk_free(maps);
    return mapped;
}

/* A child plans every spec with a compiler, and by that fills the database. */
static void fill_database(run_place *p)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        sphkv_open_params params = {.size = sizeof params, .db_path = p->db};
        sphkv_context *ctx = NULL;
        sphkv_error err = {0};
        sphkv_status st = sphkv_open(&params, &ctx, &err);
        run_spec r;
        for (uint32_t i = 0; st == SPHKV_OK && (r = run_spec_get(i)).params.size; i++) {
            const sphkv_maxima maxima = run_maxima(&r);
            sphkv_plan *plan = NULL;
            st = sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err);
            sphkv_plan_destroy(plan);
        }
        sphkv_close(ctx);
        if (st != SPHKV_OK)
            fprintf(stderr, "child: %s\n", err.message);
        fflush(NULL);
        _exit(st == SPHKV_OK ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void run_one(sphkv_context *ctx, const run_spec *r)
{
    sphkv_plan *plan = run_plan(ctx, r);
    run_once(plan, r, SK_IN_EDGE, 7, r->shape.threads);
    sphkv_plan_destroy(plan);
}

static void stored_objects_need_no_compiler(void **state)
{
    run_place *p = *state;
    fill_database(p);
    const uint32_t flags[] = {SPHKV_OPEN_NO_JIT, SPHKV_OPEN_NO_JIT | SPHKV_OPEN_READ_ONLY,
                              0 /* allowed to compile, has no reason to */};
    for (size_t f = 0; f < SK_COUNT(flags); f++) {
        sphkv_context *ctx = run_open(p, flags[f]);
        run_spec r;
        for (uint32_t i = 0; (r = run_spec_get(i)).params.size; i++)
            run_one(ctx, &r);
        sphkv_close(ctx);
    }
    assert_int_equal(p->lines, 0);
    assert_false(llvm_is_mapped());
}

/* What an engine gets to see: one line that says what to do. */
static void assert_no_kernel(run_place *p)
{
    const run_spec r = run_spec_get(0);
    const sphkv_maxima maxima = run_maxima(&r);
    sphkv_context *ctx = run_open(p, SPHKV_OPEN_NO_JIT);
    sphkv_plan *plan = (sphkv_plan *)&p;
    sphkv_error err = {0};
    assert_int_equal(sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err), SPHKV_ECOMPILE);
    assert_null(plan);
    assert_int_equal(err.status, SPHKV_ECOMPILE);
    assert_non_null(strstr(err.message, "attn_decode d64"));
    assert_non_null(strstr(err.message, "install LLVM 19"));
    assert_non_null(strstr(err.message, "sphkv-tune"));
    assert_null(strchr(err.message, '\n'));
    sphkv_close(ctx);
}

static void nothing_stored_is_an_error(void **state)
{
    run_place *p = *state;
    assert_no_kernel(p);
    assert_int_equal(p->lines, 0);
    assert_false(llvm_is_mapped());
}

/* Flips one bit of every object inside the file: of its magic, since bytes
 * further on may lie in another page of the database. */
static void damage_objects(const run_place *p)
{
    char *data = NULL;
    size_t bytes = 0, hits = 0;
    sk_assert_ok(sk_file_read(p->db, 64u << 20, &data, &bytes, NULL), NULL);
    for (size_t i = 0; i + 4 <= bytes; i++) {
        if (memcmp(data + i, "\177ELF", 4) == 0) {
            data[i + 1] ^= 0x10;
            hits++;
        }
    }
    assert_true(hits > 0);
    sk_assert_ok(sk_file_write(p->db, data, bytes, NULL), NULL);
    sk_free(data);
}

static void damaged_objects_are_not_used(void **state)
{
    run_place *p = *state;
    fill_database(p);
    damage_objects(p);
    assert_no_kernel(p);
    assert_int_equal(p->lines, 1);
    run_assert_logged(p, "a stored kernel is not used");
    run_assert_logged(p, "does not match its hash");
    fill_database(p); /* compiles again and replaces them */
    run_log_clear(p);
    sphkv_context *ctx = run_open(p, SPHKV_OPEN_NO_JIT);
    const run_spec r = run_spec_get(0);
    run_one(ctx, &r);
    sphkv_close(ctx);
    assert_int_equal(p->lines, 0);
    assert_false(llvm_is_mapped());
}

/* Any byte of the file may be wrong: what comes back is a right kernel or the
 * documented error, never a crash, never wrong results. */
static void random_damage_is_survived(void **state)
{
    run_place *p = *state;
    sk_rng rng = sk_test_rng(31);
    char *data = NULL;
    size_t bytes = 0;
    const run_spec r = run_spec_get(3);
    const sphkv_maxima maxima = run_maxima(&r);
    fill_database(p);
    sk_assert_ok(sk_file_read(p->db, 64u << 20, &data, &bytes, NULL), NULL);
    for (int round = 0; round < 80; round++) {
        char *copy = sk_malloc(bytes);
        assert_non_null(copy);
        memcpy(copy, data, bytes);
        for (uint32_t n = 1 + sk_rng_below(&rng, 20); n > 0; n--)
            copy[sk_rng_below(&rng, (uint32_t)bytes)] = (char)sk_rng_u64(&rng);
        size_t kept = round % 4 ? bytes : sk_rng_below(&rng, (uint32_t)bytes);
        sk_assert_ok(sk_file_write(p->db, copy, kept, NULL), NULL);
        sk_free(copy);
        run_log_clear(p);
        sphkv_context *ctx = run_open(p, SPHKV_OPEN_NO_JIT);
        sphkv_plan *plan = NULL;
        sphkv_status st = sphkv_plan_create(ctx, &r.params, &maxima, &plan, NULL);
        if (st == SPHKV_OK)
            run_one(ctx, &r);
        else
            assert_int_equal(st, SPHKV_ECOMPILE);
        sphkv_plan_destroy(plan);
        sphkv_close(ctx);
        (void)unlink(p->db);
    }
    sk_free(data);
}

/* Well-formed records with bytes that are no objects: the loader's turn. */
static void foreign_objects_are_not_used(void **state)
{
    run_place *p = *state;
    const run_spec r = run_spec_get(0);
    sk_err err = {0};
    sk_spec spec;
    sk_schedule schedule;
    sk_code_ir ir;
    sk_arena mem = {0};
    sk_text text = {0}, facts = {0};
    sphkv_context *ctx = run_open(p, SPHKV_OPEN_NO_JIT);
    const sk_target *target = &ctx->device.target;
    sk_assert_ok(sk_spec_from_params(&r.params, &spec, &err), &err);
    sk_kernel_default(sk_kernel_get(spec.kernel), &spec, target, &schedule);
    sk_assert_ok(sk_code_ir_build(&spec, &schedule, &mem, &ir, &err), &err);
    sk_spec_print(&spec, &text);
    sk_launch launch = {.nentry = ir.build.n, .target = *target};
    for (uint32_t i = 0; i < ir.build.n; i++)
        launch.shared_bytes[i] = ir.build.program[i]->shared_bytes;
    sk_launch_print(&launch, &facts);
    const sk_db_device device = sk_device_record(&ctx->device);
    const sk_db_artifact artifact = {.kind = "obj", .entries = ir.build.program[0]->symbol,
                                     .launch = facts.s, .ir_hash = ir.hash,
                                     .bytes = "\177ELF and then nothing", .size = 21};
    sk_assert_ok(sk_db_default_put(ctx->dbs, &device, sk_kernel_name(spec.kernel), text.s, "",
                                   &artifact, &err), &err);
    sphkv_close(ctx);
    assert_no_kernel(p);
    assert_int_equal(p->lines, 1);
    run_assert_logged(p, "a stored kernel is not used: object");
    sk_text_free(&text);
    sk_text_free(&facts);
    sk_arena_free(&mem);
}

static void unusable_database_is_one_warning(void **state)
{
    run_place *p = *state;
    sk_assert_ok(sk_file_write(p->db, "not a database, not at all", 26, NULL), NULL);
    sphkv_context *ctx = run_open(p, SPHKV_OPEN_NO_JIT);
    assert_int_equal(p->lines, 1);
    run_assert_logged(p, p->db);
    assert_true(ctx->dbs->memory_only);
    sphkv_close(ctx);
}

static void bad_open_params(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = (sphkv_context *)&p;
    sphkv_error err = {0};
    assert_int_equal(sphkv_open(NULL, NULL, &err), SPHKV_EINVAL);
    struct {
        sphkv_open_params known;
        uint64_t newer;
    } params = {.known = {.size = sizeof params, .db_path = p->db, .flags = SPHKV_OPEN_NO_JIT}};
    params.newer = 1;
    assert_int_equal(sphkv_open(&params.known, &ctx, &err), SPHKV_EINVAL);
    assert_null(ctx);
    assert_non_null(strstr(err.message, "too old"));
    params.newer = 0;
    params.known.flags |= 64;
    assert_int_equal(sphkv_open(&params.known, &ctx, &err), SPHKV_EINVAL);
    params.known.flags &= ~64u;
    params.known.size = 3;
    assert_int_equal(sphkv_open(&params.known, &ctx, &err), SPHKV_EINVAL);
    params.known.size = sizeof params;
    sk_assert_ok(sphkv_open(&params.known, &ctx, &err), &err);
    sphkv_close(ctx);
    sphkv_close(NULL);
}

int main(void)
{
    const struct CMUnitTest no_compiler[] = {
        cmocka_unit_test_setup_teardown(nothing_stored_is_an_error, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(foreign_objects_are_not_used, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(unusable_database_is_one_warning, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(bad_open_params, run_place_make, run_place_free),
    };
    const struct CMUnitTest compiler[] = {
        cmocka_unit_test_setup_teardown(stored_objects_need_no_compiler, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(damaged_objects_are_not_used, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(random_damage_is_survived, run_place_make,
                                        run_place_free),
    };
    int failed = cmocka_run_group_tests(no_compiler, NULL, NULL);
    if (failed || !run_has_compiler())
        return failed ? failed : sk_test_skip("no compiler module: nothing can be stored");
    return cmocka_run_group_tests(compiler, NULL, NULL);
}
