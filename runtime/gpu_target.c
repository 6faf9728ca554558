/* gpu_target.c - the table of architectures; see gpu_target.h. Per multiprocessor and
 * block: CUDA C++ Programming Guide, technical specifications per compute
 * capability. The number of multiprocessors is that of one card, by its data sheet: a
 * real one says its own. */
#include "gpu_target.h"

#include <stdio.h>
#include <string.h>

static const struct gpu_row {
    const char *name;
    uint32_t sm, sms;
    uint32_t block_kb, sm_kb; /* shared memory */
    uint32_t threads;         /* at once on a multiprocessor */
} rows[] = {
    {"sm_75", 75, 40, 64, 64, 1024},      /* T4 */
    {"sm_80", 80, 108, 163, 164, 2048},   /* A100 */
    {"sm_86", 86, 84, 99, 100, 1536},     /* A40 */
    {"sm_87", 87, 16, 163, 164, 1536},    /* Orin */
    {"sm_89", 89, 142, 99, 100, 1536},    /* L40S */
    {"sm_90", 90, 132, 227, 228, 2048},   /* H100 */
    {"sm_100", 100, 148, 227, 228, 2048}, /* B200 */
    {"sm_103", 103, 148, 227, 228, 2048}, /* B300 */
    {"sm_120", 120, 170, 99, 100, 1536},  /* RTX 5090 */
    {"sm_121", 121, 48, 99, 100, 1536},   /* GB10 */
};

#define FIRST_EXACT 90u /* the first architecture with an "a" form */

const char *sk_gpu_target_name(uint32_t i) { return i < SK_COUNT(rows) ? rows[i].name : NULL; }

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

static sk_status unknown(const char *arch, sk_err *err)
{
    char list[160] = "";
    for (size_t i = 0, n = 0; i < SK_COUNT(rows); i++)
        n += (size_t)snprintf(list + n, sizeof list - n, " %s", rows[i].name);
    return sk_fail(err, SPHKV_EINVAL, "'%.40s' is no GPU architecture known here:%s, from sm_%u "
                   "on with an a behind it, too", arch, list, FIRST_EXACT);
}

sk_status sk_gpu_target_named(const char *arch, sk_target *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->backend = SK_BACKEND_CUDA;
    if (!sk_gpu_arch_parse(arch, out) || (out->sm_exact && out->sm < FIRST_EXACT))
        return unknown(arch, err);
    for (size_t i = 0; i < SK_COUNT(rows); i++)
        if (rows[i].sm == out->sm) {
            out->sms = rows[i].sms;
            out->shared_block = rows[i].block_kb << 10;
            out->shared_sm = rows[i].sm_kb << 10;
            out->regs_sm = 65536;
            out->threads_sm = rows[i].threads;
            return SPHKV_OK;
        }
    return unknown(arch, err);
}

bool sk_gpu_target_runs(const sk_target *code, bool ptx, const sk_target *device)
{
    if (code->sm_exact) return code->sm == device->sm;
    if (code->sm > device->sm) return false;
    return ptx || code->sm / 10 == device->sm / 10;
}
