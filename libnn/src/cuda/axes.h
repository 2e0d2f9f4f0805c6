/* SPDX-License-Identifier: MIT
 *
 * Reductions over chosen dimensions on the GPU: folds of in[0], and the way back to its shape.
 */
#ifndef NNI_CUDA_AXES_H
#define NNI_CUDA_AXES_H

#include "cuda/fold.h"

extern "C" {
#include "ops/axes_shape.h"
}

enum { NNI_AXES_X, NNI_AXES_RESULT };

static inline const nni_axes *nni_axes_of(const nn_step *s)
{
    return static_cast<const nni_axes *>(s->attrs);
}

static inline int64_t nni_axes_each(const nn_step *s)
{
    return nni_axes_count(s->in[0].shape, nni_axes_of(s)->opts.axes);
}

static inline nni_fold nni_axes_fold(const nn_step *s)
{
    nn_shape x = s->in[0].shape, shape[2] = { x, nni_axes_kept(x, nni_axes_of(s)->opts.axes) };
    nni_broadcast g;

    nni_broadcast_all(shape, 2, &g);
    return nni_fold_of(g, NNI_AXES_RESULT);
}

/* The elements themselves. */
struct nni_axes_element {
    const float *x;

    __device__ float operator()(int64_t i, int64_t) const { return x[i]; }
};

/* to = sum/divisor. */
struct nni_axes_quotient {
    float *to;
    double divisor;

    __device__ void operator()(int64_t k, double sum) const { to[k] = static_cast<float>(sum / divisor); }
};

/* dx (+)= f(i, k), k being the result that element i is a part of. */
template <class F> struct nni_axes_back_map {
    nni_broadcast g;
    F f;
    float *dx;
    bool add;

    __device__ void operator()(int64_t i) const
    {
        int64_t at[NNI_OPERANDS];

        nni_locate(g, i, at);
        nni_put(dx + i, add, f(i, at[NNI_AXES_RESULT]));
    }
};

template <class F> static inline int nni_axes_back(const nn_step *s, void *stream, F f)
{
    return nni_map(stream, nn_shape_count(s->din[0].shape),
                   nni_axes_back_map<F>{ nni_axes_fold(s).g, f, nni_at(&s->din[0]), nni_adds(s, 0) });
}

#endif
