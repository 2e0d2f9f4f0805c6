/* SPDX-License-Identifier: MIT
 *
 * Layer norm and group norm with their parameters: they differ only in what is normalised together, and
 * neither knows of other samples, so that training and evaluation are alike.
 */
#include <nn/layers.h>

/* What follows a normalisation: "weight", ones, and "bias", zeros, one for each channel of x. */
struct affine {
    nn_tensor *gamma, *beta;
};

static struct affine declare(nn_graph *g, const nn_tensor *x)
{
    nn_shape shape = NN_SHAPE1(nn_dim(x, -1));
    struct affine a;

    a.gamma = nn_param(g, "weight", shape, (nn_init){ .kind = NN_INIT_CONSTANT, .a = 1 });
    a.beta = nn_param(g, "bias", shape, (nn_init){ .kind = NN_INIT_ZERO });
    return a;
}

static double eps_of(double eps) { return eps != 0 ? eps : 1e-5; }

nn_tensor *nn_layer_layernorm(nn_graph *g, const char *name, nn_tensor *x, double eps)
{
    struct affine a;

    if (!name || !x)
        return nn_graph_fail(g, NN_EINVAL, "nn_layer_layernorm needs a name and an input");
    nn_push(g, name);
    a = declare(g, x);
    x = nn_layer_norm(g, x, a.gamma, a.beta, eps_of(eps));
    nn_pop(g);
    return x;
}

nn_tensor *nn_layer_groupnorm(nn_graph *g, const char *name, nn_tensor *x, nn_group_norm_opts opts)
{
    struct affine a;

    if (!name || !x)
        return nn_graph_fail(g, NN_EINVAL, "nn_layer_groupnorm needs a name and an input");
    opts.eps = eps_of(opts.eps);
    nn_push(g, name);
    a = declare(g, x);
    x = nn_group_norm(g, x, a.gamma, a.beta, opts);
    nn_pop(g);
    return x;
}
