/* SPDX-License-Identifier: MIT
 *
 * What losses share that are a function of cpu/function.h of prediction, target and possibly a weight,
 * reduced to a number.
 */
#ifndef NNI_LOSS_H
#define NNI_LOSS_H

#include "cpu/cpu.h"
#include "ops/loss_attrs.h"

int nni_loss_infer(nn_node *node);
int nni_loss_forward(nn_step *step);
int nni_loss_backward(nn_step *step);

#endif
