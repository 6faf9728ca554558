/* spec_seen.c - which specs, schedules and inputs were met, against what the
 * kernels say that they do. Whether a class is supported is asked of the kernel
 * by one plain spec: what is added to a kernel is demanded here from then on. */
#include "spec_random.h"

#include <stdio.h>
#include <string.h>

void sk_seen_spec(sk_seen *seen, const sk_spec *spec, const sk_schedule *schedule)
{
    const uint32_t k = spec->kernel;
    seen->specs++;
    seen->kernel[k]++;
    seen->ntiers[spec->ntiers]++;
    seen->layout[spec->layout]++;
    seen->q[k][spec->q_dtype]++;
    seen->out[k][spec->out_dtype]++;
    seen->in[k][spec->in_dtype]++;
    seen->accuracy[spec->accuracy]++;
    for (uint32_t i = 0; sk_book_name(i); i++)
        seen->book[k][i] += spec->book >> i & 1;
    for (uint32_t i = 0; i < SK_VARIANTS; i++)
        seen->variant[k][i] += spec->variants >> i & 1;
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
        for (uint32_t i = 0; i < sk_tunable_count(t); i++)
            seen->tunable[k][t][i] += schedule->v[t] == sk_tunable_value(t, i);
    for (uint32_t t = 0; t < spec->ntiers; t++) {
        const sk_tier *tier = &spec->tier[t];
        const bool moved = sk_spec_turned(spec) || spec->book & SPHKV_BOOK_PERMUTATION;
        const bool mixed = moved && tier->nseg > 1 && !sk_tier_is_dense(tier);
        seen->mixed[k][0] += mixed && tier->value == SK_VAL_KEY;
        seen->mixed[k][1] += mixed && sk_tier_pre_rope(tier);
        seen->value[k][spec->tier[t].value]++;
        for (uint32_t s = 0; s < spec->tier[t].nseg; s++) {
            const sk_segment *seg = &spec->tier[t].seg[s];
            seen->key[k][seg->kind]++;
            seen->pre_rope[k][seg->kind != SK_KEY_CODED] += seg->pre_rope;
            if (seg->kind != SK_KEY_CODED) continue;
            seen->b[seg->b]++;
            seen->rb[seg->rb]++;
            seen->g[seg->g]++;
            seen->span_group += seg->span == seg->g;
            seen->span_head += seg->span == SK_SPAN_ALL;
            seen->span_between += seg->span != seg->g && seg->span != SK_SPAN_ALL;
        }
    }
}

void sk_seen_case(sk_seen *seen, const sk_case_params *params)
{
    seen->cases++;
    seen->input[params->spec.kernel][params->input]++;
    if (sk_kernel_get(params->spec.kernel)->over_lists) {
        seen->lists_shared += params->lists_per_seq == 1;
        seen->lists_per_head += params->lists_per_seq != 1;
    }
}

/* ---- names of key and value kinds ----------------------------------------------- */

static const char *key_text(uint32_t kind)
{
    static const char *const text[] = {"g4b4r8", "kf32", "kf16", "kbf16", "ki8", "ki4", "kf8"};
    return text[kind];
}

/* ---- as text --------------------------------------------------------------------------- */

static void print_counts(sk_text *out, const char *what, const uint32_t *count, uint32_t n,
                         const char *(*name)(uint32_t))
{
    sk_text_printf(out, " %s", what);
    for (uint32_t i = 0; i < n; i++)
        if (count[i] && name)
            sk_text_printf(out, " %s:%u", name(i), count[i]);
        else if (count[i])
            sk_text_printf(out, " %u:%u", i, count[i]);
    sk_text_printf(out, ";");
}

static void print_kernel(const sk_seen *seen, uint32_t k, sk_text *out)
{
    sk_text_printf(out, "%s %u:", sk_kernel_name(k), seen->kernel[k]);
    print_counts(out, "keys", seen->key[k], SK_COUNT(seen->key[k]), key_text);
    sk_text_printf(out, " before RoPE coded %u, dense %u;", seen->pre_rope[k][0], seen->pre_rope[k][1]);
    sk_text_printf(out, " mixed segments vk %u, before RoPE %u;", seen->mixed[k][0], seen->mixed[k][1]);
    print_counts(out, "values", seen->value[k], SK_COUNT(seen->value[k]), sk_value_name);
    print_counts(out, "inputs", seen->input[k], SK_INPUT_COUNT, sk_input_name);
    const uint32_t reads = sk_kernel_row_get(k)->reads;
    if (reads & SPHKV_READS_Q) print_counts(out, "q", seen->q[k], 3, sk_dtype_name);
    if (reads & SPHKV_READS_OUT) print_counts(out, "out", seen->out[k], 3, sk_dtype_name);
    if (reads & SPHKV_READS_IN) print_counts(out, "in", seen->in[k], 3, sk_dtype_name);
    print_counts(out, "book", seen->book[k], SK_COUNT(seen->book[k]), sk_book_name);
    print_counts(out, "variants", seen->variant[k], SK_VARIANTS, sk_variant_name);
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        if (!sk_tunable_tunes(t, k, seen->backend)) continue;
        sk_text_printf(out, " %s", sk_tunable_get(t)->name);
        for (uint32_t i = 0; i < sk_tunable_count(t); i++)
            sk_text_printf(out, "%c%u", i ? '/' : ' ', seen->tunable[k][t][i]);
        sk_text_printf(out, ";");
    }
    sk_text_printf(out, "\n");
}

