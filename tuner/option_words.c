/* option_words.c - the words of a command line, of options.h: options and their values.
 *
 * getopt_long was rejected: it prints by itself, accepts abbreviations (a script
 * that relies on one breaks with the next option), and cannot be shared between
 * commands that each have options of their own. */
#include "options.h"

#include <string.h>

void sk_args_begin(sk_args *a, int argc, char **argv)
{
    *a = (sk_args){.argc = argc, .argv = argv, .at = 1};
}

sk_status sk_args_next(sk_args *a, sk_err *err)
{
    if (a->value)
        return sk_fail(err, SPHKV_EINVAL, "%s takes no value", a->name);
    a->word = NULL;
    a->name[0] = '\0';
    if (a->at >= a->argc)
        return SPHKV_OK;
    const char *word = a->argv[a->at++];
    if (!a->literal && strcmp(word, "--") == 0) {
        a->literal = true;
        return sk_args_next(a, err);
    }
    a->word = word;
    if (a->literal || word[0] != '-' || word[1] == '\0')
        return SPHKV_OK;
    const size_t len = strcspn(word, "=");
    if (len >= sizeof a->name)
        return sk_fail(err, SPHKV_EINVAL, "unknown option '%.60s'", word);
    memcpy(a->name, word, len);
    a->name[len] = '\0';
    if (word[len] == '=')
        a->value = word + len + 1;
    return SPHKV_OK;
}

bool sk_args_is(const sk_args *a, const char *option) { return strcmp(a->name, option) == 0; }

bool sk_args_flag(const sk_args *a, const sk_flag *flag, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sk_args_is(a, flag[i].name)) {
            *flag[i].at = true;
            return true;
        }
    return false;
}

sk_status sk_args_value(sk_args *a, const char **value, sk_err *err)
{
    *value = a->value;
    a->value = NULL;
    if (!*value && a->at < a->argc)
        *value = a->argv[a->at++];
    if (!*value || !**value)
        return sk_fail(err, SPHKV_EINVAL, "%s needs a value", a->name);
    return SPHKV_OK;
}

sk_status sk_args_u32(sk_args *a, uint32_t lo, uint32_t hi, uint32_t *out, sk_err *err)
{
    const char *text;
    uint64_t x;
    sk_status st = sk_args_value(a, &text, err);
    if (st)
        return st;
    if (!sk_parse_u64(text, lo, hi, &x))
        return sk_fail(err, SPHKV_EINVAL, "%s: '%.60s' is not a number from %u to %u", a->name,
                       text, lo, hi);
    *out = (uint32_t)x;
    return SPHKV_OK;
}

sk_status sk_args_kernels(sk_args *a, uint32_t *mask, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    *mask = 0;
    for (const char *p = text; st == SPHKV_OK && p;) {
        char name[32] = "";
        uint32_t kernel;
        size_t len = strcspn(p, ",");
        if (len < sizeof name) memcpy(name, p, len);
        if (!sk_kernel_parse(name, &kernel))
            return sk_fail(err, SPHKV_EINVAL,
                           "--kernels: '%.60s' is none of" SK_KERNEL_NAMES, p);
        *mask |= SK_FOR(kernel);
        p = p[len] ? p + len + 1 : NULL;
    }
    return st;
}

sk_status sk_args_f64(sk_args *a, double lo, double hi, double *out, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    if (!st && !sk_parse_f64(text, lo, hi, out))
        st = sk_fail(err, SPHKV_EINVAL, "%s: '%.60s' is not a number from %g to %g", a->name, text,
                     lo, hi);
    return st;
}

sk_status sk_args_seconds(sk_args *a, double *out, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    if (st)
        return st;
    char number[24] = "";
    size_t len = strlen(text);
    const char unit = text[len - 1];
    const double scale = unit == 'h' ? 3600 : unit == 'm' ? 60 : 1;
    if (unit == 'h' || unit == 'm' || unit == 's')
        len--;
    if (len < sizeof number)
        memcpy(number, text, len);
    if (!sk_parse_f64(number, 0, 1e6, out) || *out * scale <= 0)
        return sk_fail(err, SPHKV_EINVAL, "%s: '%.60s' is no time such as 90s, 15m or 2h", a->name,
                       text);
    *out *= scale;
    return SPHKV_OK;
}

sk_status sk_args_list(sk_args *a, uint32_t lo, uint32_t hi, sk_list *out, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    out->n = 0;
    for (const char *at = text; !st && at;) {
        char number[16] = "";
        const size_t len = strcspn(at, ",");
        uint64_t x;
        if (len < sizeof number)
            memcpy(number, at, len);
        if (!sk_parse_u64(number, lo, hi, &x))
            return sk_fail(err, SPHKV_EINVAL, "%s: '%.60s' is not a list of numbers from %u to %u",
                           a->name, text, lo, hi);
        for (uint32_t i = 0; i < out->n; i++)
            if (out->v[i] == x)
                return sk_fail(err, SPHKV_EINVAL, "%s: %u twice", a->name, out->v[i]);
        if (out->n == SK_LIST_MAX)
            return sk_fail(err, SPHKV_EINVAL, "%s: more than %u numbers", a->name, SK_LIST_MAX);
        out->v[out->n++] = (uint32_t)x;
        at = at[len] ? at + len + 1 : NULL;
    }
    return st;
}
