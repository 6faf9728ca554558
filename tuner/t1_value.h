/* t1_value.h - a value of a tunable in a space of others, and what descriptions of such
 * spaces say about it in text: lists of values, and constraints.
 *
 * Constraints are what Python evaluates: numbers, names, words in quotes, + - * / // % **,
 * comparisons (also several in a row, and `in [...]`), and, or, not, parentheses; && || !
 * mean the same. What is not looked at (behind a true `or`, a false `and`, a comparison
 * in a row that does not hold) may divide by zero. */
#ifndef SK_T1_VALUE_H
#define SK_T1_VALUE_H

#include "base.h"

struct cJSON;

/* A number (false and true are 0 and 1) or a word, not its own. */
typedef struct sk_t1_value {
    const char *word; /* NULL: a number */
    size_t len;       /* of the word */
    double number;
} sk_t1_value;

/* False: it is neither. */
bool sk_t1_value_take(const struct cJSON *item, sk_t1_value *out);
/* Numbers first, as for qsort. */
int sk_t1_value_order(const void *a, const void *b);

/* Named values. */
typedef struct sk_t1_scope {
    uint32_t n;
    const char *const *name;
    const sk_t1_value *value;
} sk_t1_scope;

/* SPHKV_EINVAL: it cannot be read or evaluated, with the place. Words of the result lie in
 * `text` or in the scope. */
sk_status sk_t1_evaluate(const char *text, const sk_t1_scope *scope, bool *out, sk_err *err);
/* "[1, 2, 4]": at most `most` values. */
sk_status sk_t1_list(const char *text, sk_t1_value *value, uint32_t most, uint32_t *n, sk_err *err);

#endif
