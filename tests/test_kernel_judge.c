/* test_kernel_judge.c - does the judgement see what it must? A kernel made of
 * the references passes the whole check; the same with one defect does not.
 * Defects are what kernels get wrong: a tier skipped, a count off by one, a
 * scale, a neighbour's bytes. */
#include "sk_test.h"

#include <math.h>

#include "case.h"

/* ---- kernels made of the references, with a defect by choice -------------------- */

typedef enum defect {
    NONE,
    SKIP_TIER,
    WRONG_SCALE,
    COUNT_OFF,
    LAST_PAGE,
    HEADS_SWAPPED,
    ONE_ELEMENT,
    UNWRITTEN,
    GAP,
    BEYOND_OUT,
    INPUT_WRITTEN,
    EMPTY_LIST,
    SUB_PAGE,
    LSE_LOG2,
    LSE_EMPTY,
    LSE_MISSING,
    LSE_GAP,
    PAIR_LOG2,
    PAIR_SUM,
    PAIR_EMPTY,
    PAIR_ROW,
    PAIR_STRAY,
    SINK_LEFT,
    SINK_OFF,
    VALUE_LEAST, /* vi4 */
    TIE_HIGH,
    CODE_REFIT,
    CODE_WRONG,
    RADIUS_NORM,
    RADIUS_OFF,
    VALUE_OFF,
    VALUE_SCALE,
    UNUSED_SLOT,
    UNUSED_VALUE,
    NEIGHBOUR,
    SOURCE_WRITTEN,
    UNCODED,
    SLOT_OFF,
    ROW_MISSING,
    ROW_TWICE,
    KEY_CODE,
    KEY_LAST,
    KEY_SCALE,
    KEY_SCALE_SLOT,
    KEY_SLOT,
    DEFECTS
} defect;

static defect chosen; /* a kernel's run has no place for it */

/* The tables of an attn run with the defect in them. */
typedef struct bent_table {
    uint32_t *indptr;
    uint64_t *refs;
} bent_table;

static void bend_table(const sk_image *image, const sphkv_attn_args *a, bent_table *t)
{
    uint32_t lists = a->table.lists, n = a->table.indptr[lists], at = 0;
    t->indptr = sk_calloc(lists + 1, sizeof *t->indptr);
    t->refs = sk_calloc(n + 1, sizeof *t->refs);
    assert_true(t->indptr && t->refs);
    for (uint32_t l = 0; l < lists; l++) {
        t->indptr[l] = at;
        for (uint32_t i = a->table.indptr[l]; i < a->table.indptr[l + 1]; i++) {
            uint64_t ref = a->table.refs[i];
            uint32_t count = sphkv_ref_tokens(ref), tier = sphkv_ref_tier(ref);
            bool last = i + 1 == a->table.indptr[l + 1];
            if (chosen == SKIP_TIER && tier + 1 == image->spec.ntiers) continue;
            if (chosen == LAST_PAGE && last && i > a->table.indptr[l]) continue;
            if (chosen == COUNT_OFF && count > 1) count--;
            t->refs[at++] = sphkv_page_ref(sphkv_ref_unit(ref), count, tier);
        }
    }
    t->indptr[lists] = at;
}

static void put_row(const sk_image *image, const sphkv_attn_args *a, uint32_t row, const double *o)
{
    const uint32_t heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    uint32_t to = row;
    if (chosen == HEADS_SWAPPED && heads > 1) to = row ^ 1;
    if (chosen == UNWRITTEN && row == 1) return;
    float *out = (float *)a->out + (size_t)(to / heads) * a->out_stride_seq +
                 (size_t)(to % heads) * a->out_stride_head;
    for (uint32_t i = 0; i < image->spec.dv; i++)
        out[i] = (float)o[i];
    if (chosen == ONE_ELEMENT && row == 0) out[3] += 0.05f;
    if (chosen == EMPTY_LIST && o[0] == 0 && o[1] == 0) out[0] = 1e-30f;
    if (chosen == GAP && a->out_stride_head > image->spec.dv) out[image->spec.dv] = 0;
}

