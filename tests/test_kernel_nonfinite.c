/* test_kernel_nonfinite.c - NaN, infinities and plain garbage where numbers
 * should be: what sphkv.h promises for them. Nothing crashes or is written
 * elsewhere (redzones, and the interpreter's bounds), and what does not read the
 * bad number has the bits that it has without it: other rows of attention, other
 * pages, other slots of a page. What kv_encode makes of it is finite.
 *
 * Every test runs the clean case, plants something bad, runs again, and compares
 * bits, in the interpreter and in machine code. */
#include "sk_test.h"

#include "case_impl.h"
#include "kernel_cases.h"

#define ROUNDS 8

static const double bad_number[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 3e38};

typedef struct trial {
    kernel_built built;
    sk_case c;
    sk_image image;
    bool compiled;
    uint8_t *clean, *clean_lse; /* the outputs without anything bad */
    size_t bytes;
    sk_rng rng;
} trial;

/* Not poisoned again by itself: that would put a planted number right where one
 * arena holds source and destination. */
static void run_it(trial *t)
{
    sk_err err = {0};
    sk_assert_ok(kernel_run(&t->image, sk_case_args(&t->c, 0), KERNEL_PARTS, &err), &err);
}

static uint8_t *copy_of(const void *data, size_t bytes)
{
    uint8_t *to = sk_malloc(bytes ? bytes : 1);
    assert_non_null(to);
    return bytes ? memcpy(to, data, bytes) : to;
}

static void trial_make(trial *t, kernel_lab *lab, const char *spec, bool shared, bool compiled)
{
    const kernel_row row = {spec, "", 0};
    sphkv_maxima maxima;
    sk_err err = {0};
    memset(t, 0, sizeof *t);
    kernel_build(lab, &row, &t->built);
    t->compiled = compiled && t->built.code;
    const sk_case_params p = kernel_params(&t->built, SK_IN_EDGE, shared, lab->seed);
    sk_assert_ok(sk_case_make(&p, &t->c, &err), &err);
    sk_case_maxima(&t->c, KERNEL_PARTS, &maxima);
    kernel_image(&t->built, t->compiled, &maxima, &t->image);
    sk_rng_seed(&t->rng, lab->seed);
    sk_case_poison(&t->c, 0);
    run_it(t);
    sk_assert_ok(sk_case_judge(&t->c, 0, NULL, NULL, &err), &err);
    const uint8_t *out = sk_case_result(&t->c, 0, &t->bytes);
    t->clean = copy_of(out, t->bytes);
    const sk_case_buffer *lse = &sk_case_state_of(&t->c)->copy[0].buf[SK_BUF_LSE];
    t->clean_lse = copy_of(lse->data, lse->bytes);
}

static void trial_free(trial *t)
{
    sk_free(t->clean);
    sk_free(t->clean_lse);
    sk_case_free(&t->c);
    kernel_built_free(&t->built);
}

/* Puts back what was there and expects that nothing else was written. */
static void restore(trial *t, void *at, const uint8_t *saved, size_t bytes)
{
    sk_err err = {0};
    memcpy(at, saved, bytes);
    sk_assert_ok(sk_case_intact(&t->c, 0, &err), &err);
}

/* ---- attn_decode ------------------------------------------------------------------ */

/* Whether this list, or this KV head of it, reads the sub-page at `unit`. */
static bool reads(const trial *t, uint32_t seq, uint32_t kv_head, const sk_case_page *page,
                  uint32_t sub)
{
    const sphkv_attn_args *a = sk_case_args(&t->c, 0);
    const uint32_t per_seq = t->c.p.lists_per_seq, list = seq * per_seq + (per_seq > 1 ? kv_head : 0);
    if (per_seq == 1 && kv_head != sub) return false;
    for (uint32_t i = a->table.indptr[list]; i < a->table.indptr[list + 1]; i++)
        if ((uint32_t)a->table.refs[i] == page->unit) return true;
    return false;
}

