/* SPDX-License-Identifier: MIT
 *
 * The products of the general convolution and of the transposed one. A convolution makes a map
 * [n,oh,ow,o] of an image [n,h,w,c]; a transposed one makes the image of the map. Either's forward is
 * the other's gradient of x, and both have the same gradient of the weights, so there is one of each.
 */
#ifndef NNI_PATCHES_H
#define NNI_PATCHES_H

#include "ops/conv.h"

enum { NNI_IMAGE_TO_MAP, NNI_MAP_TO_IMAGE };

/* Declares the output, once the shapes of x and weight have been found right: the types, and the bias. */
int nni_patches_infer(nn_node *node, nn_shape out);

/* Prepare functions of an op whose inputs are x, weight [O,C/groups,kh,kw] (the map's and the image's
 * channels) and perhaps a bias, and whose attributes are nn_conv_opts or nn_conv_transpose_opts. */
int nni_patches_forward(nn_step *s, int direction);
int nni_patches_backward(nn_step *s, int direction);

#endif
