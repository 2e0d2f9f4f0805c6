/* SPDX-License-Identifier: MIT
 *
 * What the resize kernels have in common: names, checks, working memory.
 */
#include "vision.h"

#include <string.h>

static const char *const names[NN_RESIZE_KERNELS] = { [NN_RESIZE_OPENCV_LINEAR] = "cv2-linear",
                                                      [NN_RESIZE_PILLOW_BILINEAR] = "pil-bilinear",
                                                      [NN_RESIZE_PILLOW_BICUBIC] = "pil-bicubic" };

const char *nn_resize_name(nn_resize_kernel kernel)
{
    return (unsigned)kernel < NN_RESIZE_KERNELS ? names[kernel] : "?";
}

int nn_resize_named(nn_resize_kernel *kernel, const char *name, nn_message *why)
{
    if (!kernel || !name)
        return nni_fail(why, NN_EINVAL, "no name of a resize kernel");
    for (int i = 0; i < NN_RESIZE_KERNELS; i++) {
        if (strcmp(names[i], name) == 0) {
            *kernel = (nn_resize_kernel)i;
            return NN_OK;
        }
    }
    return nni_fail(why, NN_ENOTFOUND, "no resize kernel \"%.64s\"; there are %s %s %s", name, names[0],
                    names[1], names[2]);
}

void *nni_scratch(nn_vision_scratch *scratch, int slot, size_t size)
{
    if (scratch->size[slot] < size || !scratch->memory[slot]) {
        nni_free(scratch->memory[slot]);
        scratch->memory[slot] = nni_alloc(size);
        scratch->size[slot] = scratch->memory[slot] ? size : 0;
    }
    return scratch->memory[slot];
}

void nn_vision_scratch_free(nn_vision_scratch *scratch)
{
    if (!scratch)
        return;
    for (size_t i = 0; i < sizeof scratch->memory / sizeof *scratch->memory; i++)
        nni_free(scratch->memory[i]);
    *scratch = (nn_vision_scratch){ .size = { 0 } };
}

static bool has_size(const nn_image *image, int64_t most)
{
    return image->width >= 1 && image->width <= most && image->height >= 1 && image->height <= most &&
           (!image->stride || image->stride >= (size_t)image->width * 3);
}

bool nni_image_usable(const nn_image *image, int64_t most)
{
    return image && image->rgb && has_size(image, most);
}

int nni_image_prepare(nn_image *out, const nn_image *in, bool *fresh, nn_message *why)
{
    *fresh = false;
    if (!out || !nni_image_usable(in, NNI_RESIZE_SIDE))
        return nni_fail(why, NN_EINVAL,
                        "no image, or one with sides outside 1..%d or a stride shorter than a row",
                        NNI_RESIZE_SIDE);
    if (!has_size(out, NNI_RESIZE_SIDE))
        return nni_fail(why, NN_EINVAL,
                        "cannot make an image of %lld x %lld with stride %zu: sides are 1..%d",
                        (long long)out->width, (long long)out->height, out->stride, NNI_RESIZE_SIDE);
    if (!out->rgb) {
        out->stride = (size_t)out->width * 3;
        out->rgb = nni_alloc(out->stride * (size_t)out->height);
        if (!out->rgb)
            return nni_fail(why, NN_ENOMEM, "no memory for %lld x %lld pixels", (long long)out->width,
                            (long long)out->height);
        *fresh = true;
    }
    return NN_OK;
}

int nn_image_resize(nn_image *out, const nn_image *in, nn_resize_kernel kernel, nn_vision_scratch *scratch,
                    nn_message *why)
{
    nn_vision_scratch own = { .size = { 0 } };
    nn_vision_scratch *s = scratch ? scratch : &own;
    bool fresh;
    int rc;

    if ((unsigned)kernel >= NN_RESIZE_KERNELS)
        return nni_fail(why, NN_EINVAL, "resize kernel %d does not exist", (int)kernel);
    rc = nni_image_prepare(out, in, &fresh, why);
    if (rc)
        return rc;
    if (out->width == in->width && out->height == in->height)
        for (int64_t y = 0; y < in->height; y++)
            memcpy(out->rgb + (size_t)y * nni_image_stride(out), in->rgb + (size_t)y * nni_image_stride(in),
                   (size_t)in->width * 3);
    else if (kernel == NN_RESIZE_OPENCV_LINEAR)
        rc = nni_resize_opencv(out, in, s);
    else
        rc = nni_resize_pillow(out, in, kernel == NN_RESIZE_PILLOW_BICUBIC, s);
    nn_vision_scratch_free(&own);
    if (rc) {
        if (fresh) {
            nni_free(out->rgb);
            out->rgb = NULL;
        }
        return nni_fail(why, rc, "no memory to resize to %lld x %lld", (long long)out->width,
                        (long long)out->height);
    }
    return NN_OK;
}
