/* SPDX-License-Identifier: MIT
 *
 * Grey values, saturation and hue, on chunks of pixels whose channels were taken apart. The arithmetic is
 * OpenCV's; see vision/color_jitter.c.
 */
#include "base/isa.h"
#include "vision/pixels.h"

#include <math.h>

enum { CHUNK = 128 };

struct chunk {
    int32_t r[CHUNK], g[CHUNK], b[CHUNK];
};

static inline void take_apart(struct chunk *c, const uint8_t *rgb, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        c->r[i] = rgb[3 * i];
        c->g[i] = rgb[3 * i + 1];
        c->b[i] = rgb[3 * i + 2];
    }
}

static inline void put_together(uint8_t *rgb, const struct chunk *c, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        rgb[3 * i] = (uint8_t)c->r[i];
        rgb[3 * i + 1] = (uint8_t)c->g[i];
        rgb[3 * i + 2] = (uint8_t)c->b[i];
    }
}

/* Weights with 15 bits. */
static inline int32_t grey(int32_t r, int32_t g, int32_t b)
{
    return (r * 9798 + g * 19235 + b * 3735 + (1 << 14)) >> 15;
}

int64_t NNI_NAME(nni_grey_sum)(const uint8_t *rgb, int64_t n)
{
    int64_t sum = 0;
    struct chunk c;

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;
        int32_t part = 0;

        take_apart(&c, rgb + 3 * at, some);
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
    struct chunk c = { .r = { 0 } };

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;

        take_apart(&c, rgb + 3 * at, some);
        for (int i = 0; i < CHUNK; i++) {
            float offset = (float)grey(c.r[i], c.g[i], c.b[i]) * g;

            c.r[i] = blended(c.r[i], f, offset);
            c.g[i] = blended(c.g[i], f, offset);
            c.b[i] = blended(c.b[i], f, offset);
        }
        put_together(rgb + 3 * at, &c, some);
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
static inline void to_hsv(const struct chunk *c, int32_t *hue, int32_t *saturation, int32_t *value)
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

static inline int32_t to_byte(float v, bool cut)
{
    v *= 255;
    return cut ? (int32_t)v : rounded(v);
}

static inline __attribute__((always_inline)) void
from_hsv(struct chunk *c, const int32_t *hue, const int32_t *saturation, const int32_t *value, bool cut)
{
    for (int i = 0; i < CHUNK; i++) {
        float h = (float)hue[i] * (6.0f / 180), s = (float)saturation[i] * (1.0f / 255);
        float v = (float)value[i] * (1.0f / 255);
        int32_t sector = (int32_t)h; /* 0 to 5 */
        float part = h - (float)sector;
        int32_t most = to_byte(v, cut), least = to_byte(v * (1 - s), cut);
        int32_t falls = to_byte(v * (1 - s * part), cut), rises = to_byte(v * (1 - s * (1 - part)), cut);

        c->r[i] = sector == 0 || sector == 5 ? most : sector == 1 ? falls : sector == 4 ? rises : least;
        c->g[i] = sector == 1 || sector == 2 ? most : sector == 3 ? falls : sector == 0 ? rises : least;
        c->b[i] = sector == 3 || sector == 4 ? most : sector == 5 ? falls : sector == 2 ? rises : least;
    }
}

void NNI_NAME(nni_turn_hue)(uint8_t *rgb, int64_t n, const uint8_t turned[256], bool cut)
{
    int32_t hue[CHUNK], saturation[CHUNK], value[CHUNK];
    struct chunk c = { .r = { 0 } };

    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = n - at < CHUNK ? n - at : CHUNK;

        take_apart(&c, rgb + 3 * at, some);
        to_hsv(&c, hue, saturation, value);
        for (int i = 0; i < CHUNK; i++)
            hue[i] = turned[hue[i] & 255];
        if (cut)
            from_hsv(&c, hue, saturation, value, true);
        else
            from_hsv(&c, hue, saturation, value, false);
        put_together(rgb + 3 * at, &c, some);
    }
}
