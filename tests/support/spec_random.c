/* spec_random.c - see spec_random.h. Candidates are drawn freely and kept when
 * the checks take them. */
#include "spec_random.h"

#include <string.h>

static const uint8_t radius_bits[] = {4, 8, 16};

static sk_segment random_segment(sk_rng *rng, uint32_t dims, uint32_t kind)
{
    sk_segment seg = {.kind = (uint8_t)kind};
    seg.pre_rope = sk_rng_below(rng, 4) == 0;
    if (seg.kind != SK_KEY_CODED)
        return seg;
    do
        seg.g = (uint8_t)(1 + sk_rng_below(rng, 32));
    while (dims % seg.g || (seg.g == 1 && dims == 1));
    seg.b = (uint8_t)(2 + sk_rng_below(rng, 7));
    seg.more = (uint8_t)(sk_rng_below(rng, 4) ? 0 : sk_rng_below(rng, SK_MAX_CODES));
    seg.rb = radius_bits[sk_rng_below(rng, 3)];
    uint32_t groups = dims / seg.g, per_span;
    do
        per_span = 1 + sk_rng_below(rng, groups);
    while (groups % per_span || per_span * seg.g == 1);
    seg.span = (uint16_t)(per_span * seg.g);
    if (seg.span == dims && seg.span != seg.g)
        seg.span = SK_SPAN_ALL;
    return seg;
}

sk_tier sk_random_tier(sk_rng *rng, uint32_t d, bool key_values)
{
    sk_tier tier;
    memset(&tier, 0, sizeof tier);
    tier.value = (uint8_t)sk_rng_below(rng, key_values ? 7 : 6);
    tier.nseg = (uint8_t)(sk_rng_below(rng, 3) ? 1 : 1 + sk_rng_below(rng, SK_MAX_SEGMENTS));
    if (d < 8u * tier.nseg)
        tier.nseg = 1;
    uint32_t left = d;
    for (uint32_t i = 0; i < tier.nseg; i++) {
        uint32_t after = tier.nseg - 1u - i;
        uint32_t dims = after ? 8 * (1 + sk_rng_below(rng, left / 8 - after)) : left;
        uint32_t kind = sk_rng_below(rng, 3) ? SK_KEY_CODED : sk_rng_below(rng, SK_KEY_KINDS);
        tier.seg[i] = random_segment(rng, dims, kind);
        tier.seg[i].dims = (uint16_t)(tier.nseg == 1 ? 0 : dims);
        left -= dims;
    }
    return tier;
}

/* SPHKV_VARIANT_*: most often none. */
static uint32_t some_variants(sk_rng *rng)
{
    return sk_rng_below(rng, 3) ? 0 : sk_rng_below(rng, 1u << SK_VARIANTS);
}

/* Book flags that the spec's mix can have: most often none, 0 where nothing is coded. */
static uint32_t some_book(sk_rng *rng, const sk_spec *spec)
{
    bool coded = false;
    for (uint32_t t = 0; t < spec->ntiers; t++)
        coded |= !sk_tier_is_dense(&spec->tier[t]);
    sk_spec with = *spec;
    with.book = sk_rng_below(rng, 2) ? sk_rng_below(rng, 12) : 0; /* of transforms one */
    return coded && sk_spec_check(&with, NULL) == SPHKV_OK ? with.book : 0;
}

sk_spec sk_random_spec(sk_rng *rng, bool small)
{
    for (;;) {
        sk_spec spec;
        memset(&spec, 0, sizeof spec);
        spec.kernel = SPHKV_ATTN_DECODE;
        spec.d = 8 * (1 + sk_rng_below(rng, small ? 8 : 72));
        spec.dv = 8 * (1 + sk_rng_below(rng, small ? 8 : 72));
        spec.heads_per_kv = 1 + sk_rng_below(rng, SPHKV_MAX_HEADS_PER_KV);
        spec.page = sk_rng_below(rng, 2) ? 64 * (1 + sk_rng_below(rng, 4))
                                         : 8 * (1 + sk_rng_below(rng, 32));
        spec.layout = sk_rng_below(rng, SK_LAYOUT_ROWS);
        spec.q_dtype = sk_rng_below(rng, 3);
        spec.out_dtype = sk_rng_below(rng, 3);
        spec.accuracy = sk_rng_below(rng, 3);
        spec.ntiers = 1 + sk_rng_below(rng, SK_MAX_TIERS);
        for (uint32_t t = 0; t < spec.ntiers; t++)
            spec.tier[t] = sk_random_tier(rng, spec.d, spec.dv <= spec.d);
        spec.book = some_book(rng, &spec);
        spec.variants = some_variants(rng);
        if (sk_spec_check(&spec, NULL) == SPHKV_OK)
            return spec;
    }
}

