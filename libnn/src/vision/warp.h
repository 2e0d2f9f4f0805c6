/* SPDX-License-Identifier: MIT
 *
 * Sampling a picture at places between its pixels, as OpenCV does it: places are rounded to 1/32 of a pixel
 * and the four neighbours are weighted with the products of those fractions.
 */
#ifndef NNI_WARP_H
#define NNI_WARP_H

#include "vision/transform.h"

enum { NNI_PLACE_BITS = 5, NNI_PLACE = 1 << NNI_PLACE_BITS }; /* parts of a pixel */

/* What lies outside of the picture: black, or its mirror image without repeating the edge. */
enum nni_border { NNI_BORDER_BLACK, NNI_BORDER_MIRROR };

/* One row of the target: where each of its pixels comes from, in 1/32 of a pixel. */
typedef void nni_warp_row(const void *context, int64_t y, int64_t width, int32_t *sx, int32_t *sy);

/* Makes the next picture, of the same size, from the places that `row` tells, and turns to it. */
int nni_warp(struct nni_canvas *c, nni_warp_row *row, const void *context, enum nni_border border);

/* x' = m[0]x + m[1]y + m[2], y' = m[3]x + m[4]y + m[5] maps source to target; the warp uses its inverse. */
int nni_warp_affine(struct nni_canvas *c, const double m[6], enum nni_border border);

#endif
