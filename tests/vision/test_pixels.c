/* SPDX-License-Identifier: MIT
 *
 * The hot loops of the transforms: every instruction set makes the bytes of the portable one, for lengths
 * with and without a rest, and the portable one those of its definition.
 */
#include "vision/pixels.h"
#include "vision/warp.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1000 };
static const char *const isas[] = { "avx2", "avx512" };
static const int64_t sizes[] = { 0, 1, 2, 3, 5, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 300, MOST };
enum { SIZES = sizeof sizes / sizeof *sizes };

static const struct nni_pixel_kernels *portable;
static uint8_t bytes[3 * MOST];
static float reals[3 * MOST];

static void fill(void)
{
    const nni_stream s = nni_stream_of(1, 2);

    portable = nni_pixels_of("portable");
    for (uint32_t i = 0; i < 3 * MOST; i++) {
        uint32_t word[4];

        nni_stream_at(&s, 0, 0, i, word);
        bytes[i] = (uint8_t)word[0];
        reals[i] = (float)nni_uniform(word[1]) * 400 - 50;
        if (i % 10 == 0) /* halves, too */
            reals[i] = (float)(word[2] % 512) / 2;
    }
}

static bool cut;

enum {
    NORMALS,
    ADD_NOISE,
    WEIGHTED_SUM,
    TO_BYTES,
    ROUND_PLACES,
    SAMPLE,
    SAMPLE_REAL,
    GREY_SUM,
    GREY_SUM_REAL,
    SATURATE,
    SATURATE_REAL,
    TURN_HUE,
    TURN_HUE_REAL,
    SCALE_REAL,
    NORMALIZE,
    KERNELS
};

static void spread(int32_t *sx, int32_t *sy)
{
    for (int i = 0; i < MOST; i++) {
        sx[i] = (int32_t)(reals[i] * 2.4f) + 125;
        sy[i] = (int32_t)(reals[i + MOST] * 2.4f) + 125;
    }
}

/* What each kernel makes of `n` pixels. */
static void run(const struct nni_pixel_kernels *k, int which, int64_t n, uint8_t *out)
{
    static uint8_t turned[256];
    const void *picture = which == SAMPLE_REAL ? (const void *)reals : bytes;
    const struct nni_source source = { .pixels = picture, .width = 30, .height = 30 };
    const float *rows[5] = { reals, reals + 3, reals + 7, reals + 11, reals + 400 };
    const float weight[5] = { 0.1f, 0.33f, -0.2f, 1.7f, 1e-3f };
    const float offset[3] = { 120.5f, 110.25f, 100.1f }, factor[3] = { 0.017f, 0.018f, 0.0175f };
    const nni_stream s = nni_stream_of(3, 4);
    float *real = (float *)(void *)out;
    int32_t sx[MOST], sy[MOST];
    double real_sum;
    int64_t sum;

    spread(sx, sy);

    switch (which) {
    case NORMALS: k->normals(&s, 5, 6, (uint32_t)n, real); break;
    case ADD_NOISE:
        memcpy(out, bytes, (size_t)n);
        k->add_noise(out, reals, 0.5f, 0.7f, n);
        break;
    case WEIGHTED_SUM: k->weighted_sum(real, rows, weight, 5, n); break;
    case TO_BYTES: k->to_bytes(out, reals, n); break;
    case ROUND_PLACES: k->round_places((int32_t *)(void *)out, reals, n); break;
    case SAMPLE:
        sum = k->sample(&source, sx, sy, out, n);
        memcpy(out + 3 * MOST, &sum, sizeof sum);
        break;
    case SAMPLE_REAL:
        sum = k->sample_real(&source, sx, sy, real, n);
        memcpy(out + 13 * MOST, &sum, sizeof sum);
        break;
    case GREY_SUM:
        sum = k->grey_sum(bytes, n);
        memcpy(out, &sum, sizeof sum);
        break;
    case GREY_SUM_REAL:
        real_sum = k->grey_sum_real(reals, n);
        memcpy(out, &real_sum, sizeof real_sum);
        break;
    case SATURATE:
        memcpy(out, bytes, (size_t)n * 3);
        k->saturate(out, n, 1.17f, 1 - 1.17f);
        break;
    case SATURATE_REAL:
        k->normalize(real, bytes, n, offset, factor);
        k->saturate_real(real, n, 1.17f, 1 - 1.17f);
        break;
    case TURN_HUE_REAL:
        k->normalize(real, bytes, n, offset, factor);
        k->turn_hue_real(real, n, cut ? -71.5f : 63.25f);
        break;
    case SCALE_REAL:
        memcpy(real, reals, (size_t)n * sizeof *real);
        k->scale_real(real, n, 0.004f, 0.1f);
        break;
    case NORMALIZE: k->normalize(real, bytes, n, offset, factor); break;
    default:
        for (int i = 0; i < 256; i++)
            turned[i] = (uint8_t)((i + 31) % 180);
        memcpy(out, bytes, (size_t)n * 3);
        k->turn_hue(out, n, turned, cut);
    }
}

