/* SPDX-License-Identifier: MIT
 *
 * y = exp(x - max) / sum(exp(x - max)) over the last dimension. Subtracting the largest element
 * changes nothing in exact arithmetic and keeps exp from overflowing; the sum is taken in double.
 *
 * Derivative: dx = y * (dy - sum(dy*y)).
 */
#include "cuda/if_cuda.h"
#include "ops/rows.h"

#include <nn/ops.h>

static void forward_row(const nn_step *s, nn_real *y, const nn_real *x, int64_t n)
{
    double sum = nni_rows_shift(s, y, x, n);

    nni_rows_exp(s, y, y, n);
    nni_rows_linear(s, y, y, n, 1 / sum, 0);
}

static void backward_row(const nn_step *s, nn_real *dx, const nn_real *y, const nn_real *dy, int64_t n,
                         bool add)
{
    double dot = 0;

    (void)s;
    for (int64_t i = 0; i < n; i++)
        dot += (double)y[i] * (double)dy[i];
    for (int64_t i = 0; i < n; i++) {
        nn_real d = (nn_real)((double)y[i] * ((double)dy[i] - dot));

        dx[i] = add ? dx[i] + d : d;
    }
}

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
    return nn_apply(g, &nn_op_softmax, &(struct nni_row_op){ forward_row, backward_row }, &x, 1);
}
