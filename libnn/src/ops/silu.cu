/* SPDX-License-Identifier: MIT
 *
 * silu.c on the GPU, and with it relu, relu6 and sigmoid: which it is stands in the descriptor.
 */
#include "cuda/kernel.h"

namespace
{

template <class T> struct forwarder {
    const T *x;
    T *y;
    int act;

    __device__ void operator()(int64_t i) const
    {
        y[i] = static_cast<T>(nni_act(act, static_cast<float>(x[i])));
    }
};

template <class T> struct backwarder {
    const T *x, *dy;
    T *dx;
    int act;
    bool add;

    __device__ void operator()(int64_t i) const
    {
        nni_put(dx + i, add, static_cast<float>(dy[i]) * nni_act_grad(act, static_cast<float>(x[i])));
    }
};

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    return nni_map(stream, nn_shape_count(s->in[0].shape),
                   forwarder<T>{ nni_at<T>(&s->in[0]), nni_at<T>(&s->out[0]), s->op->activation });
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    return nni_map(stream, nn_shape_count(s->in[0].shape),
                   backwarder<T>{ nni_at<T>(&s->in[0]), nni_at<T>(&s->dout[0]), nni_at<T>(&s->din[0]),
                                  s->op->activation, nni_adds(s, 0) });
}

} // namespace

int nni_cuda_activation_forward(nn_step *s)
{
    s->launch = NNI_FOR_TYPE(forward_launch, s->in[0]);
    return NN_OK;
}

int nni_cuda_activation_backward(nn_step *s)
{
    s->launch = NNI_FOR_TYPE(backward_launch, s->in[0]);
    return NN_OK;
}
