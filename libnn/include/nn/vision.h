/* SPDX-License-Identifier: MIT
 *
 * From the bytes of a file to the pixels a network sees: decode, resize, crop, flip, and the record that says
 * which of these, in which order, belong to a set of weights.
 *
 * An image is 8-bit RGB, interleaved, top row first. Image files come from strangers, so every damage a file
 * can have ends in a status code and a text that says where; memory and time are bounded by what the header
 * declares and by nn_decode_opts. All functions may be called from any number of threads; none keeps state
 * between calls except in the nn_vision_scratch passed in.
 */
#ifndef NN_VISION_H
#define NN_VISION_H

#include <nn/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pixels [height,width,3]. `stride` is the distance of two rows in bytes, 0 for 3*width. The caller owns it:
 * a zeroed nn_image that a function filled is released with nn_image_free; a view on foreign memory is not.
 */
typedef struct nn_image {
    uint8_t *rgb;
    int64_t width, height;
    size_t stride;
} nn_image;

/* Releases the pixels of a decoded or resized image and zeroes the structure. */
NN_API void nn_image_free(nn_image *image);

/* ------------------------------------------------------------------------------------------------- decode */

typedef struct nn_decode_opts {
    int64_t max_pixels;     /* refuse larger images at the header; 0: 64 million */
    size_t max_bytes;       /* refuse larger files before reading them; 0: 256 MiB */
    int ignore_orientation; /* keep the stored orientation instead of the one EXIF asks for */
} nn_decode_opts;

typedef enum nn_image_format { NN_IMAGE_UNKNOWN, NN_IMAGE_JPEG, NN_IMAGE_PNG } nn_image_format;

typedef struct nn_image_info {
    nn_image_format format;
    int64_t width, height; /* as stored; orientations 5 to 8 swap them in the decoded image */
    int channels;          /* as stored: 1 grey or palette, 2 grey+alpha, 3 colour, 4 colour+alpha or CMYK */
    int bit_depth;         /* per sample: 1, 2, 4, 8 or 16 */
    int orientation;       /* EXIF, 1 to 8; 1 when absent */
    int progressive;       /* progressive JPEG or interlaced PNG */
} nn_image_info;

/* Decodes a JPEG (8-bit Huffman: baseline, extended, progressive; grey, YCbCr, RGB, CMYK, YCCK) or a PNG (all
 * colour types and depths, interlaced or not; of an APNG the default image). What comes out is what OpenCV's
 * colour read gives, up to the rounding of the inverse DCT and of chroma interpolation: EXIF orientation
 * applied, alpha dropped, grey replicated, palettes expanded (an index beyond the palette is black), small
 * grey depths scaled to 0..255, 16-bit samples by their high byte, ICC profiles and gAMA ignored. Width and
 * height are at most 16384.
 *
 * Damage is an error, never a partial image. PNG: every chunk CRC, the Adler-32 and the exact amount of pixel
 * data are verified. JPEG carries no checksum: the entropy-coded data of every scan are decoded once
 * beforehand, so truncation, an undefined code, a coefficient out of range, a restart marker out of order,
 * and data that end too early or too late are found. Damage that leaves a stream of the same length with
 * plausible values is not: of single flipped bits in photographs about one in four is noticed, of three
 * random bytes about 70 %. Neither is a file whose last progressive scans were cut off and whose end marker
 * was put back.
 *
 * Differences to OpenCV's bytes, measured: at most 3 levels (4 for 4:2:2), except the chroma of the last two
 * columns of a 4:2:2 JPEG, which stb_image interpolates otherwise, and of 4:2:0 images less than 5 pixels
 * wide.
 *
 * On success out->rgb is to be released with nn_image_free; on failure *out is zeroed. NN_EFORMAT: damaged or
 * over a limit; NN_EUNSUPPORTED: another format (named in the text) or an unusual flavour of these two;
 * NN_ENOMEM. */
NN_API int nn_image_decode(nn_image *out, const void *bytes, size_t size, const nn_decode_opts *opts,
                           nn_message *why);
/* The same from a regular file; the text begins with the path. Also NN_ENOTFOUND, NN_EIO. */
NN_API int nn_image_load(nn_image *out, const char *path, const nn_decode_opts *opts, nn_message *why);
/* Reads the headers only: cheap, and no promise that the rest is undamaged. The limits of nn_decode_opts are
 * not applied. A prefix of the file is enough when it holds everything up to the pixel data. */
NN_API int nn_image_probe(nn_image_info *out, const void *bytes, size_t size, nn_message *why);
NN_API int nn_image_probe_file(nn_image_info *out, const char *path, nn_message *why);

/* ------------------------------------------------------------------------------------------------- resize */

/* Kernels are named after the library whose bytes they reproduce, because a network is used best with the
 * pixels it was trained on: OpenCV's INTER_LINEAR (no antialiasing; exactly half size in both directions is a
 * 2x2 mean there), and Pillow's antialiased BILINEAR and BICUBIC as of version 13. (Until version 12 Pillow
 * always resized horizontally first; from 13 on vertically first when the height shrinks by more than twice
 * as many pixels as the width. For other images all versions agree.) */
