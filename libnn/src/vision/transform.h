/* SPDX-License-Identifier: MIT
 *
 * What a step of an augmentation pipeline is. Each transform is one file with two halves: `draw` turns random
 * words into parameters, `apply` is a pure function of the picture and those parameters. So a transform can
 * be given the parameters that another library drew and be compared with it pixel by pixel; and since the
 * words are keyed by (seed, epoch, sample, transform), a sample is augmented the same whatever the thread,
 * the order or the point of resuming.
 */
#ifndef NNI_TRANSFORM_H
#define NNI_TRANSFORM_H

#include "vision/vision.h"

/* The picture under way: tight rows of three channels, bytes or, once normalised, floats; and room for the
 * next one. */
struct nni_canvas {
    int64_t width, height;
    bool real; /* floats */
    void *at;
    int slot; /* of the scratch memory that `at` is */
    nn_vision_scratch *scratch;
    const nn_preprocess *record;
};

/* Slots of nn_vision_scratch beyond those of resizing. What is in BASIS is kept from picture to picture. */
enum { NNI_SCRATCH_CANVAS = 3, NNI_SCRATCH_ROWS = 5, NNI_SCRATCH_FIELD, NNI_SCRATCH_BASIS };

/* Memory for the next picture, which then becomes the present one by nni_canvas_turn; NULL without memory. */
void *nni_canvas_next(struct nni_canvas *c, int64_t width, int64_t height, bool real);
void nni_canvas_turn(struct nni_canvas *c, int64_t width, int64_t height, bool real);
/* One value for all pixels of a rectangle, whose right and lower edges may lie beyond the picture. */
void nni_canvas_fill(struct nni_canvas *c, int64_t left, int64_t top, int64_t right, int64_t bottom,
                     double fill);
/* Replaces the values of a picture of bytes. */
void nni_canvas_look_up(struct nni_canvas *c, const uint8_t table[256]);
/* A picture of bytes, which may be a part of the present one, resized becomes the present one. */
int nni_canvas_resize(struct nni_canvas *c, const nn_image *from, int64_t width, int64_t height,
                      nn_resize_kernel kernel);
/* Mirror of n things without the edge: -1 is 1, n is n-2. */
int64_t nni_mirrored(int64_t i, int64_t n);
static inline size_t nni_pixel_bytes(bool real) { return real ? 3 * sizeof(float) : 3; }
static inline int64_t nni_canvas_values(const struct nni_canvas *c) { return c->width * c->height * 3; }

/* A stream of random words for one transform of one sample. */
struct nni_dice {
    nni_stream stream;
    uint64_t sample;
    uint32_t epoch, index;
    uint32_t word[4];
    int left;
};
double nni_dice_uniform(struct nni_dice *d, double low, double high);
double nni_dice_normal(struct nni_dice *d); /* mean 0, variance 1 */
/* low..high inclusive; at most 2^31 of them. */
int64_t nni_dice_int(struct nni_dice *d, int64_t low, int64_t high);

enum { NNI_SETTINGS = 8, NNI_DRAWN = 64 };

/* What one transform does to one sample. The meaning of the numbers is the transform's own. */
struct nni_drawn {
    double v[NNI_DRAWN];
    struct nni_dice dice; /* makes the noise of transforms that need some for each pixel, */
    const double *noise;  /* unless it (elastic: the smooth field) is given here, in comparisons */
};

/* A step as the user asked for it: transform, probability, settings as ranges. */
struct nni_step {
    const struct nni_transform *transform;
    nni_stream stream;
    double p;
    double low[NNI_SETTINGS], high[NNI_SETTINGS];
};

struct nni_setting {
    const char *name;
    double low, high;   /* default; equal for a plain number */
    double least, most; /* allowed */
};

struct nni_transform {
    const char *name;
    double p;   /* default probability; 1: the step has none, it always happens */
    bool fits;  /* what it makes has the size of the network's input */
    bool bytes; /* it takes bytes only, so it cannot come after normalize */
    struct nni_setting setting[NNI_SETTINGS];
    /* What is wrong with settings that are allowed one by one, else NULL. May itself be NULL. */
    const char *(*wrong)(const struct nni_step *step);
    /* NULL: nothing to draw. The size is that of the picture it will be applied to. */
    void (*draw)(const struct nni_step *step, struct nni_dice *dice, int64_t width, int64_t height,
                 struct nni_drawn *out);
    int (*apply)(const struct nni_step *step, const struct nni_drawn *drawn, struct nni_canvas *canvas);
};

extern const struct nni_transform nni_transform_resize, nni_transform_normalize, nni_transform_random_crop,
    nni_transform_flip, nni_transform_rotate, nni_transform_affine, nni_transform_optical_distortion,
    nni_transform_elastic, nni_transform_color_jitter, nni_transform_brightness_contrast,
    nni_transform_advanced_blur, nni_transform_gauss_noise, nni_transform_cutout, nni_transform_jpeg,
    nni_transform_gaussian_blur, nni_transform_rescale, nni_transform_random_resized_crop,
    nni_transform_erasing;

/* The transform of that name, NULL if there is none. */
const struct nni_transform *nni_transform_named(const char *name, size_t length);

/* Step i of a pipeline, for comparisons of single transforms; NULL beyond the last. */
const struct nni_step *nni_augment_step(const nn_augment *a, int i);

#endif
