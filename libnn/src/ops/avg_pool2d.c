/* SPDX-License-Identifier: MIT
 *
 * The mean of each window and channel: a separable map whose weights are 1/height and 1/width of the
 * window. Pixels of the padding count as zeros, or not at all with exclude_pad; what ceil_mode adds
 * beyond the padding never counts.
 *
 * Derivative: each pixel takes its share of dy from every window that covers it.
 */
#include "cuda/if_cuda.h"
#include "ops/pool.h"
#include "ops/resample.h"

static struct nni_span span(const void *attrs, const struct nni_axis *axis, int64_t o)
{
    return nni_average_span(attrs, axis, o);
}

static double weight(const void *attrs, const struct nni_axis *axis, int64_t o, int64_t i)
{
    (void)i;
    return nni_average_weight(attrs, axis, o);
}

static const struct nni_resampling map = { span, weight };

static void tables(const nn_step *s, int64_t tile, void *lane)
{
    (void)lane;
    nni_resample_tables(s, &map, tile);
}

static int prepare(nn_step *s) { return nni_resample_prepare(s, &map, tables); }

static int infer(nn_node *n)
{
    nn_shape y;
    int rc = nni_pooling_infer(n, &y);

    return rc ? rc : nni_resample_infer(n, y.dim[1], y.dim[2]);
}

const nn_op nn_op_avg_pool2d = {
    .abi = NN_OP_ABI,
    .name = "avg_pool2d",
    .inputs = 1,
    .attrs_bytes = sizeof(nn_pool_opts),
    .infer = infer,
    .forward = { prepare, NNI_IF_CUDA(nni_cuda_avg_pool2d_forward) },
    .backward = { prepare, NNI_IF_CUDA(nni_cuda_avg_pool2d_backward) },
};

nn_tensor *nn_avg_pool2d(nn_graph *g, nn_tensor *x, nn_pool_opts opts)
{
    return nn_apply(g, &nn_op_avg_pool2d, &opts, &x, 1);
}
