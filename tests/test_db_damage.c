/* test_db_damage - files that are not what they should be: truncated, flipped,
 * random, empty, of another program, tampered with. Whatever the file, the
 * store answers with a reason or with exactly what was stored. */
#include "sk_test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db_case.h"
#include "db_impl.h"

#define CONTEXTS 4

typedef struct state {
    char *dir, *path, *good; /* good: the bytes of a sound database */
    size_t size;
    sk_rng rng;
} state;

static const char *schedule_of(uint32_t context)
{
    return context == 1024 ? "w=8" : context == 2048 ? "w=4" : context == 4096 ? "w=16" : "w=1";
}

static int setup(void **out)
{
    state *s = sk_calloc(1, sizeof *s);
    sk_err err = {0};
    s->dir = sk_test_dir();
    s->path = sk_test_path(s->dir, "kernels.db");
    sk_db *db;
    sk_assert_ok(sk_db_open(s->path, SK_DB_CREATE, &db, &err), &err);
    for (uint32_t i = 0, context = 1024; i < CONTEXTS; i++, context *= 2) {
        const char *ir[] = {"ir0", "ir1", "ir2", "ir3"};
        assert_true(db_case_winner(db, 1, context, schedule_of(context), ir[i], 3000 + 997 * i, 2) >
                    0);
    }
    sk_db_close(db);
    sk_assert_ok(sk_file_read(s->path, 1 << 24, &s->good, &s->size, &err), &err);
    s->rng = sk_test_rng(20240607);
    *out = s;
    return 0;
}

static int teardown(void **in)
{
    state *s = *in;
    sk_free(s->good);
    sk_free(s->path);
    sk_test_dir_remove(s->dir);
    sk_free(s);
    return 0;
}

static void put_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

/* Every answer is a miss or exactly what was stored. Returns exact answers. */
static int ask_everything(sk_db_set *set)
{
    int exact = 0;
    sk_db_trial like = db_case_trial(1, "", "");
    for (uint32_t i = 0, context = 1024; i < CONTEXTS; i++, context *= 2) {
        sk_arena mem = {0};
        sk_err err = {0};
        sk_db_best_result r;
        like.key.shape.context = context;
        sk_assert_ok(sk_db_best(set, like.key.device, like.key.kernel, like.key.spec,
                                &like.key.shape, 0, &mem, &r, &err),
                     &err);
        if (r.match != SK_MATCH_NONE) {
            char shape[SK_DB_SHAPE_TEXT];
            sk_db_shape_text(&r.shape, shape);
            assert_string_equal(r.schedule, schedule_of(r.shape.context));
            if (r.artifact.bytes) {
                uint32_t index = r.shape.context == 1024   ? 0
                                 : r.shape.context == 2048 ? 1
                                 : r.shape.context == 4096 ? 2
                                                           : 3;
                sk_db_artifact want = db_case_code("", 3000 + 997 * index);
                assert_int_equal(r.artifact.size, want.size);
                assert_memory_equal(r.artifact.bytes, want.bytes, want.size);
                assert_string_equal(r.artifact.launch, want.launch);
                assert_string_equal(r.artifact.entries, want.entries);
            }
            exact += r.match == SK_MATCH_EXACT;
        }
        sk_arena_free(&mem);
    }
    return exact;
}

/* As user and as system database; lists must survive too. */
static int open_and_ask(state *s, bool as_system)
{
    sk_err err = {0};
    sk_db_set *set;
    char *nowhere = sk_test_path(s->dir, "none.db");
    sk_assert_ok(sk_db_set_open(as_system ? nowhere : s->path, as_system ? s->dir : NULL,
                                SK_DB_SET_READ_ONLY, &set, &err),
                 &err);
    int exact = ask_everything(set);
    sk_db *db = as_system ? set->system_count ? set->system[0] : NULL : set->user;
    if (db) {
        sk_arena mem = {0};
        sk_db_trial *trials;
        sk_db_winner *winners;
        size_t count;
        sk_status st = sk_db_trials(db, NULL, &mem, &trials, &count, &err);
        assert_true(st == SPHKV_OK || st == SPHKV_EDB || st == SPHKV_EIO);
        st = sk_db_winners(db, NULL, &mem, &winners, &count, &err);
        assert_true(st == SPHKV_OK || st == SPHKV_EDB || st == SPHKV_EIO);
        sk_arena_free(&mem);
    }
    sk_db_set_close(set);
    sk_free(nowhere);
    return exact;
}

