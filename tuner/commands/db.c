/* sphkv-db - looks into kernel databases: what was tuned, with which result,
 * and why a kernel was chosen; and builds ones for GPUs that are not here.
 *
 * All but build and merge only read. Records are named by the beginning of their hash, which is the
 * same in every database, unlike row numbers. Results go to stdout, everything
 * else to stderr. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "db_build.h"
#include "device.h"
#include "install_path.h"
#include "merge.h"
#include "records.h"
#include "t4_write.h"

#define PROGRAM "sphkv-db"

static const char help[] =
    "sphkv-db - looks into databases of tuned kernels\n"
    "\n"
    "usage: sphkv-db ls      [--db FILE] [--json]          winners, one per line\n"
    "       sphkv-db show    ID|SPEC [--db FILE] [--json]  everything about a record\n"
    "       sphkv-db explain ID|SPEC [--db FILE] [--json]  why this kernel was chosen\n"
    "       sphkv-db build --arch LIST --model NAME --db FILE [...]\n"
    "                                                      kernels for GPUs that are not here;\n"
    "                                                      see sphkv-db build --help\n"
    "       sphkv-db merge OUT IN...                       unites databases; see\n"
    "                                                      sphkv-db merge --help\n"
    "       sphkv-db export --t4 FILE ...                  what was tried, for tools of\n"
    "                                                      others; see sphkv-db export --help\n"
    "\n"
    "ID is the beginning (4 digits or more) of an id that ls or show printed; SPEC is a\n"
    "part of a spec or of its tiers, and may name several records.\n"
    "\n"
    "  --db FILE  only this database; otherwise $SPHKV_DB, or\n"
    "             $XDG_CACHE_HOME/sphkv/kernels.db, and the installed ones\n"
    "  --json     JSON on stdout\n"
    "  --help     this text\n"
    "\n"
    "The match column of ls says what a record is to this machine: exact, same arch,\n"
    "other device; or why a look-up would not use it: recipe (schedule without code),\n"
    "stale, damaged.\n"
    "\n"
    "examples:\n"
    "  sphkv-db ls\n"
    "  sphkv-db show good:vi8\n"
    "  sphkv-db explain 3f2a91c4\n"
    "  sphkv-db ls --db /usr/share/sphkv/db/zen3.db --json\n"
    "\n"
    "exit code: 0 done, 1 no such record, no verified kernel, no memory or the result could\n"
    "not be written, 2 usage, 4 database\n";

typedef struct options {
    sk_records_form form;
    const char *what; /* ID or SPEC; NULL for ls */
    const char *path; /* --db */
    bool json;
    bool help;
} options;

static int usage_error(const char *text, const char *word)
{
    sk_err err = {0};
    sk_status st = sk_fail(&err, SPHKV_EINVAL, "%s%s%.200s", text, *word ? " " : "", word);
    return sk_command_fail(PROGRAM, st, &err);
}

/* 0, or the exit code after a message. */
static int read_options(int argc, char **argv, options *o)
{
    static const char *const verbs[] = {"ls", "show", "explain"};
    const char *verb = NULL;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            o->help = true;
        else if (strcmp(word, "--json") == 0)
            o->json = true;
        else if (strncmp(word, "--db=", 5) == 0 && word[5])
            o->path = word + 5;
        else if (strcmp(word, "--db") == 0 && i + 1 < argc && *argv[i + 1])
            o->path = argv[++i];
        else if (strcmp(word, "--db") == 0 || strcmp(word, "--db=") == 0)
            return usage_error("--db needs a file", "");
        else if (word[0] == '-')
            return usage_error("unknown option", word);
        else if (!verb)
            verb = word;
        else if (!o->what)
            o->what = word;
        else
            return usage_error("one word too many:", word);
    }
    if (o->help)
        return 0;
    if (!verb)
        return usage_error("say what to do: ls, show, explain, build, merge or export", "");
    size_t form = 0;
    while (form < SK_COUNT(verbs) && strcmp(verb, verbs[form]) != 0)
        form++;
    if (form == SK_COUNT(verbs))
        return usage_error("there are ls, show, explain, build, merge and export, not", verb);
    o->form = (sk_records_form)form;
    if (o->form == SK_RECORDS_LS && o->what)
        return usage_error("ls takes no", o->what);
    if (o->form != SK_RECORDS_LS && (!o->what || !*o->what))
        return usage_error(verb, "needs an ID or a SPEC");
    return 0;
}