/* LSE: natural logarithms, minus infinity of nothing, nothing between rows. */
static void put_lse(const sphkv_attn_args *a, uint32_t heads, const double *lse)
{
    for (uint32_t r = 0; r < a->batch * heads; r++) {
        float *to = a->lse + (size_t)(r / heads) * a->lse_stride_seq + r % heads;
        if (chosen == LSE_MISSING && r == 1) continue;
        *to = (float)(chosen == LSE_LOG2 ? lse[r] / log(2) : lse[r]);
        if (chosen == LSE_EMPTY && isinf(lse[r])) *to = 0;
        if (chosen == LSE_GAP && a->lse_stride_seq > heads && r % heads == 0) to[heads] = 0;
    }
}

/* ml: [pairs][2], NaN where no list has the page. */
static void put_pairs(const sphkv_attn_args *a, size_t pairs, const double *ml)
{
    for (size_t i = 0; i < pairs; i++) {
        const double *from = ml + 2 * i;
        float *to = a->page_ml + 2 * (chosen == PAIR_ROW ? i ^ 1 : i);
        if (chosen == PAIR_STRAY && isnan(from[0])) to[0] = to[1] = 0;
        if (isnan(from[0])) continue;
        to[0] = (float)(chosen == PAIR_LOG2 ? from[0] / log(2) : from[0]);
        to[1] = (float)(chosen == PAIR_SUM ? 1.01 * from[1] : from[1]);
        if (chosen == PAIR_EMPTY && from[1] == 0) to[0] = 0;
    }
}

static void put_sums(const sk_image *image, const sphkv_attn_args *a)
{
    const uint32_t kv_heads = image->maxima.kv_heads, hpk = image->spec.heads_per_kv;
    const size_t refs = a->table.indptr[a->table.lists];
    const size_t pairs = refs * (a->table.lists_per_seq == 1 ? kv_heads : 1) * hpk;
    sk_attn_truth t = {.lse = sk_malloc((size_t)a->batch * kv_heads * hpk * sizeof *t.lse),
                       .page_ml = sk_malloc(pairs * 2 * sizeof *t.page_ml)};
    sk_err err = {0};
    assert_true(t.lse && t.page_ml);
    for (size_t i = 0; i < 2 * pairs; i++)
        t.page_ml[i] = (double)NAN;
    sk_assert_ok(sk_attn_reference(&image->spec, a, kv_heads, &t, &err), &err);
    if (a->lse) put_lse(a, kv_heads * hpk, t.lse);
    if (a->page_ml) put_pairs(a, pairs, t.page_ml);
    sk_free(t.lse);
    sk_free(t.page_ml);
}

