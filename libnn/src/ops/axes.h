/* SPDX-License-Identifier: MIT
 *
 * What reductions over chosen dimensions share: which those are; sums and maxima of functions of x, tile by
 * tile, with a merge in the order of tiles; and the map back from the result, which is broadcast to the
 * input's shape. nn_mean is nn_sum (sum.c) divided by the count, nn_min is nn_max (max.c) of what is negated
 * on the way in and out.
 */
#ifndef NNI_AXES_H
#define NNI_AXES_H

#include "ops/axes_shape.h"
#include "ops/broadcast.h"

/* Checks input and axes, declares the output. */
int nni_axes_infer(nn_node *node);
/* The reduction of x: operands are x, and the result twice. */
void nni_axes_reduction(const nn_step *s, struct nni_reduction *r);

/* Phases of r.tiles and r.merge_tiles. The first leaves sums or maxima of f(x, result), or of x if f is NULL,
 * in scratch (r.bytes); the second writes the sums divided by something to `to`, or the maxima. */
void nni_axes_gather(const nn_step *s, int64_t tile, const struct nni_formula *f, const nn_real *result,
                     bool largest);
void nni_axes_sums(const nn_step *s, int64_t tile, nn_real *to, double divisor);
void nni_axes_largest(const nn_step *s, int64_t tile, nn_real *to);

/* A phase of nni_axes_back_tiles: dx (+)= factor*dy*f'(x, result), the derivative by x; dy and result as the
 * reduction's result. x may be absent where f' does not need it. */
int64_t nni_axes_back_tiles(const nn_step *s);
void nni_axes_back(const nn_step *s, int64_t tile, const struct nni_formula *f, const nn_real *result,
                   const nn_real *dy, double factor);

/* What two ops share. */
int nni_sum_forward(nn_step *s, int64_t divisor);
int nni_sum_backward(nn_step *s, int64_t divisor);
int nni_extreme_infer(nn_node *n);
int nni_extreme_forward(nn_step *s);
int nni_extreme_backward(nn_step *s);

#endif
