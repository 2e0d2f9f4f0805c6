/* SPDX-License-Identifier: MIT
 *
 * From the bytes of a file to the pixels a network sees: decode, resize, crop, flip, and the record that says
 * which of these belong to a set of weights. An image is 8-bit RGB, interleaved, top row first. Files come
 * from strangers: every damage ends in a status and a text that says where, and limits bound memory and time.
 * State is kept in the nn_vision_scratch passed in alone, so any number of threads may call all this.
 */
#ifndef NN_VISION_H
#define NN_VISION_H

#include <nn/base.h>

NN_C_BEGIN

/* Pixels [height,width,3]; `stride` is the distance of two rows in bytes, 0 for 3*width. Release what a
 * function filled with nn_image_free; an nn_image may also be a view on memory of your own. */
typedef struct nn_image {
    uint8_t *rgb;
    int64_t width, height;
    size_t stride;
} nn_image;
NN_API void nn_image_free(nn_image *image);

/* ---- decoding ---- */

typedef struct nn_decode_opts {
    int64_t max_pixels;     /* refuse larger images at the header; 0: 64 million */
    size_t max_bytes;       /* refuse larger files before reading them; 0: 256 MiB */
    int ignore_orientation; /* keep the stored orientation instead of the one EXIF asks for */
} nn_decode_opts;

/* Decodes a JPEG (8-bit Huffman) or PNG as OpenCV's colour read does: EXIF orientation applied, alpha
 * dropped, grey replicated, 16 bits by their high byte, ICC ignored; a JPEG to within 4 levels. Sides are at
 * most 16384. Damage is an error, never a partial image, as far as it can be seen: PNG has checksums, JPEG
 * has none, and of single flipped bits about one in four is noticed. `opts` may be NULL.
 * NN_EFORMAT: damaged or over a limit. NN_EUNSUPPORTED: another format, named. */
NN_API int nn_image_decode(nn_image *out, const void *bytes, size_t size, const nn_decode_opts *opts,
                           nn_message *why);
/* The same from a regular file. */
NN_API int nn_image_load(nn_image *out, const char *path, const nn_decode_opts *opts, nn_message *why);

/* What decodes in this build: "stb_image" or "libjpeg-turbo 2.1.5", whose pixels differ by a few levels, so
 * that a result to be repeated needs the same one; "stb_image" or "libspng 0.7.3", which make the same
 * pixels. */
NN_API const char *nn_jpeg_decoder(void);
NN_API const char *nn_png_decoder(void);

typedef enum nn_image_format { NN_IMAGE_UNKNOWN, NN_IMAGE_JPEG, NN_IMAGE_PNG } nn_image_format;
typedef struct nn_image_info {
    nn_image_format format;
    int64_t width, height; /* as stored; orientations 5 to 8 swap them in the decoded image */
    int channels;          /* as stored: 1 grey or palette, 2 grey+alpha, 3 colour, 4 colour+alpha or CMYK */
    int bit_depth;         /* per sample: 1, 2, 4, 8 or 16 */
    int orientation;       /* EXIF, 1 to 8; 1 when absent */
    int progressive;       /* progressive JPEG or interlaced PNG */
} nn_image_info;

/* Reads the headers only, without the limits of nn_decode_opts: no promise that the rest is undamaged. */
NN_API int nn_image_probe_file(nn_image_info *out, const char *path, nn_message *why);

/* What a file tells about who wrote it, apart from its pixels. */
typedef struct nn_image_facts {
    nn_image_info info;
    uint64_t size;             /* bytes */
    int quality;               /* JPEG: libjpeg's 1..100 whose luminance table is nearest; 0: none */
    int quality_exact;         /* it is that table */
    int sampling;              /* JPEG in colour: 444, 422, 420, 440, 411; 1: another; 0: not that */
    int alpha, exif, xmp, icc; /* PNG: alpha channel or tRNS; there is such a block */
    int c2pa;                  /* a C2PA manifest: JUMBF in APP11 or caBX */
    char software[64];         /* EXIF Software, PNG text Software, or JPEG comment; made printable ASCII */
    char generator[32];        /* trace of a generator: a PNG keyword ("parameters", "prompt", ...) or IPTC's
                                  "trainedAlgorithmicMedia"; "" when there is none */
} nn_image_facts;

/* Walks the whole file without decoding a pixel. NN_EFORMAT: damaged headers, or no end marker (truncated).
 * NN_EUNSUPPORTED: another format, named. */
NN_API int nn_image_facts_file(nn_image_facts *out, const char *path, nn_message *why);

/* Writes an 8-bit RGB PNG without any metadata, compressed by `level` from 0 (stored: the file's size depends
 * on width and height only) to 9 (smallest). Nothing is left of a file that could not be finished. NN_EINVAL:
 * sides outside 1..16384. */
NN_API int nn_image_save_png(const nn_image *image, const char *path, int level, nn_message *why);

/* ---- resizing, cropping, mirroring ---- */

/* Kernels are named after the library whose bytes they reproduce, because a network is used best with the
 * pixels it was trained on: OpenCV's INTER_LINEAR, and Pillow's antialiased filters as of version 13. */
