/* wish.c - see wish.h. */
#include "wish.h"

#include <string.h>

#include "job.h"
#include "pick.h"

sk_status sk_mixes_add(sk_mixes *m, const char *text, sk_err *err)
{
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ";");
        sk_text one = {0};
        if (m->n == SK_WISH_MIXES)
            return sk_fail(err, SPHKV_EINVAL, "--tiers: more than %u mixes", SK_WISH_MIXES);
        sk_text_append(&one, p, len);
        if (one.failed) {
            sk_text_free(&one);
            return sk_fail(err, SPHKV_ENOMEM, "no memory for a mix");
        }
        m->mix[m->n++] = one.s;
        if (len == 0) return sk_fail(err, SPHKV_EINVAL, "--tiers: an empty mix");
        p += len;
        if (*p == ';' && *++p == '\0')
            return sk_fail(err, SPHKV_EINVAL, "--tiers: a semicolon at the end");
    }
    return SPHKV_OK;
}

void sk_mixes_free(sk_mixes *m)
{
    for (uint32_t i = 0; i < m->n; i++) sk_free(m->mix[i]);
    m->n = 0;
}

static bool same_item(const sk_wish_item *a, const sk_spec *spec, const sk_shape *shape)
{
    char x[SK_DB_SHAPE_TEXT], y[SK_DB_SHAPE_TEXT];
    sk_db_shape ours = sk_pick_shape(spec, shape), theirs = sk_pick_shape(&a->spec, &a->shape);
    sk_text s = {0}, t = {0};
    sk_db_shape_text(&ours, x);
    sk_db_shape_text(&theirs, y);
    sk_spec_print(spec, &s);
    sk_spec_print(&a->spec, &t);
    bool same = !s.failed && !t.failed && strcmp(s.s, t.s) == 0 && strcmp(x, y) == 0;
    sk_text_free(&s);
    sk_text_free(&t);
    return same;
}

static sk_status add_item(sk_wish *w, const sk_spec *spec, const sk_shape *shape, uint32_t mix,
                          sk_err *err)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (same_item(&w->item[i], spec, shape)) return SPHKV_OK;
    if (w->n == w->cap) {
        uint32_t cap = w->cap ? 2 * w->cap : 16;
        sk_wish_item *more = sk_realloc(w->item, cap * sizeof *more);
        if (!more) return sk_fail(err, SPHKV_ENOMEM, "no memory for %u kernels", cap);
        w->item = more;
        w->cap = cap;
    }
    w->item[w->n++] = (sk_wish_item){*spec, *shape, mix};
    return SPHKV_OK;
}

/* One spec at all shapes. */
static sk_status add_shapes(const sk_options *o, const sk_spec *spec, uint32_t mix, sk_wish *w,
                            sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t c = 0; c < o->context.n; c++)
        for (uint32_t b = 0; b < o->batch.n; b++)
            for (uint32_t t = 0; t < o->threads.n && st == SPHKV_OK; t++) {
                sk_shape shape = sk_job_shape(spec, o->kv_heads, o->context.v[c], o->batch.v[b],
                                              o->threads.v[t]);
                st = add_item(w, spec, &shape, mix, err);
            }
    return st;
}

sk_status sk_wish_make(const sk_options *options, const sk_mixes *mixes, uint32_t kernels,
                       sk_wish *out, sk_err *err)
{
    sk_options o = *options;
    sk_status st = SPHKV_OK;
    memset(out, 0, sizeof *out);
    for (uint32_t m = 0; m < mixes->n; m++)
        for (uint32_t k = 0; st == SPHKV_OK && sk_kernel_name(k); k++) {
            sk_spec spec[SK_MAX_TIERS];
            uint32_t n = 0;
            if (!(kernels & SK_FOR(k))) continue;
            o.tiers = mixes->mix[m];
            st = sk_options_specs(&o, k, spec, &n, err);
            for (uint32_t i = 0; i < n && st == SPHKV_OK; i++)
                st = add_shapes(&o, &spec[i], m, out, err);
            if (st == SPHKV_OK && n == 0)
                sk_text_printf(&out->skipped, "%s is left out for %s: %s\n", sk_kernel_name(k),
                               o.tiers,
                               sk_kernel_row_get(k)->mix == SPHKV_MIX_DENSE
                                   ? "no dense tier for it"
                                   : "no coded tier with a dense one to code from");
        }
    if (st != SPHKV_OK) sk_wish_free(out);
    return st;
}

void sk_wish_free(sk_wish *w)
{
    sk_free(w->item);
    sk_text_free(&w->skipped);
    memset(w, 0, sizeof *w);
}

void sk_wish_print(const sk_wish_item *item, sk_text *out)
{
    sk_db_shape shape = sk_pick_shape(&item->spec, &item->shape);
    sk_text_printf(out, "%s ", sk_kernel_name(item->spec.kernel));
    sk_mix_print(item->spec.tier, item->spec.ntiers, out);
    if (shape.context) sk_text_printf(out, " context %u", shape.context);
    sk_text_printf(out, " batch %u threads %u", shape.batch, shape.threads);
}
