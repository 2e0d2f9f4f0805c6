/* SPDX-License-Identifier: MIT
 *
 * See gradient.c.
 */
#ifndef NNI_GRADIENT_H
#define NNI_GRADIENT_H

#include <nn/op.h>

/* out[0] += in[0]. */
extern const nn_op nni_op_gradient_sum;
/* out[0] = the gradient of the loss itself. */
extern const nn_op nni_op_loss_seed;

#endif