// clang-format off
typedef enum nn_resize_kernel {
    NN_RESIZE_OPENCV_LINEAR, NN_RESIZE_PILLOW_BILINEAR, NN_RESIZE_PILLOW_BICUBIC, NN_RESIZE_KERNELS
} nn_resize_kernel;
// clang-format on
/* "cv2-linear", "pil-bilinear", "pil-bicubic"; "?" for a value that is no kernel. And back: NN_ENOTFOUND,
 * with the list of names in the text. */
NN_API const char *nn_resize_name(nn_resize_kernel kernel);
NN_API int nn_resize_named(nn_resize_kernel *kernel, const char *name, nn_message *why);

/* Working memory that calls of one thread reuse: zero it, pass it on, free it at the end. Where a function
 * takes one, NULL is fine. */
typedef struct nn_vision_scratch {
    void *memory[8];
    size_t size[8];
} nn_vision_scratch;
NN_API void nn_vision_scratch_free(nn_vision_scratch *scratch);

/* Each makes out->width x out->height pixels: at out->rgb with out->stride, or allocated when out->rgb is
 * NULL. NN_EINVAL for sizes outside 1..65536. */
NN_API int nn_image_resize(nn_image *out, const nn_image *in, nn_resize_kernel kernel,
                           nn_vision_scratch *scratch, nn_message *why);
/* The window whose top left corner is (x,y) of `in`; black where that is outside. */
NN_API int nn_image_crop(nn_image *out, const nn_image *in, int64_t x, int64_t y, nn_message *why);
/* The window in the middle, by the rule of torchvision's CenterCrop. */
NN_API int nn_image_crop_centre(nn_image *out, const nn_image *in, nn_message *why);
/* Left and right change places, in place. */
NN_API void nn_image_flip(nn_image *image);

/* ---- the preprocessing record ---- */

/* What has to happen to an image before a given set of weights sees it, and travels with them: resize, crop,
 * then (x/maximum - mean)/std. Begin with nn_preprocess_default(): a zeroed record is not valid. */
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
NN_API void nn_preprocess_free(nn_preprocess *record);
/* Copies `count` names (UTF-8, unique, not empty); 0 removes them. On failure nothing has changed. */
NN_API int nn_preprocess_set_classes(nn_preprocess *record, const char *const *names, int64_t count,
                                     nn_message *why);
/* NN_OK when the fields make sense, alone (sides up to 4096, mean within +-1000, std 1e-4 to 1000, maximum 1
 * to 65535) and together; else NN_EINVAL and the field's name in the text. */
NN_API int nn_preprocess_check(const nn_preprocess *record, nn_message *why);
/* Resize and crop into rgb[size,size,3]. */
NN_API int nn_preprocess_apply(const nn_preprocess *record, const nn_image *in, uint8_t *rgb,
                               nn_vision_scratch *scratch, nn_message *why);

/* The record as text, one JSON object, kept in the metadata of weight files under this key. */
#define NN_PREPROCESS_KEY "libnn.preprocess"
/* At most `size` bytes of terminated text; *length is its length. Text that does not fit is NN_EINVAL with
 * nothing written but *length, so a first call with NULL and 0 measures. */
NN_API int nn_preprocess_write(const nn_preprocess *record, char *text, size_t size, size_t *length,
                               nn_message *why);
/* Strict: an unknown, missing or duplicate key, a wrong type, or what nn_preprocess_check refuses is
 * NN_EFORMAT and named. Numbers come back bit for bit. Free *out in the end. */
NN_API int nn_preprocess_read(nn_preprocess *out, const char *text, nn_message *why);

/* ---- augmentation ---- */

/* A pipeline of random transforms, described by a text of steps separated by ';' or line ends ('#' begins a
 * comment): a name and settings, each a number or a range "low..high" to draw from, and the probability p.
 *
 *     advanced_blur; affine rotate=-10..10 scale=0.9..2 p=0.3; flip
 *
 * `resize` makes the picture the network's input by the preprocessing record, `random_crop` cuts that out of
 * it; without either the first step is `resize`. Instead of a text: "none", "flip", "entry", "notebook",
 * "notebook-fixed" (docs/augmentation.md). */
typedef struct nn_augment nn_augment;
/* NN_EFORMAT: an unknown name, a value that is none or out of range; the text says where. */
NN_API int nn_augment_new(nn_augment **out, const char *text, nn_message *why);
NN_API void nn_augment_free(nn_augment *augment);
/* The whole pipeline with every setting, one step a line; means the same when it is read again. */
NN_API const char *nn_augment_text(const nn_augment *augment);
/* What comes out: NN_U8; or NN_F32, normalised by the record's mean and std, where `normalize` is a step. */
NN_API nn_dtype nn_augment_type(const nn_augment *augment);
/* Changes what the pipeline decides for evaluation, too: the maximum that `normalize` divides by; and where
 * pictures are cut at their own resolution, no resizing but the middle. */
NN_API void nn_augment_settle(const nn_augment *augment, nn_preprocess *record);
/* Decoded image to pixels[size,size,3] of nn_augment_type. What is drawn depends on (seed, epoch, sample) and
 * each transform's name only. */
typedef struct nn_augment_key {
    uint64_t seed, sample;
    uint32_t epoch;
} nn_augment_key;
NN_API int nn_augment_apply(const nn_augment *augment, const nn_preprocess *record, const nn_image *in,
                            nn_augment_key key, void *pixels, nn_vision_scratch *scratch, nn_message *why);

NN_C_END

#endif
