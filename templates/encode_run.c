/* encode_run.c - items of kv_encode and page_retier on a CPU: the host side checks them and
 * puts them in order by KV head, and a block is a run of that order: what the search makes
 * of a codebook (f32 codewords, norms, bounds) is made once for the pages of a head that
 * follow each other. Pages do not depend on their order. */
#include "kv_encode.h"
#include "part_rope.h"

/* ---- arguments ---------------------------------------------------------------- */

static sk_status check_item(const sk_image *image, const sphkv_encode_args *a, uint32_t i,
                            const sk_page_layout *dst, const sk_page_layout *src, sk_err *err)
{
    const sphkv_encode_item *it = &a->items[i];
    sk_status st = sk_items_tokens(image, i, 0, it->count, err);
    if (st == SPHKV_OK) st = sk_items_head(image, i, it->kv_head, err);
    if (st == SPHKV_OK)
        st = sk_items_page(i, "source page", it->src_unit, src->units, a->src_arena_bytes, err);
    if (st == SPHKV_OK)
        st = sk_items_page(i, "destination page", it->dst_unit, dst->units, a->dst_arena_bytes,
                           err);
    if (st != SPHKV_OK) return st;
    const uintptr_t from = (uintptr_t)a->src_arena + (uintptr_t)it->src_unit * SPHKV_UNIT_BYTES;
    const uintptr_t to = (uintptr_t)a->dst_arena + (uintptr_t)it->dst_unit * SPHKV_UNIT_BYTES;
    if (from < to + dst->units * SPHKV_UNIT_BYTES && to < from + src->units * SPHKV_UNIT_BYTES)
        return sk_fail(err, SPHKV_EINVAL, "items[%u]: source and destination pages overlap", i);
    const uint8_t *page = (const uint8_t *)a->src_arena + (size_t)it->src_unit * SPHKV_UNIT_BYTES;
    if (sk_encode_turns(&image->spec) && !sk_rope_inside(&a->rope, page + src->pos_off, it->count))
        return sk_fail(err, SPHKV_EINVAL, "items[%u]: a position is not in the table of %u", i,
                       a->rope.positions);
    return SPHKV_OK;
}

static sk_status check_rope(const sk_spec *spec, sphkv_encode_args *a, sk_err *err)
{
    const sphkv_rope *rope = &a->rope;
    if (sk_encode_turns(spec)) return sk_rope_check(spec, &a->rope, a->items_count == 0, err);
    if (rope->table == NULL && rope->positions == 0 && rope->dims == 0) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "rope is set, but no key is rotated between these tiers: set it to 0");
}

sk_status sk_encode_args(const sk_image *image, const void *args, sphkv_encode_args *a, sk_err *err)
{
    sk_status st = sk_args_copy(a, sizeof *a, args, err);
    if (st == SPHKV_OK) st = sk_items_count(image, a->items_count, err);
    if (st != SPHKV_OK) return st;
    if (a->items_count > 0 && (!a->items || !a->src_arena || !a->dst_arena))
        return sk_fail(err, SPHKV_EINVAL, "items, src_arena or dst_arena is NULL");
    st = sk_items_aligned(a->src_arena, err);
    if (st == SPHKV_OK) st = sk_items_aligned(a->dst_arena, err);
    if (st == SPHKV_OK)
        st = sk_items_books(image, image->maxima.kv_heads, a->codebook, a->codebook_bytes, err);
    if (st == SPHKV_OK) st = check_rope(&image->spec, a, err);
    if (st == SPHKV_OK) st = sk_items_workspace(image, a->workspace, a->workspace_bytes, err);
    return st;
}

/* ---- items by KV head ------------------------------------------------------- */

static size_t head_of(const sk_image *image, const void *items, uint32_t i)
{
    (void)image;
    return ((const sphkv_encode_item *)items)[i].kv_head;
}

size_t sk_encode_workspace(const sk_image *image)
{
    return sk_items_run_workspace(image, image->maxima.kv_heads);
}

