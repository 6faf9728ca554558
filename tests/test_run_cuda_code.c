/* test_run_cuda_code.c - code of a GPU: what is loaded where, what a launch hands to
 * the driver, how long a module lives; and launch facts, which decide all of it. On the
 * driver's double: no GPU is needed. */
#include "sk_test.h"

#include "cuda_case.h"
#include "device.h"
#include "gpu_target.h"
#include "image_impl.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* An artifact of two entries, and what it stands on. */
typedef struct stored {
    sk_launch launch;
    sk_text facts;
    char *bytes;
    sk_db_artifact artifact;
} stored;

static void stored_make(stored *s, const char *kind, const char *arch, uint32_t driver)
{
    *s = (stored){.launch = {.nentry = 2, .shared_bytes = {1024, 65536 - 64}, .warps = {1, 8},
                             .registers = {40, 128}, .spill_bytes = {0, 16}, .driver = driver}};
    s->launch.target.backend = SK_BACKEND_CUDA;
    assert_true(sk_gpu_arch_parse(arch, &s->launch.target));
    sk_launch_print(&s->launch, &s->facts);
    s->artifact = (sk_db_artifact){.kind = kind, .entries = "first,second", .launch = s->facts.s,
                                   .ir_hash = HASH, .format_version = SPHKV_FORMAT_VERSION,
                                   .args_version = SPHKV_ARGS_VERSION};
    s->bytes = strcmp(kind, "ptx") == 0
                   ? cuda_ptx("8.0", arch, "first,second", &s->artifact.size)
                   : cuda_cubin(arch, "first,second", &s->artifact.size);
    s->artifact.bytes = s->bytes;
}

static void stored_free(stored *s)
{
    sk_text_free(&s->facts);
    sk_free(s->bytes);
}

/* A GPU that is opened. */
typedef struct opened {
    cuda_machine machine;
    sk_cuda *cuda;
    sk_device device;
} opened;

static void opened_make(opened *o, const char *gpus, const char *version)
{
    sk_err err = {0};
    cuda_machine_make(&o->machine, gpus, version);
    sk_assert_ok(sk_cuda_open("cuda:0", &o->cuda, &err), &err);
    sk_assert_ok(sk_device_cuda(o->cuda, &o->device, &err), &err);
}

static void opened_free(opened *o)
{
    sk_cuda_release(o->cuda);
    cuda_machine_free(&o->machine);
}

static sk_code *load(opened *o, const stored *s)
{
    sk_code *code = NULL;
    sk_err err = {0};
    sk_assert_ok(sk_code_load_cuda(&s->artifact, NULL, o->cuda, &o->device.target, &code, &err),
                 &err);
    return code;
}

static void refused(opened *o, const sk_db_artifact *a, sk_status status, const char *reason)
{
    sk_code *code = NULL;
    sk_err err = {0};
    assert_int_equal(sk_code_load_cuda(a, NULL, o->cuda, &o->device.target, &code, &err), status);
    assert_null(code);
    if (!strstr(err.message, reason)) fail_msg("'%s' is not in '%s'", reason, err.message);
    assert_int_equal(o->machine.state->modules, 0);
}

/* ---- launch facts ---------------------------------------------------------------- */

static void facts_are_one_text(void **state)
{
    stored s;
    sk_launch back;
    (void)state;
    stored_make(&s, "cubin", "sm_90a", 12000);
    assert_string_equal(s.facts.s, "{\"arch\":\"sm_90a\",\"driver\":12000,\"warps\":[1,8],"
                                   "\"shared_bytes\":[1024,65472],\"registers\":[40,128],"
                                   "\"spill_bytes\":[0,16]}");
    assert_true(sk_launch_parse(s.facts.s, &back));
    assert_memory_equal(&back, &s.launch, sizeof back);
    stored_free(&s);
}

/* Cut anywhere, or a character changed: refused, or another text that is whole. */
static void damaged_facts_are_refused(void **state)
{
    stored s;
    sk_launch back;
    (void)state;
    stored_make(&s, "cubin", "sm_90a", 12000);
    const size_t n = strlen(s.facts.s);
    for (size_t i = 0; i < n; i++) {
        char *cut = sk_strdup(s.facts.s);
        cut[i] = '\0';
        assert_false(sk_launch_parse(cut, &back));
        strcpy(cut, s.facts.s);
        cut[i] = cut[i] == ']' ? '[' : ']';
        assert_false(sk_launch_parse(cut, &back));
        sk_free(cut);
    }
    static const char *const bad[] = {
        "{\"arch\":\"sm_90\",\"driver\":12000,\"warps\":[1],\"shared_bytes\":[1,2],"
        "\"registers\":[1],\"spill_bytes\":[0]}", /* lists of unequal length */
        "{\"arch\":\"sm_90\",\"driver\":12000,\"warps\":[],\"shared_bytes\":[],"
        "\"registers\":[],\"spill_bytes\":[]}",
        "{\"arch\":\"sm_90\",\"driver\":12000,\"warps\":[1,1,1,1,1],\"shared_bytes\":[1,1,1,1,1],"
        "\"registers\":[1,1,1,1,1],\"spill_bytes\":[0,0,0,0,0]}",
        "{\"arch\":\"znver4\",\"driver\":12000,\"warps\":[1],\"shared_bytes\":[1],"
        "\"registers\":[1],\"spill_bytes\":[0]}",
    };
    for (size_t i = 0; i < SK_COUNT(bad); i++) assert_false(sk_launch_parse(bad[i], &back));
    stored_free(&s);
}

