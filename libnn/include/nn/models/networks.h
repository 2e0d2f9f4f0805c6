/* SPDX-License-Identifier: MIT
 *
 * All networks that come with libnn, by name, for programs that let their users choose one; and those whose
 * configuration can be changed: EfficientNet, ResNet (18, 34, 50, 101, 152), VGG with batch norm (11, 13, 16,
 * 19), with the names that torchvision gives to parameters.
 */
#ifndef NN_MODELS_NETWORKS_H
#define NN_MODELS_NETWORKS_H

#include <nn/models/efficientnet.h>

NN_C_BEGIN

typedef struct nn_network {
    const char *name;
    const char *head;   /* scope of the linear layer that a file for another number of classes does not fit */
    int64_t resolution; /* height and width of the images that it was designed for */
    nn_padding padding; /* of an EfficientNet, */
    double eps;         /* and of its batch norms: what weights were trained with */
    /* image [N,H,W,3], normalised -> logits [N,classes]; NULL when recording failed. `self` is the above. */
    nn_tensor *(*record)(nn_graph *g, nn_tensor *image, const struct nn_network *self, int64_t classes);
} nn_network;

/* The network called `name`; all of them, numbered from 0. NN_ENOTFOUND, and zeros, when there is none. */
NN_API int nn_network_find(const char *name, nn_network *out);
NN_API int nn_network_at(int index, nn_network *out);

/* As of an EfficientNet: find gives "resnet50" or "vgg16_bn", NULL when there is none; H and W are free, but
 * at least 32 for VGG, which averages its features to 7 x 7. */
typedef struct nn_resnet_config {
    const char *name;
    int64_t blocks[4]; /* of each stage */
    int bottleneck;    /* 1x1, 3x3, 1x1 to four times the width, rather than 3x3 twice */
    int64_t resolution, classes;
} nn_resnet_config;
NN_API nn_tensor *nn_resnet(nn_graph *g, nn_tensor *image, const nn_resnet_config *c);
NN_API const nn_resnet_config *nn_resnet_find(const char *name);

typedef struct nn_vgg_config {
    const char *name;
    int64_t convs[5]; /* of each stage; a maximum over 2x2 ends it */
    double dropout;   /* before the second and third linear layer */
    int64_t resolution, classes;
} nn_vgg_config;
NN_API nn_tensor *nn_vgg(nn_graph *g, nn_tensor *image, const nn_vgg_config *c);
NN_API const nn_vgg_config *nn_vgg_find(const char *name);

NN_C_END

#endif
