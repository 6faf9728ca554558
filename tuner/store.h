/* store.h - the tuner's view of the database: trials found and put, winners
 * with their code, one tuner at a time per trial.
 *
 * Every trial is committed as it ends, so whatever kills the tuner loses at most
 * the one that was running. Two tuners on one database do not repeat each
 * other: a trial is tried under a lock of its own (lock.h) and looked up again once
 * that is held. */
#ifndef SK_STORE_H
#define SK_STORE_H

#include "job.h"
#include "lock.h"

typedef struct sk_store {
    sk_db *db;
    bool memory_only;          /* nothing will be kept */
    const sk_device *device;
    sk_db_device record;       /* the device as the database sees it */
    char compiler[96];         /* part of the keys of what it made; "" until it is known */
    char driver[16];           /* of a GPU: "12.4"; else "" */
    char run_id[40];           /* of this command */
    uint64_t seed;
    bool fresh;                /* records of other runs count for nothing */
    sk_lock lock;
    char warning[256];         /* "" or one line for the user */
} sk_store;

/* path NULL: the default place; there an unwritable folder means memory only and
 * a warning. A database that was named and cannot be used is an error. */
sk_status sk_store_open(const char *path, const sk_device *device, uint64_t seed, bool fresh,
                        sk_store *out, sk_err *err);
void sk_store_close(sk_store *store);

/* What became of a candidate. */
typedef struct sk_tried {
    uint32_t index;          /* in the space */
    sk_db_outcome outcome;
    char message[400];
    double error;
    char error_kind[24];
    double median_us;        /* 0 = not measured */
    double ratio;            /* median of default over candidate, pair by pair; 0 = not measured */
    uint32_t samples;
    double sample[SK_ROUNDS_MOST], baseline[SK_ROUNDS_MOST];
    double bandwidth_gbps, roofline;
    double seconds;
    int64_t id;              /* row, once stored */
    bool found;              /* of an earlier run */
    char code[65];           /* SHA-256 of the code that was compiled now; "" = not known */
    bool twin;               /* the code of another one, whose times these are */
} sk_tried;

/* SPHKV_ENOTFOUND: not tried yet, ended for want of memory, or fresh and tried by
 * another run. */
sk_status sk_store_find(sk_store *store, const sk_job *job, uint32_t index, sk_tried *out,
                        sk_err *err);
/* Candidates with a trial in the database, resolved, in the order of their first
 * record, the default in front (also when it has none). *index lies in mem. Where no
 * compiler is known, that of the last record counts as the store's. */
sk_status sk_store_known(sk_store *store, sk_job *job, sk_arena *mem, uint32_t **index,
                         size_t *count, sk_err *err);
/* Candidates whose schedules won for this kernel elsewhere (another spec, shape or device),
 * at most `most`, each once, the most similar problem first. */
sk_status sk_store_similar(sk_store *store, const sk_job *job, uint32_t most, uint32_t *index,
                           uint32_t *count, sk_err *err);
/* code: to be kept with it, or NULL. Sets id. */
sk_status sk_store_put(sk_store *store, const sk_job *job, sk_tried *tried,
                       const sk_db_artifact *code, sk_err *err);

typedef struct sk_win {
    const sk_tried *winner, *base;
    sk_interval speedup;
    const char *ties; /* schedules, separated by semicolons */
    double default_us;
    double flip_risk, noisy, drift; /* see db.h */
} sk_win;
sk_status sk_store_win(sk_store *store, const sk_win *win, sk_err *err);
/* The stored winner of the job's key; SPHKV_ENOTFOUND, also when its code would
 * not be used. Texts in mem. */
sk_status sk_store_winner(sk_store *store, const sk_job *job, sk_arena *mem, sk_db_winner *out,
                          sk_err *err);

/* false: another tuner is at this trial. */
bool sk_store_lock(sk_store *store, const sk_job *job, uint32_t index);
void sk_store_unlock(sk_store *store, const sk_job *job, uint32_t index);

/* Median of top[i] / bottom[i]. */
double sk_tried_ratio(const double *top, const double *bottom, uint32_t n);

#endif
