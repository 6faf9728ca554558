/* test_tune_t1.c - descriptions of tuning spaces: what constraints mean, what is read of a T1
 * file, how it and a recorded space must fit, and sphkv-tune --simulate --t1. */
#include "tune_case.h"

#include <math.h>

#include <cjson/cJSON.h>

#include "simulate.h"

static void what_constraints_mean(void **state)
{
    (void)state;
    static const char *const name[] = {"x", "y", "mode"};
    static const sk_t1_value value[] = {{NULL, 0, 16}, {NULL, 0, 3}, {"fast", 4, 0}};
    static const sk_t1_scope scope = {3, name, value};
    static const struct {
        const char *text;
        int holds; /* -1: it cannot be read */
    } rule[] = {
        {"x == 16", 1}, {"x != 16", 0}, {"32 <= x*y <= 48", 1}, {"32 <= x*y < 48", 0},
        {"x % 5 == 1 and y == 3", 1}, {"x < 16 or y == 3", 1}, {"not x == 16", 0}, {"!(x == y)", 1},
        {"x == 16 && y == 4 || y == 3", 1}, {"-7 // 2 == -4", 1}, {"-7 % 3 == 2", 1},
        {"2 ** 3 ** 1 == 8", 1}, {"7 / 2 == 3.5", 1}, {"mode == 'fast'", 1}, {"mode != \"slow\"", 1},
        {"y in [1, 2, 3]", 1}, {"y not in [1, 2, 3]", 0}, {"mode in ('slow', 'fast')", 1},
        {"y == 3 or x / 0 == 1", 1}, {"y == 4 and x % (y - 3) == 0", 0}, {"True and not False", 1},
        {"(((x*y+(15-1)))*((y+2))) < 12*1024", 1}, {"x - y - 3 == 10", 1}, {"1 + 2 * 3 == 7", 1},
        {"x < 3 < x / 0", 0}, {"x < 3 < mode", 0}, {"mode == 16", 0}, {"mode != 16", 1},
        {"x / 0 == 1", -1}, {"x ==", -1}, {"z == 1", -1}, {"x == 1 x", -1}, {"(x == 1", -1},
        {"mode + 1 == 2", -1}, {"'fast", -1}, {"", -1}, {"x in 3", -1}, {"x.y", -1}, {"1e999 > x", -1},
        {"mode < 3", -1}, {"3 >= mode", -1}, {"x > 3 < x / 0", -1}, {"y in [1, 2)", -1}, {"y in (1]", -1},
    };
    for (size_t i = 0; i < SK_COUNT(rule); i++) {
        bool holds;
        sk_err err = {0};
        const sk_status st = sk_t1_evaluate(rule[i].text, &scope, &holds, &err);
        const int got = st == SPHKV_OK ? holds : -1;
        if (got != rule[i].holds) fail_msg("%s: %d (%s)", rule[i].text, got, err.message);
    }
    char deep[400];
    bool holds;
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(sk_t1_evaluate(deep, &scope, &holds, NULL), SPHKV_EINVAL);
}

/* Any text is an answer or an error, never a crash. */
static void constraints_by_chance(void **state)
{
    (void)state;
    static const char *const part[] = {"x", "16", " and ", " or ", "not ", "(", ")", "*", "**", "//",
                                       "%", "<=", "==", "<", "in", "[", "]", ",", "'a'", "-", "!", "."};
    static const char *const name[] = {"x"};
    static const sk_t1_value value[] = {{NULL, 0, 16}};
    static const sk_t1_scope scope = {1, name, value};
    sk_rng rng = sk_test_rng(77);
    for (int round = 0; round < 20000; round++) {
        char text[200] = "";
        bool holds;
        for (uint32_t n = sk_rng_below(&rng, 12); n > 0; n--)
            strcat(text, part[sk_rng_below(&rng, SK_COUNT(part))]);
        (void)sk_t1_evaluate(text, &scope, &holds, NULL);
    }
}

/* ---- files -------------------------------------------------------------------- */

#define RESULT(x, y, time, outcome)                                                    \
    "{\"configuration\":{\"x\":" x ",\"y\":" y "},\"times\":{},"                       \
    "\"invalidity\":\"" outcome "\",\"measurements\":[{\"name\":\"time\",\"value\":" time "}]}"
#define RESULTS                                                                        \
    RESULT("1", "4", "4", "correct") "," RESULT("2", "4", "2", "correct") ","          \
    RESULT("8", "4", "0", "compile") "," RESULT("2", "2", "3", "correct")
#define SPACE "{\"results\":[" RESULTS "]}"
#define X "{\"Name\":\"x\",\"Type\":\"int\",\"Values\":\"[8, 1, 2]\"}"
#define Y "{\"Name\":\"y\",\"Type\":\"int\",\"Values\":[4, 2]}"
#define T1(params, rules)                                                              \
    "{\"ConfigurationSpace\":{\"TuningParameters\":[" params "],\"Conditions\":[" rules "]}}"
#define RULE(text) "{\"Expression\":\"" text "\"}"

