/* SPDX-License-Identifier: MIT
 *
 * For tests of whole networks: whether training reaches all of one.
 */
#ifndef ONE_STEP_H
#define ONE_STEP_H

#include <nn/nn.h>

/* One update of `plan`, whose inputs are an image of NN_REAL and the targets that are given, changes every
 * parameter of its model whose name contains `part`. The rate is 0.5; the loss stays below `most`. */
void one_step_changes(nn_plan *plan, nn_model *model, const int32_t *target, const char *part, double most);

#endif
