/* codebook_file.h - what the saver and the loader of codebook sets share. */
#ifndef SK_CODEBOOK_FILE_H
#define SK_CODEBOOK_FILE_H

#include <string.h>

#include "codebook.h"

#define SK_CODEBOOK_FORMAT "sphkv.codebook"
#define SK_CODEBOOK_NAME 128

/* "tier.<key>.seg<i>.codebook" */
static inline bool sk_codebook_part_name(const sk_codebook_part *part, char name[SK_CODEBOOK_NAME])
{
    sk_text t = {0};
    sk_text_printf(&t, "tier.%s.seg%u.codebook", part->key, part->seg);
    bool good = !t.failed && t.len < SK_CODEBOOK_NAME;
    if (good)
        memcpy(name, t.s, t.len + 1);
    sk_text_free(&t);
    return good;
}

#endif
