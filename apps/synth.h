/* SPDX-License-Identifier: MIT
 *
 * Pictures whose origin is known, made from random scenes: some are photographed by a simulated camera, some
 * are made again by a simulated generator. docs/synth.md describes the physics.
 *
 * Only sums, products, quotients and square roots are used, which IEEE 754 fixes to the bit, and random
 * numbers are functions of (seed, scene, purpose): a picture has the same bytes on every machine.
 */
#ifndef APPS_SYNTH_H
#define APPS_SYNTH_H

#include <stdbool.h>
#include <stdint.h>

/* Sides are multiples of this: a generator begins at a quarter of the size. */
enum { SYNTH_STEP = 4 };

/* ------------------------------------------------------------------------- for programs */

/* What making pictures of one size from one seed needs; one for each thread. NULL: no memory. */
struct synth;
struct synth *synth_new(int side, uint64_t seed);
void synth_free(struct synth *s);
/* Scene number `scene` as photograph or as fake into rgb [side,side,3]. */
void synth_picture(struct synth *s, uint64_t scene, bool fake, uint8_t *rgb);

/* ------------------------------------------------------------------ shared by its files */

/* A sequence of random numbers for one purpose (synth.c). */
struct dice {
    uint32_t key[2], counter[4], word[4];
    int left;
};
enum purpose {
    ROLL_SCENE,
    ROLL_LENS,
    ROLL_CAMERA,
    ROLL_GENERATOR,
    ROLL_WEIGHTS,
    ROLL_EXPOSURE,
    ROLL_CLASSES
};
struct dice dice_new(uint64_t seed, uint64_t number, enum purpose purpose);
float dice_uniform(struct dice *d, float low, float high);
int dice_below(struct dice *d, int n);
/* Mean 0, variance 1: the sum of eight uniform numbers. */
float dice_normal(struct dice *d);
/* A direction, all equally likely. */
void dice_direction(struct dice *d, float *x, float *y);

/* Images are [side,side,3] floats. Light is linear, 0 to about 1; tones are what is stored.
 * Draws a scene [fine,fine,3]; texture [fine,fine] is working memory (synth_scene.c). */
void scene_draw(float *light, float *texture, int fine, struct dice *d);
/* The picture [side,side,3] that a lens makes of a scene of twice that side (synth_camera.c). */
void lens_focus(float *picture, const float *scene, int side, struct dice *d);
/* Sensor, demosaicking: light to light, in place; mosaic [side,side] is working memory (synth_camera.c). */
void camera_expose(float *picture, float *mosaic, int side, struct dice *d);
/* Bottleneck and decoder: tones to tones, in place; work has room for two such pictures
 * (synth_generator.c). The generator's own weights come from `weights`. */
void generator_make(float *picture, float *work, int side, struct dice *weights, struct dice *d);

#endif
