/* SPDX-License-Identifier: MIT
 *
 * Batch normalisation, put together from its parts. Where mean and variance come from is the only
 * difference between training and evaluation (or frozen batch norm, which is evaluation mode around
 * one layer), so the graph holds that difference and no kernel does. The running variance is
 * unbiased, the one that normalises a batch is not: torch's convention.
 *
 * Source: Ioffe, Szegedy: "Batch Normalization", ICML 2015.
 */
#include <nn/layers.h>

nn_tensor *nn_layer_batchnorm(nn_graph *g, const char *name, nn_tensor *x, nn_batchnorm_opts opts)
{
    int64_t channels = nn_dim(x, -1);
    nn_shape shape = NN_SHAPE1(channels);
    double eps = opts.eps != 0 ? opts.eps : 1e-5, momentum = opts.momentum != 0 ? opts.momentum : 0.1;
    nn_tensor *gamma, *beta, *mean, *variance, *batches;

    if (!name || !x)
        return nn_graph_fail(g, NN_EINVAL, "nn_layer_batchnorm needs a name and an input");
    nn_push(g, name);
    gamma = nn_param(g, "weight", shape, (nn_init){ .kind = NN_INIT_CONSTANT, .a = 1 });
    beta = nn_param(g, "bias", shape, (nn_init){ .kind = NN_INIT_ZERO });
    mean = nn_state(g, "running_mean", NN_REAL, shape, 0);
    variance = nn_state(g, "running_var", NN_REAL, shape, 1);
    batches = nn_state(g, "num_batches_tracked", NN_I64, NN_SHAPE0(), 0);
    if (nn_mode_of(g) == NN_TRAIN) {
        nn_tensor *running_mean = mean, *running_variance = variance;

        mean = variance = NULL;
        if (!nn_moments(g, x, &mean, &variance))
            nn_bn_track(g, mean, variance, running_mean, running_variance, batches, momentum,
                        nn_shape_count(nn_shape_get(x)) / (channels > 0 ? channels : 1));
    }
    x = nn_affine(g, x, mean, nn_bn_coeff(g, variance, gamma, eps), beta);
    nn_pop(g);
    return x;
}