static sk_status fake_attn(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                           sk_err *err)
{
    sphkv_attn_args a = *(const sphkv_attn_args *)args;
    const uint32_t heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    bent_table t;
    if (part != parts - 1) return SPHKV_OK;
    bend_table(image, &a, &t);
    a.table.indptr = t.indptr;
    a.table.refs = t.refs;
    if (chosen == WRONG_SCALE) {
        if (a.scale == 0) a.scale = 1 / sqrtf((float)image->spec.d);
        a.scale *= 1.01f;
    }
    if (chosen == SUB_PAGE) { /* every KV head reads the codebook of the first */
        a.codebook = sk_calloc(image->maxima.kv_heads, sk_codebook_head_bytes(&image->spec));
        for (uint32_t h = 0; h < image->maxima.kv_heads; h++)
            memcpy((uint8_t *)(uintptr_t)a.codebook + h * sk_codebook_head_bytes(&image->spec),
                   ((const sphkv_attn_args *)args)->codebook, sk_codebook_head_bytes(&image->spec));
    }
    double *out = sk_malloc((size_t)a.batch * heads * image->spec.dv * sizeof *out);
    float *sinks = sk_malloc(heads * sizeof *sinks);
    assert_true(out && sinks);
    for (uint32_t h = 0; chosen == SINK_OFF && a.sinks && h < heads; h++) sinks[h] = a.sinks[h] + 0.05f;
    if (chosen == SINK_OFF && a.sinks) a.sinks = sinks;
    if (chosen == SINK_LEFT) a.sinks = NULL;
    sk_attn_truth truth = {.out = out};
    sk_status st = sk_attn_reference(&image->spec, &a, image->maxima.kv_heads, &truth, err);
    for (uint32_t r = 0; r < a.batch * heads; r++)
        put_row(image, &a, r, out + (size_t)r * image->spec.dv);
    put_sums(image, args);
    if (chosen == BEYOND_OUT) ((float *)a.out)[-1] = 0;
    if (chosen == INPUT_WRITTEN) ((uint8_t *)(uintptr_t)a.arena)[a.arena_bytes - 1] ^= 1;
    if (chosen == SUB_PAGE) sk_free((void *)(uintptr_t)a.codebook);
    sk_free(out);
    sk_free(sinks);
    sk_free(t.indptr);
    sk_free(t.refs);
    return st;
}

/* One step of a code, four of a scale or minimum, what a slot must not hold. */
static void bend_value(const sk_spec *spec, const sk_page_layout *at, uint32_t count, uint8_t *page)
{
    const uint32_t kind = spec->tier[0].value, bits = kind == SK_VAL_I4 ? 4 : 8;
    uint8_t *codes = page + at->value_off;
    const uint32_t off = sk_layout_value_index(spec, kind, at, 0, 9) * bits;
    if (chosen == VALUE_OFF) sk_bits_put(codes, off, bits, sk_bits_get(codes, off, bits) ^ 1);
    if (chosen == VALUE_SCALE) page[at->vscale_off] ^= 4;
    if (chosen == VALUE_LEAST) page[at->vmin_off + 2 * 9] ^= 4;
    if (chosen == UNUSED_VALUE && count < spec->page)
        sk_bits_put(codes, sk_layout_value_index(spec, kind, at, count, 3) * bits, bits, 1);
}

static void bend_page(const sk_spec *spec, uint32_t count, uint8_t *page)
{
    const sk_segment *seg = &spec->tier[0].seg[0];
    sk_page_layout at;
    sk_page_layout_get(spec, 0, &at);
    uint8_t *codes = page + at.seg[0].code_off, *radii = page + at.seg[0].radius_off;
    uint32_t bit = sk_layout_code_bit(spec, seg, seg->more ? 3 : 2, count - 1);
    if (chosen == CODE_WRONG) sk_bits_put(codes, bit, seg->b, sk_bits_get(codes, bit, seg->b) ^ 5);
    if (chosen == RADIUS_OFF)
        sk_bits_put(radii, 0, seg->rb, sk_bits_get(radii, 0, seg->rb) ^ (seg->rb == 16 ? 4 : 2));
    bend_value(spec, &at, count, page);
    if (chosen == UNUSED_SLOT && count < spec->page)
        sk_bits_put(codes, sk_layout_code_bit(spec, seg, 0, count), seg->b, 1);
    if (chosen == NEIGHBOUR) page[(size_t)at.units * SPHKV_UNIT_BYTES] ^= 1;
}

