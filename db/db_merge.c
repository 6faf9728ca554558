/* db_merge.c - uniting databases: see sk_db_merge in db.h.
 *
 * Every choice is the greatest of a total order over what was ever put in (of records by
 * their content, of code by its key), and winners are a function of the records that
 * stay, so databases may come in any order, in one go or one after the other, and any
 * number of times. */
#include <stdlib.h>
#include <string.h>

#include "db_impl.h"

/* A winner as somebody named it, by hashes that hold in every database. */
typedef struct carried {
    const sk_db_winner *winner;
    const char *base; /* hash of the default's trial, or "" */
} carried;

/* What a database brings. */
typedef struct source {
    sk_db *db;
    sk_db_trial *trial; /* by row */
    sk_db_winner *winner;
    size_t trials, winners;
} source;

typedef struct merge {
    sk_db *into;
    source *source; /* [sources]: into's own as the last */
    size_t sources;
    carried *carried;
    size_t carrieds;
    sk_db_judge judge;
    void *user;
    sk_db_merged *out;
    sk_arena mem;
} merge;

/* ---- which of two records stays --------------------------------------------- */

static bool of_final(const sk_db_trial *t)
{
    return t->outcome == SK_OUTCOME_OK && t->sample_count >= SK_DB_FINAL &&
           t->baseline_count == t->sample_count;
}

/* A disproof stands; memory that ran out says little. */
static int weight(const sk_db_trial *t)
{
    if (t->outcome == SK_OUTCOME_WRONG)
        return 3;
    if (of_final(t))
        return 2;
    return t->outcome != SK_OUTCOME_SKIPPED && t->outcome != SK_OUTCOME_OOM;
}

static void content_hash(const sk_db_trial *t, char hex[65])
{
    const char *const text[] = {sk_db_outcome_text(t->outcome), t->message, t->error_kind,
                                t->tool_version, t->compiler_version, t->driver_version,
                                t->run_id, t->base};
    const double number[] = {t->median_us, t->error, t->bandwidth_gbps, t->roofline, t->seconds};
    const uint64_t word[] = {t->bytes, t->seed, t->sample_count, t->baseline_count};
    sk_sha256 sha;
    sk_sha256_init(&sha);
    for (size_t i = 0; i < SK_COUNT(text); i++)
        sk_sha256_add(&sha, text[i], strlen(text[i]) + 1);
    sk_sha256_add(&sha, number, sizeof number);
    sk_sha256_add(&sha, word, sizeof word);
    if (t->sample_count)
        sk_sha256_add(&sha, t->samples, t->sample_count * sizeof *t->samples);
    if (t->baseline_count)
        sk_sha256_add(&sha, t->baseline, t->baseline_count * sizeof *t->baseline);
    sk_sha256_hex(&sha, hex);
}

/* More than 0: a stays. */
static int record_order(const sk_db_trial *a, const sk_db_trial *b)
{
    char x[65], y[65];
    if (weight(a) != weight(b))
        return weight(a) - weight(b);
    if (a->unix_time != b->unix_time)
        return a->unix_time > b->unix_time ? 1 : -1;
    content_hash(a, x);
    content_hash(b, y);
    return strcmp(x, y);
}

/* ---- trials ------------------------------------------------------------------- */

/* What people read of a device may differ between databases; the greater text stays. */
static sk_status merge_device(sk_db *db, const sk_db_device *device, sk_err *err)
{
    char key[65];
    sk_db_device_key(device, key);
    sk_query q = sk_query_begin(db, SK_STMT_MERGE_DEVICE,
                                "UPDATE device SET name = max(name, ?1),"
                                " toolchain = max(toolchain, ?2) WHERE key = ?3"
                                " AND (name < ?1 OR toolchain < ?2)");
    sk_query_text(&q, device->name);
    sk_query_text(&q, device->toolchain);
    sk_query_text(&q, key);
    sk_query_step(&q);
    return sk_query_end(&q, "storing a device", err);
}

/* Absent code is no failure, damaged code is left out. */
static sk_status found_code(sk_status st, const sk_err *why, bool *have, size_t *damaged,
                            sk_err *err)
{
    *have = st == SPHKV_OK;
    if (st == SPHKV_EDB)
        ++*damaged;
    if (st == SPHKV_OK || st == SPHKV_ENOTFOUND || st == SPHKV_EDB)
        return SPHKV_OK;
    return sk_fail(err, st, "%s", why->message);
}

/* The code that the trial is to have, when it is not what `old` has already. */
static sk_status choose_code(merge *m, sk_db *from, const sk_db_trial *t, const sk_db_trial *old,
                             sk_arena *mem, sk_db_artifact *code, bool *take, sk_err *err)
{
    sk_db_artifact had;
    sk_err why = {0};
    char key[65];
    size_t stale = 0;
    sk_status st = found_code(sk_db_trial_artifact(from, t->id, mem, code, &why), &why, take,
                              &m->out->damaged, err);
    if (st != SPHKV_OK || !*take || !old)
        return st;
    sk_db_artifact_key(code, key);
    bool have;
    st = found_code(sk_db_code_read(m->into, old->id, mem, &had, &why), &why, &have, &stale, err);
    *take = !have || strcmp(key, old->artifact_key) > 0;
    return st;
}

