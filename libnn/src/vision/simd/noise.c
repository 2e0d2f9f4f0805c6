/* SPDX-License-Identifier: MIT
 *
 * Noise for every value of a picture: Philox words for many counters at once, the method of Box and Muller,
 * and the sum. See vision/gauss_noise.c.
 */
#include "base/isa.h"
#include "base/philox.h"
#include "vision/pixels.h"

#include <math.h>

enum { CALLS = NNI_NOISE / 4, HALF = NNI_NOISE / 2 };

/* word[k * CALLS + i]: word k of the call at index + i. */
static void words(const nni_stream *s, uint64_t sample, uint32_t step, uint32_t index,
                  uint32_t word[NNI_NOISE])
{
    for (uint32_t i = 0; i < CALLS; i++) {
        const uint32_t counter[4] = { index + i, step, (uint32_t)sample, (uint32_t)(sample >> 32) };
        uint32_t out[4];

        nni_philox_words(counter, s->key, out);
        for (int k = 0; k < 4; k++)
            word[k * CALLS + (int)i] = out[k];
    }
}

/* log(u) for u in (0,1], within 2e-7 of it: exponent and a polynomial of the mantissa. */
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

/* The angle is one of the first quadrant and two signs: no branch, so that the loop vectorises. */
void NNI_NAME(nni_normals)(const nni_stream *s, uint64_t sample, uint32_t step, uint32_t index, float *out)
{
    uint32_t word[NNI_NOISE];

    words(s, sample, step, index, word);
    for (int i = 0; i < HALF; i++) {
        uint32_t a = word[i], b = word[HALF + i];
        float u = ((float)(int32_t)(a >> 8) + 0.5f) * 0x1p-24f, r = sqrtf(-2 * log_of(u));
        float turn = (float)(int32_t)(b >> 8) * 0x1p-26f; /* [0,1/4) */
        float up = (float)(1 - 2 * (int32_t)(b & 1)), right = (float)(1 - (int32_t)(b & 2));

        out[i] = r * up * sine_of(turn);
        out[HALF + i] = r * right * sine_of(0.25f - turn); /* the cosine */
    }
}

void NNI_NAME(nni_add_noise)(uint8_t *byte, const float *noise, float mean, float sigma, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float v = (float)byte[i] + (mean + sigma * noise[i]);

        byte[i] = (uint8_t)(int32_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}
