/* test_kernel_formats.c - attn_decode: every width of angle codes at every vector
 * width, in rows, in register tables and (at the end) rebuilt; groups, spans and radius
 * widths go round with them. Pages whose rows of codes are no whole words stand behind
 * the tables. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("formats");
}