static sk_status merge_trial(merge *m, sk_db *from, const sk_db_trial *t, sk_arena *mem,
                             sk_err *err)
{
    sk_db_trial old, next = *t;
    sk_db_artifact code;
    bool take = false;
    int64_t id;
    sk_err why = {0};
    sk_status st = sk_db_trial_read(m->into, t->trial_hash, mem, &old, &why);
    const bool known = st == SPHKV_OK;
    if (!known && st != SPHKV_ENOTFOUND)
        return sk_fail(err, st, "%s", why.message);
    st = choose_code(m, from, t, known ? &old : NULL, mem, &code, &take, err);
    if (st != SPHKV_OK)
        return st;
    next.artifact = take ? &code : NULL;
    const bool newer = known && record_order(t, &old) > 0;
    if (!known || newer)
        st = sk_db_trial_write(m->into, &next, &id, err);
    else if (take)
        st = sk_db_link_write(m->into, old.id, &code, err);
    m->out->added += !known;
    m->out->replaced += newer;
    return st == SPHKV_OK ? merge_device(m->into, t->key.device, err) : st;
}

static sk_status merge_trials(merge *m, const source *from, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (size_t i = 0; i < from->trials && st == SPHKV_OK; i++) {
        const sk_db_trial *t = &from->trial[i];
        char hash[65] = "";
        sk_arena mem = {0};
        if (t->key.device)
            sk_db_trial_hash(&t->key, hash);
        if (strcmp(hash, t->trial_hash) == 0)
            st = merge_trial(m, from->db, t, &mem, err);
        else
            m->out->damaged++;
        sk_arena_free(&mem);
    }
    return st;
}

/* ---- winners ---------------------------------------------------------------------- */

static const sk_db_trial *trial_of(const sk_db_trial *const *trial, size_t count, const char *hash)
{
    for (size_t i = 0; i < count && *hash; i++)
        if (strcmp(trial[i]->trial_hash, hash) == 0)
            return trial[i];
    return NULL;
}

/* More than 0: a is to be preferred. */
static int carried_order(const carried *a, const carried *b)
{
    const sk_db_winner *x = a->winner, *y = b->winner;
    const bool p = x->trial.outcome == SK_OUTCOME_OK, q = y->trial.outcome == SK_OUTCOME_OK;
    if (p != q)
        return p ? 1 : -1;
    if (x->unix_time != y->unix_time)
        return x->unix_time > y->unix_time ? 1 : -1;
    if (x->speedup_lo < y->speedup_lo || x->speedup_lo > y->speedup_lo)
        return x->speedup_lo > y->speedup_lo ? 1 : -1;
    return strcmp(x->trial.trial_hash, y->trial.trial_hash);
}

/* The best of the winners that were named before and whose trial still says so, where the
 * judge named none: of records that the judge cannot compare (predictions, finals of an
 * older version). Of the one that it named, out, what records do not tell: how the final
 * went. */
static void take_carried(const merge *m, const sk_db_trial *const *trial, size_t count,
                         sk_db_winner *out)
{
    const carried *best = NULL;
    const sk_db_trial *at = NULL;
    for (size_t i = 0; i < m->carrieds; i++) {
        const carried *c = &m->carried[i];
        const sk_db_trial *t = trial_of(trial, count, c->winner->trial.trial_hash);
        if (!t || sk_db_trial_fault(t) || (best && carried_order(c, best) <= 0))
            continue;
        if (!out->trial_id && of_final(t) && t->base[0])
            continue;
        if (out->trial_id && (t->id != out->trial_id || strcmp(c->winner->run_id, out->run_id)))
            continue;
        best = c;
        at = t;
    }
    if (!best)
        return;
    if (out->trial_id) {
        out->noisy = best->winner->noisy;
        out->drift = best->winner->drift;
        return;
    }
    const sk_db_trial *base = trial_of(trial, count, best->base);
    *out = *best->winner;
    out->trial_id = at->id;
    out->default_trial_id = base ? base->id : 0;
}

static sk_status drop_winner(sk_db *db, int64_t trial_id, sk_err *err)
{
    sk_query q = sk_query_begin(db, SK_STMT_MERGE_DROP,
                                "DELETE FROM winner WHERE id IN (SELECT w.id FROM winner w"
                                " JOIN trial t ON t.spec_id = w.spec_id AND"
                                " t.device_id = w.device_id AND t.shape_id = w.shape_id"
                                " WHERE t.id = ?)");
    sk_query_int(&q, trial_id);
    sk_query_step(&q);
    return sk_query_end(&q, "dropping a winner", err);
}

