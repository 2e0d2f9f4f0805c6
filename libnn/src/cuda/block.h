/* SPDX-License-Identifier: MIT
 *
 * What the threads of a block find out together, for kernels that give a block to each row or set: a join
 * (fold.h) of one value of each, by a tree of fixed shape.
 */
#ifndef NNI_CUDA_BLOCK_H
#define NNI_CUDA_BLOCK_H

#include "cuda/fold.h"

/* All threads of the block call it and get the result. */
template <class J> static __device__ inline double nni_block_join(double value)
{
    unsigned t = threadIdx.x;

    NNI_SHARED(double, all, NNI_THREADS);
    __syncthreads(); /* nobody reads the result of the last join any more */
    all[t] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (t < half)
            all[t] = J::join(all[t], all[t + half]);
        __syncthreads();
    }
    return all[0];
}

/* A block's threads for `count` elements, a power of two; each has four of them or more. */
static inline dim3 nni_block_of(int64_t count)
{
    unsigned threads = 32;

    while (threads < NNI_THREADS && 4 * threads < count)
        threads *= 2;
    return dim3(threads);
}

#endif
