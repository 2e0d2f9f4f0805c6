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
#include "ops/resample.h"

#include <nn/ops.h>

/* Where output o lies between the inputs; the last of them has no right neighbour. */
static double source(const nn_upsample_opts *opts, const struct nni_axis *axis, int64_t o)
{
    double at;

    if (!opts->bilinear)
        return (double)(o * axis->in / axis->out);
    if (opts->align_corners)
        return axis->out > 1 ? (double)o * (double)(axis->in - 1) / (double)(axis->out - 1) : 0;
    at = ((double)o + 0.5) * (double)axis->in / (double)axis->out - 0.5;
    return at > 0 ? at : 0;
}

static struct nni_span span(const void *attrs, const struct nni_axis *axis, int64_t o)
{
    const nn_upsample_opts *opts = attrs;
    int64_t begin = (int64_t)source(opts, axis, o), end = begin + (opts->bilinear ? 2 : 1);

    return (struct nni_span){ begin, end < axis->in ? end : axis->in };
}

static double weight(const void *attrs, const struct nni_axis *axis, int64_t o, int64_t i)
{
    double at = source(attrs, axis, o), right = at - (double)(int64_t)at;

    if (i == (int64_t)at)
        return i + 1 < axis->in ? 1 - right : 1;
    return right;
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
    .forward = { prepare },
    .backward = { prepare },
};

nn_tensor *nn_upsample(nn_graph *g, nn_tensor *x, nn_upsample_opts opts)
{
    return nn_apply(g, &nn_op_upsample, &opts, &x, 1);
}
