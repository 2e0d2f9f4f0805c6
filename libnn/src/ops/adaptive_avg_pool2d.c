/* SPDX-License-Identifier: MIT
 *
 * The mean over windows that divide the image into a given number of rows and columns, so that a
 * network's head sees one size whatever the image's: output o of n covers the inputs from
 * floor(o*in/n) to ceil((o+1)*in/n), which overlap where n does not divide and repeat pixels where
 * there are fewer of them.
 *
 * Derivative: as of avg_pool2d.
 */
#include "cuda/if_cuda.h"
#include "ops/resample.h"

#include <nn/ops.h>

struct attrs {
    int64_t height, width;
};

static struct nni_span span(const void *attrs, const struct nni_axis *axis, int64_t o)
{
    (void)attrs;
    return nni_adaptive_span(axis, o);
}

static double weight(const void *attrs, const struct nni_axis *axis, int64_t o, int64_t i)
{
    (void)attrs;
    (void)i;
    return nni_adaptive_weight(axis, o);
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
    const struct attrs *a = n->attrs;

    return nni_resample_infer(n, a->height, a->width);
}

const nn_op nn_op_adaptive_avg_pool2d = {
    .abi = NN_OP_ABI,
    .name = "adaptive_avg_pool2d",
    .inputs = 1,
    .attrs_bytes = sizeof(struct attrs),
    .infer = infer,
    .forward = { prepare, NNI_IF_CUDA(nni_cuda_adaptive_avg_pool2d_forward) },
    .backward = { prepare, NNI_IF_CUDA(nni_cuda_adaptive_avg_pool2d_backward) },
};

nn_tensor *nn_adaptive_avg_pool2d(nn_graph *g, nn_tensor *x, int64_t height, int64_t width)
{
    struct attrs a = { height, width };

    return nn_apply(g, &nn_op_adaptive_avg_pool2d, &a, &x, 1);
}
