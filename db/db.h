/* db.h - the store of trials, winners and compiled code.
 *
 * Why: tuning is minutes, a look-up is microseconds, and what was learnt must
 * survive crashes, upgrades and damaged files. The store knows no device and
 * no compiler: everything it keeps is text, numbers and bytes that the floors
 * above understand.
 *
 * Ownership: pointers in a struct given to a function are the caller's and
 * only read. Everything a function hands out lies in the sk_arena that the
 * caller passed, and lives until sk_arena_free. NULL text is stored as "".
 *
 * Errors: SPHKV_EDB damaged, foreign or too new (the message names the file
 * and what to do); SPHKV_EIO the system refused, or another process held the
 * lock for longer than the timeout; SPHKV_ENOTFOUND; SPHKV_ENOMEM;
 * SPHKV_EINVAL the caller's record is incomplete. A failed put changed nothing.
 *
 * Durability: every put is one short transaction, committed before it
 * returns: SIGKILL afterwards loses nothing, putting again is harmless.
 * The rollback journal is used, never WAL: a database in WAL mode cannot be
 * read from a read-only folder and loses data when copied without its -wal.
 *
 * Threads and processes: a handle may be used from several threads (one lock
 * inside), several processes may have one file open. A handle must not be
 * used across fork: open after it. */
#ifndef SK_DB_H
#define SK_DB_H

#include "base.h"

#define SK_DB_APPLICATION_ID 0x53504b56 /* "SPKV" */

typedef struct sk_db sk_db;

/* ---- one database ------------------------------------------------------ */

#define SK_DB_READ_ONLY 1u /* never writes; sees what other processes commit */
#define SK_DB_CREATE 2u    /* makes the file and its parent folders when absent */
#define SK_DB_IMMUTABLE 4u /* implies READ_ONLY: installed file that nobody changes;
                              works in read-only folders, takes no locks */

/* Opens, checks (magic, version, quick_check) and, unless read-only, migrates
 * to the present schema. path ":memory:" (with CREATE) is a private database
 * that goes with the handle. Absent and no CREATE: SPHKV_ENOTFOUND. */
sk_status sk_db_open(const char *path, uint32_t flags, sk_db **out, sk_err *err);
void sk_db_close(sk_db *db); /* NULL is fine */
const char *sk_db_path(const sk_db *db);
bool sk_db_is_read_only(const sk_db *db);

/* $SPHKV_DB, else $XDG_CACHE_HOME/sphkv/kernels.db, else
 * ~/.cache/sphkv/kernels.db. The caller frees *path with sk_free. ENOTFOUND
 * when none of the variables is set. Empty variables count as not set. */
sk_status sk_db_default_path(char **path, sk_err *err);

/* ---- what is stored ----------------------------------------------------- */

/* The silicon (and, if the maker of the fingerprint says so, the toolchain)
 * that a record is true for. */
typedef struct sk_db_device {
    const char *kind;        /* "cpu", "cuda" */
    const char *name;        /* for people */
    const char *arch;        /* what code must match: "x86_64+avx2+f16c+fma" */
    const char *fingerprint; /* canonical text; its SHA-256 is the key */
    const char *toolchain;   /* for people: compilers of the first record */
} sk_db_device;

/* What only steers the choice. Canonical text: sk_db_shape_text. */
typedef struct sk_db_shape {
    uint32_t batch, context, kv_heads, q_heads;
    uint32_t q_len;   /* 0 counts as 1 */
    uint32_t threads; /* 0 on devices where it means nothing */
} sk_db_shape;
#define SK_DB_SHAPE_TEXT 96
/* "batch=1,context=32768,kv_heads=8,q_heads=32,q_len=1,threads=2" */
void sk_db_shape_text(const sk_db_shape *shape, char text[SK_DB_SHAPE_TEXT]);

/* Compiled code, content-addressed by the SHA-256 of all its fields. */
typedef struct sk_db_artifact {
    const char *kind;        /* "obj", "cubin", "ptx" */
    const char *entries;     /* symbols, separated by commas */
    const char *launch;      /* launch facts, JSON text */
    const char *ir_hash;     /* hex, the IR it was compiled from */
    uint32_t format_version; /* SPHKV_FORMAT_VERSION; 0 is filled in by put */
    uint32_t args_version;   /* SPHKV_ARGS_VERSION; 0 is filled in by put */
    const void *bytes;       /* NULL: the code itself is not stored (recipe) */
    size_t size;
} sk_db_artifact;
void sk_db_artifact_key(const sk_db_artifact *artifact, char hex[65]);

