/* SPDX-License-Identifier: MIT
 *
 * Pooling and interpolation along one axis: what output o reads and how it weighs that. Written once for all
 * backends; on a GPU these functions run on both sides.
 */
#ifndef NNI_SPANS_H
#define NNI_SPANS_H

#include <nn/ops.h>

#ifdef __cplusplus
#define NNI_ANYWHERE static __host__ __device__ inline
#else
#define NNI_ANYWHERE static inline
#endif

struct nni_axis {
    int64_t in, out;
};
struct nni_span {
    int64_t begin, end;
};

/* ---- windows: output pixel o covers input pixels o*stride - pad + [0,k), as far as they exist ---- */

struct nni_pooling {
    int64_t k, stride, pad;
};

NNI_ANYWHERE struct nni_pooling nni_pooling_of(const nn_pool_opts *opts)
{
    struct nni_pooling p = { opts->k, opts->stride ? opts->stride : opts->k, opts->pad };

    return p;
}

/* The part [begin,end) of window o that lies in [0,size). */
NNI_ANYWHERE int64_t nni_window_begin(const struct nni_pooling *p, int64_t o)
{
    return o * p->stride > p->pad ? o * p->stride - p->pad : 0;
}
NNI_ANYWHERE int64_t nni_window_end(const struct nni_pooling *p, int64_t size, int64_t o)
{
    int64_t end = o * p->stride - p->pad + p->k;

    return end < size ? end : size;
}

/* The windows that cover pixel i, of `windows` in all. */
NNI_ANYWHERE struct nni_span nni_windows_over(const struct nni_pooling *p, int64_t i, int64_t windows)
{
    int64_t last = (i + p->pad) / p->stride;
    struct nni_span s = { i + p->pad < p->k ? 0 : (i + p->pad - p->k) / p->stride + 1,
                          last < windows ? last + 1 : windows };

    return s;
}

/* ---- avg_pool2d ---- */

NNI_ANYWHERE struct nni_span nni_average_span(const nn_pool_opts *opts, const struct nni_axis *axis,
                                              int64_t o)
{
    struct nni_pooling p = nni_pooling_of(opts);
    struct nni_span s = { nni_window_begin(&p, o), nni_window_end(&p, axis->in, o) };

    return s;
}

NNI_ANYWHERE double nni_average_weight(const nn_pool_opts *opts, const struct nni_axis *axis, int64_t o)
{
    struct nni_pooling p = nni_pooling_of(opts);

    if (opts->exclude_pad)
        return 1.0 / (double)(nni_window_end(&p, axis->in, o) - nni_window_begin(&p, o));
    return 1.0 / (double)(nni_window_end(&p, axis->in + p.pad, o) - (o * p.stride - p.pad));
}

/* ---- adaptive_avg_pool2d ---- */

NNI_ANYWHERE struct nni_span nni_adaptive_span(const struct nni_axis *axis, int64_t o)
{
    struct nni_span s = { o * axis->in / axis->out, ((o + 1) * axis->in + axis->out - 1) / axis->out };

    return s;
}

NNI_ANYWHERE double nni_adaptive_weight(const struct nni_axis *axis, int64_t o)
{
    struct nni_span s = nni_adaptive_span(axis, o);

    return 1.0 / (double)(s.end - s.begin);
}

/* ---- upsample ---- */

/* Where output o lies between the inputs; the last of them has no right neighbour. */
NNI_ANYWHERE double nni_upsample_source(const nn_upsample_opts *opts, const struct nni_axis *axis, int64_t o)
{
    double at;

    if (!opts->bilinear)
        return (double)(o * axis->in / axis->out);
    if (opts->align_corners)
        return axis->out > 1 ? (double)o * (double)(axis->in - 1) / (double)(axis->out - 1) : 0;
    at = ((double)o + 0.5) * (double)axis->in / (double)axis->out - 0.5;
    return at > 0 ? at : 0;
}

NNI_ANYWHERE struct nni_span nni_upsample_span(const nn_upsample_opts *opts, const struct nni_axis *axis,
                                               int64_t o)
{
    int64_t begin = (int64_t)nni_upsample_source(opts, axis, o), end = begin + (opts->bilinear ? 2 : 1);
    struct nni_span s = { begin, end < axis->in ? end : axis->in };

    return s;
}

NNI_ANYWHERE double nni_upsample_weight(const nn_upsample_opts *opts, const struct nni_axis *axis, int64_t o,
                                        int64_t i)
{
    double at = nni_upsample_source(opts, axis, o), right = at - (double)(int64_t)at;

    if (i == (int64_t)at)
        return i + 1 < axis->in ? 1 - right : 1;
    return right;
}

#endif
