/* places.c - see places.h. */
#include "places.h"

size_t sk_places_bytes(uint32_t most) { return (2 * (size_t)most * sizeof(sk_place) + 63) & ~(size_t)63; }

sk_places sk_places_begin(void *space, uint32_t most)
{
    return (sk_places){.at = space, .spare = (sk_place *)space + most};
}

void sk_places_add(sk_places *p, uint32_t at, uint64_t units)
{
    p->at[p->n] = (sk_place){at, p->n, units};
    p->n++;
}

/* In rising order, by bytes of their unit. */
static void sort(sk_places *p)
{
    const uint32_t n = p->n;
    for (uint32_t shift = 0; shift < 32; shift += 8) {
        const sk_place *x = p->at;
        uint32_t from[256] = {0}, sum = 0;
        for (uint32_t i = 0; i < n; i++) from[x[i].at >> shift & 255]++;
        if (from[x[0].at >> shift & 255] == n) continue; /* the same in all */
        for (uint32_t k = 0; k < 256; k++) {
            const uint32_t here = from[k];
            from[k] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < n; i++) p->spare[from[x[i].at >> shift & 255]++] = x[i];
        sk_place *const sorted = p->spare;
        p->spare = p->at;
        p->at = sorted;
    }
}

sk_status sk_places_apart(sk_places *p, sk_err *err)
{
    if (p->n == 0) return SPHKV_OK;
    sort(p);
    for (uint32_t i = 1; i < p->n; i++)
        if (p->at[i - 1].at + p->at[i - 1].units > p->at[i].at)
            return sk_fail(err, SPHKV_EINVAL, "items[%u] and items[%u]: destinations overlap",
                           p->at[i - 1].item, p->at[i].item);
    return SPHKV_OK;
}

bool sk_places_arenas(sk_places *p, const void *src, size_t src_bytes, const void *dst,
                      size_t dst_bytes)
{
    const uintptr_t from = (uintptr_t)src, to = (uintptr_t)dst;
    p->apart = ((int64_t)from - (int64_t)to) / (int64_t)SPHKV_UNIT_BYTES;
    return from + src_bytes > to && to + dst_bytes > from;
}

const sk_place *sk_places_touched(const sk_places *p, uint32_t unit, uint64_t units)
{
    const int64_t at = unit + p->apart; /* as the destinations' arena counts: it may lie before that */
    uint32_t lo = 0, hi = p->n; /* the first place that begins at or behind the end */
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if ((int64_t)p->at[mid].at < at + (int64_t)units)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || (int64_t)(p->at[lo - 1].at + p->at[lo - 1].units) <= at) return NULL;
    return &p->at[lo - 1];
}
