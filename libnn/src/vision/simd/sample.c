/* SPDX-License-Identifier: MIT
 *
 * The places of a warp and the pixels there; see vision/warp.c for the arithmetic. A pixel is two reads of
 * eight bytes, of which six are its neighbours in a row; SSE2, which every x86-64 has, multiplies and adds
 * them in pairs.
 */
#include "base/isa.h"
#include "vision/pixels.h"
#include "vision/warp.h"

#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

void NNI_NAME(nni_round_places)(int32_t *to, const float *place, int64_t n)
{
    int64_t i = 0;

#ifdef __SSE2__
    /* The instruction answers INT32_MIN for what does not fit. */
    for (; i + 4 <= n; i += 4)
        _mm_storeu_si128((__m128i *)(void *)(to + i),
                         _mm_cvtps_epi32(_mm_mul_ps(_mm_loadu_ps(place + i), _mm_set1_ps(NNI_PLACE))));
#endif
    for (; i < n; i++) {
        float scaled = place[i] * (float)NNI_PLACE;

        to[i] = scaled >= -2147483648.0f && scaled < 2147483648.0f ? (int32_t)lrintf(scaled) : INT32_MIN;
    }
}

/* One pixel: p holds its neighbours in the upper row, q those in the lower; fx and fy are the fractions. */
static inline void blend(const uint8_t *p, const uint8_t *q, uint32_t fx, uint32_t fy, uint8_t *to)
{
#ifdef __SSE2__
    /* A pair of weights in one number: products stay below 2^16, so none carries into the other. */
    uint32_t across = (NNI_PLACE - fx) | fx << 16;
    __m128i zero = _mm_setzero_si128(), a = _mm_loadl_epi64((const __m128i *)(const void *)p),
            b = _mm_loadl_epi64((const __m128i *)(const void *)q), sum;
    int bytes;

    /* r r' g g' b b' with ' for the right neighbour, as 16 bits */
    a = _mm_unpacklo_epi8(_mm_unpacklo_epi8(a, _mm_srli_epi64(a, 24)), zero);
    b = _mm_unpacklo_epi8(_mm_unpacklo_epi8(b, _mm_srli_epi64(b, 24)), zero);
    sum = _mm_add_epi32(_mm_madd_epi16(a, _mm_set1_epi32((int32_t)(across * (NNI_PLACE - fy)))),
                        _mm_madd_epi16(b, _mm_set1_epi32((int32_t)(across * fy))));
    sum = _mm_srli_epi32(_mm_add_epi32(sum, _mm_set1_epi32(NNI_PLACE * NNI_PLACE / 2)), 2 * NNI_PLACE_BITS);
    sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
    bytes = _mm_cvtsi128_si32(sum);
    memcpy(to, &bytes, 3);
#else
    uint32_t w[4] = { (NNI_PLACE - fx) * (NNI_PLACE - fy), fx * (NNI_PLACE - fy), (NNI_PLACE - fx) * fy,
                      fx * fy };

    for (int k = 0; k < 3; k++)
        to[k] = (uint8_t)((p[k] * w[0] + p[k + 3] * w[1] + q[k] * w[2] + q[k + 3] * w[3] +
                           NNI_PLACE * NNI_PLACE / 2) >>
                          2 * NNI_PLACE_BITS);
#endif
}

/* Where neighbours at the right and below end. Whole parts saturate to 16 bits, so what lies beyond is not
 * where it says. */
static inline uint32_t last_of(int64_t side) { return (uint32_t)(side > INT16_MAX ? INT16_MAX : side) - 1; }

int64_t NNI_NAME(nni_sample)(const struct nni_source *from, const int32_t *sx, const int32_t *sy, uint8_t *to,
                             int64_t n)
{
    uint32_t right = last_of(from->width), below = last_of(from->height);
    const uint8_t *rgb = from->pixels;
    int64_t row = 3 * from->width;

    for (int64_t i = 0; i < n; i++) {
        uint32_t x = (uint32_t)(sx[i] >> NNI_PLACE_BITS), y = (uint32_t)(sy[i] >> NNI_PLACE_BITS);
        const uint8_t *p = rgb + (int64_t)y * row + 3 * (int64_t)x;

        if (x >= right || y >= below)
            return i;
        blend(p, p + row, (uint32_t)sx[i] & (NNI_PLACE - 1), (uint32_t)sy[i] & (NNI_PLACE - 1), to + 3 * i);
    }
    return n;
}

typedef float pixel __attribute__((vector_size(16), aligned(4), may_alias)); /* and the value behind it */

int64_t NNI_NAME(nni_sample_real)(const struct nni_source *from, const int32_t *sx, const int32_t *sy,
                                  float *to, int64_t n)
{
    uint32_t right = last_of(from->width), below = last_of(from->height);
    const float *rgb = from->pixels;
    int64_t row = 3 * from->width;

    for (int64_t i = 0; i < n; i++) {
        uint32_t x = (uint32_t)(sx[i] >> NNI_PLACE_BITS), y = (uint32_t)(sy[i] >> NNI_PLACE_BITS);
        float fx = (float)(sx[i] & (NNI_PLACE - 1)) / NNI_PLACE;
        float fy = (float)(sy[i] & (NNI_PLACE - 1)) / NNI_PLACE;
        const float *p = rgb + (int64_t)y * row + 3 * (int64_t)x, *q = p + row;

        if (x >= right || y >= below)
            return i;
        *(pixel *)(to + 3 * i) = *(const pixel *)p * ((1 - fx) * (1 - fy)) +
                                 *(const pixel *)(p + 3) * (fx * (1 - fy)) +
                                 *(const pixel *)q * ((1 - fx) * fy) + *(const pixel *)(q + 3) * (fx * fy);
    }
    return n;
}
