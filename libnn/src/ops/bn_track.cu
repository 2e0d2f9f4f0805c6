/* SPDX-License-Identifier: MIT
 *
 * bn_track.c on the GPU: one block, which looks at everything before it stores anything.
 */
#include "cuda/kernel.h"
#include "ops/attrs.h"

namespace
{

enum { MEAN, VARIANCE, RUNNING_MEAN, RUNNING_VARIANCE, BATCHES };

__global__ void __launch_bounds__(NNI_THREADS)
    track_kernel(const float *mean, const float *variance, float *running_mean, float *running_variance,
                 long long *batches, int64_t channels, nni_bn_track a)
{
    double m = a.momentum, unbias = static_cast<double>(a.count) / static_cast<double>(a.count - 1);
    int bad = 0;

    NNI_SHARED(int, all, NNI_THREADS);
    for (int64_t c = threadIdx.x; c < channels; c += NNI_THREADS)
        bad |= !isfinite(mean[c]) || !isfinite(variance[c]);
    all[threadIdx.x] = bad;
    __syncthreads();
    for (int i = 0; i < NNI_THREADS; i++)
        bad |= all[i];
    if (bad)
        return;
    for (int64_t c = threadIdx.x; c < channels; c += NNI_THREADS) {
        running_mean[c] = static_cast<float>((1 - m) * static_cast<double>(running_mean[c]) +
                                             m * static_cast<double>(mean[c]));
        running_variance[c] = static_cast<float>((1 - m) * static_cast<double>(running_variance[c]) +
                                                 m * unbias * static_cast<double>(variance[c]));
    }
    if (batches && threadIdx.x == 0)
        ++*batches;
}

int forward_launch(const nn_step *s, void *stream)
{
    long long *batches = nn_has(&s->in[BATCHES]) ? static_cast<long long *>(s->in[BATCHES].at) : nullptr;

    return nni_launch(stream, dim3(1), dim3(NNI_THREADS), track_kernel, nni_at(&s->in[MEAN]),
                      nni_at(&s->in[VARIANCE]), nni_at(&s->in[RUNNING_MEAN]),
                      nni_at(&s->in[RUNNING_VARIANCE]), batches, nn_shape_count(s->in[MEAN].shape),
                      *static_cast<const nni_bn_track *>(s->attrs));
}

} // namespace

int nni_cuda_bn_track_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}
