/* options.h - reading a command line, and the options that tune, bench and gen
 * share: what is computed (spec), and what only steers the choice (shape).
 *
 * A command walks its words with sk_args, tries its own options first and gives
 * the rest to sk_options_take:
 *
 *     while (!(st = sk_args_next(&a, &err)) && a.word)
 *         if (own option) ...
 *         else if ((st = sk_options_take(&o, &a, &taken, &err)) || !taken) ...
 *
 * Both --name VALUE and --name=VALUE are read. Texts point into argv. */
#ifndef SK_OPTIONS_H
#define SK_OPTIONS_H

#include "models.h"
#include "schedule.h"
#include "spec.h"

typedef struct sk_args {
    int argc;
    char **argv;
    int at;           /* the next word */
    const char *word; /* the current one: an option's name, or any other word; NULL at the end */
    const char *value;/* what stood behind = of the current option, or NULL */
    bool literal;     /* "--" was seen: the rest are no options */
    char name[32];    /* an option's name up to = */
} sk_args;

void sk_args_begin(sk_args *a, int argc, char **argv);
/* SPHKV_EINVAL when the word before left a value behind that nobody took. */
sk_status sk_args_next(sk_args *a, sk_err *err);
/* Whether the current word is this option ("--page"). */
bool sk_args_is(const sk_args *a, const char *option);
/* The value of the current option; SPHKV_EINVAL when there is none. */
sk_status sk_args_value(sk_args *a, const char **value, sk_err *err);
sk_status sk_args_u32(sk_args *a, uint32_t lo, uint32_t hi, uint32_t *out, sk_err *err);
/* A list of kernels as a mask of SK_FOR; all their names, each after a blank. */
sk_status sk_args_kernels(sk_args *a, uint32_t *mask, sk_err *err);
#define SK_KERNEL_NAME(id, name, mix, reads) " " #name
#define SK_KERNEL_NAMES SPHKV_KERNELS(SK_KERNEL_NAME)
sk_status sk_args_f64(sk_args *a, double lo, double hi, double *out, sk_err *err);
/* "90", "90s", "15m", "2h" in seconds. */
sk_status sk_args_seconds(sk_args *a, double *out, sk_err *err);

#define SK_LIST_MAX 16u
typedef struct sk_list {
    uint32_t n;
    uint32_t v[SK_LIST_MAX];
} sk_list;
/* "1024,8192": numbers in [lo, hi], each once. */
sk_status sk_args_list(sk_args *a, uint32_t lo, uint32_t hi, sk_list *out, sk_err *err);
/* What a list that nobody has said is. */
static inline void sk_list_default(sk_list *list, sk_list to)
{
    if (list->n == 0) *list = to;
}

/* Options without a value. */
typedef struct sk_flag {
    const char *name;
    bool *at;
} sk_flag;
/* Sets the one of n that the current word is; false: none. */
bool sk_args_flag(const sk_args *a, const sk_flag *flag, size_t n);

typedef struct sk_options {
    const char *model;                 /* --model, resolved at once; NULL = none */
    uint32_t head_dim, value_dim;      /* 0 = not said */
    uint32_t heads, kv_heads;          /* query heads, KV heads; 0 = not said */
    uint32_t heads_per_kv;             /* 0 = from heads and kv_heads */
    const char *tiers;                 /* the mix; NULL = the default of the library */
    uint32_t page;                     /* P; 0 = 128 */
    uint32_t layout;                   /* as in sphkv_spec_params: 0, or row + 1 */
    sk_list layouts;                   /* rows that are tried side by side; n = 0: layout alone */
    uint32_t dtype[3];                 /* of query, output, input rows */
    uint32_t accuracy;                 /* sphkv_accuracy */
    uint32_t book;                     /* SPHKV_BOOK_* */
    uint32_t variants;                 /* SPHKV_VARIANT_* */
    sk_list context, batch, threads;   /* n = 0: not said */
    uint32_t q_len;                    /* query tokens, of the variant queries; 0 = not said */
    const char *db;                    /* --db; NULL = not said */
    bool json;
    bool list_models;                  /* --model list: the command prints sk_models_print */
    sk_model about;                    /* what --model is; name "" without one */
    char latent[48];                   /* the mix of latent attention when none is said */
} sk_options;

/* Takes the current word when it is one of the shared options. What a model
 * says is overridden by options before and after it. */
sk_status sk_options_take(sk_options *o, sk_args *a, bool *taken, sk_err *err);
/* After the last word: model, heads and defaults put together and checked.
 * head_dim, kv_heads and heads_per_kv are all set then (kv_heads 8, one query
 * head per KV head, when nothing says otherwise); head_dim must be known. */
sk_status sk_options_finish(sk_options *o, sk_err *err);

/* For commands: the known models on stdout, as text or --json (the exit code),
 * and on stderr how the layers of the model that see a part are served. */
int sk_options_list_models(const sk_options *o, const char *program);
void sk_options_note(const sk_options *o, const char *program);

/* A spec as the library's callers give it; finished options, the mix as text. */
sphkv_spec_params sk_options_params(const sk_options *o, uint32_t kernel, const char *tiers);
/* The specs of a kernel for the mix, by what its row of SPHKV_KERNELS says: one for
 * a kernel of any mix or of none; one for each dense tier (kv_append); one for each
 * coded tier, from the first dense tier (kv_encode); one for each coded tier that has a
 * smaller one in the mix, to the next of them, of those on the other side of RoPE to the
 * next that it can become (page_retier). n may become 0 (a mix without dense tiers has no
 * tail). */
sk_status sk_options_specs(const sk_options *o, uint32_t kernel, sk_spec spec[SK_MAX_TIERS],
                           uint32_t *n, sk_err *err);

/* The help text of the shared options, for --help. */
extern const char sk_options_spec_help[];
extern const char sk_options_shape_help[];

#endif
