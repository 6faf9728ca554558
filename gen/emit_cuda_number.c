/* emit_cuda_number.c - the text of constants: what a reader would write, and every bit of
 * it comes back. */
#include <math.h>
#include <string.h>

#include "emit_cuda_impl.h"

void sk_emit_cuda_u32(cuda_entry *e, uint32_t x, bool hex, bool sign)
{
    if (x > 0xffffu || (hex && x > 9))
        sk_text_printf(&e->line, "0x%xu", x);
    else
        sk_text_printf(&e->line, sign ? "%uu" : "%u", x);
}

/* Whether the decimal is x when read as a float, also by way of a double. */
static bool reads_back(const char *text, float x)
{
    double y;
    return sk_parse_f64(text, -INFINITY, INFINITY, &y)
           && (float)nextafter(y, -INFINITY) >= x && (float)nextafter(y, INFINITY) <= x;
}

void sk_emit_cuda_f32(cuda_entry *e, uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    if (!isfinite(x)) {
        const char *const what = isnan(x) ? "NaN" : x > 0 ? "infinity" : "-infinity";
        sk_text_printf(&e->line, "float_of(0x%08xu /* %s */)", bits, what);
        return;
    }
    const size_t begin = e->line.len;
    for (int digits = 1; digits < 10; digits++) {
        e->line.len = begin;
        sk_text_printf(&e->line, "%.*g", digits, (double)x);
        if (e->line.failed || reads_back(e->line.s + begin, x))
            break;
    }
    const bool whole = !e->line.failed && !strpbrk(e->line.s + begin, ".e");
    sk_text_printf(&e->line, whole ? ".0f" : "f");
}
