/* SPDX-License-Identifier: MIT
 *
 * See warp.h. The arithmetic is that of OpenCV's remap and warpAffine: places in 1/32, for an affine map by
 * way of 1/1024; weights with 10 bits, sums rounded half up. Everything is integer once the places are, so
 * 8-bit results are equal to the bit.
 */
#include "vision/warp.h"
#include "vision/pixels.h"

#include <math.h>

enum { MASK = NNI_PLACE - 1, AFFINE = 10, ALL = NNI_PLACE * NNI_PLACE };

/* Saturated to 16 bits, where places end. */
static int64_t whole(int32_t place)
{
    int32_t v = place >> NNI_PLACE_BITS;

    return v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v;
}

/* Index of the pixel that stands for (x,y); -1 for black. */
static int64_t neighbour(const struct nni_canvas *c, int64_t x, int64_t y, enum nni_border border)
{
    if (x >= 0 && x < c->width && y >= 0 && y < c->height)
        return y * c->width + x;
    if (border == NNI_BORDER_BLACK)
        return -1;
    return nni_mirrored(y, c->height) * c->width + nni_mirrored(x, c->width);
}

/* The four pixels around a place. */
static void neighbours(const struct nni_canvas *c, int64_t x, int64_t y, enum nni_border border,
                       int64_t at[4])
{
    at[0] = neighbour(c, x, y, border);
    at[1] = neighbour(c, x + 1, y, border);
    at[2] = neighbour(c, x, y + 1, border);
    at[3] = neighbour(c, x + 1, y + 1, border);
}

/* A place of which some neighbours are outside. */
static void byte_edge(const struct nni_canvas *c, int32_t sx, int32_t sy, uint8_t *to, enum nni_border border)
{
    const uint8_t *from = c->at;
    int fx = sx & MASK, fy = sy & MASK;
    int w[4] = { (NNI_PLACE - fx) * (NNI_PLACE - fy), fx * (NNI_PLACE - fy), (NNI_PLACE - fx) * fy, fx * fy };
    int sum[3] = { ALL / 2, ALL / 2, ALL / 2 };
    int64_t at[4];

    neighbours(c, whole(sx), whole(sy), border, at);
    for (int j = 0; j < 4; j++)
        for (int k = 0; at[j] >= 0 && k < 3; k++)
            sum[k] += from[3 * at[j] + k] * w[j];
    for (int k = 0; k < 3; k++)
        to[k] = (uint8_t)(sum[k] / ALL);
}

static void real_edge(const struct nni_canvas *c, int32_t sx, int32_t sy, float *to, enum nni_border border)
{
    const float *from = c->at;
    float fx = (float)(sx & MASK) / NNI_PLACE, fy = (float)(sy & MASK) / NNI_PLACE;
    float w[4] = { (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy };
    int64_t at[4];

    neighbours(c, whole(sx), whole(sy), border, at);
    for (int k = 0; k < 3; k++)
        to[k] = 0;
    for (int j = 0; j < 4; j++)
        for (int k = 0; at[j] >= 0 && k < 3; k++)
            to[k] += from[3 * at[j] + k] * w[j];
}

/* One row of the target. */
static void sample_row(const struct nni_canvas *c, const int32_t *sx, const int32_t *sy, void *to,
                       enum nni_border border)
{
    const struct nni_source from = { .pixels = c->at, .width = c->width, .height = c->height };
    const struct nni_pixel_kernels *pixels = nni_pixels();
    uint8_t *byte = to;
    float *value = to;

    for (int64_t i = 0; i < c->width; i++) {
        int64_t left = c->width - i;

        i += c->real ? pixels->sample_real(&from, sx + i, sy + i, value + 3 * i, left)
                     : pixels->sample(&from, sx + i, sy + i, byte + 3 * i, left);
        if (i == c->width)
            break;
        if (c->real)
            real_edge(c, sx[i], sy[i], value + 3 * i, border);
        else
            byte_edge(c, sx[i], sy[i], byte + 3 * i, border);
    }
}

int nni_warp(struct nni_canvas *c, nni_warp_row *row, const void *context, enum nni_border border)
{
    int64_t width = c->width, height = c->height;
    size_t bytes = (size_t)width * nni_pixel_bytes(c->real); /* of a row */
    char *to = nni_canvas_next(c, width, height, c->real);
    int32_t *sx = nni_scratch(c->scratch, NNI_SCRATCH_ROWS, (size_t)width * 2 * sizeof *sx);

    if (!to || !sx)
        return NN_ENOMEM;
    for (int64_t y = 0; y < height; y++) {
        row(context, y, width, sx, sx + width);
        sample_row(c, sx, sx + width, to + (size_t)y * bytes, border);
    }
    nni_canvas_turn(c, width, height, c->real);
    return NN_OK;
}

/* ------------------------------------------------------------------------ affine maps */

static int32_t rounded(double v)
{
    return v >= 2147483647.0 ? INT32_MAX : v <= -2147483648.0 ? INT32_MIN : (int32_t)lrint(v);
}

/* Differences wrap, as the integers of the original do. */
static int32_t add_wrapped(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

/* The map from target to source, with what a step along x adds to the source's x and y, for each x. */
struct affine {
    double m[6];
    int32_t *dx, *dy;
};

static void affine_row(const void *context, int64_t y, int64_t width, int32_t *sx, int32_t *sy)
{
    const struct affine *a = context;
    const double *m = a->m;
    int half = 1 << (AFFINE - NNI_PLACE_BITS - 1);
    int32_t x0 = add_wrapped(rounded((m[1] * (double)y + m[2]) * (1 << AFFINE)), half);
    int32_t y0 = add_wrapped(rounded((m[4] * (double)y + m[5]) * (1 << AFFINE)), half);

    for (int64_t x = 0; x < width; x++) {
        sx[x] = add_wrapped(x0, a->dx[x]) >> (AFFINE - NNI_PLACE_BITS);
        sy[x] = add_wrapped(y0, a->dy[x]) >> (AFFINE - NNI_PLACE_BITS);
    }
}

int nni_warp_affine(struct nni_canvas *c, const double m[6], enum nni_border border)
{
    double d = m[0] * m[4] - m[1] * m[3];
    struct affine a = { .dx =
                            nni_scratch(c->scratch, NNI_SCRATCH_FIELD, (size_t)c->width * 2 * sizeof *a.dx) };
    double *inverse = a.m;

    if (!a.dx)
        return NN_ENOMEM;
    d = d != 0 ? 1 / d : 0;
    inverse[0] = m[4] * d;
    inverse[4] = m[0] * d;
    inverse[1] = -m[1] * d;
    inverse[3] = -m[3] * d;
    inverse[2] = -inverse[0] * m[2] - inverse[1] * m[5];
    inverse[5] = -inverse[3] * m[2] - inverse[4] * m[5];
    a.dy = a.dx + c->width;
    for (int64_t x = 0; x < c->width; x++) {
        a.dx[x] = rounded(inverse[0] * (double)x * (1 << AFFINE));
        a.dy[x] = rounded(inverse[3] * (double)x * (1 << AFFINE));
    }
    return nni_warp(c, affine_row, &a, border);
}
