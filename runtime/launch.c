/* launch.c - launch facts of an artifact as JSON text, and back. Two forms, one for
 * each back end; the first word tells them apart.
 *
 * The reader accepts exactly what the writer writes: this text decides how much
 * scratch a kernel gets and on which devices it may run, so nothing in it is
 * guessed, defaulted or skipped. A JSON library was rejected here: it would
 * bring leniency to a text that only sk_launch_print makes. */
#include "image_load.h"

#include <string.h>

#include "gpu_target.h"

static void print_list(const char *name, const uint32_t *list, uint32_t n, sk_text *out)
{
    sk_text_printf(out, "\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++)
        sk_text_printf(out, "%s%u", i ? "," : "", list[i]);
}

static void print_gpu(const sk_launch *launch, sk_text *out)
{
    char arch[16];
    sk_gpu_arch_text(&launch->target, arch);
    sk_text_printf(out, "{\"arch\":\"%s\",\"driver\":%u,", arch, launch->driver);
    print_list("warps", launch->warps, launch->nentry, out);
    sk_text_printf(out, "],");
    print_list("shared_bytes", launch->shared_bytes, launch->nentry, out);
    sk_text_printf(out, "],");
    print_list("registers", launch->registers, launch->nentry, out);
    sk_text_printf(out, "],");
    print_list("spill_bytes", launch->spill_bytes, launch->nentry, out);
    sk_text_printf(out, "]}");
}

void sk_launch_print(const sk_launch *launch, sk_text *out)
{
    const sk_target *t = &launch->target;
    if (t->backend == SK_BACKEND_CUDA) {
        print_gpu(launch, out);
        return;
    }
    sk_text_printf(out, "{");
    print_list("shared_bytes", launch->shared_bytes, launch->nentry, out);
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

/* Numbers up to "]"; *n 0: any number of them, which it becomes; else as many. */
static bool take_list(const char **p, uint32_t list[SK_MAX_ENTRIES], uint32_t *n)
{
    uint32_t seen = 0;
    do {
        if (seen == SK_MAX_ENTRIES || !take_u32(p, &list[seen]))
            return false;
        seen++;
    } while (take(p, ","));
    if (*n == 0)
        *n = seen;
    return *n == seen;
}

static bool parse_gpu(const char *p, sk_launch *out)
{
    char arch[16];
    out->target.backend = SK_BACKEND_CUDA;
    return take_word(&p, arch, sizeof arch) && sk_gpu_arch_parse(arch, &out->target) &&
           take(&p, "\",\"driver\":") && take_u32(&p, &out->driver) &&
           take(&p, ",\"warps\":[") && take_list(&p, out->warps, &out->nentry) &&
           take(&p, "],\"shared_bytes\":[") && take_list(&p, out->shared_bytes, &out->nentry) &&
           take(&p, "],\"registers\":[") && take_list(&p, out->registers, &out->nentry) &&
           take(&p, "],\"spill_bytes\":[") && take_list(&p, out->spill_bytes, &out->nentry) &&
           take(&p, "]}") && !*p;
}

bool sk_launch_parse(const char *text, sk_launch *out)
{
    memset(out, 0, sizeof *out);
    const char *p = text ? text : "";
    sk_target *t = &out->target;
    if (take(&p, "{\"arch\":\""))
        return parse_gpu(p, out);
    return take(&p, "{\"shared_bytes\":[") && take_list(&p, out->shared_bytes, &out->nentry) &&
           take(&p, "],\"triple\":\"") && take_word(&p, t->triple, sizeof t->triple) &&
           take(&p, "\",\"cpu\":\"") && take_word(&p, t->cpu, sizeof t->cpu) &&
           take(&p, "\",\"bits\":") && take_u32(&p, &t->features) &&
           take(&p, ",\"features\":\"") &&
           take_word(&p, t->feature_text, sizeof t->feature_text) && take(&p, "\"}") && !*p;
}
