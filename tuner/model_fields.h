/* model_fields.h - reading the fields of a config.json, strictly: used by
 * model_config.c and model_layers.c only.
 *
 * cJSON is lenient where a checker must not be: it takes trailing junk, keeps
 * duplicate keys, rounds big numbers, turns 1e400 into infinity, and cuts
 * strings at \u0000. Whatever is read here is checked for that. */
#ifndef SK_MODEL_FIELDS_H
#define SK_MODEL_FIELDS_H

#include <cjson/cJSON.h>

#include "models.h"

/* What a model_type means beyond what its config says: the library that made
 * the file leaves out what its class has as a default. */
typedef struct sk_family {
    const char *type;
    uint32_t heads, kv_heads, head_dim; /* when absent; 0 = none */
    uint32_t pattern;                   /* every pattern-th layer is full, the others local */
    uint32_t window, chunk;             /* of the local layers, when absent */
    uint32_t context;                   /* max_position_embeddings, when absent */
    uint32_t needs;
    uint32_t gates;                     /* the form of its blocks is known: 3 gated, 2 plain */
} sk_family;

typedef struct sk_config {
    const cJSON *object;     /* where the fields are */
    const char *where;       /* name of the file, for messages */
    const sk_family *family; /* never NULL */
    sk_err *err;
} sk_config;

#define SK_CONFIG_LAYERS 1024u

/* The first of "a|b|c" that is there and not null. SPHKV_EINVAL: twice. */
sk_status sk_config_field(const sk_config *c, const char *names, const cJSON **out);
/* A whole number within least .. most; `fallback` when absent. Absent with no
 * fallback (0): SPHKV_EINVAL. A list: SPHKV_EUNSUPPORTED, layers that differ. */
sk_status sk_config_number(const sk_config *c, const char *names, uint32_t least, uint32_t most,
                           uint32_t fallback, uint32_t *out);
/* The same for what may be absent: *out is 0 then. */
sk_status sk_config_optional(const sk_config *c, const char *names, uint32_t most, uint32_t *out);
/* true or false; absent is `fallback`. */
sk_status sk_config_flag(const sk_config *c, const char *names, bool fallback, bool *out);

/* Sorts the layers by kind into m: numbers, owners, spans, chunked, cacheless. */
sk_status sk_config_layers(const sk_config *c, uint32_t layers, sk_model *m);

#endif
