/* SPDX-License-Identifier: MIT
 *
 * y = x - max - log(sum(exp(x - max))) over the last dimension; the largest element is subtracted so
 * that exp cannot overflow, and what is small keeps its digits, which log(softmax(x)) would lose.
 *
 * Derivative: dx = dy - exp(y) * sum(dy).
 */
#include "cuda/if_cuda.h"
#include "ops/rows.h"

#include <nn/ops.h>

const nn_op nn_op_log_softmax = {
    .abi = NN_OP_ABI,
    .name = "log_softmax",
    .inputs = 1,
    .reads = NN_OUT(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .attrs_bytes = sizeof(struct nni_row_op),
    .infer = nni_rows_infer,
    .forward = { nni_rows_forward, NNI_IF_CUDA(nni_cuda_log_softmax_forward) },
    .backward = { nni_rows_backward, NNI_IF_CUDA(nni_cuda_log_softmax_backward) },
};

nn_tensor *nn_log_softmax(nn_graph *g, nn_tensor *x)
{
    return nn_apply(g, &nn_op_log_softmax, &(struct nni_row_op){ .logarithm = true }, &x, 1);
}
