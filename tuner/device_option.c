/* device_option.c - see device_option.h. A GPU that is asked for and not there is said
 * before anything else is done: measuring on the CPU instead would answer another
 * question. */
#include "device_option.h"

#include <string.h>

#include "cuda_context.h"

sk_status sk_device_option(sk_args *a, bool all, sk_err *err)
{
    const char *text;
    sk_cuda *cuda = NULL;
    sk_err why = {0};
    sk_status st = sk_args_value(a, &text, err);
    if (st != SPHKV_OK || strcmp(text, "cpu") == 0 || (all && strcmp(text, "all") == 0)) return st;
    if (!sk_cuda_named(text, NULL))
        return sk_fail(err, SPHKV_EINVAL, "--device: '%.60s' is neither cpu%s cuda:N%s", text,
                       all ? "," : " nor", all ? " nor all" : "");
    st = sk_cuda_open(text, &cuda, &why);
    sk_cuda_release(cuda);
    if (st == SPHKV_OK)
        return sk_fail(err, SPHKV_EDEVICE, "--device %.40s: nothing is measured on GPUs yet", text);
    return sk_fail(err, st, "--device %.40s: %.400s", text, why.message);
}
