/* SPDX-License-Identifier: MIT
 *
 * What max_pool2d and avg_pool2d share besides the windows of spans.h.
 */
#ifndef NNI_OPS_POOL_H
#define NNI_OPS_POOL_H

#include "ops/spans.h"

/* Checks input 0 [N,H,W,C] and the options of a node, and gives the shape of the result. */
int nni_pooling_infer(nn_node *node, nn_shape *out);

#endif
