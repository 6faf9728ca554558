/* reference_extend.c - attn_extend in double: every query token is a run of the
 * reference of attn_decode, over a list that ends with the last token it sees. */
#include "case.h"

/* A list cut off behind `tokens` tokens: references behind have none. */
static void cut_list(const sphkv_page_table *t, uint32_t list, int64_t tokens, uint64_t *refs)
{
    for (uint32_t i = t->indptr[list]; i < t->indptr[list + 1]; i++) {
        const uint64_t ref = t->refs[i];
        const int64_t count = sphkv_ref_tokens(ref), left = tokens > 0 ? tokens : 0;
        refs[i] = sphkv_page_ref(sphkv_ref_unit(ref), (uint32_t)(count < left ? count : left),
                                                sphkv_ref_tier(ref));
        tokens -= count;
    }
}

static int64_t list_tokens(const sphkv_page_table *t, uint32_t list)
{
    int64_t n = 0;
    for (uint32_t i = t->indptr[list]; i < t->indptr[list + 1]; i++) n += sphkv_ref_tokens(t->refs[i]);
    return n;
}

/* Tokens of a list that query i of a sequence sees, `after` of its queries behind it, but
 * for its window; and that window, of the last of them. */
static int64_t seen_tokens(const sk_spec *spec, const sphkv_extend_args *a, uint32_t list, uint32_t i,
                           int64_t after, uint32_t *window)
{
    const int64_t n = list_tokens(&a->table, list);
    *window = a->window;
    if (spec->variants & SPHKV_VARIANT_POSITIONS) return n;
    if (a->mask == SPHKV_MASK_CAUSAL) return n - after;
    if (!(spec->variants & SPHKV_VARIANT_WINDOW)) return n;
    *window = a->window > i + 1 ? a->window - i - 1 : 1;
    return a->window > i + 1 ? n : 0;
}

/* What attn_decode has to do for query i of a sequence. */
static void one_query(const sk_spec *spec, const sphkv_extend_args *a, uint32_t seq, uint32_t i,
                      uint64_t *refs, sphkv_attn_args *out)
{
    const sphkv_page_table *t = &a->table;
    const int64_t after = (int64_t)(a->q_indptr[seq + 1] - a->q_indptr[seq]) - 1 - i;
    const uint32_t first = seq * t->lists_per_seq;
    uint32_t window = 0;
    for (uint32_t l = first; l < first + t->lists_per_seq; l++)
        cut_list(t, l, seen_tokens(spec, a, l, i, after, &window), refs);
    *out = (sphkv_attn_args){
        .size = sizeof *out, .batch = 1, .q_stride_head = a->q_stride_head,
        .arena = a->arena, .arena_bytes = a->arena_bytes, .codebook = a->codebook,
        .codebook_bytes = a->codebook_bytes, .scale = a->scale, .rope = a->rope,
        .kv_head_first = a->kv_head_first, .kv_head_count = a->kv_head_count,
        .window = window, .softcap = a->softcap, .head_scale = a->head_scale, .sinks = a->sinks,
        .bias = a->bias,
        .table = {.indptr = t->indptr + first, .refs = refs, .lists = t->lists_per_seq,
                  .lists_per_seq = t->lists_per_seq}};
    if (a->q_positions) out->q_positions = a->q_positions + a->q_indptr[seq] + i;
}

static sk_status each_row(const sk_spec *spec, const sphkv_extend_args *a, uint32_t kv_heads,
                          uint32_t row, uint32_t rows, uint64_t *refs, sk_attn_truth *truth,
                          sk_err *err)
{
    const size_t heads = (size_t)kv_heads * spec->heads_per_kv, es = spec->q_dtype == SPHKV_F32 ? 4 : 2;
    const size_t head_stride = a->q_stride_head ? a->q_stride_head : spec->d;
    const size_t stride = a->q_stride_tok ? a->q_stride_tok : heads * head_stride;
    sk_status st = SPHKV_OK;
    truth->max_logit = truth->max_terms = 0;
    for (uint32_t seq = 0, n = 0; n < rows && st == SPHKV_OK; n++) {
        while (row + n >= a->q_indptr[seq + 1]) seq++;
        sphkv_attn_args one;
        sk_attn_truth to = {.out = truth->out ? truth->out + n * heads * spec->dv : NULL,
                            .mag = truth->mag ? truth->mag + n * heads * spec->dv : NULL,
                            .lse = truth->lse ? truth->lse + n * heads : NULL};
        one_query(spec, a, seq, row + n - a->q_indptr[seq], refs, &one);
        one.q = (const uint8_t *)a->q + (row + n) * stride * es;
        st = sk_attn_reference(spec, &one, kv_heads, &to, err);
        if (to.max_logit > truth->max_logit) truth->max_logit = to.max_logit;
        if (to.max_terms > truth->max_terms) truth->max_terms = to.max_terms;
    }
    return st;
}

sk_status sk_extend_reference(const sk_spec *spec, const sphkv_extend_args *args, uint32_t kv_heads,
                              uint32_t row, uint32_t rows, sk_attn_truth *truth, sk_err *err)
{
    const sphkv_page_table *t = &args->table;
    if (rows && (row < args->q_indptr[0] || row + rows > args->q_indptr[args->batch]))
        return sk_fail(err, SPHKV_EINVAL, "rows %u+%u are no query tokens", row, rows);
    uint64_t *ref = sk_malloc(((size_t)t->indptr[t->lists] + 1) * sizeof *ref);
    const sk_status st = ref ? each_row(spec, args, kv_heads, row, rows, ref, truth, err)
                             : sk_fail(err, SPHKV_ENOMEM, "no memory for the reference");
    sk_free(ref);
    return st;
}
