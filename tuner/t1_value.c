/* t1_value.c - see t1_value.h. One descent over the text computes as it reads; what a
 * decided `or` or `and` leaves out is read with `dead` set, and computes nothing. */
#include "t1_value.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#define DEPTH_MOST 64u
#define LIST_MOST 64u

bool sk_t1_value_take(const cJSON *item, sk_t1_value *out)
{
    *out = (sk_t1_value){0};
    if (cJSON_IsNumber(item))
        out->number = item->valuedouble;
    else if (cJSON_IsBool(item))
        out->number = cJSON_IsTrue(item);
    else if (cJSON_IsString(item))
        out->word = item->valuestring, out->len = strlen(item->valuestring);
    else
        return false;
    return isfinite(out->number);
}

int sk_t1_value_order(const void *a, const void *b)
{
    const sk_t1_value *x = a, *y = b;
    if (x->word && y->word) {
        const int by = memcmp(x->word, y->word, x->len < y->len ? x->len : y->len);
        return by ? by : (x->len > y->len) - (x->len < y->len);
    }
    if (x->word || y->word) return x->word ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

typedef struct reader {
    const char *text, *at;
    const sk_t1_scope *scope;
    uint32_t depth, dead;
    const char *wrong; /* what is; NULL: nothing so far */
} reader;

static sk_t1_value fail(reader *r, const char *what)
{
    if (!r->wrong) r->wrong = what;
    return (sk_t1_value){0};
}

static sk_t1_value number(double x)
{
    return (sk_t1_value){.number = x};
}

static bool is_true(const sk_t1_value *v)
{
    return v->word ? v->len > 0 : v->number != 0;
}

/* ---- words and signs ------------------------------------------------------------- */

static void skip_blanks(reader *r)
{
    while (isspace((unsigned char)*r->at)) r->at++;
}

static bool of_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Takes a sign, or a word that ends there. */
static bool take(reader *r, const char *what)
{
    const size_t n = strlen(what);
    skip_blanks(r);
    if (strncmp(r->at, what, n) != 0 || (of_name(*what) && of_name(r->at[n]))) return false;
    r->at += n;
    return true;
}

static bool take_either(reader *r, const char *word, const char *sign)
{
    return take(r, word) || take(r, sign);
}

static sk_t1_value any(reader *r);

static sk_t1_value named(reader *r)
{
    const char *from = r->at;
    while (of_name(*r->at)) r->at++;
    const size_t n = (size_t)(r->at - from);
    if (n == 4 && memcmp(from, "True", 4) == 0) return number(1);
    if (n == 5 && memcmp(from, "False", 5) == 0) return number(0);
    for (uint32_t i = 0; r->scope && i < r->scope->n; i++)
        if (strlen(r->scope->name[i]) == n && memcmp(r->scope->name[i], from, n) == 0)
            return r->scope->value[i];
    r->at = from;
    return fail(r, "a name that is no tunable");
}

static sk_t1_value quoted(reader *r)
{
    const char quote = *r->at++, *from = r->at;
    while (*r->at && *r->at != quote && *r->at != '\\') r->at++;
    if (*r->at != quote) return fail(r, "a word without its second quote");
    return (sk_t1_value){from, (size_t)(r->at++ - from), 0};
}

static sk_t1_value atom(reader *r)
{
    char *end;
    skip_blanks(r);
    if (*r->at == '\'' || *r->at == '"') return quoted(r);
    if (isdigit((unsigned char)*r->at) || *r->at == '.') {
        const double x = strtod(r->at, &end);
        if (end == r->at || !isfinite(x)) return fail(r, "no number");
        r->at = end;
        return number(x);
    }
    if (of_name(*r->at)) return named(r);
    if (!take(r, "(")) return fail(r, *r->at ? "what is no value" : "the end, where a value belongs");
    const sk_t1_value v = any(r);
    return take(r, ")") ? v : fail(r, "no )");
}

/* ---- sums and products -------------------------------------------------------------- */

typedef enum sign { PLUS, MINUS, TIMES, SHARE, WHOLE, REST, POWER } sign;

static sk_t1_value compute(reader *r, sign what, sk_t1_value a, sk_t1_value b)
{
    double x = a.number, y = b.number, z = 0;
    if (r->dead || r->wrong) return (sk_t1_value){0};
    if (a.word || b.word) return fail(r, "a word that is computed with");
    if (what >= SHARE && what <= REST && y == 0) return fail(r, "a division by zero");
    switch (what) {
    case PLUS: z = x + y; break;
    case MINUS: z = x - y; break;
    case TIMES: z = x * y; break;
    case SHARE: z = x / y; break;
    case WHOLE: z = floor(x / y); break;
    case REST: z = x - y * floor(x / y); break;
    case POWER: z = pow(x, y); break;
    }
    return isfinite(z) ? number(z) : fail(r, "no number comes out");
}

static sk_t1_value factor(reader *r)
{
    sk_t1_value v;
    if (r->depth++ >= DEPTH_MOST) return fail(r, "too deep");
    if (take(r, "-"))
        v = compute(r, MINUS, number(0), factor(r));
    else if (take(r, "+"))
        v = factor(r);
    else
        v = atom(r);
    if (take(r, "**")) v = compute(r, POWER, v, factor(r));
    r->depth--;
    return v;
}

static sk_t1_value product(reader *r)
{
    sk_t1_value v = factor(r);
    while (!r->wrong) {
        if (take(r, "*")) v = compute(r, TIMES, v, factor(r));
        else if (take(r, "//")) v = compute(r, WHOLE, v, factor(r));
        else if (take(r, "/")) v = compute(r, SHARE, v, factor(r));
        else if (take(r, "%")) v = compute(r, REST, v, factor(r));
        else break;
    }
    return v;
}

static sk_t1_value sum(reader *r)
{
    sk_t1_value v = product(r);
    while (!r->wrong) {
        if (take(r, "+")) v = compute(r, PLUS, v, product(r));
        else if (take(r, "-")) v = compute(r, MINUS, v, product(r));
        else break;
    }
    return v;
}

/* ---- truth ------------------------------------------------------------------------------ */

static uint32_t list(reader *r, sk_t1_value *value, uint32_t most)
{
    uint32_t n = 0;
    const char *end = take(r, "[") ? "]" : take(r, "(") ? ")" : NULL;
    if (!end) (void)fail(r, "no [");
    while (!r->wrong && !take(r, end)) {
        if (n == most) (void)fail(r, "too many values");
        else value[n++] = sum(r);
        if (!take(r, ",") && *r->at != *end) (void)fail(r, *end == ']' ? "no , or ]" : "no , or )");
    }
    return r->wrong ? 0 : n;
}

static bool within(reader *r, const sk_t1_value *v)
{
    sk_t1_value of[LIST_MOST];
    const uint32_t n = list(r, of, LIST_MOST);
    for (uint32_t i = 0; i < n; i++)
        if (sk_t1_value_order(v, &of[i]) == 0) return true;
    return false;
}

/* Which of two comes first, of a word and a number, no one can say. */
static bool holds(reader *r, const char *sign, const sk_t1_value *left, const sk_t1_value *right)
{
    const int by = sk_t1_value_order(left, right);
    if (sign[0] == '=' || sign[0] == '!') return (by == 0) == (sign[0] == '=');
    if (!r->dead && !left->word != !right->word)
        (void)fail(r, "a word that is compared with a number");
    return (by == 0 && sign[1] == '=') || (sign[0] == '<' ? by < 0 : by > 0);
}

/* One after the other, as in 32 <= a * b <= 1024, until one does not hold. */
static sk_t1_value compare(reader *r)
{
    static const char *const signs[] = {"<=", ">=", "==", "!=", "<", ">"};
    sk_t1_value left = sum(r);
    bool all = true, some = false;
    while (!r->wrong) {
        uint32_t s = 0;
        if (take(r, "in")) return number(within(r, &left));
        if (take(r, "not")) {
            if (!take(r, "in")) return fail(r, "no `in` behind `not`");
            return number(!within(r, &left));
        }
        while (s < SK_COUNT(signs) && !take(r, signs[s])) s++;
        if (s == SK_COUNT(signs)) break;
        r->dead += !all;
        const sk_t1_value right = sum(r);
        const bool held = holds(r, signs[s], &left, &right);
        r->dead -= !all;
        all = all && held;
        some = true;
        left = right;
    }
    return some ? number(all) : left;
}

static sk_t1_value negation(reader *r)
{
    if (r->depth++ >= DEPTH_MOST) return fail(r, "too deep");
    skip_blanks(r);
    const bool sign = r->at[0] == '!' && r->at[1] != '=';
    sk_t1_value v;
    if (take(r, "not") || (sign && take(r, "!"))) {
        v = negation(r);
        v = number(!is_true(&v));
    } else {
        v = compare(r);
    }
    r->depth--;
    return v;
}

static sk_t1_value all_of(reader *r)
{
    sk_t1_value v = negation(r);
    while (!r->wrong && take_either(r, "and", "&&")) {
        const bool held = is_true(&v);
        r->dead += !held;
        const sk_t1_value next = negation(r);
        r->dead -= !held;
        if (held) v = next;
    }
    return v;
}

static sk_t1_value any(reader *r)
{
    sk_t1_value v = all_of(r);
    while (!r->wrong && take_either(r, "or", "||")) {
        const bool held = is_true(&v);
        r->dead += held;
        const sk_t1_value next = all_of(r);
        r->dead -= held;
        if (!held) v = next;
    }
    return v;
}

/* Everything was read, and nothing was wrong. */
static sk_status ended(reader *r, sk_err *err)
{
    skip_blanks(r);
    if (!r->wrong && *r->at) r->wrong = "more than belongs there";
    if (!r->wrong) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "'%.160s': %s, at '%.30s'", r->text, r->wrong, r->at);
}

sk_status sk_t1_evaluate(const char *text, const sk_t1_scope *scope, bool *out, sk_err *err)
{
    reader r = {.text = text, .at = text, .scope = scope};
    const sk_t1_value v = any(&r);
    *out = is_true(&v);
    return ended(&r, err);
}

sk_status sk_t1_list(const char *text, sk_t1_value *value, uint32_t most, uint32_t *n, sk_err *err)
{
    reader r = {.text = text, .at = text};
    *n = list(&r, value, most);
    return ended(&r, err);
}
