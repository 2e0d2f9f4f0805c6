/* SPDX-License-Identifier: MIT
 *
 * y = exp(x - max) / sum(exp(x - max)) over the last dimension. Subtracting the largest element
 * changes nothing in exact arithmetic and keeps exp from overflowing; the sum is taken in double, piece by
 * piece.
 *
 * Derivative: dx = y * (dy - sum(dy*y)).
 */
#include "cuda/if_cuda.h"
#include "ops/rows.h"

#include <nn/ops.h>

const nn_op nn_op_softmax = {
    .abi = NN_OP_ABI,
    .name = "softmax",
    .inputs = 1,
    .reads = NN_OUT(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .attrs_bytes = sizeof(struct nni_row_op),
    .infer = nni_rows_infer,
    .forward = { nni_rows_forward, NNI_IF_CUDA(nni_cuda_softmax_forward) },
    .backward = { nni_rows_backward, NNI_IF_CUDA(nni_cuda_softmax_backward) },
};

nn_tensor *nn_softmax(nn_graph *g, nn_tensor *x)
{
    return nn_apply(g, &nn_op_softmax, &(struct nni_row_op){ 0 }, &x, 1);
}
