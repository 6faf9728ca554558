/* test_code_codebook.c - codebook sets: data-free and trained ones, their place
 * in memory, the files they go through, and every way such a file can be bad. */
#include "sk_test.h"

#include <math.h>

#include "codebook.h"
#include "safetensors.h"

#define PARAMS(d, mix)                                                                             \
    {                                                                                              \
        .size = sizeof(sphkv_spec_params), .head_dim = d, .tiers = mix                             \
    }

static sphkv_codebook *make_default(const char *mix, uint32_t d, uint32_t heads, uint64_t seed)
{
    sphkv_spec_params params = PARAMS(d, mix);
    sphkv_codebook *cb;
    sk_err err = {0};
    sk_assert_ok(sphkv_codebook_default(&params, heads, seed, &cb, &err), &err);
    return cb;
}

static sphkv_codebook *make_trained(const char *mix, uint32_t d, uint32_t heads, const float *keys,
                                    size_t rows, uint64_t seed)
{
    sphkv_spec_params params = PARAMS(d, mix);
    sphkv_codebook *cb;
    sk_err err = {0};
    sk_assert_ok(sphkv_codebook_train(&params, heads, keys, rows, seed, &cb, &err), &err);
    return cb;
}

static size_t packed_bytes(const sphkv_codebook *cb)
{
    return (size_t)cb->head_bytes * cb->kv_heads;
}

/* Correlated keys: a few directions carry most of the length. */
static float *make_keys(uint64_t seed, uint32_t heads, uint32_t d, size_t rows)
{
    sk_rng rng;
    float *keys = sk_malloc(rows * heads * d * sizeof *keys);
    double *mix = sk_malloc((size_t)heads * d * 4 * sizeof *mix);
    sk_rng_seed(&rng, 77); /* the directions do not depend on the seed */
    for (size_t i = 0; i < (size_t)heads * d * 4; i++)
        mix[i] = sk_rng_normal(&rng);
    sk_rng_seed(&rng, seed);
    for (size_t r = 0; r < rows * heads; r++) {
        double z[4];
        for (uint32_t k = 0; k < 4; k++)
            z[k] = sk_rng_normal(&rng);
        for (uint32_t i = 0; i < d; i++) {
            double x = 0.3 * sk_rng_normal(&rng);
            for (uint32_t k = 0; k < 4; k++)
                x += z[k] * mix[(r % heads * d + i) * 4 + k];
            keys[r * d + i] = (float)x;
        }
    }
    sk_free(mix);
    return keys;
}

/* ---- coding error, plain ----------------------------------------------------- */

/* Adds |k|^2 and what is left of it when span `x` of one head is coded. */
static void code_span(const sphkv_codebook *cb, const sk_codebook_part *part, uint32_t head,
                      uint32_t first_group, const float *x, double sum[2])
{
    uint16_t words[SK_CODEBOOK_WORDS_MAX];
    double norm = 0, kc = 0, cc = 0;
    for (uint32_t i = 0; i < part->span_dims; i++)
        norm += (double)x[i] * (double)x[i];
    for (uint32_t j = 0; j < part->span_dims / part->g; j++) {
        double word[32] = {0};
        for (uint32_t n = 0; n < part->times; n++) {
            double best = INFINITY;
            uint32_t chosen = 0;
            sk_codebook_words_get(cb, part, head, (first_group + j) * part->times + n, words);
            for (uint32_t c = 0; c < part->codes; c++) {
                double off = 0;
                for (uint32_t i = 0; i < part->g; i++) {
                    double w = word[i] + (double)sk_f16_to_f32(words[c * part->g + i]);
                    double k = (double)x[j * part->g + i] / sqrt(norm);
                    off += (k - w) * (k - w);
                }
                chosen = off < best ? c : chosen;
                best = fmin(off, best);
            }
            for (uint32_t i = 0; i < part->g; i++)
                word[i] += (double)sk_f16_to_f32(words[chosen * part->g + i]);
        }
        for (uint32_t i = 0; i < part->g; i++) {
            kc += (double)x[j * part->g + i] * word[i];
            cc += word[i] * word[i];
        }
    }
    sum[0] += norm;
    sum[1] += norm - kc * kc / cc;
}

