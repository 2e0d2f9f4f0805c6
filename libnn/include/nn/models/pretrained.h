/* SPDX-License-Identifier: MIT
 *
 * Pretrained weights come in dialects: the same network under other names, with other padding, another
 * epsilon in its batch norms and other pixels. All of these travel with the weights, and with the wrong ones
 * a network runs and is wrong. So they are found out, or asked for; never guessed.
 *
 *     nn_weights_open(&file, path, NULL, &why);
 *     nn_pretrained_identify(&p, file, &(nn_pretrained_opts){ .path = path }, &why);
 *     logits = p.network.record(g, nn_normalize(g, image, p.preprocess.mean, ...), &p.network, p.classes);
 *     nn_model_load_from(model, file, NULL, NULL);
 */
#ifndef NN_MODELS_PRETRAINED_H
#define NN_MODELS_PRETRAINED_H

#include <nn/io.h>
#include <nn/models/networks.h>
#include <nn/vision.h>

NN_C_BEGIN

/* Dialects: "torchvision"; "timm" and "timm-tf", its two families, and "timm-tf-ap", weights of adversarial
 * training; "lukemelas" and "lukemelas-ap". */

typedef struct nn_pretrained_opts {
    const char *path;    /* of the file: its name may tell the dialect; or NULL */
    const char *config;  /* contents of the config.json that came with it, as timm's models have, or NULL */
    const char *dialect; /* what it is, or NULL: find out */
} nn_pretrained_opts;

typedef struct nn_pretrained {
    nn_network network;       /* with the padding and the epsilon of the file */
    int64_t classes;          /* 0: there is no classifier in it */
    nn_preprocess preprocess; /* pixels as it was evaluated on, names of the classes; release it with
                                 nn_preprocess_free */
    double threshold;         /* see nn_classifier_info */
    const char *dialect;      /* "libnn": described by its own metadata */
    const char *told_by;      /* what told the dialect: "its names", "its file name" ... */
} nn_pretrained;

/* What a file may say of itself besides its network and its record (nn/classifier.h): "symmetric" or "same"
 * (as TensorFlow), and a number. Absent: as the network has it. */
#define NN_PADDING_KEY "libnn.pad_mode"
#define NN_EPS_KEY "libnn.bn_eps"

/* Says what network a file holds, and gives its tensors our names, which are torchvision's. ResNet and VGG
 * are known in torchvision's dialect only. NN_EINVAL: the names are those of several dialects, which the text
 * lists, or opts->dialect does not fit them; NN_EUNSUPPORTED: no network that is known. Names that belong to
 * none stay as they are, so loading will report them. */
NN_API int nn_pretrained_identify(nn_pretrained *out, nn_safetensors *file, const nn_pretrained_opts *opts,
                                  nn_message *why);

/* What ImageNet's class `index`, from 0, is called: the words of WordNet. NULL outside of 0..999. */
NN_API const char *nn_imagenet_class(int64_t index);

NN_C_END

#endif
