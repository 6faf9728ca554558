/* results.c - see results.h. A schedule has a dozen words and a mix may have
 * many, so a winner is two lines of a table and not one very long one. */
#include "results.h"

#include <math.h>
#include <string.h>

#include "layouts.h"

void sk_results_shape(const sk_db_shape *s, sk_text *out)
{
    sk_text_printf(out, "batch %u", s->batch);
    if (s->context) sk_text_printf(out, " context %u", s->context);
    if (s->q_heads == s->kv_heads)
        sk_text_printf(out, " heads %u", s->kv_heads);
    else
        sk_text_printf(out, " heads %u/%u", s->q_heads, s->kv_heads);
    if (s->q_len > 1) sk_text_printf(out, " queries %u", s->q_len);
    sk_text_printf(out, " threads %u", s->threads);
}

/* Whether layouts of pages were tried side by side. */
static bool layouts_differ(const sk_result *result, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (result[i].layout != result[0].layout) return true;
    return false;
}

static void table(const sk_result *result, uint32_t n, sk_text *out)
{
    const bool layouts = layouts_differ(result, n);
    sk_text_printf(out, "%10s %10s %8s %16s %7s %7s %9s %10s\n", "median us", "default us",
                   "speed-up", "[95 %]", "GB/s", "roofl.", "error", "trials");
    for (uint32_t i = 0; i < n; i++) {
        const sk_result *r = &result[i];
        sk_text_printf(out, "%s %s  ", r->kernel, r->tiers ? r->tiers : "");
        sk_results_shape(&r->shape, out);
        if (layouts) sk_text_printf(out, " layout %u", r->layout);
        if (!r->verified) {
            sk_text_printf(out, "\n  no verified result: %s\n", r->message);
            continue;
        }
        sk_text_printf(out, "\n  %s%s\n", r->schedule, r->stored_before ? "  (stored)" : "");
        sk_text_printf(out, "%10.2f %10.2f %7.3fx [%6.3f, %6.3f] %7.2f %7.3f %9.2g %6u/%u\n",
                       r->median_us, r->default_us, r->speedup.mid, r->speedup.lo, r->speedup.hi,
                       r->gbps, r->roofline, r->error, r->trials, r->failed);
    }
}

void sk_results_print(const sk_results *of, uint32_t devices, sk_text *out)
{
    for (uint32_t i = 0; i < devices; i++) {
        if (devices > 1) sk_text_printf(out, "%s, %s\n", of[i].device->name, of[i].device->arch);
        table(of[i].result, of[i].n, out);
        sk_layouts_print(of[i].result, of[i].n, out);
    }
}

/* The members of a shape, into an open object. */
static void shape_json(sk_json *j, const sk_db_shape *s)
{
    sk_json_u64(j, "batch", s->batch);
    sk_json_u64(j, "context", s->context);
    sk_json_u64(j, "kv_heads", s->kv_heads);
    sk_json_u64(j, "q_heads", s->q_heads);
    sk_json_u64(j, "q_len", s->q_len);
    sk_json_u64(j, "threads", s->threads);
}

void sk_results_device_json(sk_json *j, const sk_device *device)
{
    sk_db_device d = sk_device_record(device);
    sk_json_open(j, "device", '{');
    sk_json_text(j, "kind", d.kind);
    sk_json_text(j, "name", d.name);
    sk_json_text(j, "arch", d.arch);
    sk_json_text(j, "fingerprint", d.fingerprint);
    sk_json_close(j, '}');
}

static void ties_json(sk_json *j, const char *ties)
{
    sk_json_open(j, "ties", '[');
    while (ties && *ties) {
        size_t len = strcspn(ties, ";");
        sk_text one = {0};
        sk_text_append(&one, ties, len);
        sk_json_text(j, NULL, one.s ? one.s : "");
        sk_text_free(&one);
        ties += len;
        ties += *ties == ';';
    }
    sk_json_close(j, ']');
}

/* What an older record does not know is left out. */
static void risk_json(sk_json *j, const sk_result *r)
{
    if (isfinite(r->flip_risk)) sk_json_f64(j, "flip_risk", r->flip_risk);
    if (isfinite(r->noisy)) sk_json_f64(j, "noisy_rounds", r->noisy);
    if (isfinite(r->drift)) sk_json_f64(j, "drift", r->drift);
}

static void times_json(sk_json *j, const sk_result *r)
{
    sk_json_text(j, "schedule", r->schedule);
    sk_json_f64(j, "median_us", r->median_us);
    sk_json_f64(j, "default_us", r->default_us);
    sk_json_f64(j, "speedup", r->speedup.mid);
    sk_json_open(j, "speedup_ci", '[');
    sk_json_f64(j, NULL, r->speedup.lo);
    sk_json_f64(j, NULL, r->speedup.hi);
    sk_json_close(j, ']');
    ties_json(j, r->ties);
    risk_json(j, r);
    sk_json_f64(j, "bytes", r->bytes);
    sk_json_f64(j, "gbps", r->gbps);
    sk_json_f64(j, "bandwidth_gbps", r->bandwidth_gbps);
    sk_json_f64(j, "roofline", r->roofline);
    sk_json_f64(j, "max_rel_err", r->error);
}

static void device_json(const sk_result *result, uint32_t n, const sk_device *device, sk_json *j)
{
    sk_json_open(j, NULL, '{');
    sk_results_device_json(j, device);
    sk_json_open(j, "results", '[');
    for (uint32_t i = 0; i < n; i++) {
        const sk_result *r = &result[i];
        sk_json_open(j, NULL, '{');
        sk_json_text(j, "kernel", r->kernel);
        sk_json_text(j, "spec", r->spec);
        sk_json_text(j, "tiers", r->tiers);
        sk_json_open(j, "shape", '{');
        shape_json(j, &r->shape);
        sk_json_close(j, '}');
        sk_json_text(j, "accuracy", r->accuracy);
        sk_json_u64(j, "layout", r->layout);
        sk_json_bool(j, "verified", r->verified);
        if (r->verified)
            times_json(j, r);
        else
            sk_json_text(j, "message", r->message);
        sk_json_u64(j, "trials", r->trials);
        sk_json_u64(j, "failed", r->failed);
        sk_json_f64(j, "seconds", r->seconds);
        sk_json_close(j, '}');
    }
    sk_json_close(j, ']');
    sk_layouts_json(j, result, n);
    sk_json_close(j, '}');
}

void sk_results_json(const sk_results *of, uint32_t devices, sk_text *out)
{
    sk_json j = {0};
    if (devices > 1) sk_json_open(&j, NULL, '[');
    for (uint32_t i = 0; i < devices; i++)
        device_json(of[i].result, of[i].n, of[i].device, &j);
    if (devices > 1) sk_json_close(&j, ']');
    sk_text_append(&j.text, "\n", 1);
    *out = j.text;
}
