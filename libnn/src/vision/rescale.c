/* SPDX-License-Identifier: MIT
 *
 * A picture made smaller or larger and then resized back to what it was, as happens between a generator and
 * an upload. Each way takes one of the resize kernels at random, because each leaves its own traces.
 */
#include "vision/transform.h"

#include <math.h>

enum { SCALE };
enum { FACTOR, THERE, BACK }; /* drawn: the scale, the two kernels */

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    out->v[FACTOR] = nni_dice_uniform(d, s->low[SCALE], s->high[SCALE]);
    out->v[THERE] = (double)nni_dice_int(d, 0, NN_RESIZE_KERNELS - 1);
    out->v[BACK] = (double)nni_dice_int(d, 0, NN_RESIZE_KERNELS - 1);
}

/* Sides that leave 1..65536 stop there. */
static int64_t scaled(int64_t side, double factor)
{
    int64_t n = llrint((double)side * factor);

    return n < 1 ? 1 : n > NNI_RESIZE_SIDE ? NNI_RESIZE_SIDE : n;
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t width = c->width, height = c->height;
    const double *v = drawn->v;
    nn_image picture = { .rgb = c->at, .width = width, .height = height };
    int rc = nni_canvas_resize(c, &picture, scaled(width, v[FACTOR]), scaled(height, v[FACTOR]),
                               (nn_resize_kernel)v[THERE]);

    (void)s;
    picture = (nn_image){ .rgb = c->at, .width = c->width, .height = c->height };
    return rc ? rc : nni_canvas_resize(c, &picture, width, height, (nn_resize_kernel)v[BACK]);
}

const struct nni_transform nni_transform_rescale = {
    .name = "rescale",
    .p = 0.5,
    .bytes = true,
    .setting = { [SCALE] = { "scale", 0.5, 1.5, 0.05, 4 } },
    .draw = draw,
    .apply = apply,
};
