/* test_kernel_rows.c - kv_append and kv_encode: every key and value format that
 * they write, both layouts, and every width they can run at. */
#include "sk_test.h"

#include "kernel_cases.h"

#define E(d, p, l, tiers) "kv_encode d" d " v" d " h1 p" p " l" l " qf32 of32 if32 tight " tiers
#define P(d, p, l, tier) "kv_append d" d " v" d " h1 p" p " l" l " qf32 of32 if32 tight " tier

static const kernel_row rows[] = {
    {P("64", "64", "0", "kf16:vf16"), "", 0},
    {P("64", "64", "1", "kf16:vf16"), "w=4", 0},
    {P("128", "128", "1", "kf16:vf16"), "w=8", 256},
    {P("64", "32", "0", "kbf16:vf16"), "", 0},
    {P("128", "64", "1", "kbf16:vf16"), "", 0},
    {"kv_append d64 v128 h1 p32 l1 qf32 of32 if16 tight kf16:vbf16", "", 0},
    {"kv_append d64 v32 h1 p32 l0 qf32 of32 ibf16 tight kf32:vf16", "", 0},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "", 0},
    {E("128", "128", "1", "good:vi8,kf16:vf16"), "", 0},
    {E("64", "64", "0", "good:vf16,kf16:vf16"), "", 0},
    {E("64", "64", "1", "high:vi8,kf16:vf16"), "", 0},
    {E("128", "32", "0", "high:vf16,kbf16:vf16"), "", 0},
    {E("64", "64", "1", "mid:vi8,kf16:vf16"), "", 0},
    {E("64", "32", "0", "mid:vf16,kbf16:vf16"), "", 0},
    {E("64", "64", "1", "low:vi8,kf16:vf16"), "", 0},
    {E("128", "64", "0", "low:vf16,kf16:vf16"), "", 0},
    {E("64", "64", "1", "lean:vi8,kf16:vf16"), "", 0},
    {E("64", "32", "0", "lean:vf16,kf16:vf16"), "", 0},
    {E("64", "64", "1", "kf16:vi8,kf16:vf16"), "", 0},
    {E("64", "64", "0", "kbf16:vf16,kf16:vf16"), "", 0},
    {E("64", "32", "1", "fine:vf32,kf32:vf32"), "", 0},
    {E("64", "32", "1", "turbo:vi8,kf16:vf16"), "", 0},
    {E("64", "16", "0", "g4b5r4:vbf16,kbf16:vbf16"), "", 0},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "w=4,etok=1", 256},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "w=8,etok=2", 256},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "w=8,etok=4", 256},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "w=16,etok=1", 512},
    {E("64", "64", "1", "good:vi4,kf16:vf16"), "", 0},
    {E("128", "16", "0", "kf16:vi4,kf32:vf32"), "w=4", 0},
    {E("64", "32", "1", "mid:vi4,kbf16:vbf16"), "w=16,etok=1", 512},
    {E("64", "64", "1", "good:vf8,kf16:vf16"), "", 0},
    {E("128", "16", "0", "kf16:vf8,kf32:vf32"), "w=4", 0},
    {E("64", "32", "1", "mid:vf8,kbf16:vbf16"), "w=16,etok=1", 512},
    {E("48", "64", "1", "g16b4r16sD:vi8,kf16:vf16"), "w=16", 512}, /* 3 groups of 8 words */
};

int main(void)
{
    return kernel_rows_run("rows", rows, SK_COUNT(rows));
}
