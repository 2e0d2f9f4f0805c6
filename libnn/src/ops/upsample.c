/* SPDX-License-Identifier: MIT
 *
 * To another height and width, a separable map. Output o takes the input at
 *
 *     nearest                  floor(o*in/out)
 *     bilinear                 (o + 1/2)*in/out - 1/2, from below limited to 0
 *     bilinear, align_corners  o*(in - 1)/(out - 1)
 *
 * in the bilinear case as the mean of both neighbours, weighed by nearness.
 *
 * Derivative: dx gathers from the outputs that read the pixel, with the same weights.
 */
#include "cuda/if_cuda.h"
#include "ops/resample.h"

#include <nn/ops.h>

static struct nni_span span(const void *attrs, const struct nni_axis *axis, int64_t o)
{
    return nni_upsample_span(attrs, axis, o);
}

static double weight(const void *attrs, const struct nni_axis *axis, int64_t o, int64_t i)
{
    return nni_upsample_weight(attrs, axis, o, i);
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
    const nn_upsample_opts *o = n->attrs;

    if (o->align_corners && !o->bilinear)
        return nn_infer_fail(n, "align_corners is for bilinear interpolation");
    return nni_resample_infer(n, o->height, o->width);
}

const nn_op nn_op_upsample = {
    .abi = NN_OP_ABI,
    .name = "upsample",
    .inputs = 1,
    .attrs_bytes = sizeof(nn_upsample_opts),
    .infer = infer,
    .forward = { prepare, NNI_IF_CUDA(nni_cuda_upsample_forward) },
    .backward = { prepare, NNI_IF_CUDA(nni_cuda_upsample_backward) },
};

nn_tensor *nn_upsample(nn_graph *g, nn_tensor *x, nn_upsample_opts opts)
{
    return nn_apply(g, &nn_op_upsample, &opts, &x, 1);
}
