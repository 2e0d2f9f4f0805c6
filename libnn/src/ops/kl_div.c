/* SPDX-License-Identifier: MIT
 *
 * Kullback-Leibler divergence of probabilities t from those whose logarithms x are:
 *
 *     l = t*(log(t) - x), which is 0 where t is 0;  dx = -t, dt = log(t) + 1 - x
 */
#include "cuda/if_cuda.h"
#include "ops/loss.h"

const nn_op nn_op_kl_div = {
    .abi = NN_OP_ABI,
    .name = "kl_div",
    .inputs = 2,
    .reads = NN_IN(0) | NN_IN(1),
    .attrs_bytes = sizeof(struct nni_loss),
    .infer = nni_loss_infer,
    .forward = { nni_loss_forward, NNI_IF_CUDA(nni_cuda_loss_forward) },
    .backward = { nni_loss_backward, NNI_IF_CUDA(nni_cuda_loss_backward) },
};

nn_tensor *nn_kl_div(nn_graph *g, nn_tensor *x, nn_tensor *t, nn_reduction r)
{
    struct nni_loss loss = { { .f = NNI_DIVERGENCE }, r };

    return nn_apply(g, &nn_op_kl_div, &loss, (nn_tensor *[]){ x, t }, 2);
}
