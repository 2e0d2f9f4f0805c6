/* SPDX-License-Identifier: MIT
 *
 * The transforms around the products of a 3x3 convolution that makes 2x2 pixels at a time (Winograd's
 * F(2x2,3x3); Lavin and Gray 2016), see ops/winograd.c. A square of 4x4 values, of weights, of pixels or of
 * results, becomes 16 of which each belongs to a matrix of its own, `apart` elements from the one before.
 */
#ifndef NNI_WINOGRAD_KERNELS_H
#define NNI_WINOGRAD_KERNELS_H

#include <nn/op.h>

enum { NNI_WINOGRAD = 16 }; /* matrices */

/* Vectors run along the last dimension: channels, or `count` weights. */
struct nni_winograd_kernels {
    /* G g G^T of the weights at taps[9][ld]. */
    void (*weights)(nn_real *to, int64_t apart, const nn_real *taps, int64_t ld, int64_t count);
    /* B^T d B of 4x4 pixels, activations in the table's type of storage. */
    void (*input)(nn_real *to, int64_t apart, const void *const *pixel, int64_t channels);
    /* A d A^T of 2x2 pixels: the gradient of m below. */
    void (*gradient)(nn_real *to, int64_t apart, const void *const *pixel, int64_t channels);
    /* G^T u G to taps[9][ld]: the gradient of g above. */
    void (*weights_back)(nn_real *taps, int64_t ld, const nn_real *u, int64_t apart, int64_t count);
    /* A^T m A: two pixels at `to`, `ld` elements apart, and two in the row below at `below`. */
    void (*output)(nn_real *to, nn_real *below, int64_t ld, const nn_real *m, int64_t apart,
                   int64_t channels);
};

extern const struct nni_winograd_kernels nni_winograd_portable, nni_winograd_avx2, nni_winograd_avx512;
extern const struct nni_winograd_kernels nni_winograd_bf16_portable, nni_winograd_bf16_avx2,
    nni_winograd_bf16_avx512, nni_winograd_bf16_avx512_bf16;

#endif
