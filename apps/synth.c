/* SPDX-License-Identifier: MIT
 *
 * See synth.h. Both kinds of picture begin with the same lens and tone curve and end with the same automatic
 * exposure, whose target does not know the kind: brightness, colour and contrast say nothing about it.
 */
#include "synth.h"

#include <math.h>
#include <nn/base.h>
#include <stdlib.h>

enum { GENERATORS = 8 };

struct synth {
    int side;
    uint64_t seed;
    float *scene, *texture; /* of twice the side */
    float *picture, *work;
};

/* ------------------------------------------------------------------------- chance */

struct dice dice_new(uint64_t seed, uint64_t number, enum purpose purpose)
{
    return (struct dice){
        .key = { (uint32_t)seed, (uint32_t)(seed >> 32) },
        .counter = { 0, (uint32_t)purpose, (uint32_t)number, (uint32_t)(number >> 32) },
    };
}

static void throw(struct dice * d)
{
    nn_philox(d->counter, d->key, d->word);
    d->counter[0]++;
}

static uint32_t word(struct dice *d)
{
    if (!d->left) {
        throw(d);
        d->left = 4;
    }
    return d->word[--d->left];
}

float dice_uniform(struct dice *d, float low, float high)
{
    return low + (high - low) * ((float)(word(d) >> 8) * 0x1p-24f);
}

int dice_below(struct dice *d, int n) { return (int)((uint64_t)word(d) * (uint64_t)n >> 32); }

float dice_normal(struct dice *d)
{
    int32_t sum = -4 * 0xffff;

    throw(d);
    d->left = 0;
    for (int i = 0; i < 4; i++)
        sum += (int32_t)(d->word[i] & 0xffff) + (int32_t)(d->word[i] >> 16);
    return (float)sum * (1.2247449f / 65536); /* sqrt(12 / 8) */
}

void dice_direction(struct dice *d, float *x, float *y)
{
    float square;

    do {
        *x = dice_uniform(d, -1, 1);
        *y = dice_uniform(d, -1, 1);
        square = *x * *x + *y * *y;
    } while (square > 1 || square < 0.01f);
    *x /= sqrtf(square);
    *y /= sqrtf(square);
}

/* ----------------------------------------------------------------------- pictures */

struct synth *synth_new(int side, uint64_t seed)
{
    struct synth *s = calloc(1, sizeof *s);
    size_t pixels = (size_t)side * (size_t)side;

    if (!s)
        return NULL;
    *s = (struct synth){
        .side = side,
        .seed = seed,
        .scene = malloc(4 * pixels * 3 * sizeof(float)),
        .texture = malloc(4 * pixels * sizeof(float)),
        .picture = malloc(pixels * 3 * sizeof(float)),
        .work = malloc(2 * pixels * 3 * sizeof(float)),
    };
    if (s->scene && s->texture && s->picture && s->work)
        return s;
    synth_free(s);
    return NULL;
}

void synth_free(struct synth *s)
{
    if (!s)
        return;
    free(s->scene);
    free(s->texture);
    free(s->picture);
    free(s->work);
    free(s);
}

/* Light to tones: a square root for the eye, and a curve that is steeper in the middle. */
static void develop(float *picture, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float t = sqrtf(picture[i] > 0 ? picture[i] : 0);

        t = t < 1 ? t : 1;
        picture[i] = t + 0.3f * t * (1 - t) * (2 * t - 1);
    }
}

static float grey(const float *pixel) { return (pixel[0] + pixel[1] + pixel[2]) / 3; }

/* Automatic exposure, contrast and saturation: the mean and the spread of grey, and the distance of colours
 * from grey, become what chance wants, whatever the picture and its origin. */
static void expose(uint8_t *rgb, const float *picture, size_t pixels, struct dice *d)
{
    float brightness = dice_uniform(d, 0.38f, 0.62f), contrast = dice_uniform(d, 0.09f, 0.18f);
    float saturation = dice_uniform(d, 0.03f, 0.10f), mean;
    double sum = 0, spread = 1e-6, colour = 1e-6;

    for (size_t i = 0; i < pixels; i++)
        sum += (double)grey(picture + 3 * i);
    mean = (float)(sum / (double)pixels);
    for (size_t i = 0; i < pixels; i++) {
        float g = grey(picture + 3 * i);

        spread += (double)((g - mean) * (g - mean));
        for (size_t c = 0; c < 3; c++)
            colour += (double)((picture[3 * i + c] - g) * (picture[3 * i + c] - g)) / 3;
    }
    contrast /= (float)sqrt(spread / (double)pixels);
    saturation /= (float)sqrt(colour / (double)pixels);
    for (size_t i = 0; i < 3 * pixels; i++) {
        float g = grey(picture + i / 3 * 3);
        float level = 255 * (brightness + (g - mean) * contrast + (picture[i] - g) * saturation) + 0.5f;

        rgb[i] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
    }
}

void synth_picture(struct synth *s, uint64_t scene, bool fake, uint8_t *rgb)
{
    struct dice d = dice_new(s->seed, scene, ROLL_SCENE);
    size_t n = (size_t)s->side * (size_t)s->side * 3;

    scene_draw(s->scene, s->texture, 2 * s->side, &d);
    d = dice_new(s->seed, scene, ROLL_LENS);
    lens_focus(s->picture, s->scene, s->side, &d);
    if (fake) {
        struct dice weights;

        d = dice_new(s->seed, scene, ROLL_GENERATOR);
        weights = dice_new(s->seed, (uint64_t)dice_below(&d, GENERATORS), ROLL_WEIGHTS);
        develop(s->picture, n);
        generator_make(s->picture, s->work, s->side, &weights, &d);
    } else {
        d = dice_new(s->seed, scene, ROLL_CAMERA);
        camera_expose(s->picture, s->work, s->side, &d);
        develop(s->picture, n);
    }
    d = dice_new(s->seed, scene, ROLL_EXPOSURE);
    expose(rgb, s->picture, n / 3, &d);
}
