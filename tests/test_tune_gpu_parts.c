/* test_tune_gpu_parts.c - the parts of measuring on a GPU: what the sweeps read and copy,
 * by the interpreter; what a lane asks of the driver, and how time is divided; memory that
 * is given out. */
#include "sk_test.h"

#include "bandwidth_gpu.h"
#include "bench.h"
#include "cuda_run.h"
#include "measure.h"

/* ---- the sweeps ------------------------------------------------------------------- */

#define SMS 2u

typedef struct sweep_run {
    sk_code_ir ir;
    uint32_t form;
    uint8_t *from, *to;
    size_t from_bytes, to_bytes;
    uint32_t words, key;
    bool copy;
} sweep_run;

static void run_sweep(const sweep_run *r)
{
    const sk_program *program = r->ir.build.program[r->form];
    const sk_interp_buffer buffer[4] = {{.data = r->from, .bytes = r->from_bytes},
                                        {.data = r->to, .bytes = r->to_bytes}};
    const uint32_t scalar[4] = {0, 0, r->words, r->key};
    const sk_interp_args args = {
        .buffer = buffer, .scalar = scalar,
        .grid = {sk_gpu_sweep_blocks(r->form, SMS, r->words), 1, 1}};
    sk_err err = {0};
    assert_int_equal(program->nparams, r->copy ? 3 : 4);
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
}

/* Every word is read once: with ones in all of them, the sums of all lanes, found by
 * asking for one sum after the other, are the number of ones. */
static void sweeps_read_everything_once(void **state)
{
    static const uint32_t words[] = {1, 33, 1024, 5000};
    sk_arena mem = {0};
    sweep_run r = {0};
    sk_err err = {0};
    (void)state;
    sk_assert_ok(sk_gpu_sweep_build(SMS, false, &mem, &r.ir, &err), &err);
    r.to_bytes = sk_gpu_sweep_lanes(SMS);
    r.to = sk_malloc(r.to_bytes);
    for (r.form = 0; r.form < SK_SWEEP_FORMS; r.form++)
        for (size_t i = 0; i < SK_COUNT(words); i++) {
            uint64_t total = 0;
            r.words = words[i];
            r.from_bytes = r.words * 16;
            r.from = sk_malloc(r.from_bytes); /* no byte more: nothing outside is read */
            for (uint32_t k = 0; k < r.words * 4; k++) memcpy(r.from + 4 * k, &(uint32_t){1}, 4);
            for (r.key = 1; total < r.words * 4 && r.key < 400; r.key++) {
                memset(r.to, 0, r.to_bytes);
                run_sweep(&r);
                for (size_t k = 0; k < r.to_bytes / 4; k++) {
                    uint32_t sum;
                    memcpy(&sum, r.to + 4 * k, 4);
                    assert_true(sum == 0 || sum == r.key);
                    total += sum;
                }
            }
            assert_int_equal(total, r.words * 4);
            sk_free(r.from);
        }
    sk_free(r.to);
    sk_arena_free(&mem);
}

static void sweeps_copy(void **state)
{
    static const uint32_t words[] = {1, 31, 777, 4096};
    sk_arena mem = {0};
    sweep_run r = {.copy = true};
    sk_err err = {0};
    (void)state;
    sk_assert_ok(sk_gpu_sweep_build(SMS, true, &mem, &r.ir, &err), &err);
    for (r.form = 0; r.form < SK_SWEEP_FORMS; r.form++)
        for (size_t i = 0; i < SK_COUNT(words); i++) {
            r.words = words[i];
            r.from_bytes = r.to_bytes = r.words * 16;
            r.from = sk_malloc(r.from_bytes);
            r.to = sk_calloc(1, r.to_bytes);
            for (size_t k = 0; k < r.from_bytes; k++) r.from[k] = (uint8_t)(k * 7 + k / 256 + 1);
            run_sweep(&r);
            assert_memory_equal(r.from, r.to, r.to_bytes);
            sk_free(r.from);
            sk_free(r.to);
        }
    sk_arena_free(&mem);
}

static void no_more_blocks_than_lanes(void **state)
{
    (void)state;
    for (uint32_t form = 0; form < SK_SWEEP_FORMS; form++) {
        const uint32_t most = sk_gpu_sweep_blocks(form, 132, 1u << 30);
        assert_int_equal(sk_gpu_sweep_blocks(form, 132, 1), 1);
        assert_true(most >= 132 && most % 132 == 0);
        assert_true(sk_gpu_sweep_lanes(132) >= most * 128);
    }
}

