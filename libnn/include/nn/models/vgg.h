/* SPDX-License-Identifier: MIT
 *
 * VGG with batch norm, by name: vgg11_bn, 13, 16, 19, as torchvision has them, with its names.
 */
#ifndef NN_MODELS_VGG_H
#define NN_MODELS_VGG_H

#include <nn/layers.h>

NN_C_BEGIN

typedef struct nn_vgg_config {
    const char *name;
    int64_t convs[5];   /* of each stage; a maximum over 2x2 ends it */
    double dropout;     /* before the second and third linear layer */
    int64_t resolution; /* height and width of the images that the network was designed for */
    int64_t classes;    /* number of logits */
} nn_vgg_config;

/* image [N,H,W,3], normalised, H and W at least 32 -> logits [N,classes]. The features are averaged to 7 x 7
 * where the image is not 224 x 224. NULL when recording failed. */
NN_API nn_tensor *nn_vgg(nn_graph *g, nn_tensor *image, const nn_vgg_config *c);

/* The configuration called `name`, NULL when there is none; all of them, NULL past the last. */
NN_API const nn_vgg_config *nn_vgg_find(const char *name);
NN_API const nn_vgg_config *nn_vgg_at(int index);

NN_C_END

#endif
