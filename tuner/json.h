/* json.h - JSON that commands print: a writer that puts commas and escapes where
 * they belong. Numbers that JSON has no word for (inf, nan) become null. */
#ifndef SK_JSON_H
#define SK_JSON_H

#include "base.h"

typedef struct sk_json {
    sk_text text;
    bool comma; /* the next value needs one in front */
} sk_json;

/* key NULL inside arrays. */
void sk_json_open(sk_json *j, const char *key, char bracket); /* '{' or '[' */
void sk_json_close(sk_json *j, char bracket);                 /* '}' or ']' */
void sk_json_text(sk_json *j, const char *key, const char *value); /* NULL: null */
void sk_json_f64(sk_json *j, const char *key, double value);
void sk_json_u64(sk_json *j, const char *key, uint64_t value);
void sk_json_bool(sk_json *j, const char *key, bool value);

#endif
