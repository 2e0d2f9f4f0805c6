/* SPDX-License-Identifier: MIT
 *
 * Normal noise of a random variance on every value. Equal to Albumentations 1.3.1's GaussNoise for the same
 * noise: the sum is clipped and its fraction cut off, not rounded, which darkens by half a level.
 */
#include "vision/pixels.h"
#include "vision/transform.h"

#include <math.h>

enum { VARIANCE, MEAN };
enum { SIGMA };

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    out->v[SIGMA] = sqrt(nni_dice_uniform(d, s->low[VARIANCE], s->high[VARIANCE]));
    out->dice = *d;
}

static void add_floats(float *value, const float *noise, float mean, float sigma, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float v = value[i] + (mean + sigma * noise[i]);

        value[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
}

static void add_given(const struct nni_drawn *drawn, struct nni_canvas *c)
{
    uint8_t *byte = c->at;
    float *value = c->at;

    for (int64_t i = 0; i < nni_canvas_values(c); i++) {
        double v = (c->real ? (double)value[i] : byte[i]) + drawn->noise[i], most = c->real ? 1 : 255;

        v = v < 0 ? 0 : v > most ? most : v;
        if (c->real)
            value[i] = (float)v;
        else
            byte[i] = (uint8_t)v;
    }
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    const struct nni_pixel_kernels *pixels = nni_pixels();
    const struct nni_dice *dice = &drawn->dice;
    float noise[NNI_NOISE], mean = (float)s->low[MEAN], sigma = (float)drawn->v[SIGMA];
    int64_t n = nni_canvas_values(c);

    if (drawn->noise) {
        add_given(drawn, c);
        return NN_OK;
    }
    for (int64_t i = 0; i < n; i += NNI_NOISE) {
        int64_t some = n - i < NNI_NOISE ? n - i : NNI_NOISE;

        /* Four numbers for each index. */
        pixels->normals(&dice->stream, dice->sample, dice->epoch, dice->index + (uint32_t)(i / 4), noise);
        if (c->real)
            add_floats((float *)c->at + i, noise, mean, sigma, some);
        else
            pixels->add_noise((uint8_t *)c->at + i, noise, mean, sigma, some);
    }
    return NN_OK;
}

const struct nni_transform nni_transform_gauss_noise = {
    .name = "gauss_noise",
    .p = 0.5,
    .setting = { [VARIANCE] = { "variance", 10, 50, 0, 1e6 }, [MEAN] = { "mean", 0, 0, -255, 255 } },
    .draw = draw,
    .apply = apply,
};
