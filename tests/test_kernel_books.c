/* test_kernel_books.c - kernels of specs whose codebook sets hold a mean, a
 * permutation or both: every form of look-up, both places where tables are made,
 * every width, with dense tiers beside (where a missing <q, mean> shows) and
 * without; and kv_encode over every span and radius. */
#include "sk_test.h"

#include "kernel_cases.h"

#define A "attn_decode "
#define E "kv_encode "
#define T " qf32 of32 if32 tight "
#define MEAN " mean"
#define PERM " permutation"

static const kernel_row rows[] = {
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16" MEAN, "", 0},
    {A "d64 v64 h3 p64 l1" T "good:vi8,kf16:vf16" PERM, "", 0},
    {A "d96 v96 h2 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h3 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "lut_build=separate", 0},
    {A "d64 v64 h5 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "lut=rows,lut_build=separate", 0},
    {A "d64 v64 h2 p64 l1" T "mid:vi8,kf16:vf16" MEAN PERM, "lut=perm,lut_build=separate", 0},
    {A "d64 v64 h9 p64 l1" T "high:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h6 p32 l0" T "high:vf16,kbf16:vf16" MEAN PERM, "w=4", 128},
    {A "d64 v64 h2 p64 l1" T "mid:vi8,kf16:vf16" MEAN PERM, "w=16,lut=perm", 512},
    {A "d64 v64 h3 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "w=16,lut=rows", 512},
    {A "d64 v64 h3 p32 l1" T "good:vi8,lean:vi8,low:vi8,kbf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h2 p64 l0" T "kf16:vf16,good:vi8,high:vf16" MEAN PERM, "", 0},
    {A "d96 v64 h1 p64 l1" T "good:vi8" MEAN PERM, "", 0},
    {A "d48 v48 h4 p16 l0" T "g2b4r8s16:vf32,kf32:vf32" MEAN PERM, "", 0},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 exact good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h2 p32 l1 qf16 of32 if32 tight good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h2 p32 l1 qbf16 of32 if32 tight fine:vi8,kf16:vf16" MEAN PERM, "", 0},
    {E "d64 v64 h1 p64 l1" T "good:vi8,kf16:vf16" MEAN, "", 0},
    {E "d64 v64 h1 p64 l1" T "high:vi8,kf16:vf16" PERM, "", 0},
    {E "d96 v96 h1 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {E "d64 v64 h1 p64 l0" T "g2b4r8s16:vf16,kf32:vf32" MEAN PERM, "", 0},
    {E "d96 v96 h1 p32 l1" T "g8b5r4:vi8,kbf16:vf16" MEAN PERM, "w=4,etok=1", 0},
    {E "d64 v64 h1 p64 l1" T "mid:vi8,kf16:vf16" MEAN PERM, "w=16,etok=2", 512},
};

int main(void)
{
    return kernel_rows_run("books", rows, SK_COUNT(rows));
}
