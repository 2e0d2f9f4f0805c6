/* SPDX-License-Identifier: MIT
 *
 * value*(1 + contrast) + brightness*largest value. Equal to Albumentations 1.3.1's RandomBrightnessContrast,
 * and with contrast=0 to its RandomBrightness. Unlike color_jitter this adds light instead of multiplying it,
 * and floats are clipped to [0,1] whatever they mean.
 */
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

static float limited(float v, float most) { return v < 0 ? 0 : v > most ? most : v; }

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    int64_t n = nni_canvas_values(c);
    float factor = (float)drawn->v[FACTOR], *value = c->at;
    uint8_t table[256], *byte = c->at;

    (void)s;
    if (c->real) {
        for (int64_t i = 0; i < n; i++)
            value[i] = limited(value[i] * factor + (float)drawn->v[ADDED], 1);
        return NN_OK;
    }
    for (int i = 0; i < 256; i++) /* fractions are cut off */
        table[i] = (uint8_t)limited((float)i * factor + (float)(drawn->v[ADDED] * 255), 255);
    for (int64_t i = 0; i < n; i++)
        byte[i] = table[byte[i]];
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
