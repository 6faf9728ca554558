/* test_kernel_formats.c - attn_decode: every width of angle codes at every vector
 * width, in rows and in register tables; groups, spans and radius widths go round
 * with them. Pages whose rows of codes are no whole words stand at the end. */
#include "sk_test.h"

#include "kernel_cases.h"

#define S(h, p, l, tier) "attn_decode d64 v32 h" h " p" p " l" l " qf32 of32 if32 tight " tier

static const kernel_row rows[] = {
    {S("2", "32", "0", "g1b2r4s8:vi8"), "w=4,lut=rows", 128},
    {S("3", "64", "1", "g2b2r8:vi8"), "w=4,lut=perm", 128},
    {S("1", "96", "0", "g4b3r16s16:vi8"), "w=4,lut=rows", 128},
    {S("5", "32", "1", "g8b3r8s32:vi8"), "w=4,lut=perm", 128},
    {S("2", "64", "0", "g16b3r16sD:vi8"), "w=8,lut=rows", 256},
    {S("3", "96", "1", "g32b3r4sD:vi8"), "w=8,lut=perm", 256},
    {S("1", "32", "0", "g1b4r16s8:vi8"), "w=4,lut=rows", 128},
    {S("5", "64", "1", "g2b4r4:vi8"), "w=4,lut=perm", 128},
    {S("2", "96", "0", "g4b4r8s16:vi8"), "w=8,lut=rows", 256},
    {S("3", "32", "1", "g8b4r4s32:vi8"), "w=8,lut=perm", 256},
    {S("1", "64", "0", "g16b4r8sD:vi8"), "w=16,lut=rows", 512},
    {S("5", "96", "1", "g32b4r16sD:vi8"), "w=16,lut=perm", 512},
    {S("2", "32", "0", "g1b5r8s8:vi8"), "w=4,lut=rows", 128},
    {S("3", "64", "1", "g2b5r16:vi8"), "w=8,lut=rows", 256},
    {S("1", "96", "0", "g4b5r4s16:vi8"), "w=8,lut=perm", 256},
    {S("5", "32", "1", "g8b5r16s32:vi8"), "w=16,lut=rows", 512},
    {S("2", "64", "0", "g16b5r4sD:vi8"), "w=16,lut=perm", 512},
    {S("3", "96", "1", "g32b6r8sD:vi8"), "w=4,lut=rows", 128},
    {S("1", "32", "0", "g1b6r4s8:vi8"), "w=8,lut=rows", 256},
    {S("5", "64", "1", "g2b6r8:vi8"), "w=16,lut=rows", 512},
    {S("2", "96", "0", "g4b6r16s16:vi8"), "w=16,lut=perm", 512},
    {S("3", "32", "1", "g8b7r8s32:vi8"), "w=4,lut=rows", 128},
    {S("1", "64", "0", "g16b7r16sD:vi8"), "w=8,lut=rows", 256},
    {S("5", "96", "1", "g32b7r4sD:vi8"), "w=16,lut=rows", 512},
    {S("2", "32", "0", "g1b8r16s8:vi8"), "w=4,lut=rows", 128},
    {S("3", "64", "1", "g2b8r4:vi8"), "w=8,lut=rows", 256},
    {S("1", "96", "0", "g4b8r8s16:vi8"), "w=16,lut=rows", 512},
    {S("2", "16", "0", "g2b3r8s8:vf16"), "w=4,lut=rows", 128},
    {S("2", "48", "0", "g4b7r4s16:vf16"), "w=8,lut=rows", 256},
    {S("3", "16", "1", "g1b5r16sD:vf16"), "w=16,lut=rows", 512},
    {S("1", "80", "0", "g2b6r16sD:vf16"), "w=16,lut=rows", 512},
    {S("4", "64", "1", "turbo:vi8"), "w=8,lut=pair16", 256},
    {S("4", "64", "1", "turbo:vi8,fine:vi8,good:vi8"), "w=16,lut=perm", 512},
};

int main(void)
{
    return kernel_rows_run("formats", rows, SK_COUNT(rows));
}
