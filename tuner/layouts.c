/* layouts.c - see layouts.h. Winners of two rows are jobs of their own, apart in time:
 * their rooflines, each against a sweep beside it, are compared, not their times. */
#include "layouts.h"

#include <math.h>
#include <string.h>

#define WORTH 1.02 /* what another row must bring to be preferred to the default */

sk_status sk_layouts_take(sk_args *a, sk_list *out, sk_err *err)
{
    sk_args word = *a;
    const char *text;
    sk_status st = sk_args_value(&word, &text, err);
    if (st != SPHKV_OK) return st;
    if (strcmp(text, "all") != 0) return sk_args_list(a, 0, SK_LAYOUT_ROWS - 1, out, err);
    *a = word;
    out->n = SK_LAYOUT_ROWS;
    for (uint32_t i = 0; i < SK_LAYOUT_ROWS; i++) out->v[i] = i;
    return SPHKV_OK;
}

static bool attention(const sk_result *r)
{
    return r->tiers && strcmp(r->kernel, sk_kernel_name(SPHKV_ATTN_DECODE)) == 0;
}

static bool same_mix(const sk_result *a, const sk_result *b)
{
    return attention(b) && strcmp(a->tiers, b->tiers) == 0 && strcmp(a->accuracy, b->accuracy) == 0;
}

static bool same_shape(const sk_result *a, const sk_result *b)
{
    char x[SK_DB_SHAPE_TEXT], y[SK_DB_SHAPE_TEXT];
    sk_db_shape_text(&a->shape, x);
    sk_db_shape_text(&b->shape, y);
    return strcmp(x, y) == 0;
}

/* The winner of that row for r's mix and shape; NULL: there is none. */
static const sk_result *in_row(const sk_result *result, uint32_t n, const sk_result *r, uint32_t row)
{
    for (uint32_t i = 0; i < n; i++)
        if (same_mix(r, &result[i]) && result[i].layout == row && same_shape(r, &result[i]))
            return result[i].verified && result[i].roofline > 0 ? &result[i] : NULL;
    return NULL;
}

static void find_rows(const sk_result *result, uint32_t n, const sk_result *first,
                      sk_layout_advice *out)
{
    *out = (sk_layout_advice){.tiers = first->tiers, .accuracy = first->accuracy};
    for (uint32_t i = 0; i < n; i++) {
        if (!same_mix(first, &result[i])) continue;
        uint32_t k = 0;
        while (k < out->rows && out->row[k] != result[i].layout) k++;
        if (k == out->rows && k < SK_LIST_MAX) out->row[out->rows++] = result[i].layout;
    }
}

/* Shapes that lack a row's winner are left out for all rows. */
static void compare(const sk_result *result, uint32_t n, const sk_result *first,
                    sk_layout_advice *out)
{
    double sum[SK_LIST_MAX] = {0};
    uint32_t shapes = 0;
    for (uint32_t i = 0; i < n; i++) {
        const sk_result *of[SK_LIST_MAX];
        bool all = same_mix(first, &result[i]) && result[i].layout == out->row[0];
        for (uint32_t k = 0; k < out->rows && all; k++)
            all = (of[k] = in_row(result, n, &result[i], out->row[k])) != NULL;
        if (!all) continue;
        shapes++;
        for (uint32_t k = 0; k < out->rows; k++) sum[k] += log(of[k]->roofline);
    }
    for (uint32_t k = 0; k < out->rows && shapes > 0; k++) out->speed[k] = exp(sum[k] / shapes);
}

static void choose(sk_layout_advice *a)
{
    for (uint32_t k = 1; k < a->rows; k++)
        if (a->speed[k] > a->speed[a->best]) a->best = k;
    for (uint32_t k = 0; k < a->rows; k++)
        if (a->row[k] == SK_LAYOUT_DEFAULT && a->speed[k] * WORTH > a->speed[a->best]) a->best = k;
}

bool sk_layouts_next(const sk_result *result, uint32_t n, uint32_t *at, sk_layout_advice *out)
{
    for (; *at < n; ++*at) {
        const sk_result *r = &result[*at];
        bool met = !attention(r);
        for (uint32_t i = 0; i < *at && !met; i++) met = same_mix(r, &result[i]);
        if (met) continue;
        find_rows(result, n, r, out);
        if (out->rows < 2) continue;
        compare(result, n, r, out);
        choose(out);
        ++*at;
        return true;
    }
    return false;
}

void sk_layouts_print(const sk_result *result, uint32_t n, sk_text *out)
{
    sk_layout_advice a;
    for (uint32_t at = 0, k = 0; sk_layouts_next(result, n, &at, &a); k++) {
        if (k == 0) sk_text_printf(out, "layouts of pages, by attn_decode\n");
        sk_text_printf(out, "  %s %s: ", a.tiers, a.accuracy);
        if (a.speed[a.best] <= 0) {
            sk_text_printf(out, "no shape with a verified result in each row\n");
            continue;
        }
        sk_text_printf(out, "create the cache in row %u%s;", a.row[a.best],
                       a.row[a.best] == SK_LAYOUT_DEFAULT ? " (the default)" : "");
        for (uint32_t i = 0; i < a.rows; i++)
            if (i != a.best)
                sk_text_printf(out, " row %u is %.3f times as fast", a.row[i],
                               a.speed[i] / a.speed[a.best]);
        sk_text_append(out, "\n", 1);
    }
}

void sk_layouts_json(sk_json *j, const sk_result *result, uint32_t n)
{
    sk_layout_advice a;
    uint32_t at = 0, k = 0;
    for (; sk_layouts_next(result, n, &at, &a); k++) {
        if (k == 0) sk_json_open(j, "layouts", '[');
        sk_json_open(j, NULL, '{');
        sk_json_text(j, "tiers", a.tiers);
        sk_json_text(j, "accuracy", a.accuracy);
        if (a.speed[a.best] > 0) sk_json_u64(j, "row", a.row[a.best]);
        sk_json_open(j, "rows", '[');
        for (uint32_t i = 0; i < a.rows; i++) {
            sk_json_open(j, NULL, '{');
            sk_json_u64(j, "row", a.row[i]);
            sk_json_f64(j, "roofline", a.speed[i]);
            sk_json_close(j, '}');
        }
        sk_json_close(j, ']');
        sk_json_close(j, '}');
    }
    if (k > 0) sk_json_close(j, ']');
}
