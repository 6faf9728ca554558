/* kernel.h - the contract of a kernel: one file with one struct, sk_kernel_NAME,
 * for each row of SPHKV_KERNELS (sphkv.h). The parameter's way is straight: spec -> supported ->
 * default_schedule / valid -> build (IR) -> code -> image -> run.
 *
 * What a kernel computes is one thing, how it runs differs between back ends:
 * each has its form, with its own schedules, programs and host side.
 *
 * An image is a kernel made executable: by compiled entries or, for checks, by
 * the interpreter; `run` is the same code for both, so the host side of a
 * launch (work items, parts, merging) is tested together with the kernel.
 *
 * On a CPU `run` is called by the engine's threads, reads page tables and items,
 * and calls entries block by block (sk_image_call). On a GPU it only enqueues
 * grids on the caller's stream (sk_image_launch): every pointer in the args is the
 * device's, so it checks pointers, alignment, counts and strides, and whatever
 * follows from lengths is read by the programs. Grids and workspaces follow from
 * maxima, so that a run can be captured in a graph and replayed while contexts
 * grow; a run leaves the workspace fit for the next one. */
#ifndef SK_KERNEL_H
#define SK_KERNEL_H

#include "ir.h"
#include "layout.h"
#include "schedule.h"

#define SK_MAX_ENTRIES 4 /* programs of one kernel's pipeline */
#define SK_MAX_SLOTS 52  /* parameters of a program */

typedef struct sk_build {
    uint32_t n;                          /* programs, in entry order */
    sk_program *program[SK_MAX_ENTRIES]; /* live in the arena given to build */
    const char *source;                  /* whole CUDA text written by hand, in the vocabulary of
                                            prelude.cuh; the programs are then stubs: symbol,
                                            parameters, warps, scratch. NULL = emitted */
} sk_build;

/* What only steers the choice. */
typedef struct sk_shape {
    uint32_t batch;    /* sequences (attn), rows (append), pages (encode) */
    uint32_t kv_heads;
    uint32_t context;  /* tokens per list */
    uint32_t threads;
    uint32_t q_len;    /* query tokens per sequence; 0 counts as 1 */
} sk_shape;

/* Bytes that must be read or written once, and multiply-adds. */
typedef struct sk_cost {
    double read_bytes, write_bytes, operations;
    double token_heads; /* KV tokens times KV heads, for ns per token-head */
} sk_cost;

struct sk_image;

/* How a kernel runs on one back end. */
typedef struct sk_kernel_form {
    /* Constant time, always valid for a supported spec; *out is sk_schedule_begin's. */
    void (*default_schedule)(const sk_spec *spec, const sk_target *target, sk_schedule *out);
    /* OK, or why this schedule cannot run this spec on this target. */
    sk_status (*valid)(const sk_spec *spec, const sk_schedule *schedule, const sk_target *target,
                       sk_err *err);
    sk_status (*build)(const sk_spec *spec, const sk_schedule *schedule, sk_arena *arena,
                       sk_build *out, sk_err *err);
    /* Fills image->own, once spec, schedule, maxima, shared_bytes, units, sms and
     * book_stride are set; NULL: run keeps nothing there. */
    void (*prepare)(struct sk_image *image);
    /* Workspace bytes of an image that is prepared. */
    size_t (*workspace)(const struct sk_image *image);
    /* Parts that a work list for it should have; NULL: maxima.parts. */
    uint32_t (*parts)(const struct sk_image *image);
    /* Checks args (an args struct of sphkv.h), then runs one part; on a GPU there
     * is one part, and it enqueues. */
    sk_status (*run)(const struct sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err);
} sk_kernel_form;

typedef struct sk_kernel {
    size_t args_size;    /* of its args struct */
    size_t workspace_at; /* where the workspace pointer is in it; its size follows */
    bool over_lists;     /* it walks page tables: maxima must say kv_heads and
                            pages_per_list, and the context steers the choice */
    bool any_q_len;      /* runs have any number of query tokens: maxima.q_len only steers
                            the choice */
    bool multiplies;     /* multiply-adds are what limits it: their share of what the threads
                            can do is shown beside that of the bandwidth */
    uint32_t weight;     /* its share of a tuning run's time */
    /* OK, or SPHKV_EUNSUPPORTED with the missing thing named. */
    sk_status (*supported)(const sk_spec *spec, sk_err *err);
    const sk_kernel_form *form[SK_BACKENDS]; /* NULL: it does not run there */
    void (*cost)(const sk_spec *spec, const sk_shape *shape, sk_cost *out);
    /* The shape it is tuned at for a step of a model: `step` has the model's
     * sequences, KV heads, context and threads. NULL: that shape itself. */
    sk_shape (*shape)(const sk_spec *spec, const sk_shape *step);
} sk_kernel;

