/* SPDX-License-Identifier: MIT
 *
 * Normal noise of a random variance on every value. Equal to Albumentations 1.3.1's GaussNoise for the same
 * noise: the sum is clipped and its fraction cut off, not rounded, which darkens by half a level.
 */
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

enum { BLOCK = 256 };

/* log(u) for u in (0,1], within 2e-7 of it: exponent and a polynomial of the mantissa; vectorises. */
static inline float log_of(float u)
{
    union {
        float f;
        int32_t i;
    } b = { .f = u };
    int32_t e = (b.i - 0x3f3504f3) >> 23; /* the mantissa lies about 1, in [0.707,1.414) */
    float m, p;

    b.i -= (int32_t)((uint32_t)e << 23);
    m = b.f - 1;
    p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    return (float)e * 0.69314718056f + (m - 0.5f * m * m + m * m * m * p);
}

/* sin(2 pi t) for t in [-1/4,1/4]. */
static inline float sine_of(float t)
{
    float x = t * 6.28318530718f, y = x * x;

    return x * (1 + y * (-1.6666654611e-1f + y * (8.3321608736e-3f + y * (-1.9515295891e-4f + y * 2.6e-6f))));
}

/* 2*BLOCK standard normal numbers from 2*BLOCK words (Box-Muller). The angle is one of the first quadrant and
 * two signs: no branch, so that the loop vectorises. */
static void normals(const uint32_t *word, float *out)
{
    for (int i = 0; i < BLOCK; i++) {
        float u = ((float)(int32_t)(word[i] >> 8) + 0.5f) * 0x1p-24f, r = sqrtf(-2 * log_of(u));
        float turn = (float)(int32_t)(word[BLOCK + i] >> 8) * 0x1p-26f; /* [0,1/4) */
        float up = (float)(1 - 2 * (int32_t)(word[BLOCK + i] & 1));
        float right = (float)(1 - (int32_t)(word[BLOCK + i] & 2));

        out[i] = r * up * sine_of(turn);
        out[BLOCK + i] = r * right * sine_of(0.25f - turn); /* the cosine */
    }
}

static void add(void *at, bool real, int64_t n, const float *noise, float mean, float sigma)
{
    uint8_t *byte = at;
    float *value = at;

    if (real) {
        for (int64_t i = 0; i < n; i++) {
            float v = value[i] + (mean + sigma * noise[i]);

            value[i] = v < 0 ? 0 : v > 1 ? 1 : v;
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float v = (float)byte[i] + (mean + sigma * noise[i]);

        byte[i] = (uint8_t)(int)(v < 0 ? 0 : v > 255 ? 255 : v);
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
    struct nni_dice dice = drawn->dice;
    int64_t n = nni_canvas_values(c);
    size_t size = c->real ? sizeof(float) : 1;
    float noise[2 * BLOCK];

    if (drawn->noise) {
        add_given(drawn, c);
        return NN_OK;
    }
    for (int64_t i = 0; i < n; i += 2 * BLOCK) {
        uint32_t word[2 * BLOCK];

        for (int k = 0; k < 2 * BLOCK; k += 4)
            nni_stream_at(&dice.stream, dice.sample, dice.epoch, dice.index++, word + k);
        normals(word, noise);
        add((char *)c->at + (size_t)i * size, c->real, n - i < 2 * BLOCK ? n - i : 2 * BLOCK, noise,
            (float)s->low[MEAN], (float)drawn->v[SIGMA]);
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
