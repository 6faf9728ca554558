/* test_spec_layout.c - the page layout by brute force: over random specs every
 * element of every field claims its bits in a bitmap. No bit is claimed twice,
 * no field reaches into another, and the packed ones leave none unused. */
#include "sk_test.h"

#include "layout.h"
#include "spec_random.h"

/* Which bits of a page are taken. */
typedef struct bitmap {
    uint8_t *bits;
    size_t n; /* bits of the page */
} bitmap;

static void claim(bitmap *map, size_t bit, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t at = bit + i;
        assert_true(at < map->n);
        if (map->bits[at / 8] >> at % 8 & 1)
            fail_msg("bit %zu is claimed twice", at);
        map->bits[at / 8] |= (uint8_t)(1u << at % 8);
    }
}

/* All bits from `off` bytes on for n bits are taken. */
static void assert_full(const bitmap *map, size_t off, size_t n)
{
    for (size_t at = off * 8; at < off * 8 + n; at++)
        if (!(map->bits[at / 8] >> at % 8 & 1))
            fail_msg("bit %zu is in no element", at - off * 8);
}

static void assert_place(uint32_t off, const sk_page_layout *at)
{
    assert_int_not_equal(off, SK_NO_FIELD);
    assert_int_equal(off % 16, 0);
    assert_true(off < at->bytes);
}

static void claim_coded(bitmap *map, const sk_spec *spec, const sk_segment *seg,
                        const sk_seg_layout *at, const sk_page_layout *page)
{
    uint32_t p = spec->page;
    assert_int_equal(at->groups * seg->g, at->dims);
    assert_int_equal(at->codes, at->groups * sk_segment_codes(seg));
    assert_int_equal(at->spans * at->span_dims, at->dims);
    assert_int_equal(at->span_dims % seg->g, 0);
    assert_place(at->radius_off, page);
    assert_place(at->code_off, page);
    assert_int_equal(at->key_off, SK_NO_FIELD);
    assert_int_equal(at->kscale_off, SK_NO_FIELD);
    assert_int_equal(at->rscale_off == SK_NO_FIELD, seg->rb == 16);
    for (uint32_t s = 0; s < at->spans; s++) {
        if (seg->rb < 16)
            claim(map, (at->rscale_off + s * 2) * 8, 16);
        for (uint32_t t = 0; t < p; t++)
            claim(map, at->radius_off * 8 + (s * p + t) * seg->rb, seg->rb);
    }
    for (uint32_t j = 0; j < at->codes; j++)
        for (uint32_t t = 0; t < p; t++)
            claim(map, at->code_off * 8 + sk_layout_code_bit(spec, seg, j, t), seg->b);
    assert_full(map, at->code_off, (size_t)at->codes * p * seg->b);
}

static void claim_dense(bitmap *map, const sk_spec *spec, const sk_segment *seg,
                        const sk_seg_layout *at, const sk_page_layout *page)
{
    static const uint32_t width[] = {0, 32, 16, 16, 8, 4, 8};
    bool scaled = seg->kind == SK_KEY_I8 || seg->kind == SK_KEY_I4, whole = seg->kind == SK_KEY_F8;
    assert_place(at->key_off, page);
    assert_int_equal(at->code_off, SK_NO_FIELD);
    assert_int_equal(at->radius_off, SK_NO_FIELD);
    assert_int_equal(at->kscale_off != SK_NO_FIELD, scaled || whole);
    if (whole)
        claim(map, at->kscale_off * 8, 16);
    for (uint32_t d = 0; d < at->dims; d++)
        for (uint32_t t = 0; t < page->tp; t++)
            claim(map, at->key_off * 8 + (size_t)sk_layout_key_index(at, d, t) * width[seg->kind],
                  width[seg->kind]);
    for (uint32_t k = 0; scaled && k < (at->dims + 31) / 32; k++)
        for (uint32_t t = 0; t < spec->page; t++)
            claim(map, (at->kscale_off + (k * spec->page + t) * 2) * 8, 16);
}

static void claim_values(bitmap *map, const sk_spec *spec, uint32_t kind, const sk_page_layout *at)
{
    static const uint32_t width[] = {32, 16, 16, 8, 8, 4};
    if (kind == SK_VAL_KEY) {
        assert_int_equal(at->value_off, SK_NO_FIELD);
        return;
    }
    assert_place(at->value_off, at);
    for (uint32_t t = 0; t < at->tp; t++)
        for (uint32_t c = 0; c < at->cp; c++)
            claim(map,
                  at->value_off * 8 +
                      (size_t)sk_layout_value_index(spec, kind, at, t, c) * width[kind],
                  width[kind]);
    assert_full(map, at->value_off, (size_t)at->tp * at->cp * width[kind]);
    assert_int_equal(at->vscale_off != SK_NO_FIELD, kind >= SK_VAL_F8);
    assert_int_equal(at->vmin_off != SK_NO_FIELD, kind == SK_VAL_I4);
    if (kind == SK_VAL_F8)
        claim(map, at->vscale_off * 8, 16);
    for (uint32_t c = 0; kind > SK_VAL_F8 && c < at->cp; c++)
        claim(map, (at->vscale_off + c * 2) * 8, 16);
    for (uint32_t c = 0; kind == SK_VAL_I4 && c < at->cp; c++)
        claim(map, (at->vmin_off + c * 2) * 8, 16);
}

