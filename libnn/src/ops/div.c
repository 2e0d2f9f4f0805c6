/* SPDX-License-Identifier: MIT
 *
 * y = a/b with NumPy broadcasting; da = dy/b, db = -dy*a/b^2, summed where an element was repeated.
 */
#include "cuda/if_cuda.h"
#include "ops/elementwise.h"

const nn_op nn_op_div = {
    .abi = NN_OP_ABI,
    .name = "div",
    .inputs = 2,
    .reads = NN_IN(0) | NN_IN(1),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = nni_elementwise_infer,
    .forward = { nni_elementwise_forward, NNI_IF_CUDA(nni_cuda_elementwise_forward) },
    .backward = { nni_elementwise_backward, NNI_IF_CUDA(nni_cuda_elementwise_backward) },
};

nn_tensor *nn_div(nn_graph *g, nn_tensor *a, nn_tensor *b)
{
    return nn_apply(g, &nn_op_div, &(struct nni_formula){ .f = NNI_DIV }, (nn_tensor *[]){ a, b }, 2);
}
