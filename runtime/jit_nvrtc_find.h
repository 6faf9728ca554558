/* jit_nvrtc_find.h - where a libnvrtc may lie. Places are tried in one fixed
 * order, and in each the newest release first:
 *
 *   1. $SPHKV_NVRTC, a file or a folder, and then nowhere else;
 *   2. the toolkits $CUDA_HOME and $CUDA_PATH;
 *   3. the loader: what the process has already, LD_LIBRARY_PATH, the system's list;
 *   4. the toolkits where they are usually put: /usr/local/cuda, which is what the
 *      administrator chose, the newest /usr/local/cuda-X.Y, /opt/cuda, Debian's;
 *   5. NVIDIA's Python packages (nvidia/cu13/lib, nvidia/cuda_nvrtc/lib) under
 *      $VIRTUAL_ENV, $CONDA_PREFIX, the user's and the system's site folders,
 *      with no Python run.
 *
 * The first file that is there decides, though it be broken: one that is passed
 * over in silence would be looked for in vain. The loader's step is the
 * exception, since it does not tell absent from broken. */
#ifndef SK_JIT_NVRTC_FIND_H
#define SK_JIT_NVRTC_FIND_H

#include "base.h"

/* Where to look; the environment, except in tests. NULL: not set. */
typedef struct sk_nvrtc_places {
    const char *asked;       /* $SPHKV_NVRTC */
    const char *toolkit[2];  /* $CUDA_HOME, $CUDA_PATH */
    const char *venv, *conda;
    const char *user_base;   /* $PYTHONUSERBASE */
    const char *home;        /* for ~/.local */
    const char *root;        /* before the system's folders: "" */
    uint32_t newest_major;   /* leave out later releases, except where asked; 0: none */
} sk_nvrtc_places;
void sk_nvrtc_places_read(sk_nvrtc_places *out);

/* Tries to open `file`, a path or, for the loader, a bare name. True ends the
 * search, whatever came of it. */
typedef bool (*sk_nvrtc_try)(void *user, const char *file);

/* True when a try ended the search. */
bool sk_nvrtc_find(const sk_nvrtc_places *places, sk_nvrtc_try attempt, void *user);

#endif
