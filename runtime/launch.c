/* launch.c - launch facts of an artifact as JSON text, and back.
 *
 * The reader accepts exactly what the writer writes: this text decides how much
 * scratch a kernel gets and on which CPUs it may run, so nothing in it is
 * guessed, defaulted or skipped. A JSON library was rejected here: it would
 * bring leniency to a text that only sk_launch_print makes. */
#include "image_load.h"

#include <string.h>

void sk_launch_print(const sk_launch *launch, sk_text *out)
{
    sk_text_printf(out, "{\"shared_bytes\":[");
    for (uint32_t i = 0; i < launch->nentry; i++)
        sk_text_printf(out, "%s%u", i ? "," : "", launch->shared_bytes[i]);
    const sk_target *t = &launch->target;
    sk_text_printf(out, "],\"triple\":\"%s\",\"cpu\":\"%s\",\"bits\":%u,\"features\":\"%s\"}",
                   t->triple, t->cpu, t->features, t->feature_text);
}

static bool take(const char **p, const char *literal)
{
    size_t n = strlen(literal);
    if (strncmp(*p, literal, n) != 0)
        return false;
    *p += n;
    return true;
}

static bool take_u32(const char **p, uint32_t *out)
{
    const char *start = *p;
    uint64_t x = 0;
    while (**p >= '0' && **p <= '9' && *p - start < 10)
        x = x * 10 + (uint64_t)(*(*p)++ - '0');
    *out = (uint32_t)x;
    return *p != start && x <= UINT32_MAX && (*start != '0' || *p == start + 1);
}

/* Names of targets and features; what else would need quoting is refused. */
static bool take_word(const char **p, char *out, size_t size)
{
    size_t n = 0;
    for (; **p && **p != '"'; (*p)++) {
        char c = **p;
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    strchr("+-.,_", c) != NULL;
        if (!fine || n + 1 >= size)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

bool sk_launch_parse(const char *text, sk_launch *out)
{
    memset(out, 0, sizeof *out);
    const char *p = text ? text : "";
    sk_target *t = &out->target;
    if (!take(&p, "{\"shared_bytes\":["))
        return false;
    do {
        if (out->nentry == SK_MAX_ENTRIES || !take_u32(&p, &out->shared_bytes[out->nentry]))
            return false;
        out->nentry++;
    } while (take(&p, ","));
    return take(&p, "],\"triple\":\"") && take_word(&p, t->triple, sizeof t->triple) &&
           take(&p, "\",\"cpu\":\"") && take_word(&p, t->cpu, sizeof t->cpu) &&
           take(&p, "\",\"bits\":") && take_u32(&p, &t->features) &&
           take(&p, ",\"features\":\"") &&
           take_word(&p, t->feature_text, sizeof t->feature_text) && take(&p, "\"}") && !*p;
}
