/* test_run_plan.c - plans: default schedules against the double reference, code
 * that is kept, and how a look-up chooses among records. */
#include "sk_test.h"

#include "run_case.h"

#include "pick.h"

/* ---- default schedules -------------------------------------------------------- */

static void default_schedules_are_right(void **state)
{
    run_place *p = *state;
    const uint64_t seed = sk_test_seed(11);
    sphkv_context *ctx = run_open(p, 0);
    run_spec r;
    for (uint32_t i = 0; (r = run_spec_get(i)).params.size; i++) {
        sphkv_error err = {0};
        sk_assert_ok(sphkv_supported(NULL, &r.params, &err), &err);
        sk_assert_ok(sphkv_supported(ctx, &r.params, &err), &err);
        sphkv_plan *plan = run_plan(ctx, &r);
        assert_non_null(strstr(sphkv_plan_describe(plan), " | default"));
        for (uint32_t input = 0; input < SK_INPUT_COUNT; input++) {
            sk_case c;
            run_case_make(&r, (sk_input)input, input % 2 == 1, seed + input, &c);
            run_call call = run_call_make(plan, &c);
            for (uint32_t parts = 1; parts <= r.shape.threads; parts++) {
                sk_case_poison(&c, 0);
                run_parts(plan, &call, parts);
                run_judge(&c); /* the same workspace, run after run */
            }
            run_call_free(&call);
            sk_case_free(&c);
        }
        sphkv_plan_destroy(plan);
    }
    sphkv_close(ctx);
    assert_int_equal(p->lines, 0);
}

static void code_is_kept(void **state)
{
    run_place *p = *state;
    const run_spec r = run_spec_get(0);
    sphkv_context *ctx = run_open(p, 0);
    sphkv_plan *one = run_plan(ctx, &r), *two = run_plan(ctx, &r);
    assert_ptr_equal(one->code, two->code);
    assert_int_equal(ctx->codes.count, 1);
    sphkv_plan_destroy(one);
    sphkv_close(ctx); /* before its plan: the plan stays fit to run */
    run_once(two, &r, SK_IN_S1, 3, 2);
    sphkv_plan_destroy(two);

    ctx = run_open(p, SPHKV_OPEN_NO_JIT); /* the first context stored it */
    sphkv_plan *three = run_plan(ctx, &r);
    sphkv_plan_destroy(three);
    sphkv_close(ctx);
    assert_int_equal(p->lines, 0);
}

/* Nothing is written: the next process finds nothing. */
static void read_only_stores_nothing(void **state)
{
    run_place *p = *state;
    const run_spec r = run_spec_get(1);
    sphkv_context *ctx = run_open(p, SPHKV_OPEN_READ_ONLY);
    sphkv_plan_destroy(run_plan(ctx, &r));
    sphkv_close(ctx);
    assert_int_not_equal(access(p->db, F_OK), 0);
    assert_int_equal(p->lines, 0);
}

/* ---- records --------------------------------------------------------------------- */

/* One tuned schedule of a spec, made the way the tuner makes it. */
typedef struct record {
    sk_arena mem;
    sk_spec spec;
    char *spec_text, *schedule_text;
    sk_schedule schedule;
    sk_code_ir ir;
    sk_db_artifact artifact;
    sk_db_device device;
    sk_db_shape shape;
} record;

static char *keep(sk_arena *mem, sk_text *text)
{
    assert_false(text->failed);
    char *copy = sk_arena_strdup(mem, text->s);
    sk_text_free(text);
    assert_non_null(copy);
    return copy;
}

/* The first valid schedule that is not the default one and has other IR. */
static void other_schedule(record *rec, const sk_target *target)
{
    const sk_kernel *kernel = sk_kernel_get(rec->spec.kernel);
    sk_code_ir base;
    sk_schedule start;
    sk_kernel_default(kernel, &rec->spec, target, &start);
    sk_assert_ok(sk_code_ir_build(&rec->spec, &start, &rec->mem, &base, NULL), NULL);
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        if (!sk_tunable_tunes(t, rec->spec.kernel, SK_BACKEND_CPU))
            continue;
        for (uint32_t i = 0; i < sk_tunable_count(t); i++) {
            rec->schedule = start;
            rec->schedule.v[t] = sk_tunable_value(t, i);
            if (sk_kernel_valid(kernel, &rec->spec, &rec->schedule, target, NULL) != SPHKV_OK)
                continue;
            sk_assert_ok(sk_code_ir_build(&rec->spec, &rec->schedule, &rec->mem, &rec->ir, NULL),
                         NULL);
            if (strcmp(rec->ir.hash, base.hash) != 0)
                return;
        }
    }
    fail_msg("there is only one schedule");
}

