/* kv_encode.h - what the forms of kv_encode share on the host side, and page_retier with
 * them: items, args and schedules are alike. */
#ifndef SK_KV_ENCODE_H
#define SK_KV_ENCODE_H

#include "encode.h"
#include "items.h"

/* Whether keys are rotated, or back, on their way: one tier keeps them before RoPE (p). */
static inline bool sk_encode_turns(const sk_spec *spec)
{
    return sk_tier_pre_rope(&spec->tier[0]) != sk_tier_pre_rope(&spec->tier[1]);
}
/* Args without what the items say. */
sk_status sk_encode_args(const sk_image *image, const void *args, sphkv_encode_args *a, sk_err *err);

/* On a CPU, for any two tiers: schedules, and runs of an entry that begins with a list. */
void sk_encode_default(const sk_spec *spec, const sk_target *target, sk_schedule *out);
sk_status sk_encode_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                          sk_err *err);
size_t sk_encode_workspace(const sk_image *image);
sk_status sk_encode_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                        sk_err *err);
void sk_encode_cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out);

/* The program's parameters, in the order in which sk_encode_run fills them: the items
 * first .. end - 1 of an order by KV head (encode_run.c). */
typedef struct sk_encode_list {
    sk_builder *b;
    sk_val items, order, src, dst, book, first, end;
} sk_encode_list;
void sk_encode_list_begin(sk_encode_list *l, sk_builder *b);
/* Begins a loop over them, and the page of one. */
void sk_encode_list_item(sk_encode_list *l, sk_enc *c, const sk_spec *set);
void sk_encode_list_end(sk_encode_list *l);

/* ---- on a GPU (kv_encode_gpu.c) ---- */

/* Bytes of scratch that the coding of a page takes. */
uint32_t sk_encode_scratch_of(const sk_spec *spec, const sk_schedule *s);
/* Schedules: etok, warps and so many bytes of shared memory; warps and etok of the default,
 * with room=shared, and whether two blocks of so many bytes fit side by side. */
sk_status sk_encode_gpu_valid(const sk_spec *spec, const sk_schedule *s, uint32_t shared,
                              const sk_target *target, sk_err *err);
void sk_encode_gpu_default(const sk_spec *spec, sk_schedule *out);
bool sk_encode_gpu_roomy(const sk_target *target, uint32_t shared);

/* The program's parameters, in the order in which sk_encode_gpu_run fills them. */
typedef struct sk_encode_grid {
    sk_builder *b;
    sk_val items, src, dst, book, count, blocks, block;
    sk_val room; /* the block's in the workspace, `room` bytes; SK_NONE: none are wanted */
} sk_encode_grid;
void sk_encode_grid_begin(sk_encode_grid *g, sk_builder *b, uint32_t room);
/* Registers of a block that codes several codes a group: what is left of it is held while
 * one after the other is found. */
void sk_encode_gpu_occupancy(sk_builder *b, const sk_spec *spec, const sk_schedule *s);
/* Begins a loop over the items of a block: the address of one. */
sk_val sk_encode_grid_item(const sk_encode_grid *g);

/* Host side: bytes of workspace; a launch. */
size_t sk_encode_gpu_rooms(const sk_image *image, uint32_t room);
sk_status sk_encode_gpu_run(const sk_image *image, uint32_t room, const void *args, uint32_t part,
                            uint32_t parts, sk_err *err);

#endif
