/* SPDX-License-Identifier: MIT
 *
 * Brightness, contrast, saturation and hue, each by a random factor, in random order. Equal to Albumentations
 * 1.3.1's ColorJitter on OpenCV: 8-bit brightness and contrast are tables whose fractions are cut off,
 * saturation blends with the grey picture and rounds, hue is a turn of OpenCV's 8-bit HSV (180 steps), whose
 * round trip alone costs up to a few levels.
 */
#include "vision/pixels.h"
#include "vision/transform.h"

#include <math.h>

enum {
    BRIGHTNESS,
    CONTRAST,
    SATURATION,
    HUE,
    ORDER
}; /* settings, and drawn: factors and the order from ORDER */

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    for (int i = BRIGHTNESS; i <= HUE; i++) {
        out->v[i] = nni_dice_uniform(d, s->low[i], s->high[i]);
        out->v[ORDER + i] = i;
    }
    for (int i = 3; i > 0; i--) {
        int j = (int)nni_dice_int(d, 0, i);
        double keep = out->v[ORDER + i];

        out->v[ORDER + i] = out->v[ORDER + j];
        out->v[ORDER + j] = keep;
    }
}

/* value -> value*factor + offset */
static void scale(struct nni_canvas *c, double factor, double offset)
{
    uint8_t table[256];

    if (c->real) {
        nni_pixels()->scale_real(c->at, nni_canvas_values(c), (float)factor, (float)offset);
        return;
    }
    for (int i = 0; i < 256; i++) {
        double v = i * factor + offset;

        table[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
    nni_canvas_look_up(c, table);
}

static void contrast(struct nni_canvas *c, double factor)
{
    int64_t pixels = c->width * c->height;
    double mean =
        c->real ? nni_pixels()->grey_sum_real(c->at, pixels) : (double)nni_pixels()->grey_sum(c->at, pixels);

    mean /= (double)pixels;
    if (factor == 0 && !c->real)
        mean = floor(mean + 0.5);
    scale(c, factor, mean * (1 - factor));
}

static void saturation(struct nni_canvas *c, double factor)
{
    int64_t pixels = c->width * c->height;

    if (c->real)
        nni_pixels()->saturate_real(c->at, pixels, (float)factor, (float)(1 - factor));
    else
        nni_pixels()->saturate(c->at, pixels, (float)factor, (float)(1 - factor));
}

static void hue(struct nni_canvas *c, double factor)
{
    /* OpenCV's vectors cut fractions off, and what is left of a row rounds. */
    int64_t vectors = c->width - c->width % 32;
    const struct nni_pixel_kernels *k = nni_pixels();
    uint8_t turned[256];

    if (factor == 0)
        return;
    if (c->real) {
        k->turn_hue_real(c->at, c->width * c->height, (float)(factor * 360));
        return;
    }
    for (int i = 0; i < 256; i++) {
        double h = fmod(i + 180 * factor, 180);

        turned[i] = (uint8_t)(h < 0 ? h + 180 : h);
    }
    for (int64_t y = 0; y < c->height; y++) {
        uint8_t *row = (uint8_t *)c->at + 3 * c->width * y;

        k->turn_hue(row, vectors, turned, true);
        k->turn_hue(row + 3 * vectors, c->width - vectors, turned, false);
    }
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    (void)s;
    for (int i = 0; i < 4; i++) {
        int which = (int)drawn->v[ORDER + i];
        double factor = drawn->v[which];

        switch (which) {
        case BRIGHTNESS: scale(c, factor, 0); break;
        case CONTRAST: contrast(c, factor); break;
        case SATURATION: saturation(c, factor); break;
        default: hue(c, factor);
        }
    }
    return NN_OK;
}

const struct nni_transform nni_transform_color_jitter = {
    .name = "color_jitter",
    .p = 0.5,
    .setting = { [BRIGHTNESS] = { "brightness", 0.8, 1.2, 0, 100 },
                 [CONTRAST] = { "contrast", 0.8, 1.2, 0, 100 },
                 [SATURATION] = { "saturation", 0.8, 1.2, 0, 100 },
                 [HUE] = { "hue", -0.2, 0.2, -0.5, 0.5 } },
    .draw = draw,
    .apply = apply,
};
