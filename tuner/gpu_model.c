/* gpu_model.c - see gpu_model.h. */
#include "gpu_model.h"

static const char *const unit_name[SK_UNIT_COUNT] = {
    [SK_UNIT_ISSUE] = "issue",     [SK_UNIT_F32] = "f32",         [SK_UNIT_INT] = "int",
    [SK_UNIT_HALF] = "half",       [SK_UNIT_SPECIAL] = "special", [SK_UNIT_SHUFFLE] = "shuffle",
    [SK_UNIT_SHARED] = "shared",   [SK_UNIT_MMA] = "mma",         [SK_UNIT_L1] = "l1",
};

const char *sk_gpu_unit_name(uint32_t unit)
{
    return unit < SK_UNIT_COUNT ? unit_name[unit] : "?";
}

/* issue, f32, int, half, special, shuffle, shared, mma, l1 */
static const sk_gpu_model models[] = {
    {"T4", 75, 40, 16, 1.59, 320, {4, 64, 64, 64, 16, 32, 1, 512, 2}},
    {"A100 40 GB", 80, 108, 32, 1.41, 1555, {4, 64, 64, 128, 16, 32, 1, 1024, 4}},
    {"A10", 86, 72, 16, 1.695, 600, {4, 128, 64, 64, 16, 32, 1, 512, 4}},
    {"L40S", 89, 142, 24, 2.52, 864, {4, 128, 64, 64, 16, 32, 1, 512, 4}},
    {"H100 SXM", 90, 132, 32, 1.83, 3350, {4, 128, 64, 128, 16, 32, 1, 1024, 4}},
    {"B200", 100, 148, 32, 1.85, 8000, {4, 128, 64, 128, 16, 32, 1, 1024, 4}},
    {"RTX 5090", 120, 170, 24, 2.41, 1792, {4, 128, 64, 64, 16, 32, 1, 512, 4}},
};

const sk_gpu_model *sk_gpu_model_find(uint32_t sm)
{
    const sk_gpu_model *best = NULL;
    for (size_t i = 0; i < SK_COUNT(models); i++)
        if (models[i].sm / 10 == sm / 10 && models[i].sm <= sm) best = &models[i];
    return best;
}
