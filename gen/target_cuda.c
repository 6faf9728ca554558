/* target_cuda.c - GPUs by compute capability, for who builds without one: what an
 * architecture fixes, from the tables of the CUDA programming guide. The number of
 * multiprocessors is a board's affair: here that of a large one, which a driver
 * replaces by the device's own. */
#include "schedule.h"

#include <string.h>

typedef struct architecture {
    uint32_t sm;
    uint32_t block_kib, sm_kib; /* shared memory: of a block at most, of a multiprocessor */
    uint32_t threads;           /* of a multiprocessor */
    uint32_t sms;
} architecture;

static const architecture architectures[] = {
    {75, 64, 64, 1024, 72},    {80, 163, 164, 2048, 108},  {86, 99, 100, 1536, 84},
    {87, 163, 164, 1536, 16},  {89, 99, 100, 1536, 142},   {90, 227, 228, 2048, 132},
    {100, 227, 228, 2048, 148}, {103, 227, 228, 2048, 148}, {120, 99, 100, 1536, 188},
};

/* Code made for one capability alone exists from this one on. */
#define FIRST_EXACT 90u

sk_status sk_target_cuda(uint32_t sm, bool exact, sk_target *out, sk_err *err)
{
    for (uint32_t i = 0; i < SK_COUNT(architectures); i++) {
        const architecture *a = &architectures[i];
        if (a->sm != sm) continue;
        if (exact && sm < FIRST_EXACT) break;
        memset(out, 0, sizeof *out);
        out->backend = SK_BACKEND_CUDA;
        out->sm = sm;
        out->sm_exact = exact;
        out->sms = a->sms;
        out->shared_block = a->block_kib * 1024;
        out->shared_sm = a->sm_kib * 1024;
        out->regs_sm = 65536;
        out->threads_sm = a->threads;
        return SPHKV_OK;
    }
    return sk_fail(err, SPHKV_EUNSUPPORTED,
                   "sm_%u%s: not a known GPU architecture (75, 80, 86, 87, 89, 90, 100, 103, 120; "
                   "with an a from %u on)",
                   sm, exact ? "a" : "", FIRST_EXACT);
}

uint32_t sk_target_cuda_known(uint32_t i)
{
    return i < SK_COUNT(architectures) ? architectures[i].sm : 0;
}
