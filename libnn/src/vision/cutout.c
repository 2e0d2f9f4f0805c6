/* SPDX-License-Identifier: MIT
 *
 * Squares of the picture are blotted out (DeVries and Taylor 2017). Equal to Albumentations 1.3.1's Cutout: a
 * square lies about a pixel that may be one beyond the right and lower edge, it is moved in at the left and
 * top and cut off at the right and bottom.
 */
#include "vision/transform.h"

enum { HOLES, SIZE, FILL, MOST_HOLES = NNI_DRAWN / 2 };

/* Drawn: left and top of each square. */
static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    int64_t half = (int64_t)s->low[SIZE] / 2;

    for (int i = 0; i < (int)s->low[HOLES]; i++) {
        int64_t y = nni_dice_int(d, 0, height) - half, x = nni_dice_int(d, 0, width) - half;

        out->v[2 * i] = (double)(x < 0 ? 0 : x);
        out->v[2 * i + 1] = (double)(y < 0 ? 0 : y);
    }
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t size = (int64_t)s->low[SIZE];

    for (int i = 0; i < (int)s->low[HOLES]; i++) {
        int64_t left = (int64_t)drawn->v[2 * i], top = (int64_t)drawn->v[2 * i + 1];

        nni_canvas_fill(c, left, top, left + size, top + size, s->low[FILL]);
    }
    return NN_OK;
}

const struct nni_transform nni_transform_cutout = {
    .name = "cutout",
    .p = 0.5,
    .setting = { [HOLES] = { "holes", 8, 8, 1, MOST_HOLES },
                 [SIZE] = { "size", 8, 8, 1, 16384 },
                 [FILL] = { "fill", 0, 0, 0, 255 } },
    .draw = draw,
    .apply = apply,
};
