/* SPDX-License-Identifier: MIT
 *
 * Convolution with its parameters. Initial weights follow the definitions that people compare with:
 * torch's layer draws weight and bias from U(-1,1)/sqrt(fan_in); torchvision's networks draw from
 * N(0, 2/fan_out) where fan_out is out*k*k, which torch does not divide by the number of groups, so
 * that neither do we.
 *
 * Source of the second: He, Zhang, Ren, Sun: "Delving Deep into Rectifiers", ICCV 2015.
 */
#include <math.h>
#include <nn/layers.h>

nn_tensor *nn_layer_conv2d(nn_graph *g, const char *name, nn_tensor *x, nn_conv2d_opts opts)
{
    int64_t in = nn_dim(x, -1), groups = opts.groups ? opts.groups : 1;
    double fan_in, fan_out;
    nn_init init, bias_init;
    nn_tensor *weight, *bias = NULL;

    if (!name || !x)
        return nn_graph_fail(g, NN_EINVAL, "nn_layer_conv2d needs a name and an input");
    if (opts.out < 1 || opts.k < 1 || groups < 1 || in % groups || opts.out % groups)
        return nn_graph_fail(
            g, NN_ESHAPE,
            "convolution '%s': %lld groups do not divide %lld input and %lld output channels, "
            "or the kernel size %lld is not positive",
            name, (long long)groups, (long long)in, (long long)opts.out, (long long)opts.k);
    fan_in = (double)(in / groups) * (double)opts.k * (double)opts.k;
    fan_out = (double)opts.out * (double)opts.k * (double)opts.k;
    init = bias_init = (nn_init){ .kind = NN_INIT_UNIFORM, .a = 1 / sqrt(fan_in) };
    if (opts.init_fan_out) {
        init = (nn_init){ .kind = NN_INIT_NORMAL, .a = sqrt(2 / fan_out) };
        bias_init = (nn_init){ .kind = NN_INIT_ZERO };
    }

    nn_push(g, name);
    weight = nn_param(g, "weight", NN_SHAPE4(opts.out, in / groups, opts.k, opts.k), init);
    if (opts.bias)
        bias = nn_param(g, "bias", NN_SHAPE1(opts.out), bias_init);
    x = nn_conv2d(g, x, weight, bias,
                  (nn_conv_opts){ .stride = opts.stride,
                                  .dilation = opts.dilation,
                                  .groups = opts.groups,
                                  .padding = opts.padding,
                                  .pad = opts.pad });
    nn_pop(g);
    return x;
}
