/* safetensors_tensor.c - the elements of one tensor as f32, and its shape as
 * text. Apart from the reader because it trusts what the reader has checked. */
#include <math.h>
#include <string.h>

#include "safetensors.h"

/* e4m3fn: no infinities; S.1111.111 is NaN. */
static float from_e4m3(uint8_t x)
{
    int e = x >> 3 & 15, m = x & 7;
    float v = e ? ldexpf((float)(8 + m), e - 10) : ldexpf((float)m, -9);
    if (e == 15 && m == 7)
        return NAN;
    return x & 128 ? -v : v;
}

/* One element of `bytes` bytes, little-endian, as an unsigned number. */
static uint64_t load(const uint8_t *p, uint32_t bytes)
{
    uint64_t x = 0;
    for (uint32_t i = 0; i < bytes; i++)
        x |= (uint64_t)p[i] << 8 * i;
    return x;
}

static float from_bits(uint64_t x, uint32_t dtype)
{
    float f;
    double d;
    uint32_t low = (uint32_t)x;
    switch (dtype) {
    case SK_TENSOR_BOOL:
    case SK_TENSOR_U8:
    case SK_TENSOR_U16:
    case SK_TENSOR_U32:
    case SK_TENSOR_U64:
        return (float)x;
    case SK_TENSOR_I8:
        return (float)(int8_t)x;
    case SK_TENSOR_I16:
        return (float)(int16_t)x;
    case SK_TENSOR_I32:
        return (float)(int32_t)x;
    case SK_TENSOR_I64:
        return (float)(int64_t)x;
    case SK_TENSOR_F8_E4M3:
        return from_e4m3((uint8_t)x);
    case SK_TENSOR_F8_E5M2: /* the upper half of a half */
        return sk_f16_to_f32((uint16_t)(x << 8));
    case SK_TENSOR_F16:
        return sk_f16_to_f32((uint16_t)x);
    case SK_TENSOR_BF16:
        return sk_bf16_to_f32((uint16_t)x);
    case SK_TENSOR_F64:
        memcpy(&d, &x, 8);
        return (float)d;
    default:
        memcpy(&f, &low, 4);
        return f;
    }
}

void sk_tensor_to_f32(const sk_tensor *t, uint64_t first, uint64_t n, float *out)
{
    uint32_t size = sk_tensor_dtype_bytes(t->dtype);
    const uint8_t *p = t->data + first * size;
    for (uint64_t i = 0; i < n; i++)
        out[i] = from_bits(load(p + i * size, size), t->dtype);
}

void sk_tensor_shape_print(const sk_tensor *t, sk_text *out)
{
    sk_text_append(out, "[", 1);
    for (uint32_t i = 0; i < t->ndim; i++)
        sk_text_printf(out, "%s%llu", i ? ", " : "", (unsigned long long)t->dims[i]);
    sk_text_append(out, "]", 1);
}
