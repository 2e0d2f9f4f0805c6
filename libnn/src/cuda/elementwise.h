/* SPDX-License-Identifier: MIT
 *
 * Maps of a function of up to three operands with broadcasting, and their gradients, for add, mul and all ops
 * that are formulas: a thread finds its operands from the index of its result. A function is a functor
 *
 *     float value(const float *v) const            of the operands' values v[0..2]
 *     void grad(const float *v, float *d) const    its derivatives by them
 *
 * The gradient of an operand that has the result's shape is written where it belongs; that of a repeated one
 * is folded (fold.h). Gradients may lie over dy: so folds are taken first, all others are made in one pass,
 * and folds leave scratch when nobody reads dy any more.
 */
#ifndef NNI_CUDA_ELEMENTWISE_H
#define NNI_CUDA_ELEMENTWISE_H

#include "cuda/fold.h"

/* Operands that are absent, because nobody asks for their values, read as 1. */
template <class T> struct nni_operands {
    nni_broadcast g;
    const T *at[NNI_OPERANDS];

    __device__ void load(int64_t i, float *v) const
    {
        int64_t from[NNI_OPERANDS];

        nni_locate(g, i, from);
        for (int o = 0; o < NNI_OPERANDS; o++)
            v[o] = at[o] ? static_cast<float>(at[o][from[o]]) : 1;
    }
};

static inline nni_broadcast nni_geometry(const nn_operand *in, int count)
{
    nn_shape shape[NNI_OPERANDS] = {};
    nni_broadcast g;

    for (int o = 0; o < count; o++)
        shape[o] = in[o].shape;
    nni_broadcast_all(shape, count, &g);
    return g;
}

/* The first `count` inputs of a step. */
template <class T> static inline nni_operands<T> nni_operands_of(const nn_step *s, int count)
{
    nni_operands<T> x = { nni_geometry(s->in, count), {} };

    for (int o = 0; o < count; o++)
        x.at[o] = nni_at<T>(&s->in[o]);
    return x;
}

template <class T, class F> struct nni_value_map {
    nni_operands<T> in;
    F f;
    T *y;

    __device__ void operator()(int64_t i) const
    {
        float v[NNI_OPERANDS];

        in.load(i, v);
        y[i] = static_cast<T>(f.value(v));
    }
};

/* Of the operands whose gradient d is not NULL; w = factor*dy. */
template <class T, class F> struct nni_grad_map {
    nni_operands<T> in;
    F f;
    const T *dy;
    int64_t dy_step; /* 0: one for all */
    float factor;
    T *d[NNI_OPERANDS];
    bool add[NNI_OPERANDS];

    __device__ void operator()(int64_t i) const
    {
        float v[NNI_OPERANDS], slope[NNI_OPERANDS] = {}, w = factor * static_cast<float>(dy[i * dy_step]);

        in.load(i, v);
        f.grad(v, slope);
        for (int o = 0; o < NNI_OPERANDS; o++)
            if (d[o])
                nni_put(d[o] + i, add[o], w * slope[o]);
    }
};

/* One place's share of the gradient of operand `of`. */
template <class T, class F> struct nni_grad_term {
    nni_operands<T> in;
    F f;
    const T *dy;
    int of;

    __device__ float operator()(int64_t i, int64_t) const
    {
        float v[NNI_OPERANDS], slope[NNI_OPERANDS] = {};

        in.load(i, v);
        f.grad(v, slope);
        return static_cast<float>(dy[i]) * slope[of];
    }
};

template <class T> struct nni_grad_total {
    T *to;
    bool add;

    __device__ void operator()(int64_t k, double sum) const { nni_put(to + k, add, sum); }
};

static inline bool nni_is_whole(const nn_step *s, int i)
{
    return nn_shape_count(s->in[i].shape) == nn_shape_count(s->dout[0].shape);
}

/* Scratch of the folds of all repeated operands that want a gradient, one after the other; its size. */
static inline size_t nni_elementwise_folds(const nn_step *s, int count, nni_fold *fold, double **partial)
{
    nni_layout l = nni_scratch(s);

    for (int o = 0; o < count; o++) {
        partial[o] = nullptr;
        fold[o] = {};
        if (nn_has(&s->din[o]) && !nni_is_whole(s, o)) {
            fold[o] = nni_fold_of(nni_geometry(s->in, count), o);
            partial[o] = l.take<double>(fold[o].partials());
        }
    }
    return l.bytes;
}

static inline size_t nni_elementwise_scratch(const nn_step *s, int count)
{
    nni_fold fold[NNI_OPERANDS];
    double *partial[NNI_OPERANDS];

    return nni_elementwise_folds(s, count, fold, partial);
}

template <class T = float, class F>
static inline int nni_elementwise_values(const nn_step *s, void *stream, int count, F f)
{
    return nni_map(stream, nn_shape_count(s->out[0].shape),
                   nni_value_map<T, F>{ nni_operands_of<T>(s, count), f, nni_at<T>(&s->out[0]) });
}

template <class T = float, class F>
static inline int nni_elementwise_grads(const nn_step *s, void *stream, int count, F f)
{
    nni_operands<T> in = nni_operands_of<T>(s, count);
    nni_grad_map<T, F> map = { in, f, nni_at<T>(&s->dout[0]), 1, 1, {}, {} };
    double *partial[NNI_OPERANDS];
    nni_fold fold[NNI_OPERANDS];
    bool whole = false;
    int e = 0;

    (void)nni_elementwise_folds(s, count, fold, partial);
    for (int o = 0; o < count; o++) {
        if (nn_has(&s->din[o]) && nni_is_whole(s, o)) {
            map.d[o] = nni_at<T>(&s->din[o]);
            map.add[o] = nni_adds(s, o);
            whole = true;
        }
        if (!e && partial[o])
            e = nni_fold_pieces<nni_adding>(stream, fold[o], nni_grad_term<T, F>{ in, f, map.dy, o },
                                            partial[o]);
    }
    if (!e && whole)
        e = nni_map(stream, nn_shape_count(s->dout[0].shape), map);
    for (int o = 0; !e && o < count; o++)
        if (partial[o])
            e = nni_fold_merge<nni_adding>(stream, fold[o], partial[o],
                                           nni_grad_total<T>{ nni_at<T>(&s->din[o]), nni_adds(s, o) });
    return e;
}

#endif