static void write_file(const tune_case *c, const char *name, const char *text, char path[300])
{
    snprintf(path, 300, "%.200s/%.80s", c->dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* What reading both gives; the message in *err. */
static sk_status read_both(const tune_case *c, const char *t1, const char *t4, sk_t4 *out, sk_err *err)
{
    char described[300], recorded[300];
    sk_t1 d;
    write_file(c, "space.T1.json", t1, described);
    write_file(c, "space.T4.json", t4, recorded);
    sk_status st = sk_t1_read(described, &d, err);
    if (st == SPHKV_OK) st = sk_t4_read(recorded, &d, out, err);
    sk_t1_free(&d);
    return st;
}

/* Values in the order of the description, and what it forbids is not there. */
static void what_is_read(void **state)
{
    sk_t4 t;
    sk_err err = {0};
    sk_assert_ok(read_both(*state, T1(Y "," X, RULE("x * y < 32")), SPACE, &t, &err), &err);
    assert_int_equal(t.points.n, 3);
    assert_int_equal(t.forbidden, 1);
    assert_int_equal(t.failed, 0);
    assert_int_equal(t.levels[0], 3);
    const uint16_t at[6] = {1, 0, 2, 0, 2, 1};
    assert_memory_equal(t.at, at, sizeof at);
    assert_true(t.number[2] == 2 && t.number[4] == 2 && t.number[5] == 2);
    assert_true(t.cost[0] == 4 && t.cost[1] == 2 && t.cost[2] == 3 && t.best == 2);
    sk_t4_free(&t);
    sk_assert_ok(read_both(*state, T1(X "," Y, ""), SPACE, &t, &err), &err);
    assert_int_equal(t.points.n, 4);
    assert_int_equal(t.failed, 1);
    sk_t4_free(&t);
}

static void what_is_wrong(void **state)
{
    static const struct {
        const char *t1, *says;
    } wrong[] = {
        {"", "not JSON"},
        {"{}", "no T1 file"},
        {T1(X, ""), "does not describe y"},
        {T1(X "," Y ",{\"Name\":\"z\",\"Type\":\"int\",\"Values\":[1]}", ""), "describes z, which"},
        {T1(X "," X, ""), "tunable x: it stands there twice"},
        {T1("{\"Name\":\"x\",\"Type\":\"int\",\"Values\":\"[1, 2]\"}," Y, ""),
         "result 2: its x is no value"},
        {T1("{\"Name\":\"x\",\"Values\":\"[1]\"}", ""), "tunable x: no \"Type\""},
        {T1("{\"Name\":\"x\",\"Type\":\"list\",\"Values\":\"[1]\"}", ""), "its \"Type\" is not"},
        {T1("{\"Name\":\"x\",\"Type\":\"int\",\"Values\":\"[1, 2.5]\"}", ""), "of another type"},
        {T1("{\"Name\":\"x\",\"Type\":\"int\",\"Values\":\"[1, 1]\"}", ""), "twice"},
        {T1("{\"Name\":\"x\",\"Type\":\"int\",\"Values\":\"[1, \"}", ""), "tunable x: '[1, '"},
        {T1("{\"Name\":\"x\",\"Type\":\"int\"}", ""), "no list \"Values\""},
        {T1("{\"Type\":\"int\"}", ""), "tunable 0: no \"Name\""},
        {T1(X "," Y, "{}"), "constraint 0: no \"Expression\""},
        {T1(X "," Y, RULE("x > 0") "," RULE("x < z")), "constraint 1: 'x < z'"},
        {T1(X "," Y, RULE("x > 1")), "result 0 is right, but breaks 'x > 1'"},
    };
    for (size_t i = 0; i < SK_COUNT(wrong); i++) {
        sk_t4 t;
        sk_err err = {0};
        assert_int_equal(read_both(*state, wrong[i].t1, SPACE, &t, &err), SPHKV_EINVAL);
        if (!strstr(err.message, wrong[i].says)) fail_msg("%s: %s", wrong[i].says, err.message);
        assert_null(strchr(err.message, '\n'));
    }
    sk_t4 t;
    sk_err err = {0};
    assert_int_equal(read_both(*state, T1(X "," Y, ""), "{\"results\":[{\"configuration\":[1,2]}]}",
                               &t, &err), SPHKV_EINVAL);
    if (!strstr(err.message, "result 0: no \"configuration\"")) fail_msg("%s", err.message);
    sk_t1 t1;
    assert_int_equal(sk_t1_read("/nowhere/space.T1.json", &t1, NULL), SPHKV_EIO);
}

static void the_command(void **state)
{
    tune_case *c = *state;
    char t1[300], t4[300];
    write_file(c, "space.T1.json", T1(X "," Y, RULE("x * y < 32")), t1);
    write_file(c, "space.T4.json", SPACE, t4);
    const char *const words[] = {"--simulate", t4, "--t1", t1, "--trials", "9", "--json", NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(root, "evaluations");
    assert_true(cJSON_IsNumber(n) && n->valuedouble == 3); /* the forbidden one costs nothing */
    n = cJSON_GetObjectItemCaseSensitive(root, "forbidden");
    assert_true(cJSON_IsNumber(n) && n->valuedouble == 1);
    cJSON_Delete(root);
    sk_free(text);
    const char *const missing[] = {"--simulate", t4, "--t1", "/nowhere/x.json", NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, missing), 2);
    const char *const alone[] = {"--t1", t1, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, alone), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_constraints_mean), cmocka_unit_test(constraints_by_chance),
        TUNE_CASE(what_is_read), TUNE_CASE(what_is_wrong), TUNE_CASE(the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
