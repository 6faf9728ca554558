/* test_kernel_decode.c - page_decode: every key and value format, all output types,
 * codebook sets with a mean and a permutation, pages and heads of odd sizes. */
#include "sk_test.h"

#include "kernel_cases.h"

#define D(d, dv, p, l, o, tiers) \
    "page_decode d" d " v" dv " h1 p" p " l" l " qf32 o" o " if32 tight " tiers

static const kernel_row rows[] = {
    {D("128", "128", "32", "1", "f32", "good:vi8,kf16:vf16"), "", 0},
    {D("64", "64", "64", "1", "f32", "good:vi8,lean:vi4,kf16:vf16"), "store=past", 0},
    {D("64", "64", "64", "1", "f16", "good:vi8,lean:vi4,kf16:vf16"), "store=past,lut=perm", 0},
    {D("64", "64", "64", "1", "f16", "good:vi8,kf16:vf16"), "lut=rows", 0},
    {D("64", "64", "64", "1", "bf16", "good:vi8,kbf16:vbf16"), "w=8", 256},
    {D("64", "64", "64", "0", "f32", "good:vi8,kf32:vf32"), "w=4,lut=rows", 256},
    {D("64", "64", "64", "0", "f16", "good:vi8,kf32:vf32"), "w=4,lut=rows", 256},
    {D("64", "64", "64", "1", "f32", "good:vi8,kf16:vf16"), "w=16,lut=rows", 512},
    {D("64", "64", "64", "1", "f16", "good:vi8,kf16:vf16"), "w=16", 512},
    {D("64", "32", "32", "1", "f32", "high:vi8,mid:vi4,low:vf8,lean:vf16"), "", 0},
    {D("64", "32", "32", "0", "f16", "high:vi8,mid:vi4,low:vf8,lean:vf16"), "", 0},
    {D("64", "64", "16", "1", "bf16", "fine:vi4,turbo:vi8,kf16:vf16"), "", 0},
    {D("96", "48", "48", "1", "f16", "g3b5r8s6:vi8,g12b3r4:vi4"), "", 0},
    {D("80", "16", "32", "0", "f32", "g5b2r4:vbf16,g10b8r16sD:vi8"), "", 0},
    {D("64", "64", "64", "1", "f32", "ki8:vi4,ki4:vf8"), "", 0},
    {D("64", "64", "64", "0", "f16", "ki8:vi4,ki4:vf8"), "", 0},
    {D("64", "64", "32", "1", "f32", "ki8:vi8,ki4:vf16"), "w=4", 256},
    {D("64", "64", "64", "1", "bf16", "ki8:vi4,ki4:vf8"), "w=16", 512},
    {D("64", "64", "64", "1", "f32", "good:vi8,kf16:vf16") " mean permutation", "", 0},
    {D("64", "64", "64", "1", "f16", "high:vi8,g2b6r8:vf16,kf16:vf16") " mean", "", 0},
    {D("64", "64", "32", "0", "f32", "lean:vi8,turbo:vf16") " permutation", "", 0},
};

int main(void)
{
    return kernel_rows_run("decode", rows, SK_COUNT(rows));
}
