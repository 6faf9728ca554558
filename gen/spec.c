/* spec.c - the spec: what is compiled into a kernel, and its checks. Its text is in
 * spec_text.c, the tier grammar in spec_tier.c.
 *
 * The text of a spec is a key of the database, so a spec has one form: both
 * ways in (public params, text) normalise. Fields that a kernel does not read
 * (query heads of kv_append, rows of attn_decode ...) get their defaults there,
 * so that an engine may fill one params struct and only change its kernel. */
#include "spec.h"

#include <string.h>

#include "spec_tier.h"

#define DEFAULT_MIX "good:vi8,kf16:vf16"
#define DEFAULT_TAIL "kf16:vf16"
#define DEFAULT_PAGE 128u

/* ---- names -------------------------------------------------------------- */

static const sk_kernel_row kernels[] = {
#define SK_X(id, name, mix, reads) {#name, SPHKV_MIX_##mix, reads},
    SPHKV_KERNELS(SK_X)
#undef SK_X
};
static const char *const dtype_names[] = {
    [SPHKV_F32] = "f32", [SPHKV_F16] = "f16", [SPHKV_BF16] = "bf16"};
static const char *const accuracy_names[] = {
    [SPHKV_TIGHT] = "tight", [SPHKV_EXACT] = "exact", [SPHKV_FAST] = "fast"};

static const char *const book_names[] = {/* by bit of sk_spec.book */
                                         "mean", "permutation", "transform", "hadamard"};
static const char *const variant_names[SK_VARIANTS] = {/* of sk_spec.variants */
    "softcap", "sink", "headscale", "window", "bias", "positions", "queries"};

static const char *name_get(const char *const *names, size_t count, uint32_t i)
{
    return i < count ? names[i] : NULL;
}

static bool name_find(const char *const *names, size_t count, const char *name, uint32_t *out)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (uint32_t)i;
            return true;
        }
    return false;
}

const sk_kernel_row *sk_kernel_row_get(uint32_t kernel)
{
    return kernel < SK_COUNT(kernels) ? &kernels[kernel] : NULL;
}
const char *sk_kernel_name(uint32_t kernel)
{
    return kernel < SK_COUNT(kernels) ? kernels[kernel].name : NULL;
}
bool sk_kernel_parse(const char *name, uint32_t *kernel)
{
    for (uint32_t i = 0; name && i < SK_COUNT(kernels); i++)
        if (strcmp(kernels[i].name, name) == 0) {
            *kernel = i;
            return true;
        }
    return false;
}
const char *sk_dtype_name(uint32_t dtype)
{
    return name_get(dtype_names, SK_COUNT(dtype_names), dtype);
}
bool sk_dtype_parse(const char *name, uint32_t *dtype)
{
    return name_find(dtype_names, SK_COUNT(dtype_names), name, dtype);
}
const char *sk_accuracy_name(uint32_t accuracy)
{
    return name_get(accuracy_names, SK_COUNT(accuracy_names), accuracy);
}
bool sk_accuracy_parse(const char *name, uint32_t *accuracy)
{
    return name_find(accuracy_names, SK_COUNT(accuracy_names), name, accuracy);
}

double sk_dtype_rounding(uint32_t dtype)
{
    return dtype == SPHKV_F16 ? 0x1p-11 : dtype == SPHKV_BF16 ? 0x1p-8 : 0;
}

static bool flag_find(const char *const *names, size_t count, const char *name, uint32_t *flag)
{
    uint32_t bit;
    bool known = name_find(names, count, name, &bit);
    if (known)
        *flag = 1u << bit;
    return known;
}

const char *sk_book_name(uint32_t bit) { return name_get(book_names, SK_COUNT(book_names), bit); }
bool sk_book_parse(const char *name, uint32_t *flag)
{
    return flag_find(book_names, SK_COUNT(book_names), name, flag);
}
const char *sk_variant_name(uint32_t bit) { return name_get(variant_names, SK_VARIANTS, bit); }
bool sk_variant_parse(const char *name, uint32_t *flag)
{
    return flag_find(variant_names, SK_VARIANTS, name, flag);
}

sk_status sk_variants_supported(const sk_spec *spec, uint32_t done, sk_err *err)
{
    for (uint32_t i = 0; i < SK_VARIANTS; i++)
        if (spec->variants & ~done & 1u << i)
            return sk_fail(err, SPHKV_EUNSUPPORTED, "%s: variant %s",
                           sk_kernel_name(spec->kernel), variant_names[i]);
    return SPHKV_OK;
}

