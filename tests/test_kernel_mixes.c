/* test_kernel_mixes.c - attn_decode over mixes of two to four tiers, the default
 * mix in every accuracy class, keys and values of different sizes, queries and
 * output in 16 bits. */
#include "sk_test.h"

#include "kernel_cases.h"

#define A "attn_decode "
#define T " qf32 of32 if32 tight "

static const kernel_row rows[] = {
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d128 v128 h4 p128 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 exact good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 fast good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h2 p64 l0" T "kf16:vf16,good:vi8", "", 0},
    {A "d64 v64 h2 p64 l1" T "high:vi8,mid:vi8,low:vi8", "", 0},
    {A "d64 v64 h3 p32 l1" T "good:vi8,lean:vi8,low:vi8,kbf16:vf16", "", 0},
    {A "d64 v64 h1 p64 l1" T "good:vf16,good:vi8,kf16:vi8,kf16:vf16", "", 0},
    {A "d128 v64 h2 p64 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d64 v128 h2 p64 l0" T "mid:vi8,kbf16:vf16", "", 0},
    {A "d96 v96 h2 p64 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d256 v256 h1 p64 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h6 p16 l1" T "g8b8r16s32:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h2 p32 l1 qf16 of32 if32 tight good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h4 p64 l1 qf32 of16 if32 tight good:vi8,kf16:vf16", "", 0},
    {A "d64 v48 h3 p32 l1 qf16 of16 if32 exact good:vi8,kf16:vf16", "", 0},
    {A "d64 v48 h3 p32 l1 qf32 obf16 if32 tight good:vi8", "w=16,vch=16", 512},
    {A "d64 v16 h2 p32 l1 qf32 of16 if32 tight good:vi8", "w=16,vch=16", 512},
    {A "d32 v32 h16 p16 l0 qbf16 obf16 if32 fast kbf16:vbf16", "w=4", 0},
    {A "d64 v64 h2 p32 l0 qbf16 of32 if32 tight high:vi8,kf32:vf32,kf16:vbf16", "", 0},
};

int main(void)
{
    return kernel_rows_run("mixes", rows, SK_COUNT(rows));
}
