/* decode_loop.c - an engine in miniature: what the decode step of a host engine
 * does, on sphkv.h alone (cJSON reads a model's files and writes results).
 *
 * Two modes: generated keys and values, timed and compared with attention in
 * double; and a small trained model of Llama form, run byte by byte over text,
 * with sphkv as its only attention. The parts are in decode_loop/:
 *   dl_cache*     a paged cache: plans, arenas, lists, coding of full pages
 *   dl_team       the engine's threads
 *   dl_dense      attention in double, the check
 *   dl_synthetic, dl_selftest          the first mode
 *   dl_llama*, dl_tensors, dl_trained  the second */
#include "dl_options.h"

#include <stdio.h>
#include <stdlib.h>

static sphkv_status run(const dl_options *o, cJSON *json, sphkv_error *err)
{
    dl_team *team = NULL;
    sphkv_status st = dl_team_open(o->threads, &team, err);
    if (st != SPHKV_OK)
        return st;
    if (o->weights)
        st = dl_trained(o, team, json, err);
    else
        st = (o->selftest ? dl_selftest : dl_synthetic)(o, team, json, err);
    dl_team_close(team);
    return st;
}

/* Asked at the end: a compiler that was ever loaded stays mapped. */
static void tell_libraries(cJSON *json)
{
    const int mapped = dl_library_mapped("libLLVM");
    const char *says = mapped < 0 ? "unknown" : mapped ? "mapped" : "not mapped";
    if (json)
        cJSON_AddStringToObject(json, "libLLVM", says);
    else
        printf("libLLVM: %s\n", says);
}

static int finish_json(cJSON *json, sphkv_status st, const sphkv_error *err)
{
    if (st != SPHKV_OK)
        cJSON_AddStringToObject(json, "error", err->message);
    char *text = cJSON_Print(json);
    if (text)
        puts(text);
    free(text);
    cJSON_Delete(json);
    return text ? 0 : 1;
}

int main(int argc, char **argv)
{
    dl_options o;
    sphkv_error err = {0};
    dl_begin();
    sphkv_status st = dl_options_read(argc, argv, &o, &err);
    cJSON *json = st == SPHKV_OK && o.json && !o.help ? cJSON_CreateObject() : NULL;
    if (st == SPHKV_OK && o.help) {
        dl_options_help();
    } else if (st == SPHKV_OK) {
        st = run(&o, json, &err);
        if (st == SPHKV_OK || st == SPHKV_EVERIFY)
            tell_libraries(json);
    }
    if (json && finish_json(json, st, &err) != 0 && st == SPHKV_OK)
        st = dl_fail(&err, SPHKV_ENOMEM, "out of memory for the result");
    if (st == SPHKV_OK)
        st = dl_written(&err);
    if (st != SPHKV_OK)
        fprintf(stderr, "decode_loop: %s\n", err.message);
    return dl_exit_code(st);
}
