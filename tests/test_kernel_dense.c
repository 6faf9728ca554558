/* test_kernel_dense.c - ki8 and ki4: attn_decode over them in every head dimension
 * that models use (a multiple of 32 or not), page sizes, head counts, and both
 * products (float and 16-bit queries) at every width; kv_encode into them. */
#include "sk_test.h"

#include "kernel_cases.h"

#define S(d, h, p, l, tiers)                                                                       \
    "attn_decode d" d " v" d " h" h " p" p " l" l " qf32 of32 if32 tight " tiers
#define X(d, h, p, tiers) "attn_decode d" d " v64 h" h " p" p " l1 qf32 of32 if32 exact " tiers
#define E(d, p, l, tiers) "kv_encode d" d " v32 h1 p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row rows[] = {
    {S("32", "1", "16", "0", "ki8:vi8"), "", 0},
    {S("64", "4", "32", "1", "ki8:vf16"), "", 0},
    {S("80", "3", "48", "1", "ki8:vi8"), "", 0},
    {S("96", "2", "64", "0", "ki8:vi8"), "", 0},
    {S("112", "7", "16", "1", "ki8:vi8"), "", 0},
    {S("128", "4", "64", "1", "ki8:vi8"), "", 0},
    {S("160", "5", "32", "1", "ki8:vf16"), "", 0},
    {S("192", "1", "80", "0", "ki8:vi8"), "", 0},
    {S("256", "2", "32", "1", "ki8:vi8"), "", 0},
    {S("32", "16", "48", "1", "ki4:vi8"), "", 0},
    {S("64", "1", "16", "0", "ki4:vf16"), "", 0},
    {S("80", "2", "32", "1", "ki4:vi8"), "", 0},
    {S("96", "9", "64", "1", "ki4:vi8"), "", 0},
    {S("112", "1", "112", "0", "ki4:vi8"), "", 0},
    {S("128", "4", "64", "1", "ki4:vi8"), "", 0},
    {S("160", "2", "16", "1", "ki4:vf16"), "", 0},
    {S("192", "6", "32", "0", "ki4:vi8"), "", 0},
    {S("256", "1", "256", "1", "ki4:vi8"), "", 0},
    {X("112", "3", "32", "ki8:vf32"), "", 0},
    {X("80", "6", "48", "ki4:vf32"), "", 0},
    {X("64", "2", "32", "ki8:vf32,ki4:vi8,kf32:vf32"), "", 0},
    {S("64", "3", "64", "1", "good:vi8,ki8:vi8,ki4:vi8,kf16:vf16"), "", 0},
    {S("64", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=1,query=f32", 128},
    {S("64", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=1,query=i16", 128},
    {S("80", "3", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=2,query=i16", 128},
    {S("80", "1", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=4,query=f32", 128},
    {S("80", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=8,ktok=1,query=f32", 256},
    {S("80", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=8,ktok=1,query=i16", 256},
    {S("64", "7", "32", "0", "ki8:vi8,ki4:vi8"), "w=8,ktok=2,query=f32", 256},
    {S("64", "7", "32", "0", "ki8:vi8,ki4:vi8"), "w=8,ktok=4,query=i16", 256},
    {S("64", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=16,ktok=1,query=f32", 512},
    {S("80", "3", "32", "1", "ki8:vi8,ki4:vi8"), "w=16,ktok=1,query=i16,vtok=1", 512},
    {S("64", "4", "64", "1", "ki8:vi8,ki4:vi8"), "w=16,ktok=2,query=i16", 512},
    {S("96", "5", "64", "0", "ki8:vi8,ki4:vi8"), "w=16,ktok=4,query=f32", 512},
    {S("96", "5", "64", "0", "ki8:vi8,ki4:vi8"), "w=16,ktok=4,query=i16", 512},
    {E("32", "16", "0", "ki8:vf16,kf16:vf16"), "", 0},
    {E("80", "48", "1", "ki8:vi8,kf32:vf32"), "", 0},
    {E("128", "64", "1", "ki8:vi8,kbf16:vf16"), "", 0},
    {E("112", "32", "0", "ki4:vi8,kf16:vf16"), "", 0},
    {E("64", "16", "1", "ki4:vf32,kbf16:vbf16"), "", 0},
    {E("256", "64", "1", "ki4:vi8,kf16:vf16"), "", 0},
    {E("80", "48", "1", "ki8:vi8,kf16:vf16"), "w=4", 128},
    {E("80", "48", "1", "ki4:vi8,kf32:vf16"), "w=4", 128},
    {E("80", "48", "1", "ki8:vi8,kf16:vf16"), "w=16", 512},
    {E("80", "48", "1", "ki4:vi8,kf32:vf16"), "w=16", 512},
};

int main(void)
{
    return kernel_rows_run("dense", rows, SK_COUNT(rows));
}
