/* attn_raw.c - form "raw" of attn_decode on a GPU: whole text written by hand
 * (raw/good_vi8.cu), with what differs from spec to spec put before it as #defines.
 * It is the ceiling that generated kernels are held against, and competes with them
 * in the same search. */
#include <string.h>

#include "attn_gpu.h"
#include "rows.h"

static const char text[] = {
#include "good_vi8_cu.inc"
};

#define RAW_DIMS 128u
#define RAW_STAGES 2u

/* As the text lays it out: codewords, queries, the deal, the warps' pairs, acc,
 * stages. */
uint32_t sk_raw_scratch(void)
{
    const uint32_t stage = 2048 + 128 + 256 + 8 * (32 * 32 + 4 * 32);
    const uint32_t bytes =
        4096 + 2048 + 128 + SK_RAW_WARPS * 64 + 4096 + SK_RAW_WARPS * RAW_STAGES * stage;
    return (bytes + 63) / 64 * 64;
}

sk_status sk_raw_valid(const sk_spec *spec, sk_err *err)
{
    const sk_tier *tier = &spec->tier[0];
    const sk_segment *seg = &tier->seg[0];
    const bool good = tier->nseg == 1 && seg->kind == SK_KEY_CODED && seg->g == 2 && seg->b == 4 && !seg->more &&
                      seg->rb == 16 && seg->span == SK_SPAN_ALL && !seg->pre_rope;
    if (spec->ntiers != 1 || !good || tier->value != SK_VAL_I8 || spec->d != RAW_DIMS ||
        spec->dv != RAW_DIMS || spec->page != 128 || spec->layout != 1 || spec->book != 0 || spec->variants != 0 ||
        spec->heads_per_kv < 4 || spec->heads_per_kv > 8 || spec->accuracy == SPHKV_EXACT)
        return sk_fail(err, SPHKV_EINVAL,
                       "form=raw is written for good:vi8 alone, D 128, pages of 128, layout 1, 4 to "
                       "8 heads, tight or fast");
    return SPHKV_OK;
}

/* The parameters of attn_gpu.h in an empty program: what a launch must know. */
static sk_status stub(const sk_spec *spec, const sk_schedule *s, sk_arena *arena, sk_program **out,
                      sk_err *err)
{
    sk_builder builder;
    sk_dec dec;
    sk_grid grid = {.c = &dec};
    const sk_status st = sk_rows_entry(&builder, spec, 32, SK_RAW_WARPS, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_ir_occupancy(&builder, (uint32_t)s->v[SK_T_blocks]);
    sk_dec_init(&dec, &builder, spec, s);
    sk_grid_params(&grid);
    (void)sk_ir_shared(&builder, sk_raw_scratch());
    return sk_ir_finish(&builder, out, err);
}

sk_status sk_raw_build(const sk_spec *spec, const sk_schedule *s, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_page_layout lay;
    sk_text unit = {0};
    memset(out, 0, sizeof *out);
    sk_page_layout_get(spec, 0, &lay);
    sk_status st = stub(spec, s, arena, &out->program[0], err);
    if (st != SPHKV_OK) return st;
    const struct {
        const char *name;
        uint32_t value;
    } define[] = {
        {"HEADS", spec->heads_per_kv},
        {"Q_HALF", spec->q_dtype == SPHKV_F16},
        {"Q_BF16", spec->q_dtype == SPHKV_BF16},
        {"OUT_HALF", spec->out_dtype == SPHKV_F16},
        {"OUT_BF16", spec->out_dtype == SPHKV_BF16},
        {"WARPS", SK_RAW_WARPS},
        {"STAGES", RAW_STAGES},
        {"OCCUPANCY", (uint32_t)s->v[SK_T_blocks]},
        {"BOOK_BYTES", sk_codebook_head_bytes(spec)},
        {"BOOK_AT", sk_codebook_tier_off(spec, 0, 0)},
        {"PAGE_UNITS", lay.units},
        {"RADIUS_AT", lay.seg[0].radius_off},
        {"CODES_AT", lay.seg[0].code_off},
        {"SCALES_AT", lay.vscale_off},
        {"VALUES_AT", lay.value_off},
    };
    sk_text_printf(&unit, "#define SYMBOL %s\n", out->program[0]->symbol);
    for (size_t i = 0; i < SK_COUNT(define); i++)
        sk_text_printf(&unit, "#define %s %u\n", define[i].name, define[i].value);
    sk_text_append(&unit, text, sizeof text - 1);
    out->source = unit.failed ? NULL : sk_arena_strdup(arena, unit.s);
    out->n = 1;
    sk_text_free(&unit);
    return out->source ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "out of memory for a kernel's text");
}
