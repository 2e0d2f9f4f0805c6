/* SPDX-License-Identifier: MIT
 *
 * What every transform uses: the two pictures that take turns, and the dice.
 */
#include "vision/transform.h"
#include "vision/pixels.h"

void *nni_canvas_next(struct nni_canvas *c, int64_t width, int64_t height, bool real)
{
    int slot = c->slot == NNI_SCRATCH_CANVAS ? NNI_SCRATCH_CANVAS + 1 : NNI_SCRATCH_CANVAS;

    return nni_scratch(c->scratch, slot, (size_t)(width * height) * nni_pixel_bytes(real) + NNI_BEYOND);
}

void nni_canvas_turn(struct nni_canvas *c, int64_t width, int64_t height, bool real)
{
    c->slot = c->slot == NNI_SCRATCH_CANVAS ? NNI_SCRATCH_CANVAS + 1 : NNI_SCRATCH_CANVAS;
    c->at = c->scratch->memory[c->slot];
    c->width = width;
    c->height = height;
    c->real = real;
}

void nni_canvas_fill(struct nni_canvas *c, int64_t left, int64_t top, int64_t right, int64_t bottom,
                     double fill)
{
    right = right < c->width ? right : c->width;
    bottom = bottom < c->height ? bottom : c->height;
    for (int64_t y = top; y < bottom; y++)
        for (int64_t i = 3 * (y * c->width + left); i < 3 * (y * c->width + right); i++) {
            if (c->real)
                ((float *)c->at)[i] = (float)fill;
            else
                ((uint8_t *)c->at)[i] = (uint8_t)fill;
        }
}

void nni_canvas_look_up(struct nni_canvas *c, const uint8_t table[256])
{
    int64_t n = nni_canvas_values(c);
    uint8_t *byte = c->at;

    for (int64_t i = 0; i < n; i++)
        byte[i] = table[byte[i]];
}

int nni_canvas_resize(struct nni_canvas *c, const nn_image *from, int64_t width, int64_t height,
                      nn_resize_kernel kernel)
{
    nn_image to = { .rgb = nni_canvas_next(c, width, height, false), .width = width, .height = height };
    nn_message why;
    int rc = to.rgb ? nn_image_resize(&to, from, kernel, c->scratch, &why) : NN_ENOMEM;

    if (!rc)
        nni_canvas_turn(c, width, height, false);
    return rc;
}

int64_t nni_mirrored(int64_t i, int64_t n)
{
    int64_t period = 2 * n - 2;

    if (n == 1)
        return 0;
    i = i < 0 ? -i : i;
    if (i > period) /* far outside, where a division is worth it */
        i %= period;
    return i < n ? i : period - i;
}

static uint32_t next_word(struct nni_dice *d)
{
    if (!d->left) {
        nni_stream_at(&d->stream, d->sample, d->epoch, d->index++, d->word);
        d->left = 4;
    }
    return d->word[4 - d->left--];
}

double nni_dice_uniform(struct nni_dice *d, double low, double high)
{
    return low + (high - low) * nni_uniform(next_word(d));
}

double nni_dice_normal(struct nni_dice *d)
{
    uint32_t word[2];
    double both[2];

    word[0] = next_word(d);
    word[1] = next_word(d);
    nni_normal2(word, both);
    return both[0];
}

int64_t nni_dice_int(struct nni_dice *d, int64_t low, int64_t high)
{
    uint32_t bound = (uint32_t)(high - low + 1), reject = (uint32_t)(-(int64_t)bound) % bound;

    for (;;) {
        uint64_t product = (uint64_t)next_word(d) * bound;

        if ((uint32_t)product >= reject)
            return low + (int64_t)(product >> 32);
    }
}
