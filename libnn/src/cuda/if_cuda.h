/* SPDX-License-Identifier: MIT
 *
 * What lets a table name a function of the CUDA backend in a build that has none: NNI_IF_CUDA(f) is f or
 * NULL. It stands in descriptors of ops, optimizers and backends and nowhere else, so no function needs to
 * know how the library was built.
 */
#ifndef NNI_IF_CUDA_H
#define NNI_IF_CUDA_H

#include "ops/list.h"

#include <nn/ops.h>
#include <nn/optim.h>

#ifdef NN_CUDA
#define NNI_IF_CUDA(f) f
#else
#define NNI_IF_CUDA(f) NULL
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Prepare functions of ops, ops/X.cu, and of what the schedule adds. Not every op has them all. */
#define X(name)                                                                                              \
    int nni_cuda_##name##_forward(nn_step *s);                                                               \
    int nni_cuda_##name##_backward(nn_step *s);
NNI_OP_LIST(X)
X(activation)
X(unary)
X(elementwise)
X(loss)
X(norm)
#undef X
int nni_cuda_gradient_sum_forward(nn_step *s);
int nni_cuda_loss_seed_forward(nn_step *s);

/* Optimizers, optim/X.cu; the table is a struct nni_cuda_update. */
int nni_cuda_sgd(const nn_optim *self, const void *table, void *stream);
int nni_cuda_adam(const nn_optim *self, const void *table, void *stream);
int nni_cuda_adamw(const nn_optim *self, const void *table, void *stream);
int nni_cuda_radam(const nn_optim *self, const void *table, void *stream);

int nni_cuda_open(nn_device *d, const char *name, const nn_device_options *options, nn_message *why);

#ifdef __cplusplus
}
#endif

#endif
