/* SPDX-License-Identifier: MIT
 *
 * Weighted sums of rows: a blur is one of shifted rows, a field made of few waves is one of waves.
 */
#include "base/isa.h"
#include "vision/pixels.h"

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float vec __attribute__((vector_size(BYTES), aligned(4), may_alias));
enum { VEC = BYTES / sizeof(float), BLOCK = 4 * VEC };

/* Four vectors of sums stay in registers. */
static inline void block(float *to, const float *const *from, const float *weight, int64_t count, int64_t at)
{
    vec a = { 0 }, b = a, c = a, d = a;

    for (int64_t k = 0; k < count; k++) {
        const vec *row = (const vec *)(from[k] + at);
        float w = weight[k];

        a += w * row[0];
        b += w * row[1];
        c += w * row[2];
        d += w * row[3];
    }
    *(vec *)(to + at) = a;
    *(vec *)(to + at + VEC) = b;
    *(vec *)(to + at + 2 * VEC) = c;
    *(vec *)(to + at + 3 * VEC) = d;
}

void NNI_NAME(nni_weighted_sum)(float *to, const float *const *from, const float *weight, int64_t count,
                                int64_t n)
{
    int64_t at = 0;

    for (; at + BLOCK <= n; at += BLOCK)
        block(to, from, weight, count, at);
    for (; at < n; at++) {
        float sum = 0;

        for (int64_t k = 0; k < count; k++)
            sum += weight[k] * from[k][at];
        to[at] = sum;
    }
}

void NNI_NAME(nni_to_bytes)(uint8_t *to, const float *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float v = from[i];

        v = v < 0 ? 0 : v > 255 ? 255 : v;
        to[i] = (uint8_t)(int32_t)((v + 0x1p23f) - 0x1p23f); /* what that does to such small numbers */
    }
}
