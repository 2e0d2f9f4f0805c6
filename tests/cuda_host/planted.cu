/* SPDX-License-Identifier: MIT
 *
 * One kernel that is right and five that are wrong in the ways kernels usually are: tests/cuda/test_shim.c
 * shows that the shim tells them apart. Each leaves in to[block] the sum of a block's share of `from`.
 */
#include "cuda/kernel.h"
#include "planted.h"

namespace
{

enum { THREADS = 64 };

__global__ void right(const float *from, float *to)
{
    float sum = 0;

    NNI_SHARED(float, all, THREADS);
    all[threadIdx.x] = from[blockIdx.x * THREADS + threadIdx.x];
    __syncthreads();
    for (int i = 0; i < THREADS; i++)
        sum += all[i];
    if (threadIdx.x == 0)
        to[blockIdx.x] = sum;
}

/* All threads write one place. */
__global__ void race(const float *from, float *to)
{
    to[blockIdx.x] = from[blockIdx.x * THREADS + threadIdx.x];
}

__global__ void missing_barrier(const float *from, float *to)
{
    float sum = 0;

    NNI_SHARED(float, all, THREADS);
    all[threadIdx.x] = from[blockIdx.x * THREADS + threadIdx.x];
    for (int i = 0; i < THREADS; i++)
        sum += all[i];
    if (threadIdx.x == THREADS - 1)
        to[blockIdx.x] = sum;
}

__global__ void out_of_bounds(const float *from, float *to)
{
    float sum = 0;

    for (int i = 0; i <= THREADS; i++)
        sum += from[blockIdx.x * THREADS + static_cast<unsigned>(i)];
    if (threadIdx.x == 0)
        to[blockIdx.x] = sum;
}

/* One element of shared memory is never written. */
__global__ void uninitialised(const float *from, float *to)
{
    float sum = 0;

    NNI_SHARED(float, all, THREADS);
    if (threadIdx.x > 0)
        all[threadIdx.x] = from[blockIdx.x * THREADS + threadIdx.x];
    __syncthreads();
    for (int i = 0; i < THREADS; i++)
        sum += all[i];
    if (threadIdx.x == 0)
        to[blockIdx.x] = sum;
}

/* A sum in the order in which threads come. */
__global__ void order_dependent(const float *from, float *to)
{
    if (threadIdx.x == 0)
        to[blockIdx.x] = 0;
    __syncthreads();
    (void)atomicAdd(to + blockIdx.x, from[blockIdx.x * THREADS + threadIdx.x]);
}

/* Half of the threads never come to the barrier. */
__global__ void divergent(const float *from, float *to)
{
    if (threadIdx.x >= THREADS / 2)
        return;
    __syncthreads();
    to[blockIdx.x] = from[blockIdx.x * THREADS];
}

} // namespace

int planted_launch(int which, const float *from, float *to, int blocks, void *stream)
{
    static void (*const kernels[PLANTED])(const float *, float *) = {
        right, race, missing_barrier, out_of_bounds, uninitialised, order_dependent, divergent
    };

    return nni_launch(stream, dim3(static_cast<unsigned>(blocks)), dim3(THREADS), kernels[which], from, to);
}
