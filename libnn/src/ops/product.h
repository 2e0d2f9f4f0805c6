/* SPDX-License-Identifier: MIT
 *
 * What conv1x1, linear and conv2d have in common around their matrix products: the output's side
 * (bias, statistics by tile, and the gradient that comes back through both). An output is rows x
 * channels; a product may make a range of its channels (a group).
 */
#ifndef NNI_PRODUCT_H
#define NNI_PRODUCT_H

#include "cpu/cpu.h"

/* Kernels for the step's activations; those of them whose products are in nn_real; those for what never is an
 * activation (sums, statistics). */
static inline const struct nni_gemm_kernels *nni_gemm_kernels_of(const nn_step *s)
{
    return nni_cpu_of(s)->gemm[nni_stored(s)];
}
static inline const struct nni_gemm_kernels *nni_gemm_plain(const nn_step *s)
{
    return nni_gemm_kernels_of(s)->plain;
}
static inline const struct nni_gemm_kernels *nni_gemm_real(const nn_step *s)
{
    return nni_cpu_of(s)->gemm[NNI_STORED_REAL];
}
static inline nn_real *nni_real_at(const nn_operand *o) { return nn_has(o) ? (nn_real *)o->at : NULL; }
static inline int64_t nni_min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline size_t nni_max_size(size_t a, size_t b) { return a > b ? a : b; }
static inline int nni_adds(const nn_step *s, int i) { return (int)(s->accumulate >> i & 1); }
/* Bytes so that what follows them in scratch is aligned. */
static inline size_t nni_padded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* Shape of out[0]: in backward that is only there with statistics, and dout[0] only if it has a gradient. */
static inline nn_shape nni_output_shape(const nn_step *s)
{
    return nn_has(&s->out[0]) ? s->out[0].shape : s->dout[0].shape;
}

/* ---- forward: out[0] = product + bias (in[2]); out[1], out[2] = its mean and variance ---- */

static inline int nni_wants_moments(const nn_step *s) { return nn_has(&s->out[1]) || nn_has(&s->out[2]); }

struct nni_output {
    const nn_step *s;
    int64_t rows, channels; /* of a tile; of the whole output */
    int64_t first;          /* the output channel that is the product's column 0 */
    nn_real *mean, *m2;     /* [tiles, channels], in scratch; NULL without statistics */
};
/* Scratch for the statistics of `tiles` row tiles; 0 without. */
static inline size_t nni_output_bytes(const nn_step *s, int64_t tiles)
{
    return nni_wants_moments(s) ? 2 * (size_t)(tiles * nni_channels(nni_output_shape(s))) * sizeof(nn_real)
                                : 0;
}
struct nni_output nni_output_of(const nn_step *s, void *scratch, int64_t tiles, int64_t tile_rows);
/* nni_gemm_stores with their struct nni_output as context: bias, output and statistics; statistics alone. */
void nni_output_store(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                      const nn_real *block, int64_t ld);
void nni_output_look(const void *context, int64_t row0, int64_t rows, int64_t col0, int64_t cols,
                     const nn_real *block, int64_t ld);
/* The phase that merges the statistics: tiles of it, and one of them. */
int64_t nni_output_merge_tiles(const nn_step *s);
void nni_output_merge(const struct nni_output *o, int64_t tile);

/* ---- backward: the total gradient of the output ---- */

/* Neither a copy nor a sum: dout[0] is the total gradient. */
static inline int nni_plain_gradient(const nn_step *s)
{
    return nn_has(&s->dout[0]) && !nn_has(&s->dout[1]) && !nn_has(&s->dout[2]);
}
/* dst[rows][ld] = dout[0] + dmean/rows + 2*dvar/rows*(y-mean), rows row0.., output channels col0..., as an
 * operand of the kernels' products. */
void nni_total_gradient(const nn_step *s, const struct nni_gemm_kernels *kernels, int64_t row0, int64_t rows,
                        int64_t col0, int64_t cols, nn_real *dst, int64_t ld);

/* din[2] = the total gradient summed over rows, in two phases: tiles leave partial sums in scratch, one tile
 * adds them. */
int64_t nni_bias_tiles(const nn_step *s); /* 0: not wanted */
static inline size_t nni_bias_bytes(const nn_step *s)
{
    return (size_t)(nni_bias_tiles(s) * nni_channels(nni_output_shape(s))) * sizeof(nn_real);
}
size_t nni_bias_lane_bytes(const nn_step *s);
void nni_bias_tile(const nn_step *s, nn_real *partial, int64_t tile, void *lane);
void nni_bias_merge(const nn_step *s, const nn_real *partial);

/* ---- conv1x1.c, which linear.c shares: rows of [...,I] times a matrix ---- */

int nni_product_infer(nn_node *node);
int nni_conv1x1_forward(nn_step *s);
int nni_conv1x1_backward(nn_step *s);

#endif