/* ---- loading ---------------------------------------------------------------------- */

static void code_loads_where_it_runs(void **state)
{
    static const struct {
        const char *kind, *arch, *gpu;
        bool runs;
    } row[] = {
        {"cubin", "sm_75", "sm_75:40", true},    {"cubin", "sm_80", "sm_80:108", true},
        {"cubin", "sm_80", "sm_86:84", true},    {"cubin", "sm_86", "sm_80:108", false},
        {"cubin", "sm_89", "sm_90:132", false},  {"cubin", "sm_90a", "sm_90:132", true},
        {"cubin", "sm_90", "sm_100:148", false}, {"cubin", "sm_100a", "sm_100:148", true},
        {"cubin", "sm_100", "sm_120:170", false}, {"cubin", "sm_120", "sm_120:170", true},
        {"ptx", "sm_75", "sm_120:170", true},    {"ptx", "sm_90", "sm_89:142", false},
        {"ptx", "sm_90a", "sm_100:148", false},  {"ptx", "sm_90a", "sm_90:132", true},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        opened o;
        stored s;
        char loaded[32];
        opened_make(&o, row[i].gpu, NULL);
        stored_make(&s, row[i].kind, row[i].arch, 12000);
        if (row[i].runs) {
            sk_code *code = load(&o, &s);
            snprintf(loaded, sizeof loaded, "%s %s", row[i].kind, row[i].arch);
            assert_string_equal(o.machine.state->loaded, loaded);
            assert_int_equal(code->nentry, 2);
            assert_int_equal(code->sms, o.device.target.sms);
            sk_code_release(code);
        } else {
            refused(&o, &s.artifact, SPHKV_EUNSUPPORTED, row[i].arch);
        }
        stored_free(&s);
        opened_free(&o);
    }
}

static void old_drivers_say_so(void **state)
{
    opened o;
    stored s;
    (void)state;
    opened_make(&o, "sm_90:132", "12040");
    stored_make(&s, "cubin", "sm_90", 13000);
    refused(&o, &s.artifact, SPHKV_EUNSUPPORTED, "needs a driver of CUDA 13.0, this one is of 12.4");
    stored_free(&s);
    stored_make(&s, "ptx", "sm_90", 12000);
    sk_free(s.bytes); /* the facts are right, the text is newer than they say */
    s.artifact.bytes = s.bytes = cuda_ptx("8.7", "sm_90", "first,second", &s.artifact.size);
    refused(&o, &s.artifact, SPHKV_EDEVICE, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION");
    stored_free(&s);
    opened_free(&o);
}

static void bad_artifacts_are_refused(void **state)
{
    opened o;
    stored s;
    (void)state;
    opened_make(&o, "sm_86:84", NULL);
    stored_make(&s, "cubin", "sm_86", 12000);
    sk_db_artifact a = s.artifact;
    a.kind = "obj";
    refused(&o, &a, SPHKV_EDB, "neither a CUBIN nor PTX");
    a = s.artifact;
    a.entries = "first,third";
    refused(&o, &a, SPHKV_EDB, "has no entry 'third'");
    a.entries = "first";
    refused(&o, &a, SPHKV_EDB, "entries 'first' are damaged");
    a = s.artifact;
    a.args_version++;
    refused(&o, &a, SPHKV_EDB, "args");
    a = s.artifact;
    a.launch = "{\"shared_bytes\":[0],\"triple\":\"x\",\"cpu\":\"x\",\"bits\":0,\"features\":\"\"}";
    refused(&o, &a, SPHKV_EDB, "launch facts are damaged");
    a = s.artifact;
    a.bytes = "no code at all";
    a.size = 14;
    refused(&o, &a, SPHKV_EDEVICE, "loading its cubin");
    a.kind = "ptx";
    refused(&o, &a, SPHKV_EDEVICE, "ptxas fatal"); /* the driver's own words */
    stored_free(&s);
    opened_free(&o);
}

static void blocks_that_do_not_fit(void **state)
{
    static const struct {
        uint32_t warps, shared;
        sk_status status;
        const char *why;
    } row[] = {
        {0, 0, SPHKV_EDB, "0 warps are not plausible"},
        {33, 0, SPHKV_EDB, "33 warps are not plausible"},
        {4, 101376 + 1, SPHKV_EUNSUPPORTED, "101377 bytes of shared memory, 101376 are there"},
    };
    opened o;
    (void)state;
    opened_make(&o, "sm_86:84", NULL);
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        stored s;
        sk_text facts = {0};
        stored_make(&s, "cubin", "sm_86", 12000);
        s.launch.warps[1] = row[i].warps;
        s.launch.shared_bytes[1] = row[i].shared;
        sk_launch_print(&s.launch, &facts);
        s.artifact.launch = facts.s;
        refused(&o, &s.artifact, row[i].status, row[i].why);
        sk_text_free(&facts);
        stored_free(&s);
    }
    opened_free(&o);
}

