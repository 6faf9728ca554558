/* spec_tier.c - the tier grammar, the only place that reads or writes it:
 *
 *   mix     = tier { "," tier }
 *   tier    = key ":" value
 *   key     = format | dims "@" format { "+" dims "@" format }
 *   format  = name | "g" n "b" n [ "x" n ] "r" n [ "s" n | "sD" ] [ "p" ] | dense [ "p" ]
 *   dense   = kf32 kf16 kbf16 ki8 ki4
 *   value   = vf32 vf16 vbf16 vf8 vi8 vi4 vk
 *
 * One tier has one canonical spelling, because the text is a key of the
 * database and of codebook files: a first-class name where there is one, no
 * span where it equals the group, sD where it covers the head (in a segment:
 * its number of dimensions), no x1. A dense key takes a p too: the dense tail of a
 * tier that is coded before RoPE holds keys before RoPE. Numbers have no
 * leading zeros. A regular-expression or table-driven parser was not worth its
 * messages: every refusal here names the part that is wrong. */
#include <string.h>

#include "spec.h"
#include "spec_tier.h"

typedef struct named_format {
    const char *name;
    sk_segment seg; /* dims 0 */
} named_format;

#define CODED(g_, b_, rb_, span_, p_)                                                              \
    {                                                                                              \
        .kind = SK_KEY_CODED, .g = g_, .b = b_, .rb = rb_, .span = span_, .pre_rope = p_           \
    }
#define DENSE(kind_)                                                                               \
    {                                                                                              \
        .kind = kind_                                                                              \
    }

/* The first-class keys, and the names that are not (NOT_FIRST_CLASS). */
#define NOT_FIRST_CLASS 2u
static const named_format formats[] = {
    {"high", CODED(16, 6, 8, 16, false)},
    {"mid", CODED(16, 4, 8, 16, false)},
    {"low", CODED(32, 3, 8, 32, false)},
    {"lean", CODED(8, 8, 16, SK_SPAN_ALL, false)},
    {"good", CODED(2, 4, 16, SK_SPAN_ALL, false)},
    {"fine", CODED(2, 6, 16, SK_SPAN_ALL, false)},
    {"turbo", CODED(1, 4, 16, SK_SPAN_ALL, false)},
    {"sharp", CODED(4, 8, 16, SK_SPAN_ALL, true)},
    {"thin", CODED(16, 8, 16, SK_SPAN_ALL, true)},
    {"kf16", DENSE(SK_KEY_F16)},
    {"kbf16", DENSE(SK_KEY_BF16)},
    {"ki8", DENSE(SK_KEY_I8)},
    {"ki4", DENSE(SK_KEY_I4)},
    {"kf32", DENSE(SK_KEY_F32)},
    {"kf8", DENSE(SK_KEY_F8)},
};

const char *sk_first_class_key(uint32_t i)
{
    return i + NOT_FIRST_CLASS < SK_COUNT(formats) ? formats[i].name : NULL;
}

static const char *const value_names[] = {
    [SK_VAL_F32] = "vf32", [SK_VAL_F16] = "vf16", [SK_VAL_BF16] = "vbf16", [SK_VAL_F8] = "vf8",
    [SK_VAL_I8] = "vi8",   [SK_VAL_I4] = "vi4",   [SK_VAL_KEY] = "vk",
};

/* A piece of the text that is being parsed; never NUL-terminated itself. */
typedef struct span {
    const char *s;
    size_t n;
} span;

static bool span_is(span t, const char *word)
{
    return strlen(word) == t.n && memcmp(t.s, word, t.n) == 0;
}

/* Cuts t at the first `mark`: returns what stands before it and leaves the
 * rest in t; *found says whether there was one. */
static span span_cut(span *t, char mark, bool *found)
{
    const char *m = t->n ? memchr(t->s, mark, t->n) : NULL;
    span head = {t->s, m ? (size_t)(m - t->s) : t->n};
    *found = m != NULL;
    size_t used = m ? head.n + 1 : head.n;
    t->s += used;
    t->n -= used;
    return head;
}

/* A number without leading zeros at the head of t, at most 65534; false when
 * there is none. */
static bool span_number(span *t, uint32_t *out)
{
    uint32_t value = 0;
    size_t digits = 0;
    while (digits < t->n && t->s[digits] >= '0' && t->s[digits] <= '9') {
        if (digits == 5 || (digits == 1 && t->s[0] == '0'))
            return false;
        value = value * 10 + (uint32_t)(t->s[digits] - '0');
        digits++;
    }
    if (digits == 0 || value >= SK_SPAN_ALL)
        return false;
    t->s += digits;
    t->n -= digits;
    *out = value;
    return true;
}

static bool span_letter(span *t, char c)
{
    if (t->n == 0 || t->s[0] != c)
        return false;
    t->s++;
    t->n--;
    return true;
}

/* ---- parsing ------------------------------------------------------------ */

