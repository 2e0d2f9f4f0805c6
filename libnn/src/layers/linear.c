/* SPDX-License-Identifier: MIT
 *
 * Linear map with its parameters. torch's layer scales its first weights by the number of inputs,
 * the heads of torchvision's networks by the number of outputs, which suits ImageNet's thousand.
 */
#include <math.h>
#include <nn/layers.h>

nn_tensor *nn_layer_linear(nn_graph *g, const char *name, nn_tensor *x, nn_linear_opts opts)
{
    int64_t in = nn_dim(x, -1);
    nn_init init, bias_init = { .kind = NN_INIT_ZERO };
    nn_tensor *weight, *bias = NULL;

    if (!name || !x)
        return nn_graph_fail(g, NN_EINVAL, "nn_layer_linear needs a name and an input");
    if (opts.out < 1 || in < 1)
        return nn_graph_fail(g, NN_ESHAPE, "linear layer '%s': cannot map %lld inputs to %lld outputs", name,
                             (long long)in, (long long)opts.out);
    if (opts.init_std != 0)
        init = (nn_init){ .kind = NN_INIT_NORMAL, .a = opts.init_std };
    else if (opts.init_fan_out)
        init = (nn_init){ .kind = NN_INIT_UNIFORM, .a = 1 / sqrt((double)opts.out) };
    else
        init = bias_init = (nn_init){ .kind = NN_INIT_UNIFORM, .a = 1 / sqrt((double)in) };

    nn_push(g, name);
    weight = nn_param(g, "weight", NN_SHAPE2(opts.out, in), init);
    if (!opts.no_bias)
        bias = nn_param(g, "bias", NN_SHAPE1(opts.out), bias_init);
    x = nn_linear(g, x, weight, bias);
    nn_pop(g);
    return x;
}
