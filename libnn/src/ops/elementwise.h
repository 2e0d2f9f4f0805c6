/* SPDX-License-Identifier: MIT
 *
 * What ops share that apply a function of cpu/function.h to two or three operands with NumPy broadcasting.
 * Their attributes are the function's name and constants (struct nni_formula); the descriptor's
 * `inputs` says how many operands there are.
 */
#ifndef NNI_ELEMENTWISE_H
#define NNI_ELEMENTWISE_H

#include "cpu/cpu.h"

int nni_elementwise_infer(nn_node *node);
int nni_elementwise_forward(nn_step *step);
int nni_elementwise_backward(nn_step *step);

#endif
