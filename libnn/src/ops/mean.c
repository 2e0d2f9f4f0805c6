/* SPDX-License-Identifier: MIT
 *
 * y = mean of x over the chosen axes: the sum of sum.c, divided in double before it is rounded. The
 * mean of nothing is NaN.
 */
#include "cuda/if_cuda.h"
#include "ops/axes.h"

static int64_t count_of(const nn_step *s)
{
    return nni_axes_count(s->in[0].shape, ((const struct nni_axes *)s->attrs)->opts.axes);
}

static int forward(nn_step *s) { return nni_sum_forward(s, count_of(s)); }
static int backward(nn_step *s) { return nni_sum_backward(s, count_of(s)); }

const nn_op nn_op_mean = {
    .abi = NN_OP_ABI,
    .name = "mean",
    .inputs = 1,
    .attrs_bytes = sizeof(struct nni_axes),
    .infer = nni_axes_infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_mean_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_mean_backward) },
};

nn_tensor *nn_mean(nn_graph *g, nn_tensor *x, nn_reduce_opts opts)
{
    return nn_apply(g, &nn_op_mean, &(struct nni_axes){ .opts = opts }, &x, 1);
}
