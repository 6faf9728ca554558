/* test_kernel_keys.c - attn_decode, every kernel-supported key format with
 * values of both widths, in both layouts, one tier at a time; head counts, head
 * dimensions and page sizes go round with them. */
#include "sk_test.h"

#include "kernel_cases.h"

#define S(d, h, p, l, tiers)                                                                       \
    "attn_decode d" d " v" d " h" h " p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row rows[] = {
    {S("64", "1", "32", "0", "kf16:vf16"), "", 0},
    {S("128", "4", "64", "1", "kf16:vf16"), "", 0},
    {S("64", "2", "64", "0", "kf16:vi8"), "", 0},
    {S("128", "8", "32", "1", "kf16:vi8"), "", 0},
    {S("128", "3", "64", "0", "kbf16:vf16"), "", 0},
    {S("64", "7", "32", "1", "kbf16:vf16"), "", 0},
    {S("64", "5", "64", "0", "kbf16:vi8"), "", 0},
    {S("128", "1", "128", "1", "kbf16:vi8"), "", 0},
    {S("64", "4", "64", "0", "high:vf16"), "", 0},
    {S("128", "2", "32", "1", "high:vf16"), "", 0},
    {S("128", "1", "64", "0", "high:vi8"), "", 0},
    {S("64", "12", "64", "1", "high:vi8"), "", 0},
    {S("128", "3", "32", "0", "mid:vf16"), "", 0},
    {S("64", "5", "64", "1", "mid:vf16"), "", 0},
    {S("64", "16", "32", "0", "mid:vi8"), "", 0},
    {S("128", "4", "128", "1", "mid:vi8"), "", 0},
    {S("64", "8", "64", "0", "low:vf16"), "", 0},
    {S("128", "2", "32", "1", "low:vf16"), "", 0},
    {S("128", "7", "64", "0", "low:vi8"), "", 0},
    {S("64", "1", "64", "1", "low:vi8"), "", 0},
};

int main(void)
{
    return kernel_rows_run("keys", rows, SK_COUNT(rows));
}
