/* SPDX-License-Identifier: MIT
 *
 * y = log(x), the natural logarithm; dx = dy/x. Minus infinity at 0, NaN below.
 */
#include "cuda/if_cuda.h"
#include "ops/unary.h"

const nn_op nn_op_log = {
    .abi = NN_OP_ABI,
    .name = "log",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = nni_unary_infer,
    .forward = { nni_unary_forward, NNI_IF_CUDA(nni_cuda_unary_forward) },
    .backward = { nni_unary_backward, NNI_IF_CUDA(nni_cuda_unary_backward) },
};

nn_tensor *nn_log(nn_graph *g, nn_tensor *x)
{
    return nn_apply(g, &nn_op_log, &(struct nni_formula){ .f = NNI_LOG }, &x, 1);
}
