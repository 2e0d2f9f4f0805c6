/* SPDX-License-Identifier: MIT
 *
 * What a test can ask of the shim: a "GPU" that is out to break programs.
 *
 *   - Threads of a block, and blocks, run in a chosen order. A correct kernel gives the same bits in each.
 *   - Shared and device memory begin poisoned, with a byte of the test's choice.
 *   - A thread that leaves while others wait at a barrier, or waits at another one, is an error.
 *   - Device memory ends at a page that cannot be touched, and can be touched by kernels only: when the host
 *     follows a device pointer it dies of it.
 *   - What is put into a stream runs as late as possible (when something waits for it), or at once.
 *   - What CUDA forbids while a stream records a graph is an error; so are kernels that were never launched
 *     before, which would be loaded then, and copies of the host's memory, which would be frozen.
 *   - So are grids, blocks, arguments and shared memory beyond what every GPU takes, and matrices or
 * workspaces that do not begin at the multiples that the libraries want.
 *
 * Errors stick, as in CUDA: each later call returns them until shim_reset.
 */
#ifndef SHIM_H
#define SHIM_H

#ifdef __cplusplus
extern "C" {
#endif

enum shim_order { SHIM_ASCENDING, SHIM_DESCENDING, SHIM_RANDOM };
struct shim_settings {
    int order; /* enum shim_order */
    int eager; /* streams run at once instead of when waited for */
    unsigned char poison;
    int devices;      /* how many there are; below 0: the driver is missing */
    int no_libraries; /* cuBLASLt and cuDNN are not found */
    int no_dnn;       /* cuDNN is not */
    int old;          /* the device is too old for the kernels */
};

/* From now on; the beginning is { SHIM_ASCENDING, 0, 0xff, 1, 0, 0, 0 }. */
void shim_set(struct shim_settings settings);
/* What went wrong; "" when nothing did. */
const char *shim_error(void);
void shim_reset(void);

int shim_blas(void), shim_dnn(void); /* which libraries are found */

/* Launches carried out so far: that a test really ran something. */
long shim_launches(void);

#ifdef __cplusplus
}
#endif

#endif
