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

/* Resizes the picture. Sides that leave 1..65536 stop there. */
static int resize_to(struct nni_canvas *c, int64_t width, int64_t height, double kernel)
{
    nn_image in = { .rgb = c->at, .width = c->width, .height = c->height };
    nn_image out = { .width = width, .height = height };
    nn_message why;
    int rc;

    out.rgb = nni_canvas_next(c, width, height, false);
    if (!out.rgb)
        return NN_ENOMEM;
    rc = nn_image_resize(&out, &in, (nn_resize_kernel)kernel, c->scratch, &why);
    if (!rc)
        nni_canvas_turn(c, width, height, false);
    return rc;
}

static int64_t scaled(int64_t side, double factor)
{
    int64_t n = llrint((double)side * factor);

    return n < 1 ? 1 : n > NNI_RESIZE_SIDE ? NNI_RESIZE_SIDE : n;
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t width = c->width, height = c->height;
    double factor = drawn->v[FACTOR];
    int rc = resize_to(c, scaled(width, factor), scaled(height, factor), drawn->v[THERE]);

    (void)s;
    return rc ? rc : resize_to(c, width, height, drawn->v[BACK]);
}

const struct nni_transform nni_transform_rescale = {
    .name = "rescale",
    .p = 0.5,
    .bytes = true,
    .setting = { [SCALE] = { "scale", 0.5, 1.5, 0.05, 4 } },
    .draw = draw,
    .apply = apply,
};
