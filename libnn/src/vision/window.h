/* SPDX-License-Identifier: MIT
 *
 * A window of a random area and shape somewhere in a picture, as torchvision's RandomResizedCrop and
 * RandomErasing draw it: ten attempts at one that fits.
 */
#ifndef NNI_WINDOW_H
#define NNI_WINDOW_H

#include "vision/transform.h"

/* The settings of a transform with a window: parts of the picture's area, width by height. */
enum { NNI_WINDOW_AREA, NNI_WINDOW_RATIO };

struct nni_window {
    int64_t x, y, width, height;
};

/* The picture is width x height, and `spare` pixels of either side must be left. False when none of the
 * attempts fits. */
bool nni_window_draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                     int64_t spare, struct nni_window *out);

#endif