/* Cut for messages: a hostile text must not fill the whole message. */
static int shown(span t) { return t.n > 60 ? 60 : (int)t.n; }

static sk_status parse_coded(span text, sk_segment *out, sk_err *err)
{
    span t = text;
    uint32_t g, b, r, s, x = 1;
    bool fits = span_letter(&t, 'g') && span_number(&t, &g) && span_letter(&t, 'b') &&
                span_number(&t, &b);
    if (fits && span_letter(&t, 'x'))
        fits = span_number(&t, &x) && x > 1;
    if (!fits || !span_letter(&t, 'r') || !span_number(&t, &r))
        return sk_fail(err, SPHKV_EINVAL,
                       "'%.*s': a coded key is written "
                       "g<dims>b<bits>[x2|x3|x4]r<bits>[s<dims>|sD][p]",
                       shown(text), text.s);
    if (g > 32)
        return sk_fail(err, SPHKV_EINVAL, "g%u: a group has 1 to 32 dimensions", g);
    if (b > 8)
        return sk_fail(err, SPHKV_EINVAL, "b%u: an angle code has 2 to 8 bits", b);
    if (x > SK_MAX_CODES)
        return sk_fail(err, SPHKV_EINVAL, "x%u: a group has 1 to %u angle codes", x,
                       SK_MAX_CODES);
    if (r > 16)
        return sk_fail(err, SPHKV_EINVAL, "r%u: a radius has 4, 8 or 16 bits", r);
    s = g;
    if (span_letter(&t, 's')) {
        if (span_letter(&t, 'D'))
            s = SK_SPAN_ALL;
        else if (!span_number(&t, &s))
            return sk_fail(err, SPHKV_EINVAL, "'%.*s': s needs a number of dimensions, or D",
                           shown(text), text.s);
    }
    out->kind = SK_KEY_CODED;
    out->g = (uint8_t)g;
    out->b = (uint8_t)b;
    out->more = (uint8_t)(x - 1);
    out->rb = (uint8_t)r;
    out->span = (uint16_t)s;
    out->pre_rope = span_letter(&t, 'p');
    if (t.n)
        return sk_fail(err, SPHKV_EINVAL, "'%.*s': '%.*s' is left over", shown(text), text.s,
                       shown(t), t.s);
    return SPHKV_OK;
}

static sk_status parse_format(span t, sk_segment *out, sk_err *err)
{
    for (size_t i = 0; i < SK_COUNT(formats); i++) {
        const named_format *f = &formats[i];
        bool dense = f->seg.kind != SK_KEY_CODED;
        span bare = {t.s, t.n ? t.n - 1 : 0};
        bool with_p = dense && t.n && t.s[t.n - 1] == 'p' && span_is(bare, f->name);
        if (!span_is(t, f->name) && !with_p)
            continue;
        *out = f->seg;
        if (with_p)
            out->pre_rope = true;
        return SPHKV_OK;
    }
    if (t.n > 1 && t.s[0] == 'g' && t.s[1] >= '0' && t.s[1] <= '9')
        return parse_coded(t, out, err);
    return sk_fail(err, SPHKV_EINVAL,
                   "key format '%.*s' is unknown; names: high mid low lean good fine turbo sharp "
                   "thin kf32 kf16 kbf16 ki8 ki4, or "
                   "g<dims>b<bits>[x2|x3|x4]r<bits>[s<dims>|sD][p]",
                   shown(t), t.s);
}

static sk_status parse_segment(span t, bool several, sk_segment *out, sk_err *err)
{
    uint32_t dims = 0;
    span rest = t;
    bool found;
    span head = span_cut(&rest, '@', &found);
    if (!found) {
        if (several)
            return sk_fail(err, SPHKV_EINVAL,
                           "'%.*s': each of several segments needs its dimensions, as in 96@%.*s",
                           shown(t), t.s, shown(t), t.s);
        rest = t;
    } else if (!span_number(&head, &dims) || head.n || dims == 0) {
        return sk_fail(err, SPHKV_EINVAL, "'%.*s': before @ stands a number of dimensions",
                       shown(t), t.s);
    }
    sk_segment seg;
    sk_status st = parse_format(rest, &seg, err);
    if (st != SPHKV_OK)
        return st;
    seg.dims = (uint16_t)dims;
    st = sk_segment_check(&seg, dims, err);
    if (st != SPHKV_OK)
        return st;
    sk_segment_normalise(&seg, dims);
    *out = seg;
    return SPHKV_OK;
}

static sk_status parse_value(span t, uint8_t *out, sk_err *err)
{
    for (size_t i = 0; i < SK_COUNT(value_names); i++)
        if (span_is(t, value_names[i])) {
            *out = (uint8_t)i;
            return SPHKV_OK;
        }
    return sk_fail(err, SPHKV_EINVAL,
                   "value format '%.*s' is unknown; there are vf32 vf16 vbf16 vf8 vi8 vi4 vk",
                   shown(t), t.s);
}

