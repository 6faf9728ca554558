/* safetensors.h - files of named tensors: a reader that believes nothing, and a
 * writer. For codebook sets, model weights and tools.
 *
 * The whole file is read, not mapped: a mapped file that somebody truncates
 * kills the process, and tensors live as long as the sk_safetensors. Data need
 * not be aligned in the file: read it with sk_tensor_to_f32 or memcpy. */
#ifndef SK_SAFETENSORS_H
#define SK_SAFETENSORS_H

#include "base.h"

#define SK_TENSOR_DIMS 8

typedef enum sk_tensor_dtype {
    SK_TENSOR_BOOL,
    SK_TENSOR_U8,
    SK_TENSOR_I8,
    SK_TENSOR_F8_E4M3,
    SK_TENSOR_F8_E5M2,
    SK_TENSOR_U16,
    SK_TENSOR_I16,
    SK_TENSOR_F16,
    SK_TENSOR_BF16,
    SK_TENSOR_U32,
    SK_TENSOR_I32,
    SK_TENSOR_F32,
    SK_TENSOR_U64,
    SK_TENSOR_I64,
    SK_TENSOR_F64
} sk_tensor_dtype;

typedef struct sk_tensor {
    const char *name;
    uint32_t dtype; /* sk_tensor_dtype */
    uint32_t ndim;  /* 0 = a scalar */
    uint64_t dims[SK_TENSOR_DIMS];
    uint64_t count; /* product of dims */
    const uint8_t *data;
    size_t bytes; /* count * size of the dtype */
} sk_tensor;

/* One entry of __metadata__. */
typedef struct sk_tensor_note {
    const char *key, *value;
} sk_tensor_note;

typedef struct sk_safetensors {
    sk_tensor *tensor; /* in the order of their data */
    uint32_t tensors;
    sk_tensor_note *note;
    uint32_t notes;
    const uint8_t *data; /* of all tensors, without the header */
    size_t data_bytes;
    sk_arena arena; /* owns names, tensors, notes */
    char *file;     /* owns the data; NULL when parsed from the caller's memory */
} sk_safetensors;

/* Reads a file of at most `limit` bytes. On failure nothing is kept. */
sk_status sk_safetensors_read(const char *path, size_t limit, sk_safetensors *out, sk_err *err);
/* The same from memory, which must outlive *out. */
sk_status sk_safetensors_parse(const void *bytes, size_t size, sk_safetensors *out, sk_err *err);
void sk_safetensors_free(sk_safetensors *st);

const sk_tensor *sk_safetensors_find(const sk_safetensors *st, const char *name); /* or NULL */
const char *sk_safetensors_note(const sk_safetensors *st, const char *key);       /* or NULL */

const char *sk_tensor_dtype_name(uint32_t dtype); /* "F16", or NULL */
uint32_t sk_tensor_dtype_bytes(uint32_t dtype);
/* Elements first .. first+n-1, which must be there, as f32. Wider types are
 * rounded. */
void sk_tensor_to_f32(const sk_tensor *t, uint64_t first, uint64_t n, float *out);
/* "[2, 128, 64]" for messages. */
void sk_tensor_shape_print(const sk_tensor *t, sk_text *out);

/* Writes a file, atomically. Uses name, dtype, ndim, dims and data of each
 * tensor; names and keys must be valid UTF-8. */
sk_status sk_safetensors_write(const char *path, const sk_tensor *tensor, uint32_t tensors,
                               const sk_tensor_note *note, uint32_t notes, sk_err *err);

#endif
