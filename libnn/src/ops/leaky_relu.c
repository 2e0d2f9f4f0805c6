/* SPDX-License-Identifier: MIT
 *
 * Leaky rectifier: y = x where x > 0, else slope*x; dx = dy there, else slope*dy (at 0 too, as in torch). A
 * NaN stays one.
 */
#include "cuda/if_cuda.h"
#include "ops/unary.h"

const nn_op nn_op_leaky_relu = {
    .abi = NN_OP_ABI,
    .name = "leaky_relu",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = nni_unary_infer,
    .forward = { nni_unary_forward, NNI_IF_CUDA(nni_cuda_unary_forward) },
    .backward = { nni_unary_backward, NNI_IF_CUDA(nni_cuda_unary_backward) },
};

nn_tensor *nn_leaky_relu(nn_graph *g, nn_tensor *x, double slope)
{
    struct nni_formula f = { .f = NNI_LEAKY_RELU, .k = { (nn_real)slope } };

    return nn_apply(g, &nn_op_leaky_relu, &f, &x, 1);
}