/* Outcomes, in the database as the words of sk_db_outcome_text. */
typedef enum sk_db_outcome {
    SK_OUTCOME_OK = 0,        /* ran, and its result was right */
    SK_OUTCOME_WRONG,         /* ran, result outside its class */
    SK_OUTCOME_CRASH,         /* the worker died of a signal */
    SK_OUTCOME_HANG,          /* over its time limit */
    SK_OUTCOME_ILLEGAL,       /* illegal instruction or address, redzone hit */
    SK_OUTCOME_COMPILE_ERROR, /* the compiler or the verifier refused */
    SK_OUTCOME_OOM,           /* memory */
    SK_OUTCOME_INVALID,       /* valid() said no */
    SK_OUTCOME_SKIPPED,       /* not tried: budget, or pruned; message says why */
    SK_OUTCOME_COUNT
} sk_db_outcome;
const char *sk_db_outcome_text(sk_db_outcome outcome);
bool sk_db_outcome_parse(const char *text, sk_db_outcome *outcome);

/* The run kinds: of one that ran and was measured, and of a trial that never ran: a model says how long it would take
 * (median_us). Its outcome is SK_OUTCOME_SKIPPED, and it may be a winner all the
 * same: the best that is known of a device nobody has tuned on. */
#define SK_DB_PREDICT "predict"
#define SK_DB_MEASURE "measure"

/* What identifies a trial. All of it is in its key; the same key again is the
 * same trial, so a restarted run finds what is done. */
typedef struct sk_db_trial_key {
    const sk_db_device *device;
    const char *kernel;   /* "attn_decode" */
    const char *spec;     /* canonical text */
    sk_db_shape shape;
    const char *schedule; /* canonical "k=v,k=v" */
    const char *ir_hash;  /* hex; "" when no IR could be built */
    const char *accuracy; /* "exact", "tight", "fast" */
    const char *run_kind; /* "measure", "simulate", SK_DB_PREDICT ... */
    const char *compiler; /* that made the code; "" when none had a say in the outcome */
} sk_db_trial_key;
/* The key in one word, the same in every database. */
void sk_db_trial_hash(const sk_db_trial_key *key, char hex[65]);

typedef struct sk_db_trial {
    sk_db_trial_key key;
    sk_db_outcome outcome;
    const char *message;      /* one line; "" when there is nothing to say */
    const double *samples;    /* raw microseconds, in the order taken */
    size_t sample_count;
    const double *baseline;   /* the incumbent's, paired with samples */
    size_t baseline_count;
    const char *base;         /* hash of the trial of the default schedule that `baseline`
                                 are times of; "" when not known */
    double median_us;         /* 0 when not measured */
    double error;             /* measured; negative when not */
    const char *error_kind;   /* "S1 rms", "adversarial", "vs default", "distance" */
    uint64_t bytes;           /* must be read or written once */
    double bandwidth_gbps;    /* bytes over time */
    double roofline;          /* share of the sweep's bandwidth; 0 when unknown */
    uint64_t seed;
    const char *tool_version, *compiler_version, *driver_version;
    int64_t unix_time;        /* 0 is filled in by put */
    double seconds;           /* what the trial cost */
    const char *run_id;       /* the command that made it */
    const sk_db_artifact *artifact; /* NULL: code not kept. Lists hand out NULL;
                                       read it with sk_db_trial_artifact */
    /* Handed out, ignored by put. */
    int64_t id;               /* row, valid in this database only */
    char trial_hash[65];      /* SHA-256 of the key, the same in every database */
    char artifact_key[65];    /* "" when no artifact is linked */
} sk_db_trial;

/* The best trial of a (device, kernel, spec, shape), derived from trials of
 * the same database. */
