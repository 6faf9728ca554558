/* compact_fields.c - the fields of a page as token_compact sees them, and where their
 * elements are. */
#include "compact.h"

typedef struct list {
    sk_compact_field *at;
    uint32_t n;
} list;

static void put(list *l, sk_compact_field f) { l->at[l->n++] = f; }

/* Scales of what is put next. */
static uint32_t put_scales(list *l, uint32_t off, uint32_t n)
{
    put(l, (sk_compact_field){.as = SK_AS_SCALES, .off = off, .bits = 16, .n = n});
    return l->n - 1;
}

static void put_coded(const sk_spec *spec, const sk_segment *seg, const sk_seg_layout *lay, list *l)
{
    const bool blocked = sk_layout_codes_blocked(spec, seg);
    sk_compact_field radii = {.as = SK_AS_ROWS, .off = lay->radius_off, .bits = seg->rb, .n = lay->spans};
    if (lay->rscale_off != SK_NO_FIELD) {
        radii.anew = SK_RADIUS_ANEW;
        radii.scale = put_scales(l, lay->rscale_off, lay->spans);
    }
    put(l, radii);
    put(l, (sk_compact_field){.as = blocked ? SK_AS_BLOCKS : SK_AS_ROWS, .off = lay->code_off,
                              .bits = seg->b, .n = lay->codes});
}

static void put_dense(const sk_segment *seg, const sk_seg_layout *lay, list *l)
{
    static const uint8_t bits[SK_KEY_KINDS] = {[SK_KEY_F32] = 32, [SK_KEY_F16] = 16, [SK_KEY_BF16] = 16,
                                               [SK_KEY_I8] = 8,   [SK_KEY_I4] = 4,   [SK_KEY_F8] = 8};
    sk_compact_field keys = {.as = SK_AS_DENSE, .off = lay->key_off, .bits = bits[seg->kind],
                             .n = lay->dims};
    if (seg->kind == SK_KEY_F8) {
        keys.anew = SK_FLOAT8_ANEW;
        keys.scale = put_scales(l, lay->kscale_off, 1);
    } else if (lay->kscale_off != SK_NO_FIELD) { /* per token: a row for 32 dimensions */
        put(l, (sk_compact_field){.as = SK_AS_ROWS, .off = lay->kscale_off, .bits = 16,
                                  .n = (lay->dims + 31) / 32});
    }
    put(l, keys);
}

static void put_values(const sk_spec *spec, uint32_t kind, const sk_page_layout *lay, list *l)
{
    static const uint8_t bits[] = {[SK_VAL_F32] = 32, [SK_VAL_F16] = 16, [SK_VAL_BF16] = 16,
                                   [SK_VAL_F8] = 8,   [SK_VAL_I8] = 8,   [SK_VAL_I4] = 4};
    sk_compact_field v = {.as = sk_layout_values_paired(spec, kind) ? SK_AS_PAIRS : SK_AS_CHANNELS,
                          .off = lay->value_off, .bits = bits[kind], .n = lay->cp, .lg = 4};
    if (kind == SK_VAL_I8 || kind == SK_VAL_I4) {
        v.anew = kind == SK_VAL_I8 ? SK_INT8_ANEW : SK_INT4_ANEW;
        v.scale = put_scales(l, lay->vscale_off, lay->cp);
        if (kind == SK_VAL_I4) l->at[v.scale].scale = put_scales(l, lay->vmin_off, lay->cp);
    } else if (kind == SK_VAL_F8) {
        v.anew = SK_FLOAT8_ANEW;
        v.scale = put_scales(l, lay->vscale_off, 1);
    }
    put(l, v);
}

uint32_t sk_compact_fields(const sk_spec *spec, uint32_t tier_slot, sk_compact_field *out)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    sk_page_layout lay;
    list l = {out, 0};
    sk_page_layout_get(spec, tier_slot, &lay);
    for (uint32_t i = 0; i < tier->nseg; i++) {
        if (tier->seg[i].kind == SK_KEY_CODED)
            put_coded(spec, &tier->seg[i], &lay.seg[i], &l);
        else
            put_dense(&tier->seg[i], &lay.seg[i], &l);
    }
    if (tier->value != SK_VAL_KEY) put_values(spec, tier->value, &lay, &l);
    if (lay.pos_off != SK_NO_FIELD)
        put(&l, (sk_compact_field){.as = SK_AS_ROWS, .off = lay.pos_off, .bits = 32, .n = 1});
    return l.n;
}

uint32_t sk_compact_elements(const sk_spec *spec, const sk_compact_field *f)
{
    const uint32_t tp = (spec->page + 15) / 16 * 16;
    return f->as == SK_AS_SCALES ? f->n : f->n * (f->as <= SK_AS_BLOCKS ? spec->page : tp);
}

uint32_t sk_compact_scale_bytes(const sk_spec *spec)
{
    uint32_t most = 0;
    for (uint32_t t = 0; t < spec->ntiers; t++) {
        sk_compact_field f[SK_COMPACT_FIELDS];
        uint32_t sum = 0;
        for (uint32_t n = sk_compact_fields(spec, t, f), i = 0; i < n; i++)
            if (f[i].as == SK_AS_SCALES) sum += sk_ir_area_bytes(f[i].n * 4);
        if (sum > most) most = sum;
    }
    return most;
}

void sk_compact_tier(sk_compact *c, uint32_t tier_slot)
{
    uint32_t sum = 0;
    c->tier_slot = tier_slot;
    sk_page_layout_get(c->dec.spec, tier_slot, &c->lay);
    c->n = sk_compact_fields(c->dec.spec, tier_slot, c->field);
    for (uint32_t i = 0; i < c->n; i++) {
        c->at[i] = sum;
        if (c->field[i].as == SK_AS_SCALES) sum += sk_ir_area_bytes(c->field[i].n * 4);
    }
}

/* ---- blocks of 64 tokens, see layout.h ---- */

sk_val sk_compact_block_token(sk_dec *d, sk_val word, uint32_t nib)
{
    const sk_val block = sk_shl(d, sk_shr(d, word, 3), 6), i = sk_and(d, word, 7);
    const sk_val high = sk_shl(d, sk_shr(d, i, 2), 2), half = sk_shl(d, sk_and(d, sk_shr(d, i, 1), 1), 4);
    const sk_val pair = sk_shl(d, sk_and(d, i, 1), 1);
    const uint32_t byte = nib / 2, add = 8 * (byte % 2) + byte / 2 + 32 * (nib % 2);
    return sk_add(d, sk_add(d, sk_add(d, block, half), sk_add(d, high, pair)), sk_k(d, add));
}

/* Twice the byte, and which of its two nibbles. */
sk_val sk_compact_block_place(sk_dec *d, sk_val slot)
{
    const sk_val u = sk_and(d, slot, 63), i = sk_and(d, u, 7), q = sk_and(d, sk_shr(d, u, 3), 3);
    const sk_val far = sk_add(d, sk_shl(d, sk_shr(d, i, 2), 4), sk_shl(d, sk_shr(d, q, 1), 3));
    const sk_val near = sk_add(d, sk_shl(d, sk_and(d, i, 3), 1), sk_and(d, q, 1));
    const sk_val byte = sk_add(d, sk_shl(d, sk_shr(d, slot, 6), 5), sk_add(d, far, near));
    return sk_or(d, sk_shl(d, byte, 1), sk_shr(d, u, 5));
}
