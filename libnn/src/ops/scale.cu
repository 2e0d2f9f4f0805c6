/* SPDX-License-Identifier: MIT
 *
 * scale.c on the GPU.
 */
#include "cuda/kernel.h"
#include "ops/attrs.h"

namespace
{

struct scaler {
    const float *x;
    float *y;
    float factor, shift;
    bool add;

    __device__ void operator()(int64_t i) const { nni_put(y + i, add, factor * x[i] + shift); }
};

int forward_launch(const nn_step *s, void *stream)
{
    const nni_scale *a = static_cast<const nni_scale *>(s->attrs);

    return nni_map(stream, nn_shape_count(s->out[0].shape),
                   scaler{ nni_at(&s->in[0]), nni_at(&s->out[0]), static_cast<float>(a->factor),
                           static_cast<float>(a->shift), false });
}

int backward_launch(const nn_step *s, void *stream)
{
    const nni_scale *a = static_cast<const nni_scale *>(s->attrs);

    return nni_map(
        stream, nn_shape_count(s->din[0].shape),
        scaler{ nni_at(&s->dout[0]), nni_at(&s->din[0]), static_cast<float>(a->factor), 0, nni_adds(s, 0) });
}

} // namespace

int nni_cuda_scale_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_scale_backward(nn_step *s)
{
    s->launch = backward_launch;
    return NN_OK;
}
