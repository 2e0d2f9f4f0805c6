/* SPDX-License-Identifier: MIT
 *
 * y = exp(x), with dx = dy*y: backward needs the result only.
 */
#include "cuda/if_cuda.h"
#include "ops/unary.h"

const nn_op nn_op_exp = {
    .abi = NN_OP_ABI,
    .name = "exp",
    .inputs = 1,
    .reads = NN_OUT(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = nni_unary_infer,
    .forward = { nni_unary_forward, NNI_IF_CUDA(nni_cuda_unary_forward) },
    .backward = { nni_unary_backward, NNI_IF_CUDA(nni_cuda_unary_backward) },
};

nn_tensor *nn_exp(nn_graph *g, nn_tensor *x)
{
    return nn_apply(g, &nn_op_exp, &(struct nni_formula){ .f = NNI_EXP }, &x, 1);
}
