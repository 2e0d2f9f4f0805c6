/* SPDX-License-Identifier: MIT
 *
 * Squeeze and excitation: each channel is multiplied by a gate in (0,1) computed from the mean of
 * all channels. Both maps are 1x1 convolutions with biases, as in torchvision, because that is how
 * their weights are stored.
 *
 * Source: Hu, Shen, Sun: "Squeeze-and-Excitation Networks", CVPR 2018.
 */
#include <nn/layers.h>

nn_tensor *nn_layer_squeeze_excite(nn_graph *g, const char *name, nn_tensor *x, int64_t squeeze)
{
    nn_conv2d_opts fc1 = { .out = squeeze, .k = 1, .bias = 1, .init_fan_out = 1 };
    nn_conv2d_opts fc2 = { .out = nn_dim(x, -1), .k = 1, .bias = 1, .init_fan_out = 1 };
    nn_tensor *gate;

    nn_push(g, name);
    gate = nn_global_avg_pool(g, x);
    gate = nn_silu(g, nn_layer_conv2d(g, "fc1", gate, fc1));
    gate = nn_sigmoid(g, nn_layer_conv2d(g, "fc2", gate, fc2));
    x = nn_mul(g, x, gate);
    nn_pop(g);
    return x;
}
