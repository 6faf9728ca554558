/* device.h - the device a record is true for: identified once per context (or
 * tuner), handed to the database as text.
 *
 * The fingerprint is the silicon as this system shows it: vendor, family and
 * model, brand, instruction sets, caches, number of CPUs; of a GPU its name,
 * compute capability, multiprocessors, memories and clocks. A name alone would
 * take a small virtual machine for the big host that it runs on, or a part of a GPU
 * for the whole; a serial number would keep two cards of a kind from sharing
 * records: it is at hand for reports. The compiler is not in it, although it is part of what a trial is true for: a machine
 * without LLVM has to find the records that one with LLVM made. Trials carry
 * their compiler's version, and the generator's changes are caught by the hash
 * of the IR. */
#ifndef SK_DEVICE_H
#define SK_DEVICE_H

#include "cpu_target.h"
#include "cuda_context.h"
#include "db.h"

/* What a GPU says of itself beside its target. */
typedef struct sk_gpu_facts {
    uint32_t clock_mhz, memory_mhz, bus_bits, l2_bytes;
    uint64_t memory_bytes;
    bool mig;      /* an instance: a part of a GPU, with its own share of everything */
    int driver;    /* version of CUDA that it serves, 12040 = 12.4 */
    char uuid[48]; /* "GPU-xxxxxxxx-..." or "MIG-...": this one card, or instance */
} sk_gpu_facts;

/* May be copied; sk_device_record points into the one that it is given. */
typedef struct sk_device {
    sk_target target;      /* what code is generated for */
    sk_cpu_facts facts;    /* CPUs: who the CPU says it is */
    sk_gpu_facts gpu;      /* GPUs */
    char name[64];         /* for people: the brand, tidied */
    char arch[96];         /* what code must match */
    char place[16];        /* what another process opens it by: "cuda:1"; "" when that is not
                              known; of no record */
    char fingerprint[384]; /* canonical text, see above */
    char toolchain[96];    /* for people; "" until sk_device_set_compiler */
} sk_device;

/* This machine. Never fails: what is not known is generic. */
void sk_device_host(sk_device *out);
/* "cpu": this machine; "cpu:NAME": this machine with no more than the instructions of
 * that CPU ("cpu:x86-64-v3"), a device of its own: records for a fleet are made so, and
 * code for lesser CPUs tried. SPHKV_EINVAL for another word or an unknown name,
 * SPHKV_EDEVICE when this machine cannot run such code. */
sk_status sk_device_cpu(const char *name, sk_device *out, sk_err *err);

/* The GPU of this context. */
sk_status sk_device_cuda(const sk_cuda *cuda, sk_device *out, sk_err *err);

/* "sphkv 0.1.0, LLVM 19.1.7", of a GPU with its driver: "sphkv 0.1.0, NVRTC 13.0,
 * driver of CUDA 12.4"; compiler NULL: none is at hand. */
void sk_device_set_compiler(sk_device *device, const char *compiler);

/* The database's view; its texts live as long as *device stays in place. */
sk_db_device sk_device_record(const sk_device *device);

#endif
