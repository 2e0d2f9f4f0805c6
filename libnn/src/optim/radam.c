/* SPDX-License-Identifier: MIT
 *
 * Rectified Adam. In the first updates the second moment rests on few gradients and its inverse
 * root has a large, even unbounded, variance: these updates are plain momentum, the later ones Adam's
 * times a factor that grows towards 1:
 *
 *     g = grad + decay*p,  m and v as in Adam
 *     rho_inf = 2/(1-beta2) - 1,  rho = rho_inf - 2*t*beta2^t/(1-beta2^t)
 *     rho > 5:  p -= rate * m/(1-beta1^t) * r * sqrt(1-beta2^t)/(sqrt(v) + eps),
 *               r = sqrt((rho-4)*(rho-2)*rho_inf / ((rho_inf-4)*(rho_inf-2)*rho))
 *     else      p -= rate * m/(1-beta1^t)
 *
 * eps is added before the correction of v here, unlike in Adam: torch's place for it again.
 *
 * Sources: Liu, Jiang, He, Chen, Liu, Gao, Han: "On the Variance of the Adaptive Learning Rate and
 * Beyond", ICLR 2020; torch.optim.RAdam (threshold 5, where the paper has 4).
 */
#include "cuda/if_cuda.h"
#include "optim.h"

#include <tgmath.h>

struct numbers {
    nn_real factor, decay, step, rest1, beta2, rest2, eps;
};

static inline void rectified(const struct numbers *k, nn_real *restrict param, const nn_real *restrict grad,
                             nn_real *restrict m1, nn_real *restrict m2, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        nn_real g = grad[i] * k->factor + k->decay * param[i];
        nn_real m = m1[i] + k->rest1 * (g - m1[i]);
        nn_real v = k->beta2 * m2[i] + k->rest2 * (g * g);

        m1[i] = m;
        m2[i] = v;
        param[i] -= k->step * m / (sqrt(v) + k->eps);
    }
}

static inline void early(const struct numbers *k, nn_real *restrict param, const nn_real *restrict grad,
                         nn_real *restrict m1, nn_real *restrict m2, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        nn_real g = grad[i] * k->factor + k->decay * param[i];
        nn_real m = m1[i] + k->rest1 * (g - m1[i]);

        m1[i] = m;
        m2[i] = k->beta2 * m2[i] + k->rest2 * (g * g);
        param[i] -= k->step * m;
    }
}

static void update(const nn_optim *self, const nn_update *u)
{
    double beta1 = self->p[NNI_BETA1], beta2 = self->p[NNI_BETA2], t = (double)u->t;
    double correction2 = 1 - pow(beta2, t), rho_inf = 2 / (1 - beta2) - 1;
    double rho = rho_inf - 2 * t * pow(beta2, t) / correction2;
    double step = u->learning_rate / (1 - pow(beta1, t));
    int adapt = rho > 5;
    struct numbers k = {
        .factor = (nn_real)u->grad_factor,
        .decay = (nn_real)u->decay,
        .rest1 = (nn_real)(1 - beta1),
        .beta2 = (nn_real)beta2,
        .rest2 = (nn_real)(1 - beta2),
        .eps = (nn_real)self->p[NNI_EPS],
    };
    int64_t i = 0;

    if (adapt)
        step *=
            sqrt(correction2) * sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
    k.step = (nn_real)step;
    if (adapt) {
        for (; i + NNI_UPDATE_BLOCK <= u->count; i += NNI_UPDATE_BLOCK)
            rectified(&k, u->param + i, u->grad + i, u->m1 + i, u->m2 + i, NNI_UPDATE_BLOCK);
        rectified(&k, u->param + i, u->grad + i, u->m1 + i, u->m2 + i, u->count - i);
    } else {
        for (; i + NNI_UPDATE_BLOCK <= u->count; i += NNI_UPDATE_BLOCK)
            early(&k, u->param + i, u->grad + i, u->m1 + i, u->m2 + i, NNI_UPDATE_BLOCK);
        early(&k, u->param + i, u->grad + i, u->m1 + i, u->m2 + i, u->count - i);
    }
}

nn_optim nn_radam(nn_adam_opts opts)
{
    return nni_adam_like("radam", opts, update, NNI_IF_CUDA(nni_cuda_radam));
}