static sk_status settle(merge *m, const sk_db_trial *const *trial, size_t count, sk_err *err)
{
    sk_db_winner winner = {0};
    int64_t id;
    sk_status st = m->judge(m->user, trial, count, &m->mem, &winner, err);
    if (st == SPHKV_OK)
        take_carried(m, trial, count, &winner);
    if (st != SPHKV_OK)
        return st;
    if (winner.trial_id == 0)
        return drop_winner(m->into, trial[0]->id, err);
    m->out->winners++;
    return sk_db_winner_write(m->into, &winner, &id, err);
}

static int by_problem(const void *pa, const void *pb)
{
    const sk_db_trial *a = *(const sk_db_trial *const *)pa, *b = *(const sk_db_trial *const *)pb;
    const int c = sk_db_problem_order(a, b);
    return c ? c : strcmp(a->trial_hash, b->trial_hash);
}

static sk_status settle_all(merge *m, sk_err *err)
{
    sk_db_trial *all;
    size_t n;
    sk_status st = sk_db_trials_read(m->into, NULL, &m->mem, &all, &n, err);
    const sk_db_trial **sorted = sk_arena_alloc(&m->mem, (n + 1) * sizeof *sorted);
    if (st == SPHKV_OK && !sorted)
        st = sk_fail(err, SPHKV_ENOMEM, "out of memory");
    if (st != SPHKV_OK)
        return st;
    m->out->trials = n;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &all[i];
    if (n)
        qsort(sorted, n, sizeof *sorted, by_problem);
    for (size_t i = 0, end; i < n && st == SPHKV_OK; i = end) {
        for (end = i + 1; end < n && sk_db_problem_order(sorted[i], sorted[end]) == 0;)
            end++;
        st = settle(m, sorted + i, end - i, err);
    }
    return st;
}

/* ---- all of it ---------------------------------------------------------------------- */

static int by_id(const void *key, const void *element)
{
    const int64_t id = *(const int64_t *)key, at = ((const sk_db_trial *)element)->id;
    return id < at ? -1 : id > at;
}

static sk_status read_source(merge *m, sk_db *db, source *s, sk_err *err)
{
    s->db = db;
    sk_status st = sk_db_trials(db, NULL, &m->mem, &s->trial, &s->trials, err);
    if (st == SPHKV_OK)
        st = sk_db_winners(db, NULL, &m->mem, &s->winner, &s->winners, err);
    m->carrieds += s->winners;
    return st;
}

static sk_status list_carried(merge *m, sk_err *err)
{
    size_t n = 0;
    m->carried = sk_arena_alloc(&m->mem, (m->carrieds + 1) * sizeof *m->carried);
    if (!m->carried)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    for (size_t i = 0; i < m->sources; i++) {
        const source *s = &m->source[i];
        for (size_t k = 0; k < s->winners; k++) {
            const sk_db_trial *base =
                s->trials ? bsearch(&s->winner[k].default_trial_id, s->trial, s->trials,
                                    sizeof *s->trial, by_id)
                          : NULL;
            m->carried[n++] = (carried){&s->winner[k], base ? base->trial_hash : ""};
        }
    }
    return SPHKV_OK;
}

static sk_status write_all(merge *m, sk_err *err)
{
    sk_status st = sk_db_begin(m->into, err);
    if (st != SPHKV_OK)
        return st;
    for (size_t i = 0; i + 1 < m->sources && st == SPHKV_OK; i++) {
        st = merge_trials(m, &m->source[i], err);
        if (st == SPHKV_OK)
            st = sk_db_defaults_merge(m->into, m->source[i].db, &m->out->damaged, err);
    }
    if (st == SPHKV_OK)
        st = settle_all(m, err);
    return sk_db_finish(m->into, st, err);
}

sk_status sk_db_merge(sk_db *db, sk_db *const *from, size_t count, sk_db_judge judge, void *user,
                      sk_db_merged *out, sk_err *err)
{
    merge m = {.into = db, .sources = count + 1, .judge = judge, .user = user, .out = out};
    memset(out, 0, sizeof *out);
    sk_status st = sk_db_need_write(db, err);
    m.source = st == SPHKV_OK ? sk_arena_alloc(&m.mem, m.sources * sizeof *m.source) : NULL;
    if (st == SPHKV_OK && !m.source)
        st = sk_fail(err, SPHKV_ENOMEM, "out of memory");
    for (size_t i = 0; i <= count && st == SPHKV_OK; i++)
        st = read_source(&m, i < count ? from[i] : db, &m.source[i], err);
    if (st == SPHKV_OK)
        st = list_carried(&m, err);
    if (st == SPHKV_OK) {
        pthread_mutex_lock(&db->lock);
        st = write_all(&m, err);
        pthread_mutex_unlock(&db->lock);
    }
    sk_arena_free(&m.mem);
    return st;
}
