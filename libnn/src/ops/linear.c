/* SPDX-License-Identifier: MIT
 *
 * y = x w^T + b for rows x [N,I]. The arithmetic is that of conv1x1 without slots, so are the
 * functions; a descriptor of its own keeps profiles and messages in the user's words.
 */
#include "cuda/if_cuda.h"
#include "ops/product.h"

const nn_op nn_op_linear = {
    .abi = NN_OP_ABI,
    .name = "linear",
    .inputs = 2,
    .optional = NN_IN(2),
    .reads = NN_IN(0) | NN_IN(1),
    .infer = nni_product_infer,
    .forward = { nni_conv1x1_forward, NNI_IF_CUDA(nni_cuda_conv1x1_forward) },
    .backward = { nni_conv1x1_backward, NNI_IF_CUDA(nni_cuda_conv1x1_backward) },
};

nn_tensor *nn_linear(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias)
{
    nn_tensor *in[3] = { x, weight, bias };

    return nn_apply(g, &nn_op_linear, NULL, in, 3);
}
