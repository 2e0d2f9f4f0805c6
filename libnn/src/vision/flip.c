/* SPDX-License-Identifier: MIT
 *
 * Horizontal flip, the one augmentation that no recipe for faces leaves out: a mirrored face is a face.
 */
#include "vision/transform.h"

void nn_image_flip(nn_image *image)
{
    if (!nni_image_usable(image, INT64_MAX / 3))
        return;
    for (int64_t y = 0; y < image->height; y++) {
        uint8_t *a = image->rgb + (size_t)y * nni_image_stride(image), *b = a + 3 * (image->width - 1);

        for (; a < b; a += 3, b -= 3) {
            for (int c = 0; c < 3; c++) {
                uint8_t keep = a[c];

                a[c] = b[c];
                b[c] = keep;
            }
        }
    }
}

static int apply(const struct nni_step *s, const struct nni_drawn *drawn, struct nni_canvas *c)
{
    (void)s;
    (void)drawn;
    if (!c->real) {
        nn_image_flip(&(nn_image){ .rgb = c->at, .width = c->width, .height = c->height });
        return NN_OK;
    }
    for (int64_t y = 0; y < c->height; y++) {
        float *a = (float *)c->at + 3 * c->width * y, *b = a + 3 * (c->width - 1);

        for (; a < b; a += 3, b -= 3)
            for (int k = 0; k < 3; k++) {
                float keep = a[k];

                a[k] = b[k];
                b[k] = keep;
            }
    }
    return NN_OK;
}

const struct nni_transform nni_transform_flip = { .name = "flip", .p = 0.5, .apply = apply };
