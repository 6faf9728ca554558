/* db_case.h - records for the tests of db/, made up but well-formed. Static
 * inline: included by the test_db_ programs only. */
#ifndef DB_CASE_H
#define DB_CASE_H

#include "db.h"

/* 1 and 2 share an arch; 3 is of another. */
static inline const sk_db_device *db_case_device(int which)
{
    static const sk_db_device device[] = {
        {"cpu", "first", "x86_64+avx2+f16c+fma", "cpu:first;cores=2", "cc 1"},
        {"cpu", "second", "x86_64+avx2+f16c+fma", "cpu:second;cores=64", "cc 2"},
        {"cpu", "third", "aarch64+dotprod", "cpu:third;cores=8", "cc 3"},
    };
    return &device[which - 1];
}

static inline sk_db_artifact db_case_code(const char *ir_hash, size_t size)
{
    static uint8_t bytes[1 << 16];
    for (size_t i = 0; i < sizeof bytes && bytes[sizeof bytes - 1] == 0; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251 + 1);
    return (sk_db_artifact){.kind = "obj",
                            .entries = "sk_attn_decode,sk_attn_merge",
                            .launch = "{\"registers\":12}",
                            .ir_hash = ir_hash,
                            .bytes = bytes,
                            .size = size};
}

static inline sk_db_trial db_case_trial(int device, const char *schedule, const char *ir_hash)
{
    return (sk_db_trial){
        .key = {.device = db_case_device(device),
                .kernel = "attn_decode",
                .spec = "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
                .shape = {.batch = 1, .context = 1024, .kv_heads = 8, .q_heads = 32, .q_len = 1,
                          .threads = 2},
                .schedule = schedule,
                .ir_hash = ir_hash,
                .accuracy = "tight",
                .run_kind = "measure"},
        .outcome = SK_OUTCOME_OK,
        .message = "",
        .median_us = 12.5,
        .error = 1.5e-4,
        .error_kind = "S1 rms",
        .bytes = 123456,
        .bandwidth_gbps = 20.5,
        .roofline = 0.75,
        .seed = 42,
        .tool_version = "0",
        .compiler_version = "cc 1",
        .driver_version = "",
        .seconds = 0.5,
        .run_id = "run-1",
    };
}

/* A trial with `code` bytes of code (0: none) and the winner on top of it; the
 * winner's row, or 0 when a put failed. */
static inline int64_t db_case_winner(sk_db *db, int device, uint32_t context,
                                     const char *schedule, const char *ir_hash, size_t code,
                                     double speedup)
{
    sk_db_artifact artifact = db_case_code(ir_hash, code);
    sk_db_trial trial = db_case_trial(device, schedule, ir_hash);
    trial.key.shape.context = context;
    trial.artifact = code ? &artifact : NULL;
    int64_t trial_id = 0, id = 0;
    if (sk_db_trial_put(db, &trial, &trial_id, NULL) != SPHKV_OK)
        return 0;
    sk_db_winner winner = {.trial_id = trial_id,
                           .default_trial_id = trial_id,
                           .speedup = speedup,
                           .speedup_lo = speedup * 0.9,
                           .speedup_hi = speedup * 1.1,
                           .ties = "",
                           .default_us = 25,
                           .roofline = 0.75,
                           .run_id = "run-1"};
    return sk_db_winner_put(db, &winner, &id, NULL) == SPHKV_OK ? id : 0;
}

#endif
