/* page_gather.h - what the forms of page_gather share. */
#ifndef SK_PAGE_GATHER_H
#define SK_PAGE_GATHER_H

#include "kernel.h"

/* Units of the page, with all sub-pages, of the item at an address. zero: the u32. */
sk_val sk_gather_units(sk_builder *b, const sk_spec *spec, sk_val item, sk_val zero);
/* Args without what the items say; items_count 0 is fine. */
sk_status sk_gather_args(const sk_image *image, const void *args, sphkv_gather_args *a, sk_err *err);

#endif