static void sound_file_answers(void **in)
{
    state *s = *in;
    assert_int_equal(open_and_ask(s, false), CONTEXTS);
    assert_int_equal(open_and_ask(s, true), CONTEXTS);
}

static void flipped_bytes(void **in)
{
    state *s = *in;
    char *copy = sk_malloc(s->size);
    int answered = 0, rounds = 300;
    for (int round = 0; round < rounds; round++) {
        memcpy(copy, s->good, s->size);
        uint32_t flips = 1 + sk_rng_below(&s->rng, 12);
        for (uint32_t i = 0; i < flips; i++)
            copy[sk_rng_below(&s->rng, (uint32_t)s->size)] ^=
                (char)(1u << sk_rng_below(&s->rng, 8));
        put_file(s->path, copy, s->size);
        answered += open_and_ask(s, round % 2 == 1);
    }
    sk_free(copy);
    assert_true(answered < rounds * CONTEXTS); /* some damage was noticed */
    assert_true(answered > 0);                 /* and some files still served */
}

static void truncated(void **in)
{
    state *s = *in;
    for (int round = 0; round < 60; round++) {
        size_t size = round < 20 ? (size_t)round * 40 : sk_rng_below(&s->rng, (uint32_t)s->size);
        put_file(s->path, s->good, size);
        sk_err err = {0};
        sk_db *db = NULL;
        sk_status st = sk_db_open(s->path, SK_DB_READ_ONLY, &db, &err);
        if (st == SPHKV_OK) /* only free pages are missing: fine, but not silent damage */
            sk_db_close(db);
        else
            assert_true(st == SPHKV_EDB && strstr(err.message, s->path));
        open_and_ask(s, round % 2 == 1);
    }
}

static void garbage_and_empty(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db *db;
    uint8_t noise[5000];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)sk_rng_u64(&s->rng);
    put_file(s->path, noise, sizeof noise);
    for (uint32_t flags = 0; flags <= SK_DB_IMMUTABLE; flags++) {
        assert_int_equal(sk_db_open(s->path, flags, &db, &err), SPHKV_EDB);
        assert_null(db);
        assert_non_null(strstr(err.message, "not a kernel database"));
    }
    char *after;
    size_t size;
    sk_assert_ok(sk_file_read(s->path, 1 << 20, &after, &size, &err), &err);
    assert_int_equal(size, sizeof noise); /* untouched */
    assert_memory_equal(after, noise, size);
    sk_free(after);

    put_file(s->path, "", 0);
    assert_int_equal(sk_db_open(s->path, SK_DB_READ_ONLY, &db, &err), SPHKV_EDB);
    sk_assert_ok(sk_db_open(s->path, SK_DB_CREATE, &db, &err), &err);
    sk_db_close(db);
    /* A folder in its place, and nothing at all. */
    assert_int_equal(sk_db_open(s->dir, 0, &db, &err), SPHKV_EIO);
    unlink(s->path);
    assert_int_equal(sk_db_open(s->path, 0, &db, &err), SPHKV_ENOTFOUND);
    assert_int_equal(sk_db_open(s->path, SK_DB_READ_ONLY, &db, &err), SPHKV_ENOTFOUND);
    assert_int_equal(sk_db_open("", SK_DB_CREATE, &db, &err), SPHKV_EINVAL);
}

static void execute(const char *path, const char *sql)
{
    sqlite3 *raw;
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(raw);
}

