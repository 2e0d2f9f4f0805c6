/* SPDX-License-Identifier: MIT
 *
 * adaptive_avg_pool2d.c on the GPU.
 */
#include "cuda/resample.h"

namespace
{

struct map {
    __host__ __device__ nni_span span(const nni_axis &axis, int64_t o) const
    {
        return nni_adaptive_span(&axis, o);
    }
    __host__ __device__ double weight(const nni_axis &axis, int64_t o, int64_t) const
    {
        return nni_adaptive_weight(&axis, o);
    }
};

int launch(const nn_step *s, void *stream) { return nni_resample(s, stream, map{}); }

} // namespace

int nni_cuda_adaptive_avg_pool2d_forward(nn_step *s) { return nni_resample_ready(s, map{}, launch); }
int nni_cuda_adaptive_avg_pool2d_backward(nn_step *s) { return nni_resample_ready(s, map{}, launch); }
