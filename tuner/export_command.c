/* export_command.c - sphkv-db export; see t4_write.h. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "device.h"
#include "json.h"
#include "options.h"
#include "t4_write.h"

#define PROGRAM "sphkv-db export"

static const char help[] =
    "sphkv-db export - writes what was tried in a format of others\n"
    "\n"
    "usage: sphkv-db export --t4 FILE [ID|SPEC] [--kernel NAME] [--db FILE] [--json]\n"
    "\n"
    "Writes the trials of one kernel, spec, shape and device in the T4 format of the\n"
    "auto-tuning community: each schedule with its outcome, its samples and what it took to\n"
    "compile and check. sphkv-tune --simulate FILE searches it as if it were the device.\n"
    "\n"
    "  --t4 FILE      where to\n"
    "  ID|SPEC        which: the beginning (4 digits or more) of an id that ls or show\n"
    "                 printed, or a part of a spec or of its tiers (--spec TEXT: the same)\n"
    "  --kernel NAME  only of this kernel\n"
    "  --db FILE      the database (default $SPHKV_DB, or\n"
    "                 $XDG_CACHE_HOME/sphkv/kernels.db)\n"
    "  --json         JSON on stdout\n"
    "  --help         this text\n"
    "\n"
    "example:\n"
    "  sphkv-db export --t4 decode.json good:vi8 --kernel attn_decode\n"
    "\n"
    "exit code: 0 done, 1 no such record, no memory or the file could not be written,\n"
    "2 usage, also when several records are meant (they are listed), 4 database\n";

typedef struct export_command {
    const char *t4, *what, *kernel, *db;
    bool json, help;
} export_command;

static sk_status read_words(export_command *c, int argc, char **argv, sk_err *err)
{
    sk_args a;
    sk_status st;
    sk_args_begin(&a, argc, argv);
    while ((st = sk_args_next(&a, err)) == SPHKV_OK && a.word) {
        const struct {
            const char *name, **to;
        } texts[] = {{"--t4", &c->t4}, {"--spec", &c->what}, {"--kernel", &c->kernel},
                     {"--db", &c->db}};
        const char **to = NULL;
        for (size_t i = 0; i < SK_COUNT(texts); i++)
            if (sk_args_is(&a, texts[i].name)) to = texts[i].to;
        if (to)
            st = sk_args_value(&a, to, err);
        else if (sk_args_is(&a, "--json"))
            c->json = true;
        else if (sk_args_is(&a, "--help") || sk_args_is(&a, "-h"))
            c->help = true;
        else if (a.word[0] == '-' || c->what)
            st = sk_fail(err, SPHKV_EINVAL, "%s '%.60s'",
                         c->what ? "one word too many:" : "unknown option", a.word);
        else
            c->what = a.word;
        if (st != SPHKV_OK || c->help) return st;
    }
    if (st == SPHKV_OK && !c->t4) return sk_fail(err, SPHKV_EINVAL, "--t4: into which file?");
    return st;
}

static sk_status read_records(const export_command *c, sk_records *records, sk_err *err)
{
    char *place = NULL;
    sk_db *db = NULL;
    sk_device device;
    sk_device_host(&device);
    const sk_db_device host = sk_device_record(&device);
    sk_status st = c->db ? SPHKV_OK : sk_db_default_path(&place, err);
    if (st == SPHKV_OK) st = sk_db_open(c->db ? c->db : place, SK_DB_READ_ONLY, &db, err);
    if (st == SPHKV_OK) st = sk_records_add(records, db, &host, err);
    sk_db_close(db);
    sk_free(place);
    return st;
}

/* Leaves what is meant; a list of it when that is more than one. */
static sk_status choose(const export_command *c, sk_records *r, sk_err *err)
{
    size_t kept = 0;
    if (c->what) sk_records_select(r, c->what);
    for (size_t i = 0; i < r->count; i++)
        if (!c->kernel || strcmp(r->at[i].trial[0]->key.kernel, c->kernel) == 0)
            r->at[kept++] = r->at[i];
    r->count = kept;
    if (kept == 0) return sk_fail(err, SPHKV_ENOTFOUND, "no record matches");
    if (kept == 1) return SPHKV_OK;
    for (size_t i = 0; i < kept; i++) {
        const sk_db_trial *t = r->at[i].trial[0];
        char line[400], shape[SK_DB_SHAPE_TEXT];
        sk_db_shape_text(&t->key.shape, shape);
        snprintf(line, sizeof line, "%.8s  %.40s %.120s %s %.60s", t->trial_hash, t->key.kernel,
                 r->at[i].tiers, shape, t->key.device->name);
        sk_command_say(PROGRAM, line);
    }
    return sk_fail(err, SPHKV_EINVAL, "%zu records are meant: name one of them by its id", kept);
}

static int print(const export_command *c, const sk_record *r, size_t results)
{
    sk_text out = {0};
    sk_json j = {0};
    if (c->json) {
        sk_json_open(&j, NULL, '{');
        sk_json_text(&j, "file", c->t4);
        sk_json_text(&j, "kernel", r->trial[0]->key.kernel);
        sk_json_text(&j, "spec", r->trial[0]->key.spec);
        sk_json_u64(&j, "results", results);
        sk_json_close(&j, '}');
        out = j.text;
        sk_text_append(&out, "\n", 1);
    } else {
        sk_text_printf(&out, "%s: %zu schedules of %s %s\n", c->t4, results,
                       r->trial[0]->key.kernel, r->tiers);
    }
    const int code = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    return code;
}

int sk_export_command(int argc, char **argv)
{
    export_command c = {0};
    sk_records records = {0};
    sk_text text = {0};
    size_t results = 0;
    sk_err err = {0};
    sk_status st = read_words(&c, argc - 1, argv + 1, &err);
    if (st == SPHKV_OK && c.help) {
        const sk_text told = {.s = (char *)(uintptr_t)help, .len = sizeof help - 1};
        return sk_command_print(PROGRAM, &told);
    }
    if (st == SPHKV_OK) {
        st = read_records(&c, &records, &err);
        if (st != SPHKV_OK && st != SPHKV_ENOMEM) st = SPHKV_EDB;
    }
    if (st == SPHKV_OK) st = choose(&c, &records, &err);
    if (st == SPHKV_OK) st = sk_t4_write(&records.at[0], &text, &results, &err);
    if (st == SPHKV_OK && results == 0) st = sk_fail(&err, SPHKV_ENOTFOUND, "nothing was tried");
    if (st == SPHKV_OK) st = sk_file_write(c.t4, text.s, text.len, &err);
    const bool absent = st == SPHKV_ENOTFOUND || st == SPHKV_EIO; /* the record, or the file */
    int code;
    if (absent)
        sk_command_say(PROGRAM, err.message);
    if (st == SPHKV_OK)
        code = print(&c, &records.at[0], results);
    else
        code = absent ? SK_EXIT_UNVERIFIED : sk_command_fail(PROGRAM, st, &err);
    sk_text_free(&text);
    sk_records_free(&records);
    return code;
}