void sk_seen_print(const sk_seen *seen, sk_text *out)
{
    for (uint32_t k = 0; k < SPHKV_KERNEL_COUNT; k++)
        print_kernel(seen, k, out);
    sk_text_printf(out, "all:");
    print_counts(out, "tiers", seen->ntiers, SK_COUNT(seen->ntiers), NULL);
    print_counts(out, "b", seen->b, SK_COUNT(seen->b), NULL);
    print_counts(out, "rb", seen->rb, SK_COUNT(seen->rb), NULL);
    print_counts(out, "g", seen->g, SK_COUNT(seen->g), NULL);
    sk_text_printf(out, " spans of a group %u, of the head %u, between %u;", seen->span_group,
                   seen->span_head, seen->span_between);
    print_counts(out, "class", seen->accuracy, 3, sk_accuracy_name);
    print_counts(out, "layout", seen->layout, SK_LAYOUT_ROWS, NULL);
    sk_text_printf(out, " lists shared %u, per head %u\n", seen->lists_shared,
                   seen->lists_per_head);
}

/* ---- what is missing ---------------------------------------------------------------- */

static bool takes_two(uint32_t kernel)
{
    const uint32_t mix = sk_kernel_row_get(kernel)->mix;
    return mix == SPHKV_MIX_PAIR || mix == SPHKV_MIX_TWO;
}

/* Whether a kernel takes a tier of these, in some mix that it can be in. */
static bool tier_supported(uint32_t kernel, const char *key, const char *value, const char *book)
{
    const uint32_t mix = sk_kernel_row_get(kernel)->mix;
    char text[160];
    sk_spec spec;
    (void)snprintf(text, sizeof text, "%s d64 v64 h1 p64 l1 qf32 of32 if32 tight %s:%s%s %s",
                   sk_kernel_name(kernel), key, value,
                   !takes_two(kernel)                                          ? ""
                   : strcmp(key, "kf16p") == 0                               ? ",kbf16p:vbf16"
                   : strchr(key, 'p')                                        ? ",kf16p:vf16"
                   : strcmp(key, "kf16") == 0 && strcmp(value, "vf16") == 0 ? ",kbf16:vbf16"
                                                                             : ",kf16:vf16",
                   book);
    return mix != SPHKV_MIX_NONE && sk_spec_parse(text, &spec, NULL) == SPHKV_OK &&
           (*book == '\0' || spec.book != 0) && /* else the kernel does not look at it */
           sk_kernel_get(kernel)->supported(&spec, NULL) == SPHKV_OK;
}

/* Whether a kernel supports its plainest spec with another q or output dtype. */
static bool dtype_supported(uint32_t kernel, uint32_t reads, uint32_t dtype)
{
    sk_spec spec = {.kernel = kernel, .d = 64, .dv = 64, .heads_per_kv = 1, .page = 64,
                    .ntiers = 1};
    if (!(sk_kernel_row_get(kernel)->reads & reads) ||
        sk_tier_parse("kf16:vf16", &spec.tier[0], NULL) != SPHKV_OK)
        return false;
    if (reads == SPHKV_READS_Q) spec.q_dtype = dtype;
    if (reads == SPHKV_READS_OUT) spec.out_dtype = dtype;
    if (reads == SPHKV_READS_IN) spec.in_dtype = dtype;
    return sk_spec_check(&spec, NULL) == SPHKV_OK &&
           sk_kernel_get(kernel)->supported(&spec, NULL) == SPHKV_OK;
}

/* Whether a kernel supports its plainest spec with a variant, and reads it. */
static bool variant_supported(uint32_t kernel, uint32_t bit)
{
    char text[160];
    sk_spec spec;
    const bool pair = takes_two(kernel);
    (void)snprintf(text, sizeof text, "%s d64 v64 h1 p64 l1 qf32 of32 if32 tight %skf16:vf16 %s",
                   sk_kernel_name(kernel), pair ? "ki8:vi8," : "", sk_variant_name(bit));
    return sk_spec_parse(text, &spec, NULL) == SPHKV_OK && spec.variants != 0 &&
           sk_kernel_get(kernel)->supported(&spec, NULL) == SPHKV_OK;
}

