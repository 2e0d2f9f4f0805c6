/* SPDX-License-Identifier: MIT
 *
 * The barrel or pincushion of a lens: a pixel comes from r(1 + k r^2 + k r^4) times its distance from the
 * optical centre, in units of the sides. Equal to Albumentations 1.3.1's OpticalDistortion, which asks OpenCV
 * for the map; there the camera's centre is half the side, the new one's (side-1)/2, and the drawn shift is
 * rounded to whole pixels, so that shifts below one half do nothing.
 */
#include "vision/pixels.h"
#include "vision/warp.h"

#include <math.h>

enum { DISTORT, SHIFT };
enum { K, DX, DY };

struct lens {
    double k, fx, fy, cx, cy; /* of the source */
    double nx, ny;            /* centre of the target */
    float *place;             /* of a row: x, then y */
};

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    out->v[K] = nni_dice_uniform(d, s->low[DISTORT], s->high[DISTORT]);
    out->v[DX] = nearbyint(nni_dice_uniform(d, s->low[SHIFT], s->high[SHIFT]));
    out->v[DY] = nearbyint(nni_dice_uniform(d, s->low[SHIFT], s->high[SHIFT]));
}

static void row(const void *context, int64_t v, int64_t width, int32_t *sx, int32_t *sy)
{
    const struct lens *l = context;
    const struct nni_pixel_kernels *pixels = nni_pixels();
    double y = ((double)v - l->ny) / l->fy, y2 = y * y;

    for (int64_t u = 0; u < width; u++) {
        double x = ((double)u - l->nx) / l->fx, r2 = x * x + y2;
        double far = 1 + (l->k * r2 + l->k) * r2;

        l->place[u] = (float)(l->fx * (x * far) + l->cx);
        l->place[width + u] = (float)(l->fy * (y * far) + l->cy);
    }
    pixels->round_places(sx, l->place, width);
    pixels->round_places(sy, l->place + width, width);
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    double w = (double)c->width, h = (double)c->height;
    struct lens l = { .k = (double)(float)drawn->v[K],
                      .fx = w,
                      .fy = h,
                      .cx = (double)(float)(w * 0.5 + drawn->v[DX]),
                      .cy = (double)(float)(h * 0.5 + drawn->v[DY]),
                      .nx = (w - 1) * 0.5,
                      .ny = (h - 1) * 0.5,
                      .place =
                          nni_scratch(c->scratch, NNI_SCRATCH_FIELD, (size_t)c->width * 2 * sizeof(float)) };

    (void)s;
    if (!l.place)
        return NN_ENOMEM;
    return nni_warp(c, row, &l, NNI_BORDER_MIRROR);
}

const struct nni_transform nni_transform_optical_distortion = {
    .name = "optical_distortion",
    .p = 0.5,
    .setting = { [DISTORT] = { "distort", -0.05, 0.05, -1, 1 },
                 [SHIFT] = { "shift", -0.05, 0.05, -1000, 1000 } },
    .draw = draw,
    .apply = apply,
};
