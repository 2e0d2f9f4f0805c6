/* SPDX-License-Identifier: MIT
 *
 * What reductions over chosen dimensions share: which those are, and the map back from the result, which is
 * broadcast to the input's shape. nn_min is nn_max (max.c) of what is negated on the way in and out.
 */
#ifndef NNI_AXES_H
#define NNI_AXES_H

#include "ops/broadcast.h"

#include <nn/ops.h>

struct nni_axes {
    nn_reduce_opts opts;
    int64_t correction; /* variance */
    nn_real sign;       /* max: 1, min: -1 */
};

/* The shape of x with the reduced dimensions as 1; NN_AXIS bits that x does not have are ignored. */
nn_shape nni_axes_kept(nn_shape x, uint32_t axes);
/* Checks input and axes, declares the output. */
int nni_axes_infer(nn_node *node);
/* The reduction of x: operands are x, and the result twice. */
void nni_axes_reduction(const nn_step *s, struct nni_reduction *r);
/* For a backward tile over x: dx (+)= factor*dy*f'(x, result), with f's derivative by its first operand. */
int64_t nni_axes_back_tiles(const nn_step *s);
void nni_axes_back_tile(const nn_step *s, int64_t tile, const struct nni_formula *f, const nn_real *result,
                        const nn_real *dy, nn_real factor);

int nni_extreme_forward(nn_step *step);
int nni_extreme_backward(nn_step *step);

#endif
