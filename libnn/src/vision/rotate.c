/* SPDX-License-Identifier: MIT
 *
 * A turn about the centre, counterclockwise, in degrees; beyond the edge lies the mirrored picture. Equal to
 * Albumentations 1.3.1's Rotate.
 */
#include "vision/warp.h"

#include <math.h>

enum { ANGLE }; /* setting and drawn */

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    out->v[ANGLE] = nni_dice_uniform(d, s->low[ANGLE], s->high[ANGLE]);
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    double angle = drawn->v[ANGLE] * (3.14159265358979323846 / 180), sine = sin(angle), cosine = cos(angle);
    double x = (double)c->width / 2 - 0.5, y = (double)c->height / 2 - 0.5;
    const double m[6] = {
        cosine, sine,   (1 - cosine) * x - sine * y, /* the centre stays where it is */
        -sine,  cosine, sine * x + (1 - cosine) * y,
    };

    (void)s;
    return nni_warp_affine(c, m, NNI_BORDER_MIRROR);
}

const struct nni_transform nni_transform_rotate = {
    .name = "rotate",
    .p = 0.5,
    .setting = { [ANGLE] = { "angle", -90, 90, -360, 360 } },
    .draw = draw,
    .apply = apply,
};
