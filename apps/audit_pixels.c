/* SPDX-License-Identifier: MIT
 *
 * What only decoded images tell: whether their data are whole, which are almost the same, and the mean and
 * standard deviation with which networks are trained.
 *
 * Images are compared by a difference hash: the image is made 17x16 grey pixels, and each bit says whether a
 * pixel is brighter than its right neighbour. Of 256 bits in photographs of faces, another size changes at
 * most 6 and JPEG of quality 40 in 99 of 100 at most 13; different faces differ in 36 and more. Neighbours
 * about as bright as each other decide nothing reliably, so an image whose bits are nearly all the same,
 * being flat, is not compared.
 */
#include "app.h"
#include "audit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 224, ACROSS = 17, DOWN = 16, NEAR = 16, FLAT = 16 };

static void hash_look(uint64_t look[4], const nn_image *image, nn_vision_scratch *scratch)
{
    uint8_t rgb[DOWN * ACROSS * 3];
    nn_image small = { .rgb = rgb, .width = ACROSS, .height = DOWN };

    if (nn_image_resize(&small, image, NN_RESIZE_PILLOW_BILINEAR, scratch, NULL))
        return;
    for (int i = 0; i < DOWN * (ACROSS - 1); i++) {
        const uint8_t *p = rgb + (i / (ACROSS - 1) * ACROSS + i % (ACROSS - 1)) * 3;
        int left = 299 * p[0] + 587 * p[1] + 114 * p[2], right = 299 * p[3] + 587 * p[4] + 114 * p[5];

        look[i / 64] |= (uint64_t)(left > right) << i % 64;
    }
}

static void measure(struct audit_file *f, const uint8_t *rgb)
{
    const double n = SIZE * SIZE;
    uint64_t sum[3] = { 0 }, square[3] = { 0 };

    for (int i = 0; i < SIZE * SIZE * 3; i++) {
        sum[i % 3] += rgb[i];
        square[i % 3] += (uint64_t)rgb[i] * rgb[i];
    }
    /* The sums are exact integers, so that nothing is lost in the difference. */
    for (int c = 0; c < 3; c++) {
        f->mean[c] = (double)sum[c] / n / 255;
        f->std[c] = sqrt((double)(square[c] * SIZE * SIZE - sum[c] * sum[c])) / n / 255;
    }
}

static void decode(void *payload, int64_t i)
{
    struct audit *a = payload;
    struct audit_file *f = &a->file[i];
    nn_preprocess record = nn_preprocess_default();
    nn_vision_scratch scratch = { .memory = { NULL } };
    uint8_t rgb[SIZE * SIZE * 3];
    nn_message why = { .text = "" };
    nn_image image = { .rgb = NULL };

    if (f->status)
        return;
    f->status = nn_image_load(&image, a->data->sample[i].file, NULL, &why);
    if (!f->status)
        f->status = nn_preprocess_apply(&record, &image, rgb, &scratch, &why);
    if (f->status) {
        f->why = strdup(why.text);
    } else {
        measure(f, rgb);
        hash_look(f->look, &image, &scratch);
    }
    nn_image_free(&image);
    nn_vision_scratch_free(&scratch);
}

int audit_decode(struct audit *a, int threads)
{
    a->decoded = audit_each(a->data->samples, threads, "decoding", decode, a);
    if (a->decoded)
        return APP_OK;
    return app_interrupted ? app_fail(128 + app_interrupted, "interrupted")
                           : app_fail(APP_DEVICE, "no thread could be started");
}

int64_t audit_mean_std(const struct audit *a, double mean[3], double std[3])
{
    int64_t n = 0;

    memset(mean, 0, 3 * sizeof *mean);
    memset(std, 0, 3 * sizeof *std);
    for (int64_t i = 0; i < a->data->samples; i++) {
        if (!audit_labelled(a, i) || a->data->sample[i].split != NN_SPLIT_TRAIN)
            continue;
        n++;
        for (int c = 0; c < 3; c++) {
            mean[c] += a->file[i].mean[c];
            std[c] += a->file[i].std[c];
        }
    }
    for (int c = 0; n && c < 3; c++) {
        mean[c] /= (double)n;
        std[c] /= (double)n;
    }
    return n;
}

/* ---------------------------------------------------------------------- almost equal images */

static int bits(uint64_t v)
{
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (int)(v * 0x0101010101010101u >> 56);
}

static int distance(const uint64_t a[4], const uint64_t b[4])
{
    return bits(a[0] ^ b[0]) + bits(a[1] ^ b[1]) + bits(a[2] ^ b[2]) + bits(a[3] ^ b[3]);
}

struct search {
    const struct audit *a;
    bool *comparable;
    int64_t *twin; /* of each image the first other one, earlier in the list, that is almost equal; -1 */
};

static void find_twin(void *payload, int64_t i)
{
    struct search *s = payload;
    const struct audit_file *f = s->a->file;
    const nn_sample *sample = s->a->data->sample;

    s->twin[i] = -1;
    for (int64_t j = 0; s->comparable[i] && s->twin[i] < 0 && j < i; j++)
        if (s->comparable[j] && distance(f[i].look, f[j].look) <= NEAR &&
            strcmp(sample[i].sha256, sample[j].sha256) != 0)
            s->twin[i] = j;
}

int audit_near(const struct audit *a, int threads, void (*found)(void *payload, int64_t i, int64_t j),
               void *payload)
{
    static const uint64_t dark[4] = { 0 };
    size_t n = (size_t)a->data->samples;
    struct search s = { .a = a, .comparable = calloc(n + 1, 1), .twin = calloc(n + 1, sizeof *s.twin) };
    int rc = APP_OK;

    for (size_t i = 0; s.comparable && i < n; i++) {
        int ones = distance(a->file[i].look, dark);

        s.comparable[i] = !a->file[i].status && ones >= FLAT && ones <= 256 - FLAT;
    }
    if (!s.comparable || !s.twin)
        rc = app_fail(APP_DEVICE, "out of memory");
    else if (!audit_each((int64_t)n, threads, "comparing", find_twin, &s))
        rc = app_interrupted ? app_fail(128 + app_interrupted, "interrupted")
                             : app_fail(APP_DEVICE, "no thread could be started");
    for (size_t i = 0; !rc && i < n; i++)
        if (s.twin[i] >= 0)
            found(payload, s.twin[i], (int64_t)i);
    free(s.comparable);
    free(s.twin);
    return rc;
}
