/* dl_tensors.h - reads a .safetensors file and a config.json: model files as
 * they are found on disk, believed in nothing. A second reader of the format
 * beside the library's own, because an engine cannot reach that one. */
#ifndef DL_TENSORS_H
#define DL_TENSORS_H

#include "dl_base.h"

#include <cjson/cJSON.h>

typedef struct dl_tensors {
    const char *path;
    char *file;          /* the whole file; owned */
    size_t bytes;        /* of it */
    const uint8_t *data; /* behind the header */
    size_t data_bytes;
    cJSON *header;
} dl_tensors;

sphkv_status dl_tensors_open(const char *path, dl_tensors *t, sphkv_error *err);
void dl_tensors_close(dl_tensors *t);

/* A tensor of one or two dimensions (cols 0 = one) in F32, F16 or BF16, as f32
 * into out [rows * cols]. */
sphkv_status dl_tensors_read(const dl_tensors *t, const char *name, uint32_t rows, uint32_t cols,
                             float *out, sphkv_error *err);

/* A JSON file that is one object. */
sphkv_status dl_json_read(const char *path, cJSON **out, sphkv_error *err);

#endif
