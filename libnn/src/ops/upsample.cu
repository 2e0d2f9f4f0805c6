/* SPDX-License-Identifier: MIT
 *
 * upsample.c on the GPU.
 */
#include "cuda/resample.h"

namespace
{

struct map {
    nn_upsample_opts opts;

    __host__ __device__ nni_span span(const nni_axis &axis, int64_t o) const
    {
        return nni_upsample_span(&opts, &axis, o);
    }
    __host__ __device__ double weight(const nni_axis &axis, int64_t o, int64_t i) const
    {
        return nni_upsample_weight(&opts, &axis, o, i);
    }
};

map map_of(const nn_step *s) { return { *static_cast<const nn_upsample_opts *>(s->attrs) }; }

int launch(const nn_step *s, void *stream) { return nni_resample(s, stream, map_of(s)); }

} // namespace

int nni_cuda_upsample_forward(nn_step *s) { return nni_resample_ready(s, map_of(s), launch); }
int nni_cuda_upsample_backward(nn_step *s) { return nni_resample_ready(s, map_of(s), launch); }