static void foreign_database(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db *db;
    unlink(s->path);
    execute(s->path, "CREATE TABLE winner (id INTEGER)");
    for (uint32_t flags = 0; flags <= SK_DB_IMMUTABLE; flags++) {
        assert_int_equal(sk_db_open(s->path, flags, &db, &err), SPHKV_EDB);
        assert_non_null(strstr(err.message, "another program"));
    }
    /* Our magic, but nobody's tables. */
    char sql[96];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
             SK_DB_APPLICATION_ID, sk_db_migrations.count);
    execute(s->path, sql);
    sk_assert_ok(sk_db_open(s->path, 0, &db, &err), &err);
    sk_db_trial t = db_case_trial(1, "w=8", "ir");
    assert_int_equal(sk_db_trial_put(db, &t, NULL, &err), SPHKV_EDB);
    sk_db_set set = {.user = db};
    assert_int_equal(ask_everything(&set), 0);
    sk_db_close(db);
}

/* What somebody may have changed with SQL, and what the look-up then says. */
static void tampered_records(void **in)
{
    state *s = *in;
    static const struct {
        const char *sql, *reason;
    } cases[] = {
        {"UPDATE artifact SET bytes = x'00112233'", "does not match its hash"},
        {"UPDATE artifact SET launch = '{\"registers\":13}'", "does not match its hash"},
        {"UPDATE artifact SET bytes = x''", "empty"},
        {"UPDATE artifact SET args_version = args_version + 1", "version of the arguments"},
        {"UPDATE artifact SET format_version = 2", "format version"},
        {"UPDATE schedule SET text = text || ',w=3'", "texts do not match"},
        {"UPDATE trial SET schedule_id = schedule_id % 4 + 1", "texts do not match"},
        {"UPDATE trial SET artifact_id = artifact_id % 4 + 1", "another IR"},
        {"UPDATE trial SET ir_hash = 'x'", "texts do not match"},
        {"UPDATE trial SET outcome = 'wrong'", "did not go well"},
        {"UPDATE spec SET text = 'attn_decode d64'", "texts do not match"},
        {"UPDATE winner SET trial_id = trial_id % 4 + 1", "links disagree"},
        {"UPDATE device SET fingerprint = 'mine'", "texts do not match"},
    };
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        put_file(s->path, s->good, s->size);
        execute(s->path, cases[i].sql);
        sk_err err = {0};
        sk_arena mem = {0};
        sk_db *db;
        sk_assert_ok(sk_db_open(s->path, SK_DB_READ_ONLY, &db, &err), &err);
        sk_db_set set = {.user = db};
        sk_db_trial like = db_case_trial(1, "", "");
        sk_db_best_result r;
        sk_assert_ok(sk_db_best(&set, like.key.device, like.key.kernel, like.key.spec,
                                &like.key.shape, 0, &mem, &r, &err),
                     &err);
        if (r.match != SK_MATCH_NONE || !strstr(r.reason, cases[i].reason))
            fail_msg("%s: match %s, reason '%s'", cases[i].sql, sk_match_text(r.match), r.reason);
        sk_arena_free(&mem);
        sk_db_close(db);
    }
}

/* Storing the same code again repairs what was damaged. */
static void putting_again_heals(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db *db;
    execute(s->path, "UPDATE artifact SET bytes = x'00112233', launch = ''");
    sk_assert_ok(sk_db_open(s->path, 0, &db, &err), &err);
    sk_db_set set = {.user = db};
    assert_int_equal(ask_everything(&set), 0);
    assert_true(db_case_winner(db, 1, 2048, schedule_of(2048), "ir1", 3997, 2) > 0);
    assert_int_equal(ask_everything(&set), 1);
    sk_db_close(db);
}

/* Views and triggers in a stranger's file do nothing. */
static void hostile_schema(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db *db;
    execute(s->path, "CREATE TRIGGER t AFTER INSERT ON trial BEGIN DELETE FROM winner; END;"
                     "ALTER TABLE default_code RENAME TO d;"
                     "CREATE VIEW default_code AS SELECT * FROM d");
    sk_assert_ok(sk_db_open(s->path, 0, &db, &err), &err);
    sk_db_trial t = db_case_trial(2, "w=8", "ir");
    sk_assert_ok(sk_db_trial_put(db, &t, NULL, &err), &err);
    sk_db_set set = {.user = db};
    assert_int_equal(ask_everything(&set), CONTEXTS);
    sk_arena mem = {0};
    sk_db_artifact code;
    assert_int_equal(
        sk_db_default_get(&set, t.key.device, t.key.kernel, t.key.spec, "ir", &mem, &code, &err),
        SPHKV_ENOTFOUND);
    sk_arena_free(&mem);
    sk_db_close(db);
}