/* ---- a lane ------------------------------------------------------------------------ */

static sk_device device_of(const char *place)
{
    sk_device device;
    sk_cuda *cuda;
    sk_err err = {0};
    sk_assert_ok(sk_cuda_open(place, &cuda, &err), &err);
    sk_assert_ok(sk_device_cuda(cuda, &device, &err), &err);
    sk_cuda_release(cuda);
    snprintf(device.place, sizeof device.place, "%s", place);
    return device;
}

/* Everything from code to a sample, on `copies` of the inputs. */
static void lane_on(const run_spec *given, uint32_t copies)
{
    cuda_machine m;
    cuda_kernel k;
    sk_executor x;
    sk_case kase;
    sk_lane lane;
    sk_code *code;
    sk_image image;
    sphkv_maxima maxima;
    char *bytes;
    uint32_t cursor = 0;
    double us = 0;
    sk_err err = {0};
    run_spec r = *given;
    r.shape.threads = 1;
    cuda_machine_make(&m, "sm_80:8,sm_90:4", NULL);
    cuda_kernel_make(&k, &r.params, 90);
    cuda_machine_runs(&m, &k);
    const sk_device device = device_of("cuda:1");
    sk_assert_ok(sk_executor_open(&device, 1, &x, &err), &err);
    const sk_db_artifact a = cuda_artifact(&k, "cubin", "sm_90", 12000, &bytes);
    sk_assert_ok(sk_code_load_cuda(&a, &k.ir, x.cuda, &x.target, &code, &err), &err);
    const sk_case_params params = {.spec = k.spec, .shape = r.shape, .input = SK_IN_S1, .seed = 3,
                                   .copies = copies, .lists_per_seq = r.shape.kv_heads,
                                   .memory = sk_executor_memory(&x)};
    sk_assert_ok(sk_case_make(&params, &kase, &err), &err);
    sk_case_maxima(&kase, 1, &maxima);
    sk_assert_ok(sk_code_image(code, &k.spec, &k.schedule, &maxima, &image, &err), &err);
    sk_assert_ok(sk_lane_make(&x, &image, &kase, &cursor, 1, &lane, &err), &err);
    sk_assert_ok(sk_lane_run(&lane, 0, &err), &err);
    const uint32_t launches = m.state->launches; /* of one run */
    sk_assert_ok(sk_case_judge(&kase, 0, &us, NULL, &err), &err);
    k.idle = true;
    sk_assert_ok(sk_lane_settle(&lane, false, &err), &err);
    assert_int_equal(m.state->launches, launches * (1 + copies)); /* captured, not replayed */
    assert_int_equal(m.state->replays, 1 + 3); /* one that is not timed */
    assert_true(m.state->fetched >= x.bytes && x.bytes > 0);
    const uint32_t replays = m.state->replays;
    sk_assert_ok(sk_lane_time(&lane, &us, &err), &err);
    assert_int_equal(m.state->replays, replays + lane.reps);
    assert_true(us > 9.9 * launches && us < 10.1 * launches); /* ten microseconds a launch */
    assert_true(us * copies * lane.reps > 0.95 * SK_SAMPLE_GPU_US);
    sk_lane_free(&lane);
    sk_case_free(&kase);
    assert_int_equal(x.bytes, 0);
    sk_code_release(code);
    sk_executor_close(&x);
    sk_free(bytes);
    cuda_kernel_free(&k);
    cuda_machine_free(&m);
}

static void lanes_are_graphs_of_all_copies(void **state)
{
    uint32_t kernels = 0;
    (void)state;
    for (uint32_t i = 0;; i++) {
        const run_spec r = run_spec_get(i);
        sk_spec spec;
        sk_err err = {0};
        if (r.params.size == 0) break;
        sk_assert_ok(sk_spec_from_params(&r.params, &spec, &err), &err);
        if (!sk_kernel_get(spec.kernel)->form[SK_BACKEND_CUDA]) continue;
        lane_on(&r, 1);
        lane_on(&r, 5);
        kernels++;
    }
    assert_true(kernels > 0);
}