/* ki8, ki4: what a wrong encoder would do to codes and scales. */
static void bend_int_keys(const sk_spec *spec, uint32_t count, uint8_t *page)
{
    const uint32_t bits = spec->tier[0].seg[0].kind == SK_KEY_I8 ? 8 : 4;
    sk_page_layout at;
    sk_page_layout_get(spec, 0, &at);
    uint8_t *codes = page + at.seg[0].key_off, *scales = page + at.seg[0].kscale_off;
    const uint32_t first = sk_layout_key_index(&at.seg[0], 1, count - 1) * bits;
    const uint32_t last = sk_layout_key_index(&at.seg[0], spec->d - 1, 0) * bits;
    const uint32_t block = (spec->d - 1) / 32 * spec->page;
    if (chosen == KEY_CODE) sk_bits_put(codes, first, bits, sk_bits_get(codes, first, bits) ^ 1);
    if (chosen == KEY_LAST) sk_bits_put(codes, last, bits, sk_bits_get(codes, last, bits) ^ 1);
    if (chosen == KEY_SCALE) scales[block * 2] ^= 4;
    if (count == spec->page) return;
    if (chosen == KEY_SCALE_SLOT) scales[(block + count) * 2] = 1;
    if (chosen == KEY_SLOT)
        sk_bits_put(codes, sk_layout_key_index(&at.seg[0], 0, count) * bits, bits, 8);
}

/* A wrong code whose radius is the least-squares one all the same: only the
 * distance tells. */
static void refit_code(const sk_spec *spec, const double *k, const uint8_t *book, uint8_t *page)
{
    const sk_segment *seg = &spec->tier[0].seg[0];
    sk_page_layout at;
    sk_page_layout_get(spec, 0, &at);
    double unit[64] = {0}, kc = 0, cc = 0; /* the decoded token at radius 1 */
    uint16_t one = sk_f32_to_f16(1);
    uint8_t *codes = page + at.seg[0].code_off;
    uint32_t bit = sk_layout_code_bit(spec, seg, 2, 0);
    sk_bits_put(codes, bit, seg->b, sk_bits_get(codes, bit, seg->b) ^ 1);
    memcpy(page + at.seg[0].radius_off, &one, 2);
    sk_page_decode_ref(spec, 0, page, 1, book, unit, NULL);
    for (uint32_t i = 0; i < spec->d; i++) {
        kc += k[i] * unit[i];
        cc += unit[i] * unit[i];
    }
    one = sk_f32_to_f16((float)(kc / cc));
    memcpy(page + at.seg[0].radius_off, &one, 2);
}

/* The twin of codeword 0, which every other group has, instead of it. */
static void take_twins(const sk_spec *spec, uint32_t count, uint8_t *page)
{
    const sk_segment *seg = &spec->tier[0].seg[0];
    sk_page_layout at;
    sk_page_layout_get(spec, 0, &at);
    for (uint32_t j = 0; j < at.seg[0].groups; j += 2)
        for (uint32_t t = 0; t < count; t++) {
            uint32_t bit = sk_layout_code_bit(spec, seg, j, t);
            if (sk_bits_get(page + at.seg[0].code_off, bit, seg->b) == 0)
                sk_bits_put(page + at.seg[0].code_off, bit, seg->b, (1u << seg->b) - 1);
        }
}

/* The norm instead of the least-squares radius. */
static void norm_radii(const sk_spec *spec, uint32_t count, const double *k, uint8_t *page)
{
    sk_page_layout at;
    sk_page_layout_get(spec, 0, &at);
    for (uint32_t t = 0; t < count; t++) {
        double sum = 0;
        for (uint32_t i = 0; i < spec->d; i++)
            sum += k[(size_t)t * spec->d + i] * k[(size_t)t * spec->d + i];
        uint16_t h = sk_f32_to_f16((float)sqrt(sum));
        memcpy(page + at.seg[0].radius_off + 2 * t, &h, 2);
    }
}