#define NN_RESIZE_LIST(X)                                                                                    \
    X(NN_RESIZE_OPENCV_LINEAR, "cv2-linear")                                                                 \
    X(NN_RESIZE_PILLOW_BILINEAR, "pil-bilinear")                                                             \
    X(NN_RESIZE_PILLOW_BICUBIC, "pil-bicubic")

typedef enum nn_resize_kernel {
#define X(name, text) name,
    NN_RESIZE_LIST(X)
#undef X
        NN_RESIZE_KERNELS
} nn_resize_kernel;

/* "cv2-linear" and so on; "?" for a value that is no kernel. */
NN_API const char *nn_resize_name(nn_resize_kernel kernel);
/* NN_OK, or NN_ENOTFOUND with the list of names in the text. */
NN_API int nn_resize_named(nn_resize_kernel *kernel, const char *name, nn_message *why);

/* Working memory that calls reuse: zero it, pass it to any number of calls of one thread, free it at the end.
 */
typedef struct nn_vision_scratch {
    void *memory[3];
    size_t size[3];
} nn_vision_scratch;
NN_API void nn_vision_scratch_free(nn_vision_scratch *scratch);

/* Resizes `in` to out->width x out->height. With out->rgb NULL the pixels are allocated (release them with
 * nn_image_free), otherwise they are written there with out->stride. `scratch` may be NULL. NN_EINVAL for
 * sizes outside 1..65536, NN_ENOMEM. */
NN_API int nn_image_resize(nn_image *out, const nn_image *in, nn_resize_kernel kernel,
                           nn_vision_scratch *scratch, nn_message *why);

/* ------------------------------------------------------------------------------------------- crop and flip
 */

/* Mirrors left and right in place. */
NN_API void nn_image_flip(nn_image *image);
/* Copies the window of out->width x out->height whose top left corner is (x,y) of `in`; what lies outside is
 * black. out->rgb as in nn_image_resize. NN_EINVAL for sizes outside 1..65536, NN_ENOMEM. */
NN_API int nn_image_crop(nn_image *out, const nn_image *in, int64_t x, int64_t y, nn_message *why);
/* The window in the middle, by torchvision's CenterCrop rule: an odd difference of sizes is halved to the
 * nearest even number; a smaller image is padded with black, the odd pixel to the right and below. */
NN_API int nn_image_crop_centre(nn_image *out, const nn_image *in, nn_message *why);

/* ------------------------------------------------------------------------------------ preprocessing record
 */

/* What has to happen to an image before a given set of weights sees it. It travels with the weights. Begin
 * with nn_preprocess_default() and change fields; a zeroed one is not valid. Order of work: resize, crop,
 * then (x / maximum - mean) / std, of which the last is done by the network's first step. */
typedef struct nn_preprocess {
    nn_resize_kernel kernel;
    int64_t resize_height, resize_width; /* both set: squash to exactly this */
    int64_t resize_shorter;              /* set: the shorter side becomes this, proportions kept */
    int crop;                            /* after that, cut the middle size x size (padding with black) */
    int64_t size;                        /* height and width of the network's input */
    double mean[3], std[3];              /* R, G, B; of pixels divided by `maximum` */
    double maximum;
    char **class_names; /* owned, one per output of the network; NULL when unknown */
    int64_t classes;
} nn_preprocess;

/* ImageNet mean and standard deviation, cv2-linear squash to 224x224, maximum 255, no class names. */
NN_API nn_preprocess nn_preprocess_default(void);
/* Releases the class names. */
NN_API void nn_preprocess_free(nn_preprocess *record);
/* Copies `count` names (UTF-8, unique, not empty); 0 removes them. NN_EINVAL, NN_ENOMEM; then nothing
 * changed. */
NN_API int nn_preprocess_set_classes(nn_preprocess *record, const char *const *names, int64_t count,
                                     nn_message *why);
/* NN_OK when the fields make sense together; otherwise NN_EINVAL and the field's name in the text. */
NN_API int nn_preprocess_check(const nn_preprocess *record, nn_message *why);

/* Applies resize and crop; `rgb` receives [size,size,3] bytes. Nothing is allocated once `scratch` has grown.
 * `scratch` may be NULL. NN_EINVAL (the record or the image), NN_ENOMEM. */
NN_API int nn_preprocess_apply(const nn_preprocess *record, const nn_image *in, uint8_t *rgb,
                               nn_vision_scratch *scratch, nn_message *why);

/* The record as text, one JSON object, for string-to-string metadata such as safetensors' under this key. */
#define NN_PREPROCESS_KEY "libnn.preprocess"
/* Writes at most `size` bytes of zero-terminated text; *length becomes the length without the zero. Text that
 * does not fit is NN_EINVAL with *length set and nothing written, so a first call with NULL and 0 measures.
 */
NN_API int nn_preprocess_write(const nn_preprocess *record, char *text, size_t size, size_t *length,
                               nn_message *why);
/* Strict: an unknown, missing or duplicate key, a wrong type, a number that is not finite, or a record that
 * nn_preprocess_check refuses is NN_EFORMAT and named. Numbers come back bit for bit. On success release *out
 * with nn_preprocess_free; on failure it is zeroed. */
NN_API int nn_preprocess_read(nn_preprocess *out, const char *text, nn_message *why);

#ifdef __cplusplus
}
#endif

#endif
