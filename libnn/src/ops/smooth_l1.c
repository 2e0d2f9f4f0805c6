/* SPDX-License-Identifier: MIT
 *
 * Squared error near 0, absolute error beyond: with d = x - t
 *
 *     l = d^2/(2*beta) where |d| < beta, else |d| - beta/2
 *     dx = d/beta, but at least -1 and at most 1; dt = -dx
 *
 * With beta 0 it is the absolute error. The Huber loss is beta times this.
 *
 * Source: Girshick: "Fast R-CNN", 2015; torch.nn.SmoothL1Loss.
 */
#include "cuda/if_cuda.h"
#include "ops/loss.h"

const nn_op nn_op_smooth_l1 = {
    .abi = NN_OP_ABI,
    .name = "smooth_l1",
    .inputs = 2,
    .reads = NN_IN(0) | NN_IN(1),
    .attrs_bytes = sizeof(struct nni_loss),
    .infer = nni_loss_infer,
    .forward = { nni_loss_forward, NNI_IF_CUDA(nni_cuda_loss_forward) },
    .backward = { nni_loss_backward, NNI_IF_CUDA(nni_cuda_loss_backward) },
};

nn_tensor *nn_smooth_l1(nn_graph *g, nn_tensor *x, nn_tensor *t, double beta, nn_reduction r)
{
    struct nni_loss loss = { { .f = NNI_SMOOTH_ERROR, .k = { (nn_real)(1 / beta), (nn_real)beta } }, r };

    if (beta == 0)
        return nn_l1(g, x, t, r);
    if (!(beta > 0))
        return nn_graph_fail(g, NN_EINVAL, "smooth_l1: beta is %g; it must not be negative", beta);
    return nn_apply(g, &nn_op_smooth_l1, &loss, (nn_tensor *[]){ x, t }, 2);
}
