/* dl_options.h - what the user asked for, and how results are told. */
#ifndef DL_OPTIONS_H
#define DL_OPTIONS_H

#include "dl_cache.h"
#include "dl_dense.h"

#include <cjson/cJSON.h>

#define DL_MIXES 16 /* --tiers may be given so often */

typedef struct dl_options {
    dl_setup setup;           /* tiers is mix[0] */
    const char *mix[DL_MIXES];
    uint32_t mixes;
    const char *model;        /* name, or NULL */
    uint32_t threads;
    uint32_t prefill;         /* --context */
    uint32_t steps;
    uint32_t check;           /* every so many steps; 0 = never */
    uint64_t seed;
    bool json, selftest, help;
    /* trained mode */
    const char *weights, *text;
    const char *train_text;   /* NULL: other windows of the text */
    const char *codebooks;    /* "train", "default" or a folder */
    const char *save;         /* a folder, or NULL */
    uint32_t windows, window; /* how many, of how many bytes */
    uint32_t train_windows;
    bool reference;           /* --reference double */
} dl_options;

/* Reads the command line; SPHKV_EINVAL with one line when it is wrong. */
sphkv_status dl_options_read(int argc, char **argv, dl_options *o, sphkv_error *err);
void dl_options_help(void);
const char *dl_accuracy_name(uint32_t accuracy);

/* 0 done, 2 input, 3 device, 4 database, 5 verification, 1 anything else. */
int dl_exit_code(sphkv_status status);

/* ---- the modes ------------------------------------------------------------ */

/* Generated keys, values and queries, timed and checked. `json` takes what was
 * found; it is NULL when text is wanted. */
sphkv_status dl_synthetic(const dl_options *o, dl_team *team, cJSON *json, sphkv_error *err);
/* Prefill and steps, in one go and token by token, give the same pages. */
sphkv_status dl_selftest(const dl_options *o, dl_team *team, cJSON *json, sphkv_error *err);
/* A trained model over text. */
sphkv_status dl_trained(const dl_options *o, dl_team *team, cJSON *json, sphkv_error *err);

/* One step of generated keys and values for every sequence of a layer. */
void dl_synthetic_rows(const dl_cache *cache, uint64_t seed, uint32_t layer, uint32_t first,
                       uint32_t count, float *k, float *v);
void dl_synthetic_query(const dl_cache *cache, uint64_t seed, uint32_t layer, uint32_t at,
                        float *q);

/* How plans were found: lines of text, or "plans" of the object. */
void dl_tell_plans(const dl_cache *cache, cJSON *json);

#endif
