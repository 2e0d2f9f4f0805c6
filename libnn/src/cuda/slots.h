/* SPDX-License-Identifier: MIT
 *
 * What ops with slots do alike on the GPU. A product or a depthwise convolution runs on plain matrices; what
 * its slots say is done by kernels of memory traffic before and after it:
 *
 *     read      a = factor*gate*mask*act(scale*(x - mean) + beta), before forward and gradients of weights
 *     unread    from da to dx and the gradients of mean, scale, beta and gate
 *     total     g = dy + dmean/n + 2*dvar/n*(y - mean), what comes back through statistics included
 *     moments   mean and variance of the channels, merged by Chan's formula
 *     sums      of a gradient over rows, for a bias
 *
 * Each function enqueues; results are errors of the CUDA runtime. T is the type of activations, float or
 * nni_bf16.
 */
#ifndef NNI_SLOTS_H
#define NNI_SLOTS_H

#include "cuda/kernel.h"

/* How in[0] is read. */
struct nni_reading {
    const float *mean, *scale, *beta; /* [C]; mean NULL: no affine and no activation; beta may be NULL */
    const float *gate;                /* [images, C] or NULL */
    const float *mask;                /* [images] or NULL */
    int act;
    float factor;
};
/* The operands of a step's slots, once they have addresses; an index of 0: the op has no such slot. */
nni_reading nni_reading_of(const nn_step *s, int affine, int gate, int mask);
/* Is any of them filled? */
bool nni_has_reading(const nn_step *s, int affine, int gate, int mask);

/* y[rows, cols] = plus + a; plus may be NULL. */
template <class T>
int nni_cuda_read(void *stream, const nni_reading *r, const nni_split *split, const T *x, const T *plus,
                  T *y);

/* The other way: gradients by index of the input, in device memory, NULL where not wanted. */
template <class T> struct nni_unreading {
    nni_reading reading;
    const T *x, *da;
    const float *of_image; /* [images, C] instead of da: all rows of an image have the same */
    T *dx;
    float *dmean, *dscale, *dbeta, *dgate;
    bool add_x, add_mean, add_scale, add_beta, add_gate;
};
template <class T> nni_unreading<T> nni_unreading_of(const nn_step *s, int affine, int gate, int mask);
/* Does anybody want the gradient of an affine's or a gate's operand, and floats of scratch for it. */
bool nni_unreads(const nn_step *s, int affine, int gate);
int64_t nni_unread_floats(const nn_step *s, int affine, int gate, const nni_split *split);
template <class T>
int nni_cuda_unread(void *stream, const nni_unreading<T> *u, const nni_split *split, float *scratch);

/* The gradient of y [rows, cols], whose statistics have gradients too, added to g or written there. dy, dmean
 * and dvar may be NULL; y and the mean are read with dvar only. */
template <class T>
int nni_cuda_total(void *stream, const T *dy, const float *dmean, const float *dvar, const T *y,
                   const float *mean, int64_t rows, int64_t cols, T *g, bool add);
/* dout[0] where it is the total gradient, else `room` filled with it. Room is needed if nni_needs_total. */
bool nni_needs_total(const nn_step *s);
template <class T> int nni_cuda_gradient(const nn_step *s, void *stream, T *room, const T **g);

int64_t nni_moments_floats(int64_t rows, int64_t cols);
template <class T>
int nni_cuda_moments(void *stream, const T *x, int64_t rows, int64_t cols, float *scratch, float *mean,
                     float *variance);

int64_t nni_sums_floats(int64_t rows, int64_t cols);
template <class T>
int nni_cuda_sums(void *stream, const T *g, int64_t rows, int64_t cols, float *scratch, float *to, bool add);

/* y[r, c] += bias[c]. */
template <class T> int nni_cuda_bias(void *stream, T *y, const float *bias, int64_t rows, int64_t cols);

#endif
