/* SPDX-License-Identifier: MIT
 *
 * Optimizers as values: a descriptor with its numbers, given to nn_compile. Definitions are those of
 * torch.optim (which decay is coupled, bias corrections, RAdam's rectification), so results can be compared
 * step by step.
 */
#ifndef NN_OPTIM_H
#define NN_OPTIM_H

#include <nn/op.h>

NN_C_BEGIN

/* One parameter's share of an update. All pointers cover `count` elements. */
typedef struct nn_update {
    nn_real *param, *m1, *m2;                 /* NULL where the optimizer keeps fewer moments */
    const nn_real *grad;                      /* multiply by grad_factor */
    double grad_factor, learning_rate, decay; /* already times the segment's scales */
    int64_t count, t;                         /* t: number of this update among the applied ones, from 1 */
} nn_update;

typedef struct nn_optim nn_optim;
struct nn_optim {
    const char *name; /* NULL: no optimizer */
    int moments;      /* buffers it keeps: 0, 1 or 2 */
    void (*update)(const nn_optim *self, const nn_update *u);
    /* CUDA: enqueues the whole update, of the backend's own table; NULL: not there. */
    int (*launch)(const nn_optim *self, const void *table, void *stream);
    double rate; /* learning rate until nn_set says another */
    double decay;
    double p[6];       /* the optimizer's own numbers */
    const char *wrong; /* which of them make no sense, and nn_compile refuses them; NULL: all do */
};

typedef struct nn_sgd_opts {
    double rate; /* 0: 1e-3, as in torch */
    double momentum, dampening, decay;
    int nesterov;
} nn_sgd_opts;
typedef struct nn_adam_opts {
    double rate;              /* 0: 1e-3 */
    double beta1, beta2, eps; /* 0: 0.9, 0.999, 1e-8 */
    double decay;
} nn_adam_opts;

/* Betas are in [0,1), all other numbers 0 or more; Nesterov's momentum is not 0, without dampening. */
NN_API nn_optim nn_sgd(nn_sgd_opts opts);
NN_API nn_optim nn_adam(nn_adam_opts opts);  /* decay is added to the gradient */
NN_API nn_optim nn_adamw(nn_adam_opts opts); /* decay is decoupled; torch's default is 0.01 */
NN_API nn_optim nn_radam(nn_adam_opts opts); /* decay is added to the gradient, as in torch.optim.RAdam */

/* Learning rate of update k, counted from 0; NaN, which nn_set refuses, for what is negative or no number. */
NN_API double nn_warmup(int64_t k, double rate, int64_t warmup_steps); /* rate * min(k/warmup, 1) */
/* Cosine from `rate` to `final` over `total` updates; `final` beyond. */
NN_API double nn_cosine(int64_t k, double rate, double final, int64_t total);
/* rate * factor^(k / every). */
NN_API double nn_step_decay(int64_t k, double rate, double factor, int64_t every);
/* ReduceLROnPlateau: call once an epoch with the monitored value, lower being better. */
typedef struct nn_plateau {
    double factor, threshold; /* 0: 0.1 and 1e-4 (relative) */
    int64_t patience;
    double scale, best; /* state; scale multiplies the rate; start zeroed */
    int64_t bad;
    int started;
} nn_plateau;
NN_API double nn_plateau_next(nn_plateau *p, double value);

NN_C_END

#endif
