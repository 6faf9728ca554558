/* space.c - see space.h. Enumeration asks only `valid`, which is cheap; a space
 * too large to list is an error of the table of tunables, not a case to sample
 * blindly. */
#include "space.h"

#include <string.h>

#define COMBINATIONS_MOST (1u << 22)

static bool tunes(const sk_space *space, uint32_t t)
{
    return sk_tunable_tunes(t, space->spec.kernel, space->target.backend);
}

/* The n-th combination in mixed radix: the first tunable of the table is the
 * slowest digit. */
static void combination(const sk_space *space, uint64_t n, sk_schedule *out)
{
    sk_schedule_begin(space->target.backend, out);
    for (uint32_t t = SK_TUNABLE_COUNT; t-- > 0;) {
        if (!tunes(space, t)) continue;
        uint32_t radix = sk_tunable_count(t);
        out->v[t] = sk_tunable_value(t, (uint32_t)(n % radix));
        n /= radix;
    }
}

static bool same_schedule(const sk_schedule *a, const sk_schedule *b)
{
    return memcmp(a->v, b->v, sizeof a->v) == 0;
}

static sk_status list_valid(sk_space *space, const sk_kernel *kernel, sk_err *err)
{
    uint32_t cap = 64;
    sk_schedule s, first;
    memset(&first, 0, sizeof first);
    sk_kernel_default(kernel, &space->spec, &space->target, &first);
    if (!kernel->form[space->target.backend])
        return sk_kernel_valid(kernel, &space->spec, &first, &space->target, err);
    space->candidate = sk_calloc(cap, sizeof *space->candidate);
    if (!space->candidate) return sk_fail(err, SPHKV_ENOMEM, "no memory for a search space");
    space->candidate[space->count++].schedule = first;
    for (uint64_t n = 0; n < space->combinations; n++) {
        combination(space, n, &s);
        if (same_schedule(&s, &first)) continue;
        if (sk_kernel_valid(kernel, &space->spec, &s, &space->target, NULL) != SPHKV_OK) continue;
        if (space->count == cap) {
            sk_candidate *more = sk_realloc(space->candidate, 2 * cap * sizeof *more);
            if (!more) return sk_fail(err, SPHKV_ENOMEM, "no memory for a search space");
            memset(more + cap, 0, cap * sizeof *more);
            space->candidate = more;
            cap *= 2;
        }
        space->candidate[space->count++].schedule = s;
    }
    return SPHKV_OK;
}

sk_status sk_space_make(const sk_spec *spec, const sk_target *target, sk_space *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    if (!kernel) return sk_fail(err, SPHKV_EUNSUPPORTED, "there is no kernel %u", spec->kernel);
    sk_status st = kernel->supported(spec, err);
    if (st != SPHKV_OK) return st;
    out->spec = *spec;
    out->target = *target;
    out->combinations = 1;
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
        if (tunes(out, t)) out->combinations *= sk_tunable_count(t);
    if (out->combinations > COMBINATIONS_MOST)
        return sk_fail(err, SPHKV_EINTERNAL, "%llu combinations of tunables are too many to list",
                       (unsigned long long)out->combinations);
    st = list_valid(out, kernel, err);
    if (st != SPHKV_OK) sk_space_free(out);
    return st;
}

void sk_space_free(sk_space *space)
{
    sk_free(space->candidate);
    sk_arena_free(&space->arena);
    space->candidate = NULL;
    space->count = 0;
}

sk_status sk_space_keep(sk_space *space, const char *values, sk_err *err)
{
    uint32_t kept = 1;
    for (uint32_t i = 0; i < space->count; i++) {
        sk_schedule with = space->candidate[i].schedule;
        sk_status st = sk_schedule_parse(space->spec.kernel, values, &with, err);
        if (st != SPHKV_OK) return st;
        if (i > 0 && same_schedule(&with, &space->candidate[i].schedule))
            space->candidate[kept++] = space->candidate[i];
    }
    space->count = kept;
    return SPHKV_OK;
}

sk_status sk_space_resolve(sk_space *space, uint32_t index, sk_err *err)
{
    sk_candidate *c = &space->candidate[index];
    sk_arena scratch = {0};
    sk_code_ir ir;
    sk_err why = {0};
    if (c->resolved) return SPHKV_OK;
    c->built = sk_code_ir_build(&space->spec, &c->schedule, &scratch, &ir, &why);
    if (c->built == SPHKV_ENOMEM) {
        sk_arena_free(&scratch);
        return sk_fail(err, SPHKV_ENOMEM, "%s", why.message);
    }
    c->resolved = true;
    c->same_as = index;
    if (c->built == SPHKV_OK)
        memcpy(c->ir_hash, ir.hash, sizeof c->ir_hash);
    else
        c->reason = sk_arena_strdup(&space->arena, why.message);
    sk_arena_free(&scratch);
    for (uint32_t i = 0; i < space->count && c->built == SPHKV_OK; i++) {
        const sk_candidate *other = &space->candidate[i];
        if (i == index || !other->resolved || strcmp(other->ir_hash, c->ir_hash) != 0) continue;
        c->same_as = other->same_as;
        break;
    }
    return SPHKV_OK;
}

uint32_t sk_space_find(const sk_space *space, const sk_schedule *schedule)
{
    for (uint32_t i = 0; i < space->count; i++)
        if (same_schedule(&space->candidate[i].schedule, schedule)) return i;
    return SK_NONE;
}