double sk_accuracy_bound(uint32_t accuracy)
{
    switch (accuracy) {
    case SPHKV_EXACT:
        return 1e-5;
    case SPHKV_FAST:
        return 5e-2;
    default:
        return 1e-3;
    }
}

/* ---- checks ------------------------------------------------------------- */

/* Fails with "tier <text>: <reason>". */
static sk_status tier_fail(const sk_tier *tier, const char *reason, sk_err *err)
{
    sk_text name = {0};
    sk_tier_print(tier, &name);
    sk_status st = sk_fail(err, SPHKV_EINVAL, "tier %s: %s", name.failed ? "?" : name.s, reason);
    sk_text_free(&name);
    return st;
}

static sk_status check_tier(const sk_spec *spec, const sk_tier *tier, sk_err *err)
{
    if (tier->nseg < 1 || tier->nseg > SK_MAX_SEGMENTS)
        return sk_fail(err, SPHKV_EINVAL, "a tier has 1 to %d segments, not %u", SK_MAX_SEGMENTS,
                       tier->nseg);
    if (!sk_value_name(tier->value))
        return sk_fail(err, SPHKV_EINVAL, "value format %u is unknown", tier->value);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < tier->nseg; i++) {
        const sk_segment *seg = &tier->seg[i];
        if (seg->dims == 0 && tier->nseg > 1)
            return tier_fail(tier, "each of several segments needs its dimensions", err);
        uint32_t dims = seg->dims ? seg->dims : spec->d;
        sk_err reason;
        if (sk_segment_check(seg, dims, &reason) != SPHKV_OK)
            return tier_fail(tier, reason.message, err);
        sum += dims;
    }
    if (sum != spec->d)
        return tier_fail(tier, "the dimensions of its segments do not add up to the head's", err);
    if (tier->value == SK_VAL_KEY && spec->dv > spec->d)
        return tier_fail(tier, "vk: a key has fewer dimensions than the value asks for", err);
    return SPHKV_OK;
}

/* How many tiers a kernel takes, and which must be dense. */
static sk_status check_mix(const sk_spec *spec, sk_err *err)
{
    const sk_tier *tail = NULL;
    if (spec->ntiers < 1 || spec->ntiers > SK_MAX_TIERS)
        return sk_fail(err, SPHKV_EINVAL, "a tier mix has 1 to %u tiers, not %u", SK_MAX_TIERS,
                       spec->ntiers);
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_status st = check_tier(spec, &spec->tier[i], err);
        if (st != SPHKV_OK)
            return st;
        for (uint32_t j = 0; j < i; j++)
            if (sk_tier_equal(&spec->tier[i], &spec->tier[j]))
                return tier_fail(&spec->tier[i], "stands twice in the mix", err);
    }
    const sk_kernel_row *kernel = &kernels[spec->kernel];
    if (kernel->mix == SPHKV_MIX_DENSE) {
        if (spec->ntiers != 1)
            return sk_fail(err, SPHKV_EINVAL, "%s takes one dense tier, not %u tiers",
                           kernel->name, spec->ntiers);
        tail = &spec->tier[0];
    } else if (kernel->mix == SPHKV_MIX_PAIR || kernel->mix == SPHKV_MIX_TWO) {
        const bool pair = kernel->mix == SPHKV_MIX_PAIR;
        if (spec->ntiers != 2)
            return sk_fail(err, SPHKV_EINVAL, "%s takes two tiers (destination, %ssource), not %u",
                           kernel->name, pair ? "dense " : "", spec->ntiers);
        if (pair) tail = &spec->tier[1];
    }
    if (tail && !sk_tier_is_dense(tail))
        return tier_fail(tail, "rows live in a dense tier before they are coded, as kf16:vf16",
                         err);
    return SPHKV_OK;
}

/* Those that make a dimension of what is coded from others of the key. */
#define MOVES (SPHKV_BOOK_PERMUTATION | SPHKV_BOOK_TRANSFORM | SPHKV_BOOK_HADAMARD)

/* A permutation moves dimensions of a key among all that are coded; one that it
 * moved into a dense segment would be lost. The same holds for transforms. */
