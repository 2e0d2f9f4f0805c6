/* SPDX-License-Identifier: MIT
 *
 * CUDA C++ as plain C++: what a kernel may name, and how it is launched. A kernel is a function; a launch
 * puts a closure into a stream. The threads of a block are run by shim.cpp one at a time.
 */
#ifndef SHIM_CUDA_RUNTIME_H
#define SHIM_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#include <functional>
#include <math.h>
#include <stdint.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(threads)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* Shared memory of the block: the same for all its threads, poisoned when the block begins. */
void *shim_shared(const char *file, int line, size_t bytes);
#define NNI_SHARED(type, name, count)                                                                        \
    type *name = static_cast<type *>(shim_shared(__FILE__, __LINE__, sizeof(type) * (count)))

void shim_barrier(const char *file, int line);
#define __syncthreads() shim_barrier(__FILE__, __LINE__)

static inline float atomicAdd(float *at, float x)
{
    float before = *at;

    *at = before + x;
    return before;
}

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};

/* `kernel`: which one it is. */
cudaError_t shim_launch(const cudaLaunchConfig_t *config, const void *kernel, const char *name,
                        std::function<void()> thread);

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...), A... args)
{
    static_assert((sizeof(P) + ... + 0) <= 4096, "more arguments than every driver passes");
    return shim_launch(config, reinterpret_cast<const void *>(kernel), __PRETTY_FUNCTION__,
                       [=] { kernel(args...); });
}

#endif
