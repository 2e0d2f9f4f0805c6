/* SPDX-License-Identifier: MIT
 *
 * What the parts of an EfficientNet are called: by torchvision, whose names are ours, by timm and in
 * lukemelas' EfficientNet-PyTorch.
 */
#ifndef MODELS_PRETRAINED_NAMES_H
#define MODELS_PRETRAINED_NAMES_H

#include <nn/io.h>
#include <nn/models/efficientnet.h>

enum naming { NAMES_TORCHVISION, NAMES_TIMM, NAMES_LUKEMELAS, NAMINGS };

/* How the names of a file are made. */
struct names {
    enum naming naming;
    char prefix[128];      /* of all of them, of training programs: "module." */
    int64_t blocks;        /* number of MBConv blocks */
    int64_t last;          /* channels that go into the head */
    int64_t classes;       /* 0: there is no classifier */
    int excites;           /* squeeze-and-excite is there */
    int second_classifier; /* behind the network, which is called "backbone" then */
};

/* NN_EUNSUPPORTED: these are not the names of an EfficientNet. */
int nni_names_recognise(struct names *n, const nn_safetensors *file, nn_message *why);
/* Gives the tensors our names. */
int nni_names_translate(const struct names *n, const nn_efficientnet_config *c, nn_safetensors *file,
                        nn_message *why);

#endif