/* ---- specs of kernels --------------------------------------------------------------- */

/* What goes round. The m-th spec of a kernel has it in its first tier. */
typedef struct theme {
    uint32_t kernel, m, value, b, rb, book, variant;
    sk_key_kind key;
    bool mixed; /* segments among whose dimensions the book moves some */
} theme;

/* What makes a dimension of what is coded from others of the key. */
#define MOVES (SPHKV_BOOK_PERMUTATION | SPHKV_BOOK_TRANSFORM | SPHKV_BOOK_HADAMARD)

static theme theme_of(uint32_t n)
{
    static const uint8_t keys[] = {SK_KEY_CODED, SK_KEY_CODED, SK_KEY_CODED,
                                   SK_KEY_CODED, SK_KEY_F32,   SK_KEY_F16,
                                   SK_KEY_BF16,  SK_KEY_I8,    SK_KEY_I4,
                                   SK_KEY_F8};
    /* Sets of flags of SPHKV_BOOK_*: each flag twice among the first six. */
    static const uint8_t books[] = {8, 4, 3, 0, 9, 6, 2, 1, 5, 7, 10, 11};
    const uint32_t at = n % SK_RANDOM_ROUND, kernels = SPHKV_KERNEL_COUNT;
    theme t = {.kernel = at < kernels ? at : SPHKV_ATTN_DECODE, .m = n / SK_RANDOM_ROUND};
    if (t.kernel == SPHKV_ATTN_DECODE) /* once, and then as often as all others */
        t.m = kernels * t.m + (at ? at - kernels + 1 : 0);
    const bool dense = sk_kernel_row_get(t.kernel)->mix == SPHKV_MIX_DENSE;
    const uint32_t k = dense ? 4 + t.m % 3 : t.m % SK_COUNT(keys);
    const uint32_t coded = t.m / (uint32_t)SK_COUNT(keys) * 4 + k;
    t.key = (sk_key_kind)keys[k];
    t.value = t.m % (SK_VAL_KEY + 1);
    t.b = 2 + coded % 7;
    t.rb = radius_bits[coded % 3];
    t.book = books[coded % SK_COUNT(books)];
    t.mixed = !dense && t.key == SK_KEY_CODED && t.book & MOVES && (coded + coded / SK_COUNT(books)) % 2;
    /* two of three, so that ten in a row have each */
    t.variant = t.m % 3 == 2 ? 0 : 1u << (t.m - t.m / 3) % SK_VARIANTS;
    return t;
}

static uint32_t one_of(sk_rng *rng, const uint32_t *from, size_t n)
{
    return from[sk_rng_below(rng, (uint32_t)n)];
}

/* Multiples of 16 (at times of 8), small ones more often. */
static uint32_t draw_dim(sk_rng *rng, uint32_t most)
{
    const uint32_t some[] = {64, 128, most}, top = one_of(rng, some, SK_COUNT(some));
    return 16 * (1 + sk_rng_below(rng, (top < most ? top : most) / 16)) -
           (sk_rng_below(rng, 32) ? 0 : 8);
}

static uint32_t draw_page(sk_rng *rng)
{
    static const uint32_t usual[] = {16, 32, 64, 64, 128};
    if (sk_rng_below(rng, 2)) return one_of(rng, usual, SK_COUNT(usual));
    return 16 * (1 + sk_rng_below(rng, 16)) - (sk_rng_below(rng, 32) ? 0 : 8);
}

