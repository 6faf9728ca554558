/* case_judge_append.c - pages that kv_append wrote, judged: bit-exact, untouched
 * slots included. */
#include <string.h>

#include "case_impl.h"

static void append_expected(const sk_case *c, const sphkv_append_args *a, uint8_t *arena,
                            float *row)
{
    const sk_spec *spec = &c->p.spec;
    for (uint32_t i = 0; i < a->items_count; i++) {
        const sphkv_append_item *item = &a->items[i];
        for (uint32_t t = 0; t < item->count; t++) {
            size_t k = (size_t)(item->row + t) * a->k_stride_row +
                       (size_t)item->kv_head * a->k_stride_head;
            size_t v = (size_t)(item->row + t) * a->v_stride_row +
                       (size_t)item->kv_head * a->v_stride_head;
            for (uint32_t d = 0; d < spec->d; d++)
                row[d] = (float)sk_case_get(a->k, spec->in_dtype, k + d);
            for (uint32_t d = 0; d < spec->dv; d++)
                row[spec->d + d] = a->v ? (float)sk_case_get(a->v, spec->in_dtype, v + d) : 0;
            uint8_t *page = arena + (size_t)item->unit * SPHKV_UNIT_BYTES;
            const uint32_t slot = item->slot + t, off = sk_case_state_of(c)->at[0].pos_off;
            sk_append_ref(spec, 0, row, row + spec->d, slot, page);
            if (off != SK_NO_FIELD) memcpy(page + off + slot * 4, &a->positions[item->row + t], 4);
        }
    }
}

sk_status sk_case_judge_append(const sk_case *c, uint32_t copy, double *error, double *bound,
                               sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sphkv_append_args *a = &c->args.append[copy];
    const uint8_t *got = a->arena;
    *bound = 0;
    uint8_t *want = sk_malloc(a->arena_bytes);
    float *row = sk_malloc((c->p.spec.d + c->p.spec.dv) * sizeof *row);
    sk_status st = want && row ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    if (st == SPHKV_OK) {
        memcpy(want, s->before, a->arena_bytes);
        append_expected(c, a, want, row);
        size_t at = 0;
        if (memcmp(want, got, a->arena_bytes) != 0) {
            while (want[at] == got[at])
                at++;
            uint32_t i = 0;
            while (i + 1 < a->items_count &&
                   (at / SPHKV_UNIT_BYTES < s->page[i].unit ||
                    at / SPHKV_UNIT_BYTES - s->page[i].unit >= s->at[0].units))
                i++;
            *error = 1;
            st = sk_fail(err, SPHKV_EVERIFY,
                         "kv_append: byte %zu of the page of item %u is %#x, not %#x",
                         at - (size_t)s->page[i].unit * SPHKV_UNIT_BYTES, i, got[at], want[at]);
        }
    }
    sk_free(want);
    sk_free(row);
    return st;
}