static void claim_page(const sk_spec *spec, uint32_t slot)
{
    const sk_tier *tier = &spec->tier[slot];
    sk_page_layout at;
    bool positions = (spec->variants & SPHKV_VARIANT_POSITIONS) != 0;
    uint32_t dim0 = 0;
    sk_page_layout_get(spec, slot, &at);
    assert_int_equal(at.nseg, tier->nseg);
    assert_true(at.tp >= spec->page && at.tp < spec->page + 16 && at.tp % 16 == 0);
    assert_true(at.cp >= spec->dv && at.cp < spec->dv + 16 && at.cp % 16 == 0);
    assert_true(at.units * SPHKV_UNIT_BYTES >= at.bytes);
    assert_true(at.units * SPHKV_UNIT_BYTES < at.bytes + SPHKV_UNIT_BYTES);
    bitmap map = {sk_calloc(1, at.bytes), (size_t)at.bytes * 8};
    for (uint32_t s = 0; s < at.nseg; s++) {
        const sk_segment *seg = &tier->seg[s];
        assert_int_equal(at.seg[s].dim0, dim0);
        dim0 += at.seg[s].dims;
        positions |= seg->pre_rope;
        if (seg->kind == SK_KEY_CODED)
            claim_coded(&map, spec, seg, &at.seg[s], &at);
        else
            claim_dense(&map, spec, seg, &at.seg[s], &at);
    }
    assert_int_equal(dim0, spec->d);
    claim_values(&map, spec, tier->value, &at);
    assert_int_equal(at.pos_off != SK_NO_FIELD, positions);
    for (uint32_t t = 0; positions && t < spec->page; t++)
        claim(&map, (at.pos_off + t * 4) * 8, 32);
    /* Only what aligning a field to 16 bytes costs may be left over. */
    size_t left = 0, fields = 3 + 5u * at.nseg + 1;
    for (size_t i = 0; i < map.n; i++)
        left += !(map.bits[i / 8] >> i % 8 & 1);
    assert_true(left < fields * 16 * 8);
    sk_free(map.bits);
}

static void test_bits_of_pages(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(11);
    for (int i = 0; i < 120; i++) {
        sk_spec spec = sk_random_spec(&rng, true);
        for (uint32_t t = 0; t < spec.ntiers; t++)
            claim_page(&spec, t);
    }
}

/* Every P and b, both rows. */
static void test_codes_cover(void **state)
{
    (void)state;
    for (uint32_t layout = 0; layout < SK_LAYOUT_ROWS; layout++)
        for (uint32_t p = 8; p <= 256; p += 8)
            for (uint32_t b = 2; b <= 8; b++) {
                sk_spec spec = {.d = 24, .dv = 8, .page = p, .layout = layout, .ntiers = 1};
                sk_segment seg = {.kind = SK_KEY_CODED, .g = 8, .b = (uint8_t)b, .span = 8};
                bitmap map = {sk_calloc(1, 3 * p * b / 8), (size_t)3 * p * b};
                for (uint32_t j = 0; j < 3; j++)
                    for (uint32_t t = 0; t < p; t++) {
                        uint32_t bit = sk_layout_code_bit(&spec, &seg, j, t);
                        /* whole groups side by side, in both rows */
                        assert_int_equal(bit / (p * b), j);
                        if (layout == 0)
                            assert_int_equal(bit, (j * p + t) * b);
                        claim(&map, bit, b);
                    }
                assert_full(&map, 0, map.n);
                assert_int_equal(sk_layout_codes_blocked(&spec, &seg),
                                 layout == 1 && b == 4 && p % 64 == 0);
                sk_free(map.bits);
            }
}

/* Row 1 is what its look-up wants: 32 codes from the low nibbles of 32 bytes,
 * each made a pair (low byte, high byte of a 16-bit number) by interleaving the
 * low and high results inside 16-byte halves, come out as runs of 8 tokens. */
