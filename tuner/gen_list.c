/* gen_list.c - what sphkv-gen can make: kernels with their tunables on either back
 * end, and the targets that it knows by name. */
#include "gen.h"

#include <stdio.h>

#include "cpu_target.h"
#include "json.h"

static const char *const place[SK_BACKENDS] = {"CPU", "GPU"};

static void tunables_json(sk_json *j, const char *name, uint32_t kernel, uint32_t backend)
{
    sk_json_open(j, name, '[');
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        const sk_tunable_info *info = sk_tunable_get(t);
        if (!sk_tunable_tunes(t, kernel, backend))
            continue;
        sk_json_open(j, NULL, '{');
        sk_json_text(j, "name", info->name);
        sk_json_text(j, "values", info->values);
        sk_json_text(j, "meaning", info->doc);
        sk_json_close(j, '}');
    }
    sk_json_close(j, ']');
}

void sk_gen_list_json(sk_text *out)
{
    sk_json j = {0};
    sk_json_open(&j, NULL, '{');
    sk_json_open(&j, "kernels", '[');
    for (uint32_t k = 0; sk_kernel_name(k); k++) {
        const sk_kernel *kernel = sk_kernel_get(k);
        sk_json_open(&j, NULL, '{');
        sk_json_text(&j, "name", sk_kernel_name(k));
        if (kernel && kernel->form[SK_BACKEND_CPU])
            tunables_json(&j, "tunables", k, SK_BACKEND_CPU);
        if (kernel && kernel->form[SK_BACKEND_CUDA])
            tunables_json(&j, "gpu_tunables", k, SK_BACKEND_CUDA);
        sk_json_close(&j, '}');
    }
    sk_json_close(&j, ']');
    sk_json_open(&j, "cpus", '[');
    for (uint32_t i = 0; sk_cpu_target_name(i); i++)
        sk_json_text(&j, NULL, sk_cpu_target_name(i));
    sk_json_close(&j, ']');
    sk_json_open(&j, "gpus", '[');
    for (uint32_t i = 0; sk_target_cuda_known(i); i++) {
        char name[16];
        snprintf(name, sizeof name, "sm_%u", sk_target_cuda_known(i));
        sk_json_text(&j, NULL, name);
    }
    sk_json_close(&j, ']');
    sk_json_close(&j, '}');
    *out = j.text;
    sk_text_printf(out, "\n");
}

static void tunables_text(sk_text *out, uint32_t kernel, uint32_t backend)
{
    const sk_kernel *k = sk_kernel_get(kernel);
    if (!k || !k->form[backend])
        return;
    sk_text_printf(out, "%s on a %s\n", sk_kernel_name(kernel), place[backend]);
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        const sk_tunable_info *info = sk_tunable_get(t);
        if (sk_tunable_tunes(t, kernel, backend))
            sk_text_printf(out, "  %-10s %-18s %s\n", info->name, info->values, info->doc);
    }
}

void sk_gen_list_text(sk_text *out)
{
    sk_target host;
    char arch[96];
    for (uint32_t k = 0; sk_kernel_name(k); k++)
        for (uint32_t b = 0; b < SK_BACKENDS; b++)
            tunables_text(out, k, b);
    sk_cpu_target_host(&host);
    sk_cpu_arch_text(&host, arch);
    sk_text_printf(out, "CPUs (host is %s, %s)\n ", host.cpu, arch);
    for (uint32_t i = 0; sk_cpu_target_name(i); i++)
        sk_text_printf(out, " %s%s", i && i % 8 == 0 ? "\n  " : "", sk_cpu_target_name(i));
    sk_text_printf(out, "\nGPUs (from sm_90 on with an a behind it, too: for that one alone)\n ");
    for (uint32_t i = 0; sk_target_cuda_known(i); i++)
        sk_text_printf(out, " sm_%u", sk_target_cuda_known(i));
    sk_text_printf(out, "\n");
}
