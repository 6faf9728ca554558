/* test_kernel_values.c - attn_decode over every value format, one tier at a
 * time: small values in every class and with every form of probability, vectors
 * of every width, blocks of channels of every size. */
#include "sk_test.h"

#include "kernel_cases.h"

#define A(d, v, h, p, l) "attn_decode d" d " v" v " h" h " p" p " l" l " "
#define T "qf32 of32 if32 tight "
#define X "qf32 of32 if32 exact "

static const kernel_row rows[] = {
    {A("64", "64", "4", "64", "1") T "good:vi4", "", 0},
    {A("64", "128", "4", "64", "1") T "good:vi4,kf16:vf16", "", 0},
    {A("64", "48", "1", "16", "0") T "kf16:vi4", "", 0},
    {A("64", "256", "3", "32", "1") T "high:vi4", "", 0},
    {A("16", "32", "16", "256", "1") T "kf16:vi4", "", 0},
    {A("64", "64", "2", "64", "1") X "good:vi4,kf16:vf16", "", 0},
    {A("64", "64", "2", "64", "1") T "kf16:vi4", "prob=f32", 0},
    {A("64", "64", "2", "64", "0") "qf32 of32 if32 fast lean:vi4", "", 0},
    {A("64", "80", "2", "64", "1") T "kf16:vi4", "w=4,vch=8,vtok=1", 0},
    {A("64", "64", "2", "64", "1") T "kf16:vi4", "w=4,vch=32,vtok=8", 0},
    {A("64", "64", "2", "64", "1") T "kf16:vi4", "w=8,vch=8,vtok=4", 256},
    {A("64", "64", "3", "32", "1") X "kf16:vi4", "w=8,vch=32,vtok=2", 256},
    {A("64", "64", "2", "64", "0") T "kf16:vi4", "w=16,vch=16,vtok=1", 512},
    {A("64", "64", "5", "32", "1") X "good:vi4", "w=16,vch=32,vtok=2", 512},
    {A("64", "64", "4", "64", "1") T "good:vf8", "", 0},
    {A("64", "128", "4", "64", "1") T "good:vf8,kf16:vf16", "", 0},
    {A("64", "48", "1", "16", "0") X "kf16:vf8", "", 0},
    {A("32", "96", "16", "48", "1") T "kbf16:vf8,mid:vi4", "", 0},
    {A("64", "80", "2", "64", "1") T "kf16:vf8", "w=4,vch=8,vtok=4", 0},
    {A("64", "64", "2", "64", "0") T "kf16:vf8", "w=8,vch=32,vtok=1", 256},
    {A("64", "64", "5", "32", "1") X "good:vf8", "w=16,vch=32,vtok=2", 512},
};

int main(void)
{
    return kernel_rows_run("values", rows, SK_COUNT(rows));
}
