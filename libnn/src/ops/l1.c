/* SPDX-License-Identifier: MIT
 *
 * Absolute error: l = |x - t|; dx = 1 where x > t, -1 where x < t, 0 where they are equal; dt = -dx.
 */
#include "cuda/if_cuda.h"
#include "ops/loss.h"

const nn_op nn_op_l1 = {
    .abi = NN_OP_ABI,
    .name = "l1",
    .inputs = 2,
    .reads = NN_IN(0) | NN_IN(1),
    .attrs_bytes = sizeof(struct nni_loss),
    .infer = nni_loss_infer,
    .forward = { nni_loss_forward, NNI_IF_CUDA(nni_cuda_loss_forward) },
    .backward = { nni_loss_backward, NNI_IF_CUDA(nni_cuda_loss_backward) },
};

nn_tensor *nn_l1(nn_graph *g, nn_tensor *x, nn_tensor *t, nn_reduction r)
{
    struct nni_loss loss = { { .f = NNI_ABSOLUTE_ERROR }, r };

    return nn_apply(g, &nn_op_l1, &loss, (nn_tensor *[]){ x, t }, 2);
}
