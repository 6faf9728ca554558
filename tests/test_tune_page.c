/* test_tune_page.c - the HTML page of a tuning run: figures stand on the right
 * axes, text of strangers stays text, what is in the records is on the page, and
 * the page is one well-formed file that needs nothing else. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "plot.h"
#include "report.h"
#include "tune_case.h"

/* ---- axes ------------------------------------------------------------------------- */

static void ticks_are_round(void **state)
{
    (void)state;
    sk_rng r = sk_test_rng(3);
    for (int k = 0; k < 2000; k++) {
        sk_axis a = {.log = k % 2 == 0, .label = "x"};
        double v[3], tick[16];
        for (int i = 0; i < 3; i++)
            v[i] = ldexp(a.log ? sk_rng_unit(&r) + 1e-3 : sk_rng_normal(&r),
                         (int)sk_rng_below(&r, 30));
        assert_true(sk_axis_fit(&a, v, 3));
        for (int i = 0; i < 3; i++) assert_true(v[i] >= a.lo && v[i] <= a.hi);
        const uint32_t n = sk_axis_ticks(&a, tick, 16);
        assert_in_range(n, 2, 16);
        for (uint32_t i = 0; i < n; i++) {
            char text[40];
            assert_true(tick[i] >= a.lo && tick[i] <= a.hi);
            assert_true(i == 0 || tick[i] > tick[i - 1]);
            snprintf(text, sizeof text, "%.6g", tick[i]); /* what is printed is what is meant */
            assert_true(fabs(strtod(text, NULL) - tick[i]) <= 1e-5 * (a.hi - a.lo));
        }
    }
    sk_axis none = {.log = true};
    const double bad[] = {0, -1, (double)NAN, (double)INFINITY};
    assert_false(sk_axis_fit(&none, bad, 4));
}

/* cx of the n-th circle. */
static double circle_x(const char *svg, int n)
{
    for (; n >= 0; n--) {
        svg = strstr(svg, "cx='");
        assert_non_null(svg);
        svg += 4;
    }
    return strtod(svg, NULL);
}

static void dots_stand_where_they_should(void **state)
{
    (void)state;
    sk_text out = {0};
    sk_plot p = {.out = &out, .width = 114, .height = 100, .left = 0, .bottom = 20,
                 .x = {.lo = 1, .hi = 100, .log = true}, .y = {.lo = 0, .hi = 1}};
    sk_plot_begin(&p, "t");
    const double x[] = {1, 10, 100, 1e9, 0.1};
    for (size_t i = 0; i < SK_COUNT(x); i++) sk_plot_dot(&p, x[i], 0.5, "dot", NULL);
    sk_plot_end(&p);
    const double at[] = {0, 50, 100, 100, 0};
    for (int i = 0; i < 5; i++) assert_true(fabs(circle_x(out.s, i) - at[i]) < 0.06);
    sk_text_free(&out);
}

/* ---- the page ------------------------------------------------------------------------ */

/* Every element is closed by its own end, but those that have none. */
static void assert_well_formed(const char *page)
{
    char open[64][24];
    int depth = 0;
    for (const char *p = strchr(page, '<'); p; p = strchr(p + 1, '<')) {
        char name[24] = "";
        const bool end = p[1] == '/';
        sscanf(p + 1 + end, "%23[a-zA-Z0-9!]", name);
        assert_true(name[0] != 0); /* a bare < is an error of escaping */
        const char *close = strchr(p, '>');
        assert_non_null(close);
        if (name[0] == '!' || strcmp(name, "meta") == 0 || close[-1] == '/') continue;
        if (!end) {
            assert_true(depth < 64);
            snprintf(open[depth++], sizeof open[0], "%s", name);
        } else {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], name);
        }
    }
    assert_int_equal(depth, 0);
}

static size_t times_in(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what)) n++;
    return n;
}

#define TRIALS 6

/* Four that passed, one of them tied, and two that failed in the same way. */
static void make_record(sk_db_trial trial[TRIALS], const sk_db_trial *list[TRIALS],
                        const sk_db_device *device, sk_db_winner *winner, sk_record *out)
{
    static const char *const schedule[TRIALS] = {"w=4,lut=rows", "w=8,lut=rows", "w=8,lut=perm",
                                                 "w=16,lut=perm", "w=4,lut=word", "w=8,lut=word"};
    for (int i = 0; i < TRIALS; i++) {
        trial[i] = (sk_db_trial){
            .key = {.device = device, .kernel = "attn_decode", .spec = "attn_decode <b>",
                    .shape = {1, 8192, 8, 32, 1, 1}, .schedule = schedule[i], .accuracy = "tight",
                    .run_kind = "measure"},
            .outcome = i < 4 ? SK_OUTCOME_OK : SK_OUTCOME_WRONG,
            .message = i < 4 ? "" : "error 5 > 1 & <script>alert('x')</script>",
            .median_us = i < 4 ? 100 - 10 * i : 0,
            .error = i < 4 ? 1e-4 : 5,
            .error_kind = "S1 rms",
            .bytes = 1000000,
            .tool_version = "0.1.0",
            .compiler_version = "a \"compiler\"",
            .driver_version = "",
            .seconds = 1.5,
            .id = i + 1};
        list[i] = &trial[i];
    }
    *winner = (sk_db_winner){.trial_id = 4, .default_trial_id = 1, .speedup = 1.43,
                             .speedup_lo = 1.4, .speedup_hi = 1.5, .default_us = 100,
                             .ties = "w=8,lut=perm;w=8,lut=rows", .roofline = 0.5,
                             .flip_risk = 0.07, .noisy = (double)NAN, .drift = 1.2,
                             .trial = trial[3], .state = "ready"};
    *out = (sk_record){.winner = winner, .trial = list, .trial_count = TRIALS,
                       .source = "a/b.db", .tiers = "good:vi8", .match = "exact"};
}

