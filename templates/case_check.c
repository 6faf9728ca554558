/* case_check.c - a whole image on small cases that cover every path: what
 * stands between a compiled kernel and its use. At most 1,024 tokens (times
 * KV heads where they share lists) per case, so that the interpreter can do it
 * too. Parts run one after the other in a scrambled order, which the contract
 * allows; the workspace is used again without being cleared, which it promises. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

#define CHECK_PARTS 3u
#define CASES_MOST  64u /* of a set; more are made each time */

struct sk_check_set {
    sk_case_memory memory;
    sk_case kase[CASES_MOST]; /* in the order of sk_image_check */
    bool made[CASES_MOST];
};

typedef struct image_check {
    const sk_image *image;
    sk_check_set *set; /* cases to use again; may be NULL */
    uint32_t at;       /* number of the next case */
    double worst; /* error over bound */
} image_check;

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static sk_status run_parts(const sk_image *image, const sk_case *c, uint32_t parts, sk_err *err)
{
    for (uint32_t i = 0; i < parts; i++) {
        uint32_t part = (i + parts - 1) % parts; /* the last first */
        sk_status st = image->form->run(image, sk_case_args(c, 0), part, parts, err);
        if (st != SPHKV_OK) return st;
    }
    return SPHKV_OK;
}

/* The image with the maxima of this case; its kernel may be another than the
 * table's (a test's). */
static sk_status image_for(const sk_image *from, const sk_case *c, sk_image *to, sk_err *err)
{
    sphkv_maxima maxima;
    sk_case_maxima(c, CHECK_PARTS, &maxima);
    sk_status st = sk_image_init(to, &from->spec, &from->schedule, &maxima, from->shared_bytes,
                                 from->nentry, from->sms, err);
    if (st != SPHKV_OK) return st;
    to->kernel = from->kernel;
    to->form = from->form;
    if (to->form->prepare) to->form->prepare(to);
    to->workspace = to->form->workspace(to);
    to->launch = from->launch;
    to->launch_user = from->launch_user;
    to->launch_here = from->launch_here;
    memcpy(to->entry, from->entry, sizeof to->entry);
    memcpy(to->program, from->program, sizeof to->program);
    return SPHKV_OK;
}

static sk_status run_and_judge(image_check *check, const sk_image *image, sk_case *c,
                               uint32_t parts, sk_err *err)
{
    double error = 0, bound = 0;
    sk_err why = {0};
    sk_case_poison(c, 0);
    sk_status st = run_parts(image, c, parts, &why);
    if (st == SPHKV_OK) st = sk_case_judge(c, 0, &error, &bound, &why);
    if (st == SPHKV_OK) {
        check->worst = fmax(check->worst, bound > 0 ? error / bound : error);
        return SPHKV_OK;
    }
    return sk_fail(
        err, st, "check of input %s, %s, tiers %#x, %u parts: %.300s", sk_input_name(c->p.input),
        c->p.lists_per_seq == 1 ? "shared lists" : "lists per head",
        c->p.tier_mask ? c->p.tier_mask : (1u << c->p.spec.ntiers) - 1, parts, why.message);
}

/* The case of the set, made when it is met first; or *own, which is the caller's. */
static sk_status take_case(image_check *check, const sk_case_params *params, sk_case *own,
                           sk_case **out, sk_err *err)
{
    uint32_t at = check->at++;
    *out = NULL;
    if (!check->set || at >= CASES_MOST) {
        sk_status st = sk_case_make(params, own, err);
        if (st == SPHKV_OK) *out = own;
        return st;
    }
    sk_case *kase = &check->set->kase[at];
    if (!check->set->made[at]) {
        sk_status st = sk_case_make(params, kase, err);
        if (st != SPHKV_OK) return st;
        check->set->made[at] = true;
    }
    *out = kase;
    return SPHKV_OK;
}

/* One case with one part and with several, in an order that changes with the
 * seed of the case. */
static sk_status check_one(image_check *check, const sk_case_params *params, sk_err *err)
{
    sk_case own, *c;
    sk_image image;
    sk_case_buffer workspace = {.memory = params->memory};
    sk_status st = take_case(check, params, &own, &c, err);
    if (st != SPHKV_OK) return st;
    st = image_for(check->image, c, &image, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&workspace, image.workspace, err);
    if (st == SPHKV_OK) {
        const bool device = image.schedule.backend == SK_BACKEND_CUDA; /* one part only */
        uint32_t first = params->seed % 2 && !device ? CHECK_PARTS : 1;
        sk_kernel_workspace(image.kernel, c->args.any, workspace.bytes ? workspace.data : NULL,
                            workspace.bytes);
        st = run_and_judge(check, &image, c, first, err);
        if (st == SPHKV_OK)
            st = run_and_judge(check, &image, c, device ? 1 : CHECK_PARTS + 1 - first, err);
        if (st == SPHKV_OK && !sk_case_buffer_intact(&workspace))
            st = sk_fail(err, SPHKV_EVERIFY, "check of input %s: wrote outside of its workspace",
                         sk_input_name(params->input));
    }
    sk_case_buffer_free(&workspace);
    if (c == &own) sk_case_free(c);
    return st;
}

bool sk_case_check_items(const sk_spec *spec, uint32_t i, sk_case_params *params)
{
    if (i >= SK_INPUT_COUNT) return false;
    params->lists_per_seq = 1;
    params->input = (sk_input)i;
    params->seed += i;
    params->uneven = params->input != SK_IN_S1;
    params->shape = (sk_shape){.batch = least(5, SK_CHECK_TOKENS / spec->page),
                               .kv_heads = SK_CHECK_HEADS,
                               .context = spec->page};
    return true;
}

uint32_t sk_case_item_tier(const sk_case_params *p, uint32_t i)
{
    const uint32_t mask = p->tier_mask ? p->tier_mask : (1u << p->spec.ntiers) - 1;
    uint32_t tier = i % p->spec.ntiers;
    while (!(mask >> tier & 1)) tier = (tier + 1) % p->spec.ntiers;
    return tier;
}

double sk_case_bound_exact(const sk_spec *spec)
{
    (void)spec;
    return 1;
}

sk_check_set *sk_check_set_make(const sk_case_memory *memory)
{
    sk_check_set *set = sk_calloc(1, sizeof *set);
    if (set && memory) set->memory = *memory;
    return set;
}

void sk_check_set_free(sk_check_set *set)
{
    for (uint32_t i = 0; set && i < CASES_MOST; i++)
        if (set->made[i]) sk_case_free(&set->kase[i]);
    sk_free(set);
}

sk_status sk_image_check(const sk_image *image, uint64_t seed, double *error, sk_err *err)
{
    return sk_image_check_with(image, seed, NULL, error, err);
}

sk_status sk_image_check_with(const sk_image *image, uint64_t seed, sk_check_set *set,
                              double *error, sk_err *err)
{
    image_check check = {.image = image, .set = set};
    const sk_spec *spec = &image->spec;
    const sk_case_kind *kind = sk_case_kind_of(spec->kernel);
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; st == SPHKV_OK; i++) {
        sk_case_params params = {.spec = *spec, .copies = 1, .seed = seed};
        if (set) params.memory = set->memory;
        if (!kind->check(spec, i, &params)) break;
        st = check_one(&check, &params, err);
    }
    if (error) *error = check.worst * kind->bound(spec);
    return st;
}
