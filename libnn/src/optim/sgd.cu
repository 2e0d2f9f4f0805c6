/* SPDX-License-Identifier: MIT
 *
 * sgd.c on the GPU.
 */
#include "cuda/update.h"
#include "optim/numbers.h"

namespace
{

struct sgd {
    double momentum, dampening, decay;
    bool nesterov;
    float factor, weight, rate, keep, fresh, ahead, now_part;

    __device__ void begin(const nni_cuda_range &range, const nn_scalars &now)
    {
        bool first = now.applied == 0;

        factor = static_cast<float>(now.grad_factor);
        weight = static_cast<float>(decay * range.decay_scale);
        rate = static_cast<float>(now.learning_rate * range.lr_scale);
        keep = static_cast<float>(first ? 0 : momentum);
        fresh = static_cast<float>(first ? 1 : 1 - dampening);
        ahead = static_cast<float>(nesterov ? momentum : 1);
        now_part = nesterov ? 1 : 0;
    }

    __device__ void element(const nni_cuda_range &range, int64_t i) const
    {
        float p = range.param[i], g = range.grad[i] * factor + weight * p, b = g;

        if (range.m1) {
            /* At the first update the buffer holds nothing. */
            b = (keep != 0 ? keep * range.m1[i] : 0) + fresh * g;
            range.m1[i] = b;
            b = now_part * g + ahead * b;
        }
        range.param[i] = p - rate * b;
    }
};

} // namespace

int nni_cuda_sgd(const nn_optim *o, const void *table, void *stream)
{
    sgd f = {};

    f.momentum = o->p[NNI_MOMENTUM];
    f.dampening = o->p[NNI_DAMPENING];
    f.nesterov = o->p[NNI_NESTEROV] != 0;
    f.decay = o->decay;
    return nni_update(table, stream, f);
}
