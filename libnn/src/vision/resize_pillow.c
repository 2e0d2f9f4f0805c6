/* SPDX-License-Identifier: MIT
 *
 * Pillow's Image.resize with BILINEAR and BICUBIC, bit for bit: the filter is widened by the scale when
 * shrinking (antialiasing), weights are normalised in double and rounded to 22 bits, and the first pass is
 * rounded and clipped to 8 bits before the second. That makes the order of the passes visible, by one level
 * for BILINEAR and more where BICUBIC overshoots: the horizontal pass is first, except (since Pillow 13) when
 * the height shrinks by more than twice as many pixels as the width.
 */
#include "vision.h"

#include <math.h>

enum { BITS = 32 - 8 - 2, HALF = 1 << (BITS - 1), STRIP = 96 };

struct axis {
    int32_t *first, *count, *weight; /* weight[out][most] */
    int64_t most;
};

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic with a = -0.5. */
static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double stretch(int64_t in, int64_t out)
{
    double scale = (double)in / (double)out;

    return scale < 1.0 ? 1.0 : scale;
}

static int64_t widest(int64_t in, int64_t out, double support)
{
    return (int64_t)ceil(support * stretch(in, out)) * 2 + 1;
}

static void weigh(const struct axis *axis, int64_t in, int64_t out, bool bicubic, double *k)
{
    double scale = (double)in / (double)out, wide = stretch(in, out), support = (bicubic ? 2.0 : 1.0) * wide;

    for (int64_t i = 0; i < out; i++) {
        double centre = ((double)i + 0.5) * scale, sum = 0.0, narrow = 1.0 / wide;
        int64_t first = (int64_t)(centre - support + 0.5), end = (int64_t)(centre + support + 0.5);
        int32_t *weight = axis->weight + i * axis->most;

        first = first < 0 ? 0 : first;
        end = end > in ? in : end;
        for (int64_t x = 0; x < end - first; x++) {
            double at = ((double)(x + first) - centre + 0.5) * narrow;

            k[x] = bicubic ? cubic(at) : triangle(at);
            sum += k[x];
        }
        for (int64_t x = 0; x < end - first; x++) {
            double v = (sum != 0.0 ? k[x] / sum : k[x]) * (1 << BITS);

            weight[x] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
        axis->first[i] = (int32_t)first;
        axis->count[i] = (int32_t)(end - first);
    }
}

static inline uint8_t clip(int32_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void across(uint8_t *restrict to, const uint8_t *restrict from, const struct axis *axis, int64_t width)
{
    for (int64_t x = 0; x < width; x++, to += 3) {
        const uint8_t *p = from + 3 * axis->first[x];
        const int32_t *k = axis->weight + x * axis->most;
        int32_t r = HALF, g = HALF, b = HALF;

        for (int32_t n = axis->count[x]; n > 0; n--, p += 3, k++) {
            r += p[0] * *k;
            g += p[1] * *k;
            b += p[2] * *k;
        }
        to[0] = clip(r);
        to[1] = clip(g);
        to[2] = clip(b);
    }
}

/* Strips of a fixed width keep the sums in registers. */
static void down(uint8_t *restrict to, const uint8_t *from, size_t stride, const int32_t *k, int32_t count,
                 int64_t n)
{
    int32_t sum[STRIP];
    int64_t i = 0;

    for (; i + STRIP <= n; i += STRIP) {
        for (int j = 0; j < STRIP; j++)
            sum[j] = HALF;
        for (int32_t t = 0; t < count; t++) {
            const uint8_t *p = from + (size_t)t * stride + i;

            for (int j = 0; j < STRIP; j++)
                sum[j] += p[j] * k[t];
        }
        for (int j = 0; j < STRIP; j++)
            to[i + j] = clip(sum[j]);
    }
    for (; i < n; i++) {
        int32_t rest = HALF;

        for (int32_t t = 0; t < count; t++)
            rest += from[(size_t)t * stride + (size_t)i] * k[t];
        to[i] = clip(rest);
    }
}

static size_t axis_bytes(int64_t out, int64_t most)
{
    return (size_t)out * (2 + (size_t)most) * sizeof(int32_t);
}

static int32_t *lay_out(struct axis *axis, int32_t *at, int64_t out, int64_t most)
{
    *axis = (struct axis){ .first = at, .count = at + out, .weight = at + 2 * out, .most = most };
    return axis->weight + out * most;
}

static void all_across(uint8_t *to, size_t to_stride, const uint8_t *from, size_t from_stride, int64_t rows,
                       const struct axis *axis, int64_t width)
{
    for (int64_t y = 0; y < rows; y++)
        across(to + (size_t)y * to_stride, from + (size_t)y * from_stride, axis, width);
}

/* `top` is the number of the row that `from` points to. */
static void all_down(uint8_t *to, size_t to_stride, const uint8_t *from, size_t from_stride, int64_t top,
                     const struct axis *axis, int64_t rows, int64_t width)
{
    for (int64_t y = 0; y < rows; y++)
        down(to + (size_t)y * to_stride, from + (size_t)(axis->first[y] - top) * from_stride, from_stride,
             axis->weight + y * axis->most, axis->count[y], 3 * width);
}

int nni_resize_pillow(const nn_image *out, const nn_image *in, bool bicubic, nn_vision_scratch *scratch)
{
    double support = bicubic ? 2.0 : 1.0;
    int64_t w = out->width, h = out->height, top, rows;
    int64_t wide = widest(in->width, w, support), high = widest(in->height, h, support);
    size_t k_bytes = (size_t)(wide > high ? wide : high) * sizeof(double);
    size_t to = nni_image_stride(out), from = nni_image_stride(in);
    bool down_first = h < in->height && in->height - h > 2 * (in->width - w);
    struct axis x, y;
    uint8_t *middle;
    double *k = nni_scratch(scratch, 0, k_bytes + axis_bytes(w, wide) + axis_bytes(h, high));

    if (!k)
        return NN_ENOMEM;
    (void)lay_out(&y, lay_out(&x, (int32_t *)(void *)((char *)k + k_bytes), w, wide), h, high);
    weigh(&x, in->width, w, bicubic, k);
    weigh(&y, in->height, h, bicubic, k);
    if (in->height == h) {
        all_across(out->rgb, to, in->rgb, from, h, &x, w);
        return NN_OK;
    }
    if (in->width == w) {
        all_down(out->rgb, to, in->rgb, from, 0, &y, h, w);
        return NN_OK;
    }
    top = y.first[0];
    rows = y.first[h - 1] + y.count[h - 1] - top;
    middle = nni_scratch(scratch, 1, (size_t)(down_first ? h * in->width : rows * w) * 3);
    if (!middle)
        return NN_ENOMEM;
    if (down_first) {
        all_down(middle, (size_t)in->width * 3, in->rgb, from, 0, &y, h, in->width);
        all_across(out->rgb, to, middle, (size_t)in->width * 3, h, &x, w);
    } else {
        all_across(middle, (size_t)w * 3, in->rgb + (size_t)top * from, from, rows, &x, w);
        all_down(out->rgb, to, middle, (size_t)w * 3, top, &y, h, w);
    }
    return NN_OK;
}
