/* run.c - the hot path: one part of one launch. Nothing here allocates, locks
 * or compiles; what args must satisfy is checked by the kernel, which knows its
 * args struct, before it writes anything. */
#include "plan.h"

sphkv_status sphkv_run(const sphkv_plan *plan, const void *args, uint32_t part, uint32_t parts)
{
    if (!plan || !args || parts == 0 || parts > plan->image.maxima.parts || part >= parts)
        return SPHKV_EINVAL;
    return plan->image.form->run(&plan->image, args, part, parts, NULL);
}
