/* SPDX-License-Identifier: MIT
 *
 * The UPDATE segment on the GPU, as core/update.c has it: the gradient's norm, which also says whether every
 * gradient is finite, the optimizer, the averages, the counters. Nothing comes back to the host in between: a
 * skipped update is a flag that the later kernels read.
 */
#include "cuda/update.h"

namespace
{

/* Sum of squares of a range: threads in steps, then the threads in order. */
__global__ void __launch_bounds__(NNI_THREADS) norm_kernel(const nni_cuda_range *range, double *partial)
{
    const float *g = range[blockIdx.x].grad;
    int64_t count = range[blockIdx.x].count;
    double sum = 0;

    NNI_SHARED(double, all, NNI_THREADS);
    for (int64_t i = threadIdx.x; i < count; i += NNI_THREADS)
        sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
    all[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x)
        return;
    sum = 0;
    for (int i = 0; i < NNI_THREADS; i++)
        sum += all[i];
    partial[blockIdx.x] = sum;
}

struct judge {
    const double *partial;
    int64_t ranges;
    double clip;
    nn_scalars *now;

    __device__ void operator()(int64_t) const
    {
        double sum = 0;

        for (int64_t i = 0; i < ranges; i++)
            sum += partial[i];
        now->grad_norm = sqrt(sum);
        now->skip = !isfinite(sum);
        now->grad_factor = clip > 0 && now->grad_norm > clip ? clip / (now->grad_norm + 1e-6) : 1;
    }
};

/* Averages begin with the values before the first update that is applied. */
__global__ void __launch_bounds__(NNI_THREADS)
    average_kernel(const nni_cuda_average *list, const nn_scalars *now, bool begin)
{
    const nni_cuda_average a = list[blockIdx.x];
    const float *value = static_cast<const float *>(a.value);
    float *average = static_cast<float *>(a.average);
    float d = static_cast<float>(now->ema_decay), e = static_cast<float>(1 - now->ema_decay);

    if (now->skip || (begin && now->applied))
        return;
    if (begin || !a.real)
        for (int64_t i = threadIdx.x; i < a.bytes; i += NNI_THREADS)
            static_cast<char *>(a.average)[i] = static_cast<const char *>(a.value)[i];
    else
        for (int64_t i = threadIdx.x; i * static_cast<int64_t>(sizeof(float)) < a.bytes; i += NNI_THREADS)
            average[i] = d * average[i] + e * value[i];
}

int averages(const nni_cuda_update *u, bool begin, void *stream)
{
    return nni_launch(stream, dim3(static_cast<unsigned>(u->averages)), dim3(NNI_THREADS), average_kernel,
                      u->average, u->now, begin);
}

struct counter {
    nn_scalars *now;

    __device__ void operator()(int64_t) const
    {
        if (now->skip)
            now->skipped++;
        else
            now->applied++;
    }
};

} // namespace

int nni_cuda_update_launch(const struct nni_cuda_update *u, const nn_optim *optim, void *stream)
{
    int e = nni_launch(stream, dim3(static_cast<unsigned>(u->ranges)), dim3(NNI_THREADS), norm_kernel,
                       u->range, u->partial);

    if (!e)
        e = nni_map(stream, 1, judge{ u->partial, u->ranges, u->clip_norm, u->now });
    if (!e && u->average)
        e = averages(u, true, stream);
    if (!e)
        e = optim->launch(optim, u, stream);
    if (!e && u->average)
        e = averages(u, false, stream);
    return e ? e : nni_map(stream, 1, counter{ u->now });
}
