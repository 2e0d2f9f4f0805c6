/* SPDX-License-Identifier: MIT
 *
 * What the optimizers share. An update is one pass over its arrays and bound by memory traffic, so
 * baseline vector code saturates it and needs no table of kernels; as none of its operations are
 * contracted either, an update gives the same bits on every instruction set.
 */
#ifndef NNI_OPTIM_H
#define NNI_OPTIM_H

#include "optim/numbers.h"

#include <float.h>
#include <nn/optim.h>
#include <stdbool.h>

/* Elements that an update handles at a time. The count being constant lets the compiler make vector
 * code without a scalar twin at the level of optimisation that the library is built with. */
enum { NNI_UPDATE_BLOCK = 16 };

static inline double nni_rate(double rate) { return rate != 0 ? rate : 1e-3; }
static inline bool nni_from_zero(double x) { return x >= 0 && x <= DBL_MAX; }

static inline nn_optim nni_adam_like(const char *name, nn_adam_opts opts,
                                     void (*update)(const nn_optim *self, const nn_update *u),
                                     int (*launch)(const nn_optim *self, const void *table, void *stream))
{
    nn_optim o = { .name = name,
                   .moments = 2,
                   .update = update,
                   .launch = launch,
                   .rate = nni_rate(opts.rate),
                   .decay = opts.decay,
                   .p = { [NNI_BETA1] = opts.beta1 != 0 ? opts.beta1 : 0.9,
                          [NNI_BETA2] = opts.beta2 != 0 ? opts.beta2 : 0.999,
                          [NNI_EPS] = opts.eps != 0 ? opts.eps : 1e-8 } };

    if (!(opts.beta1 >= 0 && opts.beta1 < 1 && opts.beta2 >= 0 && opts.beta2 < 1))
        o.wrong = "beta1 and beta2 must be in [0,1)";
    else if (!nni_from_zero(opts.rate) || !nni_from_zero(opts.eps) || !nni_from_zero(opts.decay))
        o.wrong = "rate, eps and decay must be 0 or more";
    return o;
}

#endif
