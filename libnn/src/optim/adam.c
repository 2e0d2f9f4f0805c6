/* SPDX-License-Identifier: MIT
 *
 * Adam, its weight decay being part of the gradient:
 *
 *     g = grad + decay*p
 *     m += (1-beta1)*(g - m),  v = beta2*v + (1-beta2)*g*g
 *     p -= rate/(1-beta1^t) * m / (sqrt(v)/sqrt(1-beta2^t) + eps)
 *
 * eps is added after the correction of v: torch's place for it, where its effect does not fade
 * with t. The corrections depend on t alone and are computed in double.
 *
 * Sources: Kingma, Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015; torch.optim.Adam.
 */
#include "cuda/if_cuda.h"
#include "optim.h"

#include <tgmath.h>

struct numbers {
    nn_real factor, decay, step, rest1, beta2, rest2, root2, eps;
};

static inline void block(const struct numbers *k, nn_real *restrict param, const nn_real *restrict grad,
                         nn_real *restrict m1, nn_real *restrict m2, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        nn_real g = grad[i] * k->factor + k->decay * param[i];
        nn_real m = m1[i] + k->rest1 * (g - m1[i]);
        nn_real v = k->beta2 * m2[i] + k->rest2 * (g * g);

        m1[i] = m;
        m2[i] = v;
        param[i] -= k->step * m / (sqrt(v) / k->root2 + k->eps);
    }
}

static void update(const nn_optim *self, const nn_update *u)
{
    double beta1 = self->p[NNI_BETA1], beta2 = self->p[NNI_BETA2], t = (double)u->t;
    struct numbers k = {
        .factor = (nn_real)u->grad_factor,
        .decay = (nn_real)u->decay,
        .step = (nn_real)(u->learning_rate / (1 - pow(beta1, t))),
        .rest1 = (nn_real)(1 - beta1),
        .beta2 = (nn_real)beta2,
        .rest2 = (nn_real)(1 - beta2),
        .root2 = (nn_real)sqrt(1 - pow(beta2, t)),
        .eps = (nn_real)self->p[NNI_EPS],
    };
    int64_t i = 0;

    for (; i + NNI_UPDATE_BLOCK <= u->count; i += NNI_UPDATE_BLOCK)
        block(&k, u->param + i, u->grad + i, u->m1 + i, u->m2 + i, NNI_UPDATE_BLOCK);
    block(&k, u->param + i, u->grad + i, u->m1 + i, u->m2 + i, u->count - i);
}

nn_optim nn_adam(nn_adam_opts opts)
{
    return nni_adam_like("adam", opts, update, NNI_IF_CUDA(nni_cuda_adam));
}
