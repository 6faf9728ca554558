/* page_mass.h - what the files of page_mass share. */
#ifndef SK_PAGE_MASS_H
#define SK_PAGE_MASS_H

#include "decode.h"

/* The schedule of the parts of attention that it is made of. */
sk_schedule sk_mass_attention(const sk_schedule *s);
sk_status sk_mass_build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                        sk_err *err);
/* Bytes of a page up to its values: all that is read. */
static inline uint32_t sk_mass_key_bytes(const sk_page_layout *lay)
{
    if (lay->vscale_off != SK_NO_FIELD) return lay->vscale_off;
    return lay->value_off != SK_NO_FIELD ? lay->value_off : lay->bytes;
}

#endif
