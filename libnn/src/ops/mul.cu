/* SPDX-License-Identifier: MIT
 *
 * mul.c on the GPU.
 */
#include "cuda/elementwise.h"

namespace
{

enum { A, B };

struct product {
    __device__ float value(const float *v) const { return v[A] * v[B]; }
    __device__ void grad(const float *v, float *d) const
    {
        d[A] = v[B];
        d[B] = v[A];
    }
};

template <class T> int forward_launch(const nn_step *s, void *stream)
{
    return nni_elementwise_values<T>(s, stream, 2, product{});
}

template <class T> int backward_launch(const nn_step *s, void *stream)
{
    return nni_elementwise_grads<T>(s, stream, 2, product{});
}

} // namespace

int nni_cuda_mul_forward(nn_step *s)
{
    s->flops = static_cast<double>(nn_shape_count(s->out[0].shape));
    s->launch = NNI_FOR_TYPE(forward_launch, s->in[A]);
    return NN_OK;
}

int nni_cuda_mul_backward(nn_step *s)
{
    s->scratch_bytes = nni_elementwise_scratch(s, 2);
    s->flops = 2.0 * static_cast<double>(nn_shape_count(s->dout[0].shape)) *
               (nn_has(&s->din[A]) + nn_has(&s->din[B]));
    s->launch = NNI_FOR_TYPE(backward_launch, s->dout[0]);
    return NN_OK;
}
