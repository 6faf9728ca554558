/* simt_image.c - the harness as the device of an image: what run functions launch goes
 * to the machine, one launch after the other, each in an order of its own. */
#include "simt.h"

sk_status sk_simt_device_launch(void *user, uint32_t entry, const sk_call *call, uint32_t blocks,
                                void *stream, sk_err *err)
{
    sk_simt_device *const device = user;
    (void)stream;
    if (entry >= device->n || call->n != device->program[entry]->nparams)
        return sk_fail(err, SPHKV_EINVAL, "entry %u of %u is called with %u parameters", entry,
                       device->n, call->n);
    const sk_simt_launch launch = {
        .module = device->module, .unit = device->unit, .entry = entry,
        .program = device->program[entry], .slot = call->slot, .bytes = call->bytes,
        .grid = {blocks, 1, 1}, .seed = device->seed + device->launches++,
        .yields = device->yields, .without = device->without,
    };
    return sk_simt_run(&launch, err);
}
