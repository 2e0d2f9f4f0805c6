/* SPDX-License-Identifier: MIT
 *
 * MBConv: a block that is wide inside and narrow outside, so that the sum which passes it by carries few
 * channels, and whose spatial filter sees each channel by itself, which makes the width cheap. Parts that are
 * absent (no widening, no squeeze-and-excite) leave no gap in the numbering, as in torchvision.
 *
 * Sources: Sandler et al.: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018; Tan, Le:
 * "EfficientNet", ICML 2019; stochastic depth: Huang et al., ECCV 2016.
 */
#include <nn/layers.h>

static nn_tensor *activation(nn_graph *g, nn_tensor *x, const nn_mbconv_opts *opts)
{
    return opts->relu6 ? nn_relu6(g, x) : nn_silu(g, x);
}

static nn_tensor *block(nn_graph *g, nn_tensor *x, const nn_mbconv_opts *opts)
{
    int64_t in = nn_dim(x, -1), mid = opts->expand ? in * opts->expand : in;
    nn_conv2d_opts expand = { .out = mid, .k = 1, .init_fan_out = 1 };
    nn_conv2d_opts filter = { .out = mid,
                              .k = opts->k,
                              .stride = opts->stride,
                              .groups = mid,
                              .padding = opts->padding,
                              .init_fan_out = 1 };
    nn_conv2d_opts project = { .out = opts->out, .k = 1, .init_fan_out = 1 };
    int n = 0;

    if (mid != in)
        x = activation(g, nn_layer_conv2d_norm(g, nn_namei(g, n++), x, expand, opts->norm), opts);
    x = activation(g, nn_layer_conv2d_norm(g, nn_namei(g, n++), x, filter, opts->norm), opts);
    if (opts->squeeze)
        x = nn_layer_squeeze_excite(g, nn_namei(g, n++), x, opts->squeeze);
    return nn_layer_conv2d_norm(g, nn_namei(g, n), x, project, opts->norm);
}

nn_tensor *nn_layer_mbconv(nn_graph *g, const char *name, nn_tensor *x, nn_mbconv_opts opts)
{
    nn_tensor *y;

    if (opts.expand < 0 || opts.expand > INT32_MAX || nn_dim(x, -1) > INT32_MAX || opts.stride < 0)
        return nn_graph_fail(g, NN_EINVAL, "nn_layer_mbconv: expand %lld or stride %lld is out of range",
                             (long long)opts.expand, (long long)opts.stride);
    nn_push(g, name);
    nn_push(g, "block");
    y = block(g, x, &opts);
    nn_pop(g);
    if (opts.stride <= 1 && nn_shape_equal(nn_shape_get(y), nn_shape_get(x))) {
        nn_push(g, "stochastic_depth");
        y = nn_drop_path(g, y, opts.drop_path);
        nn_pop(g);
        y = nn_add(g, y, x);
    }
    nn_pop(g);
    return y;
}