/* A coded key, as often by a name as by chance. */
static sk_segment draw_coded(sk_rng *rng, uint32_t d)
{
    static const char *const names[] = {"high:vf16", "mid:vf16",  "low:vf16",  "lean:vf16",
                                        "good:vf16", "good:vf16", "fine:vf16", "turbo:vf16"};
    sk_tier named; /* of a value that is not looked at */
    if (sk_rng_below(rng, 2) &&
        sk_tier_parse(names[sk_rng_below(rng, SK_COUNT(names))], &named, NULL) == SPHKV_OK)
        return named.seg[0];
    return random_segment(rng, d, SK_KEY_CODED);
}

static sk_segment draw_key(sk_rng *rng, uint32_t dims, bool dense)
{
    if (!dense && sk_rng_below(rng, 3)) return draw_coded(rng, dims);
    return (sk_segment){.kind = (uint8_t)(SK_KEY_F32 + sk_rng_below(rng, dense ? 3 : 5))};
}

/* Cut into two to four, multiples of 16. */
static void draw_segments(sk_rng *rng, uint32_t d, bool dense, sk_tier *tier)
{
    uint32_t n = 2 + sk_rng_below(rng, SK_MAX_SEGMENTS - 1), left = d;
    n = n < d / 16 ? n : d / 16;
    for (uint32_t i = 0; i < n && n > 1; i++) {
        const uint32_t after = n - 1 - i;
        const uint32_t dims = after ? 16 * (1 + sk_rng_below(rng, left / 16 - after)) : left;
        tier->seg[i] = draw_key(rng, dims, dense);
        tier->seg[i].dims = (uint16_t)dims;
        tier->nseg = (uint8_t)n;
        left -= dims;
    }
}

/* Values from keys more often of a key that is in segments, as models have them. */
static sk_tier draw_tier(sk_rng *rng, const sk_spec *spec, bool dense)
{
    sk_tier tier;
    if (sk_rng_below(rng, 24) == 0) return sk_random_tier(rng, spec->d, spec->dv <= spec->d);
    memset(&tier, 0, sizeof tier);
    tier.nseg = 1;
    tier.seg[0] = draw_key(rng, spec->d, dense);
    tier.value = (uint8_t)sk_rng_below(rng, dense ? SK_VAL_BF16 + 1 : SK_VAL_KEY);
    tier.seg[0].pre_rope = sk_rng_below(rng, 8) == 0;
    if (sk_rng_below(rng, 6) == 0) draw_segments(rng, spec->d, dense, &tier);
    if (spec->dv <= spec->d && sk_rng_below(rng, tier.nseg > 1 ? 3 : 16) == 0) tier.value = SK_VAL_KEY;
    return tier;
}

static void draw_themed(sk_rng *rng, const theme *t, const sk_spec *spec, sk_tier *tier)
{
    tier->nseg = 1;
    const bool before = sk_rng_below(rng, 8) == 0;
    tier->seg[0] = (sk_segment){.kind = (uint8_t)t->key, .pre_rope = before};
    tier->value = (uint8_t)t->value;
    if (t->key != SK_KEY_CODED) return;
    tier->seg[0] = draw_coded(rng, spec->d);
    tier->seg[0].pre_rope = before;
    tier->seg[0].b = (uint8_t)t->b;
    if (sk_rng_below(rng, 2)) tier->seg[0].rb = (uint8_t)t->rb;
    if (sk_rng_below(rng, 4) == 0) tier->seg[0].more = (uint8_t)sk_rng_below(rng, SK_MAX_CODES);
}

/* Two segments, both coded, which become the model's: as values, or rotated. No other tier
 * is coded in part. */