/* Rows with touched[row] may be anything; all others keep their bits. */
static void expect_other_rows(const trial *t, const bool *touched, const char *what)
{
    const sphkv_attn_args *a = sk_case_args(&t->c, 0);
    const sk_spec *s = &t->built.spec;
    const sk_case_state *state = sk_case_state_of(&t->c);
    const size_t es = sk_case_dtype_bytes(s->out_dtype);
    const uint8_t *out = (const uint8_t *)a->out;
    size_t same = 0;
    for (uint32_t row = 0; row < a->batch * state->heads; row++) {
        const uint32_t seq = row / state->heads, head = row % state->heads;
        const size_t at = ((size_t)seq * a->out_stride_seq + (size_t)head * a->out_stride_head) * es;
        const size_t lse_at = ((size_t)seq * a->lse_stride_seq + head) * 4;
        if (touched[row]) continue;
        same++;
        if (memcmp(out + at, t->clean + at, s->dv * es) != 0)
            fail_msg("%s changed the output of sequence %u, head %u", what, seq, head);
        if (a->lse && memcmp((const uint8_t *)a->lse + lse_at, t->clean_lse + lse_at, 4) != 0)
            fail_msg("%s changed the LSE of sequence %u, head %u", what, seq, head);
    }
    assert_true(same > 0);
}

static void bad_query(trial *t)
{
    const sphkv_attn_args *a = sk_case_args(&t->c, 0);
    const sk_spec *s = &t->built.spec;
    const uint32_t heads = sk_case_state_of(&t->c)->heads, rows = a->batch * heads;
    const uint32_t row = sk_rng_below(&t->rng, rows);
    const size_t at = (size_t)(row / heads) * a->q_stride_seq + (size_t)(row % heads) * a->q_stride_head +
                      sk_rng_below(&t->rng, s->d);
    const size_t es = sk_case_dtype_bytes(s->q_dtype);
    uint8_t *q = (uint8_t *)(uintptr_t)a->q, saved[4];
    bool *touched = sk_calloc(rows, 1);
    sk_case_poison(&t->c, 0);
    memcpy(saved, q + at * es, es);
    sk_case_put(q, s->q_dtype, at, bad_number[sk_rng_below(&t->rng, SK_COUNT(bad_number))]);
    run_it(t);
    touched[row] = true;
    expect_other_rows(t, touched, "a bad query");
    restore(t, q + at * es, saved, es);
    sk_free(touched);
}

/* A page of NaN, or of any bytes at all. */
static void bad_page(trial *t)
{
    const sphkv_attn_args *a = sk_case_args(&t->c, 0);
    const sk_case_state *state = sk_case_state_of(&t->c);
    const uint32_t rows = a->batch * state->heads, per_kv = t->built.spec.heads_per_kv;
    const sk_case_page *page = &state->page[sk_rng_below(&t->rng, (uint32_t)state->pages)];
    const uint32_t sub = t->c.p.lists_per_seq == 1 ? sk_rng_below(&t->rng, state->kv_heads) : 0;
    const size_t bytes = (size_t)state->at[page->tier].units * SPHKV_UNIT_BYTES;
    uint8_t *at = (uint8_t *)(uintptr_t)a->arena + (size_t)page->unit * SPHKV_UNIT_BYTES + sub * bytes;
    uint8_t *saved = copy_of(at, bytes);
    bool *touched = sk_calloc(rows, 1), random = sk_rng_below(&t->rng, 2);
    sk_case_poison(&t->c, 0);
    for (size_t i = 0; i < bytes; i++) at[i] = random ? (uint8_t)sk_rng_u64(&t->rng) : 0xff;
    run_it(t);
    for (uint32_t row = 0; row < rows; row++)
        touched[row] =
            reads(t, row / state->heads, row % state->heads / per_kv, page, sub);
    expect_other_rows(t, touched, random ? "a page of noise" : "a page of NaN");
    restore(t, at, saved, bytes);
    sk_free(saved);
    sk_free(touched);
}

static void attention(kernel_lab *lab, const char *spec, bool compiled)
{
    for (int shared = 0; shared < 2; shared++) {
        trial t;
        trial_make(&t, lab, spec, shared, compiled);
        for (int i = 0; i < (compiled ? ROUNDS : 2); i++) {
            bad_query(&t);
            bad_page(&t);
        }
        sk_case_poison(&t.c, 0);
        run_it(&t); /* and nothing stays behind */
        size_t bytes;
        assert_memory_equal(sk_case_result(&t.c, 0, &bytes), t.clean, t.bytes);
        trial_free(&t);
    }
}

