/* json_file.h - a stranger's JSON file, plain or compressed by gzip, as a tree. */
#ifndef SK_JSON_FILE_H
#define SK_JSON_FILE_H

#include "base.h"

struct cJSON;

/* SPHKV_EIO: it cannot be read, or was cut; SPHKV_EINVAL: no JSON, or more behind it. To be
 * freed by cJSON_Delete. */
sk_status sk_json_file_read(const char *path, struct cJSON **out, sk_err *err);

#endif
