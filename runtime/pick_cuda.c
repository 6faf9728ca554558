/* pick_cuda.c - where a GPU's code comes from, in this order:
 *   a record of this architecture, or of one whose machine code runs here: a CUBIN;
 *   the default schedule, proven on such an architecture before: a CUBIN;
 *   a record with PTX for an older architecture, which the driver compiles;
 *   the default schedule compiled here, by NVRTC.
 * What never ran is checked against the reference before its first use, on the device
 * itself, and then kept as proven. When nothing is left, one line says of each why
 * not. */
#include "pick_impl.h"

#include <stdio.h>
#include <string.h>

#include "cuda_compile.h"
#include "gpu_target.h"

#define MOST_ARCHS 16u

/* Architectures to ask the store for, best first. */
typedef struct arch_list {
    uint32_t n;
    char text[MOST_ARCHS][16];
} arch_list;

static void list_add(arch_list *list, const char *kind, uint32_t sm, const char *suffix)
{
    if (list->n < MOST_ARCHS)
        snprintf(list->text[list->n++], sizeof list->text[0], "%s_%u%s", kind, sm % 10000, suffix);
}

/* Those whose code runs on the device: its own, then older ones, the youngest first. */
static void list_make(const sk_target *device, bool ptx, arch_list *list)
{
    const char *kind = ptx ? "compute" : "sm";
    uint32_t known = 0;
    list->n = 0;
    list_add(list, kind, device->sm, "");
    list_add(list, kind, device->sm, "a");
    while (sk_target_cuda_known(known)) known++;
    for (uint32_t i = known; i-- > 0;) {
        const sk_target code = {.sm = sk_target_cuda_known(i)};
        if (code.sm < device->sm && sk_gpu_target_runs(&code, ptx, device))
            list_add(list, kind, code.sm, "");
    }
}

/* ---- code of one schedule -------------------------------------------------------- */

/* Proven on this architecture, or on one whose code runs here. */
static sk_status stored(sk_picking *p, const sk_wanted *w, sk_code **out, sk_err *err)
{
    arch_list list;
    sk_err first = {0};
    list_make(&p->ctx->device.target, false, &list);
    for (uint32_t i = 0; i < list.n; i++) {
        sk_err local = {0};
        const sk_status st = sk_pick_stored(p, list.text[i], w, out, &local);
        if (st == SPHKV_OK) return st;
        if (st == SPHKV_ENOMEM) return sk_fail(err, st, "%s", local.message);
        if (first.status == SPHKV_OK || (first.status == SPHKV_ENOTFOUND && st == SPHKV_EDB))
            first = local;
    }
    return sk_fail(err, SPHKV_ENOTFOUND, "%s", first.message);
}

static sk_status compiled(sk_picking *p, const sk_wanted *w, sk_code **out, sk_err *err)
{
    const sk_nvrtc_api *api;
    sk_cuda_built built;
    sk_status st = sk_nvrtc_get(&p->ctx->nvrtc, &api, err);
    if (st == SPHKV_OK) st = sk_nvrtc_has_arch(api, p->device.arch, err);
    if (st == SPHKV_OK)
        st = sk_cuda_compile(&w->ir, p->spec, w->schedule, p->device.arch, api, 0, &p->mem, &built,
                             err);
    return st == SPHKV_OK ? sk_pick_prove(p, w, &built.cubin, out, err) : st;
}

sk_status sk_pick_cuda_here(sk_picking *p, const sk_wanted *w, sk_code **out, sk_err *err)
{
    sk_status st = stored(p, w, out, err);
    return st == SPHKV_ENOTFOUND && p->compiles ? compiled(p, w, out, err) : st;
}

/* ---- the whole way ---------------------------------------------------------------- */

/* The first record that can be used, asked for under one architecture after the other;
 * those of others than this device's own are found by their architecture alone. */
static sk_status records(sk_picking *p, const sk_db_shape *shape, bool ptx, char reason[160],
                         sk_err *err)
{
    arch_list list;
    list_make(&p->ctx->device.target, ptx, &list);
    reason[0] = '\0';
    for (uint32_t i = 0; i < list.n; i++) {
        char how[sizeof p->out->how];
        sk_db_device device = p->device;
        const bool own = strcmp(list.text[i], p->device.arch) == 0;
        device.arch = list.text[i];
        if (!own) device.fingerprint = list.text[i];
        const sk_status st = sk_pick_record(p, &device, shape, err);
        if (!reason[0]) memcpy(reason, p->why, sizeof p->why);
        if (st == SPHKV_ENOTFOUND) continue;
        if (st == SPHKV_OK && !own) {
            memcpy(how, p->out->how, sizeof how);
            snprintf(p->out->how, sizeof p->out->how, "%s: %.290s", list.text[i], how);
        }
        return st;
    }
    return SPHKV_ENOTFOUND;
}

sk_status sk_pick_cuda(sk_picking *p, const sk_db_shape *shape, sk_err *err)
{
    char cubin[160], ptx[160];
    sk_err kept = {0}, here = {0};
    sk_status st = records(p, shape, false, cubin, err);
    if (st != SPHKV_ENOTFOUND) return st;
    p->compiles = false;
    st = sk_pick_default(p, &kept);
    p->compiles = true;
    if (st == SPHKV_OK) return st;
    if (st != SPHKV_ENOTFOUND) return sk_fail(err, st, "%s", kept.message);
    st = records(p, shape, true, ptx, err);
    if (st != SPHKV_ENOTFOUND) return st;
    st = sk_pick_default(p, &here);
    if (st == SPHKV_OK) return st;
    if (st != SPHKV_ECOMPILE && st != SPHKV_EUNSUPPORTED) return sk_fail(err, st, "%s", here.message);
    return sk_fail(err, SPHKV_ECOMPILE,
                   "no kernel for %.70s on %.32s, %s: no stored CUBIN (%.100s), no stored PTX "
                   "(%.100s), none compiled here (%.100s)",
                   p->text, p->ctx->device.name, p->device.arch, cubin[0] ? cubin : kept.message,
                   ptx[0] ? ptx : "none is kept", here.message);
}
