/* SPDX-License-Identifier: MIT
 *
 * y = a - b with NumPy broadcasting; da = dy, db = -dy, summed where an element was repeated.
 */
#include "cuda/if_cuda.h"
#include "ops/elementwise.h"

const nn_op nn_op_sub = {
    .abi = NN_OP_ABI,
    .name = "sub",
    .inputs = 2,
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = nni_elementwise_infer,
    .forward = { nni_elementwise_forward, NNI_IF_CUDA(nni_cuda_elementwise_forward) },
    .backward = { nni_elementwise_backward, NNI_IF_CUDA(nni_cuda_elementwise_backward) },
};

nn_tensor *nn_sub(nn_graph *g, nn_tensor *a, nn_tensor *b)
{
    return nn_apply(g, &nn_op_sub, &(struct nni_formula){ .f = NNI_SUB }, (nn_tensor *[]){ a, b }, 2);
}
