/* SPDX-License-Identifier: MIT
 *
 * Grey values, saturation and hue, on chunks of pixels whose channels were taken apart, and what is done to
 * each value alone. The arithmetic is OpenCV's; see vision/color_jitter.c.
 */
#include "base/isa.h"
#include "vision/pixels.h"

#include <float.h>
#include <math.h>

enum { CHUNK = 128, SUMS = 16 };

/* Pixels of a chunk, and how they get there from `stored` values and back. */
#define CHUNKS(name, channel, stored)                                                                        \
    struct name {                                                                                            \
        channel r[CHUNK], g[CHUNK], b[CHUNK];                                                                \
    };                                                                                                       \
    static inline void take_##name(struct name *c, const stored *rgb, int64_t n)                             \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            c->r[i] = rgb[3 * i];                                                                            \
            c->g[i] = rgb[3 * i + 1];                                                                        \
            c->b[i] = rgb[3 * i + 2];                                                                        \
        }                                                                                                    \
    }                                                                                                        \
    static inline void put_##name(stored *rgb, const struct name *c, int64_t n)                              \
    {                                                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            rgb[3 * i] = (stored)c->r[i];                                                                    \
            rgb[3 * i + 1] = (stored)c->g[i];                                                                \
            rgb[3 * i + 2] = (stored)c->b[i];                                                                \
        }                                                                                                    \
    }
CHUNKS(bytes, int32_t, uint8_t)
CHUNKS(reals, float, float)

/* Weights with 15 bits. */
static inline int32_t grey(int32_t r, int32_t g, int32_t b)
{
    return (r * 9798 + g * 19235 + b * 3735 + (1 << 14)) >> 15;
}

int64_t NNI_NAME(nni_grey_sum)(const uint8_t *rgb, int64_t n)
{
    int64_t sum = 0;
    struct bytes c;

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;
        int32_t part = 0;

        take_bytes(&c, rgb + 3 * at, some);
        for (int64_t i = 0; i < some; i++)
            part += grey(c.r[i], c.g[i], c.b[i]);
        sum += part;
    }
    return sum;
}

/* To the nearest, halves to even, of what lies between 0 and 255 or is clipped to it. */
static inline int32_t rounded(float v)
{
    return (int32_t)((v < 0 ? 0 : v > 255 ? 255 : v) + 0x1p23f - 0x1p23f);
}

/* What OpenCV computes with a fused multiply-add. */
static inline int32_t blended(int32_t byte, float f, float offset)
{
    return rounded((float)((double)byte * (double)f + (double)offset));
}

void NNI_NAME(nni_saturate)(uint8_t *rgb, int64_t n, float f, float g)
{
    struct bytes c = { .r = { 0 } };

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;

        take_bytes(&c, rgb + 3 * at, some);
        for (int i = 0; i < CHUNK; i++) {
            float offset = (float)grey(c.r[i], c.g[i], c.b[i]) * g;

            c.r[i] = blended(c.r[i], f, offset);
            c.g[i] = blended(c.g[i], f, offset);
            c.b[i] = blended(c.b[i], f, offset);
        }
        put_bytes(rgb + 3 * at, &c, some);
    }
}

/* Quotients with 12 bits, rounded; OpenCV has them in tables. In float they come out the same: a quotient is
 * further from the middle between two integers than a float of its size is wrong. */
static inline int32_t share(int32_t part, float all, int32_t of)
{
    float q = of ? all / (float)of : 0;

    return (part * (int32_t)(q + 0x1p23f - 0x1p23f) + (1 << 11)) >> 12;
}

/* Hue in steps of 2 degrees, saturation to 255; the largest channel is the value. */
static inline void to_hsv(const struct bytes *c, int32_t *hue, int32_t *saturation, int32_t *value)
{
    for (int i = 0; i < CHUNK; i++) {
        int32_t r = c->r[i], g = c->g[i], b = c->b[i];
        int32_t v = r > g ? r : g, low = r < g ? r : g, diff, h;

        v = v > b ? v : b;
        low = low < b ? low : b;
        diff = v - low;
        h = v == r ? g - b : v == g ? b - r + 2 * diff : r - g + 4 * diff;
        h = share(h, (180 << 12) / 6.0f, diff);
        hue[i] = h + (h < 0 ? 180 : 0);
        saturation[i] = share(diff, 255 << 12, v);
        value[i] = v;
    }
}

/* What a channel can be, and the sector of the hue that decides. Computed in one loop and chosen in another:
 * compilers make branches of a choice between sums. */
struct choice {
    int32_t sector[CHUNK];
    float most[CHUNK], least[CHUNK], falls[CHUNK], rises[CHUNK];
};

/* Pixel i of hue h in sectors of 60 degrees from 0 to 6, saturation s and value v to 1. */
static inline void from_hsv(struct choice *c, int i, float h, float s, float v)
{
    int32_t sector = (int32_t)h;
    float part = h - (float)sector;

    c->sector[i] = sector;
    c->most[i] = v;
    c->least[i] = v * (1 - s);
    c->falls[i] = v * (1 - s * part);
    c->rises[i] = v * (1 - s * (1 - part));
}

/* Channels 0 to 2 are the same but for the sector: sector 6 is 0 again. */
static inline float chosen(const struct choice *c, int i, int channel)
{
    int32_t k = c->sector[i] - 2 * channel; /* -4 to 6 */
    float most = c->most[i], least = c->least[i], falls = c->falls[i], rises = c->rises[i];

    k += k < 0 ? 6 : 0;
    return k == 1 ? falls : k == 2 || k == 3 ? least : k == 4 ? rises : most;
}

