/* SPDX-License-Identifier: MIT
 *
 * y = the smallest element over the chosen axes, -max(-x); equal ones share the gradient (see max.c).
 */
#include "cuda/if_cuda.h"
#include "ops/axes.h"

const nn_op nn_op_min = {
    .abi = NN_OP_ABI,
    .name = "min",
    .inputs = 1,
    .reads = NN_IN(0) | NN_OUT(0),
    .attrs_bytes = sizeof(struct nni_axes),
    .infer = nni_extreme_infer,
    .forward = { nni_extreme_forward, NNI_IF_CUDA(nni_cuda_max_forward) },
    .backward = { nni_extreme_backward, NNI_IF_CUDA(nni_cuda_max_backward) },
};

nn_tensor *nn_min(nn_graph *g, nn_tensor *x, nn_reduce_opts opts)
{
    return nn_apply(g, &nn_op_min, &(struct nni_axes){ .opts = opts, .sign = -1 }, &x, 1);
}
