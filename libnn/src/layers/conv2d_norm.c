/* SPDX-License-Identifier: MIT
 *
 * A convolution and its batch norm, which networks of torchvision keep as "0" and "1" of one module; the
 * activation after them has no parameters and is the caller's.
 */
#include <nn/layers.h>

nn_tensor *nn_layer_conv2d_norm(nn_graph *g, const char *name, nn_tensor *x, nn_conv2d_opts conv,
                                nn_batchnorm_opts norm)
{
    nn_push(g, name);
    x = nn_layer_conv2d(g, "0", x, conv);
    x = nn_layer_batchnorm(g, "1", x, norm);
    nn_pop(g);
    return x;
}