static void attn_decode(void **state)
{
    static const char *const specs[] = {
        "attn_decode d32 v32 h4 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
        "attn_decode d64 v64 h2 p32 l1 qf16 of16 if32 exact high:vf16,kf32:vf32",
        "attn_decode d32 v48 h3 p32 l0 qf32 of32 if32 fast mid:vi8,lean:vi8,kbf16:vbf16",
        "attn_decode d64 v64 h1 p16 l1 qbf16 of32 if32 tight kf16:vf16",
    };
    for (size_t i = 0; i < SK_COUNT(specs); i++)
        for (int compiled = 0; compiled < 2; compiled++) attention(*state, specs[i], compiled);
}

/* ---- attn_merge ------------------------------------------------------------------- */

/* A bad row of a source: the rows of the other heads and sequences stand. */
static void merge_one(trial *t)
{
    const sphkv_merge_args *a = sk_case_args(&t->c, 0);
    const sk_spec *s = &t->built.spec;
    const uint32_t heads = sk_case_state_of(&t->c)->heads, rows = a->batch * heads;
    const uint32_t row = sk_rng_below(&t->rng, rows), seq = row / heads, head = row % heads;
    const sphkv_merge_source *from = &a->sources[sk_rng_below(&t->rng, a->sources_count)];
    const bool lse = sk_rng_below(&t->rng, 2);
    const uint32_t stride_head = from->out_stride_head ? from->out_stride_head : s->dv;
    const uint32_t stride_seq = from->out_stride_seq ? from->out_stride_seq : heads * stride_head;
    const uint32_t to_head = a->out_stride_head ? a->out_stride_head : s->dv;
    const uint32_t to_seq = a->out_stride_seq ? a->out_stride_seq : heads * to_head;
    const uint32_t dtype = lse ? SPHKV_F32 : s->in_dtype;
    const size_t es = sk_case_dtype_bytes(dtype), out_es = sk_case_dtype_bytes(s->out_dtype);
    const size_t at = lse ? (size_t)seq * (from->lse_stride_seq ? from->lse_stride_seq : heads) + head
                          : (size_t)seq * stride_seq + (size_t)head * stride_head +
                                sk_rng_below(&t->rng, s->dv);
    uint8_t *data = (uint8_t *)(uintptr_t)(lse ? (const void *)from->lse : from->out), saved[4];
    sk_case_poison(&t->c, 0);
    memcpy(saved, data + at * es, es);
    sk_case_put(data, dtype, at, bad_number[sk_rng_below(&t->rng, SK_COUNT(bad_number))]);
    run_it(t);
    for (uint32_t i = 0; i < rows; i++) {
        const size_t place = ((size_t)(i / heads) * to_seq + (size_t)(i % heads) * to_head) * out_es;
        if (i == row) continue;
        if (memcmp((const uint8_t *)a->out + place, t->clean + place, s->dv * out_es) != 0)
            fail_msg("a bad source changed the output of sequence %u, head %u", i / heads, i % heads);
    }
    restore(t, data + at * es, saved, es);
}

/* ---- kv_append -------------------------------------------------------------------- */

/* Decoded rows of a page before and after: the first `tokens`, all but `except`,
 * are the same. */
static void expect_other_tokens(const trial *t, const uint8_t *before, const uint8_t *after,
                                uint32_t tier, uint32_t tokens, uint32_t except, const uint8_t *book)
{
    const sk_spec *s = &t->built.spec;
    static double k[2][64 * 64], v[2][64 * 64];
    assert_true(s->page <= 64 && s->d <= 64 && s->dv <= 64);
    sk_page_decode_ref(s, tier, before, s->page, book, k[0], v[0]);
    sk_page_decode_ref(s, tier, after, s->page, book, k[1], v[1]);
    for (uint32_t i = 0; i < tokens; i++) {
        if (i == except) continue;
        assert_memory_equal(k[0] + (size_t)i * s->d, k[1] + (size_t)i * s->d, s->d * sizeof **k);
        assert_memory_equal(v[0] + (size_t)i * s->dv, v[1] + (size_t)i * s->dv, s->dv * sizeof **v);
    }
}

/* Everything but this page as without the bad number. */
static void expect_other_pages(trial *t, uint32_t unit, uint32_t tier)
{
    size_t bytes, from = (size_t)unit * SPHKV_UNIT_BYTES;
    size_t size = (size_t)sk_case_state_of(&t->c)->at[tier].units * SPHKV_UNIT_BYTES;
    const uint8_t *now = sk_case_result(&t->c, 0, &bytes);
    assert_memory_equal(now, t->clean, from);
    assert_memory_equal(now + from + size, t->clean + from + size, bytes - from - size);
}

