/* SPDX-License-Identifier: MIT
 *
 * Scale, rotation, shear and shift about the centre in one warp; new pixels are black. Equal to
 * Albumentations 1.3.1's Affine: scale, shift and shear are drawn for each axis, the picture is sheared
 * vertically (as a horizontal shear between two quarter turns), then scaled, sheared, turned and shifted as
 * scikit-image composes it; angles count clockwise. Angles in degrees, shifts in parts of the side.
 */
#include "vision/warp.h"

#include <math.h>

enum { SCALE, SHIFT, ROTATE, SHEAR };
enum {
    SCALE_X,
    SCALE_Y,
    SHIFT_X,
    SHIFT_Y,
    ANGLE,
    SHEAR_X,
    SHEAR_Y
}; /* drawn; shifts in pixels, angles in radians */

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    const double radian = 3.14159265358979323846 / 180;

    out->v[SHIFT_X] = nni_dice_uniform(d, s->low[SHIFT], s->high[SHIFT]) * (double)width;
    out->v[SHIFT_Y] = nni_dice_uniform(d, s->low[SHIFT], s->high[SHIFT]) * (double)height;
    out->v[SHEAR_X] = -nni_dice_uniform(d, s->low[SHEAR], s->high[SHEAR]) * radian;
    out->v[SHEAR_Y] = -nni_dice_uniform(d, s->low[SHEAR], s->high[SHEAR]) * radian;
    out->v[SCALE_X] = nni_dice_uniform(d, s->low[SCALE], s->high[SCALE]);
    out->v[SCALE_Y] = nni_dice_uniform(d, s->low[SCALE], s->high[SCALE]);
    out->v[ANGLE] = -nni_dice_uniform(d, s->low[ROTATE], s->high[ROTATE]) * radian;
}

/* a = b after a: both 2x3. */
static void then(double a[6], const double b[6])
{
    double r[6] = { b[0] * a[0] + b[1] * a[3], b[0] * a[1] + b[1] * a[4], b[0] * a[2] + b[1] * a[5] + b[2],
                    b[3] * a[0] + b[4] * a[3], b[3] * a[1] + b[4] * a[4], b[3] * a[2] + b[4] * a[5] + b[5] };

    for (int i = 0; i < 6; i++)
        a[i] = r[i];
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    const double *v = drawn->v;
    double x = (double)c->width / 2 - 0.5, y = (double)c->height / 2 - 0.5;
    double sine = sin(v[ANGLE]), cosine = cos(v[ANGLE]), t = tan(v[SHEAR_X]);
    double m[6] = { 1, 0, -x, 0, 1, -y };
    const double shear_y[6] = { 1, 0, 0, tan(v[SHEAR_Y]), 1, 0 };
    const double all[6] = {
        v[SCALE_X] * cosine, -v[SCALE_Y] * (t * cosine + sine), v[SHIFT_X],
        v[SCALE_X] * sine,   -v[SCALE_Y] * (t * sine - cosine), v[SHIFT_Y],
    };
    const double back[6] = { 1, 0, x, 0, 1, y };

    (void)s;
    then(m, shear_y);
    then(m, all);
    then(m, back);
    return nni_warp_affine(c, m, NNI_BORDER_BLACK);
}

const struct nni_transform nni_transform_affine = {
    .name = "affine",
    .p = 0.5,
    .setting = { [SCALE] = { "scale", 0.9, 1.1, 0.01, 100 },
                 [SHIFT] = { "shift", -0.1, 0.1, -10, 10 },
                 [ROTATE] = { "rotate", -15, 15, -360, 360 },
                 [SHEAR] = { "shear", -10, 10, -80, 80 } },
    .draw = draw,
    .apply = apply,
};