/* Relative error of tier 0 over all rows and heads, with least-squares radii. */
static double coding_error(const sphkv_codebook *cb, const float *keys, size_t rows)
{
    sk_codebook_part part;
    double sum[2] = {0, 0};
    assert_true(sk_codebook_part_get(cb, 0, &part));
    for (size_t r = 0; r < rows * cb->kv_heads; r++)
        for (uint32_t s = 0; s < part.groups * part.g / part.span_dims; s++)
            code_span(cb, &part, (uint32_t)(r % cb->kv_heads), s * (part.span_dims / part.g),
                      keys + r * cb->spec.d + part.dim0 + s * part.span_dims, sum);
    return sqrt(sum[1] / sum[0]);
}

/* ---- making -------------------------------------------------------------------- */

/* Finite, unit vectors where they must be; data-free ones also have the length
 * of their part of a unit span. */
static void assert_words_sane(const sphkv_codebook *cb, bool data_free)
{
    sk_codebook_part part;
    uint16_t words[SK_CODEBOOK_WORDS_MAX];
    for (uint32_t i = 0; sk_codebook_part_get(cb, i, &part); i++)
        for (uint32_t h = 0; h < cb->kv_heads; h++)
            for (uint32_t j = 0; j < part.rows; j++) {
                double all = 0;
                sk_codebook_words_get(cb, &part, h, j, words);
                for (uint32_t c = 0; c < part.codes; c++) {
                    double square = 0;
                    for (uint32_t k = 0; k < part.g; k++) {
                        double w = (double)sk_f16_to_f32(words[c * part.g + k]);
                        square += w * w;
                    }
                    all += square;
                    assert_true(isfinite(square));
                    if (part.unit)
                        assert_true(fabs(square - 1) < 0.01);
                }
                double want = (double)part.g / part.span_dims;
                double mean = all / part.codes / want;
                bool first = j % part.times == 0; /* further ones are of what is left */
                assert_true(!data_free || !first || (mean > 0.3 && mean < 3.5));
            }
}

static void test_default(void **state)
{
    static const char *const mixes[] = {
        "high:vi8,mid:vi8,low:vi4,kf16:vf16",
        "lean:vi8",
        "good:vi8,fine:vi8,turbo:vi4",
        "sharp:vi8,thin:vi8",
        "g2b4r8:vi8",
        "g1b2r4s2:vi8",
        "g32b8r16:vi8",
        "32@g2b3r8s4+32@kf16+64@g8b7r16s64:vi8",
        "g16b6x2r8:vi8,g4b4x3r16sD:vi8",
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(mixes); i++) {
        sphkv_codebook *a = make_default(mixes[i], 128, 2, 5);
        sphkv_codebook *b = make_default(mixes[i], 128, 2, 5);
        sphkv_codebook *c = make_default(mixes[i], 128, 2, 6);
        assert_words_sane(a, true);
        assert_memory_equal(a->packed, b->packed, packed_bytes(a));
        assert_memory_not_equal(a->packed, c->packed, packed_bytes(a));
        /* a kernel that mixes up heads must not go unseen */
        assert_memory_not_equal(sk_codebook_head(a, 0), sk_codebook_head(a, 1), a->head_bytes);
        sphkv_codebook_free(a);
        sphkv_codebook_free(b);
        sphkv_codebook_free(c);
    }
    sphkv_codebook_free(NULL);
}

/* Data-free codewords are worth having on keys without direction. */
static void test_default_error(void **state)
{
    static const struct {
        const char *mix;
        double at_most;
    } cases[] = {
        {"turbo:vi8", 0.13},
        {"good:vi8", 0.40},
        {"fine:vi8", 0.22},
        {"g2b4r8:vi8", 0.13},
        {"g2b4x2r16sD:vi8", 0.15},
    };
    (void)state;
    sk_rng rng = sk_test_rng(41);
    float *keys = sk_malloc(64 * 2 * 64 * sizeof *keys);
    for (size_t i = 0; i < 64 * 2 * 64; i++)
        keys[i] = (float)sk_rng_normal(&rng);
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        sphkv_codebook *cb = make_default(cases[i].mix, 64, 2, 5);
        double error = coding_error(cb, keys, 64);
        if (!(error < cases[i].at_most))
            fail_msg("%s: error %g", cases[i].mix, error);
        sphkv_codebook_free(cb);
    }
    sk_free(keys);
}