static void append_one(trial *t)
{
    const sphkv_append_args *a = sk_case_args(&t->c, 0);
    const sk_spec *s = &t->built.spec;
    const sphkv_append_item *item = &a->items[sk_rng_below(&t->rng, a->items_count)];
    const bool value = sk_rng_below(&t->rng, 2);
    const uint32_t nth = item->count ? sk_rng_below(&t->rng, item->count) : 0;
    uint32_t row_stride = value ? a->v_stride_row : a->k_stride_row;
    uint32_t head_stride = value ? a->v_stride_head : a->k_stride_head;
    const size_t at = (size_t)(item->row + nth) * row_stride + (size_t)item->kv_head * head_stride +
                      sk_rng_below(&t->rng, value ? s->dv : s->d);
    const size_t es = sk_case_dtype_bytes(s->in_dtype);
    uint8_t *rows = (uint8_t *)(uintptr_t)(value ? a->v : a->k), saved[4];
    if (item->count == 0) return;
    sk_case_poison(&t->c, 0);
    memcpy(saved, rows + at * es, es);
    sk_case_put(rows, s->in_dtype, at, bad_number[sk_rng_below(&t->rng, SK_COUNT(bad_number))]);
    run_it(t);
    expect_other_pages(t, item->unit, 0);
    size_t bytes;
    const uint8_t *now = sk_case_result(&t->c, 0, &bytes);
    const size_t from = (size_t)item->unit * SPHKV_UNIT_BYTES;
    expect_other_tokens(t, t->clean + from, now + from, 0, s->page, item->slot + nth, NULL);
    restore(t, rows + at * es, saved, es);
}

/* ---- kv_encode -------------------------------------------------------------------- */

/* Where element i of a token of the dense source lies. */
static uint8_t *source_element(const trial *t, const sphkv_encode_item *item, bool value,
                               uint32_t token, uint32_t i, uint32_t *dtype)
{
    const sphkv_encode_args *a = sk_case_args(&t->c, 0);
    const sk_spec *s = &t->built.spec;
    const sk_page_layout *at = &sk_case_state_of(&t->c)->at[1];
    static const uint32_t types[] = {SPHKV_F32, SPHKV_F16, SPHKV_BF16};
    const sk_tier *tier = &s->tier[1];
    const uint32_t kind = value ? tier->value - SK_VAL_F32 : tier->seg[0].kind - SK_KEY_F32;
    assert_true(kind < 3);
    *dtype = types[kind];
    const uint32_t off = value ? at->value_off : at->seg[0].key_off;
    const uint32_t index = value ? sk_layout_value_index(s, tier->value, at, token, i)
                                 : sk_layout_key_index(&at->seg[0], i, token);
    return (uint8_t *)(uintptr_t)a->src_arena + (size_t)item->src_unit * SPHKV_UNIT_BYTES + off +
           (size_t)index * sk_case_dtype_bytes(*dtype);
}

static void expect_finite(const trial *t, const uint8_t *page, const uint8_t *book)
{
    const sk_spec *s = &t->built.spec;
    static double k[64 * 64], v[64 * 64];
    sk_page_decode_ref(s, 0, page, s->page, book, k, v);
    for (uint32_t i = 0; i < s->page * s->d; i++) assert_true(isfinite(k[i]));
    for (uint32_t i = 0; i < s->page * s->dv; i++) assert_true(isfinite(v[i]));
}

/* A token that no scale of its page is made for: keys of 0, values of a neighbour. */
static void make_quiet(const trial *t, const sphkv_encode_item *item, uint32_t token)
{
    const sk_spec *s = &t->built.spec;
    uint32_t dtype;
    for (uint32_t i = 0; i < s->d; i++)
        sk_case_put(source_element(t, item, false, token, i, &dtype), dtype, 0, 0);
    for (uint32_t i = 0; i < s->dv; i++) {
        const uint8_t *from = source_element(t, item, true, (token + 1) % item->count, i, &dtype);
        memmove(source_element(t, item, true, token, i, &dtype), from, sk_case_dtype_bytes(dtype));
    }
}