static void draw_mixed(sk_rng *rng, sk_spec *s)
{
    const uint32_t dims = 16 * (1 + sk_rng_below(rng, s->d / 16 - 1));
    sk_tier *tier = &s->tier[0];
    tier->nseg = 2;
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t n = i ? s->d - dims : dims;
        tier->seg[i] = draw_coded(rng, n);
        tier->seg[i].dims = (uint16_t)n;
    }
    if (s->dv <= s->d && sk_rng_below(rng, 2)) tier->value = SK_VAL_KEY;
    if (tier->value != SK_VAL_KEY || sk_rng_below(rng, 2))
        tier->seg[sk_rng_below(rng, 2)].pre_rope = true;
    for (uint32_t i = 1; i < s->ntiers; i++) {
        sk_segment *seg = s->tier[i].seg;
        for (uint32_t k = 0; k < s->tier[i].nseg && s->tier[i].nseg > 1; k++)
            if (seg[k].kind == SK_KEY_CODED)
                seg[k] = (sk_segment){.kind = SK_KEY_F16, .dims = seg[k].dims};
    }
}

/* The last dimensions are rotated, in most tiers by us (p), as latent attention has them. */
static void draw_rotated(sk_rng *rng, bool dense_last, sk_spec *s)
{
    const uint32_t dims = 16 * (1 + sk_rng_below(rng, s->d / 16 - 1));
    for (uint32_t i = 0; i < s->ntiers; i++) {
        const bool dense = dense_last && i + 1 == s->ntiers;
        sk_tier *tier = &s->tier[i];
        if (sk_rng_below(rng, 4) == 0) continue;
        tier->nseg = 2;
        tier->seg[0] = draw_key(rng, s->d - dims, dense);
        tier->seg[0].dims = (uint16_t)(s->d - dims);
        tier->seg[1] = draw_key(rng, dims, dense);
        tier->seg[1].dims = (uint16_t)dims;
        tier->seg[1].pre_rope = true;
    }
}

/* The source of a pair is cut like the destination at times, and as a rule both are kept
 * before RoPE or none is. A key that is rotated on its way knows its position. */
static void draw_source(sk_rng *rng, bool dense, sk_spec *s)
{
    const sk_tier *to = &s->tier[0];
    sk_tier *from = &s->tier[1];
    if (to->nseg > 1 && sk_rng_below(rng, 2)) {
        from->nseg = to->nseg;
        for (uint32_t i = 0; i < to->nseg; i++) {
            from->seg[i] = draw_key(rng, to->seg[i].dims, dense);
            from->seg[i].dims = to->seg[i].dims;
            from->seg[i].pre_rope = to->seg[i].pre_rope;
        }
    }
    const uint32_t other = s->kernel == SPHKV_PAGE_RETIER ? 3 : 8;
    if (sk_rng_below(rng, other)) from->seg[0].pre_rope = to->seg[0].pre_rope;
    if (s->kernel == SPHKV_PAGE_RETIER && sk_tier_pre_rope(to) != sk_tier_pre_rope(from))
        s->variants |= SPHKV_VARIANT_POSITIONS;
}

static void draw_mix(sk_rng *rng, const theme *t, sk_spec *s)
{
    const uint32_t mix = sk_kernel_row_get(s->kernel)->mix;
    const bool two = mix == SPHKV_MIX_PAIR || mix == SPHKV_MIX_TWO;
    const bool dense = mix == SPHKV_MIX_PAIR || mix == SPHKV_MIX_DENSE || mix == SPHKV_MIX_NONE;
    s->ntiers = mix == SPHKV_MIX_DENSE ? 1 : two ? 2 : 1 + sk_rng_below(rng, SK_MAX_TIERS);
    for (uint32_t i = 0; i < s->ntiers; i++)
        s->tier[i] = draw_tier(rng, s, dense && i + 1 == s->ntiers);
    if (t) draw_themed(rng, t, s, &s->tier[0]);
    const bool mixed = t && t->mixed;
    if (mixed) draw_mixed(rng, s);
    if (two) draw_source(rng, dense, s);
    if (!mixed && s->d >= 32 && sk_rng_below(rng, 12) == 0) draw_rotated(rng, dense, s);
}

/* Through its text, which drops what the kernel does not read. */
static bool canonical(sk_spec *spec)
{
    sk_text text = {0};
    sk_spec_print(spec, &text);
    const bool ok = !text.failed && sk_spec_parse(text.s, spec, NULL) == SPHKV_OK;
    sk_text_free(&text);
    return ok;
}

