/* gpu_tune_case.h - a machine for sphkv-tune and sphkv-bench with a GPU that is none: the
 * driver's double that computes, and NVRTC's double for it. Static inline. */
#ifndef GPU_TUNE_CASE_H
#define GPU_TUNE_CASE_H

#include "tune_case.h"

#define GPU_LIB SK_BUILD_DIR "/hooked/lib/"

/* Small kernels, a few trials. */
#define GPU_SMALL "--head-dim", "16", "--heads", "1", "--kv-heads", "1", "--page", "16", \
    "--context", "16", "--tiers", "kf16:vf16", "--quiet", "--effort", "quick"

/* A library under another name, in the case's folder. */
static inline void gpu_case_link(const tune_case *c, const char *library, const char *name)
{
    char *to = sk_test_path(c->dir, name);
    assert_int_equal(symlink(library, to), 0);
    sk_free(to);
}

static inline int gpu_case_setup(void **state)
{
    if (tune_case_setup(state)) return 1;
    const tune_case *c = *state;
    gpu_case_link(c, GPU_LIB "fake_nvrtc.so", "libnvrtc.so.13");
    gpu_case_link(c, GPU_LIB "fake_nvrtc_builtins.so", "libnvrtc-builtins.so.13.0");
    char *nvrtc = sk_test_path(c->dir, "libnvrtc.so.13");
    setenv("SPHKV_NVRTC", nvrtc, 1);
    sk_free(nvrtc);
    setenv("SPHKV_CUDA_DRIVER", GPU_LIB "fake_gpu.so", 1);
    setenv("SK_FAKE_GPUS", "sm_90:2", 1);
    setenv("SK_FAKE_CUDA", "13010", 1);
    setenv("SK_FAKE_L2", "4096", 1); /* few copies of the inputs are cold */
    setenv("FAKE_NVRTC_CUBINS", "1", 1);
    unsetenv("SK_FAKE_FAULT");
    return 0;
}

#define GPU_CASE(name) cmocka_unit_test_setup_teardown(name, gpu_case_setup, tune_case_teardown)

#endif
