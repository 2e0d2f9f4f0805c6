/* SPDX-License-Identifier: MIT
 *
 * A window of random area and shape, resized to the network's input: faces near and far, whole and in part.
 * Windows are drawn as torchvision's RandomResizedCrop draws them and resized by the kernel of the
 * preprocessing record.
 */
#include "vision/window.h"

#include <math.h>

enum { X, Y, WIDTH, HEIGHT }; /* drawn */

/* The largest window in the middle whose shape is allowed. */
static struct nni_window middle(const struct nni_step *s, int64_t width, int64_t height)
{
    double ratio = (double)width / (double)height, low = s->low[NNI_WINDOW_RATIO],
           high = s->high[NNI_WINDOW_RATIO];
    struct nni_window w = { .width = width, .height = height };

    if (ratio < low)
        w.height = llrint((double)width / low);
    else if (ratio > high)
        w.width = llrint((double)height * high);
    w.width = w.width < 1 ? 1 : w.width;
    w.height = w.height < 1 ? 1 : w.height;
    w.x = (width - w.width) / 2;
    w.y = (height - w.height) / 2;
    return w;
}

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    struct nni_window w;

    if (!nni_window_draw(s, d, width, height, 0, &w))
        w = middle(s, width, height);
    out->v[X] = (double)w.x;
    out->v[Y] = (double)w.y;
    out->v[WIDTH] = (double)w.width;
    out->v[HEIGHT] = (double)w.height;
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t size = c->record->size, row = 3 * c->width;
    nn_image in = { .rgb = (uint8_t *)c->at + (int64_t)drawn->v[Y] * row + 3 * (int64_t)drawn->v[X],
                    .width = (int64_t)drawn->v[WIDTH],
                    .height = (int64_t)drawn->v[HEIGHT],
                    .stride = (size_t)row };

    (void)s;
    return nni_canvas_resize(c, &in, size, size, c->record->kernel);
}

const struct nni_transform nni_transform_random_resized_crop = {
    .name = "random_resized_crop",
    .p = 1,
    .fits = true,
    .bytes = true,
    .setting = { [NNI_WINDOW_AREA] = { "area", 0.08, 1, 0.001, 1 },
                 [NNI_WINDOW_RATIO] = { "ratio", 3.0 / 4, 4.0 / 3, 0.01, 100 } },
    .draw = draw,
    .apply = apply,
};
