/* models.h - the attention shape of a model, by name or from the config.json
 * that Hugging Face models carry. A config is somebody else's file: every
 * number is checked, and what is missing or absurd gets one clear line. */
#ifndef SK_MODELS_H
#define SK_MODELS_H

#include "base.h"

typedef struct sk_model {
    char name[96];        /* as asked, or the config's model_type */
    uint32_t heads;       /* query heads */
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t layers;
    uint32_t max_context; /* positions it was made for */
} sk_model;

/* The i-th model that is known by name, NULL behind the last. */
const sk_model *sk_model_get(uint32_t i);

/* A name of the list, or the path of a config.json (whatever ends in .json or
 * holds a slash). SPHKV_EINVAL for an unknown name (the known ones are listed)
 * and for a config that cannot be right; SPHKV_ENOTFOUND for an absent file;
 * SPHKV_EUNSUPPORTED for attention that no head_dim and heads describe. */
sk_status sk_model_find(const char *name, sk_model *out, sk_err *err);

/* The text of a config.json, text[bytes] being its NUL; `where` names it in messages. */
sk_status sk_model_parse(const char *text, size_t bytes, const char *where, sk_model *out,
                         sk_err *err);

#endif
