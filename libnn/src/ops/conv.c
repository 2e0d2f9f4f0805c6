/* SPDX-License-Identifier: MIT
 *
 * Output sizes and padding of convolutions, after the definitions of PyTorch (symmetric padding,
 * floor) and TensorFlow (SAME: ceil(in/stride), the odd pixel after the image).
 */
#include "ops/conv.h"

#include "base/base.h"

static int64_t or_one(int64_t x) { return x ? x : 1; }

/* Padding before the image and output size along one axis. */
static int64_t axis(const nn_conv_opts *opts, int64_t in, int64_t k, int64_t *before)
{
    int64_t stride = or_one(opts->stride), extent = or_one(opts->dilation) * (k - 1) + 1, out, total;

    switch (opts->padding) {
    case NN_PAD_SAME:
        out = (in + stride - 1) / stride;
        total = (out - 1) * stride + extent - in;
        *before = total > 0 ? total / 2 : 0;
        return out;
    case NN_PAD_AUTO: *before = (extent - 1) / 2; break;
    case NN_PAD_EXPLICIT: *before = opts->pad; break;
    default: *before = 0; break;
    }
    total = in + 2 * *before - extent;
    return total < 0 ? 0 : total / stride + 1;
}

nni_conv_geometry nni_conv_of(const nn_conv_opts *opts, nn_shape x, nn_shape w)
{
    nni_conv_geometry g = { 0 };

    g.n = x.dim[0];
    g.h = x.dim[1];
    g.w = x.dim[2];
    g.c = x.dim[3];
    g.o = w.dim[0];
    g.kh = w.dim[2];
    g.kw = w.dim[3];
    g.stride = or_one(opts->stride);
    g.dilation = or_one(opts->dilation);
    g.groups = or_one(opts->groups);
    g.oh = axis(opts, g.h, g.kh, &g.pad_top);
    g.ow = axis(opts, g.w, g.kw, &g.pad_left);
    return g;
}

nni_conv_geometry nni_conv_transpose_of(const nn_conv_transpose_opts *opts, nn_shape x, nn_shape w)
{
    nni_conv_geometry g = { .n = x.dim[0],
                            .oh = x.dim[1],
                            .ow = x.dim[2],
                            .o = x.dim[3],
                            .kh = w.dim[2],
                            .kw = w.dim[3],
                            .stride = or_one(opts->stride),
                            .dilation = or_one(opts->dilation),
                            .pad_top = opts->pad,
                            .pad_left = opts->pad,
                            .groups = or_one(opts->groups) };

    g.c = w.dim[1] * g.groups;
    g.h = (g.oh - 1) * g.stride - 2 * opts->pad + g.dilation * (g.kh - 1) + opts->output_pad + 1;
    g.w = (g.ow - 1) * g.stride - 2 * opts->pad + g.dilation * (g.kw - 1) + opts->output_pad + 1;
    return g;
}

enum { MOST = 1 << 24 }; /* of any option or side: products of two stay far from overflow */

/* Ranks, sides and the options that both kinds have; `weight` says how a weight is laid out. */
static int check(nn_node *node, nn_shape x, nn_shape w, const char *weight, const int64_t option[4])
{
    static const char *const name[4] = { "stride", "dilation", "groups", "pad" };
    nni_text a, b;

    nni_shape_text(x, &a);
    nni_shape_text(w, &b);
    if (x.rank != 4)
        return nn_infer_fail(node, "the input must be [N,H,W,C], not %s", a.s);
    if (w.rank != 4)
        return nn_infer_fail(node, "the weight must be %s, not %s", weight, b.s);
    for (int i = 0; i < 4; i++) {
        if (x.dim[i] < 1 || x.dim[i] > MOST || w.dim[i] < 1 || w.dim[i] > MOST)
            return nn_infer_fail(node, "input %s with weight %s: every dimension must be in [1,%d]", a.s, b.s,
                                 MOST);
        if (option[i] < 0 || option[i] > MOST)
            return nn_infer_fail(node, "%s %lld must be in [0,%d]", name[i], (long long)option[i], MOST);
    }
    return NN_OK;
}

int nni_conv_infer(nn_node *node, const nn_conv_opts *opts, nn_shape x, nn_shape w, nni_conv_geometry *out)
{
    const int64_t option[4] = { opts->stride, opts->dilation, opts->groups, opts->pad };
    int64_t groups = or_one(opts->groups);
    int status = check(node, x, w, "[O,I/groups,kh,kw]", option);
    nni_text a, b;

    if (status)
        return status;
    nni_shape_text(x, &a);
    nni_shape_text(w, &b);
    if (opts->padding < NN_PAD_AUTO || opts->padding > NN_PAD_EXPLICIT)
        return nn_infer_fail(node, "unknown padding %d", (int)opts->padding);
    if (opts->pad && opts->padding != NN_PAD_EXPLICIT)
        return nn_infer_fail(node, "pad is %lld, which only NN_PAD_EXPLICIT uses", (long long)opts->pad);
    if (x.dim[3] % groups || w.dim[0] % groups)
        return nn_infer_fail(node, "%lld groups must divide both the %lld input and the %lld output channels",
                             (long long)groups, (long long)x.dim[3], (long long)w.dim[0]);
    if (w.dim[1] != x.dim[3] / groups)
        return nn_infer_fail(node, "input %s in %lld groups needs a weight of [O,%lld,kh,kw], not %s", a.s,
                             (long long)groups, (long long)(x.dim[3] / groups), b.s);
    *out = nni_conv_of(opts, x, w);
    if (out->oh < 1 || out->ow < 1)
        return nn_infer_fail(node, "the kernel of weight %s is larger than the padded input %s", b.s, a.s);
    return NN_OK;
}

int nni_conv_transpose_infer(nn_node *node, const nn_conv_transpose_opts *opts, nni_conv_geometry *out)
{
    const int64_t option[4] = { opts->stride, opts->dilation, opts->groups, opts->pad };
    nn_shape x = nn_shape_get(node->in[0]), w = nn_shape_get(node->in[1]);
    int64_t groups = or_one(opts->groups);
    int status = check(node, x, w, "[I,O/groups,kh,kw]", option);
    nni_text a, b;

    if (status)
        return status;
    nni_shape_text(x, &a);
    nni_shape_text(w, &b);
    if (w.dim[0] != x.dim[3])
        return nn_infer_fail(node, "input %s needs a weight of [%lld,O/groups,kh,kw], not %s", a.s,
                             (long long)x.dim[3], b.s);
    if (x.dim[3] % groups)
        return nn_infer_fail(node, "%lld groups must divide the %lld input channels", (long long)groups,
                             (long long)x.dim[3]);
    if (opts->output_pad && (opts->output_pad < 0 || (opts->output_pad >= or_one(opts->stride) &&
                                                      opts->output_pad >= or_one(opts->dilation))))
        return nn_infer_fail(node, "output_pad %lld must be less than the stride or the dilation",
                             (long long)opts->output_pad);
    *out = nni_conv_transpose_of(opts, x, w);
    if (out->h < 1 || out->w < 1 || out->h > MOST || out->w > MOST || out->c > MOST)
        return nn_infer_fail(node, "input %s with weight %s makes an image of %lld x %lld x %lld", a.s, b.s,
                             (long long)out->h, (long long)out->w, (long long)out->c);
    return NN_OK;
}
