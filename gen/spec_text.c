/* spec_text.c - a spec as one line of text, the key of the database, and as a C
 * symbol. What a spec says beyond the fields that all have stands behind its mix
 * and only where it says something: texts of older specs stay what they were. */
#include "spec.h"

#include <string.h>

#include "spec_tier.h"

/* What the codebook set holds and which variants there are: a plain spec says
 * nothing. */
static void print_flags(const sk_spec *spec, char before, sk_text *out)
{
    for (uint32_t i = 0; sk_book_name(i); i++)
        if (spec->book >> i & 1)
            sk_text_printf(out, "%c%s", before, sk_book_name(i));
    for (uint32_t i = 0; sk_variant_name(i); i++)
        if (spec->variants >> i & 1)
            sk_text_printf(out, "%c%s", before, sk_variant_name(i));
}

void sk_spec_mix_print(const sk_spec *spec, sk_text *out)
{
    sk_mix_print(spec->tier, spec->ntiers, out);
    print_flags(spec, ' ', out);
}

void sk_spec_print(const sk_spec *spec, sk_text *out)
{
    const char *kernel = sk_kernel_name(spec->kernel);
    const char *q = sk_dtype_name(spec->q_dtype), *o = sk_dtype_name(spec->out_dtype);
    const char *in = sk_dtype_name(spec->in_dtype), *acc = sk_accuracy_name(spec->accuracy);
    sk_text_printf(out, "%s d%u v%u h%u p%u l%u q%s o%s i%s %s ", kernel ? kernel : "?", spec->d,
                   spec->dv, spec->heads_per_kv, spec->page, spec->layout, q ? q : "?", o ? o : "?",
                   in ? in : "?", acc ? acc : "?");
    sk_spec_mix_print(spec, out);
}

/* The field after `prefix`, strictly a number or a dtype. */
static bool field_number(const char *field, char prefix, uint32_t *out)
{
    uint64_t v;
    if (field[0] != prefix || !sk_parse_u64(field + 1, 0, 65535, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool field_dtype(const char *field, char prefix, uint32_t *out)
{
    return field[0] == prefix && sk_dtype_parse(field + 1, out);
}

/* Cuts a copy of the text into its fields, in place; *rest: the words behind
 * them, or NULL. */
static bool split_fields(char *text, char *field[11], char **rest)
{
    for (uint32_t i = 0; i < 11; i++) {
        field[i] = text;
        char *end = text ? strchr(text, ' ') : NULL;
        if (!text || (!end && i < 10))
            return false;
        if (end)
            *end = '\0';
        text = end ? end + 1 : NULL;
    }
    *rest = text;
    return true;
}

/* Names of book flags and variants in their order, each once: a spec has one text. */
static sk_status parse_flags(char *rest, sk_spec *spec, sk_err *err)
{
    while (rest) {
        char *word = rest, *end = strchr(rest, ' ');
        uint32_t flag = 0;
        rest = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        if (sk_book_parse(word, &flag) && flag > spec->book && !spec->variants)
            spec->book |= flag;
        else if (sk_variant_parse(word, &flag) && flag > spec->variants)
            spec->variants |= flag;
        else
            return sk_fail(err, SPHKV_EINVAL,
                           "spec text: '%.60s' behind the mix: there are mean, permutation, transform "
                           "and hadamard, then softcap, sink, headscale, window, bias, positions and queries, "
                           "in this order",
                           word);
    }
    return SPHKV_OK;
}

static sk_status parse_fields(char *field[11], sk_spec *spec, sk_err *err)
{
    uint32_t bad = 0;
    if (!sk_kernel_parse(field[0], &spec->kernel))
        bad = 0;
    else if (!field_number(field[1], 'd', &spec->d))
        bad = 1;
    else if (!field_number(field[2], 'v', &spec->dv))
        bad = 2;
    else if (!field_number(field[3], 'h', &spec->heads_per_kv))
        bad = 3;
    else if (!field_number(field[4], 'p', &spec->page))
        bad = 4;
    else if (!field_number(field[5], 'l', &spec->layout))
        bad = 5;
    else if (!field_dtype(field[6], 'q', &spec->q_dtype))
        bad = 6;
    else if (!field_dtype(field[7], 'o', &spec->out_dtype))
        bad = 7;
    else if (!field_dtype(field[8], 'i', &spec->in_dtype))
        bad = 8;
    else if (!sk_accuracy_parse(field[9], &spec->accuracy))
        bad = 9;
    else
        return sk_mix_parse(field[10], spec->tier, &spec->ntiers, err);
    return sk_fail(err, SPHKV_EINVAL, "spec text: field %u, '%.60s', is wrong", bad + 1,
                   field[bad]);
}

sk_status sk_spec_parse(const char *text, sk_spec *out, sk_err *err)
{
    char copy[512];
    char *field[11], *rest = NULL;
    sk_spec spec;
    size_t len = text ? strlen(text) : 0;
    memset(&spec, 0, sizeof spec);
    if (len == 0 || len >= sizeof copy)
        return sk_fail(err, SPHKV_EINVAL, "spec text: %zu characters", len);
    memcpy(copy, text, len + 1);
    if (!split_fields(copy, field, &rest))
        return sk_fail(err, SPHKV_EINVAL,
                       "spec text: 11 fields, as in 'attn_decode d128 v128 h4 p128 l1 qf32 of32 "
                       "if32 tight good:vi8,kf16:vf16'");
    sk_status st = parse_fields(field, &spec, err);
    if (st == SPHKV_OK)
        st = parse_flags(rest, &spec, err);
    if (st == SPHKV_OK)
        st = sk_spec_finish(&spec, err);
    if (st == SPHKV_OK)
        *out = spec;
    return st;
}

void sk_spec_symbol(const sk_spec *spec, sk_text *out)
{
    const char *kernel = sk_kernel_name(spec->kernel);
    size_t start = out->len;
    sk_text_printf(out, "sk_%s_d%u", kernel ? kernel : "unknown", spec->d);
    if (spec->dv != spec->d)
        sk_text_printf(out, "_v%u", spec->dv);
    sk_text_printf(out, "_h%u_p%u_", spec->heads_per_kv, spec->page);
    sk_mix_print(spec->tier, spec->ntiers, out);
    print_flags(spec, '_', out);
    if (out->failed || !out->s)
        return;
    for (size_t i = start; i < out->len; i++) {
        char c = out->s[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!word)
            out->s[i] = '_';
    }
}