/* A database left in WAL mode, as another tool may do, is turned back. */
static void wal_is_undone(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db *db;
    execute(s->path, "PRAGMA journal_mode=WAL; UPDATE winner SET speedup = 3");
    sk_assert_ok(sk_db_open(s->path, 0, &db, &err), &err);
    sk_db_close(db);
    char *bytes;
    size_t size;
    sk_assert_ok(sk_file_read(s->path, 1 << 24, &bytes, &size, &err), &err);
    assert_int_equal(bytes[18], 1); /* write version: rollback journal */
    sk_free(bytes);
    assert_int_equal(open_and_ask(s, true), CONTEXTS);
}

static void names_that_need_escaping(void **in)
{
    state *s = *in;
    char *path = sk_test_path(s->dir, "a?b#c%20d&e=f.db");
    put_file(path, s->good, s->size);
    for (uint32_t flags = 0; flags <= SK_DB_IMMUTABLE; flags += 2) {
        sk_err err = {0};
        sk_db *db;
        sk_assert_ok(sk_db_open(path, flags, &db, &err), &err);
        sk_db_set set = {.user = db};
        assert_int_equal(ask_everything(&set), CONTEXTS);
        sk_db_close(db);
    }
    sk_free(path);
}

/* No place to write: memory, with one warning, and everything works. */
static void unusable_place(void **in)
{
    state *s = *in;
    sk_err err = {0};
    char *under_file = sk_test_path(s->dir, "kernels.db/sub/kernels.db");
    sk_db_set *set;
    sk_assert_ok(sk_db_set_open(under_file, NULL, 0, &set, &err), &err);
    assert_true(set->memory_only);
    assert_non_null(strstr(set->warning, "stay in memory"));
    assert_null(strchr(set->warning, '\n'));
    assert_true(db_case_winner(set->user, 1, 1024, "w=8", "ir0", 3000, 2) > 0);
    assert_int_equal(ask_everything(set), 1);
    sk_db_set_close(set);
    sk_free(under_file);

    /* A damaged user database is left alone. */
    put_file(s->path, s->good, s->size / 2);
    sk_assert_ok(sk_db_set_open(s->path, s->dir, 0, &set, &err), &err);
    assert_true(set->memory_only);
    assert_non_null(strstr(set->warning, s->path));
    assert_non_null(strstr(set->warning, "(and 1 more)"));
    sk_db_set_close(set);
    struct stat st;
    assert_int_equal(stat(s->path, &st), 0);
    assert_int_equal(st.st_size, (off_t)(s->size / 2));
}

/* A database that can be read and not written still serves. */
static void unwritable_folder(void **in)
{
    state *s = *in;
    if (geteuid() == 0) {
        print_message("skipped: folder permissions do not bind root\n");
        skip();
    }
    sk_err err = {0};
    sk_db_set *set;
    assert_int_equal(chmod(s->dir, 0555), 0);
    sk_status st = sk_db_set_open(s->path, NULL, 0, &set, &err);
    int exact = st == SPHKV_OK ? ask_everything(set) : -1;
    bool memory_only = st == SPHKV_OK && set->memory_only;
    assert_int_equal(chmod(s->dir, 0755), 0);
    sk_assert_ok(st, &err);
    assert_true(memory_only);
    assert_non_null(strstr(set->warning, "cannot write"));
    assert_int_equal(exact, CONTEXTS);
    sk_db_set_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_file_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(flipped_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_and_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_database, setup, teardown),
        cmocka_unit_test_setup_teardown(tampered_records, setup, teardown),
        cmocka_unit_test_setup_teardown(putting_again_heals, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_schema, setup, teardown),
        cmocka_unit_test_setup_teardown(wal_is_undone, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_need_escaping, setup, teardown),
        cmocka_unit_test_setup_teardown(unusable_place, setup, teardown),
        cmocka_unit_test_setup_teardown(unwritable_folder, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
