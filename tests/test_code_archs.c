/* test_code_archs.c - the default schedule of every spec that models ask for, and of those
 * that kernels are tried on (support/kernel_tables.h), is compiled by the NVRTC of this machine for every
 * architecture we ship for, and must not spill. Skipped where there is none.
 *
 * A run tries a few specs by chance, each for one architecture. SK_CASES says how many
 * are tried for all, SK_SHARD i/n a share of them, SK_SPEC the text of one. With
 * SK_TABLE=FILE a Markdown table goes there: what `./run archs` prints. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <stdlib.h>

#include "cuda_build.h"
#include "gpu_target.h"
#include "kernel_tables.h"

static const char *const archs[] = {"sm_75", "sm_80",  "sm_86",  "sm_89",
                                    "sm_90", "sm_90a", "sm_100", "sm_120"};
#define ARCHS SK_COUNT(archs)

static sk_nvrtc nvrtc;
static const sk_nvrtc_api *api;

/* What the entries of one spec take on one architecture. */
typedef struct taken {
    char schedule[400]; /* "" = this NVRTC does not know the architecture */
    char shared[60], registers[60]; /* per entry, joined by + */
    uint32_t spilled;
} taken;

/* ---- specs ---------------------------------------------------------------------------- */

#define T " qf32 of32 if32 tight "
#define A(d, h, tiers) "attn_decode d" d " v" d " h" h " p128 l1" T tiers
#define E(h, class, tiers) "attn_extend d128 v128 h" h " p128 l1 qf32 of32 if32 " class " " tiers
#define K(kernel, tiers) kernel " d128 v128 h1 p128 l1" T tiers

/* Heads as large models have them, where registers are short; the rows of the tables are
 * mostly smaller. */
static const char *const models[] = {
    A("128", "4", "good:vi8,kf16:vf16"), A("128", "4", "good:vi8,low:vi4,kf16:vf16"),
    A("128", "4", "high:vi8,kf16:vf16"), A("128", "4", "mid:vi8,kf16:vf16"),
    A("128", "4", "low:vi4,kf16:vf16"),  A("128", "4", "lean:vi8,kf16:vf16"),
    A("128", "4", "fine:vi8,kf16:vf16"), A("128", "4", "turbo:vi8,kf16:vf16"),
    A("128", "4", "kf16:vf16"),          A("128", "4", "kbf16:vbf16"),
    A("128", "4", "ki8:vi8,kf16:vf16"),  A("128", "4", "ki4:vi4,kf16:vf16"),
    A("128", "4", "kf8:vf8"),            A("128", "4", "good:vi4,kf16:vf16"),
    A("128", "4", "high:vf16,kf16:vf16"), A("128", "1", "good:vi8,kf16:vf16"),
    A("128", "5", "good:vi8,kf16:vf16"), A("128", "6", "high:vi8,kf16:vf16"),
    A("128", "8", "good:vi8,kf16:vf16"), A("128", "8", "kf16:vf16"),
    A("128", "16", "good:vi8,kf16:vf16"), A("64", "4", "good:vi8,kf16:vf16"),
    A("64", "8", "high:vi8,kf16:vf16"),  A("96", "1", "good:vi8,kf16:vf16"),
    A("192", "4", "good:vi8,kf16:vf16"), A("256", "2", "good:vi8,kf16:vf16"),
    A("256", "8", "high:vi8,kf16:vf16"), A("256", "4", "kf16:vf16"),
    "attn_decode d128 v128 h4 p128 l1 qbf16 obf16 if32 tight good:vi8,kbf16:vbf16",
    "attn_decode d128 v128 h8 p128 l0 qf16 of16 if32 tight high:vi8,kf16:vf16",
    "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 exact good:vi8,kf16:vf16",
    E("4", "tight", "good:vi8,kf16:vf16"), E("4", "fast", "good:vi8,kf16:vf16"),
    E("8", "fast", "high:vi4,kf16:vf16"), E("4", "exact", "kf16:vf16"), E("4", "fast", "sharp:vi8"),
    K("kv_encode", "good:vi8,kf16:vf16"), K("kv_encode", "high:vi8,kf16:vf16"),
    K("kv_encode", "low:vi4,kf16:vf16"), K("kv_encode", "lean:vi8,kf16:vf16"),
    K("kv_encode", "ki8:vi8,kf16:vf16"), K("page_decode", "good:vi8,kf16:vf16"),
    K("page_decode", "high:vi8,low:vi4,kf16:vf16"), K("attn_schedule", "good:vi8,kf16:vf16"),
    K("page_retier", "low:vi4,good:vi8"), K("page_retier", "high:vi8,fine:vi8"),
    K("page_retier", "lean:vi4,kf16:vf16"), K("page_retier", "kf16:vf16,good:vi8"),
    "page_mass d128 v128 h4 p128 l1" T "good:vi8,kf16:vf16",
    "page_mass d128 v128 h8 p128 l1" T "high:vi8,kf16:vf16",
    "page_mass d128 v128 h4 p128 l1" T "sharp:vi8,kf16p:vf16",
    K("token_compact", "good:vi8,kf16:vf16"), K("token_compact", "high:vi4,fine:vf8,ki4:vi8"),
};

