/* SPDX-License-Identifier: MIT
 *
 * Squared error: l = (x - t)^2; dx = 2*(x - t), dt = -dx.
 */
#include "cuda/if_cuda.h"
#include "ops/loss.h"

const nn_op nn_op_mse = {
    .abi = NN_OP_ABI,
    .name = "mse",
    .inputs = 2,
    .reads = NN_IN(0) | NN_IN(1),
    .attrs_bytes = sizeof(struct nni_loss),
    .infer = nni_loss_infer,
    .forward = { nni_loss_forward, NNI_IF_CUDA(nni_cuda_loss_forward) },
    .backward = { nni_loss_backward, NNI_IF_CUDA(nni_cuda_loss_backward) },
};

nn_tensor *nn_mse(nn_graph *g, nn_tensor *x, nn_tensor *t, nn_reduction r)
{
    struct nni_loss loss = { { .f = NNI_SQUARED_ERROR }, r };

    return nn_apply(g, &nn_op_mse, &loss, (nn_tensor *[]){ x, t }, 2);
}