typedef struct sk_db_winner {
    int64_t trial_id;         /* from sk_db_trial_put or _find; must be ok, or predicted */
    int64_t default_trial_id; /* the default schedule's trial; may be trial_id */
    double speedup;           /* median paired ratio to the default; 1 when it wins */
    double speedup_lo, speedup_hi; /* its confidence interval */
    const char *ties;         /* schedules that could as well have won, "a=1,b=2;a=2,b=2" */
    double default_us;        /* median of the default schedule */
    double roofline;
    double flip_risk;         /* of another winner if the final were run again; NAN = not known */
    double noisy, drift;      /* of the final (schema_3.sql); NAN = not known */
    const char *run_id;
    int64_t unix_time;        /* 0 is filled in by put */
    /* Handed out, ignored by put. */
    int64_t id;
    sk_db_trial trial;        /* the winning trial, samples included */
    const char *state;        /* "ready"; "recipe": schedule without code; else
                                 why a look-up would not use it: "stale: ..." */
} sk_db_winner;

/* ---- putting (user database only: SPHKV_EIO on a read-only one) ---------- */

/* Stores or replaces the trial of that key, with its artifact when there is
 * one (an artifact stored before is kept when `artifact` is NULL). *id may be
 * NULL. Trials with an artifact should be few: pass it for winners-to-be, or
 * link it later with sk_db_trial_link. */
sk_status sk_db_trial_put(sk_db *db, const sk_db_trial *trial, int64_t *id, sk_err *err);
sk_status sk_db_trial_link(sk_db *db, int64_t trial_id, const sk_db_artifact *artifact,
                           sk_err *err);
/* Replaces the winner of the same device, kernel, spec and shape; trials of other runs than
 * the winner's lose their `base`: what their finals said is no longer true. */
sk_status sk_db_winner_put(sk_db *db, const sk_db_winner *winner, int64_t *id, sk_err *err);

/* ---- reading one database ------------------------------------------------ */

/* ENOTFOUND when that trial was never finished. */
sk_status sk_db_trial_find(sk_db *db, const sk_db_trial_key *key, sk_arena *mem,
                           sk_db_trial *out, sk_err *err);
/* The code of a trial; hash checked (SPHKV_EDB when it does not match). */
sk_status sk_db_trial_artifact(sk_db *db, int64_t trial_id, sk_arena *mem, sk_db_artifact *out,
                               sk_err *err);

/* NULL or 0 = any. */
typedef struct sk_db_filter {
    const sk_db_device *device; /* by its fingerprint */
    const char *kernel;
    const char *spec;           /* exact canonical text */
    const sk_db_shape *shape;
    const char *run_id;
    int64_t id;                 /* row id of a trial, or of a winner */
} sk_db_filter;

/* Arrays in mem, ordered by id (trials) and by kernel, spec, shape, device
 * (winners). *out is NULL when *count is 0. */
sk_status sk_db_trials(sk_db *db, const sk_db_filter *filter, sk_arena *mem, sk_db_trial **out,
                       size_t *count, sk_err *err);
sk_status sk_db_winners(sk_db *db, const sk_db_filter *filter, sk_arena *mem, sk_db_winner **out,
                        size_t *count, sk_err *err);

/* Sorts trials by what is tuned: kernel, spec, shape, device. 0: of one problem, which
 * has one winner at most. */
int sk_db_problem_order(const sk_db_trial *a, const sk_db_trial *b);

/* ---- uniting (db_merge.c) -------------------------------------------------- */

#define SK_DB_FINAL 30u /* pairs of times, at least, of a trial that was in a final */

/* Names the winner among all trials of a problem, sorted by their hashes: out with
 * trial_id, or 0 when none of them says enough. Texts of out live in mem. */
typedef sk_status (*sk_db_judge)(void *user, const sk_db_trial *const *trial, size_t count,
                                 sk_arena *mem, sk_db_winner *out, sk_err *err);

typedef struct sk_db_merged {
    size_t trials;            /* in db, afterwards */
    size_t added, replaced;   /* of them: new to db; with another record than db had */
    size_t winners;           /* in db, afterwards */
    size_t damaged;           /* records, or code of one, that were left out */
} sk_db_merged;

/* Puts all records of `from` (not of db's own file) into db, in one transaction. A trial
 * is one by its hash, so compilers, devices and versions of the IR stand side by side.
 * Of two records of one trial stays: a wrong result before all others; then one of a
 * final; then the later; then the one with the greater hash of its content. Their code is
 * chosen apart from that, the greater key. Winners are named anew by the judge; where it
 * names none, the latest of the winners at hand stays, measured before predicted. So
 * the result depends neither on the order nor on how often a database comes in. */
