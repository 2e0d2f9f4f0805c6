/* SPDX-License-Identifier: MIT
 *
 * silu.c on the GPU, and with it relu, relu6 and sigmoid: which it is stands in the descriptor.
 */
#include "cuda/kernel.h"

namespace
{

struct forwarder {
    const float *x;
    float *y;
    int act;

    __device__ void operator()(int64_t i) const { y[i] = nni_act(act, x[i]); }
};

struct backwarder {
    const float *x, *dy;
    float *dx;
    int act;
    bool add;

    __device__ void operator()(int64_t i) const { nni_put(dx + i, add, dy[i] * nni_act_grad(act, x[i])); }
};

int forward_launch(const nn_step *s, void *stream)
{
    return nni_map(stream, nn_shape_count(s->in[0].shape),
                   forwarder{ nni_at(&s->in[0]), nni_at(&s->out[0]), s->op->activation });
}

int backward_launch(const nn_step *s, void *stream)
{
    return nni_map(stream, nn_shape_count(s->in[0].shape),
                   backwarder{ nni_at(&s->in[0]), nni_at(&s->dout[0]), nni_at(&s->din[0]), s->op->activation,
                               nni_adds(s, 0) });
}

} // namespace

int nni_cuda_activation_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_activation_backward(nn_step *s)
{
    s->launch = backward_launch;
    return NN_OK;
}
