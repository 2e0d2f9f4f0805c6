/* SPDX-License-Identifier: MIT
 *
 * The two halves of a transform, draw and apply, for a script that compares them with Albumentations.
 */
#include "vision/transform.h"

#include <stdlib.h>
#include <string.h>

#define SHIM __attribute__((visibility("default")))

enum { SIZE = 8 }; /* the network's input; augment.py says the same */

/* The only step of a pipeline text (the resize before it aside). */
static const struct nni_step *step_of(const nn_augment *a)
{
    const struct nni_step *second = nni_augment_step(a, 1);

    return second ? second : nni_augment_step(a, 0);
}

/* Draws `count` times for samples 0.. of epoch 0: out[count][NNI_DRAWN]. */
SHIM int shim_draw(const char *text, int64_t width, int64_t height, uint64_t seed, int64_t count, double *out)
{
    const struct nni_step *s;
    nn_augment *a;
    nn_message why;

    if (nn_augment_new(&a, text, &why))
        return 1;
    s = step_of(a);
    for (int64_t i = 0; i < count; i++) {
        struct nni_dice dice = { .stream = nni_stream_of(seed, 1), .sample = (uint64_t)i };
        struct nni_drawn drawn = { .v = { 0 } };

        s->transform->draw(s, &dice, width, height, &drawn);
        memcpy(out + i * NNI_DRAWN, drawn.v, sizeof drawn.v);
    }
    nn_augment_free(a);
    return 0;
}

/* Seconds for the pipeline on `count` samples of one picture of bytes, drawing included; negative on failure.
 */
SHIM double shim_seconds(const char *text, int64_t side, int64_t size, const void *in, int64_t count)
{
    static nn_vision_scratch scratch;
    nn_preprocess record = nn_preprocess_default();
    nn_image image = { .rgb = (uint8_t *)(uintptr_t)in, .width = side, .height = side };
    double start, seconds;
    nn_augment *a;
    nn_message why;
    float *pixels;
    int rc = 0;

    if (nn_augment_new(&a, text, &why))
        return -1;
    record.size = record.resize_height = record.resize_width = size;
    pixels = malloc((size_t)(3 * size * size) * sizeof *pixels);
    start = nni_seconds();
    for (int64_t i = 0; pixels && !rc && i < count; i++)
        rc = nn_augment_apply(a, &record, &image, (nn_augment_key){ .seed = 1, .sample = (uint64_t)i },
                              pixels, &scratch, &why);
    seconds = pixels && !rc ? nni_seconds() - start : -1;
    free(pixels);
    nn_augment_free(a);
    return seconds;
}

/* Applies the step with the given parameters to a picture of bytes or floats; noise may be NULL. The result
 * must have `bytes` bytes. */
SHIM int shim_apply(const char *text, const double *v, const double *noise, int real, int64_t width,
                    int64_t height, const void *in, void *out, size_t bytes)
{
    static nn_vision_scratch scratch;
    nn_preprocess record = nn_preprocess_default();
    struct nni_canvas c = { .slot = NNI_SCRATCH_CANVAS, .scratch = &scratch, .record = &record };
    struct nni_drawn drawn = { .noise = noise };
    nn_augment *a;
    nn_message why;
    void *to;
    int rc;

    if (nn_augment_new(&a, text, &why))
        return 1;
    record.size = record.resize_height = record.resize_width = SIZE;
    memcpy(drawn.v, v, sizeof drawn.v);
    to = nni_canvas_next(&c, width, height, real != 0);
    if (!to)
        return 1;
    memcpy(to, in, (size_t)(width * height) * nni_pixel_bytes(real != 0));
    nni_canvas_turn(&c, width, height, real != 0);
    rc = step_of(a)->transform->apply(step_of(a), &drawn, &c);
    if (!rc && (size_t)(c.width * c.height) * nni_pixel_bytes(c.real) != bytes)
        rc = 2;
    if (!rc)
        memcpy(out, c.at, bytes);
    nn_augment_free(a);
    return rc;
}
