/* SPDX-License-Identifier: MIT
 *
 * bn_coeff.c on the GPU, in double as there.
 */
#include "cuda/kernel.h"
#include "ops/attrs.h"

namespace
{

enum { VARIANCE, GAMMA };

double eps_of(const nn_step *s) { return static_cast<const nni_bn_coeff *>(s->attrs)->eps; }

struct forwarder {
    const float *variance, *gamma;
    float *scale;
    double eps;

    __device__ void operator()(int64_t c) const
    {
        double g = gamma ? static_cast<double>(gamma[c]) : 1;

        scale[c] = static_cast<float>(g / sqrt(static_cast<double>(variance[c]) + eps));
    }
};

int forward_launch(const nn_step *s, void *stream)
{
    return nni_map(
        stream, nn_shape_count(s->out[0].shape),
        forwarder{ nni_at(&s->in[VARIANCE]), nni_at(&s->in[GAMMA]), nni_at(&s->out[0]), eps_of(s) });
}

struct backwarder {
    const float *variance, *gamma, *dscale;
    float *dvariance, *dgamma;
    double eps;
    bool add_variance, add_gamma;

    __device__ void operator()(int64_t c) const
    {
        double v = static_cast<double>(variance[c]) + eps, r = 1 / sqrt(v),
               d = static_cast<double>(dscale[c]);

        if (dvariance)
            nni_put(dvariance + c, add_variance,
                    -0.5 * d * (gamma ? static_cast<double>(gamma[c]) : 1) * r / v);
        if (dgamma)
            nni_put(dgamma + c, add_gamma, d * r);
    }
};

int backward_launch(const nn_step *s, void *stream)
{
    return nni_map(stream, nn_shape_count(s->dout[0].shape),
                   backwarder{ nni_at(&s->in[VARIANCE]), nni_at(&s->in[GAMMA]), nni_at(&s->dout[0]),
                               nni_at(&s->din[VARIANCE]), nni_at(&s->din[GAMMA]), eps_of(s),
                               nni_adds(s, VARIANCE), nni_adds(s, GAMMA) });
}

} // namespace

int nni_cuda_bn_coeff_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_bn_coeff_backward(nn_step *s)
{
    s->launch = backward_launch;
    return NN_OK;
}
