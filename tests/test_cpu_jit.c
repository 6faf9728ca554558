/* test_cpu_jit.c - the door to the compiler: a process that only loads objects
 * never maps LLVM; every way of not having a compiler gives one clear reason;
 * what the compiler makes survives damage tests of the loader. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu_target.h"
#include "jit.h"
#include "object.h"

/* out[i] = sqrt(in[i]) + i * 0.5 for W lanes; a constant vector in .rodata. */
static sk_program *make_program(sk_arena *arena, const char *symbol, uint32_t warps)
{
    sk_builder b;
    sk_program *program = NULL;
    sk_err err = {0};
    sk_ir_begin(&b, arena, symbol, 8, warps);
    const sk_val in = sk_ir_param_ptr(&b, "in", false), out = sk_ir_param_ptr(&b, "out", true);
    const sk_val zero = sk_ir_u32(&b, 0);
    const sk_val x = sk_ir_1(&b, SK_OP_FSQRT, sk_ir_ldv(&b, SK_LD_F32, in, zero, 0));
    const sk_val half = sk_ir_2(&b, SK_OP_FMUL, sk_ir_1(&b, SK_OP_I2F, sk_ir_lane(&b)),
                                sk_ir_f32(&b, 0.5f));
    const sk_val mine = sk_ir_ptr_add(&b, out, sk_ir_0(&b, SK_OP_WARP, 0), 32);
    sk_ir_stv(&b, mine, zero, 0, sk_ir_2(&b, SK_OP_FADD, x, half));
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    return program;
}

static sk_status compile(sk_jit *jit, const sk_program *program, sk_emit_form form, char **bytes,
                         size_t *size, sk_err *err)
{
    const sk_jit_llvm_api *api;
    sk_target host;
    sk_status st = sk_jit_get(jit, &api, err);
    sk_cpu_target_host(&host);
    return st ? st : api->emit(&program, 1, &host, form, bytes, size, err);
}

static bool maps_llvm(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[1024];
    bool found = false;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        found |= strstr(line, "LLVM") || strstr(line, "sphkv_llvm");
    fclose(maps);
    return found;
}

/* Compiles in a child, which alone maps LLVM; the object comes back in a file.
 * False when there is no compiler. */
static bool compile_elsewhere(const char *path)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sk_arena arena = {0};
        sk_jit jit;
        char *bytes = NULL;
        size_t size = 0;
        sk_err err = {0};
        sk_jit_init(&jit, true);
        sk_status st = compile(&jit, make_program(&arena, "kernel", 1), SK_EMIT_OBJ, &bytes, &size,
                               &err);
        const bool mapped = maps_llvm();
        if (!st)
            st = sk_file_write(path, bytes, size, &err);
        if (st)
            fprintf(stderr, "%s\n", err.message);
        _exit(st ? 77 : mapped ? 0 : 1); /* 1: this check could not fail */
    }
    int status = 0;
    assert_true(waitpid(child, &status, 0) == child && WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
    return WEXITSTATUS(status) == 0;
}

static void run_object(const sk_object *object)
{
    const float in[8] = {0, 1, 4, 9, 16, 25, 36, 49};
    float out[8] = {0};
    const uint64_t params[2] = {(uint64_t)(uintptr_t)in, (uint64_t)(uintptr_t)out};
    sk_object_entry(object, "kernel")(params, NULL, 0, 0, 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_true(out[i] == (float)i * 1.5f);
}

static char *object_bytes; /* what the child made */
static size_t object_size;

/* First: in this process nothing has opened the compiler yet. */
static void loading_needs_no_llvm(void **state)
{
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "kernel.o");
    sk_err err = {0};
    sk_object *object = NULL;
    const bool made = compile_elsewhere(path);
    if (made)
        sk_assert_ok(sk_file_read(path, 1 << 20, &object_bytes, &object_size, &err), &err);
    sk_free(path);
    sk_test_dir_remove(dir);
    if (!made)
        skip();
    sk_assert_ok(sk_object_load(object_bytes, object_size, &object, &err), &err);
    run_object(object);
    assert_false(maps_llvm());
    sk_object_free(object);
}

static void damaged_objects_do_no_harm(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(5);
    sk_object *object = NULL;
    if (!object_bytes)
        skip();
    for (size_t n = 0; n < object_size; n += 7) {
        uint8_t *copy = sk_malloc(n);
        memcpy(copy, object_bytes, n);
        if (sk_object_load(copy, n, &object, NULL) == SPHKV_OK)
            sk_object_free(object);
        sk_free(copy);
    }
    uint8_t *copy = sk_malloc(object_size);
    for (uint32_t round = 0; round < 20000; round++) {
        memcpy(copy, object_bytes, object_size);
        for (uint32_t k = 1 + sk_rng_below(&rng, 3); k > 0; k--)
            copy[sk_rng_below(&rng, (uint32_t)object_size)] ^=
                (uint8_t)(1u << sk_rng_below(&rng, 8));
        if (sk_object_load(copy, object_size, &object, NULL) == SPHKV_OK)
            sk_object_free(object);
    }
    sk_free(copy);
}