sk_status sk_encode_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                        sk_err *err)
{
    sphkv_encode_args a;
    sk_page_layout dst, src;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_encode_args(image, args, &a, err);
    sk_page_layout_get(&image->spec, 0, &dst);
    sk_page_layout_get(&image->spec, 1, &src);
    for (uint32_t i = 0; st == SPHKV_OK && i < a.items_count; i++)
        st = check_item(image, &a, i, &dst, &src, err);
    if (st != SPHKV_OK) return st;
    const uint32_t n = a.items_count;
    const sk_item_run run = sk_items_run(image, a.workspace, a.items, n, head_of,
                                         image->maxima.kv_heads, part, parts);
    if (run.first == run.end) return SPHKV_OK;
    sk_call call = {.shared = run.scratch};
    sk_call_ptr(&call, a.items, n * sizeof *a.items);
    sk_call_ptr(&call, run.order, n * sizeof *run.order);
    sk_call_ptr(&call, a.src_arena, a.src_arena_bytes);
    sk_call_ptr(&call, a.dst_arena, a.dst_arena_bytes);
    sk_call_ptr(&call, a.codebook, a.codebook_bytes);
    sk_call_u32(&call, run.first);
    sk_call_u32(&call, run.end);
    if (sk_encode_turns(&image->spec)) sk_rope_call(&call, &image->spec, &a.rope);
    return sk_image_call(image, 0, &call, 0, err);
}

/* ---- the loop over them ------------------------------------------------------- */

void sk_encode_list_begin(sk_encode_list *l, sk_builder *b)
{
    l->b = b;
    l->items = sk_ir_param_ptr(b, "items", false);
    l->order = sk_ir_param_ptr(b, "order", false);
    l->src = sk_ir_param_ptr(b, "src", false);
    l->dst = sk_ir_param_ptr(b, "dst", true);
    l->book = sk_ir_param_ptr(b, "codebook", false);
    l->first = sk_ir_param_u32(b, "first");
    l->end = sk_ir_param_u32(b, "end");
}

static sk_val item_at(const sk_encode_list *l, sk_val i)
{
    const sk_val zero = sk_ir_u32(l->b, 0);
    const sk_val at = sk_ir_ldu(l->b, SK_LD_U32, sk_ir_ptr_add(l->b, l->order, i, 4), zero, 0);
    return sk_ir_ptr_add(l->b, l->items, at, sizeof(sphkv_encode_item));
}

/* Whether what comes of a set is that of one segment alone, and stays in scratch. */
static bool stays(const sk_tier *to)
{
    uint32_t coded = 0;
    for (uint32_t s = 0; s < to->nseg; s++) coded += to->seg[s].kind == SK_KEY_CODED;
    return coded == 1;
}

void sk_encode_list_item(sk_encode_list *l, sk_enc *c, const sk_spec *set)
{
    sk_builder *b = l->b;
    const sk_val last = sk_ir_2k(b, SK_OP_SUB, l->end, 1);
    const sk_val held = sk_ir_var(b, SK_BLOCK, sk_ir_u32(b, UINT32_MAX));
    const sk_val i = sk_ir_for(b, l->first, l->end, 1);
    const sk_val next = item_at(l, sk_ir_2(b, SK_OP_UMIN, sk_ir_2k(b, SK_OP_ADD, i, 1), last));
    sk_encode_begin(c, set, item_at(l, i), l->src, l->dst, l->book);
    c->src_unit = sk_ir_ldu(b, SK_LD_U32, item_at(l, i), c->zero, 0);
    c->next_unit = sk_ir_ldu(b, SK_LD_U32, next, c->zero, 0);
    c->src_arena = l->src;
    if (!stays(&c->spec->tier[0])) return;
    c->fresh = sk_ir_2(b, SK_OP_NE, sk_ir_get(b, held), c->head);
    sk_ir_set(b, held, c->head);
}

void sk_encode_list_end(sk_encode_list *l) { sk_ir_end(l->b); }
