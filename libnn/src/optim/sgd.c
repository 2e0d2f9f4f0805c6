/* SPDX-License-Identifier: MIT
 *
 * Stochastic gradient descent with momentum:
 *
 *     g = grad + decay*p
 *     b = momentum*b + (1-dampening)*g, at the first update b = g
 *     p -= rate*b, with Nesterov's look-ahead p -= rate*(g + momentum*b)
 *
 * The first update is special because torch's is: a zero buffer would apply the dampening to it.
 *
 * Sources: torch.optim.SGD; Sutskever, Martens, Dahl, Hinton: "On the importance of initialization
 * and momentum in deep learning", ICML 2013.
 */
#include "cuda/if_cuda.h"
#include "optim.h"

struct numbers {
    nn_real factor, decay, rate, keep, fresh, ahead, now;
};

static inline void plain(const struct numbers *k, nn_real *restrict param, const nn_real *restrict grad,
                         int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        param[i] -= k->rate * (grad[i] * k->factor + k->decay * param[i]);
}

static inline void heavy(const struct numbers *k, nn_real *restrict param, const nn_real *restrict grad,
                         nn_real *restrict buffer, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        nn_real g = grad[i] * k->factor + k->decay * param[i];
        nn_real b = k->keep * buffer[i] + k->fresh * g;

        buffer[i] = b;
        param[i] -= k->rate * (k->now * g + k->ahead * b);
    }
}

static void update(const nn_optim *self, const nn_update *u)
{
    double momentum = self->p[NNI_MOMENTUM];
    int first = u->t <= 1, nesterov = self->p[NNI_NESTEROV] != 0;
    struct numbers k = {
        .factor = (nn_real)u->grad_factor,
        .decay = (nn_real)u->decay,
        .rate = (nn_real)u->learning_rate,
        .keep = (nn_real)(first ? 0 : momentum),
        .fresh = (nn_real)(first ? 1 : 1 - self->p[NNI_DAMPENING]),
        .ahead = (nn_real)(nesterov ? momentum : 1),
        .now = (nn_real)(nesterov ? 1 : 0),
    };
    int64_t i = 0;

    if (self->moments == 0) {
        for (; i + NNI_UPDATE_BLOCK <= u->count; i += NNI_UPDATE_BLOCK)
            plain(&k, u->param + i, u->grad + i, NNI_UPDATE_BLOCK);
        plain(&k, u->param + i, u->grad + i, u->count - i);
    } else {
        for (; i + NNI_UPDATE_BLOCK <= u->count; i += NNI_UPDATE_BLOCK)
            heavy(&k, u->param + i, u->grad + i, u->m1 + i, NNI_UPDATE_BLOCK);
        heavy(&k, u->param + i, u->grad + i, u->m1 + i, u->count - i);
    }
}

nn_optim nn_sgd(nn_sgd_opts opts)
{
    nn_optim o = { .name = "sgd",
                   .moments = opts.momentum != 0,
                   .update = update,
                   .launch = NNI_IF_CUDA(nni_cuda_sgd),
                   .rate = nni_rate(opts.rate),
                   .decay = opts.decay,
                   .p = { [NNI_MOMENTUM] = opts.momentum,
                          [NNI_DAMPENING] = opts.dampening,
                          [NNI_NESTEROV] = opts.nesterov } };

    if (!nni_from_zero(opts.rate) || !nni_from_zero(opts.momentum) || !nni_from_zero(opts.dampening) ||
        !nni_from_zero(opts.decay))
        o.wrong = "rate, momentum, dampening and decay must be 0 or more";
    else if (opts.nesterov && (opts.momentum == 0 || opts.dampening != 0))
        o.wrong = "Nesterov's look-ahead needs a momentum and no dampening";
    return o;
}