static int database_error(sk_status st, const sk_err *err)
{
    return sk_command_fail(PROGRAM, st == SPHKV_ENOMEM ? st : SPHKV_EDB, err);
}

static int read_one(sk_records *records, sk_db *db, const sk_db_device *host)
{
    sk_err err = {0};
    sk_status st = sk_records_add(records, db, host, &err);
    return st == SPHKV_OK ? 0 : database_error(st, &err);
}

/* The user's own database: absent is fine unless it was named. */
static int read_user(sk_records *records, const options *o, const sk_db_device *host)
{
    sk_err err = {0};
    char *found = NULL;
    sk_db *db = NULL;
    sk_status st = o->path ? SPHKV_OK : sk_db_default_path(&found, &err);
    const char *path = o->path ? o->path : found;
    if (st == SPHKV_OK)
        st = sk_db_open(path, SK_DB_READ_ONLY, &db, &err);
    int code = 0;
    if (st == SPHKV_OK) {
        code = read_one(records, db, host);
    } else if (st == SPHKV_ENOTFOUND && !o->path) {
        char line[600];
        snprintf(line, sizeof line, "%.550s; sphkv-tune makes one", err.message);
        sk_command_say(PROGRAM, line);
    } else {
        code = database_error(st, &err);
    }
    sk_db_close(db);
    sk_free(found);
    return code;
}

/* Installed databases; one that cannot be used is left out with a line. */
static int read_installed(sk_records *records, const sk_db_device *host)
{
    char *dir = NULL;
    sk_db_set *set = NULL;
    sk_err err = {0};
    if (sk_install_db_dir(&dir, NULL) != SPHKV_OK)
        return 0;
    /* ":memory:" stands for the user's database, which was read before. */
    sk_status st = sk_db_set_open(":memory:", dir, 0, &set, &err);
    sk_free(dir);
    if (st != SPHKV_OK)
        return database_error(st, &err);
    if (set->warning[0])
        sk_command_say(PROGRAM, set->warning);
    int code = 0;
    for (size_t i = 0; i < set->system_count && code == 0; i++)
        code = read_one(records, set->system[i], host);
    sk_db_set_close(set);
    return code;
}

static bool wants_color(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

static int print_records(const sk_records *records, const options *o)
{
    sk_text out = {0};
    if (!o->json)
        sk_records_text(records, o->form, wants_color(), &out);
    else if (!sk_records_json(records, o->form, &out))
        out.failed = true;
    int code = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    return code;
}

static int answer(sk_records *records, const options *o)
{
    if (o->what) {
        sk_records_select(records, o->what);
        if (records->count == 0) {
            char line[300];
            snprintf(line, sizeof line, "no record matches %.250s", o->what);
            sk_command_say(PROGRAM, line);
        }
    }
    int code = print_records(records, o);
    bool verified = records->count > 0 || !o->what;
    for (size_t i = 0; i < records->count && o->what; i++)
        verified = verified && records->at[i].winner;
    return code == SK_EXIT_DONE && !verified ? SK_EXIT_UNVERIFIED : code;
}

int main(int argc, char **argv)
{
    options o = {0};
    sk_command_begin();
    if (argc > 1 && strcmp(argv[1], "build") == 0)
        return sk_db_build(argc, argv);
    if (argc > 1 && strcmp(argv[1], "merge") == 0)
        return sk_merge_command(argc, argv);
    if (argc > 1 && strcmp(argv[1], "export") == 0)
        return sk_export_command(argc, argv);
    int code = read_options(argc, argv, &o);
    if (code)
        return code;
    if (o.help)
        return sk_command_print(PROGRAM, &(sk_text){.s = (char *)(uintptr_t)help,
                                                    .len = sizeof help - 1});
    sk_device device;
    sk_device_host(&device);
    sk_db_device host = sk_device_record(&device);
    sk_records records = {0};
    code = read_user(&records, &o, &host);
    if (code == 0 && !o.path)
        code = read_installed(&records, &host);
    if (code == 0)
        code = answer(&records, &o);
    sk_records_free(&records);
    return code;
}