static void record_make(record *rec, const sphkv_context *ctx, const run_spec *r)
{
    sk_err err = {0};
    memset(rec, 0, sizeof *rec);
    sk_assert_ok(sk_spec_from_params(&r->params, &rec->spec, &err), &err);
    rec->device = sk_device_record(&ctx->device);
    rec->shape = sk_pick_shape(&rec->spec, &r->shape);
    other_schedule(rec, &ctx->device.target);
    sk_text text = {0}, sched = {0};
    sk_spec_print(&rec->spec, &text);
    rec->spec_text = keep(&rec->mem, &text);
    sk_schedule_print(rec->spec.kernel, &rec->schedule, &sched);
    rec->schedule_text = keep(&rec->mem, &sched);
    sk_jit jit;
    const sk_jit_llvm_api *api;
    sk_jit_init(&jit, true);
    sk_assert_ok(sk_jit_get(&jit, &api, &err), &err);
    sk_assert_ok(sk_code_compile(&rec->ir, &ctx->device.target, api, &rec->mem, &rec->artifact,
                                 &err), &err);
    sk_jit_close(&jit);
}

/* Stores the record as it stands now as the winner of its device and shape. */
static void record_put(const record *rec, sphkv_context *ctx, bool code)
{
    sk_err err = {0};
    int64_t id = 0;
    const sk_db_trial trial = {
        .key = {.device = &rec->device, .kernel = sk_kernel_name(rec->spec.kernel),
                .spec = rec->spec_text, .shape = rec->shape, .schedule = rec->schedule_text,
                .ir_hash = rec->artifact.ir_hash, .accuracy = "tight", .run_kind = "measure"},
        .outcome = SK_OUTCOME_OK, .median_us = 10, .error = 1e-4, .error_kind = "S1 rms",
        .tool_version = "test", .run_id = "test",
        .artifact = code ? &rec->artifact : NULL};
    sk_assert_ok(sk_db_trial_put(ctx->dbs->user, &trial, &id, &err), &err);
    const sk_db_winner winner = {.trial_id = id, .default_trial_id = id, .speedup = 1,
                                 .speedup_lo = 1, .speedup_hi = 1, .default_us = 10,
                                 .run_id = "test"};
    sk_assert_ok(sk_db_winner_put(ctx->dbs->user, &winner, NULL, &err), &err);
}

/* A plan is made, says `how` and `schedule` (NULL: not this one), computes. */
static void plan_says(sphkv_context *ctx, const run_spec *r, const char *how, const char *schedule)
{
    sphkv_plan *plan = run_plan(ctx, r);
    const char *text = sphkv_plan_describe(plan);
    if (!strstr(text, how) || (schedule && !strstr(text, schedule)))
        fail_msg("'%s' and '%s' expected: %s", how, schedule ? schedule : "", text);
    run_once(plan, r, SK_IN_S1, 5, r->shape.threads);
    sphkv_plan_destroy(plan);
}

static void look_up_says_how_it_matched(void **state)
{
    run_place *p = *state;
    run_spec r = run_spec_get(0);
    sphkv_context *ctx = run_open(p, 0);
    record rec;
    record_make(&rec, ctx, &r);
    plan_says(ctx, &r, " | default", NULL);
    rec.device.fingerprint = "cpu;another of the same architecture";
    rec.device.name = "Another CPU";
    record_put(&rec, ctx, true);
    plan_says(ctx, &r, " | same architecture (Another CPU, ", rec.schedule_text);
    rec.device = sk_device_record(&ctx->device);
    rec.shape.context *= 4;
    record_put(&rec, ctx, true);
    plan_says(ctx, &r, " | near shape (", rec.schedule_text);
    rec.shape = sk_pick_shape(&rec.spec, &r.shape);
    record_put(&rec, ctx, true);
    plan_says(ctx, &r, " | exact", rec.schedule_text);
    r.shape.batch++;
    plan_says(ctx, &r, " | near shape (", rec.schedule_text);
    sk_arena_free(&rec.mem);
    sphkv_close(ctx);
    assert_int_equal(p->lines, 0);
}