static sk_status fake_encode(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                             sk_err *err)
{
    const sphkv_encode_args *a = args;
    const sk_spec *spec = &image->spec;
    (void)err;
    double *k = sk_malloc((size_t)spec->page * (spec->d + spec->dv) * sizeof *k);
    assert_non_null(k);
    double *v = k + (size_t)spec->page * spec->d;
    for (uint32_t i = part; i < a->items_count; i += parts) {
        const sphkv_encode_item *item = &a->items[i];
        uint8_t *src =
            (uint8_t *)(uintptr_t)a->src_arena + (size_t)item->src_unit * SPHKV_UNIT_BYTES;
        uint8_t *dst = (uint8_t *)a->dst_arena + (size_t)item->dst_unit * SPHKV_UNIT_BYTES;
        const uint8_t *book = a->codebook;
        if (book) book += item->kv_head * sk_codebook_head_bytes(spec);
        if (chosen == UNCODED && i == 0) continue;
        sk_page_decode_ref(spec, 1, src, item->count, NULL, k, v);
        sk_encode_page_ref(spec, 0, k, v, item->count, book, dst);
        if (chosen == TIE_HIGH) take_twins(spec, item->count, dst);
        if (chosen == CODE_REFIT) refit_code(spec, k, book, dst);
        if (chosen == RADIUS_NORM) norm_radii(spec, item->count, k, dst);
        if (chosen == SOURCE_WRITTEN) src[0] ^= 1;
        if (item->count == 0) continue;
        if (spec->tier[0].seg[0].kind == SK_KEY_CODED)
            bend_page(spec, item->count, dst);
        else
            bend_int_keys(spec, item->count, dst);
    }
    sk_free(k);
    return SPHKV_OK;
}

static sk_status fake_append(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                             sk_err *err)
{
    const sphkv_append_args *a = args;
    const sk_spec *spec = &image->spec;
    (void)err;
    for (uint32_t i = part; i < a->items_count; i += parts) {
        const sphkv_append_item *item = &a->items[i];
        uint8_t *page = (uint8_t *)a->arena + (size_t)item->unit * SPHKV_UNIT_BYTES;
        for (uint32_t t = 0; t < item->count; t++) {
            const float *k = (const float *)a->k + (size_t)(item->row + t) * a->k_stride_row +
                             (size_t)item->kv_head * a->k_stride_head;
            const float *v = (const float *)a->v + (size_t)(item->row + t) * a->v_stride_row +
                             (size_t)item->kv_head * a->v_stride_head;
            uint32_t slot = item->slot + t;
            if (chosen == ROW_MISSING && i == 0 && t == 0) continue;
            if (chosen == SLOT_OFF && item->count == 1) slot = (slot + 1) % spec->page;
            sk_append_ref(spec, 0, k, v, slot, page);
            if (chosen == ROW_TWICE && slot + 1 < spec->page && t + 1 == item->count)
                sk_append_ref(spec, 0, k, v, slot + 1, page);
        }
    }
    return SPHKV_OK;
}

/* ---- the whole check on them ------------------------------------------------------ */

static size_t no_workspace(const sk_image *image)
{
    (void)image;
    return 64;
}

static sk_status check_fake(const char *spec_text, defect d, double *error, sk_err *err)
{
    static sk_status (*const runs[])(const sk_image *, const void *, uint32_t, uint32_t,
                                     sk_err *) = {fake_attn, fake_append, fake_encode};
    sk_image image = {.nentry = 2};
    sk_kernel fake;
    sk_assert_ok(sk_spec_parse(spec_text, &image.spec, err), err);
    fake = *sk_kernel_get(image.spec.kernel);
    sk_kernel_default(&fake, &image.spec, &(sk_target){.vector_bits = 128}, &image.schedule);
    const sk_kernel_form form = {.workspace = no_workspace, .run = runs[image.spec.kernel]};
    image.kernel = &fake;
    image.form = &form;
    chosen = d;
    sk_status st = sk_image_check(&image, 7, error, err);
    chosen = NONE;
    return st;
}

/* Passes as it is, fails with any of the defects from..to. */
static void check_defects(const char *spec, defect from, defect to)
{
    double error = -1;
    sk_err err = {0};
    sk_assert_ok(check_fake(spec, NONE, &error, &err), &err);
    assert_true(error >= 0 && error < 1e-6);
    for (uint32_t d = from; d <= to; d++) {
        memset(&err, 0, sizeof err);
        if (check_fake(spec, (defect)d, &error, &err) != SPHKV_EVERIFY)
            fail_msg("defect %u passes in %s (%s)", d, spec, err.message);
        print_message("defect %u: %s\n", d, err.message);
    }
}

