/* dl_selftest.c - pages must not depend on the order of arrival: a cache filled
 * in one prefill, one filled token by token and one filled in uneven pieces hold
 * the same bits. Also: codewords of a tier are the same in the set of the mix
 * and in the set of that tier alone, which coding and attention rely on. */
#include "dl_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How tokens arrive. */
typedef enum arrival { AT_ONCE, ONE_BY_ONE, UNEVEN } arrival;

static uint32_t piece(arrival how, uint32_t at, uint32_t rest)
{
    uint32_t n = how == AT_ONCE ? rest : how == ONE_BY_ONE ? 1 : at % 53 + 1;
    return n < rest ? n : rest;
}

static sphkv_status fill(dl_cache *c, const dl_options *o, arrival how, sphkv_error *err)
{
    const size_t tokens = o->setup.context;
    const size_t n = c->batch * tokens * c->setup.kv_heads * c->setup.head_dim;
    float *k = NULL, *v = NULL;
    sphkv_status st = SPHKV_OK;
    dl_new(&k, n, sizeof *k, &st, err);
    dl_new(&v, n, sizeof *v, &st, err);
    if (st == SPHKV_OK)
        st = dl_books_default(c, o->seed, err);
    for (uint32_t i = 0; st == SPHKV_OK && i < c->setup.layers; i++)
        for (uint32_t at = 0, count; st == SPHKV_OK && at < tokens; at += count) {
            count = piece(how, at, (uint32_t)tokens - at);
            dl_synthetic_rows(c, o->seed, i, at, count, k, v);
            st = dl_cache_append(c, i, k, v, count, err);
        }
    free(k);
    free(v);
    return st;
}

/* Every byte of a tier's own set is found, as one run, in the mix's. */
static sphkv_status compare_books(const dl_cache *c, sphkv_error *err)
{
    for (uint32_t i = 0; i < c->setup.layers; i++)
        for (uint32_t t = 0; t < SPHKV_MAX_TIERS; t++) {
            const sphkv_codebook *own = c->layer[i].tier_book[t];
            size_t small = 0, large = 0;
            const char *part = own ? sphkv_codebook_data(own, &small, NULL) : NULL;
            const char *whole = own ? sphkv_codebook_data(c->layer[i].book, &large, NULL) : NULL;
            if (!part || small == 0)
                continue;
            for (uint32_t h = 0; h < c->setup.kv_heads; h++) {
                bool found = false;
                for (size_t at = 0; !found && at + small <= large; at += 16)
                    found = memcmp(whole + h * large + at, part + h * small, small) == 0;
                if (!found)
                    return dl_fail(err, SPHKV_EVERIFY, "layer %u, KV head %u: codewords of %s are "
                                   "not those of the mix", i, h, c->tier[t].text);
            }
        }
    return SPHKV_OK;
}

sphkv_status dl_selftest(const dl_options *o, dl_team *team, cJSON *json, sphkv_error *err)
{
    static const char *const says[] = {"at once", "one by one", "in uneven pieces"};
    dl_cache first = {0}, other = {0};
    double bytes, coded;
    sphkv_status st = dl_cache_open(&o->setup, team, &first, err);
    if (st == SPHKV_OK)
        st = fill(&first, o, AT_ONCE, err);
    if (st == SPHKV_OK)
        st = compare_books(&first, err);
    for (arrival how = ONE_BY_ONE; st == SPHKV_OK && how <= UNEVEN; how++) {
        sphkv_error why = {0};
        st = dl_cache_open(&o->setup, team, &other, err);
        if (st == SPHKV_OK)
            st = fill(&other, o, how, err);
        if (st == SPHKV_OK && (st = dl_cache_equal(&first, &other, &why)) != SPHKV_OK)
            dl_fail(err, st, "%u tokens %s differ from %s: %.400s", o->setup.context, says[how],
                    says[AT_ONCE], why.message);
        dl_cache_close(&other);
    }
    dl_cache_weigh(&first, &bytes, &coded);
    if (st == SPHKV_OK && json) {
        cJSON_AddStringToObject(json, "tiers", o->setup.tiers);
        cJSON_AddNumberToObject(json, "tokens", o->setup.context);
        cJSON_AddNumberToObject(json, "coded_share", coded);
        cJSON_AddTrueToObject(json, "same_bits");
        dl_tell_plans(&first, json);
    } else if (st == SPHKV_OK) {
        printf("%s: %u tokens x %u layers x %u lists, %.1f %% coded: the same bits at once, one by "
               "one and in uneven pieces\n", o->setup.tiers, o->setup.context, o->setup.layers,
               first.lists, 100 * coded);
    }
    dl_cache_close(&first);
    return st;
}