static _Thread_local char missing[120];

static const char *say(const char *what, const char *of)
{
    (void)snprintf(missing, sizeof missing, "%s of %s", what, of);
    return missing;
}

static const char *missing_of_kernel(const sk_seen *seen, uint32_t k)
{
    const char *name = sk_kernel_name(k);
    if (!sk_kernel_get(k)->form[seen->backend]) return NULL;
    for (uint32_t i = 0; i < SK_COUNT(seen->key[k]); i++)
        if (!seen->key[k][i] && tier_supported(k, key_text(i), "vf16", ""))
            return say(key_text(i), name);
    if ((!seen->pre_rope[k][0] && tier_supported(k, "g4b4r8p", "vf16", "")) ||
        (!seen->pre_rope[k][1] && tier_supported(k, "kf16p", "vf16", "")))
        return say("keys before RoPE", name);
    if (!seen->mixed[k][0] && !seen->mixed[k][1] &&
        tier_supported(k, "32@g4b4r8+32@g4b4r8", "vk", "permutation"))
        return say("mixed segments", name);
    for (uint32_t i = 0; i < SK_COUNT(seen->value[k]); i++)
        if (!seen->value[k][i] && tier_supported(k, "kf16", sk_value_name(i), ""))
            return say(sk_value_name(i), name);
    for (uint32_t i = 0; sk_book_name(i); i++)
        if (!seen->book[k][i] && tier_supported(k, "g4b4r8", "vf16", sk_book_name(i)))
            return say(sk_book_name(i), name);
    for (uint32_t i = 0; i < SK_VARIANTS; i++)
        if (!seen->variant[k][i] && variant_supported(k, i)) return say(sk_variant_name(i), name);
    for (uint32_t i = 0; i < SK_INPUT_COUNT; i++)
        if (!seen->input[k][i]) return say(sk_input_name(i), name);
    for (uint32_t i = 0; i < sk_tunable_count(SK_T_w); i++)
        if (sk_tunable_tunes(SK_T_w, k, seen->backend) && !seen->tunable[k][SK_T_w][i]) return say("some w", name);
    for (uint32_t i = 0; i < 3; i++)
        if ((!seen->q[k][i] && dtype_supported(k, SPHKV_READS_Q, i)) ||
            (!seen->out[k][i] && dtype_supported(k, SPHKV_READS_OUT, i)) ||
            (!seen->in[k][i] && dtype_supported(k, SPHKV_READS_IN, i)))
            return say(sk_dtype_name(i), name);
    return NULL;
}

/* A kernel need not take every value of a tunable that it shares. */
static const char *missing_of_tunable(const sk_seen *seen, uint32_t t)
{
    for (uint32_t i = 0; i < sk_tunable_count(t); i++) {
        uint32_t n = 0, kernels = 0;
        for (uint32_t k = 0; k < SPHKV_KERNEL_COUNT; k++) {
            if (!sk_tunable_tunes(t, k, seen->backend)) continue;
            n += seen->tunable[k][t][i];
            kernels++;
        }
        if (n == 0 && kernels > 0) return say("some value", sk_tunable_get(t)->name);
    }
    return NULL;
}

const char *sk_seen_missing(const sk_seen *seen)
{
    for (uint32_t k = 0; k < SPHKV_KERNEL_COUNT; k++)
        if (missing_of_kernel(seen, k)) return missing;
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
        if (missing_of_tunable(seen, t)) return missing;
    for (uint32_t b = 2; b <= 8; b++)
        if (!seen->b[b]) return say("some width", "angle codes");
    for (uint32_t i = 4; i <= 16; i *= 2)
        if (!seen->rb[i]) return say("some width", "radii");
    for (uint32_t i = 0; i < 3; i++)
        if (!seen->accuracy[i]) return say(sk_accuracy_name(i), "all kernels");
    for (uint32_t i = 0; i < SK_LAYOUT_ROWS; i++)
        if (!seen->layout[i]) return say("some row", "layouts");
    for (uint32_t n = 1; n <= SK_MAX_TIERS; n++)
        if (!seen->ntiers[n]) return say("some number", "tiers");
    if (!seen->span_group || !seen->span_head || !seen->span_between)
        return say("some kind", "spans");
    return seen->lists_shared && seen->lists_per_head ? NULL : say("a mode", "lists");
}