static void test_attn(void **state)
{
    (void)state;
    check_defects("attn_decode d64 v64 h2 p32 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
                  SKIP_TIER, PAIR_STRAY);
}

static void test_attn_group_spans(void **state)
{
    (void)state;
    check_defects("attn_decode d32 v32 h1 p16 l0 qf32 of32 if32 tight high:vf16", WRONG_SCALE,
                  LAST_PAGE);
}

/* Rows that a sink takes weight from have more room, but not for these. */
static void test_attn_sinks(void **state)
{
    (void)state;
    check_defects("attn_decode d64 v64 h2 p32 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 sink",
                  SKIP_TIER, EMPTY_LIST);
    check_defects("attn_decode d64 v64 h4 p32 l0 qf32 of32 if32 tight ki8:vi4 sink", SINK_LEFT, SINK_OFF);
}

static void test_encode(void **state)
{
    (void)state;
    check_defects("kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16", TIE_HIGH,
                  UNCODED);
}

static void test_encode_group_spans(void **state)
{
    (void)state;
    check_defects("kv_encode d64 v64 h1 p32 l0 qf32 of32 if32 tight g8b4r8:vi8,kbf16:vf16",
                  RADIUS_OFF, UNCODED);
}

/* Every second row of codes is for what the first code of a group leaves. */
static void test_encode_codes(void **state)
{
    (void)state;
    check_defects("kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight g4b4x2r16sD:vi8,kf16:vf16", TIE_HIGH,
                  UNCODED);
}

static void test_encode_int_keys(void **state)
{
    (void)state;
    check_defects("kv_encode d80 v32 h1 p32 l0 qf32 of32 if32 tight ki8:vf16,kf16:vf16", KEY_CODE,
                  KEY_SLOT);
    check_defects("kv_encode d64 v32 h1 p48 l1 qf32 of32 if32 tight ki4:vi8,kf32:vf16", KEY_CODE,
                  KEY_SLOT);
}

static void test_encode_small_values(void **state)
{
    (void)state;
    const char *four = "kv_encode d64 v48 h1 p32 l1 qf32 of32 if32 tight good:vi4,kf16:vf16";
    check_defects(four, VALUE_LEAST, VALUE_LEAST);
    check_defects(four, RADIUS_OFF, UNCODED);
    check_defects("kv_encode d64 v48 h1 p32 l1 qf32 of32 if32 tight good:vf8,kf32:vf32", RADIUS_OFF,
                  UNCODED);
}

static void test_append(void **state)
{
    (void)state;
    check_defects("kv_append d64 v64 h1 p32 l0 qf32 of32 if32 tight kbf16:vf16", SLOT_OFF,
                  ROW_TWICE);
}

static void test_append_half_rows(void **state)
{
    (void)state;
    sk_case_params p = {.lists_per_seq = 1, .copies = 1, .shape = {4, 2, 9, 1, 1}, .uneven = true};
    sk_case c;
    sk_err err = {0};
    sk_assert_ok(
        sk_spec_parse("kv_append d16 v16 h1 p16 l0 qf32 of32 ibf16 tight kf16:vf16", &p.spec, &err),
        &err);
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    double error, bound;
    assert_int_equal(sk_case_judge(&c, 0, &error, &bound, &err), SPHKV_EVERIFY);
    sk_case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attn),     cmocka_unit_test(test_attn_group_spans),
        cmocka_unit_test(test_attn_sinks),
        cmocka_unit_test(test_encode),   cmocka_unit_test(test_encode_group_spans),
        cmocka_unit_test(test_encode_codes), cmocka_unit_test(test_encode_int_keys),
        cmocka_unit_test(test_encode_small_values),
        cmocka_unit_test(test_append),   cmocka_unit_test(test_append_half_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
