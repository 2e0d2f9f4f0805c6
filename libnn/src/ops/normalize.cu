/* SPDX-License-Identifier: MIT
 *
 * normalize.c on the GPU, rounded once as there. Bytes need no table: memory is what is waited for.
 */
#include "cuda/kernel.h"
#include "ops/attrs.h"

namespace
{

struct normalizer {
    const uint8_t *bytes; /* or */
    const float *x;
    float *y;
    nni_normalize a;

    __device__ void operator()(int64_t i) const
    {
        double v = bytes ? static_cast<double>(bytes[i]) : static_cast<double>(x[i]);
        int c = static_cast<int>(i % 3);

        y[i] = static_cast<float>((v / a.maximum - a.mean[c]) / a.std[c]);
    }
};

int forward_launch(const nn_step *s, void *stream)
{
    bool bytes = s->in[0].type == NN_U8;
    normalizer f = { bytes ? static_cast<const uint8_t *>(s->in[0].at) : nullptr,
                     bytes ? nullptr : nni_at(&s->in[0]), nni_at(&s->out[0]),
                     *static_cast<const nni_normalize *>(s->attrs) };

    return nni_map(stream, nn_shape_count(s->out[0].shape), f);
}

struct backwarder {
    const float *dy;
    float *dx;
    nni_normalize a;
    bool add;

    __device__ void operator()(int64_t i) const
    {
        nni_put(dx + i, add, dy[i] * static_cast<float>(1 / (a.maximum * a.std[i % 3])));
    }
};

int backward_launch(const nn_step *s, void *stream)
{
    return nni_map(stream, nn_shape_count(s->din[0].shape),
                   backwarder{ nni_at(&s->dout[0]), nni_at(&s->din[0]),
                               *static_cast<const nni_normalize *>(s->attrs), nni_adds(s, 0) });
}

} // namespace

int nni_cuda_normalize_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_normalize_backward(nn_step *s)
{
    if (s->in[0].type == NN_U8)
        return NN_EUNSUPPORTED;
    s->launch = backward_launch;
    return NN_OK;
}
