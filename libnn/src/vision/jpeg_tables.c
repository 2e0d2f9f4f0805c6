/* SPDX-License-Identifier: MIT
 *
 * The quantisation tables of almost all JPEG files: those of ITU-T T.81, Annex K, scaled by a quality from 1
 * to 100 as libjpeg does it. They serve to recognise the quality of a file and to compress with one.
 */
#include "vision/vision.h"

static const uint8_t luminance[64] = {
    16, 11, 10, 16, 24,  40,  51,  61,  /**/
    12, 12, 14, 19, 26,  58,  60,  55,  /**/
    14, 13, 16, 24, 40,  57,  69,  56,  /**/
    14, 17, 22, 29, 51,  87,  80,  62,  /**/
    18, 22, 37, 56, 68,  109, 103, 77,  /**/
    24, 35, 55, 64, 81,  104, 113, 92,  /**/
    49, 64, 78, 87, 103, 121, 120, 101, /**/
    72, 92, 95, 98, 112, 100, 103, 99,
};

/* The rest of it is 99. */
static const uint8_t chrominance[4][4] = {
    { 17, 18, 24, 47 }, { 18, 21, 26, 66 }, { 24, 26, 56, 99 }, { 47, 66, 99, 99 }
};

const uint8_t nni_jpeg_zigzag[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

int nni_jpeg_quantum(bool colour, int i, int quality)
{
    int standard = !colour ? luminance[i] : i / 8 < 4 && i % 8 < 4 ? chrominance[i / 8][i % 8] : 99;
    int percent = quality < 50 ? 5000 / quality : 200 - 2 * quality;
    int value = (standard * percent + 50) / 100;

    return value < 1 ? 1 : value > 255 ? 255 : value;
}
