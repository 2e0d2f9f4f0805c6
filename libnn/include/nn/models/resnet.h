/* SPDX-License-Identifier: MIT
 *
 * ResNet, by name: resnet18, 34, 50, 101, 152, as torchvision has them, with its names.
 */
#ifndef NN_MODELS_RESNET_H
#define NN_MODELS_RESNET_H

#include <nn/layers.h>

NN_C_BEGIN

typedef struct nn_resnet_config {
    const char *name;
    int64_t blocks[4];  /* of each stage */
    int bottleneck;     /* 1x1, 3x3, 1x1 to four times the width, rather than 3x3 twice */
    int64_t resolution; /* height and width of the images that the network was designed for */
    int64_t classes;    /* number of logits */
} nn_resnet_config;

/* image [N,H,W,3], normalised -> logits [N,classes]; H and W are free. NULL when recording failed. */
NN_API nn_tensor *nn_resnet(nn_graph *g, nn_tensor *image, const nn_resnet_config *c);

/* The configuration called `name`, NULL when there is none; all of them, NULL past the last. */
NN_API const nn_resnet_config *nn_resnet_find(const char *name);
NN_API const nn_resnet_config *nn_resnet_at(int index);

NN_C_END

#endif
