/* SPDX-License-Identifier: MIT
 *
 * What the files of this room share. The decoder is built as check-then-decode: jpeg.c and png.c verify a
 * file completely and copy what they verified into a clean file, and only that copy reaches a decoder:
 * stb_image, the usual one, is fast and small but trusts its input.
 */
#ifndef NNI_VISION_H
#define NNI_VISION_H

#include <nn/vision.h>
#include "base/base.h"

enum { NNI_IMAGE_SIDE = 16384, NNI_RESIZE_SIDE = 65536 };

/* A verified file without everything the decoder need not see; release `bytes` with nni_free. */
struct nni_clean {
    uint8_t *bytes;
    size_t size;
    const uint8_t
        *palette; /* unless NULL, of `colours` in the file checked: the decoder makes grey of indices */
    unsigned colours;
};

static inline unsigned nni_be16(const uint8_t *p) { return (unsigned)p[0] << 8 | p[1]; }
static inline uint32_t nni_be32(const uint8_t *p) { return (uint32_t)nni_be16(p) << 16 | nni_be16(p + 2); }

/* Orientation 1..8 from the TIFF structure inside EXIF; 1 when it is absent or makes no sense. */
int nni_exif_orientation(const uint8_t *tiff, size_t size);
/* Length of the tag Software, which *text then points to; 0 when it is absent. */
size_t nni_exif_software(const uint8_t *tiff, size_t size, const uint8_t **text);

/* Reads the headers into *info. `limit` non-NULL: goes on to verify the whole file within those limits and
 * fills *clean. Texts name the byte offset. */
int nni_jpeg_check(const uint8_t *data, size_t size, nn_image_info *info, const nn_decode_opts *limit,
                   struct nni_clean *clean, nn_message *why);
int nni_png_check(const uint8_t *data, size_t size, nn_image_info *info, const nn_decode_opts *limit,
                  struct nni_clean *clean, nn_message *why);
/* Grey pixels of a clean file with a palette become its colours. An index beyond it is damage. */
int nni_png_colours(uint8_t *rgb, const nn_image_info *info, const struct nni_clean *clean, nn_message *why);
/* nn_image_probe_file for a prefix of a file: all up to the pixel data must be there. */
int nni_image_probe(nn_image_info *out, const void *bytes, size_t size, nn_message *why);
/* The size limits, in one place for both formats. */
int nni_image_limits(const nn_image_info *info, const nn_decode_opts *limit, nn_message *why);

/* Number i (row by row, 0..63) of the table for brightness or colour at a quality from 1 to 100; and the
 * order in which files store them. */
int nni_jpeg_quantum(bool colour, int i, int quality);
extern const uint8_t nni_jpeg_zigzag[64];

/* zlib's memory comes from the library's allocator. */
void *nni_zlib_alloc(void *opaque, unsigned count, unsigned size);
void nni_zlib_free(void *opaque, void *memory);

/* A decoder on a clean file: fills rgb[height,width,3]. libjpeg-turbo is there with make JPEG=turbo, libspng
 * with make PNG=spng. */
int nni_stb_decode(const struct nni_clean *clean, const nn_image_info *info, uint8_t *rgb, nn_message *why);
int nni_turbo_decode(const struct nni_clean *clean, const nn_image_info *info, uint8_t *rgb, nn_message *why);
int nni_spng_decode(const struct nni_clean *clean, const nn_image_info *info, uint8_t *rgb, nn_message *why);

/* Scratch memory number `slot` with room for `size` bytes, contents undefined; NULL when there is none. */
void *nni_scratch(nn_vision_scratch *scratch, int slot, size_t size);

static inline size_t nni_image_stride(const nn_image *image)
{
    return image->stride ? image->stride : (size_t)image->width * 3;
}
/* Whether there are pixels, sides from 1 to `most`, and rows that do not overlap. */
bool nni_image_usable(const nn_image *image, int64_t most);
/* Checks both images and gives `out` pixels when it has none; *fresh says that it did. */
int nni_image_prepare(nn_image *out, const nn_image *in, bool *fresh, nn_message *why);

/* Whether a pipeline begins with the resize; and nn_augment_apply without its checks, of a picture that may
 * have been resized before. */
bool nni_augment_resizes(const nn_augment *a);
int nni_augment_run(const nn_augment *a, const nn_preprocess *record, const nn_image *in, bool resized,
                    nn_augment_key key, void *pixels, nn_vision_scratch *scratch, nn_message *why);

/* Sizes are checked and differ; 0 or NN_ENOMEM. */
int nni_resize_opencv(const nn_image *out, const nn_image *in, nn_vision_scratch *scratch);
int nni_resize_pillow(const nn_image *out, const nn_image *in, bool cubic, nn_vision_scratch *scratch);

#endif
