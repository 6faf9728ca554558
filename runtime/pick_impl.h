/* pick_impl.h - between pick.c (what every device shares) and pick_cuda.c (the order of
 * things on a GPU); nobody else includes it. */
#ifndef SK_PICK_IMPL_H
#define SK_PICK_IMPL_H

#include "pick.h"

/* What the steps of one pick hand to each other. */
typedef struct sk_picking {
    sphkv_context *ctx;
    const sk_spec *spec;
    const sk_kernel *kernel;
    const char *text;    /* the spec, canonical */
    sk_db_device device; /* this one */
    sk_arena mem;        /* programs, texts and bytes of this pick */
    sk_pick *out;
    bool compiles;       /* what is not stored may be compiled now */
    bool unproven;       /* the record that is tried was chosen by a model and never ran */
    char why[160];       /* why the first record of a look-up was refused here; "" */
} sk_picking;

/* A schedule with its programs: what code is made of, and kept under. */
typedef struct sk_wanted {
    const sk_schedule *schedule;
    const char *text; /* of the schedule, canonical */
    sk_code_ir ir;
} sk_wanted;

void sk_pick_note(sk_pick *out, const char *what, const char *why);

/* The record of `device` (this one, or what it can take code of) that fits best. The
 * reason why a better one was passed over is in p->why. SPHKV_ENOTFOUND: none. */
sk_status sk_pick_record(sk_picking *p, const sk_db_device *device, const sk_db_shape *shape,
                         sk_err *err);
/* The default schedule, from the store, or compiled when p->compiles. SPHKV_ENOTFOUND:
 * not stored, and nothing may be compiled. */
sk_status sk_pick_default(sk_picking *p, sk_err *err);
/* A kernel that ran and was right on an `arch`, from the store. SPHKV_ENOTFOUND, or
 * SPHKV_EDB when one is there and cannot be used; both with the reason. */
sk_status sk_pick_stored(sk_picking *p, const char *arch, const sk_wanted *w, sk_code **out,
                         sk_err *err);
/* Loads code that never ran here, checks it against the reference, and keeps it for the
 * next process. */
sk_status sk_pick_prove(sk_picking *p, const sk_wanted *w, const sk_db_artifact *artifact,
                        sk_code **out, sk_err *err);

/* The whole way of a GPU, and code of one schedule there. */
sk_status sk_pick_cuda(sk_picking *p, const sk_db_shape *shape, sk_err *err);
sk_status sk_pick_cuda_here(sk_picking *p, const sk_wanted *w, sk_code **out, sk_err *err);

#endif
