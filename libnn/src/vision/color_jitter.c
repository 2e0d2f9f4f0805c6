/* SPDX-License-Identifier: MIT
 *
 * Brightness, contrast, saturation and hue, each by a random factor, in random order. Equal to Albumentations
 * 1.3.1's ColorJitter on OpenCV: 8-bit brightness and contrast are tables whose fractions are cut off,
 * saturation blends with the grey picture and rounds, hue is a turn of OpenCV's 8-bit HSV (180 steps), whose
 * round trip alone costs up to a few levels.
 */
#include "vision/pixels.h"
#include "vision/transform.h"

#include <float.h>
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

static uint8_t cut(double v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }
static float unit(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

static float grey_of_real(const float *p) { return p[0] * 0.299f + p[1] * 0.587f + p[2] * 0.114f; }

/* value -> value*factor + offset */
static void scale(struct nni_canvas *c, double factor, double offset)
{
    int64_t n = nni_canvas_values(c);
    uint8_t table[256], *byte = c->at;
    float *value = c->at, f = (float)factor, o = (float)offset;

    if (c->real) {
        for (int64_t i = 0; i < n; i++)
            value[i] = unit(value[i] * f + o);
        return;
    }
    for (int i = 0; i < 256; i++)
        table[i] = cut(i * factor + offset);
    for (int64_t i = 0; i < n; i++)
        byte[i] = table[byte[i]];
}

static void contrast(struct nni_canvas *c, double factor)
{
    int64_t pixels = c->width * c->height, sum = 0;
    const float *value = c->at;
    double mean = 0;

    for (int64_t i = 0; c->real && i < pixels; i++)
        mean += (double)grey_of_real(value + 3 * i);
    if (!c->real)
        sum = nni_pixels()->grey_sum(c->at, pixels);
    mean = (c->real ? mean : (double)sum) / (double)pixels;
    if (factor == 0 && !c->real)
        mean = floor(mean + 0.5);
    scale(c, factor, mean * (1 - factor));
}

static void saturation(struct nni_canvas *c, double factor)
{
    int64_t pixels = c->width * c->height;
    float f = (float)factor, g = (float)(1 - factor);

    if (!c->real) {
        nni_pixels()->saturate(c->at, pixels, f, g);
        return;
    }
    for (int64_t i = 0; i < pixels; i++) {
        float *value = (float *)c->at + 3 * i;
        float grey = grey_of_real(value);

        for (int k = 0; k < 3; k++)
            value[k] = unit(value[k] * f + grey * g);
    }
}

/* h in sectors of 60 degrees, s and v from 0 to 1. */
static void from_hsv(float h, float s, float v, float out[3])
{
    static const uint8_t which[6][3] = { { 0, 3, 1 }, { 2, 0, 1 }, { 1, 0, 3 },
                                         { 1, 2, 0 }, { 3, 1, 0 }, { 0, 1, 2 } };
    int sector = (int)floorf(h);
    float part = h - (float)sector;
    float value[4] = { v, v * (1 - s), v * (1 - s * part), v * (1 - s * (1 - part)) };

    sector %= 6;
    sector += sector < 0 ? 6 : 0;
    for (int k = 0; k < 3; k++)
        out[k] = value[which[sector][k]];
}

static void turn_floats(float *p, double factor)
{
    float v = fmaxf(fmaxf(p[0], p[1]), p[2]), diff = v - fminf(fminf(p[0], p[1]), p[2]);
    float s = diff / (fabsf(v) + FLT_EPSILON), per = 60 / (diff + FLT_EPSILON), h;

    h = v == p[0] ? (p[1] - p[2]) * per : v == p[1] ? (p[2] - p[0]) * per + 120 : (p[0] - p[1]) * per + 240;
    h += h < 0 ? 360 : 0;
    h = fmodf(h + (float)(factor * 360), 360);
    h += h < 0 ? 360 : 0;
    from_hsv(h * (1.0f / 60), s, v, p);
}

static void hue(struct nni_canvas *c, double factor)
{
    /* OpenCV's vectors cut fractions off, and what is left of a row rounds. */
    int64_t pixels = c->width * c->height, vectors = c->width - c->width % 32;
    const struct nni_pixel_kernels *k = nni_pixels();
    uint8_t turned[256];

    if (factor == 0)
        return;
    for (int i = 0; i < 256; i++) {
        double h = fmod(i + 180 * factor, 180);

        turned[i] = (uint8_t)(h < 0 ? h + 180 : h);
    }
    for (int64_t i = 0; c->real && i < pixels; i++)
        turn_floats((float *)c->at + 3 * i, factor);
    for (int64_t y = 0; !c->real && y < c->height; y++) {
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