static inline int32_t to_byte(float v, bool cut)
{
    v *= 255;
    return cut ? (int32_t)v : rounded(v);
}

static inline __attribute__((always_inline)) void choose_bytes(struct bytes *to, const struct choice *from,
                                                               bool cut)
{
    for (int i = 0; i < CHUNK; i++) {
        to->r[i] = to_byte(chosen(from, i, 0), cut);
        to->g[i] = to_byte(chosen(from, i, 1), cut);
        to->b[i] = to_byte(chosen(from, i, 2), cut);
    }
}

void NNI_NAME(nni_turn_hue)(uint8_t *rgb, int64_t n, const uint8_t turned[256], bool cut)
{
    int32_t hue[CHUNK], saturation[CHUNK], value[CHUNK];
    struct bytes c = { .r = { 0 } };
    struct choice choice;

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;

        take_bytes(&c, rgb + 3 * at, some);
        to_hsv(&c, hue, saturation, value);
        for (int i = 0; i < CHUNK; i++)
            hue[i] = turned[hue[i] & 255];
        for (int i = 0; i < CHUNK; i++)
            from_hsv(&choice, i, (float)hue[i] * (6.0f / 180), (float)saturation[i] * (1.0f / 255),
                     (float)value[i] * (1.0f / 255));
        if (cut)
            choose_bytes(&c, &choice, true);
        else
            choose_bytes(&c, &choice, false);
        put_bytes(rgb + 3 * at, &c, some);
    }
}

/* ---------------------------------------------------------------------------------------------- floats */

static inline float grey_real(float r, float g, float b) { return r * 0.299f + g * 0.587f + b * 0.114f; }
static inline float unit(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/* A fixed number of sums, so that all instruction sets add in the same order. */
double NNI_NAME(nni_grey_sum_real)(const float *rgb, int64_t n)
{
    double sum[SUMS] = { 0 }, all = 0;
    struct reals c;

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;

        c = (struct reals){ .r = { 0 } };
        take_reals(&c, rgb + 3 * at, some);
        for (int i = 0; i < CHUNK; i += SUMS)
            for (int k = 0; k < SUMS; k++)
                sum[k] += (double)grey_real(c.r[i + k], c.g[i + k], c.b[i + k]);
    }
    for (int k = 0; k < SUMS; k++)
        all += sum[k];
    return all;
}

void NNI_NAME(nni_saturate_real)(float *rgb, int64_t n, float f, float g)
{
    struct reals c = { .r = { 0 } };

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;

        take_reals(&c, rgb + 3 * at, some);
        for (int i = 0; i < CHUNK; i++) {
            float grey = grey_real(c.r[i], c.g[i], c.b[i]) * g;

            c.r[i] = unit(c.r[i] * f + grey);
            c.g[i] = unit(c.g[i] * f + grey);
            c.b[i] = unit(c.b[i] * f + grey);
        }
        put_reals(rgb + 3 * at, &c, some);
    }
}

/* Into [0,360] from at most one turn beyond. */
static inline float once_around(float degrees)
{
    degrees -= degrees >= 360 ? 360.0f : 0.0f;
    return degrees + (degrees < 0 ? 360.0f : 0.0f);
}

void NNI_NAME(nni_turn_hue_real)(float *rgb, int64_t n, float degrees)
{
    struct reals c = { .r = { 0 } };
    struct choice choice;

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;

        take_reals(&c, rgb + 3 * at, some);
        for (int i = 0; i < CHUNK; i++) {
            float r = c.r[i], g = c.g[i], b = c.b[i];
            float v = r > g ? r : g, low = r < g ? r : g, diff, per, h, from;

            v = v > b ? v : b;
            low = low < b ? low : b;
            diff = v - low;
            per = 60 / (diff + FLT_EPSILON);
            from = v == r ? 0.0f : v == g ? 120.0f : 240.0f;
            h = (v == r ? g : v == g ? b : r) - (v == r ? b : v == g ? r : g);
            h = once_around(once_around(h * per + from) + degrees);
            from_hsv(&choice, i, h * (1.0f / 60), diff / (fabsf(v) + FLT_EPSILON), v);
        }
        for (int i = 0; i < CHUNK; i++) {
            c.r[i] = chosen(&choice, i, 0);
            c.g[i] = chosen(&choice, i, 1);
            c.b[i] = chosen(&choice, i, 2);
        }
        put_reals(rgb + 3 * at, &c, some);
    }
}

void NNI_NAME(nni_scale_real)(float *value, int64_t n, float factor, float offset)
{
    for (int64_t i = 0; i < n; i++)
        value[i] = unit(value[i] * factor + offset);
}

/* The three channels of as many pixels as fill whole vectors of every instruction set. */
void NNI_NAME(nni_normalize)(float *to, const uint8_t *rgb, int64_t n, const float offset[3],
                             const float factor[3])
{
    enum { PATTERN = 3 * 16 };
    float o[PATTERN], f[PATTERN];
    int64_t at = 0;

    for (int i = 0; i < PATTERN; i++) {
        o[i] = offset[i % 3];
        f[i] = factor[i % 3];
    }
    for (; at + PATTERN <= 3 * n; at += PATTERN)
        for (int i = 0; i < PATTERN; i++)
            to[at + i] = ((float)rgb[at + i] - o[i]) * f[i];
    for (int i = 0; at < 3 * n; at++, i++)
        to[at] = ((float)rgb[at] - o[i]) * f[i];
}
