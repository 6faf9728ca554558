/* test_prop_search.c - how codewords are searched does not change codes: search=dots, by
 * rounded integers, gives those of search=all, bit for bit, also where codewords lie so near
 * to each other that integers cannot tell them apart, or are copies of each other. */
#include "sk_test.h"

#include "kernel_cases.h"

#define BATCH 6u

static const char *const specs[] = {
    "kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight high:vi8,kf16:vf16",
    "kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight low:vi4,kf32:vf16",
    "kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight g2b5r4:vi8,kbf16:vf16",
    "kv_encode d64 v64 h1 p32 l1 qf32 of32 if32 tight mid:vi4,kf32:vf32",
};

typedef enum change { AS_IT_IS, NEAR, COPIES, CHANGES } change;
static const char *const change_names[CHANGES] = {"", ", near codewords", ", copies"};

/* NEAR: the odd codewords of a group become the even ones but for the last bit of one element.
 * COPIES: there are only as many as the group's number says, one in the first, to which some
 * keys are opposite; an element is zero, of either sign. */
static void change_group(const sk_segment *seg, uint8_t *row, uint32_t number, change how)
{
    const uint32_t codes = 1u << seg->b;
    static const uint8_t zero[2][2] = {{0, 0}, {0, 0x80}};
    for (uint32_t code = 0; code < codes; code++)
        for (uint32_t i = 0; i < seg->g; i++) {
            uint8_t *at = row + 2 * ((size_t)i * codes + code);
            const uint32_t from = how == NEAR ? code - code % 2 : code % (number + 1);
            memmove(at, row + 2 * ((size_t)i * codes + from), 2);
            if (how == NEAR && from < code && i == code % seg->g) at[0] = (uint8_t)(at[0] ^ 1u);
            if (how == COPIES && i == 0) memcpy(at, zero[code % 2], 2);
        }
}

static void change_book(const sk_spec *spec, uint8_t *book, change how)
{
    const sk_segment *seg = &spec->tier[0].seg[0];
    const size_t bytes = ((size_t)seg->g << seg->b) * 2;
    for (uint32_t row = 0; row < spec->d / seg->g && how != AS_IT_IS; row++)
        change_group(seg, book + row * bytes, row, how);
}

/* The codes of all pages, one behind the other. */
static void take_codes(const sk_case *c, const sk_page_layout *at, size_t bytes, uint8_t *to)
{
    const sphkv_encode_args *a = &c->args.encode[0];
    for (uint32_t i = 0; i < a->items_count; i++)
        memcpy(to + i * bytes,
               (const uint8_t *)a->dst_arena + (size_t)a->items[i].dst_unit * SPHKV_UNIT_BYTES +
                   at->seg[0].code_off,
               bytes);
}

static void run(const kernel_built *b, const sk_case *c, const sphkv_encode_args *args, uint32_t parts)
{
    sphkv_maxima maxima;
    sk_image image;
    sk_err err = {0};
    sk_case_maxima(c, parts, &maxima);
    kernel_image(b, b->code != NULL, &maxima, &image);
    sk_assert_ok(kernel_run(&image, args, parts, &err), &err);
}

/* Runs the case both ways, with this codebook; whether codes are the same. */
static bool same_codes(const kernel_built *const way[2], const sk_case *c, const uint8_t *book)
{
    const sk_spec *spec = &way[0]->spec;
    sphkv_encode_args args = c->args.encode[0];
    sk_page_layout at;
    sk_page_layout_get(spec, 0, &at);
    const size_t bytes = (size_t)at.seg[0].codes * spec->page * spec->tier[0].seg[0].b / 8;
    uint8_t *codes = sk_malloc(2 * BATCH * bytes);
    assert_non_null(codes);
    args.codebook = book;
    for (uint32_t i = 0; i < 2; i++) {
        run(way[i], c, &args, 1 + i);
        take_codes(c, &at, bytes, codes + i * BATCH * bytes);
    }
    const bool same = memcmp(codes, codes + BATCH * bytes, BATCH * bytes) == 0;
    sk_free(codes);
    return same;
}

static void try_case(const kernel_built *const way[2], uint64_t seed, uint32_t input, change how)
{
    const sk_spec *spec = &way[0]->spec;
    const sk_case_params p = {.spec = *spec, .shape = {.batch = BATCH, .kv_heads = KERNEL_HEADS},
                              .lists_per_seq = 1, .input = (sk_input)input, .seed = seed, .copies = 1};
    sk_case c;
    sk_err err = {0};
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    const size_t bytes = c.args.encode[0].codebook_bytes;
    uint8_t *book = sk_malloc(bytes);
    assert_non_null(book);
    memcpy(book, c.args.encode[0].codebook, bytes);
    for (uint32_t h = 0; h < KERNEL_HEADS; h++) change_book(spec, book + h * (bytes / KERNEL_HEADS), how);
    if (!same_codes(way, &c, book))
        fail_msg("%s: input %s%s: other codes", sk_test_repeat(seed), sk_input_name(input),
                 change_names[how]);
    sk_free(book);
    sk_case_free(&c);
}

static void test_same(void **state)
{
    kernel_lab *lab = *state;
    for (uint32_t s = 0; s < SK_COUNT(specs); s++) {
        kernel_built all, dots;
        const kernel_row rows[2] = {{specs[s], "w=16,etok=1,search=all", 512},
                                    {specs[s], "w=16,etok=1,search=dots", 512}};
        kernel_build(lab, &rows[0], &all);
        kernel_build(lab, &rows[1], &dots);
        const kernel_built *const way[2] = {&all, &dots};
        for (uint32_t input = 0; input < SK_INPUT_COUNT; input++)
            for (uint32_t how = 0; how < CHANGES; how++)
                try_case(way, lab->seed, input, (change)how);
        kernel_built_free(&all);
        kernel_built_free(&dots);
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_same, &lab)};
    kernel_lab_open(&lab);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
