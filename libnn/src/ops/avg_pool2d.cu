/* SPDX-License-Identifier: MIT
 *
 * avg_pool2d.c on the GPU.
 */
#include "cuda/resample.h"

namespace
{

struct map {
    nn_pool_opts opts;

    __host__ __device__ nni_span span(const nni_axis &axis, int64_t o) const
    {
        return nni_average_span(&opts, &axis, o);
    }
    __host__ __device__ double weight(const nni_axis &axis, int64_t o, int64_t) const
    {
        return nni_average_weight(&opts, &axis, o);
    }
};

map map_of(const nn_step *s) { return { *static_cast<const nn_pool_opts *>(s->attrs) }; }

int launch(const nn_step *s, void *stream) { return nni_resample(s, stream, map_of(s)); }

} // namespace

int nni_cuda_avg_pool2d_forward(nn_step *s) { return nni_resample_ready(s, map_of(s), launch); }
int nni_cuda_avg_pool2d_backward(nn_step *s) { return nni_resample_ready(s, map_of(s), launch); }
