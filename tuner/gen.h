/* gen.h - what sphkv-gen is made of: one kernel for one target in one of the forms
 * that --emit names, and the list of what there is. The command itself only reads
 * options and writes results. */
#ifndef SK_GEN_H
#define SK_GEN_H

#include "cuda_code.h"
#include "image_load.h"

typedef struct sk_gen {
    sk_spec spec;
    sk_schedule schedule;
    sk_target target;
    char arch[64];  /* how the target is called: "znver4", "sm_90a" */
    sk_code_ir ir;
    sk_arena arena; /* of ir */
    char *data;     /* the output, sk_free; text has a NUL behind it */
    size_t bytes;
    /* of a form that was compiled for a GPU */
    bool compiled;
    sk_cuda_resources resources[SK_MAX_ENTRIES];
    uint32_t least_driver;
} sk_gen;

/* A form: a row of the table in gen_forms.c. */
typedef struct sk_gen_form {
    const char *name;
    bool cpu, gpu; /* the targets that have it */
    bool binary;   /* not for a terminal */
    sk_status (*emit)(sk_gen *g, sk_err *err);
} sk_gen_form;

/* SPHKV_EINVAL with the names that there are. */
sk_status sk_gen_form_find(const char *name, const sk_gen_form **out, sk_err *err);

/* Target, schedule (text: what differs from the default, or NULL) and programs of a
 * spec, checked by its kernel. arch: a CPU in LLVM's words, "host", a GPU as
 * "sm_90"; NULL: the host, or sm_90 for a form that only GPUs have. *g is zeroed but
 * for its spec; sk_gen_free whatever comes of it. */
sk_status sk_gen_choose(sk_gen *g, const sk_gen_form *form, const char *arch, const char *schedule,
                        sk_err *err);
void sk_gen_free(sk_gen *g);

/* Kernels with their tunables, and targets. */
void sk_gen_list_json(sk_text *out);
void sk_gen_list_text(sk_text *out);

#endif