static sk_status check_book(const sk_spec *spec, sk_err *err)
{
    if (spec->book >> SK_COUNT(book_names))
        return sk_fail(err, SPHKV_EINVAL,
                       "book flags %#x: there are mean (1), permutation (2), transform (4) and "
                       "hadamard (8)", spec->book);
    if (spec->book & SPHKV_BOOK_TRANSFORM && spec->book & SPHKV_BOOK_HADAMARD)
        return sk_fail(err, SPHKV_EINVAL, "book: transform or hadamard, not both");
    if (spec->book & SPHKV_BOOK_HADAMARD && (spec->d & (spec->d - 1)) != 0)
        return sk_fail(err, SPHKV_EINVAL,
                       "book: hadamard asks for a power of two, not %u dimensions", spec->d);
    for (uint32_t i = 0; i < spec->ntiers && spec->book & MOVES; i++) {
        const sk_tier *tier = &spec->tier[i];
        for (uint32_t s = 0; s < tier->nseg && !sk_tier_is_dense(tier); s++)
            if (tier->seg[s].kind != SK_KEY_CODED)
                return tier_fail(tier,
                                 spec->book & SPHKV_BOOK_PERMUTATION
                                     ? "a permutation asks for keys that are coded whole"
                                     : "a transform asks for keys that are coded whole",
                                 err);
    }
    return SPHKV_OK;
}

static sk_status check_variants(const sk_spec *spec, sk_err *err)
{
    if (spec->variants >> SK_VARIANTS)
        return sk_fail(err, SPHKV_EINVAL, "variants %#x: there are %u, from softcap (1) to queries (64)",
                       spec->variants, SK_VARIANTS);
    return SPHKV_OK;
}

static bool dim_ok(uint32_t d) { return d >= 8 && d <= 1024 && d % 8 == 0; }

sk_status sk_spec_check(const sk_spec *spec, sk_err *err)
{
    if (!sk_kernel_name(spec->kernel))
        return sk_fail(err, SPHKV_EINVAL, "kernel %u is unknown", spec->kernel);
    if (!dim_ok(spec->d))
        return sk_fail(err, SPHKV_EINVAL,
                       "head dimension %u: must be a multiple of 8 from 8 to 1024", spec->d);
    if (!dim_ok(spec->dv))
        return sk_fail(err, SPHKV_EINVAL,
                       "value dimension %u: must be a multiple of 8 from 8 to 1024", spec->dv);
    if (spec->heads_per_kv < 1 || spec->heads_per_kv > SPHKV_MAX_HEADS_PER_KV)
        return sk_fail(err, SPHKV_EINVAL, "%u query heads per KV head: must be 1 to %u",
                       spec->heads_per_kv, SPHKV_MAX_HEADS_PER_KV);
    if (spec->page < 8 || spec->page > 256 || spec->page % 8 != 0)
        return sk_fail(err, SPHKV_EINVAL,
                       "page of %u tokens: must be a multiple of 8 from 8 to 256", spec->page);
    if (spec->layout >= SK_LAYOUT_ROWS)
        return sk_fail(err, SPHKV_EINVAL, "layout row %u is unknown: there are 0 to %d",
                       spec->layout, SK_LAYOUT_ROWS - 1);
    if (!sk_dtype_name(spec->q_dtype) || !sk_dtype_name(spec->out_dtype) ||
        !sk_dtype_name(spec->in_dtype))
        return sk_fail(err, SPHKV_EINVAL, "dtypes %u, %u, %u (q, out, in): there are 0 to 2",
                       spec->q_dtype, spec->out_dtype, spec->in_dtype);
    if (!sk_accuracy_name(spec->accuracy))
        return sk_fail(err, SPHKV_EINVAL, "accuracy class %u is unknown", spec->accuracy);
    sk_status st = check_mix(spec, err);
    if (st == SPHKV_OK)
        st = check_book(spec, err);
    return st == SPHKV_OK ? check_variants(spec, err) : st;
}

/* The variants that a kernel reads. */
static uint32_t variants_read(uint32_t reads)
{
    uint32_t mask = 0;
    if (reads & SPHKV_READS_LOGITS)
        mask |= SPHKV_VARIANT_SOFTCAP | SPHKV_VARIANT_HEADSCALE | SPHKV_VARIANT_WINDOW |
                SPHKV_VARIANT_BIAS;
    if (reads & SPHKV_READS_SINK)
        mask |= SPHKV_VARIANT_SINK;
    if (reads & SPHKV_READS_POSITIONS)
        mask |= SPHKV_VARIANT_POSITIONS;
    if (reads & SPHKV_READS_QUERIES)
        mask |= SPHKV_VARIANT_QUERIES;
    return mask;
}

