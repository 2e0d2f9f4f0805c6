/* SPDX-License-Identifier: MIT
 *
 * EfficientNet as one function: a stem, seven stages of MBConv blocks and a head. Larger members of
 * the family are B0 with more channels and more blocks, so a table of B0's stages and two
 * multipliers describe them all. Scopes count modules as torchvision does, those without
 * parameters included: a dropout takes index 0 and the linear layer after it 1.
 *
 * Sources: Tan, Le: "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
 * ICML 2019. Names, batch norm constants and resolutions: torchvision. Lite: TensorFlow's
 * EfficientNet-lite, with the evaluation resolutions of timm's tf_efficientnet_lite.
 */
#include "families.h"
#include <math.h>
#include <string.h>

/* clang-format off */
#define B(n, w, d, p, e, m, r) \
    { .name = "efficientnet_b" #n, .width = w, .depth = d, .dropout = p, .drop_path = 0.2, \
      .eps = e, .momentum = m, .resolution = r, .classes = 1000 }
#define LITE(n, w, d, p, r) \
    { .name = "efficientnet_lite" #n, .width = w, .depth = d, .dropout = p, .drop_path = 0.2, \
      .eps = 1e-3, .momentum = 0.01, .resolution = r, .classes = 1000, .lite = 1, \
      .padding = NN_PAD_SAME }

static const nn_efficientnet_config configs[] = {
    B(0, 1.0, 1.0, 0.2, 1e-5, 0.1,  224),
    B(1, 1.0, 1.1, 0.2, 1e-5, 0.1,  240),
    B(2, 1.1, 1.2, 0.3, 1e-5, 0.1,  288),
    B(3, 1.2, 1.4, 0.3, 1e-5, 0.1,  300),
    B(4, 1.4, 1.8, 0.4, 1e-5, 0.1,  380),
    B(5, 1.6, 2.2, 0.4, 1e-3, 0.01, 456),
    B(6, 1.8, 2.6, 0.5, 1e-3, 0.01, 528),
    B(7, 2.0, 3.1, 0.5, 1e-3, 0.01, 600),
    LITE(0, 1.0, 1.0, 0.2, 224),
    LITE(1, 1.0, 1.1, 0.2, 240),
    LITE(2, 1.1, 1.2, 0.3, 260),
    LITE(3, 1.2, 1.4, 0.3, 300),
    LITE(4, 1.4, 1.8, 0.4, 380),
    { .name = "entry_b6", .width = 1.8, .depth = 2.6, .dropout = 0.5, .drop_path = 0.2,
      .eps = 1e-3, .momentum = 0.01, .resolution = 528, .classes = 2, .backbone = 1000 },
};

/* The stages of B0; stride is that of a stage's first block. */
static const struct stage {
    int64_t expand, k, stride, out, blocks;
} stages[] = {
    { 1, 3, 1,  16, 1 },
    { 6, 3, 2,  24, 2 },
    { 6, 5, 2,  40, 2 },
    { 6, 3, 2,  80, 3 },
    { 6, 5, 1, 112, 3 },
    { 6, 5, 2, 192, 4 },
    { 6, 3, 1, 320, 1 },
};
/* clang-format on */

enum {
    STAGES = sizeof stages / sizeof *stages,
    CONFIGS = sizeof configs / sizeof *configs,
    IMAGENET_CLASSES = 1000
};

/* B0's channels times the width multiplier: the nearest multiple of 8 that loses at most a tenth. */
static int64_t widened(const nn_efficientnet_config *c, int64_t channels)
{
    double exact = (double)channels * c->width;
    int64_t near = (int64_t)(exact + 4) / 8 * 8;

    if (near < 8)
        near = 8;
    return (double)near < 0.9 * exact ? near + 8 : near;
}

static int64_t blocks_of(const nn_efficientnet_config *c, int stage)
{
    if (c->lite && (stage == 0 || stage == STAGES - 1))
        return stages[stage].blocks;
    return (int64_t)ceil((double)stages[stage].blocks * c->depth);
}

static nn_batchnorm_opts norm_of(const nn_efficientnet_config *c)
{
    return (nn_batchnorm_opts){ .eps = c->eps, .momentum = c->momentum };
}