static void test_blocked_order(void **state)
{
    (void)state;
    sk_spec spec = {.d = 8, .dv = 8, .page = 64, .layout = 1, .ntiers = 1};
    sk_segment seg = {.kind = SK_KEY_CODED, .g = 2, .b = 4, .span = 8};
    uint8_t token_of[2][32]; /* nibble, byte */
    for (uint32_t t = 0; t < 64; t++) {
        uint32_t bit = sk_layout_code_bit(&spec, &seg, 0, t);
        token_of[bit / 4 % 2][bit / 8] = (uint8_t)t;
    }
    for (uint32_t half = 0; half < 2; half++)
        for (uint32_t part = 0; part < 2; part++) /* unpacklo, unpackhi */
            for (uint32_t lane = 0; lane < 2; lane++)
                for (uint32_t i = 0; i < 8; i++) {
                    /* the i-th 16-bit number of one 128-bit lane */
                    uint32_t t = token_of[half][lane * 16 + part * 8 + i];
                    /* even numbers and odd ones: runs of tokens */
                    uint32_t run = part * 2 + i % 2, place = lane * 4 + i / 2;
                    assert_int_equal(t, half * 32 + run * 8 + place);
                }
}

static void test_bits_get_put(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(12);
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[16], before[16];
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)sk_rng_u64(&rng);
        memcpy(before, bytes, sizeof bytes);
        uint32_t bits = 1 + sk_rng_below(&rng, 16), bit = sk_rng_below(&rng, 129 - bits);
        uint32_t value = (uint32_t)sk_rng_u64(&rng) & ((1u << bits) - 1);
        sk_bits_put(bytes, bit, bits, value);
        assert_int_equal(sk_bits_get(bytes, bit, bits), value);
        for (uint32_t k = 0; k < 128; k++) {
            uint32_t now = bytes[k / 8] >> k % 8 & 1;
            uint32_t want = k >= bit && k < bit + bits ? value >> (k - bit) & 1
                                                       : (uint32_t)before[k / 8] >> k % 8 & 1;
            assert_int_equal(now, want);
        }
    }
}

static void test_codebook_places(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(13);
    for (int i = 0; i < 300; i++) {
        sk_spec spec = sk_random_spec(&rng, false);
        uint32_t end = 0;
        for (uint32_t t = 0; t < spec.ntiers; t++)
            for (uint32_t s = 0; s < spec.tier[t].nseg; s++) {
                const sk_segment *seg = &spec.tier[t].seg[s];
                uint32_t off = sk_codebook_tier_off(&spec, t, s);
                assert_int_equal(off % 16, 0);
                assert_true(off >= end);
                if (seg->kind != SK_KEY_CODED)
                    continue;
                uint32_t dims = seg->dims ? seg->dims : spec.d;
                end = off + dims * sk_segment_codes(seg) * (2u << seg->b);
            }
        uint32_t field[] = {sk_codebook_permutation_off(&spec), sk_codebook_mean_off(&spec),
                            sk_codebook_transform_off(&spec)};
        uint32_t flag[] = {SPHKV_BOOK_PERMUTATION, SPHKV_BOOK_MEAN,
                           SPHKV_BOOK_TRANSFORM | SPHKV_BOOK_HADAMARD};
        uint32_t rows = spec.book & SPHKV_BOOK_TRANSFORM ? spec.d : 1;
        for (uint32_t f = 0; f < SK_COUNT(field); f++) {
            assert_int_equal(field[f] == SK_NO_FIELD, !(spec.book & flag[f]));
            if (field[f] == SK_NO_FIELD)
                continue;
            assert_int_equal(field[f] % 16, 0);
            assert_true(field[f] >= end);
            end = field[f] + spec.d * 4 * (f == 2 ? rows : 1);
        }
        assert_true(sk_codebook_head_bytes(&spec) >= end);
        assert_int_equal(sk_codebook_head_bytes(&spec) % 16, 0);
        assert_int_equal(sk_codebook_head_bytes(&spec) == 0, end == 0);
    }
}

/* Sizes a reader can check by hand against the format's text. */
static void test_known_sizes(void **state)
{
    static const struct {
        const char *tier;
        uint32_t bytes;
    } known[] = {
        {"good:vi8", 128 * 2 + 64 * 128 / 2 + 128 * 2 + 128 * 128},
        {"high:vi8", 8 * 2 + 8 * 128 + 8 * 128 * 6 / 8 + 128 * 2 + 128 * 128},
        {"kf16:vf16", 128 * 128 * 4},
        {"ki4:vi4", 4 * 128 * 2 + 128 * 128 / 2 + 128 * 4 + 128 * 128 / 2},
        {"kf32:vf8", 128 * 128 * 4 + 16 + 128 * 128},
        {"sharp:vk", 128 * 2 + 32 * 128 + 128 * 4},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(known); i++) {
        sphkv_spec_params params = {.size = sizeof params, .head_dim = 128, .tiers = known[i].tier};
        sk_spec spec;
        sk_page_layout at;
        sk_err err = {0};
        sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
        sk_page_layout_get(&spec, 0, &at);
        assert_int_equal(at.bytes, known[i].bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_pages),   cmocka_unit_test(test_codes_cover),
        cmocka_unit_test(test_blocked_order),   cmocka_unit_test(test_bits_get_put),
        cmocka_unit_test(test_codebook_places), cmocka_unit_test(test_known_sizes),
    };
    return cmocka_run_group_tests_name("spec_layout", tests, NULL, NULL);
}
