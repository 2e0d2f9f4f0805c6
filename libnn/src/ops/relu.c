/* SPDX-License-Identifier: MIT
 *
 * Rectifier: y = max(x, 0); dx = dy where x > 0, else 0 (at 0 too, as in torch). A NaN stays one.
 */
#include "cuda/if_cuda.h"
#include "ops/activation.h"

const nn_op nn_op_relu = {
    .abi = NN_OP_ABI,
    .name = "relu",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP | NN_OP_FOLLOW,
    .narrow = NN_IN(0),
    .activation = NN_ACT_RELU,
    .infer = nni_activation_infer,
    .forward = { nni_activation_forward, NNI_IF_CUDA(nni_cuda_activation_forward) },
    .backward = { nni_activation_backward, NNI_IF_CUDA(nni_cuda_activation_backward) },
};

nn_tensor *nn_relu(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_relu, NULL, &x, 1); }