/* Few heads mostly, as models have them; many where a token is not too much work. */
#define MOST_WORK 6000u /* multiply-adds */
static const uint32_t most_heads[] = {4, 4, 4, 4, 16, 16, 16, SPHKV_MAX_HEADS_PER_KV};

/* With the variant of the theme, where the kernel has it. */
static void add_variant(const theme *t, sk_spec *s)
{
    sk_spec with = *s;
    with.variants |= t->variant;
    if (canonical(&with) && sk_kernel_get(with.kernel)->supported(&with, NULL) == SPHKV_OK) *s = with;
}

static sk_spec draw_kernel_spec(sk_rng *rng, const theme *t, bool themed, uint32_t dims)
{
    for (;;) {
        sk_spec s;
        memset(&s, 0, sizeof s);
        s.kernel = t->kernel;
        s.d = draw_dim(rng, dims);
        if (themed && t->mixed && s.d < 32) continue; /* a segment has 16 */
        s.dv = sk_rng_below(rng, 2) ? s.d : draw_dim(rng, dims);
        s.page = draw_page(rng);
        s.heads_per_kv = 1 + sk_rng_below(rng, one_of(rng, most_heads, SK_COUNT(most_heads)));
        if (s.heads_per_kv > 16 && s.heads_per_kv * (s.d + s.dv) > MOST_WORK) s.heads_per_kv = 16;
        s.layout = sk_rng_below(rng, SK_LAYOUT_ROWS);
        s.q_dtype = s.in_dtype = themed ? t->m % 3 : sk_rng_below(rng, 3);
        s.out_dtype = themed ? (t->m + t->m / 3) % 3 : sk_rng_below(rng, 3);
        s.accuracy = sk_rng_below(rng, 3);
        draw_mix(rng, themed ? t : NULL, &s);
        s.book = themed && t->key == SK_KEY_CODED ? t->book : some_book(rng, &s);
        s.variants |= some_variants(rng);
        if (sk_spec_check(&s, NULL) != SPHKV_OK || !canonical(&s)) continue;
        if (themed) add_variant(t, &s);
        return s;
    }
}

sk_spec sk_random_kernel_spec(sk_rng *rng, uint32_t n, uint32_t dims)
{
    const theme t = theme_of(n);
    return draw_kernel_spec(rng, &t, sk_rng_below(rng, 4) != 0, dims);
}

/* ---- schedules ------------------------------------------------------------------------ */

/* What goes round of the tunables of a kernel: the m-th of all their values, and the one
 * half of them further on, so that half as many specs meet them all. */
typedef struct wished {
    uint32_t tunable[2];
    int32_t value[2];
} wished;

static wished wished_of(uint32_t kernel, uint32_t backend, uint32_t m)
{
    wished w = {{0}, {0}};
    uint32_t all = 0, at[2];
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
        all += sk_tunable_tunes(t, kernel, backend) ? sk_tunable_count(t) : 0;
    at[0] = m % all;
    at[1] = (m % all + (all + 1) / 2) % all;
    for (uint32_t t = 0, first = 0; t < SK_TUNABLE_COUNT; t++) {
        const uint32_t n = sk_tunable_tunes(t, kernel, backend) ? sk_tunable_count(t) : 0;
        for (uint32_t i = 0; i < 2; i++)
            if (at[i] >= first && at[i] - first < n) {
                w.tunable[i] = t;
                w.value[i] = sk_tunable_value(t, at[i] - first);
            }
        first += n;
    }
    if (w.tunable[1] == w.tunable[0]) w.value[1] = w.value[0];
    return w;
}

