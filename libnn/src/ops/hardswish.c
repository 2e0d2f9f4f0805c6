/* SPDX-License-Identifier: MIT
 *
 * Hard swish: y = x*min(max(x + 3, 0), 6)/6, SiLU in straight pieces:
 *
 *     dx = 0 where x <= -3, dy where x >= 3, dy*(x/3 + 1/2) between
 *
 * Source: Howard et al.: "Searching for MobileNetV3", 2019; torch.nn.Hardswish.
 */
#include "cuda/if_cuda.h"
#include "ops/unary.h"

const nn_op nn_op_hardswish = {
    .abi = NN_OP_ABI,
    .name = "hardswish",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = nni_unary_infer,
    .forward = { nni_unary_forward, NNI_IF_CUDA(nni_cuda_unary_forward) },
    .backward = { nni_unary_backward, NNI_IF_CUDA(nni_cuda_unary_backward) },
};

nn_tensor *nn_hardswish(nn_graph *g, nn_tensor *x)
{
    return nn_apply(g, &nn_op_hardswish, &(struct nni_formula){ .f = NNI_HARDSWISH }, &x, 1);
}