static void encode_one(trial *t)
{
    const sphkv_encode_args *a = sk_case_args(&t->c, 0);
    const sk_spec *s = &t->built.spec;
    const sphkv_encode_item *item = &a->items[sk_rng_below(&t->rng, a->items_count)];
    const bool value = sk_rng_below(&t->rng, 2), dense_values = s->tier[0].value < SK_VAL_F8;
    if (item->count == 0 || (value && dense_values)) return; /* floats stay what they are */
    const uint32_t token = sk_rng_below(&t->rng, item->count);
    const double x = bad_number[sk_rng_below(&t->rng, SK_COUNT(bad_number))];
    const size_t size = (size_t)sk_case_state_of(&t->c)->at[1].units * SPHKV_UNIT_BYTES;
    const size_t page = (size_t)sk_case_state_of(&t->c)->at[0].units * SPHKV_UNIT_BYTES;
    uint8_t *source = (uint8_t *)(uintptr_t)a->src_arena + (size_t)item->src_unit * SPHKV_UNIT_BYTES;
    size_t bytes;
    sk_case_poison(&t->c, 0);
    const uint8_t *now =
        sk_case_result(&t->c, 0, &bytes) + (size_t)item->dst_unit * SPHKV_UNIT_BYTES;
    uint8_t *saved = copy_of(source, size), *quiet;
    make_quiet(t, item, token);
    run_it(t);
    quiet = copy_of(now, page);
    uint32_t dtype;
    uint8_t *at = source_element(t, item, value, token,
                                 sk_rng_below(&t->rng, value ? s->dv : s->d), &dtype);
    sk_case_put(at, dtype, 0, x);
    run_it(t);
    restore(t, source, saved, size);
    expect_other_pages(t, item->dst_unit, 0);
    const uint8_t *book =
        (const uint8_t *)a->codebook + (size_t)item->kv_head * sk_codebook_head_bytes(s);
    expect_finite(t, now, book);
    if (isnan(x)) /* an infinity stretches the scales of its page, a NaN does nothing */
        expect_other_tokens(t, quiet, now, 0, item->count, token, book);
    sk_free(saved);
    sk_free(quiet);
}

static void items(kernel_lab *lab, const char *const *specs, size_t n, void (*one)(trial *))
{
    for (size_t i = 0; i < n; i++)
        for (int compiled = 0; compiled < 2; compiled++) {
            trial t;
            trial_make(&t, lab, specs[i], false, compiled);
            for (int k = 0; k < (compiled ? 6 * ROUNDS : 6); k++) one(&t);
            trial_free(&t);
        }
}

static void attn_merge(void **state)
{
    static const char *const specs[] = {
        "attn_merge d32 v32 h2 p128 l1 qf32 of32 if32 tight kf16:vf16",
        "attn_merge d48 v48 h3 p128 l1 qf32 of16 if16 tight kf16:vf16",
    };
    items(*state, specs, SK_COUNT(specs), merge_one);
}

static void kv_append(void **state)
{
    static const char *const specs[] = {
        "kv_append d32 v32 h1 p16 l1 qf32 of32 if32 tight kf16:vf16",
        "kv_append d64 v32 h1 p32 l1 qf32 of32 if16 tight kf32:vf32",
        "kv_append d32 v48 h1 p32 l0 qf32 of32 ibf16 tight kbf16:vbf16",
    };
    items(*state, specs, SK_COUNT(specs), append_one);
}

static void kv_encode(void **state)
{
    static const char *const specs[] = {
        "kv_encode d32 v32 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
        "kv_encode d64 v32 h1 p32 l0 qf32 of32 if32 tight high:vi8,kf32:vf32",
        "kv_encode d64 v64 h1 p32 l1 qf32 of32 if32 tight lean:vi8,kbf16:vbf16",
        "kv_encode d32 v32 h1 p16 l1 qf32 of32 if32 tight g4b4r8:vf16,kf16:vf16",
        "kv_encode d64 v32 h1 p32 l1 qf32 of32 if32 tight ki4:vi8,kf16:vf16",
        "kv_encode d32 v32 h1 p32 l1 qf32 of32 if32 tight good:vi4,kf32:vf32",
        "kv_encode d32 v32 h1 p32 l1 qf32 of32 if32 tight ki8:vf8,kf16:vf16",
    };
    items(*state, specs, SK_COUNT(specs), encode_one);
}

int main(void)
{
    kernel_lab lab;
    kernel_lab_open(&lab);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(attn_decode, &lab),
        cmocka_unit_test_prestate(attn_merge, &lab),
        cmocka_unit_test_prestate(kv_append, &lab),
        cmocka_unit_test_prestate(kv_encode, &lab),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
