/* test_kernel_spans.c - attn_decode, tiers with one radius for a whole head, as
 * test_kernel_keys.c; among them every number of query heads per KV head that
 * models use, and the formats of the grammar that have no name. */
#include "sk_test.h"

#include "kernel_cases.h"

#define S(d, h, p, l, tiers)                                                                       \
    "attn_decode d" d " v" d " h" h " p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row rows[] = {
    {S("64", "3", "64", "0", "lean:vf16"), "", 0},
    {S("128", "1", "32", "1", "lean:vf16"), "", 0},
    {S("128", "4", "64", "0", "lean:vi8"), "", 0},
    {S("64", "8", "32", "1", "lean:vi8"), "", 0},
    {S("64", "1", "64", "0", "good:vf16"), "", 0},
    {S("128", "2", "128", "1", "good:vf16"), "", 0},
    {S("64", "3", "64", "0", "good:vi8"), "", 0},
    {S("128", "4", "64", "1", "good:vi8"), "", 0},
    {S("64", "5", "64", "1", "good:vi8"), "", 0},
    {S("64", "7", "32", "1", "good:vi8"), "", 0},
    {S("64", "8", "64", "1", "good:vi8"), "", 0},
    {S("64", "12", "64", "1", "good:vi8"), "", 0},
    {S("64", "16", "64", "1", "good:vi8"), "", 0},
    {S("64", "2", "64", "1", "fine:vi8"), "", 0},
    {S("64", "1", "64", "1", "turbo:vi8"), "", 0},
    {S("64", "2", "64", "1", "g4b5r4:vf16"), "", 0},
    {S("64", "2", "64", "0", "g4b4r8s16:vi8"), "", 0},
};

int main(void)
{
    return kernel_rows_run("spans", rows, SK_COUNT(rows));
}
