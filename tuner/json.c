/* json.c - see json.h. Invalid UTF-8 (file names may hold it) becomes '?', so
 * that what is printed is always JSON. */
#include "json.h"

#include <math.h>
#include <string.h>

/* Bytes of the UTF-8 character at s, 0 when it is none. */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : s[0] >= 0xe0 ? 3
             : s[0] >= 0xc2 ? 2 : 0;
    if (s[0] >= 0xf5) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return n;
}

static void quote(sk_text *t, const char *value)
{
    const unsigned char *s = (const unsigned char *)value;
    sk_text_append(t, "\"", 1);
    while (*s) {
        size_t n = utf8_length(s);
        if (*s == '"' || *s == '\\')
            sk_text_printf(t, "\\%c", *s);
        else if (*s < 0x20)
            sk_text_printf(t, "\\u%04x", *s);
        else if (n == 0)
            sk_text_append(t, "?", 1);
        else
            sk_text_append(t, (const char *)s, n);
        s += n ? n : 1;
    }
    sk_text_append(t, "\"", 1);
}

static void begin(sk_json *j, const char *key)
{
    if (j->comma) sk_text_append(&j->text, ",", 1);
    j->comma = true;
    if (!key) return;
    quote(&j->text, key);
    sk_text_append(&j->text, ":", 1);
}

void sk_json_open(sk_json *j, const char *key, char bracket)
{
    begin(j, key);
    sk_text_append(&j->text, &bracket, 1);
    j->comma = false;
}

void sk_json_close(sk_json *j, char bracket)
{
    sk_text_append(&j->text, &bracket, 1);
    j->comma = true;
}

void sk_json_text(sk_json *j, const char *key, const char *value)
{
    begin(j, key);
    if (value)
        quote(&j->text, value);
    else
        sk_text_append(&j->text, "null", 4);
}

void sk_json_f64(sk_json *j, const char *key, double value)
{
    begin(j, key);
    if (isfinite(value))
        sk_text_printf(&j->text, "%.9g", value);
    else
        sk_text_append(&j->text, "null", 4);
}

void sk_json_u64(sk_json *j, const char *key, uint64_t value)
{
    begin(j, key);
    sk_text_printf(&j->text, "%llu", (unsigned long long)value);
}

void sk_json_bool(sk_json *j, const char *key, bool value)
{
    begin(j, key);
    sk_text_printf(&j->text, "%s", value ? "true" : "false");
}
