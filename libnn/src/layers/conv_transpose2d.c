/* SPDX-License-Identifier: MIT
 *
 * Transposed convolution with its parameters. The initialisers are those of conv2d.c, and torch takes the
 * weight for that of a convolution there, too: its fan_in counts the outputs, its fan_out the inputs.
 */
#include <math.h>
#include <nn/layers.h>

nn_tensor *nn_layer_conv_transpose2d(nn_graph *g, const char *name, nn_tensor *x,
                                     nn_conv_transpose2d_opts opts)
{
    int64_t in = nn_dim(x, -1), groups = opts.groups ? opts.groups : 1;
    double fan_in, fan_out, k = (double)opts.k;
    nn_init init, bias_init;
    nn_tensor *weight, *bias = NULL;

    if (!name || !x)
        return nn_graph_fail(g, NN_EINVAL, "nn_layer_conv_transpose2d needs a name and an input");
    if (opts.out < 1 || opts.k < 1 || groups < 1 || in % groups || opts.out % groups)
        return nn_graph_fail(
            g, NN_ESHAPE,
            "transposed convolution '%s': %lld groups do not divide %lld input and %lld output channels, "
            "or the kernel size %lld is not positive",
            name, (long long)groups, (long long)in, (long long)opts.out, (long long)opts.k);
    fan_in = (double)(opts.out / groups) * k * k;
    fan_out = (double)in * k * k;
    init = bias_init = (nn_init){ .kind = NN_INIT_UNIFORM, .a = 1 / sqrt(fan_in) };
    if (opts.init_fan_out) {
        init = (nn_init){ .kind = NN_INIT_NORMAL, .a = sqrt(2 / fan_out) };
        bias_init = (nn_init){ .kind = NN_INIT_ZERO };
    }

    nn_push(g, name);
    weight = nn_param(g, "weight", NN_SHAPE4(in, opts.out / groups, opts.k, opts.k), init);
    if (opts.bias)
        bias = nn_param(g, "bias", NN_SHAPE1(opts.out), bias_init);
    x = nn_conv_transpose2d(g, x, weight, bias,
                            (nn_conv_transpose_opts){ .stride = opts.stride,
                                                      .dilation = opts.dilation,
                                                      .groups = opts.groups,
                                                      .pad = opts.pad,
                                                      .output_pad = opts.output_pad });
    nn_pop(g);
    return x;
}
