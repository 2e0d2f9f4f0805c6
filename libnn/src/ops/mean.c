/* SPDX-License-Identifier: MIT
 *
 * y = mean of all elements of x: the sum of sum.c, divided in double before it is rounded. The
 * mean of nothing is NaN.
 */
#include "cpu/cpu.h"
#include "ops/reduce.h"

#include <nn/ops.h>

static int forward(nn_step *s) { return nni_total_forward(s, nn_shape_count(s->in[0].shape)); }
static int backward(nn_step *s) { return nni_total_backward(s, nn_shape_count(s->din[0].shape)); }

const nn_op nn_op_mean = {
    .abi = NN_OP_ABI,
    .name = "mean",
    .inputs = 1,
    .infer = nni_total_infer,
    .forward = { forward },
    .backward = { backward },
};

nn_tensor *nn_mean(nn_graph *g, nn_tensor *x) { return nn_apply(g, &nn_op_mean, NULL, &x, 1); }
