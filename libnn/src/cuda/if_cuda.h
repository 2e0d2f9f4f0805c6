/* SPDX-License-Identifier: MIT
 *
 * What lets a table name a function of the CUDA backend in a build that has none: NNI_IF_CUDA(f) is f or
 * NULL. It stands in descriptors of ops, optimizers and backends and nowhere else, so no function needs to
 * know how the library was built.
 */
#ifndef NNI_IF_CUDA_H
#define NNI_IF_CUDA_H

#include <nn/ops.h>

#ifdef NN_CUDA
#define NNI_IF_CUDA(f) f
#else
#define NNI_IF_CUDA(f) NULL
#endif

#ifdef __cplusplus
extern "C" {
#endif

int nni_cuda_open(nn_device *d, const char *name, const nn_device_options *options, nn_message *why);

#ifdef __cplusplus
}
#endif

#endif
