/* plan.h - one kernel made ready for given maxima: an image and the reference
 * that keeps its code mapped. Immutable after creation, so any number of
 * threads may run it; it needs no context any more (context.h says why). */
#ifndef SK_PLAN_H
#define SK_PLAN_H

#include "image_load.h"

struct sphkv_plan {
    sk_image image;
    sk_code *code;  /* owns what image.entry points into */
    char *describe; /* "spec | schedule | how it was found" */
};

#endif
