/* test_prop_random.c - laws of attention that hold for every tier, on specs by
 * chance: the number of parts, the order of pages of a tier, empty pages, every
 * page twice, scale in q or in the scale. No reference takes part. */
#include "sk_test.h"

#include "prop_world.h"
#include "spec_random.h"

#define SPECS 24u
#define NEAR  5e-6 /* class exact: sums of f32 in another order */

/* A spec that the world holds: few heads, small dims, pages of its size, up to
 * three tiers (so that two neighbours at least are of one), class exact. */
static sk_spec draw_spec(uint64_t seed)
{
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    for (;;) {
        const uint32_t n = SK_RANDOM_ROUND * sk_rng_below(&rng, 256);
        sk_spec s = sk_random_kernel_spec(&rng, n, MAX_D);
        s.heads_per_kv = 1 + s.heads_per_kv % MAX_H;
        s.page = PAGE;
        s.ntiers = s.ntiers > 3 ? 3 : s.ntiers;
        s.accuracy = SPHKV_EXACT;
        s.q_dtype = s.out_dtype = SPHKV_F32;
        s.book = 0; /* the codebooks of the world are noise */
        s.variants = 0; /* they have laws of their own (prop_variants) */
        if (sk_spec_check(&s, NULL) == SPHKV_OK &&
            sk_kernel_get(s.kernel)->supported(&s, NULL) == SPHKV_OK)
            return s;
    }
}

static void law_parts(world *w, float want[MAX_H][MAX_D])
{
    for (w->parts = 2; w->parts <= PAGES + 2; w->parts += 2) {
        world_run(w);
        assert_rows(w, want, NEAR);
    }
    w->parts = 1;
}

/* The first two are of one tier, the last two of one. */
static void law_page_order(world *w, float want[MAX_H][MAX_D])
{
    for (uint32_t i = 0; i < PAGES; i += PAGES - 2) {
        const uint64_t first = w->refs[i];
        w->refs[i] = w->refs[i + 1];
        w->refs[i + 1] = first;
    }
    world_run(w);
    assert_rows(w, want, NEAR);
}

/* Before each page one like it with `tokens` tokens of it, or all (PAGE). */
static void law_neighbours(world *w, float want[MAX_H][MAX_D], uint32_t tokens)
{
    uint64_t refs[PAGES];
    memcpy(refs, w->refs, sizeof refs);
    for (uint32_t p = 0; p < PAGES; p++) {
        const uint32_t all = sphkv_ref_tokens(refs[p]);
        w->refs[2 * p] = sphkv_page_ref(sphkv_ref_unit(refs[p]), tokens < all ? tokens : all,
                                        sphkv_ref_tier(refs[p]));
        w->refs[2 * p + 1] = refs[p];
    }
    w->indptr[1] = 2 * PAGES;
    world_run(w);
    assert_rows(w, want, NEAR);
    memcpy(w->refs, refs, sizeof refs);
    w->indptr[1] = PAGES;
}

static void law_scale(world *w, float want[MAX_H][MAX_D])
{
    for (uint32_t i = 0; i < MAX_H * MAX_D; i++)
        w->q[i / MAX_D][i % MAX_D] *= 8;
    w->scale /= 8;
    world_run(w);
    assert_rows(w, want, NEAR);
}

static void test_laws(void **state)
{
    kernel_lab *lab = *state;
    for (uint32_t i = 0; i < SPECS; i++) {
        const sk_spec spec = draw_spec(lab->seed + i);
        world w;
        float want[MAX_H][MAX_D];
        sk_text text = {0};
        sk_spec_print(&spec, &text);
        print_message("%s\n", text.s);
        world_start(lab, &w, text.s);
        memcpy(want, w.out, sizeof want);
        law_parts(&w, want);
        law_page_order(&w, want);
        law_neighbours(&w, want, 0);    /* empty ones */
        law_neighbours(&w, want, PAGE); /* each twice: all weights halve */
        law_scale(&w, want);
        world_free(&w);
        sk_text_free(&text);
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_laws, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