/* A schedule without its code: compiled and checked here, stored, then found. */
static void recipe_is_compiled_once(void **state)
{
    run_place *p = *state;
    const run_spec r = run_spec_get(0);
    sphkv_context *ctx = run_open(p, 0);
    record rec;
    record_make(&rec, ctx, &r);
    record_put(&rec, ctx, false);
    plan_says(ctx, &r, " | exact", rec.schedule_text);
    sphkv_close(ctx);
    ctx = run_open(p, SPHKV_OPEN_NO_JIT);
    plan_says(ctx, &r, " | exact", rec.schedule_text);
    sk_arena_free(&rec.mem);
    sphkv_close(ctx);
    assert_int_equal(p->lines, 0);
}

/* Launch facts of the record, as if compiled for a CPU that has more. */
static char *facts_of_more(record *rec)
{
    const char *facts = rec->artifact.launch;
    sk_text text = {0};
    sk_text_printf(&text, "%.*s,\"cpu\":\"x\",\"bits\":0,\"features\":\"+tensor\"}",
                   (int)(strstr(facts, ",\"cpu\"") - facts), facts);
    return keep(&rec->mem, &text);
}

/* The schedule of another CPU of this architecture serves where its code does
 * not, as long as there is a compiler. */
static void code_for_more_is_compiled_here(void **state)
{
    run_place *p = *state;
    const run_spec r = run_spec_get(0);
    sphkv_context *ctx = run_open(p, 0);
    record rec;
    record_make(&rec, ctx, &r);
    rec.device.fingerprint = "cpu;another of the same architecture";
    rec.device.name = "Another CPU";
    rec.artifact.launch = facts_of_more(&rec);
    record_put(&rec, ctx, true);
    sphkv_close(ctx);
    ctx = run_open(p, SPHKV_OPEN_NO_JIT);
    const sphkv_maxima maxima = run_maxima(&r);
    sphkv_plan *plan;
    assert_int_equal(sphkv_plan_create(ctx, &r.params, &maxima, &plan, NULL), SPHKV_ECOMPILE);
    run_assert_logged(p, "compiled for x, which has more");
    assert_int_equal(p->lines, 1);
    sphkv_close(ctx);
    for (int i = 0; i < 2; i++) { /* compiled, then stored */
        ctx = run_open(p, i ? SPHKV_OPEN_NO_JIT : 0);
        plan_says(ctx, &r, " | same architecture (Another CPU, ", rec.schedule_text);
        sphkv_close(ctx);
    }
    assert_int_equal(p->lines, 1);
    sk_arena_free(&rec.mem);
}

/* Every reason why a record must not be used is one line, and the next record
 * (here one of another shape) is used instead. */
static void bad_records_are_passed_over(void **state)
{
    run_place *p = *state;
    const run_spec r = run_spec_get(0);
    sphkv_context *ctx = run_open(p, 0);
    record good;
    record_make(&good, ctx, &r);
    const sk_db_shape exact = good.shape;
    good.shape.context *= 4;
    record_put(&good, ctx, true);
    char junk[600];
    memset(junk, 0x5a, sizeof junk);
    for (int kind = 0; kind < 6; kind++) {
        const char *reason = "";
        record bad = good;
        bad.shape = exact;
        switch (kind) {
        case 0: /* IR of another generator */
            bad.artifact.ir_hash = "00000000000000000000000000000000"
                                   "00000000000000000000000000000000";
            reason = "stale: it is of another generator";
            break;
        case 1:
            bad.schedule_text = (char *)(uintptr_t) "w=8,warp=9";
            reason = "warp";
            break;
        case 2:
            bad.artifact.bytes = junk;
            bad.artifact.size = sizeof junk;
            reason = "object";
            break;
        case 3:
            bad.artifact.entries = "sk_nothing";
            reason = "entries";
            break;
        case 4:
            bad.artifact.launch = "{\"shared_bytes\":[64]}";
            reason = "launch facts";
            break;
        default:
            bad.artifact.size /= 2;
            reason = "object";
            break;
        }
        bad.device = sk_device_record(&ctx->device); /* of the context now open */
        record_put(&bad, ctx, true);
        run_log_clear(p);
        sphkv_close(ctx); /* the registry would answer without the stored bytes */
        ctx = run_open(p, 0);
        plan_says(ctx, &r, " | near shape (", good.schedule_text);
        run_assert_logged(p, reason);
        assert_int_equal(p->lines, 1);
    }
    sk_arena_free(&good.mem);
    sphkv_close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(default_schedules_are_right, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(code_is_kept, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(read_only_stores_nothing, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(look_up_says_how_it_matched, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(recipe_is_compiled_once, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(code_for_more_is_compiled_here, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(bad_records_are_passed_over, run_place_make,
                                        run_place_free),
    };
    if (!run_has_compiler())
        return sk_test_skip("no compiler module: nothing can be planned from scratch");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
