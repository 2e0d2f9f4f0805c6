/* SPDX-License-Identifier: MIT
 *
 * Squared error near 0, absolute error beyond: with d = x - t
 *
 *     l = d^2/2 where |d| < delta, else delta*(|d| - delta/2)
 *     dx = d, but at least -delta and at most delta; dt = -dx
 *
 * Source: Huber: "Robust estimation of a location parameter", 1964; torch.nn.HuberLoss.
 */
#include "cuda/if_cuda.h"
#include "ops/loss.h"

const nn_op nn_op_huber = {
    .abi = NN_OP_ABI,
    .name = "huber",
    .inputs = 2,
    .reads = NN_IN(0) | NN_IN(1),
    .attrs_bytes = sizeof(struct nni_loss),
    .infer = nni_loss_infer,
    .forward = { nni_loss_forward, NNI_IF_CUDA(nni_cuda_loss_forward) },
    .backward = { nni_loss_backward, NNI_IF_CUDA(nni_cuda_loss_backward) },
};

nn_tensor *nn_huber(nn_graph *g, nn_tensor *x, nn_tensor *t, double delta, nn_reduction r)
{
    struct nni_loss loss = { { .f = NNI_SMOOTH_ERROR, .k = { 1, (nn_real)delta } }, r };

    if (!(delta > 0))
        return nn_graph_fail(g, NN_EINVAL, "huber: delta is %g; it must be positive", delta);
    return nn_apply(g, &nn_op_huber, &loss, (nn_tensor *[]){ x, t }, 2);
}