/* Bit i: wish i came true. */
static uint32_t draw_schedule(sk_rng *rng, const wished *wish, const sk_spec *spec,
                              const sk_target *target, sk_schedule *out)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    uint32_t met = 0;
    sk_kernel_default(kernel, spec, target, out);
    for (uint32_t k = 0; k < 24; k++) { /* one more, or several at once */
        sk_schedule s = *out;
        uint32_t t;
        do
            t = sk_rng_below(rng, SK_TUNABLE_COUNT);
        while (!sk_tunable_tunes(t, spec->kernel, target->backend));
        s.v[t] = sk_tunable_value(t, sk_rng_below(rng, sk_tunable_count(t)));
        for (uint32_t i = 2; i-- > 0;) /* the first one last: it counts for more */
            if (k % 3 == 0 || k % 6 == 1 + 3 * i || t == wish->tunable[i])
                s.v[wish->tunable[i]] = wish->value[i];
        if (sk_kernel_valid(kernel, spec, &s, target, NULL) == SPHKV_OK) *out = s;
    }
    for (uint32_t i = 0; i < 2; i++)
        if (out->v[wish->tunable[i]] == wish->value[i]) met |= 1u << i;
    return met;
}

bool sk_random_schedule(sk_rng *rng, uint32_t n, const sk_spec *spec, const sk_target *target,
                        sk_schedule *out)
{
    const wished wish = wished_of(spec->kernel, target->backend, theme_of(n).m);
    return draw_schedule(rng, &wish, spec, target, out) & 1;
}

bool sk_random_sample(uint64_t seed, uint32_t n, const sk_target *target, uint32_t dims,
                      sk_spec *spec, sk_schedule *schedule)
{
    theme t = theme_of(n);
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    while (!sk_kernel_get(t.kernel)->form[target->backend])
        t.kernel = (t.kernel + 1) % SPHKV_KERNEL_COUNT;
    const wished wish = wished_of(t.kernel, target->backend, t.m);
    for (uint32_t tries = 0;; tries++) {
        *spec = draw_kernel_spec(&rng, &t, tries < 400, dims);
        if (sk_kernel_get(spec->kernel)->supported(spec, NULL) != SPHKV_OK) continue;
        const uint32_t met = draw_schedule(&rng, &wish, spec, target, schedule);
        if (met == 3 || (tries >= 150 && met & 1) || tries >= 300) return met & 1;
    }
}

/* ---- cases ------------------------------------------------------------------------------ */

#define CASE_WORK 2.5e5 /* multiply-adds */

/* A smaller shape, or false. */
static bool shrink(const sk_kernel *kernel, sk_shape *shape)
{
    if (shape->batch > 1)
        shape->batch--;
    else if (shape->q_len > 5)
        shape->q_len /= 2;
    else if (kernel->over_lists && shape->context > 16)
        shape->context /= 2;
    else if (kernel->over_lists && shape->kv_heads > 1)
        shape->kv_heads--;
    else
        return false;
    return true;
}

sk_case_params sk_random_case(sk_rng *rng, const sk_spec *spec)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    const bool lists = kernel->over_lists;
    sk_case_params p = {.spec = *spec, .copies = 1};
    sk_cost cost;
    p.input = (sk_input)sk_rng_below(rng, SK_INPUT_COUNT);
    p.shape.kv_heads = 1 + sk_rng_below(rng, 3);
    p.shape.batch = 1 + sk_rng_below(rng, lists ? 4 : 6);
    p.shape.context = lists ? sk_rng_below(rng, (2 * spec->ntiers + 1) * spec->page) : spec->page;
    p.shape.threads = 1;
    if (spec->variants & SPHKV_VARIANT_QUERIES)
        p.shape.q_len = 1 + sk_rng_below(rng, sk_rng_below(rng, 4) ? 4 : SPHKV_MAX_Q_LEN);
    if (spec->kernel == SPHKV_ATTN_EXTEND) p.shape.q_len = 1 + sk_rng_below(rng, 40);
    do
        kernel->cost(spec, &p.shape, &cost);
    while (cost.operations > CASE_WORK && shrink(kernel, &p.shape));
    p.lists_per_seq = !lists || sk_rng_below(rng, 2) ? 1 : p.shape.kv_heads;
    p.uneven = sk_rng_below(rng, 4) != 0;
    p.seed = sk_rng_u64(rng);
    if (lists && spec->ntiers > 1 && sk_rng_below(rng, 3) == 0)
        p.tier_mask = 1 + sk_rng_below(rng, (1u << spec->ntiers) - 1);
    return p;
}