/* The codewords of a key do not depend on the mix around it. */
static void test_mix_independent(void **state)
{
    (void)state;
    sphkv_codebook *alone = make_default("mid:vi8", 64, 2, 5);
    sphkv_codebook *mixed = make_default("good:vi8,kf16:vf16,mid:vi4", 64, 2, 5);
    uint32_t off = sk_codebook_tier_off(&mixed->spec, 1, 0);
    for (uint32_t h = 0; h < 2; h++)
        assert_memory_equal(sk_codebook_head(alone, h), sk_codebook_head(mixed, h) + off,
                            64 * 16 * 2);
    sphkv_codebook_free(alone);
    sphkv_codebook_free(mixed);
}

/* Packed is [group][dim][code], at the offsets of the layout. */
static void test_places(void **state)
{
    (void)state;
    sphkv_codebook *cb = make_default("mid:vi8,32@kf16+32@good:vi8", 64, 2, 5);
    sk_codebook_part part;
    uint16_t words[SK_CODEBOOK_WORDS_MAX], x;
    size_t stride, bytes;
    assert_int_equal((uintptr_t)cb->packed % 64, 0);
    assert_ptr_equal(sphkv_codebook_data(cb, &stride, &bytes), cb->packed);
    assert_int_equal(stride, sk_codebook_head_bytes(&cb->spec));
    assert_int_equal(bytes, 2 * stride);
    assert_ptr_equal(sk_codebook_head(cb, 1), cb->packed + stride);
    assert_true(sk_codebook_part_get(cb, 1, &part));
    assert_int_equal(part.dim0, 32);
    assert_int_equal(part.seg, 1);
    assert_int_equal(part.span_dims, 32);
    assert_string_equal(part.key, "32@kf16+32@good");
    for (uint32_t j = 0; j < part.groups; j++) {
        sk_codebook_words_get(cb, &part, 1, j, words);
        for (uint32_t c = 0; c < 16; c++)
            for (uint32_t i = 0; i < 2; i++) {
                memcpy(&x,
                       cb->packed + stride + sk_codebook_tier_off(&cb->spec, 1, 1) +
                           ((j * 2 + i) * 16 + c) * 2,
                       2);
                assert_int_equal(x, words[c * 2 + i]);
            }
    }
    assert_false(sk_codebook_part_get(cb, 2, &part));
    sphkv_codebook_free(cb);
}

static void test_train(void **state)
{
    static const char *const mixes[] = {
        "good:vi8",      "high:vi8", "turbo:vi8", "g4b6r8s16:vi8", "32@kf16+32@g8b6r16sD:vi8",
        "g8b7r16sDp:vi8", "g8b6x2r16sD:vi8"};
    (void)state;
    float *keys = make_keys(1, 2, 64, 600), *test = make_keys(2, 2, 64, 40);
    for (size_t i = 0; i < SK_COUNT(mixes); i++) {
        sphkv_codebook *plain = make_default(mixes[i], 64, 2, 5);
        sphkv_codebook *a = make_trained(mixes[i], 64, 2, keys, 600, 5);
        sphkv_codebook *b = make_trained(mixes[i], 64, 2, keys, 600, 5);
        assert_words_sane(a, false);
        assert_memory_equal(a->packed, b->packed, packed_bytes(a));
        double before = coding_error(plain, test, 40), after = coding_error(a, test, 40);
        print_message("%s: %.3f data-free, %.3f trained\n", mixes[i], before, after);
        assert_true(after < 0.97 * before);
        sphkv_codebook_free(plain);
        sphkv_codebook_free(a);
        sphkv_codebook_free(b);
    }
    sk_free(keys);
    sk_free(test);
}