/* Every allocation of a load fails in turn; nothing is left. */
static void no_memory_leaves_nothing(void **state)
{
    opened o;
    stored s;
    sk_code *code = NULL;
    uint64_t n = 0;
    (void)state;
    opened_make(&o, "sm_90:132", NULL);
    stored_make(&s, "ptx", "sm_80", 12000);
    for (sk_status st = SPHKV_ENOMEM; st != SPHKV_OK;) {
        sk_err err = {0};
        sk_alloc_fault(++n, false);
        st = sk_code_load_cuda(&s.artifact, NULL, o.cuda, &o.device.target, &code, &err);
        sk_alloc_fault(0, false);
        if (st != SPHKV_OK) {
            assert_int_equal(st, SPHKV_ENOMEM);
            assert_int_equal(o.machine.state->modules, 0);
        }
    }
    assert_true(n > 2);
    sk_code_release(code);
    stored_free(&s);
    opened_free(&o);
}

/* ---- launching ---------------------------------------------------------------------- */

static uint32_t three_slots(void *user, const char *name, const char *unit)
{
    (void)unit;
    (void)user;
    (void)name;
    return 3;
}

static void launches_are_handed_on(void **state)
{
    opened o;
    stored s;
    sk_image image = {0};
    sk_err err = {0};
    (void)state;
    opened_make(&o, "sm_90:132", NULL);
    stored_make(&s, "cubin", "sm_90", 12000);
    sk_code *code = load(&o, &s);
    sk_call call = {0};
    sk_call_ptr(&call, &image, 8);
    sk_call_u32(&call, 7);
    sk_call_f32(&call, 1.0f);
    sk_code_launches(code, &image);
    fake_cuda *f = o.machine.state;
    f->slots = three_slots;
    f->forbid = true; /* as in a capture */
    sk_assert_ok(sk_image_launch(&image, 0, &call, 5, NULL, &err), &err);
    assert_string_equal(f->last.name, "first");
    assert_int_equal(f->last.grid[0], 5);
    assert_int_equal(f->last.block[0], 32);
    assert_int_equal(f->last.shared_bytes, 1024);
    assert_int_equal(f->last.slot[0], (uint64_t)(uintptr_t)&image);
    assert_int_equal(f->last.slot[1], 7);
    assert_int_equal(f->last.slot[2], 0x3f800000);
    sk_assert_ok(sk_image_launch(&image, 1, &call, 132, NULL, &err), &err);
    assert_string_equal(f->last.name, "second");
    assert_int_equal(f->last.block[0], 256);
    assert_int_equal(f->last.shared_bytes, 65472); /* beyond 48 KiB: was asked for */
    assert_int_equal(f->launches, 2);
    sk_assert_ok(sk_image_launch(&image, 1, &call, 0, NULL, &err), &err);
    assert_int_equal(f->launches, 2); /* an empty grid is no launch */
    f->forbid = false;
    sk_code_release(code);
    stored_free(&s);
    opened_free(&o);
}

/* Code outlives whoever opened the device, and is unloaded in its context. */
static void code_keeps_its_context(void **state)
{
    opened o;
    stored s;
    sk_cu_context other, popped;
    (void)state;
    opened_make(&o, "sm_90:132,sm_90:132", NULL);
    stored_make(&s, "cubin", "sm_90", 12000);
    sk_code *code = load(&o, &s);
    sk_code *again = sk_code_retain(code);
    sk_cuda_release(o.cuda);
    assert_int_equal(o.machine.create(&other, 0, 1), 0); /* another is current */
    sk_code_release(code);
    assert_int_equal(o.machine.state->modules, 1);
    sk_code_release(again);
    assert_int_equal(o.machine.state->modules, 0);
    assert_int_equal(o.machine.state->primaries, 0);
    assert_int_equal(o.machine.current(&popped), 0);
    assert_ptr_equal(popped, other); /* as it was */
    assert_int_equal(o.machine.destroy(other), 0);
    stored_free(&s);
    cuda_machine_free(&o.machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_one_text),
        cmocka_unit_test(damaged_facts_are_refused),
        cmocka_unit_test(code_loads_where_it_runs),
        cmocka_unit_test(old_drivers_say_so),
        cmocka_unit_test(bad_artifacts_are_refused),
        cmocka_unit_test(blocks_that_do_not_fit),
        cmocka_unit_test(no_memory_leaves_nothing),
        cmocka_unit_test(launches_are_handed_on),
        cmocka_unit_test(code_keeps_its_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
