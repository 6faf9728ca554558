/* ir_interp_profile.c - counts what a run does, as a GPU would feel it: how often
 * each instruction ran, what its accesses cost shared memory and the memory behind.
 *
 * Shared memory has 32 banks of 4 bytes. One wavefront serves every lane whose word
 * is alone in its bank or is the same word as another's; 16-byte accesses go eight
 * lanes at a time, 8-byte ones sixteen. Global memory is fetched in sectors of 32
 * bytes: those that an instruction touches, each once. */
#include <string.h>

#include "ir_interp.h"

void sk_interp_note(interp *t, uint32_t place, uint64_t at, uint32_t bytes)
{
    interp_notes *n = &t->notes;
    if (!t->args->profile || n->count == SK_COUNT(n->at)) return;
    n->scratch = t->place[place].scratch;
    n->bytes = bytes;
    n->at[n->count++] = at + (n->scratch ? 0 : (uintptr_t)t->place[place].data);
}

/* Lanes whose accesses are served together. */
static uint32_t lanes_at_once(uint32_t bytes)
{
    return bytes == 16 ? 8 : 32;
}

/* The most different words that fall into one bank. */
static uint32_t conflicts(const uint64_t *at, uint32_t n, uint32_t bytes)
{
    uint64_t word[32 * 4];
    uint32_t words = 0, worst = n ? 1 : 0;
    uint8_t in_bank[32] = {0};
    for (uint32_t i = 0; i < n; i++) {
        for (uint64_t w = at[i] / 4; w * 4 < at[i] + bytes; w++) {
            uint32_t k = 0;
            while (k < words && word[k] != w) k++;
            if (k < words) continue;
            word[words++] = w;
            const uint32_t load = ++in_bank[w % 32];
            if (load > worst) worst = load;
        }
    }
    return worst;
}

static uint32_t sectors(const uint64_t *at, uint32_t n, uint32_t bytes)
{
    uint64_t sector[64];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint64_t s = at[i] / 32; s * 32 < at[i] + bytes; s++) {
            uint32_t k = 0;
            while (k < count && sector[k] != s) k++;
            if (k == count && count < SK_COUNT(sector)) sector[count++] = s;
        }
    }
    return count;
}

void sk_interp_profile_instr(interp *t, const interp_instr *in, const interp_warp *warp)
{
    sk_interp_profile *p = t->args->profile;
    interp_notes *n = &t->notes;
    p->runs[in->origin]++;
    if (n->count) {
        const uint32_t step = n->scratch ? lanes_at_once(n->bytes) : 32;
        for (uint32_t i = 0; i < n->count; i += step) {
            const uint32_t lanes = n->count - i < step ? n->count - i : step;
            if (n->scratch)
                p->wavefronts[in->origin] += conflicts(n->at + i, lanes, n->bytes);
            else
                p->sectors[in->origin] += sectors(n->at + i, lanes, n->bytes);
        }
        n->count = 0;
    }
    if (in->op != SK_OP_CPASYNC) return;
    const uint64_t ahead = (uint64_t)warp->ncopy * 16;
    p->wavefronts[in->origin] += (t->p->w * 16 + 127) / 128;
    if (ahead > p->ahead) p->ahead = ahead;
}
