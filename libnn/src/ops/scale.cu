/* SPDX-License-Identifier: MIT
 *
 * scale.c on the GPU.
 */
#include "cuda/kernel.h"
#include "ops/attrs.h"

namespace
{

template <class T> struct scaler {
    const T *x;
    T *y;
    float factor, shift;
    bool add;

    __device__ void operator()(int64_t i) const
    {
        nni_put(y + i, add, factor * static_cast<float>(x[i]) + shift);
    }
};

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    const nni_scale *a = static_cast<const nni_scale *>(s->attrs);

    return nni_map(stream, nn_shape_count(s->out[0].shape),
                   scaler<T>{ nni_at<T>(&s->in[0]), nni_at<T>(&s->out[0]), static_cast<float>(a->factor),
                              static_cast<float>(a->shift), false });
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    const nni_scale *a = static_cast<const nni_scale *>(s->attrs);

    return nni_map(stream, nn_shape_count(s->din[0].shape),
                   scaler<T>{ nni_at<T>(&s->dout[0]), nni_at<T>(&s->din[0]), static_cast<float>(a->factor), 0,
                              nni_adds(s, 0) });
}

} // namespace

int nni_cuda_scale_forward(nn_step *s)
{
    s->launch = NNI_FOR_TYPE(forward_launch, s->in[0]);
    return NN_OK;
}

int nni_cuda_scale_backward(nn_step *s)
{
    s->launch = NNI_FOR_TYPE(backward_launch, s->in[0]);
    return NN_OK;
}
