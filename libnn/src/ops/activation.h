/* SPDX-License-Identifier: MIT
 *
 * What the ops share that are one activation and nothing else; silu.c has the code.
 */
#ifndef NNI_ACTIVATION_H
#define NNI_ACTIVATION_H

#include "cpu/cpu.h"

int nni_activation_infer(nn_node *node);
int nni_activation_forward(nn_step *step);
int nni_activation_backward(nn_step *step);

#endif
