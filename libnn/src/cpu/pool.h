/* SPDX-License-Identifier: MIT
 *
 * Kernels over small windows of pixels, one call for a pixel of the result. Windows overlap, so
 * gradients are gathered (each pixel sums over the windows that read it) and never scattered: no two
 * tiles write the same place, and the order of sums is that of the windows.
 */
#ifndef NNI_POOL_H
#define NNI_POOL_H

#include <nn/op.h>

#include <stdbool.h>

/* Which tap of a window held the maximum: an integer as wide as the numbers are. */
#ifdef NN_REAL_DOUBLE
typedef int64_t nni_tap;
#define NNI_TAP NN_I64
#else
typedef int32_t nni_tap;
#define NNI_TAP NN_I32
#endif

/* rows x cols pixels of `channels`, `row` elements from one row to the next. The pixel (i,j) has the tap
 * first + i*tap_row + j*tap_col. */
struct nni_window {
    int64_t rows, cols, row, channels;
    nni_tap first, tap_row, tap_col;
};

/* A result that no cache would keep is written past them: memory is not read before. */
enum { NNI_WRITE, NNI_ADD, NNI_STREAM };

struct nni_pool_kernels {
    /* y (+)= the sum of a[i]*b[j]*x(i,j). */
    void (*weigh)(nn_real *y, const nn_real *x, const struct nni_window *w, const nn_real *a,
                  const nn_real *b, int how);
    /* Call it before other threads read what this one has streamed. */
    void (*streamed)(void);
    /* The largest element and its tap: the first of equal ones, the last NaN if there is one. */
    void (*max)(nn_real *y, nni_tap *tap, const nn_real *x, const struct nni_window *w);
    /* dx (+)= the sum of those dy(i,j) whose tap(i,j) is that of the pixel. */
    void (*max_grad)(nn_real *dx, const nn_real *dy, const nni_tap *tap, const struct nni_window *w,
                     bool add);
};

extern const struct nni_pool_kernels nni_pool_portable, nni_pool_avx2, nni_pool_avx512;

#endif
