/* SPDX-License-Identifier: MIT
 *
 * What a camera leaves in a picture: the circle of confusion of its lens, one colour per pixel behind a Bayer
 * filter, photons that are counted and so vary by the root of their number, the noise of reading them out,
 * and colours interpolated from neighbours, which makes noise of neighbouring pixels alike in a pattern of
 * period two.
 */
#include "synth.h"

#include <math.h>
#include <stddef.h>

enum { REACH = 2 }; /* of the circle of confusion, in pixels of the scene */

static int within(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

void lens_focus(float *picture, const float *scene, int side, struct dice *d)
{
    enum { TAPS = 2 * REACH + 2 };
    float radius = dice_uniform(d, 0.8f, 1.8f), weight[TAPS][TAPS], sum = 0;
    int fine = 2 * side;

    /* The centre of a pixel lies between four of the scene's; the rim falls off over one of them. */
    for (int y = 0; y < TAPS; y++)
        for (int x = 0; x < TAPS; x++) {
            float dy = (float)(y - REACH) - 0.5f, dx = (float)(x - REACH) - 0.5f;
            float in = radius + 0.5f - sqrtf(dy * dy + dx * dx);

            weight[y][x] = in < 0 ? 0 : in < 1 ? in : 1;
            sum += weight[y][x];
        }
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            float out[3] = { 0 };

            for (int i = 0; i < TAPS; i++)
                for (int j = 0; j < TAPS; j++) {
                    int at = within(2 * y + i - REACH, fine) * fine + within(2 * x + j - REACH, fine);

                    for (int c = 0; c < 3; c++)
                        out[c] += weight[i][j] * scene[3 * at + c];
                }
            for (int c = 0; c < 3; c++)
                picture[3 * (y * side + x) + c] = out[c] / sum;
        }
}

/* Reflected at the border, which keeps the filter's colours in step. */
static int mirrored(int i, int n) { return i < 0 ? -i : i < n ? i : 2 * n - 2 - i; }

/* Colour of the Bayer filter: 0 red, 1 green, 2 blue. */
static int filter(int y, int x) { return (y & 1) + (x & 1); }

/* Bilinear demosaicking: the mean of what the eight neighbours and the pixel itself have of a colour, the
 * nearer of two kinds only. */
static void demosaic(float *picture, const float *mosaic, int side, int phase_y, int phase_x)
{
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            float *out = picture + 3 * (y * side + x);
            int own = filter(y + phase_y, x + phase_x);

            for (int c = 0; c < 3; c++) {
                float sum = 0;
                int n = 0;

                for (int i = -1; i <= 1; i++)
                    for (int j = -1; j <= 1; j++) {
                        int far = i * i + j * j;

                        if (filter(y + i + phase_y, x + j + phase_x) != c || (c == own && far))
                            continue;
                        sum += mosaic[mirrored(y + i, side) * side + mirrored(x + j, side)];
                        n++;
                    }
                out[c] = sum / (float)n;
            }
        }
}

void camera_expose(float *picture, float *mosaic, int side, struct dice *d)
{
    int phase_y = dice_below(d, 2), phase_x = dice_below(d, 2);
    /* Electrons of a white pixel in green; red and blue are less sensitive and amplified. */
    float well = 1 / dice_uniform(d, 1 / 3000.0f, 1 / 500.0f), read = dice_uniform(d, 2, 6);
    float sensitivity[3] = { dice_uniform(d, 0.45f, 0.7f), 1, dice_uniform(d, 0.5f, 0.8f) };

    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            int c = filter(y + phase_y, x + phase_x);
            float scale = well * sensitivity[c], electrons = picture[3 * (y * side + x) + c] * scale;

            electrons += sqrtf(electrons + read * read) * dice_normal(d);
            mosaic[y * side + x] = electrons / scale;
        }
    demosaic(picture, mosaic, side, phase_y, phase_x);
}
