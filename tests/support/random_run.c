/* random_run.c - what random programs work on, and the interpreter's answer. */
#include "random_program.h"

#include <string.h>

void sk_random_input(uint64_t seed, uint32_t in[SK_RANDOM_IN_WORDS])
{
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    for (uint32_t k = 0; k < SK_RANDOM_IN_WORDS; k++) {
        const float f = (float)sk_rng_normal(&rng);
        const uint64_t x = sk_rng_u64(&rng);
        in[k] = x >> 62 == 0 ? (uint32_t)x : (uint32_t)x & 0xff;
        if (x >> 63)
            memcpy(&in[k], &f, sizeof f);
    }
}

sk_status sk_random_interpret(const sk_program *program, const uint32_t *in, uint32_t *out,
                              uint32_t n, float x, sk_err *err)
{
    uint32_t scalar[4] = {0, 0, n, 0};
    memcpy(&scalar[3], &x, sizeof x);
    const sk_interp_buffer buffer[4] = {
        {.data = (void *)(uintptr_t)in, .bytes = 4 * SK_RANDOM_IN_WORDS},
        {.data = out, .bytes = 4 * SK_RANDOM_OUT_WORDS(program->warps)},
    };
    const sk_interp_args args = {.buffer = buffer,
                                 .scalar = scalar,
                                 .grid = {SK_RANDOM_BLOCKS, 1, 1},
                                 .max_steps = 1u << 22};
    return sk_interp_run(program, &args, err);
}
