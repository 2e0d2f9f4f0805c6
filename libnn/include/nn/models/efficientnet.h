/* SPDX-License-Identifier: MIT
 *
 * EfficientNet, by name: efficientnet_b0 to b7, efficientnet_lite0 to lite4, and entry_b6, a B6 of
 * 1000 outputs under a new head.
 *
 *     nn_efficientnet_config c = *nn_efficientnet_find("efficientnet_b6");
 *
 *     c.classes = 2;
 *     logits = nn_efficientnet(g, image, &c);
 *
 * Parameters and state are called as in torchvision ("features.1.0.block.0.0.weight"), so that its
 * state dicts load as they are.
 */
#ifndef NN_MODELS_EFFICIENTNET_H
#define NN_MODELS_EFFICIENTNET_H

#include <nn/layers.h>

NN_C_BEGIN

typedef struct nn_efficientnet_config {
    const char *name;
    double width, depth;         /* multipliers of B0's channels and blocks */
    double dropout, drop_path;   /* before the classifier; of block i of n, times i/n: stochastic depth */
    double eps, momentum;        /* of the batch norms */
    int64_t resolution, classes; /* height and width of the images it was designed for; number of logits */
    int lite;                    /* ReLU6, no squeeze-and-excite, stem and head not widened */
    nn_padding padding;          /* NN_PAD_AUTO or, as in TensorFlow, NN_PAD_SAME */
    int64_t backbone; /* nonzero: the network, with so many outputs, is called "backbone" and feeds one
                         more dropout and linear layer, "classifier" */
} nn_efficientnet_config;

/* image [N,H,W,3], normalised -> logits [N,classes]; dropout and stochastic depth only in a
 * training graph. H and W are free, c->resolution is advice. NULL when recording failed. */
NN_API nn_tensor *nn_efficientnet(nn_graph *g, nn_tensor *image, const nn_efficientnet_config *c);

/* The configuration called `name`, NULL when there is none; all of them, NULL past the last. */
NN_API const nn_efficientnet_config *nn_efficientnet_find(const char *name);
NN_API const nn_efficientnet_config *nn_efficientnet_at(int index);

NN_C_END

#endif
