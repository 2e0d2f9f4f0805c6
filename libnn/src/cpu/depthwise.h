/* SPDX-License-Identifier: MIT
 *
 * The depthwise convolution as a stream of rows. A tile is (image, band of rows, block of channels).
 * It keeps a few rows of the activated input, zero-padded, in rings in its lane memory, and does all
 * that is to be done with them while they are in cache: the affine map and the activation are
 * computed once per element, output statistics while the output is still in L1, and the backward
 * pass reads x and dy once for both gradients.
 *
 * Within a tile everything is laid out by vectors of channels, [vector][row][pixel][VEC], so that
 * the inner kernels see constant strides and need no notion of channels at all.
 */
#ifndef NNI_DEPTHWISE_H
#define NNI_DEPTHWISE_H

#include "ops/conv.h"

#include <stdbool.h>

struct nni_depthwise {
    nni_conv_geometry g; /* kh == kw, o == c */
    int act;
    /* Chosen by nni_depthwise_plan from the geometry. */
    int64_t vec, block, blocks; /* elements of a vector; channels of a block, a multiple of vec */
    int64_t units, bands, band; /* a unit is an output row with the `stride` input rows that belong to it */
    int64_t step;               /* units computed between two refills of the rings */
    int64_t x_rows, x_width;    /* ring of input rows: depth, width with padding */
    int64_t y_rows, y_left, y_width; /* ring of output gradient rows; zeros on the left */
    /* Forward. mean NULL: no affine; beta and bias may be NULL. What is void is an activation, in the
     * kernels' type of storage. */
    const void *x;
    const nn_real *weight, *bias, *mean, *scale, *beta; /* weight: packed */
    void *y;
    nn_real *moments; /* [tile][2][block]: mean and sum of squared distances; NULL: not wanted */
    /* Not 0: the input is made on the way into the ring, as the product of x [N,H,W,inner] with a packed
     * matrix; `dx` is then still the gradient of that product, [N,H,W,C]. */
    int64_t inner;
    const nn_real *expand;
    /* Backward. y_value, y_mean and dvar go together. */
    const void *dy, *y_value;
    const nn_real *y_mean, *dmean, *dvar;
    void *dx;
    /* What a mean over y's rows contributes to its gradient (op.h), y_value being read with it: pooled [N,C],
     * NULL: nothing; pool_mean NULL: without an affine. */
    const nn_real *pooled, *pool_mean, *pool_scale, *pool_beta;
    int pool_act;
    nn_real *partial; /* [tile][k*k + 3][block]: weight, bias, sum dz, sum dz*(x-mean) */
    bool add_dx, want_dw, want_db, want_affine;
};

struct nni_depthwise_kernels {
    int vec; /* elements of a vector */
    /* Packs weight [C,1,k,k] of one block of channels into [vector][ky][k][VEC]; for backward the
     * taps of a row are in the order in which the data gradient meets them. */
    void (*pack)(const struct nni_depthwise *d, const nn_real *weight, nn_real *packed, bool backward,
                 int64_t block);
    /* Packs w [C,inner] of one block of channels into [vector][inner][VEC]. */
    void (*pack_expand)(const struct nni_depthwise *d, const nn_real *w, nn_real *packed, int64_t block);
    void (*forward)(const struct nni_depthwise *d, int64_t tile, void *lane);
    void (*backward)(const struct nni_depthwise *d, int64_t tile, void *lane);
};

extern const struct nni_depthwise_kernels nni_depthwise_portable, nni_depthwise_avx2, nni_depthwise_avx512;
extern const struct nni_depthwise_kernels nni_depthwise_bf16_portable, nni_depthwise_bf16_avx2,
    nni_depthwise_bf16_avx512, nni_depthwise_bf16_avx512_bf16;

/* Chooses blocks, bands and ring depths: a function of d->g, d->inner, `vec` and `backward`. */
void nni_depthwise_plan(struct nni_depthwise *d, int vec, bool backward);
/* Bytes of lane memory that a tile of the planned pass needs. */
size_t nni_depthwise_lane(const struct nni_depthwise *d, bool backward);
static inline int64_t nni_depthwise_tiles(const struct nni_depthwise *d)
{
    return d->g.n * d->bands * d->blocks;
}
static inline int64_t nni_depthwise_packed(const struct nni_depthwise *d)
{
    return (d->g.c + d->vec - 1) / d->vec * d->vec * d->g.kh * d->g.kw;
}
/* Where the merged sums of a backward pass go: the gradients of weight [C,1,k,k], bias, beta, scale and mean,
 * NULL where not wanted; bit i of `add`: add to them. */
enum {
    NNI_DEPTHWISE_WEIGHT,
    NNI_DEPTHWISE_BIAS,
    NNI_DEPTHWISE_BETA,
    NNI_DEPTHWISE_SCALE,
    NNI_DEPTHWISE_MEAN,
    NNI_DEPTHWISE_SUMS
};
struct nni_depthwise_sums {
    nn_real *to[NNI_DEPTHWISE_SUMS];
    uint32_t add;
};
struct nni_cpu;
/* Merges d->partial for one block of channels. */
void nni_depthwise_merge(const struct nni_depthwise *d, const struct nni_cpu *cpu,
                         const struct nni_depthwise_sums *sums, int64_t block);
static inline size_t nni_depthwise_partial(const struct nni_depthwise *d)
{
    return (size_t)(nni_depthwise_tiles(d) * (d->g.kh * d->g.kw + 3) * d->block) * sizeof(nn_real);
}
/* Rows [*begin, *end) of output (and of input when `in`) that a band owns. */
static inline void nni_depthwise_rows(const struct nni_depthwise *d, int64_t unit, int64_t units, bool in,
                                      int64_t *begin, int64_t *end)
{
    int64_t each = in ? d->g.stride : 1, most = in ? d->g.h : d->g.oh;

    *begin = unit * each < most ? unit * each : most;
    *end = (unit + units) * each < most ? (unit + units) * each : most;
}

#endif