const sk_kernel *sk_kernel_get(uint32_t id); /* by sphkv_kernel; NULL when unknown */
/* The form's functions, by the back end of the target or the schedule; a kernel
 * without a form there: an empty schedule, SPHKV_EUNSUPPORTED. A schedule of one
 * back end is not valid on a target of another. */
void sk_kernel_default(const sk_kernel *kernel, const sk_spec *spec, const sk_target *target,
                       sk_schedule *out);
/* The values of a text ("w=8,lut=perm"; NULL: none), the rest by default: where the default
 * and they do not go together, of the nearest that does (kernel_given.c). Else why the
 * default with these values is not valid. */
sk_status sk_kernel_given(const sk_kernel *kernel, const sk_spec *spec, const sk_target *target,
                          const char *text, sk_schedule *out, sk_err *err);
sk_status sk_kernel_valid(const sk_kernel *kernel, const sk_spec *spec, const sk_schedule *schedule,
                          const sk_target *target, sk_err *err);
sk_status sk_kernel_build(const sk_kernel *kernel, const sk_spec *spec, const sk_schedule *schedule,
                          sk_arena *arena, sk_build *out, sk_err *err);
/* Gives an args struct its workspace. */
void sk_kernel_workspace(const sk_kernel *kernel, void *args, void *workspace, size_t bytes);
/* And the stream of a GPU: the last word of every args struct. */
void sk_kernel_stream(const sk_kernel *kernel, void *args, void *stream);

#define SK_IMAGE_OWN 96

struct sk_call;
/* Enqueues `blocks` blocks of an entry on a stream of the device. */
typedef sk_status (*sk_launch_fn)(void *user, uint32_t entry, const struct sk_call *call,
                                  uint32_t blocks, void *stream, sk_err *err);

typedef struct sk_image {
    const sk_kernel *kernel;
    const sk_kernel_form *form;
    sk_spec spec;
    sk_schedule schedule;
    sphkv_maxima maxima;                        /* all filled in, parts >= 1 */
    uint32_t nentry;
    sk_cpu_entry entry[SK_MAX_ENTRIES];         /* compiled for a CPU; or */
    sk_launch_fn launch;                        /* on a device; or */
    void *launch_user;
    bool launch_here;                           /* launch runs at once, on memory of the host:
                                                   a harness; arguments are checked as when
                                                   interpreted */
    const sk_program *program[SK_MAX_ENTRIES];  /* interpreted, when there is neither */
    uint32_t sms;                               /* multiprocessors, at least 1; steers grids */
    uint32_t shared_bytes[SK_MAX_ENTRIES];
    size_t workspace;
    /* What run needs over and over, and follows from the above. */
    uint32_t units[SK_MAX_TIERS];               /* arena units of a page of each tier */
    uint32_t book_stride;                       /* bytes of codebook per KV head */
    _Alignas(8) uint8_t own[SK_IMAGE_OWN];      /* the kernel's own, filled by prepare */
} sk_image;
static inline const void *sk_image_own(const sk_image *image) { return image->own; }

/* Sets everything but the code: compiled entries, a launch function
 * or, for the interpreter, programs are the caller's to fill in. sms: of the target;
 * 0 is taken as 1, all the same on a CPU. */
sk_status sk_image_init(sk_image *image, const sk_spec *spec, const sk_schedule *schedule,
                        const sphkv_maxima *maxima, const uint32_t *shared_bytes, uint32_t nentry,
                        uint32_t sms, sk_err *err);

/* One call of one entry: parameter slots, and for pointers how many bytes may
 * be touched (the interpreter checks it). */
typedef struct sk_call {
    uint64_t slot[SK_MAX_SLOTS];
    size_t bytes[SK_MAX_SLOTS]; /* 0 for scalars */
    uint32_t n;
    void *shared;
} sk_call;
void sk_call_ptr(sk_call *call, const void *p, size_t bytes);
void sk_call_u32(sk_call *call, uint32_t x);
void sk_call_f32(sk_call *call, float x);
/* One block, here and now. */
sk_status sk_image_call(const sk_image *image, uint32_t entry, const sk_call *call, uint32_t bx,
                        sk_err *err);
/* Blocks first .. first + blocks - 1 of a program, interpreted; profile: NULL, or
 * what is to be counted (ir.h). */
sk_status sk_image_interpret(const sk_image *image, uint32_t entry, const sk_call *call,
                             uint32_t first, uint32_t blocks, sk_interp_profile *profile,
                             sk_err *err);
/* A grid of blocks, on the stream of a device; interpreted: here and now. */
sk_status sk_image_launch(const sk_image *image, uint32_t entry, const sk_call *call,
                          uint32_t blocks, void *stream, sk_err *err);

/* sk_struct_read for an args struct, all of which hold pointers. */
sk_status sk_args_copy(void *dst, size_t known, const void *args, sk_err *err);
/* A word of args that nothing reads yet is refused unless zero, so that it can come
 * to mean something. */
sk_status sk_args_reserved(uint32_t word, sk_err *err);

#endif
