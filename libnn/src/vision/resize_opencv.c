/* SPDX-License-Identifier: MIT
 *
 * OpenCV's INTER_LINEAR for 8-bit images, bit for bit, because the networks we load were trained on it.
 * Positions are float, weights are rounded to 11 bits; a row is interpolated horizontally to 19 bits of which
 * OpenCV's vertical step uses the upper 15, and the two products are truncated before they are added. Weights
 * are clamped at the left and right border; at the top and bottom both weights stay and read the same row,
 * which the truncation can show. Shrinking by exactly two in both directions is a rounded 2x2 mean there.
 */
#include "vision.h"

#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { ONE = 1 << 11 };

struct tap {
    int32_t at[2]; /* byte offsets of the two pixels, or row numbers */
    int16_t weight[2];
};

static void halve(const nn_image *out, const nn_image *in)
{
    size_t to = nni_image_stride(out), from = nni_image_stride(in);

    for (int64_t y = 0; y < out->height; y++) {
        const uint8_t *a = in->rgb + (size_t)(2 * y) * from, *b = a + from;
        uint8_t *o = out->rgb + (size_t)y * to;

        for (int64_t x = 0; x < out->width; x++, a += 6, b += 6, o += 3)
            for (int c = 0; c < 3; c++)
                o[c] = (uint8_t)((a[c] + a[c + 3] + b[c] + b[c + 3] + 2) >> 2);
    }
}

/* Weights round to the nearest even, as the processor does. */
static int16_t fixed(float weight) { return (int16_t)lrintf(weight * ONE); }

static void taps(struct tap *t, int64_t out, int64_t in, bool clamp_weights, int32_t unit)
{
    double scale = 1.0 / ((double)out / (double)in);

    for (int64_t i = 0; i < out; i++) {
        float at = (float)(((double)i + 0.5) * scale - 0.5), part;
        int64_t first = (int64_t)floorf(at), second;

        part = at - (float)first;
        if (clamp_weights && (first < 0 || first >= in - 1)) {
            first = first < 0 ? 0 : in - 1;
            part = 0;
        }
        second = first + 1;
        first = first < 0 ? 0 : first > in - 1 ? in - 1 : first;
        second = second > in - 1 ? in - 1 : second;
        t[i].at[0] = (int32_t)first * unit;
        t[i].at[1] = (int32_t)second * unit;
        t[i].weight[0] = fixed(1.0f - part);
        t[i].weight[1] = fixed(part);
    }
}

/* How many of the taps read two neighbours and may read the two bytes behind them, too: not the last. */
static int64_t whole_taps(const struct tap *t, int64_t out, int64_t in)
{
    int64_t n = 0;

    while (n < out - 1 && t[n].at[1] == t[n].at[0] + 3 && t[n].at[0] + 8 <= 3 * in)
        n++;
    return n;
}

/* The first `whole` taps are read and written as one vector each. */
static void across(int16_t *restrict to, const uint8_t *restrict from, const struct tap *restrict t,
                   int64_t whole, int64_t width)
{
    int64_t x = 0;

#ifdef __SSE2__
    for (; x < whole; x++, to += 3) {
        __m128i zero = _mm_setzero_si128(), pair;
        __m128i p = _mm_loadl_epi64((const __m128i *)(const void *)(from + t[x].at[0]));
        int32_t weights;

        memcpy(&weights, t[x].weight, sizeof weights);
        /* r r' g g' b b' with ' for the right neighbour */
        pair = _mm_unpacklo_epi8(_mm_unpacklo_epi8(p, _mm_srli_epi64(p, 24)), zero);
        pair = _mm_srai_epi32(_mm_madd_epi16(pair, _mm_set1_epi32(weights)), 4);
        _mm_storel_epi64((__m128i *)(void *)to, _mm_packs_epi32(pair, pair));
    }
#else
    (void)whole;
#endif
    for (; x < width; x++, to += 3) {
        const uint8_t *a = from + t[x].at[0], *b = from + t[x].at[1];
        int wa = t[x].weight[0], wb = t[x].weight[1];

        to[0] = (int16_t)((a[0] * wa + b[0] * wb) >> 4);
        to[1] = (int16_t)((a[1] * wa + b[1] * wb) >> 4);
        to[2] = (int16_t)((a[2] * wa + b[2] * wb) >> 4);
    }
}

static void down(uint8_t *restrict to, const int16_t *restrict a, const int16_t *restrict b, int16_t wa,
                 int16_t wb, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int16_t p = (int16_t)((a[i] * wa) >> 16), q = (int16_t)((b[i] * wb) >> 16);

        to[i] = (uint8_t)((int16_t)(p + q + 2) >> 2);
    }
}

int nni_resize_opencv(const nn_image *out, const nn_image *in, nn_vision_scratch *scratch)
{
    int64_t w = out->width, h = out->height, held[2] = { -1, -1 }, whole;
    size_t to = nni_image_stride(out), from = nni_image_stride(in);
    struct tap *horizontal, *vertical;
    int16_t *row[2];

    if (in->width == 2 * w && in->height == 2 * h) {
        halve(out, in);
        return NN_OK;
    }
    horizontal = nni_scratch(scratch, 0, (size_t)(w + h) * sizeof *horizontal);
    row[0] = nni_scratch(scratch, 1, (size_t)w * 6 * sizeof *row[0]);
    if (!horizontal || !row[0])
        return NN_ENOMEM;
    vertical = horizontal + w;
    row[1] = row[0] + w * 3;
    taps(horizontal, w, in->width, true, 3);
    taps(vertical, h, in->height, false, 1);
    whole = whole_taps(horizontal, w, in->width);
    for (int64_t y = 0; y < h; y++) {
        const struct tap *t = &vertical[y];

        /* The lower row of one output row is often the upper row of the next. */
        if (held[1] == t->at[0]) {
            int16_t *keep = row[0];

            row[0] = row[1];
            row[1] = keep;
            held[1] = held[0];
            held[0] = t->at[0];
        }
        for (int k = 0; k < 2; k++) {
            if (held[k] == t->at[k])
                continue;
            if (k == 1 && t->at[1] == t->at[0])
                memcpy(row[1], row[0], (size_t)w * 3 * sizeof *row[0]);
            else
                across(row[k], in->rgb + (size_t)t->at[k] * from, horizontal, whole, w);
            held[k] = t->at[k];
        }
        down(out->rgb + (size_t)y * to, row[0], row[1], t->weight[0], t->weight[1], w * 3);
    }
    return NN_OK;
}
