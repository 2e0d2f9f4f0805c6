/* SPDX-License-Identifier: MIT
 *
 * VGG: 3x3 convolutions, five times halved, and three linear layers that hold most of the
 * parameters. Modules without parameters count in the names: a stage is convolution, batch norm and
 * ReLU for each convolution, then the pooling.
 *
 * The first linear layer's weight is for features flattened channels first. It stays that way, so
 * that files are exchanged as they are; the features, a small tensor, are permuted instead.
 *
 * Source: Simonyan, Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition",
 * ICLR 2015; batch norm as torchvision adds it.
 */
#include "families.h"
#include <string.h>

static const nn_vgg_config configs[] = {
    { "vgg11_bn", { 1, 1, 2, 2, 2 }, 0.5, 224, 1000 },
    { "vgg13_bn", { 2, 2, 2, 2, 2 }, 0.5, 224, 1000 },
    { "vgg16_bn", { 2, 2, 3, 3, 3 }, 0.5, 224, 1000 },
    { "vgg19_bn", { 2, 2, 4, 4, 4 }, 0.5, 224, 1000 },
};

enum { CONFIGS = sizeof configs / sizeof *configs, SIDE = 7 /* of the features that the head takes */ };

static nn_tensor *features(nn_graph *g, nn_tensor *x, const nn_vgg_config *c)
{
    static const int64_t width[5] = { 64, 128, 256, 512, 512 };
    int index = 0;

    nn_push(g, "features");
    for (int s = 0; s < 5; s++) {
        for (int64_t i = 0; i < c->convs[s]; i++, index += 3) {
            nn_conv2d_opts conv = { .out = width[s], .k = 3, .bias = 1, .init_fan_out = 1 };

            x = nn_layer_conv2d(g, nn_namei(g, index), x, conv);
            x = nn_relu(g, nn_layer_batchnorm(g, nn_namei(g, index + 1), x, (nn_batchnorm_opts){ 0 }));
        }
        x = nn_max_pool2d(g, x, (nn_pool_opts){ .k = 2 });
        index++;
    }
    nn_pop(g);
    return x;
}

nn_tensor *nn_vgg(nn_graph *g, nn_tensor *image, const nn_vgg_config *c)
{
    static const int channels_first[] = { 0, 3, 1, 2 };
    nn_linear_opts hidden = { .out = 4096, .init_std = 0.01 }, last = { .init_std = 0.01 };
    nn_tensor *x;

    if (!c)
        return nn_graph_fail(g, NN_EINVAL, "nn_vgg needs a configuration");
    last.out = c->classes;
    x = features(g, image, c);
    if (nn_dim(x, 1) != SIDE || nn_dim(x, 2) != SIDE)
        x = nn_adaptive_avg_pool2d(g, x, SIDE, SIDE);
    x = nn_flatten(g, nn_permute(g, x, channels_first));
    nn_push(g, "classifier");
    for (int i = 0; i < 6; i += 3) {
        x = nn_relu(g, nn_layer_linear(g, nn_namei(g, i), x, hidden));
        nn_pushi(g, i + 2);
        x = nn_dropout(g, x, c->dropout);
        nn_pop(g);
    }
    x = nn_layer_linear(g, "6", x, last);
    nn_pop(g);
    return x;
}

const nn_vgg_config *nn_vgg_at(int index) { return index >= 0 && index < CONFIGS ? &configs[index] : NULL; }

const nn_vgg_config *nn_vgg_find(const char *name)
{
    for (int i = 0; name && i < CONFIGS; i++)
        if (!strcmp(configs[i].name, name))
            return &configs[i];
    return NULL;
}
