/* attn_schedule.h - what the forms of attn_schedule share. */
#ifndef SK_ATTN_SCHEDULE_H
#define SK_ATTN_SCHEDULE_H

#include "page_table.h"

/* Weight of a page from the upper word of its reference, any scope. */
sk_val sk_work_page_weight(sk_builder *b, const sk_spec *spec, sk_val word);
/* Args without what the table holds; *look is ready for sk_table_frame. */
sk_status sk_schedule_args(const sk_image *image, const void *args, sphkv_schedule_args *a,
                           sk_table_look *look, sk_err *err);

#endif
