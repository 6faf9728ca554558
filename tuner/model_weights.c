/* model_weights.c - see models.h: how many parameters, and in how many bits. */
#include "models.h"

#include <math.h>
#include <string.h>

static double attention(const sk_model *m, const sk_layers *l)
{
    const double row = (double)l->head_dim + l->value_dim, hidden = m->weights.hidden;
    return hidden * row * ((double)l->n * m->heads + (double)l->owners * l->kv_heads);
}

/* With the experts of `experts` tokens' choice. */
static double count(const sk_model *m, double experts)
{
    const sk_weights *w = &m->weights;
    const double hidden = w->hidden, block = hidden * w->gates;
    double n = attention(m, &m->full) + attention(m, &m->local);
    n += block * w->intermediate * w->dense_layers;
    n += w->moe_layers * (hidden * w->experts +
                          block * (w->moe_intermediate * experts + w->shared_intermediate));
    return n + hidden * w->vocab;
}

bool sk_model_parameters(const sk_model *m, double *all)
{
    *all = 0;
    if (!m->weights.hidden) return false;
    *all = count(m, m->weights.experts);
    if (!m->weights.tied) *all += (double)m->weights.hidden * m->weights.vocab;
    return true;
}

bool sk_model_parameters_read(const sk_model *m, uint32_t batch, double *read)
{
    const sk_weights *w = &m->weights;
    *read = 0;
    if (!w->hidden) return false;
    const double share = w->experts ? (double)w->active / w->experts : 0;
    *read = count(m, w->experts * (1 - pow(1 - share, batch)));
    return true;
}

sk_status sk_weight_bits(const char *format, double *bits, sk_err *err)
{
    /* The q formats: bits of a block of 32 or 256 weights with its scales, over the block. */
    static const struct {
        const char *name;
        double bits;
    } formats[] = {
        {"f32", 32},
        {"f16", 16},
        {"bf16", 16},
        {"f8", 8},
        {"q8_0", 34 * 8 / 32.0},
        {"q6_k", 210 * 8 / 256.0},
        {"q5_k", 176 * 8 / 256.0},
        {"q5_0", 22 * 8 / 32.0},
        {"q4_k", 144 * 8 / 256.0},
        {"q4_0", 18 * 8 / 32.0},
        {"q3_k", 110 * 8 / 256.0},
        {"q2_k", 84 * 8 / 256.0},
    };
    for (size_t i = 0; i < SK_COUNT(formats); i++)
        if (strcmp(formats[i].name, format) == 0) {
            *bits = formats[i].bits;
            return SPHKV_OK;
        }
    if (sk_parse_f64(format, 1, 64, bits)) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL,
                   "'%.60s' is neither bits per weight (1 to 64) nor f32, f16, bf16, f8, q8_0, "
                   "q6_k, q5_k, q5_0, q4_k, q4_0, q3_k or q2_k", format);
}
