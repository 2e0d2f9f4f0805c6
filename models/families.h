/* SPDX-License-Identifier: MIT
 *
 * What the files of this folder know of each other's networks, beyond the public headers.
 */
#ifndef MODELS_FAMILIES_H
#define MODELS_FAMILIES_H

#include <nn/models/networks.h>

/* Configurations by number, as nn_efficientnet_at. */
const nn_resnet_config *nn_resnet_at(int index);
const nn_vgg_config *nn_vgg_at(int index);

/* Blocks of an EfficientNet's stage 1 to 7 ("features.1" and so on), and the channels that come out of it; 0
 * for other stages. */
int64_t nn_efficientnet_blocks(const nn_efficientnet_config *c, int stage);
int64_t nn_efficientnet_channels(const nn_efficientnet_config *c, int stage);

#endif
