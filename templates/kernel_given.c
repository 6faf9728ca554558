/* kernel_given.c - a schedule of which some values are given and the rest are left to the
 * kernel. Tunables depend on each other (bytes of probabilities want 16 lanes, a form of
 * look-up 8), so the kernel's default with those values put in need not be valid. What is
 * taken is the nearest default that is: of this target, else of one with vectors as narrow
 * as it takes, with as few of its values changed as can be. */
#include "kernel.h"

#define CHANGES_MOST 3u

typedef struct given {
    const sk_kernel *kernel;
    const sk_spec *spec;
    const sk_target *target;
    sk_schedule wish; /* -1: left open */
} given;

static bool is_open(const given *g, uint32_t t)
{
    return sk_tunable_tunes(t, g->spec->kernel, g->target->backend) && g->wish.v[t] < 0;
}

/* The default of a target with vectors of so many bits (0: as they are), with the given
 * values. */
static sk_schedule default_of(const given *g, uint32_t bits)
{
    sk_target target = *g->target;
    sk_schedule s;
    if (bits) target.vector_bits = bits;
    sk_kernel_default(g->kernel, g->spec, &target, &s);
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
        if (g->wish.v[t] >= 0) s.v[t] = g->wish.v[t];
    return s;
}

/* Whether it is valid with `changes` of the open tunables from `first` on changed: they are
 * then. */
static bool fits(const given *g, sk_schedule *s, uint32_t first, uint32_t changes)
{
    if (changes == 0) return sk_kernel_valid(g->kernel, g->spec, s, g->target, NULL) == SPHKV_OK;
    for (uint32_t t = first; t < SK_TUNABLE_COUNT; t++) {
        const int32_t before = s->v[t];
        for (uint32_t i = 0; is_open(g, t) && i < sk_tunable_count(t); i++) {
            s->v[t] = sk_tunable_value(t, i);
            if (s->v[t] != before && fits(g, s, t + 1, changes - 1)) return true;
        }
        s->v[t] = before;
    }
    return false;
}

sk_status sk_kernel_given(const sk_kernel *kernel, const sk_spec *spec, const sk_target *target,
                          const char *text, sk_schedule *out, sk_err *err)
{
    given g = {kernel, spec, target, {.backend = target->backend}};
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) g.wish.v[t] = -1;
    const sk_status st = sk_schedule_parse(spec->kernel, text, &g.wish, err);
    if (st != SPHKV_OK) return st;
    for (uint32_t changes = 0; changes <= CHANGES_MOST; changes++)
        for (uint32_t bits = target->backend == SK_BACKEND_CPU ? target->vector_bits : 0;; bits /= 2) {
            *out = default_of(&g, bits);
            if (fits(&g, out, 0, changes)) return SPHKV_OK;
            if (bits <= 128) break;
        }
    *out = default_of(&g, 0);
    return sk_kernel_valid(kernel, spec, out, target, err);
}