sk_status sk_db_merge(sk_db *db, sk_db *const *from, size_t count, sk_db_judge judge, void *user,
                      sk_db_merged *out, sk_err *err);

/* ---- overlay: one user database over read-only system databases ---------- */

typedef struct sk_db_set {
    sk_db *user;        /* never NULL after opening; maybe a ":memory:" one */
    bool memory_only;   /* the user database could not be used */
    sk_db **system;     /* in search order */
    size_t system_count;
    char warning[512];  /* "" or one line: what could not be used and why */
} sk_db_set;

#define SK_DB_SET_READ_ONLY 1u /* the user database is only read */

/* user_path NULL: the default path. system_dir NULL: none, else every *.db in
 * it, by name. Files that cannot be used are left out with a line in
 * `warning` (the first reason, and how many more). Fails only for ENOMEM. */
sk_status sk_db_set_open(const char *user_path, const char *system_dir, uint32_t flags,
                         sk_db_set **out, sk_err *err);
void sk_db_set_close(sk_db_set *set); /* NULL is fine */

typedef enum sk_match {
    SK_MATCH_NONE = 0,
    SK_MATCH_EXACT,      /* this device, this shape */
    SK_MATCH_NEAR_SHAPE, /* this device, the nearest shape */
    SK_MATCH_ARCH,       /* another device of the same kind and arch, nearest shape */
    SK_MATCH_PREDICTED   /* of the arch, chosen by a model and never run, nearest shape */
} sk_match;
const char *sk_match_text(sk_match match);

typedef struct sk_db_best_result {
    sk_match match;
    const char *schedule;    /* canonical text; the caller still asks valid() */
    const char *ir_hash;
    const char *accuracy;
    sk_db_artifact artifact; /* bytes NULL: only the schedule is known */
    sk_db_shape shape;       /* of the record */
    double distance;         /* sum of |log2| ratios of the shapes; 0 = same */
    const char *device_name; /* of the record */
    const char *source;      /* path of the database it came from */
    double median_us, speedup, roofline, error;
    int64_t trial_id, winner_id; /* rows in `source` */
    char reason[256];        /* "" or why the first better record was passed over */
} sk_db_best_result;

#define SK_BEST_NEED_CODE 1u /* pass over records without artifact bytes */

/* SPHKV_OK with SK_MATCH_NONE when nothing fits. Damaged, stale or mismatching
 * records are passed over and named in `reason`; a failing database counts as
 * empty. The only error is SPHKV_ENOMEM (and EINVAL for missing input). */
sk_status sk_db_best(sk_db_set *set, const sk_db_device *device, const char *kernel,
                     const char *spec, const sk_db_shape *shape, uint32_t flags, sk_arena *mem,
                     sk_db_best_result *out, sk_err *err);

/* The same look-up, where the caller has the last word: each candidate that
 * passes its own checks is shown to `use`, best first. SPHKV_OK takes it;
 * SPHKV_ENOMEM ends the look-up; anything else passes it over, with the message
 * of `why` in `reason` when it is the first. No lock is held around `use`. */
typedef sk_status (*sk_db_use)(void *user, const sk_db_best_result *candidate, sk_err *why);
sk_status sk_db_best_use(sk_db_set *set, const sk_db_device *device, const char *kernel,
                         const char *spec, const sk_db_shape *shape, uint32_t flags, sk_db_use use,
                         void *user, sk_arena *mem, sk_db_best_result *out, sk_err *err);

/* Verified default schedules, kept so that they compile once. Keyed by the
 * device's kind and arch, spec and ir_hash (that of the artifact). */
sk_status sk_db_default_put(sk_db_set *set, const sk_db_device *device, const char *kernel,
                            const char *spec, const char *schedule,
                            const sk_db_artifact *artifact, sk_err *err);
/* ENOTFOUND: none (the message is SK_DB_NO_DEFAULT), or none that passes its
 * checks (the message says why). */
#define SK_DB_NO_DEFAULT "no default kernel is kept for this spec"
sk_status sk_db_default_get(sk_db_set *set, const sk_db_device *device, const char *kernel,
                            const char *spec, const char *ir_hash, sk_arena *mem,
                            sk_db_artifact *out, sk_err *err);

#endif
