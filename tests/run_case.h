/* run_case.h - what the tests of the runtime share: a private database, a log
 * that is kept, cases run through sphkv.h. Static inline: included by the
 * test_run_ programs only. */
#ifndef RUN_CASE_H
#define RUN_CASE_H

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"
#include "context.h"
#include "plan.h"

/* ---- a folder with a database, and what was logged ------------------------- */

typedef struct run_place {
    char *dir, *db;
    pthread_mutex_t lock; /* of the log */
    uint32_t lines;
    char log[8192];       /* all lines, each with a newline */
} run_place;

static inline void run_log(void *user, const char *line)
{
    run_place *p = user;
    pthread_mutex_lock(&p->lock);
    p->lines++;
    size_t n = strlen(p->log);
    snprintf(p->log + n, sizeof p->log - n, "%s\n", line);
    pthread_mutex_unlock(&p->lock);
}

static inline int run_place_make(void **state)
{
    run_place *p = sk_calloc(1, sizeof *p);
    assert_non_null(p);
    pthread_mutex_init(&p->lock, NULL);
    p->dir = sk_test_dir();
    p->db = sk_test_path(p->dir, "kernels.db");
    *state = p;
    return 0;
}

static inline int run_place_free(void **state)
{
    run_place *p = *state;
    sk_test_dir_remove(p->dir);
    pthread_mutex_destroy(&p->lock);
    sk_free(p->db);
    sk_free(p);
    return 0;
}

static inline void run_log_clear(run_place *p)
{
    p->lines = 0;
    p->log[0] = '\0';
}

static inline void run_assert_logged(const run_place *p, const char *what)
{
    if (!strstr(p->log, what))
        fail_msg("'%s' is not in the log:\n%s", what, p->log);
}

static inline sphkv_context *run_open(run_place *p, uint32_t flags)
{
    sphkv_open_params params = {.size = sizeof params, .flags = flags, .db_path = p->db,
                                .log = run_log, .log_user = p};
    sphkv_context *ctx = NULL;
    sphkv_error err = {0};
    sk_assert_ok(sphkv_open(&params, &ctx, &err), &err);
    return ctx;
}

/* Whether this build and machine can compile; asked in a child, so that the
 * compiler is not mapped here. */
static inline bool run_has_compiler(void)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        sk_jit jit;
        const sk_jit_llvm_api *api;
        sk_jit_init(&jit, true);
        _exit(sk_jit_get(&jit, &api, NULL) == SPHKV_OK ? 0 : 1);
    }
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* ---- specs and cases ----------------------------------------------------------- */

typedef struct run_spec {
    sphkv_spec_params params;
    sk_shape shape; /* largest case of the plan */
} run_spec;

/* Specs that the tests go through: coded and dense, one head and several, values
 * of both widths, every kernel. */
static inline run_spec run_spec_get(uint32_t i)
{
    const uint32_t size = sizeof(sphkv_spec_params);
    const run_spec all[] = {
        {{.size = size, .kernel = SPHKV_ATTN_DECODE, .head_dim = 64, .heads_per_kv = 4,
          .page_tokens = 64, .tiers = "good:vi8,kf16:vf16"}, {2, 2, 300, 3, 1}},
        {{.size = size, .kernel = SPHKV_ATTN_DECODE, .head_dim = 64, .heads_per_kv = 1,
          .page_tokens = 32, .tiers = "kf16:vf16"}, {3, 1, 200, 2, 1}},
        {{.size = size, .kernel = SPHKV_ATTN_DECODE, .head_dim = 128, .heads_per_kv = 2,
          .page_tokens = 64, .tiers = "high:vi8"}, {1, 3, 150, 4, 1}},
        {{.size = size, .kernel = SPHKV_KV_APPEND, .head_dim = 64, .page_tokens = 64,
          .tiers = "kf16:vf16"}, {5, 2, 0, 3, 1}},
        {{.size = size, .kernel = SPHKV_KV_ENCODE, .head_dim = 64, .page_tokens = 64,
          .tiers = "good:vi8,kf16:vf16"}, {4, 2, 0, 3, 1}},
        {{.size = size, .kernel = SPHKV_PAGE_GATHER, .head_dim = 64, .page_tokens = 64,
          .tiers = "good:vi8,kf16:vf16"}, {7, 2, 0, 3, 1}},
        {{.size = size, .kernel = SPHKV_PAGE_DECODE, .head_dim = 64, .page_tokens = 64,
          .tiers = "good:vi8,kf16:vf16", .out_dtype = SPHKV_F16}, {6, 2, 0, 3, 1}},
        {{.size = size, .kernel = SPHKV_TOKEN_COMPACT, .head_dim = 64, .page_tokens = 64,
          .tiers = "good:vi8,kf16:vf16"}, {5, 2, 0, 3, 1}},
        {{.size = size, .kernel = SPHKV_ATTN_EXTEND, .head_dim = 64, .heads_per_kv = 4,
          .page_tokens = 64, .tiers = "good:vi8,kf16:vf16", .out_dtype = SPHKV_BF16},
         {3, 2, 150, 3, 60}},
        {{.size = size, .kernel = SPHKV_PAGE_MASS, .head_dim = 64, .heads_per_kv = 2,
          .page_tokens = 64, .tiers = "good:vi8,kf16:vf16"}, {2, 2, 200, 3, 1}},
        {{.size = size, .kernel = SPHKV_PAGE_RETIER, .head_dim = 64, .page_tokens = 64,
          .tiers = "low:vi4,good:vi8"}, {4, 2, 0, 3, 1}},
    };
    const run_spec none = {{0}, {0, 0, 0, 0, 1}};
    return i < SK_COUNT(all) ? all[i] : none; /* params.size 0: no more */
}