static sk_status parse_tier(span text, sk_tier *out, sk_err *err)
{
    sk_tier tier;
    memset(&tier, 0, sizeof tier);
    span value = text;
    bool found;
    span key = span_cut(&value, ':', &found);
    if (!found)
        return sk_fail(err, SPHKV_EINVAL,
                       "tier '%.*s' needs a key and a value format, as in good:vi8", shown(text),
                       text.s);
    bool more = true;
    bool several = key.n && memchr(key.s, '+', key.n) != NULL;
    while (more) {
        span seg = span_cut(&key, '+', &more);
        if (tier.nseg == SK_MAX_SEGMENTS)
            return sk_fail(err, SPHKV_EINVAL, "tier '%.*s' has more than %d segments", shown(text),
                           text.s, SK_MAX_SEGMENTS);
        sk_status st = parse_segment(seg, several, &tier.seg[tier.nseg++], err);
        if (st != SPHKV_OK)
            return st;
    }
    sk_status st = parse_value(value, &tier.value, err);
    if (st == SPHKV_OK)
        *out = tier;
    return st;
}

sk_status sk_tier_parse(const char *text, sk_tier *out, sk_err *err)
{
    if (!text)
        return sk_fail(err, SPHKV_EINVAL, "no tier given");
    return parse_tier((span){text, strlen(text)}, out, err);
}

sk_status sk_mix_parse(const char *text, sk_tier tier[SK_MAX_TIERS], uint32_t *ntiers, sk_err *err)
{
    if (!text || !*text)
        return sk_fail(err, SPHKV_EINVAL, "the tier mix is empty");
    sk_tier mix[SK_MAX_TIERS];
    uint32_t n = 0;
    span rest = {text, strlen(text)};
    bool more = true;
    while (more) {
        span one = span_cut(&rest, ',', &more);
        if (n == SK_MAX_TIERS)
            return sk_fail(err, SPHKV_EINVAL, "a tier mix has at most %u tiers", SK_MAX_TIERS);
        sk_status st = parse_tier(one, &mix[n], err);
        if (st != SPHKV_OK)
            return st;
        for (uint32_t i = 0; i < n; i++)
            if (sk_tier_equal(&mix[i], &mix[n]))
                return sk_fail(err, SPHKV_EINVAL, "tier '%.*s' stands twice in the mix", shown(one),
                               one.s);
        n++;
    }
    memcpy(tier, mix, n * sizeof mix[0]);
    *ntiers = n;
    return SPHKV_OK;
}

/* ---- printing ----------------------------------------------------------- */

static void print_segment(const sk_segment *seg, sk_text *out)
{
    if (seg->dims)
        sk_text_printf(out, "%u@", seg->dims);
    sk_segment bare = *seg;
    bare.dims = 0;
    for (size_t i = 0; i < SK_COUNT(formats); i++)
        if (sk_segment_equal(&bare, &formats[i].seg)) {
            sk_text_printf(out, "%s", formats[i].name);
            return;
        }
    if (seg->kind != SK_KEY_CODED) {
        bare.pre_rope = false;
        for (size_t i = 0; i < SK_COUNT(formats); i++)
            if (sk_segment_equal(&bare, &formats[i].seg))
                sk_text_printf(out, "%sp", formats[i].name);
        return;
    }
    sk_text_printf(out, "g%ub%u", seg->g, seg->b);
    if (seg->more)
        sk_text_printf(out, "x%u", sk_segment_codes(seg));
    sk_text_printf(out, "r%u", seg->rb);
    if (seg->span == SK_SPAN_ALL && seg->dims)
        sk_text_printf(out, "s%u", seg->dims);
    else if (seg->span == SK_SPAN_ALL)
        sk_text_printf(out, "sD");
    else if (seg->span != seg->g)
        sk_text_printf(out, "s%u", seg->span);
    if (seg->pre_rope)
        sk_text_printf(out, "p");
}

void sk_key_print(const sk_tier *tier, sk_text *out)
{
    for (uint32_t i = 0; i < tier->nseg && i < SK_MAX_SEGMENTS; i++) {
        if (i)
            sk_text_printf(out, "+");
        print_segment(&tier->seg[i], out);
    }
}

const char *sk_value_name(uint32_t value_kind)
{
    return value_kind < SK_COUNT(value_names) ? value_names[value_kind] : NULL;
}

void sk_tier_print(const sk_tier *tier, sk_text *out)
{
    const char *value = sk_value_name(tier->value);
    sk_key_print(tier, out);
    sk_text_printf(out, ":%s", value ? value : "?");
}

void sk_mix_print(const sk_tier *tier, uint32_t ntiers, sk_text *out)
{
    for (uint32_t i = 0; i < ntiers; i++) {
        if (i)
            sk_text_printf(out, ",");
        sk_tier_print(&tier[i], out);
    }
}