/* What was written by hand stands beside generated kernels, where it is. */
static void the_ceiling_is_found(void **state)
{
    static const struct {
        const char *tiers;
        uint32_t kernel, heads_per_kv;
        bool there;
    } cases[] = {{"good:vi8", SPHKV_ATTN_DECODE, 4, true},
                 {"kf16:vf16", SPHKV_ATTN_DECODE, 4, false},
                 {"good:vi8", SPHKV_PAGE_GATHER, 4, false}};
    (void)state;
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        const sphkv_spec_params params = {.size = sizeof params, .kernel = cases[i].kernel,
                                          .head_dim = 128, .tiers = cases[i].tiers,
                                          .heads_per_kv = cases[i].heads_per_kv};
        const sk_shape shape = {.batch = 1, .kv_heads = 1, .context = 1024, .threads = 1};
        sk_device device = {.arch = "sm_90"};
        sk_bench_lane lane;
        sk_spec spec;
        sk_err err = {0};
        sk_assert_ok(sk_target_cuda(90, false, &device.target, &err), &err);
        sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
        const sk_status st = sk_bench_pick_ceiling(&device, &spec, &shape, &lane, &err);
        assert_int_equal(st, cases[i].there ? SPHKV_OK : SPHKV_EUNSUPPORTED);
        if (st == SPHKV_OK) {
            assert_non_null(strstr(lane.schedule_text, "form=raw"));
            assert_string_equal(lane.how, "written by hand");
            sk_bench_lane_free(&lane);
        }
        device = (sk_device){0}; /* a CPU */
        assert_int_equal(sk_bench_pick_ceiling(&device, &spec, &shape, &lane, &err),
                         SPHKV_EUNSUPPORTED);
    }
}

/* ---- memory -------------------------------------------------------------------------- */

static void memory_is_shared_out(void **state)
{
    cuda_machine m;
    sk_executor x;
    sk_err err = {0};
    void *small[3000], *large, *none;
    (void)state;
    cuda_machine_make(&m, "sm_90:4", NULL);
    const sk_device device = device_of("cuda:0");
    sk_assert_ok(sk_executor_open(&device, 1, &x, &err), &err);
    const sk_case_memory memory = sk_executor_memory(&x);
    for (size_t i = 0; i < SK_COUNT(small); i++) {
        sk_assert_ok(memory.make(memory.user, 1 + i, &small[i], &err), &err);
        assert_int_equal((uintptr_t)small[i] % 128, 0);
        memset(small[i], (int)(i & 0xff), 1 + i);
    }
    assert_int_equal(m.state->allocations, 1); /* they share one */
    sk_assert_ok(memory.make(memory.user, (size_t)80 << 20, &large, &err), &err);
    assert_int_equal(m.state->allocations, 2);
    assert_int_equal(memory.make(memory.user, (size_t)14 << 30, &none, &err), SPHKV_ENOMEM);
    assert_non_null(strstr(err.message, "do not fit on the GPU"));
    assert_int_equal(memory.make(memory.user, SIZE_MAX, &none, &err), SPHKV_ENOMEM);
    for (size_t i = 0; i < SK_COUNT(small); i++) {
        assert_int_equal(((uint8_t *)small[i])[i], i & 0xff);
        memory.free(memory.user, small[i]);
    }
    memory.free(memory.user, large);
    assert_int_equal(m.state->allocations, 0);
    sk_executor_close(&x);
    cuda_machine_free(&m);
}

/* What a GPU refuses while it is opened leaves nothing behind. */
static void executors_that_cannot_be_had(void **state)
{
    cuda_machine m;
    sk_executor x;
    sk_err err = {0};
    (void)state;
    cuda_machine_make(&m, "sm_90:4", NULL);
    sk_device device = device_of("cuda:0");
    snprintf(device.place, sizeof device.place, "cuda:7");
    assert_int_equal(sk_executor_open(&device, 1, &x, &err), SPHKV_EDEVICE);
    assert_non_null(strstr(err.message, "no CUDA device 7"));
    cuda_machine_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sweeps_read_everything_once),
        cmocka_unit_test(sweeps_copy),
        cmocka_unit_test(no_more_blocks_than_lanes),
        cmocka_unit_test(lanes_are_graphs_of_all_copies),
        cmocka_unit_test(the_ceiling_is_found),
        cmocka_unit_test(memory_is_shared_out),
        cmocka_unit_test(executors_that_cannot_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