/* Fewer distinct keys than codewords, zeros, one row: still a usable set. */
static void test_train_poor(void **state)
{
    (void)state;
    float *keys = make_keys(3, 2, 32, 40);
    for (size_t i = 0; i < 40 * 2 * 32; i++)
        if (i / 64 >= 8)
            keys[i] = keys[i % (8 * 64)]; /* 8 rows, five times */
    sphkv_codebook *cb = make_trained("g4b8r16sD:vi8,high:vi8", 32, 2, keys, 40, 1);
    assert_words_sane(cb, false);
    assert_true(coding_error(cb, keys, 40) < 1e-3);
    sphkv_codebook_free(cb);
    cb = make_trained("g4b8r16sD:vi8,high:vi8", 32, 2, keys, 1, 1);
    assert_words_sane(cb, false);
    sphkv_codebook_free(cb);
    memset(keys, 0, 40 * 2 * 32 * sizeof *keys);
    cb = make_trained("g4b8r16sD:vi8,high:vi8", 32, 2, keys, 40, 1);
    assert_words_sane(cb, false);
    sphkv_codebook_free(cb);
    sk_free(keys);
}

static void test_train_refusals(void **state)
{
    (void)state;
    sphkv_spec_params params = PARAMS(32, "high:vi8"), both = PARAMS(32, "high:vi8,sharp:vi8");
    sphkv_codebook *cb = NULL;
    sk_err err = {0};
    float keys[64] = {1};
    assert_int_equal(sphkv_codebook_train(&params, 2, keys, 0, 1, &cb, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_codebook_train(&params, 2, NULL, 1, 1, &cb, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_codebook_train(&params, 0, keys, 1, 1, &cb, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_codebook_train(&params, 2, keys, SIZE_MAX, 1, &cb, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_codebook_train(&both, 2, keys, 1, 1, &cb, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "before RoPE"));
    keys[37] = NAN;
    assert_int_equal(sphkv_codebook_train(&params, 2, keys, 1, 1, &cb, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "row 0, KV head 1, dimension 5"));
    assert_null(cb);
}

static void test_fits(void **state)
{
    static const struct {
        const char *mix, *reason;
    } cases[] = {
        {"good:vi8,mid:vi8", NULL},
        {"good:vi4,mid:vf16", NULL},
        {"kf16:vf16,good:vi8,mid:vi8", NULL},
        {"kf16:vf16", NULL},
        {"mid:vi8,good:vi8", "for the coded keys good,mid, not mid,good"},
        {"good:vi8", "not good"},
        {"good:vi8,low:vi8", "not good,low"},
    };
    (void)state;
    sphkv_codebook *cb = make_default("good:vi8,mid:vi8,kf16:vf16", 64, 2, 5);
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        sphkv_spec_params params = PARAMS(64, cases[i].mix);
        sk_spec spec;
        sk_err err = {0};
        sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
        sk_status st = sk_codebook_fits(cb, &spec, 2, &err);
        assert_int_equal(st, cases[i].reason ? SPHKV_EINVAL : SPHKV_OK);
        if (cases[i].reason && !strstr(err.message, cases[i].reason))
            fail_msg("%s: \"%s\"", cases[i].mix, err.message);
        if (i == 0) {
            assert_int_equal(sk_codebook_fits(cb, &spec, 3, &err), SPHKV_EINVAL);
            assert_int_equal(sk_codebook_fits(NULL, &spec, 2, &err), SPHKV_EINVAL);
            spec.d = 128;
            assert_int_equal(sk_codebook_fits(cb, &spec, 2, &err), SPHKV_EINVAL);
        }
    }
    sphkv_codebook_free(cb);
}

/* ---- files ------------------------------------------------------------------- */

typedef struct place {
    char *dir, *path;
} place;

static place open_place(void)
{
    place p = {.dir = sk_test_dir()};
    p.path = sk_test_path(p.dir, "set.safetensors");
    return p;
}

static void close_place(place *p)
{
    sk_free(p->path);
    sk_test_dir_remove(p->dir);
}

static sk_status load(const char *path, const char *mix, uint32_t d, uint32_t heads,
                      sphkv_codebook **cb, sk_err *err)
{
    sphkv_spec_params params = PARAMS(d, mix);
    return sphkv_codebook_load(path, &params, heads, cb, err);
}

static void test_round_trip(void **state)
{
    static const char *const mixes[] = {"good:vi8,low:vi4,kf16:vf16",
                                        "32@high+32@kf16+64@turbo:vi8", "good:vi8,good:vi4",
                                        "kf16:vf16", "thin:vk",
                                        "g16b6x2r8:vi8,64@g4b4x3r16s64p+64@good:vi8"};
    (void)state;
    place p = open_place();
    sk_err err = {0};
    for (size_t i = 0; i < SK_COUNT(mixes); i++) {
        sphkv_codebook *a = make_default(mixes[i], 128, 3, 5), *b;
        sk_assert_ok(sphkv_codebook_save(a, p.path, &err), &err);
        sk_assert_ok(load(p.path, mixes[i], 128, 3, &b, &err), &err);
        assert_int_equal(a->head_bytes, b->head_bytes);
        if (a->packed)
            assert_memory_equal(a->packed, b->packed, packed_bytes(a));
        else
            assert_null(b->packed);
        sphkv_codebook_free(a);
        sphkv_codebook_free(b);
    }
    close_place(&p);
}

/* One file, many mixes. */
static void test_other_mixes(void **state)
{
    (void)state;
    place p = open_place();
    sk_err err = {0};
    sphkv_codebook *all = make_default("good:vi8,low:vi4,mid:vi8", 64, 2, 5), *one, *other;
    sk_assert_ok(sphkv_codebook_save(all, p.path, &err), &err);
    sk_assert_ok(load(p.path, "kf16:vf16,mid:vi4,good:vk", 64, 2, &one, &err), &err);
    other = make_default("mid:vi8,good:vi8", 64, 2, 5);
    assert_memory_equal(one->packed, other->packed, packed_bytes(one));
    sphkv_codebook_free(one);
    sphkv_codebook_free(other);
    sphkv_codebook_free(all);
    assert_int_equal(load(p.path, "high:vi8", 64, 2, &one, &err), SPHKV_ENOTFOUND);
    assert_non_null(strstr(err.message, "the key high"));
    assert_int_equal(load(p.path, "good:vi8", 128, 2, &one, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "head_dim is 64, not 128"));
    assert_int_equal(load(p.path, "good:vi8", 64, 4, &one, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "kv_heads is 2, not 4"));
    assert_null(one);
    close_place(&p);
}

/* A mean, a permutation, a transform travel, and keep away kernels that do not ask
 * for them. */
static void test_not_plain(void **state)
{
    (void)state;
    place p = open_place();
    sk_err err = {0};
    sphkv_spec_params params = PARAMS(32, "high:vi8");
    sk_spec spec;
    sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
    for (uint32_t what = 0; what < 4; what++) {
        sphkv_codebook *a = make_default("high:vi8", 32, 2, 5), *b;
        if (what == 0) {
            a->mean = sk_malloc(2 * 32 * sizeof(float));
            for (uint32_t i = 0; i < 64; i++)
                a->mean[i] = (float)i / 8;
        } else if (what == 1) {
            a->permutation = sk_malloc(32 * sizeof(uint32_t));
            for (uint32_t i = 0; i < 32; i++)
                a->permutation[i] = (i * 5 + 3) % 32;
        } else if (what == 2) {
            a->transform = sk_calloc(2 * 32 * 32, sizeof(float));
            for (uint32_t i = 0; i < 64; i++)
                a->transform[i * 32 + (i + 1) % 32] = i % 2 ? -1 : 1;
        } else {
            a->transform_folded = true; /* nothing to do: plain */
        }
        sk_assert_ok(sphkv_codebook_save(a, p.path, &err), &err);
        sk_assert_ok(sk_codebook_load(p.path, &spec, 2, &b, &err), &err);
        assert_int_equal(b->transform_folded, what == 3);
        if (what == 0)
            assert_memory_equal(a->mean, b->mean, 2 * 32 * sizeof(float));
        if (what == 1)
            assert_memory_equal(a->permutation, b->permutation, 32 * sizeof(uint32_t));
        if (what == 2)
            assert_memory_equal(a->transform, b->transform, 2 * 32 * 32 * sizeof(float));
        sk_status want = what == 3 ? SPHKV_OK : SPHKV_EINVAL;
        assert_int_equal(sk_codebook_agrees(b, &err), want);
        assert_int_equal(sphkv_codebook_data(b, NULL, NULL) != NULL, what == 3);
        sphkv_codebook_free(b);
        assert_int_equal(load(p.path, "high:vi8", 32, 2, &b, &err), want);
        sphkv_codebook_free(b);
        sphkv_codebook_free(a);
    }
    close_place(&p);
}

/* ---- bad files ---------------------------------------------------------------- */

/* Notes of a good file of the key high, d 32, 2 heads; some may be replaced. */
static void write_set(const char *path, const sk_tensor *tensor, const char *key, const char *value)
{
    sk_tensor_note notes[] = {{"format", "sphkv.codebook"}, {"version", "1"},
                              {"head_dim", "32"},           {"kv_heads", "2"},
                              {"transform", "none"},        {"data_sha256", NULL}};
    sk_err err = {0};
    char hex[65];
    size_t bytes = sk_tensor_dtype_bytes(tensor->dtype);
    for (uint32_t i = 0; i < tensor->ndim; i++)
        bytes *= tensor->dims[i];
    sk_sha256_of(tensor->data, bytes, hex);
    notes[SK_COUNT(notes) - 1].value = hex;
    for (uint32_t i = 0; i < SK_COUNT(notes); i++)
        if (key && strcmp(notes[i].key, key) == 0)
            notes[i].value = value;
    sk_assert_ok(sk_safetensors_write(path, tensor, 1, notes, SK_COUNT(notes), &err), &err);
}

static void assert_bad(const char *path, sk_status status, const char *reason)
{
    sphkv_codebook *cb;
    sk_err err = {0};
    sk_status st = load(path, "high:vi8", 32, 2, &cb, &err);
    if (!reason) {
        sk_assert_ok(st, &err);
        sphkv_codebook_free(cb);
        return;
    }
    if (st != status || !strstr(err.message, reason))
        fail_msg("status %d, \"%s\" does not say \"%s\"", (int)st, err.message, reason);
    assert_null(cb);
}

static void test_bad_notes(void **state)
{
    static const struct {
        const char *key, *value, *reason;
    } bad[] = {
        {NULL, NULL, NULL},
        {"format", "other", "not a codebook set"},
        {"version", "2", "version is 2, not 1"},
        {"version", "1.0", "does not say version"},
        {"head_dim", "64", "head_dim is 64, not 32"},
        {"kv_heads", "", "does not say kv_heads"},
        {"transform", "twisted", "transform is 'twisted'"},
        {"data_sha256", "0", "do not match data_sha256"},
    };
    (void)state;
    place p = open_place();
    static uint16_t words[2 * 2 * 64 * 16];
    for (uint32_t i = 0; i < 2 * 2 * 64; i++)
        words[i * 16 + i % 16] = 0x3c00; /* 1 */
    const sk_tensor t = {.name = "tier.high.seg0.codebook",
                         .dtype = SK_TENSOR_F16,
                         .ndim = 4,
                         .dims = {2, 2, 64, 16},
                         .data = (const uint8_t *)words};
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        write_set(p.path, &t, bad[i].key, bad[i].value);
        assert_bad(p.path, SPHKV_EINVAL, bad[i].reason);
    }
    close_place(&p);
}

static void test_bad_tensors(void **state)
{
    static const struct {
        const char *name;
        uint32_t dtype, ndim;
        uint64_t dims[4];
        int at; /* element to spoil, with `bits` */
        uint16_t bits;
        const char *reason;
    } bad[] = {
        {"tier.high.seg0.codebook", SK_TENSOR_BF16, 4, {2, 2, 64, 16}, -1, 0, "BF16"},
        {"tier.high.seg0.codebook", SK_TENSOR_F16, 3, {4, 64, 16}, -1, 0, "[4, 64, 16]"},
        {"tier.high.seg0.codebook", SK_TENSOR_F16, 4, {2, 2, 16, 64}, -1, 0, "not F16 [2, 2, 64"},
        {"tier.high.seg0.codebook", SK_TENSOR_F16, 4, {1, 2, 64, 16}, -1, 0, "[1, 2, 64, 16]"},
        {"tier.high.seg0.codebook",
         SK_TENSOR_F16,
         4,
         {2, 2, 64, 16},
         16,
         0x7c00,
         "codeword 1 is not finite"},
        {"tier.high.seg0.codebook",
         SK_TENSOR_F16,
         4,
         {2, 2, 64, 16},
         40,
         0x7e01,
         "codeword 2 is not finite"},
        {"tier.high.seg0.codebook",
         SK_TENSOR_F16,
         4,
         {2, 2, 64, 16},
         33,
         0x3c00,
         "codeword 2 is no unit"},
        {"tier.high.seg1.codebook",
         SK_TENSOR_F16,
         4,
         {2, 2, 64, 16},
         -1,
         0,
         "no such coded segment"},
        {"tier.high.seg9.codebook", SK_TENSOR_F16, 4, {2, 2, 64, 16}, -1, 0, "not one that"},
        {"tier.high.seg0.codebooks", SK_TENSOR_F16, 4, {2, 2, 64, 16}, -1, 0, "not one that"},
        {"tier.seg0.codebook", SK_TENSOR_F16, 4, {2, 2, 64, 16}, -1, 0, "not one that"},
        {"tier..seg0.codebook", SK_TENSOR_F16, 4, {2, 2, 64, 16}, -1, 0, "not one that"},
        {"tier.hihg.seg0.codebook", SK_TENSOR_F16, 4, {2, 2, 64, 16}, -1, 0, "key format 'hihg'"},
        {"tier.g16b6r8.seg0.codebook", SK_TENSOR_F16, 4, {2, 2, 64, 16}, -1, 0, "spelt high"},
        {"tier.kf16.seg0.codebook", SK_TENSOR_F16, 4, {2, 2, 64, 16}, -1, 0, "no such coded"},
        {"tier.g5b6r8.seg0.codebook", SK_TENSOR_F16, 4, {2, 2, 64, 16}, -1, 0, "do not divide"},
        {"tier.mid.seg0.codebook", SK_TENSOR_F16, 4, {2, 2, 16, 16}, -1, 0, "the key high"},
        {"rotation", SK_TENSOR_F16, 1, {32}, -1, 0, "not one that"},
        {"mean", SK_TENSOR_F16, 2, {2, 32}, -1, 0, "not F32 [2, 32]"},
        {"mean", SK_TENSOR_F32, 2, {1, 32}, -1, 0, "not F32 [2, 32]"},
        {"mean", SK_TENSOR_F32, 2, {2, 32}, 9, 0x7f80, "mean: element 4"},
        {"permutation", SK_TENSOR_I32, 1, {32}, -1, 0, "permutation: element"},
        {"permutation", SK_TENSOR_F32, 1, {32}, -1, 0, "not I32 [32]"},
        {"transform", SK_TENSOR_F32, 2, {32, 32}, -1, 0, "not orthonormal"},
        {"transform", SK_TENSOR_F32, 2, {32, 32}, 1, 0x7fc0, "not orthonormal"},
    };
    (void)state;
    place p = open_place();
    static uint16_t words[2 * 2 * 64 * 16];
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        memset(words, 0, sizeof words);
        for (uint32_t w = 0; bad[i].name[0] == 't' && bad[i].name[1] == 'i' && w < 256; w++)
            words[w * 16 + w % 16] = 0x3c00;
        if (bad[i].at >= 0)
            words[bad[i].at] = bad[i].bits;
        sk_tensor t = {.name = bad[i].name,
                       .dtype = bad[i].dtype,
                       .ndim = bad[i].ndim,
                       .data = (const uint8_t *)words};
        memcpy(t.dims, bad[i].dims, sizeof bad[i].dims);
        write_set(p.path, &t, NULL, NULL);
        bool missing = strcmp(bad[i].reason, "the key high") == 0;
        assert_bad(p.path, missing ? SPHKV_ENOTFOUND : SPHKV_EINVAL, bad[i].reason);
    }
    close_place(&p);
}

/* Cut anywhere, or with bits turned: an error with a reason, or, where the
 * damage does not matter, the same set. Never a crash. */
static void test_damaged(void **state)
{
    (void)state;
    place p = open_place();
    sk_rng rng = sk_test_rng(42);
    sk_err err = {0};
    sphkv_codebook *a = make_default("good:vi8,g4b2r8s8:vi8", 32, 2, 5), *b;
    char *good;
    size_t size;
    sk_assert_ok(sphkv_codebook_save(a, p.path, &err), &err);
    sk_assert_ok(sk_file_read(p.path, 1u << 20, &good, &size, &err), &err);
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < 600 + size / 64; i++) {
        char *bad = sk_malloc(size);
        memcpy(bad, good, size);
        size_t n = i < 600 ? size : (i - 600) * 64;
        /* half of the flips in the header, where they can do most */
        uint32_t reach = i % 2 ? (uint32_t)size : 600;
        for (uint32_t k = 1 + sk_rng_below(&rng, 3); i < 600 && k; k--)
            bad[sk_rng_below(&rng, reach)] ^= (char)(1u << sk_rng_below(&rng, 8));
        FILE *to = fopen(p.path, "wb");
        assert_non_null(to);
        assert_int_equal(fwrite(bad, 1, n, to), n);
        fclose(to);
        memset(&err, 0, sizeof err);
        if (load(p.path, "good:vi8,g4b2r8s8:vi8", 32, 2, &b, &err) == SPHKV_OK) {
            accepted++;
            assert_true(n == size);
            assert_memory_equal(a->packed, b->packed, packed_bytes(a));
            sphkv_codebook_free(b);
        } else {
            assert_null(b);
            assert_non_null(strstr(err.message, "set.safetensors"));
        }
        sk_free(bad);
    }
    print_message("%u damaged files were as good as new\n", accepted);
    sk_free(good);
    sphkv_codebook_free(a);
    close_place(&p);
}