/* ---- no compiler ------------------------------------------------------------------- */

static void refused(const char *module, bool allowed, const char *word)
{
    sk_jit jit;
    const sk_jit_llvm_api *api = NULL;
    if (module)
        setenv("SPHKV_LLVM_MODULE", module, 1);
    sk_jit_init(&jit, allowed);
    for (int again = 0; again < 2; again++) { /* the answer stands */
        sk_err err = {0};
        assert_int_equal(sk_jit_get(&jit, &api, &err), SPHKV_ECOMPILE);
        assert_null(api);
        if (!strstr(err.message, word))
            fail_msg("'%s' does not say '%s'", err.message, word);
    }
    sk_jit_close(&jit);
    unsetenv("SPHKV_LLVM_MODULE");
}

static void every_absence_has_its_reason(void **state)
{
    (void)state;
    char *dir = sk_test_dir();
    char *absent = sk_test_path(dir, "absent.so"), *text = sk_test_path(dir, "text.so");
    sk_err err = {0};
    sk_assert_ok(sk_file_write(text, "no module", 9, &err), &err);
    refused(NULL, false, "switched off");
    refused(absent, true, "absent.so");
    refused(text, true, "text.so");
    refused("libm.so.6", true, "another version"); /* a library, but not ours */
    assert_false(maps_llvm());
    sk_free(absent);
    sk_free(text);
    sk_test_dir_remove(dir);
}

/* ---- the compiler -------------------------------------------------------------------- */

static sk_jit jit;

static void forms_are_what_they_say(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_err err = {0};
    char *bytes = NULL, *again = NULL;
    size_t size = 0, size2 = 0;
    sk_object *object = NULL;
    const sk_program *program = make_program(&arena, "kernel", 1);
    const sk_status st = compile(&jit, program, SK_EMIT_LLVM_IR, &bytes, &size, &err);
    if (st == SPHKV_ECOMPILE && !jit.api) {
        sk_arena_free(&arena);
        skip();
    }
    sk_assert_ok(st, &err);
    assert_int_equal(strlen(bytes), size);
    assert_non_null(strstr(bytes, "define void @kernel(ptr"));
    sk_free(bytes);
    sk_assert_ok(compile(&jit, program, SK_EMIT_ASM, &bytes, &size, &err), &err);
    assert_non_null(strstr(bytes, "kernel:"));
    sk_free(bytes);
    sk_assert_ok(compile(&jit, program, SK_EMIT_OBJ, &bytes, &size, &err), &err);
    sk_assert_ok(compile(&jit, program, SK_EMIT_OBJ, &again, &size2, &err), &err);
    assert_int_equal(size, size2); /* the same bytes every time */
    assert_memory_equal(bytes, again, size);
    sk_assert_ok(sk_object_load(bytes, size, &object, &err), &err);
    run_object(object);
    sk_object_free(object);
    sk_free(bytes);
    sk_free(again);
    sk_arena_free(&arena);
}

static void what_it_cannot_do_is_said(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_err err = {0};
    const sk_jit_llvm_api *api;
    sk_target target;
    char *bytes = NULL;
    size_t size = 0;
    if (sk_jit_get(&jit, &api, &err) != SPHKV_OK)
        skip();
    sk_cpu_target_host(&target);
    const sk_program *two = make_program(&arena, "kernel", 2);
    assert_int_equal(api->emit(&two, 1, &target, SK_EMIT_OBJ, &bytes, &size, &err),
                     SPHKV_EUNSUPPORTED);
    assert_null(bytes);
    const sk_program *same[2] = {make_program(&arena, "kernel", 1),
                                 make_program(&arena, "kernel", 1)};
    assert_int_equal(api->emit(same, 2, &target, SK_EMIT_OBJ, &bytes, &size, &err), SPHKV_EINVAL);
    strcpy(target.triple, "pdp11-unknown-none");
    assert_int_equal(api->emit(same, 1, &target, SK_EMIT_OBJ, &bytes, &size, &err),
                     SPHKV_EUNSUPPORTED);
    assert_null(bytes);
    sk_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_needs_no_llvm),
        cmocka_unit_test(damaged_objects_do_no_harm),
        cmocka_unit_test(every_absence_has_its_reason),
        cmocka_unit_test(forms_are_what_they_say),
        cmocka_unit_test(what_it_cannot_do_is_said),
    };
    unsetenv("SPHKV_LLVM_MODULE");
    sk_jit_init(&jit, true);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sk_jit_close(&jit);
    sk_free(object_bytes);
    return failed;
}
