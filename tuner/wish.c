/* wish.c - see wish.h. */
#include "wish.h"

#include <string.h>

#include "job.h"
#include "pick.h"

#define EVERY_KEY "first-class"

/* Takes the text, whatever comes of it. */
static sk_status add_mix(sk_mixes *m, sk_text *mix, bool expanded, sk_err *err)
{
    sk_status st = SPHKV_OK;
    if (mix->failed)
        st = sk_fail(err, SPHKV_ENOMEM, "no memory for a mix");
    else if (mix->len == 0)
        st = sk_fail(err, SPHKV_EINVAL, "--tiers: an empty mix");
    for (uint32_t i = 0; i < m->n && st == SPHKV_OK && expanded; i++)
        if (strcmp(m->mix[i], mix->s) == 0) {
            sk_text_free(mix);
            return SPHKV_OK;
        }
    if (st == SPHKV_OK && m->n == SK_WISH_MIXES)
        st = sk_fail(err, SPHKV_EINVAL, "--tiers: more than %u mixes", SK_WISH_MIXES);
    if (st != SPHKV_OK) {
        sk_text_free(mix);
        return st;
    }
    m->expanded[m->n] = expanded;
    m->mix[m->n++] = mix->s;
    return SPHKV_OK;
}

/* One mix per first-class key; rest: ":vi8,kf16:vf16". */
static sk_status add_every_key(sk_mixes *m, const char *rest, size_t len, sk_err *err)
{
    static const char usual[] = ":vi8,kf16:vf16";
    sk_status st = SPHKV_OK;
    const char *key;
    if (len == 0) rest = usual, len = sizeof usual - 1;
    const char *comma = memchr(rest, ',', len);
    const size_t first = comma ? (size_t)(comma - rest) : len;
    for (uint32_t i = 0; st == SPHKV_OK && (key = sk_first_class_key(i)) != NULL; i++) {
        sk_text mix = {0};
        sk_text_printf(&mix, "%s%.*s", key, (int)first, rest);
        /* the other tiers, but the one that the first has become */
        for (const char *at = comma; at && !mix.failed && at < rest + len;) {
            const char *next = memchr(at + 1, ',', (size_t)(rest + len - at - 1));
            const size_t n = (size_t)((next ? next : rest + len) - at);
            const size_t tier = strcspn(mix.s, ",");
            if (n - 1 != tier || memcmp(mix.s, at + 1, tier) != 0) sk_text_append(&mix, at, n);
            at = next;
        }
        st = add_mix(m, &mix, true, err);
    }
    return st;
}

sk_status sk_mixes_add(sk_mixes *m, const char *text, sk_err *err)
{
    const size_t every = sizeof EVERY_KEY - 1;
    for (const char *p = text; *p;) {
        const size_t len = strcspn(p, ";");
        sk_text one = {0};
        sk_status st;
        if (len >= every && memcmp(p, EVERY_KEY, every) == 0 && (len == every || p[every] == ':')) {
            st = add_every_key(m, p + every, len - every, err);
        } else {
            sk_text_append(&one, p, len);
            st = add_mix(m, &one, false, err);
        }
        if (st != SPHKV_OK) return st;
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
                if (spec->variants & SPHKV_VARIANT_QUERIES) shape.q_len = o->q_len ? o->q_len : 4;
                st = add_item(w, spec, &shape, mix, err);
            }
    return st;
}

/* One spec in each of the layouts that are tried; a row that moves nothing is the
 * spec's own. */
static sk_status add_layouts(const sk_options *o, const sk_spec *spec, uint32_t mix, sk_wish *w,
                             sk_err *err)
{
    sk_status st = SPHKV_OK;
    if (o->layouts.n == 0) return add_shapes(o, spec, mix, w, err);
    for (uint32_t i = 0; i < o->layouts.n && st == SPHKV_OK; i++) {
        sk_spec row = *spec;
        row.layout = o->layouts.v[i];
        st = add_shapes(o, sk_layout_same(spec, &row) ? spec : &row, mix, w, err);
    }
    return st;
}

/* Of a mix that nobody wrote out: whether there is a kernel. Says when not. */
static const char *why_none(uint32_t mix)
{
    if (mix == SPHKV_MIX_DENSE) return "no dense tier for it";
    return mix == SPHKV_MIX_TWO ? "no coded tier with a smaller one to move to"
                                : "no coded tier with a dense one to code from";
}

static bool wanted(const sk_spec *spec, const char *tiers, sk_wish *w)
{
    sk_err err = {0};
    if (sk_kernel_get(spec->kernel)->supported(spec, &err) == SPHKV_OK) return true;
    sk_text_printf(&w->skipped, "%s is left out: %s\n", tiers, err.message);
    return false;
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
            /* what nobody named may have no form of a model's variants */
            const bool asked = !mixes->expanded[m] && (kernels != ~0u || k == SPHKV_ATTN_DECODE);
            for (uint32_t i = 0; i < n && st == SPHKV_OK; i++)
                if (asked || wanted(&spec[i], o.tiers, out))
                    st = add_layouts(&o, &spec[i], m, out, err);
            if (st == SPHKV_OK && n == 0)
                sk_text_printf(&out->skipped, "%s is left out for %s: %s\n", sk_kernel_name(k),
                               o.tiers,
                               why_none(sk_kernel_row_get(k)->mix));
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
    sk_spec_mix_print(&item->spec, out);
    if (shape.context) sk_text_printf(out, " context %u", shape.context);
    sk_text_printf(out, " batch %u threads %u", shape.batch, shape.threads);
}

sk_status sk_wish_space_print(const sk_wish_item *item, const sk_target *target, const char *keep,
                              sk_text *out, sk_err *err)
{
    sk_space space;
    sk_status st = sk_space_make(&item->spec, target, &space, err);
    if (st == SPHKV_EUNSUPPORTED) {
        sk_wish_print(item, out);
        sk_text_printf(out, ": not supported: %s\n", err->message);
        return SPHKV_OK;
    }
    if (st == SPHKV_OK && keep) st = sk_space_keep(&space, keep, err);
    if (st != SPHKV_OK) {
        sk_space_free(&space);
        return st;
    }
    sk_wish_print(item, out);
    sk_text_printf(out, ": %llu combinations, %u of them can run\n",
                   (unsigned long long)space.combinations, space.count);
    for (uint32_t i = 0; i < space.count; i++) {
        sk_text_append(out, "  ", 2);
        sk_schedule_print(item->spec.kernel, &space.candidate[i].schedule, out);
        sk_text_append(out, i ? "\n" : "  (default)\n", i ? 1 : 12);
    }
    sk_space_free(&space);
    return SPHKV_OK;
}
