/* SPDX-License-Identifier: MIT
 *
 * The hot loops of the transforms. The files of vision/simd/ are compiled once for each instruction set; they
 * are plain C that compilers vectorise, with nothing fused or reordered, so each set makes the same bytes and
 * nobody has to know which one ran.
 */
#ifndef NNI_PIXELS_H
#define NNI_PIXELS_H

#include "base/base.h"

/* A picture to take samples from: bytes or floats [height,width,3], and NNI_BEYOND readable bytes beyond it.
 */
struct nni_source {
    const void *pixels;
    int64_t width, height;
};

enum { NNI_BEYOND = 4, NNI_NOISE = 512 }; /* numbers of noise made at once */

struct nni_pixel_kernels {
    const char *isa;
    /* NNI_NOISE standard normal numbers from the words at `index` and the 127 after it. */
    void (*normals)(const nni_stream *s, uint64_t sample, uint32_t step, uint32_t index, float *out);
    /* byte += mean + sigma*noise, clipped, its fraction cut off */
    void (*add_noise)(uint8_t *byte, const float *noise, float mean, float sigma, int64_t n);
    /* to[i] = sum over k of weight[k] * from[k][i], in the order of k */
    void (*weighted_sum)(float *to, const float *const *from, const float *weight, int64_t count, int64_t n);
    /* To the nearest, halves to even, saturating. */
    void (*to_bytes)(uint8_t *to, const float *from, int64_t n);
    /* Places in pixels to places in 1/32: to the nearest, halves to even; INT32_MIN for what does not fit. */
    void (*round_places)(int32_t *to, const float *place, int64_t n);
    /* Samples at the places (sx,sy), in 1/32 of a pixel, up to the first whose four neighbours are not all
     * inside the picture. Returns its number, or n. */
    int64_t (*sample)(const struct nni_source *from, const int32_t *sx, const int32_t *sy, uint8_t *to,
                      int64_t n);
    /* The same of a picture of floats; may write NNI_BEYOND bytes beyond the last sample. */
    int64_t (*sample_real)(const struct nni_source *from, const int32_t *sx, const int32_t *sy, float *to,
                           int64_t n);
    /* Sum of the grey values of n pixels. */
    int64_t (*grey_sum)(const uint8_t *rgb, int64_t n);
    double (*grey_sum_real)(const float *rgb, int64_t n);
    /* rgb*f + grey*g, rounded; floats are clipped to [0,1] */
    void (*saturate)(uint8_t *rgb, int64_t n, float f, float g);
    void (*saturate_real)(float *rgb, int64_t n, float f, float g);
    /* Hue h of OpenCV's 8-bit HSV becomes turned[h]; `cut` says what happens to fractions. */
    void (*turn_hue)(uint8_t *rgb, int64_t n, const uint8_t turned[256], bool cut);
    /* Turns the hue of n pixels by -180 to 180 degrees. */
    void (*turn_hue_real)(float *rgb, int64_t n, float degrees);
    /* value*factor + offset, clipped to [0,1] */
    void (*scale_real)(float *value, int64_t n, float factor, float offset);
    /* (byte - offset)*factor of n pixels, with one offset and factor for each channel */
    void (*normalize)(float *to, const uint8_t *rgb, int64_t n, const float offset[3], const float factor[3]);
};

/* The kernels of the best instruction set here. */
const struct nni_pixel_kernels *nni_pixels(void);
/* Those of one instruction set; NULL if it does not run here. */
const struct nni_pixel_kernels *nni_pixels_of(const char *isa);

#define NNI_PIXELS(isa)                                                                                      \
    void nni_normals_##isa(const nni_stream *, uint64_t, uint32_t, uint32_t, float *);                       \
    void nni_add_noise_##isa(uint8_t *, const float *, float, float, int64_t);                               \
    void nni_weighted_sum_##isa(float *, const float *const *, const float *, int64_t, int64_t);             \
    void nni_to_bytes_##isa(uint8_t *, const float *, int64_t);                                              \
    void nni_round_places_##isa(int32_t *, const float *, int64_t);                                          \
    int64_t nni_sample_##isa(const struct nni_source *, const int32_t *, const int32_t *, uint8_t *,         \
                             int64_t);                                                                       \
    int64_t nni_sample_real_##isa(const struct nni_source *, const int32_t *, const int32_t *, float *,      \
                                  int64_t);                                                                  \
    int64_t nni_grey_sum_##isa(const uint8_t *, int64_t);                                                    \
    double nni_grey_sum_real_##isa(const float *, int64_t);                                                  \
    void nni_saturate_##isa(uint8_t *, int64_t, float, float);                                               \
    void nni_saturate_real_##isa(float *, int64_t, float, float);                                            \
    void nni_turn_hue_##isa(uint8_t *, int64_t, const uint8_t[256], bool);                                   \
    void nni_turn_hue_real_##isa(float *, int64_t, float);                                                   \
    void nni_scale_real_##isa(float *, int64_t, float, float);                                               \
    void nni_normalize_##isa(float *, const uint8_t *, int64_t, const float[3], const float[3]);
NNI_PIXELS(portable)
NNI_PIXELS(avx2)
NNI_PIXELS(avx512)

#endif
