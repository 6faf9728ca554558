/* gpu_target.c - names of GPU architectures; see gpu_target.h. */
#include "gpu_target.h"

#include <stdio.h>
#include <string.h>

void sk_gpu_arch_text(const sk_target *target, char text[16])
{
    snprintf(text, 16, "sm_%u%s", target->sm % 10000, target->sm_exact ? "a" : "");
}

bool sk_gpu_arch_parse(const char *text, sk_target *target)
{
    char digits[8] = "";
    const size_t n = strncmp(text, "sm_", 3) == 0 ? strspn(text + 3, "0123456789") : 0;
    uint64_t sm;
    if (n == 0 || n >= sizeof digits) return false;
    memcpy(digits, text + 3, n);
    const char *rest = text + 3 + n;
    const bool exact = strcmp(rest, "a") == 0;
    if ((*rest && !exact) || digits[0] == '0' || !sk_parse_u64(digits, 10, 9999, &sm)) return false;
    target->sm = (uint32_t)sm;
    target->sm_exact = exact;
    return true;
}

sk_status sk_gpu_target_named(const char *arch, sk_target *out, sk_err *err)
{
    sk_target asked;
    if (!sk_gpu_arch_parse(arch, &asked))
        return sk_fail(err, SPHKV_EINVAL, "'%.40s' is no GPU architecture such as sm_90 or sm_90a",
                       arch);
    return sk_target_cuda(asked.sm, asked.sm_exact, out, err);
}

bool sk_gpu_target_runs(const sk_target *code, bool ptx, const sk_target *device)
{
    if (code->sm_exact) return code->sm == device->sm;
    if (code->sm > device->sm) return false;
    return ptx || code->sm / 10 == device->sm / 10;
}
