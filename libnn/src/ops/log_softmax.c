/* SPDX-License-Identifier: MIT
 *
 * y = x - max - log(sum(exp(x - max))) over the last dimension; the largest element is subtracted so
 * that exp cannot overflow, and what is small keeps its digits, which log(softmax(x)) would lose.
 *
 * Derivative: dx = dy - exp(y) * sum(dy).
 */
#include "cuda/if_cuda.h"
#include "ops/broadcast.h"
#include "ops/rows.h"

#include <nn/ops.h>

#include <math.h>

static void forward_row(const nn_step *s, nn_real *y, const nn_real *x, int64_t n)
{
    double sum = nni_rows_shift(s, y, x, n);

    nni_rows_linear(s, y, y, n, 1, -log(sum));
}

static void backward_row(const nn_step *s, nn_real *dx, const nn_real *y, const nn_real *dy, int64_t n,
                         bool add)
{
    enum { BLOCK = 512 };
    double sum = nni_sum(dy, n);
    nn_real p[BLOCK];

    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;

        nni_rows_exp(s, p, y + at, count);
        for (int64_t i = 0; i < count; i++) {
            nn_real d = (nn_real)((double)dy[at + i] - (double)p[i] * sum);

            dx[at + i] = add ? dx[at + i] + d : d;
        }
    }
}

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
    return nn_apply(g, &nn_op_log_softmax, &(struct nni_row_op){ forward_row, backward_row }, &x, 1);
}
