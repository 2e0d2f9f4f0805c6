/* SPDX-License-Identifier: MIT
 *
 * A small blur of random shape: a generalised normal distribution, stretched and turned, with noise on its
 * weights. Equal to Albumentations 1.3.1's AdvancedBlur; edges are mirrored.
 * Source: Wang et al., "Real-ESRGAN", arXiv 2107.10833.
 */
#include "vision/pixels.h"
#include "vision/transform.h"

#include <math.h>

enum { KERNEL, SIGMA_X, SIGMA_Y, ROTATE, BETA, NOISE };
enum { SIZE, WEIGHTS, MOST = 7 }; /* drawn: odd side, then the weights by rows */

/* The odd sizes of the range, as 2*r+1. */
static int64_t least_radius(const struct nni_step *s) { return ((int64_t)ceil(s->low[KERNEL]) | 1) / 2; }
static int64_t most_radius(const struct nni_step *s) { return ((int64_t)floor(s->high[KERNEL]) - 1) / 2; }

static const char *wrong(const struct nni_step *s)
{
    return least_radius(s) > most_radius(s)        ? "kernel: there is no odd number in its range"
           : s->low[BETA] > 1 || s->high[BETA] < 1 ? "beta: 1 is not in its range"
           : s->high[NOISE] <= 0                   ? "noise: its range ends at 0, which leaves no weight"
                                                   : NULL;
}

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    int64_t r = nni_dice_int(d, least_radius(s), most_radius(s)), n = 2 * r + 1;
    double sx = nni_dice_uniform(d, s->low[SIGMA_X], s->high[SIGMA_X]);
    double sy = nni_dice_uniform(d, s->low[SIGMA_Y], s->high[SIGMA_Y]);
    double angle = nni_dice_uniform(d, s->low[ROTATE], s->high[ROTATE]) * (3.14159265358979323846 / 180);
    bool heavy = nni_dice_uniform(d, 0, 1) < 0.5; /* tails; each half as often as the other */
    double beta = heavy ? nni_dice_uniform(d, s->low[BETA], 1) : nni_dice_uniform(d, 1, s->high[BETA]);
    double c = cos(angle), si = sin(angle), ix = 1 / (sx * sx), iy = 1 / (sy * sy);
    double xx = c * c * ix + si * si * iy, xy = c * si * (ix - iy), yy = si * si * ix + c * c * iy;
    double sum = 0;

    (void)width;
    (void)height;
    out->v[SIZE] = (double)n;
    for (int64_t y = -r; y <= r; y++)
        for (int64_t x = -r; x <= r; x++) {
            double q = xx * (double)(x * x) + 2 * xy * (double)(x * y) + yy * (double)(y * y);
            double w = exp(-0.5 * pow(q, beta)) * nni_dice_uniform(d, s->low[NOISE], s->high[NOISE]);

            out->v[WEIGHTS + (y + r) * n + x + r] = w;
            sum += w;
        }
    for (int64_t i = 0; i < n * n; i++)
        out->v[WEIGHTS + i] = (double)((float)out->v[WEIGHTS + i] / (float)sum);
}

/* Row y of the picture as floats, with r mirrored pixels on both sides. */
static void widen(const struct nni_canvas *c, int64_t y, int64_t r, float *to)
{
    const uint8_t *byte = (const uint8_t *)c->at + 3 * c->width * y;
    const float *value = (const float *)c->at + 3 * c->width * y;
    float *middle = to + 3 * r;

    for (int64_t i = 0; i < 3 * c->width; i++)
        middle[i] = c->real ? value[i] : (float)byte[i];
    for (int64_t x = 1; x <= r; x++)
        for (int k = 0; k < 3; k++) {
            middle[3 * -x + k] = middle[3 * nni_mirrored(-x, c->width) + k];
            middle[3 * (c->width - 1 + x) + k] = middle[3 * nni_mirrored(c->width - 1 + x, c->width) + k];
        }
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    const struct nni_pixel_kernels *pixels = nni_pixels();
    int64_t n = (int64_t)drawn->v[SIZE], r = n / 2, width = 3 * c->width, wide = width + 6 * r;
    void *to = nni_canvas_next(c, c->width, c->height, c->real);
    float *row = nni_scratch(c->scratch, NNI_SCRATCH_FIELD, (size_t)(wide * n + width) * sizeof *row);
    float *sum = row ? row + wide * n : NULL, weight[MOST * MOST];
    const float *from[MOST * MOST];

    (void)s;
    if (!to || !row)
        return NN_ENOMEM;
    for (int64_t i = 0; i < n * n; i++)
        weight[i] = (float)drawn->v[WEIGHTS + i];
    for (int64_t y = -r; y < r; y++) /* a ring of rows: row y is at (y + r) % n */
        widen(c, nni_mirrored(y, c->height), r, row + (y + r) % n * wide);
    for (int64_t y = 0; y < c->height; y++) {
        widen(c, nni_mirrored(y + r, c->height), r, row + (y + 2 * r) % n * wide);
        for (int64_t i = 0; i < n * n; i++)
            from[i] = row + (y + i / n) % n * wide + 3 * (i % n);
        pixels->weighted_sum(c->real ? (float *)to + width * y : sum, from, weight, n * n, width);
        if (!c->real)
            pixels->to_bytes((uint8_t *)to + width * y, sum, width);
    }
    nni_canvas_turn(c, c->width, c->height, c->real);
    return NN_OK;
}

const struct nni_transform nni_transform_advanced_blur = {
    .name = "advanced_blur",
    .p = 0.5,
    .setting = { [KERNEL] = { "kernel", 3, 7, 1, MOST },
                 [SIGMA_X] = { "sigma_x", 0.2, 1, 0.01, 100 },
                 [SIGMA_Y] = { "sigma_y", 0.2, 1, 0.01, 100 },
                 [ROTATE] = { "rotate", -90, 90, -360, 360 },
                 [BETA] = { "beta", 0.5, 8, 0.01, 100 },
                 [NOISE] = { "noise", 0.9, 1.1, 0, 100 } },
    .wrong = wrong,
    .draw = draw,
    .apply = apply,
};
