/* SPDX-License-Identifier: MIT
 *
 * adam.c, adamw.c and radam.c on the GPU. They differ in where the decay goes and in the step's length.
 */
#include "cuda/update.h"
#include "optim/numbers.h"

namespace
{

enum kind { ADAM, ADAMW, RADAM };

struct adam {
    enum kind kind;
    double beta1, beta2, eps, decay;
    /* Of one update: p = keep*p - step*m/(sqrt(v)*root + eps), or -step*m where RAdam does not adapt. */
    float factor, coupled, keep, step, rest1, beta, rest2, root, epsilon;
    bool adapts;

    __device__ void begin(const nni_cuda_range &range, const nn_scalars &now)
    {
        double t = static_cast<double>(now.applied + 1), rate = now.learning_rate * range.lr_scale;
        double weight = decay * range.decay_scale, correction = 1 - pow(beta2, t),
               length = rate / (1 - pow(beta1, t));

        adapts = true;
        root = static_cast<float>(1 / sqrt(correction));
        if (kind == RADAM) {
            double most = 2 / (1 - beta2) - 1, rho = most - 2 * t * pow(beta2, t) / correction;

            root = 1;
            adapts = rho > 5;
            if (adapts)
                length *=
                    sqrt(correction) * sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho));
        }
        factor = static_cast<float>(now.grad_factor);
        coupled = kind == ADAMW ? 0 : static_cast<float>(weight);
        keep = kind == ADAMW ? static_cast<float>(1 - rate * weight) : 1;
        step = static_cast<float>(length);
        rest1 = static_cast<float>(1 - beta1);
        beta = static_cast<float>(beta2);
        rest2 = static_cast<float>(1 - beta2);
        epsilon = static_cast<float>(eps);
    }

    __device__ void element(const nni_cuda_range &range, int64_t i) const
    {
        float p = range.param[i], g = range.grad[i] * factor + coupled * p;
        float m = range.m1[i] + rest1 * (g - range.m1[i]), v = beta * range.m2[i] + rest2 * (g * g);

        range.m1[i] = m;
        range.m2[i] = v;
        range.param[i] = keep * p - (adapts ? step * m / (sqrtf(v) * root + epsilon) : step * m);
    }
};

int launch(const nn_optim *o, const void *table, void *stream, enum kind kind)
{
    adam f = {};

    f.kind = kind;
    f.beta1 = o->p[NNI_BETA1];
    f.beta2 = o->p[NNI_BETA2];
    f.eps = o->p[NNI_EPS];
    f.decay = o->decay;
    return nni_update(table, stream, f);
}

} // namespace

int nni_cuda_adam(const nn_optim *o, const void *table, void *stream)
{
    return launch(o, table, stream, ADAM);
}
int nni_cuda_adamw(const nn_optim *o, const void *table, void *stream)
{
    return launch(o, table, stream, ADAMW);
}
int nni_cuda_radam(const nn_optim *o, const void *table, void *stream)
{
    return launch(o, table, stream, RADAM);
}
