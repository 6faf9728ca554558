/* device_option.c - see device_option.h. A GPU that is asked for and not there is said
 * before anything else is done: measuring on the CPU instead would answer another
 * question. */
#include "device_option.h"

#include <stdio.h>
#include <string.h>

#include "worker.h"

enum { ASK_COUNT, ASK_DEVICE };

/* Shared memory: what the worker answers. */
typedef struct answer {
    uint32_t status, count;
    char message[400];
    sk_device device;
} answer;

typedef struct probe {
    answer *answer;
    char place[16]; /* what to open */
    sk_worker worker;
} probe;

static bool named_cpu(const char *choice)
{
    return strcmp(choice, "cpu") == 0 || strncmp(choice, "cpu:", 4) == 0;
}

/* A name nobody knows is bad usage; what this machine cannot run is found later. */
static sk_status check_cpu(const char *choice, sk_err *err)
{
    sk_target target;
    return choice[3] ? sk_cpu_target_named(choice + 4, &target, err) : SPHKV_OK;
}

sk_status sk_device_option(sk_args *a, bool all, const char **choice, sk_err *err)
{
    sk_status st = sk_args_value(a, choice, err);
    if (st != SPHKV_OK || (all && strcmp(*choice, "all") == 0)) return st;
    if (named_cpu(*choice)) return check_cpu(*choice, err);
    if (sk_cuda_named(*choice, NULL)) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "--device: '%.60s' is neither cpu%s cuda:N%s", *choice,
                   all ? "," : " nor", all ? " nor all" : "");
}

/* ---- the worker ------------------------------------------------------------------- */

static sk_status count_gpus(uint32_t *count, sk_err *err)
{
    sk_cuda_driver driver;
    int n = 0;
    sk_status st = sk_cuda_driver_open(&driver, err);
    if (st == SPHKV_OK) st = sk_cuda_check(&driver, driver.device_count(&n), "counting GPUs", err);
    *count = n > 0 ? (uint32_t)n : 0;
    return st;
}

static sk_status ask_gpu(const char *place, sk_device *out, sk_err *err)
{
    sk_cuda *cuda = NULL;
    sk_status st = sk_cuda_open(place, &cuda, err);
    if (st == SPHKV_OK) st = sk_device_cuda(cuda, out, err);
    sk_cuda_release(cuda);
    return st;
}

static void serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS])
{
    const probe *p = user;
    answer *a = p->answer;
    char place[24];
    sk_err err = {0};
    sk_desk_enter(desk, SK_PHASE_LOAD, 0);
    snprintf(place, sizeof place, "cuda:%u", request[1]);
    a->status = request[0] == ASK_COUNT ? count_gpus(&a->count, &err)
                                        : ask_gpu(p->place[0] ? p->place : place, &a->device, &err);
    snprintf(a->message, sizeof a->message, "%.399s", err.message);
}

/* ---- the parent --------------------------------------------------------------------- */

static sk_status ask(probe *p, uint32_t what, uint32_t number, sk_err *err)
{
    const uint32_t request[SK_REQUEST_WORDS] = {what, number};
    sk_report report;
    char said[400];
    sk_worker_ask(&p->worker, request, NULL, NULL, &report);
    if (report.fate != SK_FATE_DONE) {
        (void)sk_report_outcome(&report, &p->worker.limits, said, sizeof said);
        return sk_fail(err, SPHKV_EDEVICE, "the CUDA driver: %s", said);
    }
    p->answer->message[sizeof p->answer->message - 1] = '\0';
    return p->answer->status == SPHKV_OK ? SPHKV_OK
                                         : sk_fail(err, p->answer->status, "%s", p->answer->message);
}

static sk_status add_gpu(probe *p, uint32_t number, sk_devices *out, sk_err *err)
{
    sk_device *device = &out->device[out->n];
    const sk_status st = ask(p, ASK_DEVICE, number, err);
    if (st != SPHKV_OK) return st;
    *device = p->answer->device;
    if (p->place[0])
        memcpy(device->place, p->place, sizeof device->place);
    else
        snprintf(device->place, sizeof device->place, "cuda:%u", number);
    out->n++;
    return SPHKV_OK;
}

/* One that cannot be had, too old or taken, leaves the others. */
static sk_status add_all(probe *p, sk_devices *out)
{
    const uint32_t count = ask(p, ASK_COUNT, 0, NULL) == SPHKV_OK ? p->answer->count : 0;
    for (uint32_t i = 0; i < count && out->n < SK_DEVICES_MOST; i++) (void)add_gpu(p, i, out, NULL);
    return SPHKV_OK;
}

sk_status sk_devices_find(const char *choice, sk_devices *out, sk_err *err)
{
    const bool all = choice && strcmp(choice, "all") == 0;
    const sk_limits limits = sk_limits_gpu();
    probe p = {0};
    sk_err why = {0};
    sk_status st = SPHKV_OK;
    out->n = 0;
    if (!choice || all || named_cpu(choice))
        st = sk_device_cpu(choice && !all ? choice : "cpu", &out->device[out->n++], err);
    if (out->n && !all) return st;
    if (!all) snprintf(p.place, sizeof p.place, "%.15s", choice);
    p.answer = sk_shared_alloc(sizeof *p.answer);
    if (!p.answer) return sk_fail(err, SPHKV_ENOMEM, "no shared memory");
    st = sk_worker_init(&p.worker, serve, &p, &limits, &why);
    if (st == SPHKV_OK) st = all ? add_all(&p, out) : add_gpu(&p, 0, out, &why);
    sk_worker_free(&p.worker);
    sk_shared_free(p.answer, sizeof *p.answer);
    if (st == SPHKV_OK || all) return st;
    return sk_fail(err, st == SPHKV_ENOMEM ? st : SPHKV_EDEVICE, "--device %.40s: %.400s", choice,
                   why.message);
}
