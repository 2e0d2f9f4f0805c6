/* SPDX-License-Identifier: MIT
 *
 * Cutting a window out of an image. Windows may reach beyond it: an image smaller than the crop is padded
 * with black rather than refused, as torchvision does, since one small file must not end a run.
 */
#include "vision.h"

#include <string.h>

int nn_image_crop(nn_image *out, const nn_image *in, int64_t x, int64_t y, nn_message *why)
{
    int64_t left, right;
    bool fresh;
    int rc = nni_image_prepare(out, in, &fresh, why);

    if (rc)
        return rc;
    /* Far outside is as black as just outside, and the sums below cannot overflow. */
    x = x < -NNI_RESIZE_SIDE ? -NNI_RESIZE_SIDE : x > NNI_RESIZE_SIDE ? NNI_RESIZE_SIDE : x;
    y = y < -NNI_RESIZE_SIDE ? -NNI_RESIZE_SIDE : y > NNI_RESIZE_SIDE ? NNI_RESIZE_SIDE : y;
    left = x < 0 ? -x : 0;
    left = left > out->width ? out->width : left;
    right = in->width - x;
    right = right > out->width ? out->width : right;
    for (int64_t i = 0; i < out->height; i++) {
        uint8_t *to = out->rgb + (size_t)i * nni_image_stride(out);

        if (y + i < 0 || y + i >= in->height || right <= left) {
            memset(to, 0, (size_t)out->width * 3);
            continue;
        }
        memset(to, 0, (size_t)left * 3);
        memcpy(to + left * 3, in->rgb + (size_t)(y + i) * nni_image_stride(in) + (x + left) * 3,
               (size_t)(right - left) * 3);
        memset(to + right * 3, 0, (size_t)(out->width - right) * 3);
    }
    return NN_OK;
}

/* Half of what sticks out: 1 -> 0, 3 -> 2, 5 -> 2, -1 -> 0, -3 -> -1. */
static int64_t middle(int64_t in, int64_t out)
{
    int64_t d = in - out;

    if (d < 0)
        return -(-d / 2);
    return d % 4 == 3 ? d / 2 + 1 : d / 2;
}

int nn_image_crop_centre(nn_image *out, const nn_image *in, nn_message *why)
{
    if (!out || !in)
        return nni_fail(why, NN_EINVAL, "no image to crop");
    return nn_image_crop(out, in, middle(in->width, out->width), middle(in->height, out->height), why);
}
