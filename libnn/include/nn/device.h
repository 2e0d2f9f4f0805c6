/* SPDX-License-Identifier: MIT
 *
 * A device: where tensors live and kernels run. It owns the threads. One thread at a time uses a device and
 * what was made on it; threads that work side by side open one each.
 */
#ifndef NN_DEVICE_H
#define NN_DEVICE_H

#include <nn/base.h>

NN_C_BEGIN

typedef struct nn_device nn_device;

typedef struct nn_device_options {
    int threads;      /* 0: one for each processor this process may use */
    const char *isa;  /* NULL: the best this processor has; else one of nn_device_isas() */
    nn_log_sink *log; /* told what was opened and compiled and which updates were skipped; may be NULL */
    void *payload;    /* first argument of `log` */
} nn_device_options;

/* Opens "cpu" or, in a build with the CUDA backend (make CUDA=1), "cuda" or "cuda:N", the N-th GPU. Results
 * are bit-identical for any number of threads, and differ in the last bits between instruction sets. Denormal
 * numbers count as zero. NN_EDEVICE: no such device here, or the processor lacks the instruction set asked
 * for. */
NN_API int nn_open(nn_device **out, const char *name, const nn_device_options *options, nn_message *why);
/* Frees the plans, graphs and models on the device that are left, and closes it. OpenBLAS is set to one
 * thread while any device is open and gets its count back with the last one. */
NN_API void nn_close(nn_device *device);

NN_API const char *nn_device_name(const nn_device *device);
NN_API const char *nn_device_isa(const nn_device *device);
NN_API int nn_device_threads(const nn_device *device);
/* The most of a GPU's own memory that was in use at a time; 0: the device works in the process' memory. */
NN_API size_t nn_device_peak_bytes(nn_device *device);
/* Comma-separated instruction sets that nn_open accepts on this machine, worst first. */
NN_API const char *nn_device_isas(void);

typedef struct nn_ceilings {
    double flops;     /* multiply-adds a second, counted as two operations */
    double bandwidth; /* bytes a second of a copy larger than the caches, read and written */
} nn_ceilings;
/* What all threads reach in loops that do nothing else, to compare a profile with, found out in tenths of a
 * second. NN_EUNSUPPORTED: the device is no CPU. */
NN_API int nn_device_ceilings(nn_device *device, nn_ceilings *out);

NN_C_END

#endif
