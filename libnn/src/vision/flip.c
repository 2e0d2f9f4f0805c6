/* SPDX-License-Identifier: MIT
 *
 * Horizontal flip, the one augmentation that no recipe for faces leaves out: a mirrored face is a face.
 */
#include "vision.h"

void nn_image_flip(nn_image *image)
{
    if (!image || !image->rgb)
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