START_TEST(instruction_sets_agree)
{
    static _Alignas(8) uint8_t want[14 * MOST], got[14 * MOST];

    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        const struct nni_pixel_kernels *k = nni_pixels_of(isas[i]);

        for (int n = 0; k && n < SIZES; n++) {
            cut = n % 2;
            memset(want, 77, sizeof want);
            memset(got, 77, sizeof got);
            run(portable, _i, sizes[n], want);
            run(k, _i, sizes[n], got);
            ck_assert_msg(!memcmp(want, got, sizeof got), "kernel %d, %s, %d things", _i, isas[i],
                          (int)sizes[n]);
        }
    }
}
END_TEST

/* ---------------------------------------------------------------------------- definitions */

START_TEST(samples)
{
    const struct nni_source source = { .pixels = bytes, .width = 30, .height = 30 };
    uint8_t got[4] = { 0 };
    int off = 0;

    for (int32_t sy = -70; sy < 31 * NNI_PLACE; sy += 3)
        for (int32_t sx = -70; sx < 31 * NNI_PLACE; sx++) {
            int32_t x = sx >> NNI_PLACE_BITS, y = sy >> NNI_PLACE_BITS, fx = sx & 31, fy = sy & 31;
            bool inside = x >= 0 && y >= 0 && x < 29 && y < 29;

            got[3] = 99;
            off += portable->sample(&source, &sx, &sy, got, 1) != inside;
            off += got[3] != 99; /* beyond what it was asked for */
            for (int k = 0; inside && k < 3; k++) {
                const uint8_t *p = bytes + 3 * (30 * y + x) + k;

                off += got[k] != (((32 - fx) * p[0] + fx * p[3]) * (32 - fy) +
                                  ((32 - fx) * p[90] + fx * p[93]) * fy + 512) >>
                                     10;
            }
        }
    ck_assert_int_eq(off, 0);
}
END_TEST

/* The hue of OpenCV comes from tables of quotients with 12 bits. */
START_TEST(hue)
{
    static uint8_t rgb[3 * 256 * 256], same[256];
    int off = 0;

    for (int i = 0; i < 256; i++)
        same[i] = (uint8_t)i;
    for (int channel = 0; channel < 3; channel++) {
        for (int i = 0; i < 65536; i++) { /* value and smallest, the third between them */
            int most = i >> 8, least = (i & 255) < most ? i & 255 : most;

            rgb[3 * i + channel] = (uint8_t)most;
            rgb[3 * i + (channel + 1) % 3] = (uint8_t)least;
            rgb[3 * i + (channel + 2) % 3] = (uint8_t)(least + (most - least) * (i % 7) / 6);
        }
        portable->turn_hue(rgb, 65536, same, false);
        for (int i = 0; i < 65536; i++) {
            int most = i >> 8, least = (i & 255) < most ? i & 255 : most, diff = most - least;
            int middle = least + diff * (i % 7) / 6, s, h;
            double sector, value[3];

            s = most ? (diff * (int)lrint((255 << 12) / (double)most) + 2048) >> 12 : 0;
            h = channel == 0 ? least - middle : channel == 1 ? least - middle + 2 * diff : 0;
            if (channel == 2)
                h = least - middle + 4 * diff;
            if (middle == most && diff) /* the first of equals counts: red, green, blue */
                continue;
            h = diff ? (h * (int)lrint((180 << 12) / (6.0 * diff)) + 2048) >> 12 : 0;
            h += h < 0 ? 180 : 0;
            sector = h / 30.0;
            for (int k = 0; k < 3; k++) {
                double t = fmod(sector + 8 - 2 * k, 6), ramp = t < 1 ? t : t < 3 ? 1 : t < 4 ? 4 - t : 0;

                value[k] = most - most * s / 255.0 * (1 - ramp);
                off += fabs(value[k] - rgb[3 * i + k]) > 0.51;
            }
        }
    }
    ck_assert_int_eq(off, 0);
}
END_TEST

