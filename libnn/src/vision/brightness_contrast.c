/* SPDX-License-Identifier: MIT
 *
 * value*(1 + contrast) + brightness*largest value. Equal to Albumentations 1.3.1's RandomBrightnessContrast,
 * and with contrast=0 to its RandomBrightness. Unlike color_jitter this adds light instead of multiplying it,
 * and floats are clipped to [0,1] whatever they mean.
 */
#include "vision/pixels.h"
#include "vision/transform.h"

enum { BRIGHTNESS, CONTRAST };
enum { ADDED, FACTOR };

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    out->v[FACTOR] = 1 + nni_dice_uniform(d, s->low[CONTRAST], s->high[CONTRAST]);
    out->v[ADDED] = nni_dice_uniform(d, s->low[BRIGHTNESS], s->high[BRIGHTNESS]);
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    float factor = (float)drawn->v[FACTOR];
    uint8_t table[256];

    (void)s;
    if (c->real) {
        nni_pixels()->scale_real(c->at, nni_canvas_values(c), factor, (float)drawn->v[ADDED]);
        return NN_OK;
    }
    for (int i = 0; i < 256; i++) { /* fractions are cut off */
        float v = (float)i * factor + (float)(drawn->v[ADDED] * 255);

        table[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
    nni_canvas_look_up(c, table);
    return NN_OK;
}

const struct nni_transform nni_transform_brightness_contrast = {
    .name = "brightness_contrast",
    .p = 0.5,
    .setting = { [BRIGHTNESS] = { "brightness", -0.2, 0.2, -1, 1 },
                 [CONTRAST] = { "contrast", -0.2, 0.2, -1, 100 } },
    .draw = draw,
    .apply = apply,
};