static inline sphkv_maxima run_maxima(const run_spec *r)
{
    return (sphkv_maxima){.size = sizeof(sphkv_maxima), .batch = r->shape.batch,
                          .kv_heads = r->shape.kv_heads,
                          .pages_per_list = 2 * (r->shape.context / r->params.page_tokens) + 8,
                          .parts = r->shape.threads, .context = r->shape.context};
}

static inline sphkv_plan *run_plan(sphkv_context *ctx, const run_spec *r)
{
    const sphkv_maxima maxima = run_maxima(r);
    sphkv_plan *plan = NULL;
    sphkv_error err = {0};
    sk_assert_ok(sphkv_plan_create(ctx, &r->params, &maxima, &plan, &err), &err);
    return plan;
}

static inline void run_case_make(const run_spec *r, sk_input input, bool shared_lists,
                                 uint64_t seed, sk_case *c)
{
    sk_err err = {0};
    sk_case_params p = {.shape = r->shape, .input = input, .seed = seed, .copies = 1,
                        .uneven = true};
    sk_assert_ok(sk_spec_from_params(&r->params, &p.spec, &err), &err);
    p.lists_per_seq = shared_lists ? 1 : r->shape.kv_heads;
    sk_assert_ok(sk_case_make(&p, c, &err), &err);
}

/* ---- running ------------------------------------------------------------------- */

typedef struct run_call {
    union {
        uint32_t size;
        sphkv_attn_args attn;
        sphkv_append_args append;
        sphkv_encode_args encode;
        sphkv_gather_args gather;
        sphkv_decode_args decode;
        sphkv_compact_args compact;
        sphkv_extend_args extend;
        sphkv_mass_args mass;
        char raw[512]; /* room for the tail rule */
    } args;
    void *workspace;
    size_t bytes;
} run_call;

static inline void *run_zeros(size_t bytes)
{
    void *p = NULL;
    assert_int_equal(posix_memalign(&p, 64, bytes + 64), 0);
    return memset(p, 0, bytes + 64);
}

/* The args of a case with a workspace of their own. */
static inline run_call run_call_make(const sphkv_plan *plan, const sk_case *c)
{
    run_call call = {.bytes = sphkv_plan_workspace(plan)};
    memcpy(call.args.raw, sk_case_args(c, 0), c->args_size);
    call.workspace = run_zeros(call.bytes);
    sk_kernel_workspace(plan->image.kernel, &call.args, call.workspace, call.bytes);
    return call;
}

static inline void run_call_free(run_call *call)
{
    free(call->workspace);
    call->workspace = NULL;
}

/* All parts one after the other, the last first; a refusal fails the test with
 * the reason that sphkv_run keeps to itself. */
static inline void run_parts(const sphkv_plan *plan, const run_call *call, uint32_t parts)
{
    for (uint32_t i = parts; i-- > 0;) {
        sphkv_status st = sphkv_run(plan, &call->args, i, parts);
        if (st != SPHKV_OK) {
            sk_err err = {0};
            (void)plan->image.form->run(&plan->image, &call->args, i, parts, &err);
            fail_msg("%s, part %u of %u: status %d: %s", plan->describe, i, parts, (int)st,
                     err.message);
        }
    }
}

static inline void run_judge(const sk_case *c)
{
    sk_err err = {0};
    double error = 0, bound = 0;
    sk_assert_ok(sk_case_judge(c, 0, &error, &bound, &err), &err);
}

/* One case of a plan, in `parts` parts, is right. */
static inline void run_once(const sphkv_plan *plan, const run_spec *r, sk_input input,
                            uint64_t seed, uint32_t parts)
{
    sk_case c;
    run_case_make(r, input, false, seed, &c);
    run_call call = run_call_make(plan, &c);
    run_parts(plan, &call, parts);
    run_judge(&c);
    run_call_free(&call);
    sk_case_free(&c);
}

#endif
