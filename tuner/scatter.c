/* scatter.c - see scatter.h. A pace is a chain of multiplications, of which a line takes
 * so many: nothing waits for it but what is 100 instructions behind. */
#include "scatter.h"

#include <stdatomic.h>
#include <string.h>

#include "clock.h"

#define LINE 64u
#define TOUCH 8u        /* pages whose ends are touched together */
#define SAMPLE_US 200.0 /* a sample lasts at least about this long */
#define INLINE static inline __attribute__((always_inline))

/* The pages of a part: refs[0 .. n). */
typedef struct way {
    const uint8_t *arena;
    const uint64_t *refs;
    const uint32_t *bytes; /* of a page of each tier */
    size_t n;
} way;

static const uint8_t *page_at(const way *w, size_t i, uint32_t *bytes)
{
    const uint64_t ref = w->refs[i < w->n ? i : w->n - 1];
    *bytes = w->bytes[sphkv_ref_tier(ref)];
    return w->arena + (size_t)sphkv_ref_unit(ref) * SPHKV_UNIT_BYTES;
}

static void touch(const way *w, size_t from)
{
    for (size_t i = from; i < from + TOUCH; i++) {
        uint32_t bytes;
        const uint8_t *page = page_at(w, i, &bytes);
        __builtin_prefetch(page, 0, 2);
        __builtin_prefetch(page + bytes - LINE, 0, 2);
    }
}

/* ahead and pace are constants in each call. */
INLINE uint64_t read_pages(const way *w, const bool ahead, const uint32_t pace)
{
    uint64_t sum = 0, chain = 3;
    for (size_t i = 0; i < w->n; i++) {
        uint32_t bytes, after;
        const uint8_t *page = page_at(w, i, &bytes), *next = page_at(w, i + 1, &after);
        if (ahead && i % TOUCH == 0) touch(w, i + 2);
        for (uint32_t at = 0; at < bytes; at += LINE) {
            uint64_t word;
            if (ahead && at < after) __builtin_prefetch(next + at, 0, 2);
            memcpy(&word, page + at, sizeof word);
            sum += word;
            for (uint32_t k = 0; k < pace; k++) chain = chain * chain + 2;
        }
        for (uint32_t at = bytes; ahead && at < after; at += LINE)
            __builtin_prefetch(next + at, 0, 2);
    }
    return sum + chain;
}

_Static_assert(SK_SWEEP_FORMS == 4, "read_form has four");

static uint64_t read_form(const way *w, uint32_t form)
{
    switch (form) {
    case 0: return read_pages(w, false, 0);
    case 1: return read_pages(w, true, 0);
    case 2: return read_pages(w, true, 1);
    default: return read_pages(w, true, 2);
    }
}

static void read_part(void *user, uint32_t part, uint32_t parts)
{
    sk_scatter *s = user;
    const sphkv_attn_args *a = &s->kase->args.attn[*s->cursor % s->kase->copies];
    const size_t first = a->table.indptr[0], all = a->table.indptr[a->table.lists] - first;
    const size_t from = all * part / parts, to = all * (part + 1) / parts;
    const way w = {a->arena, a->table.refs + first + from, s->page_bytes, to - from};
    if (w.n > 0)
        atomic_fetch_add_explicit(&s->sink, read_form(&w, s->form), memory_order_relaxed);
}

double sk_scatter_time(sk_scatter *s)
{
    const double t0 = sk_clock_us();
    for (uint32_t r = 0; r < s->reps; r++) {
        sk_team_run(s->x->team, read_part, s);
        ++*s->cursor;
    }
    return (sk_clock_us() - t0) / s->reps;
}

void sk_scatter_make(sk_executor *x, const sk_case *kase, uint32_t *cursor, sk_scatter *out)
{
    double us[SK_SWEEP_FORMS][SK_SWEEP_ROUNDS];
    const sk_spec *spec = &kase->p.spec;
    *out = (sk_scatter){.x = x, .kase = kase, .cursor = cursor, .form = 1, .reps = 1};
    const uint32_t sub = kase->p.lists_per_seq == 1 ? kase->p.shape.kv_heads : 1;
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, k, &lay);
        out->page_bytes[k] = lay.units * sub * SPHKV_UNIT_BYTES;
    }
    const double once = sk_scatter_time(out);
    if (once < SAMPLE_US) out->reps = once > 0.2 ? (uint32_t)(SAMPLE_US / once) + 1 : 1000;
    for (uint32_t i = 0; i < SK_SWEEP_ROUNDS; i++) /* rounds, so that a slow stretch hits all */
        for (uint32_t k = 0; k < SK_SWEEP_FORMS; k++) {
            out->form = k;
            us[k][i] = sk_scatter_time(out);
        }
    out->form = sk_sweep_best(us);
}
