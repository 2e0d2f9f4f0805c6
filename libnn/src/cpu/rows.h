/* SPDX-License-Identifier: MIT
 *
 * Kernels over one row that is normalised by itself: layer_norm, softmax and log_softmax. Sums are vectors of
 * nn_real over pieces of a row, and double from piece to piece.
 */
#ifndef NNI_ROWS_KERNELS_H
#define NNI_ROWS_KERNELS_H

#include <nn/op.h>

#include <stdbool.h>

/* y = gamma*(x - mean)*scale + beta; gamma and beta may be NULL: 1 and 0. */
struct nni_row_norm {
    const nn_real *gamma, *beta;
    nn_real mean, scale;
};

struct nni_row_kernels {
    /* Mean of a row and sum of squared distances from it. */
    void (*moments)(double *mean, double *m2, const nn_real *x, int64_t n);
    void (*norm)(nn_real *y, const nn_real *x, const struct nni_row_norm *v, int64_t n);
    /* dx (+)= its gradient, that of mean and scale included, unless NULL; dgamma += dy*(x - mean)*scale and
     * dbeta += dy. */
    void (*norm_grad)(nn_real *dx, nn_real *dgamma, nn_real *dbeta, const nn_real *x, const nn_real *dy,
                      const struct nni_row_norm *v, int64_t n, bool add);
    /* [1]: its logarithm. y may be x. Gradients are made of y: dx (+)= ..., and dx may be dy. */
    void (*softmax[2])(nn_real *y, const nn_real *x, int64_t n);
    void (*softmax_grad[2])(nn_real *dx, const nn_real *y, const nn_real *dy, int64_t n, bool add);
};

extern const struct nni_row_kernels nni_row_portable, nni_row_avx2, nni_row_avx512;

#endif