#undef A
#undef E
#undef K
#undef T

/* Takes a spec up, once, when its kernel has a form for GPUs. */
static void take_spec(const char *text, const char **specs, uint32_t room, uint32_t *n)
{
    sk_spec spec;
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse(text, &spec, &err), &err);
    for (uint32_t k = 0; k < *n; k++)
        if (strcmp(specs[k], text) == 0)
            return;
    if (!sk_kernel_get(spec.kernel)->form[SK_BACKEND_CUDA])
        return;
    assert_true(*n < room);
    specs[(*n)++] = text;
}

static uint32_t list_specs(const char **specs, uint32_t room)
{
    uint32_t n = 0;
    for (size_t i = 0; i < SK_COUNT(models); i++)
        take_spec(models[i], specs, room, &n);
    for (uint32_t t = 0; t < kernel_ntables; t++)
        for (uint32_t i = 0; i < kernel_tables[t].n; i++)
            take_spec(kernel_tables[t].row[i].spec, specs, room, &n);
    return n;
}

/* ---- compiling -------------------------------------------------------------------------- */

static void append(char *out, size_t size, uint32_t number)
{
    const size_t len = strlen(out);
    snprintf(out + len, size - len, "%s%u", len ? "+" : "", number);
}

static sk_status compile_ir(const sk_spec *spec, const sk_schedule *schedule, const char *arch,
                            sk_arena *mem, taken *out, sk_err *err)
{
    sk_code_ir ir;
    sk_nvrtc_code code;
    sk_cuda_resources r[SK_MAX_ENTRIES];
    sk_status st = sk_code_ir_build(spec, schedule, mem, &ir, err);
    if (!st)
        st = sk_cuda_build(&ir, spec, schedule, api, arch, 0, &code, r, err);
    if (st)
        return st;
    for (uint32_t i = 0; i < ir.build.n; i++) {
        append(out->registers, sizeof out->registers, r[i].registers);
        append(out->shared, sizeof out->shared,
               ir.build.program[i]->shared_bytes + r[i].shared_bytes);
        out->spilled += sk_cuda_spilled(&r[i]);
    }
    sk_nvrtc_code_free(&code);
    return SPHKV_OK;
}

static sk_status compile(const sk_spec *spec, const char *arch, taken *out, sk_err *err)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    sk_target target;
    sk_schedule schedule;
    sk_text text = {0};
    sk_arena mem = {0};
    sk_assert_ok(sk_gpu_target_named(arch, &target, err), err);
    sk_kernel_default(kernel, spec, &target, &schedule);
    sk_schedule_print(spec->kernel, &schedule, &text);
    assert_true(!text.failed && text.len < sizeof out->schedule);
    strcpy(out->schedule, text.s);
    sk_text_free(&text);
    sk_status st = sk_kernel_valid(kernel, spec, &schedule, &target, err);
    if (!st)
        st = compile_ir(spec, &schedule, arch, &mem, out, err);
    sk_arena_free(&mem);
    return st;
}

/* ---- the table ---------------------------------------------------------------------------- */

