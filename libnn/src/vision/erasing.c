/* SPDX-License-Identifier: MIT
 *
 * A rectangle of random area and shape is blotted out (Zhong et al. 2017), so that no single part of a
 * picture decides. Drawn as torchvision's RandomErasing draws it; where ten attempts do not fit nothing
 * happens.
 */
#include "vision/window.h"

enum { FILL = NNI_WINDOW_RATIO + 1 };
enum { X, Y, WIDTH, HEIGHT }; /* drawn */

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    struct nni_window w;

    if (!nni_window_draw(s, d, width, height, 1, &w))
        return;
    out->v[X] = (double)w.x;
    out->v[Y] = (double)w.y;
    out->v[WIDTH] = (double)w.width;
    out->v[HEIGHT] = (double)w.height;
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t x = (int64_t)drawn->v[X], y = (int64_t)drawn->v[Y];

    nni_canvas_fill(c, x, y, x + (int64_t)drawn->v[WIDTH], y + (int64_t)drawn->v[HEIGHT], s->low[FILL]);
    return NN_OK;
}

const struct nni_transform nni_transform_erasing = {
    .name = "erasing",
    .p = 0.5,
    .setting = { [NNI_WINDOW_AREA] = { "area", 0.02, 0.33, 0.001, 1 },
                 [NNI_WINDOW_RATIO] = { "ratio", 0.3, 3.3, 0.01, 100 },
                 [FILL] = { "fill", 0, 0, 0, 255 } },
    .draw = draw,
    .apply = apply,
};
