/* SPDX-License-Identifier: MIT
 *
 * Rectifier with a ceiling: y = min(max(x, 0), 6); dx = dy where 0 < x < 6, else 0 (at the corners too,
 * as in torch). A NaN stays one. The ceiling keeps activations within what few bits can represent.
 *
 * Source: Howard et al.: "MobileNets", 2017.
 */
#include "cuda/if_cuda.h"
#include "ops/activation.h"

const nn_op nn_op_relu6 = {
    .abi = NN_OP_ABI,
    .name = "relu6",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP | NN_OP_FOLLOW,
    .narrow = NN_IN(0),
    .activation = NN_ACT_RELU6,
    .infer = nni_activation_infer,
    .forward = { nni_activation_forward, NNI_IF_CUDA(nni_cuda_activation_forward) },
    .backward = { nni_activation_backward, NNI_IF_CUDA(nni_cuda_activation_backward) },
};

nn_tensor *nn_relu6(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_relu6, NULL, &x, 1); }
