/* SPDX-License-Identifier: MIT
 *
 * The frame of optimizers on the GPU: one launch over the table of ranges. An optimizer is a functor with
 *
 *     void begin(const nni_cuda_range &range, const nn_scalars &now)    its numbers, in double, then rounded
 *     void element(const nni_cuda_range &range, int64_t i)
 *
 * Every thread makes the numbers anew, for some hundred elements each: they depend on what only the device
 * knows, how many updates were applied.
 */
#ifndef NNI_CUDA_UPDATE_H
#define NNI_CUDA_UPDATE_H

#include "cuda/kernel.h"

template <class F>
__global__ void __launch_bounds__(NNI_THREADS)
    nni_update_kernel(F f, const nni_cuda_range *table, const nn_scalars *now)
{
    const nni_cuda_range range = table[blockIdx.x];

    if (now->skip)
        return;
    f.begin(range, *now);
    for (int64_t i = threadIdx.x; i < range.count; i += NNI_THREADS)
        f.element(range, i);
}

template <class F> static inline int nni_update(const void *table, void *stream, F f)
{
    const nni_cuda_update *u = static_cast<const nni_cuda_update *>(table);

    return nni_launch(stream, dim3(static_cast<unsigned>(u->ranges)), dim3(NNI_THREADS), nni_update_kernel<F>,
                      f, u->range, u->now);
}

#endif