/* The one form of a spec: see the head of this file. */
static void spec_normalise(sk_spec *spec)
{
    const uint32_t reads = kernels[spec->kernel].reads;
    if (kernels[spec->kernel].mix == SPHKV_MIX_NONE) {
        spec->d = spec->dv;
        spec->page = DEFAULT_PAGE;
        spec->layout = SK_LAYOUT_DEFAULT;
        spec->ntiers = 1;
        (void)sk_tier_parse(DEFAULT_TAIL, &spec->tier[0], NULL);
    }
    if (!(reads & SPHKV_READS_HEADS))
        spec->heads_per_kv = 1;
    if (!(reads & SPHKV_READS_Q))
        spec->q_dtype = SPHKV_F32;
    if (!(reads & SPHKV_READS_OUT))
        spec->out_dtype = SPHKV_F32;
    if (!(reads & SPHKV_READS_IN))
        spec->in_dtype = SPHKV_F32;
    if (!(reads & SPHKV_READS_BOOK))
        spec->book = 0;
    spec->variants &= variants_read(reads);
    bool coded = false;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_tier *tier = &spec->tier[i];
        coded |= !sk_tier_is_dense(tier);
        if (tier->nseg == 1 && tier->seg[0].dims == spec->d)
            tier->seg[0].dims = 0;
        for (uint32_t s = 0; s < tier->nseg; s++) {
            uint32_t dims = tier->seg[s].dims ? tier->seg[s].dims : spec->d;
            sk_segment_normalise(&tier->seg[s], dims);
        }
    }
    if (!coded)
        spec->book = 0;
}

sk_status sk_spec_finish(sk_spec *spec, sk_err *err)
{
    sk_status st = sk_spec_check(spec, err);
    if (st != SPHKV_OK)
        return st;
    spec_normalise(spec);
    return sk_spec_check(spec, err); /* two spellings of one tier */
}

/* ---- from the public struct --------------------------------------------- */

sk_status sk_struct_read(const void *src, void *dst, size_t known, const char *what, sk_err *err)
{
    uint32_t size;
    if (!src)
        return sk_fail(err, SPHKV_EINVAL, "no %s given", what);
    memcpy(&size, src, sizeof size);
    if (size < 8 || size % 4 != 0 || size > 65536)
        return sk_fail(err, SPHKV_EINVAL, "%s.size is %u: set it to sizeof(%s)", what, size, what);
    const uint8_t *bytes = src;
    for (size_t i = known; i < size; i++)
        if (bytes[i])
            return sk_fail(
                err, SPHKV_EINVAL,
                "%s: byte %zu is set, this library knows %zu: it is too old for the caller", what,
                i, known);
    memset(dst, 0, known);
    memcpy(dst, src, size < known ? size : known);
    return SPHKV_OK;
}

sk_status sk_spec_from_params(const sphkv_spec_params *params, sk_spec *out, sk_err *err)
{
    sphkv_spec_params p;
    sk_spec spec;
    sk_status st = sk_struct_read(params, &p, sizeof p, "sphkv_spec_params", err);
    if (st != SPHKV_OK)
        return st;
    if (p.size % 8 != 0) /* would cut the pointer */
        return sk_fail(err, SPHKV_EINVAL, "sphkv_spec_params.size is %u: set it to sizeof", p.size);
    memset(&spec, 0, sizeof spec);
    spec.kernel = p.kernel;
    spec.d = p.head_dim;
    spec.dv = p.value_dim ? p.value_dim : p.head_dim;
    spec.heads_per_kv = p.heads_per_kv ? p.heads_per_kv : 1;
    spec.page = p.page_tokens ? p.page_tokens : DEFAULT_PAGE;
    spec.layout = p.layout ? p.layout - 1 : SK_LAYOUT_DEFAULT;
    spec.q_dtype = p.q_dtype;
    spec.out_dtype = p.out_dtype;
    spec.in_dtype = p.in_dtype;
    spec.accuracy = p.accuracy;
    spec.book = p.book;
    spec.variants = p.variants;
    const char *mix = p.tiers;
    if (!mix)
        mix = p.kernel < SK_COUNT(kernels) && kernels[p.kernel].mix == SPHKV_MIX_DENSE
                  ? DEFAULT_TAIL
                  : DEFAULT_MIX;
    st = sk_mix_parse(mix, spec.tier, &spec.ntiers, err);
    if (st == SPHKV_OK)
        st = sk_spec_finish(&spec, err);
    if (st == SPHKV_OK)
        *out = spec;
    return st;
}
