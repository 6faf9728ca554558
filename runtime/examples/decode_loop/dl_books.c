/* dl_books.c - where the codebook sets of a cache come from. Attention reads a
 * set of the whole mix, coding into one tier a set of "tier,tail". With one
 * coded tier they are the same bytes; with more they are made from the same
 * seed and keys, so the codewords of a tier agree (the self-test checks it). */
#include "dl_cache.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct source {
    const float *keys; /* NULL: data-free */
    size_t rows;
    uint64_t seed;
    const char *file; /* or loaded from here */
} source;

static sphkv_status make_set(const dl_cache *c, const sphkv_spec_params *spec, const source *from,
                             sphkv_codebook **out, sphkv_error *err)
{
    const uint32_t heads = c->setup.kv_heads;
    if (from->file)
        return sphkv_codebook_load(from->file, spec, heads, out, err);
    if (from->keys)
        return sphkv_codebook_train(spec, heads, from->keys, from->rows, from->seed, out, err);
    return sphkv_codebook_default(spec, heads, from->seed, out, err);
}

static sphkv_status make_sets(dl_cache *c, dl_layer *l, const source *from, sphkv_error *err)
{
    sphkv_codebook_free(l->book);
    l->book = NULL;
    sphkv_status st = make_set(c, &c->attn_spec, from, &l->book, err);
    for (uint32_t i = 0; st == SPHKV_OK && c->ntiers > 2 && i + 1 < c->ntiers; i++) {
        sphkv_codebook_free(l->tier_book[i]);
        l->tier_book[i] = NULL;
        st = make_set(c, &c->tier[i].spec, from, &l->tier_book[i], err);
    }
    return st;
}

bool dl_cache_is_coded(const dl_cache *c) { return c->ntiers > 1; }

sphkv_status dl_books_default(dl_cache *c, uint64_t seed, sphkv_error *err)
{
    sphkv_status st = SPHKV_OK;
    for (uint32_t i = 0; st == SPHKV_OK && i < c->setup.layers; i++)
        st = make_sets(c, &c->layer[i], &(source){.seed = dl_key(seed, i, 0, 0)}, err);
    return st;
}

sphkv_status dl_books_train(dl_cache *c, uint32_t layer, const float *keys, size_t rows,
                            uint64_t seed, sphkv_error *err)
{
    const source from = {.keys = keys, .rows = rows, .seed = dl_key(seed, layer, 0, 0)};
    return make_sets(c, &c->layer[layer], &from, err);
}

static bool file_name(char name[1024], const char *dir, uint32_t layer)
{
    return snprintf(name, 1024, "%s/layer-%u.safetensors", dir, layer) < 1024;
}

sphkv_status dl_books_load(dl_cache *c, const char *dir, sphkv_error *err)
{
    char name[1024];
    sphkv_status st = SPHKV_OK;
    for (uint32_t i = 0; st == SPHKV_OK && i < c->setup.layers; i++)
        st = file_name(name, dir, i) ? make_sets(c, &c->layer[i], &(source){.file = name}, err)
                                     : dl_fail(err, SPHKV_EINVAL, "%.200s...: too long", dir);
    return st;
}

sphkv_status dl_books_save(const dl_cache *c, const char *dir, sphkv_error *err)
{
    char name[1024];
    sphkv_status st = SPHKV_OK;
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return dl_fail(err, SPHKV_EIO, "%.300s: %s", dir, strerror(errno));
    for (uint32_t i = 0; st == SPHKV_OK && i < c->setup.layers; i++)
        st = file_name(name, dir, i) ? sphkv_codebook_save(c->layer[i].book, name, err)
                                     : dl_fail(err, SPHKV_EINVAL, "%.200s...: too long", dir);
    return st;
}