static void write_head(FILE *table)
{
    fprintf(table, "| spec | default schedule | shared memory, bytes |");
    for (size_t a = 0; a < ARCHS; a++)
        fprintf(table, " %s |", archs[a]);
    fprintf(table, "\n|---|---|---|");
    for (size_t a = 0; a < ARCHS; a++)
        fprintf(table, "---|");
    fprintf(table, "\n");
}

/* Registers, those of several entries joined by +. Architectures with the same schedule
 * share a line. */
static void write_rows(FILE *table, const char *spec, const taken t[ARCHS])
{
    for (size_t a = 0; a < ARCHS; a++) {
        size_t first = 0;
        while (strcmp(t[first].schedule, t[a].schedule) != 0)
            first++;
        if (first != a || !t[a].schedule[0])
            continue;
        fprintf(table, "| %s | %s | %s |", spec, t[a].schedule, t[a].shared);
        for (size_t b = 0; b < ARCHS; b++) {
            const bool here = strcmp(t[b].schedule, t[a].schedule) == 0;
            fprintf(table, " %s", here ? t[b].registers : "");
            if (here && t[b].spilled)
                fprintf(table, ", **%u spilled**", t[b].spilled);
            fprintf(table, " |");
        }
        fprintf(table, "\n");
    }
    fflush(table);
}

/* For all architectures, or one. The number of those that it spills on, or is not
 * compiled for. */
static uint32_t try_spec(const char *text, size_t only, FILE *table)
{
    static taken t[ARCHS];
    uint32_t bad = 0;
    sk_spec spec;
    sk_err err = {0};
    memset(t, 0, sizeof t);
    sk_assert_ok(sk_spec_parse(text, &spec, &err), &err);
    printf("SK_SPEC='%s' build/bin/test_code_archs\n", text);
    for (size_t a = 0; a < ARCHS; a++) {
        if ((only < ARCHS && a != only) || sk_nvrtc_has_arch(api, archs[a], NULL))
            continue;
        const sk_status st = compile(&spec, archs[a], &t[a], &err);
        if (st)
            snprintf(t[a].registers, sizeof t[a].registers, "**none**");
        if (st || t[a].spilled)
            print_error("%s on %s, %s: %s, %u bytes spilled\n", text, archs[a], t[a].schedule,
                        st ? err.message : "compiled", t[a].spilled);
        bad += st || t[a].spilled;
    }
    if (table)
        write_rows(table, text, t);
    return bad;
}

static void test_specs(void **state)
{
    (void)state;
    static const char *specs[4096];
    const char *one = getenv("SK_SPEC"), *file = getenv("SK_TABLE");
    FILE *table = file ? fopen(file, "w") : NULL;
    uint32_t first, step, bad = 0;
    if (file && !table)
        fail_msg("SK_TABLE: %s cannot be written", file);
    if (table)
        write_head(table);
    sk_rng rng = sk_test_rng(29);
    sk_test_shard(&first, &step);
    const uint32_t n = list_specs(specs, SK_COUNT(specs));
    if (n == 0) {
        printf("no kernel has a form for GPUs\n");
        skip();
    }
    uint32_t *order = sk_malloc(n * sizeof *order);
    assert_non_null(order);
    const uint32_t asked = one ? 1 : sk_test_cases(3), cases = asked < n ? asked : n;
    sk_rng_order(&rng, order, n);
    printf("%s: %u of %u specs\n", api->version, cases, n);
    const bool all = one || getenv("SK_CASES");
    for (uint32_t k = first; k < cases; k += step) {
        const size_t only = all ? ARCHS : sk_rng_below(&rng, ARCHS);
        bad += try_spec(one ? one : specs[order[k]], only, table);
    }
    sk_free(order);
    if (table)
        fclose(table);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_specs)};
    sk_err err = {0};
    sk_nvrtc_init(&nvrtc, true, 0);
    const int failed = sk_nvrtc_get(&nvrtc, &api, &err)
                           ? sk_test_skip(err.message)
                           : cmocka_run_group_tests_name("code_archs", tests, NULL, NULL);
    sk_nvrtc_close(&nvrtc);
    return failed;
}