START_TEST(real_samples)
{
    const struct nni_source source = { .pixels = reals, .width = 30, .height = 30 };
    float got[4] = { 0 };
    int off = 0;

    for (int32_t sy = -70; sy < 31 * NNI_PLACE; sy += 3)
        for (int32_t sx = -70; sx < 31 * NNI_PLACE; sx++) {
            int32_t x = sx >> NNI_PLACE_BITS, y = sy >> NNI_PLACE_BITS;
            bool inside = x >= 0 && y >= 0 && x < 29 && y < 29;
            double fx = (sx & 31) / 32.0, fy = (sy & 31) / 32.0;

            off += portable->sample_real(&source, &sx, &sy, got, 1) != inside;
            for (int k = 0; inside && k < 3; k++) {
                const float *p = reals + 3 * (30 * y + x) + k;
                double want = ((1 - fx) * (double)p[0] + fx * (double)p[3]) * (1 - fy) +
                              ((1 - fx) * (double)p[90] + fx * (double)p[93]) * fy;

                off += fabs((double)got[k] - want) > 1e-4;
            }
        }
    ck_assert_int_eq(off, 0);
}
END_TEST

/* Red, yellow, green ... a third of a turn on, and back; grey stays grey whatever its sign. */
START_TEST(real_colours)
{
    static const float six[6][3] = { { 1, 0.25f, 0.25f }, { 1, 1, 0.25f },     { 0.25f, 1, 0.25f },
                                     { 0.25f, 1, 1 },     { 0.25f, 0.25f, 1 }, { 1, 0.25f, 1 } };

    for (int i = 0; i < 6; i++)
        for (int turn = -1; turn <= 1; turn++) {
            float rgb[6] = { six[i][0], six[i][1], six[i][2], -0.5f, -0.5f, -0.5f };

            portable->turn_hue_real(rgb, 2, (float)(120 * turn));
            for (int k = 0; k < 3; k++) {
                ck_assert_double_eq_tol((double)rgb[k], (double)six[(i + 6 + 2 * turn) % 6][k], 1e-6);
                ck_assert_double_eq_tol((double)rgb[3 + k], -0.5, 1e-6);
            }
        }
    {
        float rgb[3] = { 0.5f, 0.25f, 1.0f }, grey = 0.5f * 0.299f + 0.25f * 0.587f + 0.114f;

        ck_assert_double_eq_tol(portable->grey_sum_real(rgb, 1), (double)grey, 1e-6);
        portable->saturate_real(rgb, 1, 0.5f, 0.5f);
        ck_assert_double_eq_tol((double)rgb[0], (double)(0.25f + grey / 2), 1e-6);
        portable->scale_real(rgb, 3, -1, 0.5f);
        ck_assert_double_eq_tol((double)rgb[0], (double)(0.25f - grey / 2), 1e-6);
        ck_assert_double_eq((double)rgb[2], 0);
    }
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("pixels");
    Suite *s = suite_create("pixels");

    fill();
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, instruction_sets_agree, 0, KERNELS);
    tcase_add_test(c, samples);
    tcase_add_test(c, hue);
    tcase_add_test(c, real_samples);
    tcase_add_test(c, real_colours);
    suite_add_tcase(s, c);
    return suite_run(s);
}
