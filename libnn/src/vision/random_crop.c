/* SPDX-License-Identifier: MIT
 *
 * A window of the network's size at a random place, as Albumentations 1.3.1's RandomCrop draws it. First in a
 * pipeline it keeps the pixels at their own resolution, where traces of a generator or of a compression live.
 * A picture that is smaller than the window lies somewhere in it and the rest is black, rather than ending a
 * run.
 */
#include "vision/transform.h"

#include <string.h>

enum { X, Y }; /* drawn: from 0 up to 1 of the way that the window can go */

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)s;
    (void)width;
    (void)height;
    out->v[Y] = nni_dice_uniform(d, 0, 1);
    out->v[X] = nni_dice_uniform(d, 0, 1);
}

/* Where the window begins; negative in a picture that is smaller. */
static int64_t place(int64_t side, int64_t size, double at)
{
    return side < size ? -(int64_t)((double)(size - side + 1) * at)
                       : (int64_t)((double)(side - size + 1) * at);
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t size = c->record->size, x = place(c->width, size, drawn->v[X]),
            y = place(c->height, size, drawn->v[Y]);
    int64_t columns = c->width < size ? c->width : size, rows = c->height < size ? c->height : size;
    int64_t left = x < 0 ? -x : 0, top = y < 0 ? -y : 0;
    size_t pixel = nni_pixel_bytes(c->real);
    const char *from = c->at;
    char *to = nni_canvas_next(c, size, size, c->real);

    (void)s;
    if (!to)
        return NN_ENOMEM;
    if (columns < size || rows < size)
        memset(to, 0, (size_t)(size * size) * pixel);
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + (size_t)((top + i) * size + left) * pixel,
               from + (size_t)(((y < 0 ? 0 : y) + i) * c->width + (x < 0 ? 0 : x)) * pixel,
               (size_t)columns * pixel);
    nni_canvas_turn(c, size, size, c->real);
    return NN_OK;
}

const struct nni_transform nni_transform_random_crop = {
    .name = "random_crop", .p = 1, .fits = true, .draw = draw, .apply = apply
};
