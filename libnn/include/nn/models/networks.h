/* SPDX-License-Identifier: MIT
 *
 * All networks that come with libnn, by name, for programs that let their users choose one. Whoever wants
 * one in particular, or to change its configuration, includes its own header.
 */
#ifndef NN_MODELS_NETWORKS_H
#define NN_MODELS_NETWORKS_H

#include <nn/models/efficientnet.h>
#include <nn/models/resnet.h>
#include <nn/models/vgg.h>

NN_C_BEGIN

typedef struct nn_network {
    const char *name;
    const char *head;   /* scope of the linear layer that a file for another number of classes does not fit */
    int64_t resolution; /* height and width of the images that it was designed for */
    nn_padding
        padding; /* of an EfficientNet, and the epsilon of its batch norms: what weights were trained with */
    double eps;
    /* image [N,H,W,3], normalised -> logits [N,classes]; NULL when recording failed. `self` is the above. */
    nn_tensor *(*record)(nn_graph *g, nn_tensor *image, const struct nn_network *self, int64_t classes);
} nn_network;

/* The network called `name`; all of them, numbered from 0. NN_ENOTFOUND, and zeros, when there is none. */
NN_API int nn_network_find(const char *name, nn_network *out);
NN_API int nn_network_at(int index, nn_network *out);

NN_C_END

#endif
