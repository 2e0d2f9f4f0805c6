/* SPDX-License-Identifier: MIT
 *
 * ResNet: a stem, four stages of blocks whose input is added to their output, a linear layer on the
 * mean. Where a block changes the shape, a 1x1 convolution ("downsample") does the same to what is
 * added. The stride is in the 3x3 convolution, as in torchvision, not in the 1x1 before it as in the
 * paper.
 *
 * Source: He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016.
 */
#include "families.h"
#include <string.h>

static const nn_resnet_config configs[] = {
    { "resnet18", { 2, 2, 2, 2 }, 0, 224, 1000 },   { "resnet34", { 3, 4, 6, 3 }, 0, 224, 1000 },
    { "resnet50", { 3, 4, 6, 3 }, 1, 224, 1000 },   { "resnet101", { 3, 4, 23, 3 }, 1, 224, 1000 },
    { "resnet152", { 3, 8, 36, 3 }, 1, 224, 1000 },
};

enum { CONFIGS = sizeof configs / sizeof *configs };

/* A convolution and its batch norm, "conv<index>" and "bn<index>". */
static nn_tensor *conv_bn(nn_graph *g, int index, nn_tensor *x, nn_conv2d_opts conv)
{
    static const char *const conv_name[] = { "", "conv1", "conv2", "conv3" };
    static const char *const bn_name[] = { "", "bn1", "bn2", "bn3" };

    conv.init_fan_out = 1;
    x = nn_layer_conv2d(g, conv_name[index], x, conv);
    return nn_layer_batchnorm(g, bn_name[index], x, (nn_batchnorm_opts){ 0 });
}

static nn_tensor *block(nn_graph *g, const nn_resnet_config *c, nn_tensor *x, int64_t width, int64_t stride)
{
    int64_t out = c->bottleneck ? 4 * width : width;
    nn_conv2d_opts reduce = { .out = width, .k = 1 }, expand = { .out = out, .k = 1 };
    nn_conv2d_opts first = { .out = width, .k = 3, .stride = stride }, second = { .out = width, .k = 3 };
    nn_tensor *y;

    if (c->bottleneck) {
        y = nn_relu(g, conv_bn(g, 1, x, reduce));
        y = nn_relu(g, conv_bn(g, 2, y, first));
        y = conv_bn(g, 3, y, expand);
    } else {
        y = nn_relu(g, conv_bn(g, 1, x, first));
        y = conv_bn(g, 2, y, second);
    }
    if (stride != 1 || nn_dim(x, 3) != out) {
        expand.stride = stride;
        expand.init_fan_out = 1;
        x = nn_layer_conv2d_norm(g, "downsample", x, expand, (nn_batchnorm_opts){ 0 });
    }
    return nn_relu(g, nn_add(g, y, x));
}

nn_tensor *nn_resnet(nn_graph *g, nn_tensor *image, const nn_resnet_config *c)
{
    static const char *const stage[] = { "layer1", "layer2", "layer3", "layer4" };
    nn_tensor *x;

    if (!c)
        return nn_graph_fail(g, NN_EINVAL, "nn_resnet needs a configuration");
    x = conv_bn(g, 1, image, (nn_conv2d_opts){ .out = 64, .k = 7, .stride = 2 });
    x = nn_max_pool2d(g, nn_relu(g, x), (nn_pool_opts){ .k = 3, .stride = 2, .pad = 1 });
    for (int s = 0; s < 4; s++) {
        nn_push(g, stage[s]);
        for (int64_t i = 0; i < c->blocks[s]; i++) {
            nn_pushi(g, i);
            x = block(g, c, x, INT64_C(64) << s, s && !i ? 2 : 1);
            nn_pop(g);
        }
        nn_pop(g);
    }
    x = nn_flatten(g, nn_global_avg_pool(g, x));
    return nn_layer_linear(g, "fc", x, (nn_linear_opts){ .out = c->classes });
}

const nn_resnet_config *nn_resnet_at(int index)
{
    return index >= 0 && index < CONFIGS ? &configs[index] : NULL;
}

const nn_resnet_config *nn_resnet_find(const char *name)
{
    for (int i = 0; name && i < CONFIGS; i++)
        if (!strcmp(configs[i].name, name))
            return &configs[i];
    return NULL;
}
