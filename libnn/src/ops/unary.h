/* SPDX-License-Identifier: MIT
 *
 * What the ops of one operand share: each is a function of cpu/function.h, and its attributes are that
 * function's name and constants (struct nni_formula).
 */
#ifndef NNI_UNARY_H
#define NNI_UNARY_H

#include "cpu/cpu.h"

int nni_unary_infer(nn_node *node);
int nni_unary_forward(nn_step *step);
/* Of in[0], or of out[0] when `reads` says so. */
int nni_unary_backward(nn_step *step);

#endif
