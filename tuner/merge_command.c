/* merge_command.c - sphkv-db merge; see merge.h. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "json.h"
#include "merge.h"
#include "options.h"

#define PROGRAM "sphkv-db merge"
#define MOST 1024u

static const char help[] =
    "sphkv-db merge - unites databases\n"
    "\n"
    "usage: sphkv-db merge OUT IN... [--json]\n"
    "\n"
    "Puts every record of the databases IN into OUT (made when absent), all or none, and\n"
    "names the winners anew. No trial is counted twice; records of other devices, compilers\n"
    "and versions of the generator stand side by side. Of two records of one trial a wrong\n"
    "result stays before all others, then one of a final, then the later. The order of\n"
    "the databases does not matter, nor whether one comes in again. What is damaged is\n"
    "left out, with a line.\n"
    "\n"
    "  --json     JSON on stdout\n"
    "  --help     this text\n"
    "\n"
    "example:\n"
    "  sphkv-db merge kernels.db kernels.1-of-4.db kernels.2-of-4.db kernels.3-of-4.db \\\n"
    "      kernels.4-of-4.db\n"
    "\n"
    "exit code: 0 done, 1 no memory or the result could not be written, 2 usage,\n"
    "4 database (OUT is as it was)\n";

typedef struct merge_command {
    const char *out, *in[MOST];
    uint32_t ins;
    bool json, help;
} merge_command;

static sk_status read_words(merge_command *c, int argc, char **argv, sk_err *err)
{
    sk_args a;
    sk_status st;
    sk_args_begin(&a, argc, argv);
    while ((st = sk_args_next(&a, err)) == SPHKV_OK && a.word) {
        const bool option = a.word[0] == '-' && !a.literal;
        if (sk_args_is(&a, "--help") || sk_args_is(&a, "-h"))
            c->help = true;
        else if (sk_args_is(&a, "--json"))
            c->json = true;
        else if (option)
            return sk_fail(err, SPHKV_EINVAL, "unknown option '%.60s'", a.word);
        else if (!c->out)
            c->out = a.word;
        else if (c->ins == MOST)
            return sk_fail(err, SPHKV_EINVAL, "more than %u databases", MOST);
        else
            c->in[c->ins++] = a.word;
        if (c->help) return SPHKV_OK;
    }
    if (st == SPHKV_OK && c->ins == 0)
        return sk_fail(err, SPHKV_EINVAL, "say where to, and which databases: merge OUT IN...");
    return st;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Databases that are to come in, open; OUT itself brings nothing. */
static sk_status open_all(const merge_command *c, sk_db **from, size_t *n, sk_err *err)
{
    for (uint32_t i = 0; i < c->ins; i++) {
        sk_status st = same_file(c->in[i], c->out)
                           ? SPHKV_OK
                           : sk_db_open(c->in[i], SK_DB_READ_ONLY, &from[*n], err);
        if (st != SPHKV_OK) return st;
        *n += from[*n] != NULL;
    }
    return SPHKV_OK;
}

static sk_status unite(const merge_command *c, sk_db_merged *merged, sk_err *err)
{
    sk_db *from[MOST] = {0}, *into = NULL;
    size_t n = 0;
    sk_status st = open_all(c, from, &n, err);
    const bool made = st == SPHKV_OK && access(c->out, F_OK) != 0;
    if (st == SPHKV_OK) st = sk_db_open(c->out, SK_DB_CREATE, &into, err);
    if (st == SPHKV_OK) st = sk_db_merge(into, from, n, sk_merge_judge, NULL, merged, err);
    const bool opened = into != NULL;
    sk_db_close(into);
    for (size_t i = 0; i < n; i++) sk_db_close(from[i]);
    if (st != SPHKV_OK && made && opened) (void)unlink(c->out);
    return st;
}

static int print(const merge_command *c, const sk_db_merged *m)
{
    sk_json j = {0};
    sk_text out = {0};
    if (c->json) {
        sk_json_open(&j, NULL, '{');
        sk_json_text(&j, "database", c->out);
        sk_json_u64(&j, "trials", m->trials);
        sk_json_u64(&j, "added", m->added);
        sk_json_u64(&j, "replaced", m->replaced);
        sk_json_u64(&j, "winners", m->winners);
        sk_json_u64(&j, "damaged", m->damaged);
        sk_json_close(&j, '}');
        out = j.text;
        sk_text_append(&out, "\n", 1);
    } else {
        sk_text_printf(&out, "%s: %zu trials (%zu new, %zu replaced), %zu winners\n", c->out,
                       m->trials, m->added, m->replaced, m->winners);
    }
    const int code = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    return code;
}

int sk_merge_command(int argc, char **argv)
{
    static merge_command c;
    sk_db_merged merged;
    sk_err err = {0};
    sk_status st = read_words(&c, argc - 1, argv + 1, &err);
    if (st != SPHKV_OK) return sk_command_fail(PROGRAM, st, &err);
    if (c.help) {
        const sk_text text = {.s = (char *)(uintptr_t)help, .len = sizeof help - 1};
        return sk_command_print(PROGRAM, &text);
    }
    st = unite(&c, &merged, &err);
    if (st != SPHKV_OK)
        return sk_command_fail(PROGRAM, st == SPHKV_ENOMEM ? st : SPHKV_EDB, &err);
    if (merged.damaged) {
        char line[120];
        snprintf(line, sizeof line, "%zu damaged records, or code of them, were left out",
                 merged.damaged);
        sk_command_say(PROGRAM, line);
    }
    return print(&c, &merged);
}
