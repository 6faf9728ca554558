/* db_key.c - what identifies a record: hashes and the words for enums.
 *
 * A key hashes its fields with their lengths in front, so that no two lists of
 * fields share a byte string. Row numbers are never part of a key: the same
 * trial has the same key in every database, which is what merging needs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "db_impl.h"

static void add_bytes(sk_sha256 *hash, const void *bytes, size_t size)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)size >> (8 * i));
    sk_sha256_add(hash, length, sizeof length);
    if (size)
        sk_sha256_add(hash, bytes, size);
}

static void add_text(sk_sha256 *hash, const char *text)
{
    add_bytes(hash, text ? text : "", text ? strlen(text) : 0);
}

static void add_u32(sk_sha256 *hash, uint32_t value)
{
    char text[16];
    snprintf(text, sizeof text, "%" PRIu32, value);
    add_text(hash, text);
}

void sk_db_device_key(const sk_db_device *device, char hex[65])
{
    const char *text = device->fingerprint ? device->fingerprint : "";
    sk_sha256_of(text, strlen(text), hex);
}

void sk_db_spec_key(const char *kernel, const char *spec, char hex[65])
{
    sk_sha256 hash;
    sk_sha256_init(&hash);
    add_text(&hash, kernel);
    add_text(&hash, spec);
    sk_sha256_hex(&hash, hex);
}

void sk_db_trial_hash(const sk_db_trial_key *key, char hex[65])
{
    char device[65], shape[SK_DB_SHAPE_TEXT];
    sk_db_device_key(key->device, device);
    sk_db_shape_text(&key->shape, shape);
    sk_sha256 hash;
    sk_sha256_init(&hash);
    add_text(&hash, device);
    add_text(&hash, key->kernel);
    add_text(&hash, key->spec);
    add_text(&hash, shape);
    add_text(&hash, key->schedule);
    add_text(&hash, key->ir_hash);
    add_text(&hash, key->accuracy);
    add_text(&hash, key->run_kind);
    if (key->compiler && *key->compiler)
        add_text(&hash, key->compiler);
    sk_sha256_hex(&hash, hex);
}

void sk_db_artifact_key(const sk_db_artifact *artifact, char hex[65])
{
    sk_sha256 hash;
    sk_sha256_init(&hash);
    add_text(&hash, artifact->kind);
    add_text(&hash, artifact->entries);
    add_text(&hash, artifact->launch);
    add_text(&hash, artifact->ir_hash);
    add_u32(&hash, artifact->format_version ? artifact->format_version : SPHKV_FORMAT_VERSION);
    add_u32(&hash, artifact->args_version ? artifact->args_version : SPHKV_ARGS_VERSION);
    add_bytes(&hash, artifact->bytes, artifact->bytes ? artifact->size : 0);
    sk_sha256_hex(&hash, hex);
}

void sk_db_shape_text(const sk_db_shape *shape, char text[SK_DB_SHAPE_TEXT])
{
    snprintf(text, SK_DB_SHAPE_TEXT,
             "batch=%" PRIu32 ",context=%" PRIu32 ",kv_heads=%" PRIu32 ",q_heads=%" PRIu32
             ",q_len=%" PRIu32 ",threads=%" PRIu32,
             shape->batch, shape->context, shape->kv_heads, shape->q_heads,
             shape->q_len ? shape->q_len : 1, shape->threads);
}

static const char *const outcome_words[SK_OUTCOME_COUNT] = {
    [SK_OUTCOME_OK] = "ok",           [SK_OUTCOME_WRONG] = "wrong",
    [SK_OUTCOME_CRASH] = "crash",     [SK_OUTCOME_HANG] = "hang",
    [SK_OUTCOME_ILLEGAL] = "illegal", [SK_OUTCOME_COMPILE_ERROR] = "compile_error",
    [SK_OUTCOME_OOM] = "oom",         [SK_OUTCOME_INVALID] = "invalid",
    [SK_OUTCOME_SKIPPED] = "skipped",
};

const char *sk_db_outcome_text(sk_db_outcome outcome)
{
    return (unsigned)outcome < SK_OUTCOME_COUNT ? outcome_words[outcome] : "unknown";
}

bool sk_db_outcome_parse(const char *text, sk_db_outcome *outcome)
{
    for (int i = 0; text && i < SK_OUTCOME_COUNT; i++) {
        if (strcmp(text, outcome_words[i]) == 0) {
            *outcome = (sk_db_outcome)i;
            return true;
        }
    }
    return false;
}

const char *sk_match_text(sk_match match)
{
    switch (match) {
    case SK_MATCH_EXACT:
        return "exact";
    case SK_MATCH_NEAR_SHAPE:
        return "near shape";
    case SK_MATCH_ARCH:
        return "same architecture";
    case SK_MATCH_PREDICTED:
        return "predicted";
    case SK_MATCH_NONE:
        break;
    }
    return "none";
}
