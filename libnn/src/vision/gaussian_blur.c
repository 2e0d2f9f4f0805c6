/* SPDX-License-Identifier: MIT
 *
 * A symmetric Gaussian blur of random width. Equal to OpenCV's GaussianBlur with a kernel size of 0 for 8-bit
 * pictures: the kernel reaches over three standard deviations, its weights have 8 bits and pass their
 * rounding error on to the next, rows are summed without rounding and columns rounded once; edges are
 * mirrored.
 */
#include "vision/transform.h"

#include <math.h>
#include <string.h>

enum { SIGMA }; /* setting and drawn */
enum { MOST_SIGMA = 32, MOST_REACH = 3 * MOST_SIGMA, ONE = 256 };

static void draw(const struct nni_step *s, struct nni_dice *d, int64_t width, int64_t height,
                 struct nni_drawn *out)
{
    (void)width;
    (void)height;
    out->v[SIGMA] = nni_dice_uniform(d, s->low[SIGMA], s->high[SIGMA]);
}

/* Weights from the middle outwards; the result is how many there are besides the middle. */
static int make_kernel(double sigma, uint16_t weight[MOST_REACH + 1])
{
    int reach = ((int)lrint(sigma * 6 + 1) | 1) / 2, rest = ONE;
    double value[MOST_REACH + 1], sum = 0, error = 0;

    for (int i = reach; i > 0; i--) {
        value[i] = exp(-(double)(i * i) / (2 * sigma * sigma));
        sum += value[i];
    }
    for (int i = reach; i > 0; i--) {
        double exact = value[i] / (2 * sum + 1) * ONE + error;

        weight[i] = (uint16_t)lrint(exact);
        error = exact - weight[i];
        rest -= 2 * weight[i];
    }
    weight[0] = (uint16_t)rest;
    return reach;
}

/* A row and what lies beyond its ends, blurred along. `wide` has room for all of that. */
static void blur_row(const uint8_t *from, int64_t width, const uint16_t *weight, int reach, uint8_t *wide,
                     uint16_t *to)
{
    const uint8_t *middle = wide + 3 * reach;

    for (int64_t x = -reach; x < width + reach; x++)
        memcpy(wide + 3 * (x + reach), from + 3 * nni_mirrored(x, width), 3);
    for (int64_t i = 0; i < 3 * width; i++)
        to[i] = (uint16_t)(weight[0] * middle[i]);
    for (int k = 1; k <= reach; k++)
        for (int64_t i = 0; i < 3 * width; i++)
            to[i] = (uint16_t)(to[i] + weight[k] * (middle[i - 3 * k] + middle[i + 3 * k]));
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    uint16_t weight[MOST_REACH + 1];
    int reach = make_kernel(drawn->v[SIGMA], weight);
    int64_t row = 3 * c->width;
    uint8_t *wide = nni_scratch(c->scratch, NNI_SCRATCH_ROWS, (size_t)(row + 6 * reach));
    uint32_t *sum = nni_scratch(c->scratch, NNI_SCRATCH_FIELD,
                                (size_t)row * sizeof *sum + (size_t)(row * c->height) * sizeof(uint16_t));
    uint16_t *rows = sum ? (uint16_t *)(sum + row) : NULL;

    (void)s;
    if (!wide || !rows)
        return NN_ENOMEM;
    for (int64_t y = 0; y < c->height; y++)
        blur_row((const uint8_t *)c->at + y * row, c->width, weight, reach, wide, rows + y * row);
    for (int64_t y = 0; y < c->height; y++) {
        uint8_t *to = (uint8_t *)c->at + y * row;

        for (int64_t i = 0; i < row; i++)
            sum[i] = (uint32_t)weight[0] * rows[y * row + i] + ONE * ONE / 2;
        for (int k = 1; k <= reach; k++) {
            const uint16_t *above = rows + nni_mirrored(y - k, c->height) * row;
            const uint16_t *below = rows + nni_mirrored(y + k, c->height) * row;

            for (int64_t i = 0; i < row; i++)
                sum[i] += weight[k] * ((uint32_t)above[i] + below[i]);
        }
        for (int64_t i = 0; i < row; i++)
            to[i] = (uint8_t)(sum[i] / (ONE * ONE));
    }
    return NN_OK;
}

const struct nni_transform nni_transform_gaussian_blur = {
    .name = "gaussian_blur",
    .p = 0.5,
    .bytes = true,
    .setting = { [SIGMA] = { "sigma", 0.1, 2, 0.01, MOST_SIGMA } },
    .draw = draw,
    .apply = apply,
};
