/* SPDX-License-Identifier: MIT
 *
 * What nn_sum and nn_mean share: they differ in a divisor.
 */
#ifndef NNI_REDUCE_H
#define NNI_REDUCE_H

#include <nn/op.h>

/* Checks the input, declares the scalar. */
int nni_total_infer(nn_node *node);
/* Prepare functions of out[0] = sum(in[0])/divisor. */
int nni_total_forward(nn_step *s, int64_t divisor);
int nni_total_backward(nn_step *s, int64_t divisor);

#endif