static void page_says_what_records_hold(void **state)
{
    (void)state;
    const sk_db_device device = {.kind = "cpu", .name = "A <fast> CPU", .arch = "x86_64",
                                 .fingerprint = "cpu;1"};
    sk_db_trial trial[TRIALS];
    const sk_db_trial *list[TRIALS];
    sk_db_winner winner;
    sk_record record[2];
    make_record(trial, list, &device, &winner, &record[0]);
    record[1] = record[0];
    record[1].winner = NULL; /* nothing passed */
    record[1].trial = list + 4;
    record[1].trial_count = 2;
    const sk_records records = {.at = record, .count = 2};
    sk_text page = {0};
    sk_err err = {0};
    /* a place that went away during the search */
    assert_int_equal(sk_report_write("/nowhere/at/all.html", &records, 1, &err), SPHKV_ENOTFOUND);
    assert_non_null(strstr(err.message, "/nowhere/at/all.html"));
    sk_report_page(&records, 1, &page);
    assert_false(page.failed);
    assert_well_formed(page.s);
    assert_null(strstr(page.s, "<script>"));
    assert_null(strstr(page.s, "http"));
    assert_non_null(strstr(page.s, "A &lt;fast&gt; CPU"));
    assert_non_null(strstr(page.s, "a &quot;compiler&quot;"));
    assert_non_null(strstr(page.s, "Winner: <code>w=16,lut=perm</code>"));
    assert_non_null(strstr(page.s, "1.430 times as fast as the default (1.400 to 1.500)"));
    assert_non_null(strstr(page.s, "with a probability of 7 %."));
    assert_non_null(strstr(page.s, "drifted to 1.20"));
    assert_null(strstr(page.s, "noisy stretches"));
    assert_int_equal(times_in(page.s, "<li><code>"), 2);
    assert_non_null(strstr(page.s, "<td>wrong</td><td class='n'>2</td>")); /* one row for both */
    assert_non_null(strstr(page.s, "Nothing was chosen"));
    assert_non_null(strstr(page.s, "best of each: 4 1.43x (1), 8 1.14x (2), 16 1.00x (1)"));
    assert_non_null(strstr(page.s, "best of each: rows 1.29x (2), perm 1.00x (2)"));
    /* Progress has a dot for each that passed and a cross for each that did not. */
    assert_int_equal(times_in(page.s, "<path class='bad'"), 2);
    assert_non_null(strstr(page.s, "<title>4: 70.0 us, ok: w=16,lut=perm</title>"));
    sk_text_free(&page);
}

/* Values of a tunable stand in the order of its list, whichever was tried first. */
static void values_in_their_order(void **state)
{
    (void)state;
    const sk_db_device device = {.kind = "cpu", .name = "cpu", .arch = "x86_64", .fingerprint = "c"};
    sk_db_trial trial[TRIALS];
    const sk_db_trial *list[TRIALS], *late[TRIALS];
    sk_db_winner winner;
    sk_record record;
    make_record(trial, list, &device, &winner, &record);
    trial[0].key.schedule = "w=4,lut=rows,gone=1"; /* of another version */
    trial[1].key.schedule = "w=8,lut=rows,gone=2";
    for (int i = 0; i < TRIALS; i++) late[i] = list[i == 0 ? 1 : i == 1 ? 0 : TRIALS + 1 - i];
    record.trial = late;
    const sk_records records = {.at = &record, .count = 1};
    sk_text page = {0};
    sk_report_page(&records, 1, &page);
    assert_well_formed(page.s);
    assert_non_null(strstr(page.s, "best of each: 4 1.43x (1), 8 1.14x (2), 16 1.00x (1)"));
    assert_non_null(strstr(page.s, "best of each: rows 1.29x (2), perm 1.00x (2)"));
    assert_non_null(strstr(page.s, "best of each: 2 1.29x (1), 1 1.43x (1)")); /* no list: as it came */
    assert_non_null(strstr(page.s, "<h3>w</h3>\n<p>lanes of a warp"));
    assert_non_null(strstr(page.s, "<h3>gone</h3>\n<p>not a tunable"));
    sk_text_free(&page);
}

/* ---- the command -------------------------------------------------------------------------- */

static void command_writes_a_page(void **state)
{
    const tune_case *c = *state;
    if (tune_case_missing()) skip();
    char *path = sk_test_path(c->dir, "out.html");
    const char *words[] = {TUNE_TINY, "--report", path, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    char *page = tune_case_read(path);
    assert_well_formed(page);
    assert_non_null(strstr(page, "kv_append"));
    sk_free(page);
    sk_free(path);
    /* It cannot be written: said in one line before anything is tried, and the winner stays in
     * the database. */
    const char *lost[] = {TUNE_TINY, "--fresh", "--report", "/nowhere/at/all.html", NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, lost), 2);
    tune_case_said(c, "/nowhere/at/all.html", true);
    tune_case_check_winners(c, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round),
        cmocka_unit_test(dots_stand_where_they_should),
        cmocka_unit_test(page_says_what_records_hold),
        cmocka_unit_test(values_in_their_order),
        TUNE_CASE(command_writes_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
