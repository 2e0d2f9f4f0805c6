/* SPDX-License-Identifier: MIT
 *
 * The logistic function: y = 1/(1 + exp(-x)), with dx = dy * y*(1 - y). Backward computes y from x
 * again, so that fusion can move the op into a neighbour and y need not exist. For large negative x
 * exp(-x) is infinite and y is 0, as it should be.
 */
#include "cuda/if_cuda.h"
#include "ops/activation.h"

const nn_op nn_op_sigmoid = {
    .abi = NN_OP_ABI,
    .name = "sigmoid",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP | NN_OP_FOLLOW,
    .narrow = NN_IN(0),
    .activation = NN_ACT_SIGMOID,
    .infer = nni_activation_infer,
    .forward = { nni_activation_forward, NNI_IF_CUDA(nni_cuda_activation_forward) },
    .backward = { nni_activation_backward, NNI_IF_CUDA(nni_cuda_activation_backward) },
};

nn_tensor *nn_sigmoid(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_sigmoid, NULL, &x, 1); }