/* Every allocation of every call may fail: no leak, no crash, a reason. */
static void test_out_of_memory(void **state)
{
    (void)state;
    place p = open_place();
    sk_err err = {0};
    sphkv_spec_params params = PARAMS(32, "g2b4r8:vi8,g4b2r8s8:vi8");
    sphkv_codebook *a = make_default("g2b4r8:vi8,g4b2r8s8:vi8", 32, 2, 5), *b;
    float *keys = make_keys(1, 2, 32, 64);
    sk_assert_ok(sphkv_codebook_save(a, p.path, &err), &err);
    for (uint32_t call = 0; call < 4; call++) {
        uint32_t failed = 0;
        for (uint64_t n = 1;; n++) {
            sk_status st;
            b = NULL;
            memset(&err, 0, sizeof err);
            sk_alloc_fault(n, n % 2);
            if (call == 0)
                st = sphkv_codebook_default(&params, 2, 5, &b, &err);
            else if (call == 1)
                st = sphkv_codebook_train(&params, 2, keys, 64, 5, &b, &err);
            else if (call == 2)
                st = sphkv_codebook_load(p.path, &params, 2, &b, &err);
            else
                st = sphkv_codebook_save(a, p.path, &err);
            bool reached = sk_alloc_fault(0, false) >= n;
            if (!reached) {
                sk_assert_ok(st, &err);
                sphkv_codebook_free(b);
                break;
            }
            if (st == SPHKV_OK) { /* a message that could not be put together */
                sphkv_codebook_free(b);
                continue;
            }
            failed++;
            assert_int_equal(st, SPHKV_ENOMEM);
            assert_null(b);
            assert_int_not_equal(err.message[0], 0);
        }
        assert_true(failed > 3);
    }
    sk_free(keys);
    sphkv_codebook_free(a);
    close_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),         cmocka_unit_test(test_default_error),
        cmocka_unit_test(test_mix_independent), cmocka_unit_test(test_places),
        cmocka_unit_test(test_train),           cmocka_unit_test(test_train_poor),
        cmocka_unit_test(test_train_refusals),  cmocka_unit_test(test_fits),
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_other_mixes),
        cmocka_unit_test(test_not_plain),       cmocka_unit_test(test_bad_notes),
        cmocka_unit_test(test_bad_tensors),     cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("code_codebook", tests, NULL, NULL);
}
