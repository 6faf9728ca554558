/* test_kernel_gather.c - page_gather: pages of every tier and of odd sizes, all
 * schedules; lists of many items, whose overlaps are found and nothing else. */
#include "sk_test.h"

#include "kernel_cases.h"

#define G(d, dv, p, tiers) "page_gather d" d " v" dv " h1 p" p " l1 qf32 of32 if32 tight " tiers

/* ---- overlaps --------------------------------------------------------------- */

#define UNITS 4096u /* of an arena; the memory has some more for what goes astray */
#define SPARE 256u
#define ITEMS 64u

typedef struct move {
    uint64_t src, dst, units; /* both in units of the memory below */
} move;

static bool meet(uint64_t a, uint64_t b, const move *x, const move *y)
{
    return a < b + y->units && b < a + x->units;
}

static bool overlaps(const move *m, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n; k++)
            if ((i != k && meet(m[i].dst, m[k].dst, &m[i], &m[k])) ||
                meet(m[i].dst, m[k].src, &m[i], &m[k]))
                return true;
    return false;
}

/* Sources and destinations in slots of their own, each as long as the longest
 * page; few go astray by some units, so that both answers come up. */
static void draw(sk_rng *rng, const uint32_t units[2], uint32_t n, sphkv_gather_item *items)
{
    const uint32_t slot = 3 * units[1], slots = UNITS / 2 / slot;
    assert_in_range(slots, 4, 2 * ITEMS);
    uint32_t order[UNITS];
    for (uint32_t i = 0; i < slots; i++) { /* inside out shuffle */
        const uint32_t j = sk_rng_below(rng, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        items[i] = (sphkv_gather_item){.src_unit = order[2 * i] * slot,
                                       .dst_unit = order[2 * i + 1] * slot,
                                       .tier_slot = sk_rng_below(rng, 2),
                                       .sub_pages = sk_rng_below(rng, 4)};
        if (sk_rng_below(rng, 40) == 0) items[i].dst_unit += sk_rng_below(rng, slot);
    }
}

/* One list in memory where the destination's arena begins `apart` units behind
 * the source's: refused exactly when places overlap, else copied. */
static bool try_list(const sk_image *image, const uint32_t units[2], uint32_t n, uint32_t apart,
                     const sphkv_gather_item *items)
{
    static _Alignas(128) uint8_t memory[(UNITS + SPARE) * SPHKV_UNIT_BYTES], want[sizeof memory];
    move m[ITEMS];
    sk_err err = {0};
    for (size_t i = 0; i < sizeof memory; i++) memory[i] = (uint8_t)(i / SPHKV_UNIT_BYTES * 7 + i);
    memcpy(want, memory, sizeof want);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t subs = items[i].sub_pages ? items[i].sub_pages : 1;
        m[i] = (move){items[i].src_unit, items[i].dst_unit + apart,
                      (uint64_t)units[items[i].tier_slot] * subs};
    }
    const bool refused = overlaps(m, n);
    for (uint32_t i = 0; i < n && !refused; i++)
        memcpy(want + m[i].dst * SPHKV_UNIT_BYTES, memory + m[i].src * SPHKV_UNIT_BYTES,
               m[i].units * SPHKV_UNIT_BYTES);
    const sphkv_gather_args args = {
        .size = sizeof args, .items_count = n, .items = items,
        .src_arena = memory, .src_arena_bytes = sizeof memory,
        .dst_arena = memory + (size_t)apart * SPHKV_UNIT_BYTES,
        .dst_arena_bytes = sizeof memory - (size_t)apart * SPHKV_UNIT_BYTES};
    const sk_status st = kernel_run(image, &args, KERNEL_PARTS, &err);
    if (st != (refused ? SPHKV_EINVAL : SPHKV_OK))
        fail_msg("status %d (%s), overlap: %d", (int)st, err.message, refused);
    if (refused && !strstr(err.message, "overlap")) fail_msg("%s", err.message);
    assert_memory_equal(memory, want, sizeof memory);
    return refused;
}

static void overlaps_are_refused(void **state)
{
    kernel_lab *lab = *state;
    kernel_built b;
    sk_image image;
    sk_rng rng;
    uint32_t units[2], refused = 0, turns = 400;
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = ITEMS, .kv_heads = 1,
                                 .pages_per_list = 1, .parts = KERNEL_PARTS};
    kernel_build(lab, &(kernel_row){G("16", "16", "8", "g8b4r4:vi8,kf32:vf32"), "", 0}, &b);
    kernel_image(&b, b.code != NULL, &maxima, &image);
    for (uint32_t i = 0; i < 2; i++) {
        sk_page_layout at;
        sk_page_layout_get(&b.spec, i, &at);
        units[i] = at.units;
    }
    sk_rng_seed(&rng, lab->seed);
    for (uint32_t turn = 0; turn < turns; turn++) {
        sphkv_gather_item items[ITEMS];
        const uint32_t n = 1 + sk_rng_below(&rng, UNITS / 2 / (3 * units[1]) / 2);
        const uint32_t apart = turn % 3 == 0 ? 0 : turn % 3 == 1 ? UNITS / 2 : sk_rng_below(&rng, SPARE / 2);
        draw(&rng, units, n, items);
        refused += try_list(&image, units, n, apart, items);
    }
    fprintf(stderr, "%u of %u lists overlap\n", refused, turns);
    assert_in_range(refused, turns / 10, turns - turns / 10);
    kernel_built_free(&b);
}

int main(void)
{
    kernel_lab lab;
    kernel_lab_open(&lab);
    const struct CMUnitTest tests[] = {
        {.name = "overlaps_are_refused", .test_func = overlaps_are_refused, .initial_state = &lab},
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed + kernel_table_run("gather");
}
