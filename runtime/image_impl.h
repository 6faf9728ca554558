/* image_impl.h - what the files of code have from each other: image_load.c for CPUs and
 * what all code shares, image_cuda.c for GPUs. Nobody else includes it. */
#ifndef SK_IMAGE_IMPL_H
#define SK_IMAGE_IMPL_H

#include "image_load.h"

/* The texts of an artifact of this kind. launch: what the programs do not say is
 * filled in by the caller. */
sk_status sk_artifact_texts(const sk_code_ir *ir, const char *kind, sk_launch *launch,
                            sk_arena *arena, sk_db_artifact *out, sk_err *err);
/* A copy of the bytes in the arena. */
sk_status sk_artifact_bytes(const void *bytes, size_t size, sk_arena *arena, sk_db_artifact *out,
                            sk_err *err);
/* Everything that can be said of any code without touching its bytes; ir may be NULL. */
sk_status sk_artifact_check(const sk_db_artifact *a, const sk_code_ir *ir, uint32_t backend,
                            sk_launch *launch, sk_err *err);

/* With one reference and nothing loaded; NULL: no memory. */
sk_code *sk_code_new(const sk_db_artifact *artifact, const sk_launch *launch, sk_err *err);
/* Finds the symbols of `entries`, in order; there must be exactly nentry. */
typedef bool (*sk_code_find)(sk_code *code, uint32_t entry, const char *symbol);
sk_status sk_code_entries(sk_code *code, const char *entries, sk_code_find find, sk_err *err);

/* What is a GPU's: nothing to unload on a CPU. */
void sk_code_unload(sk_code *code);

#endif