static nn_tensor *conv_norm_act(nn_graph *g, const nn_efficientnet_config *c, int index, nn_tensor *x,
                                nn_conv2d_opts conv)
{
    conv.padding = c->padding;
    conv.init_fan_out = 1;
    x = nn_layer_conv2d_norm(g, nn_namei(g, index), x, conv, norm_of(c));
    return c->lite ? nn_relu6(g, x) : nn_silu(g, x);
}

/* Squeeze-and-excite narrows to a quarter of what comes into the block, not of what it filters. */
static int64_t squeezed(const nn_efficientnet_config *c, int64_t in)
{
    if (c->lite)
        return 0;
    return in < 4 ? 1 : in / 4;
}

static nn_tensor *features(nn_graph *g, nn_tensor *x, const nn_efficientnet_config *c)
{
    int64_t stem = c->lite ? 32 : widened(c, 32);
    int64_t head = c->lite ? 1280 : 4 * widened(c, stages[STAGES - 1].out);
    int64_t done = 0, all = 0;

    for (int s = 0; s < STAGES; s++)
        all += blocks_of(c, s);

    nn_push(g, "features");
    x = conv_norm_act(g, c, 0, x, (nn_conv2d_opts){ .out = stem, .k = 3, .stride = 2 });
    for (int s = 0; s < STAGES; s++) {
        nn_mbconv_opts b = { .expand = stages[s].expand,
                             .k = stages[s].k,
                             .stride = stages[s].stride,
                             .out = widened(c, stages[s].out),
                             .relu6 = c->lite,
                             .padding = c->padding,
                             .norm = norm_of(c) };

        nn_pushi(g, s + 1);
        for (int64_t i = 0; i < blocks_of(c, s); i++) {
            b.drop_path = c->drop_path * (double)done++ / (double)all;
            b.squeeze = squeezed(c, nn_dim(x, 3));
            x = nn_layer_mbconv(g, nn_namei(g, i), x, b);
            b.stride = 1;
        }
        nn_pop(g);
    }
    x = conv_norm_act(g, c, STAGES + 1, x, (nn_conv2d_opts){ .out = head, .k = 1 });
    nn_pop(g);
    return x;
}

static nn_tensor *dropout(nn_graph *g, const char *name, nn_tensor *x, double p)
{
    nn_push(g, name);
    x = nn_dropout(g, x, p);
    nn_pop(g);
    return x;
}

/* torchvision draws the last layer from uniform(1/sqrt(outputs)), which is meant for ImageNet's thousand: of
 * two outputs it would make logits so large that the first losses are above 5. Any other number therefore
 * gets torch.nn.Linear's own initialiser, as in the scripts that put a new layer on a pretrained network. */
nn_tensor *nn_efficientnet(nn_graph *g, nn_tensor *image, const nn_efficientnet_config *c)
{
    int64_t outputs;
    nn_tensor *x;

    if (!c)
        return nn_graph_fail(g, NN_EINVAL, "nn_efficientnet needs a configuration");
    outputs = c->backbone ? c->backbone : c->classes;
    if (c->backbone)
        nn_push(g, "backbone");
    x = nn_flatten(g, nn_global_avg_pool(g, features(g, image, c)));
    nn_push(g, "classifier");
    x = dropout(g, "0", x, c->dropout);
    x = nn_layer_linear(g, "1", x,
                        (nn_linear_opts){ .out = outputs, .init_fan_out = outputs == IMAGENET_CLASSES });
    nn_pop(g);
    if (!c->backbone)
        return x;
    nn_pop(g);

    x = dropout(g, "dropout", x, c->dropout);
    return nn_layer_linear(g, "classifier", x, (nn_linear_opts){ .out = c->classes });
}

const nn_efficientnet_config *nn_efficientnet_at(int index)
{
    return index >= 0 && index < CONFIGS ? &configs[index] : NULL;
}

const nn_efficientnet_config *nn_efficientnet_find(const char *name)
{
    for (int i = 0; name && i < CONFIGS; i++)
        if (!strcmp(configs[i].name, name))
            return &configs[i];
    return NULL;
}

int64_t nn_efficientnet_blocks(const nn_efficientnet_config *c, int stage)
{
    return c && stage >= 1 && stage <= STAGES ? blocks_of(c, stage - 1) : 0;
}

int64_t nn_efficientnet_channels(const nn_efficientnet_config *c, int stage)
{
    return c && stage >= 1 && stage <= STAGES ? widened(c, stages[stage - 1].out) : 0;
}
