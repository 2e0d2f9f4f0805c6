/* SPDX-License-Identifier: MIT
 *
 * resample.c on the GPU, for a map M of one axis:
 *
 *     nni_span span(const nni_axis &axis, int64_t o) const               the inputs that output o reads
 *     double weight(const nni_axis &axis, int64_t o, int64_t i) const    the weight of one of them
 *
 * One kernel writes what each row and each column of the result reads, and how it weighs that, into tables;
 * the other works through them. Backward the same with reading and writing exchanged.
 */
#ifndef NNI_CUDA_RESAMPLE_H
#define NNI_CUDA_RESAMPLE_H

#include "cuda/kernel.h"
#include "ops/spans.h"

/* Of the tensor that is read and the one that is written, in either direction. */
struct nni_sides {
    const nn_operand *from, *to;
    bool back;
};

static inline nni_sides nni_sides_of(const nn_step *s)
{
    if (nn_has(&s->dout[0]))
        return { &s->dout[0], &s->din[0], true };
    return { &s->in[0], &s->out[0], false };
}

static inline nni_axis nni_axis_of(const nni_sides &d, int k)
{
    int64_t from = d.from->shape.dim[1 + k], to = d.to->shape.dim[1 + k];

    return d.back ? nni_axis{ to, from } : nni_axis{ from, to };
}

/* The first output whose span ends (or begins) beyond input i. */
template <class M>
static __host__ __device__ inline int64_t nni_first_beyond(const M &map, const nni_axis &axis, int64_t i,
                                                           bool begins)
{
    int64_t low = 0, high = axis.out;

    while (low < high) {
        int64_t middle = (low + high) / 2;
        nni_span s = map.span(axis, middle);

        if ((begins ? s.begin : s.end) > i)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* What result r reads. */
template <class M>
static __host__ __device__ inline nni_span nni_reads(const M &map, const nni_axis &axis, bool back, int64_t r)
{
    nni_span s;

    if (!back)
        return map.span(axis, r);
    s.begin = nni_first_beyond(map, axis, r, false);
    s.end = nni_first_beyond(map, axis, r, true);
    return s;
}

/* Rows first, then columns; `most` weights for each. */
struct nni_tables {
    nni_span *span;
    float *weight;
    int64_t most;
    size_t bytes;
};

template <class M> struct nni_table_map {
    M map;
    nni_axis axis[2];
    int64_t rows;
    bool back;
    nni_tables t;

    __device__ void operator()(int64_t i) const
    {
        int k = i >= rows;
        int64_t r = k ? i - rows : i;
        nni_span s = nni_reads(map, axis[k], back, r);

        t.span[i] = s;
        for (int64_t at = s.begin; at < s.end; at++)
            t.weight[i * t.most + at - s.begin] =
                static_cast<float>(back ? map.weight(axis[k], at, r) : map.weight(axis[k], r, at));
    }
};

struct nni_resample_map {
    nni_tables t;
    const float *x;
    float *y;
    int64_t from_h, from_w, h, w, c; /* of x, of y */
    bool add;

    __device__ void operator()(int64_t i) const
    {
        int64_t channel = i % c, pixel = i / c, q = pixel % w, p = pixel / w % h, n = pixel / w / h;
        nni_span rows = t.span[p], cols = t.span[h + q];
        const float *a = t.weight + p * t.most, *b = t.weight + (h + q) * t.most;
        float sum = 0;

        for (int64_t j = rows.begin; j < rows.end; j++)
            for (int64_t k = cols.begin; k < cols.end; k++)
                sum +=
                    a[j - rows.begin] * b[k - cols.begin] * x[((n * from_h + j) * from_w + k) * c + channel];
        nni_put(y + i, add, sum);
    }
};

/* choice[0]: the longest span. */
static inline nni_tables nni_tables_of(const nn_step *s, const nni_sides &d)
{
    int64_t results = d.to->shape.dim[1] + d.to->shape.dim[2];
    nni_layout l = nni_scratch(s);
    nni_tables t = {};

    t.most = s->choice[0];
    t.span = l.take<nni_span>(results);
    t.weight = l.take<float>(results * t.most);
    t.bytes = l.bytes;
    return t;
}

template <class M> static inline int nni_resample(const nn_step *s, void *stream, M map)
{
    nni_sides d = nni_sides_of(s);
    const int64_t *from = d.from->shape.dim, *to = d.to->shape.dim;
    nni_tables t = nni_tables_of(s, d);
    int e = nni_map(stream, to[1] + to[2],
                    nni_table_map<M>{ map, { nni_axis_of(d, 0), nni_axis_of(d, 1) }, to[1], d.back, t });

    return e ? e
             : nni_map(stream, nn_shape_count(d.to->shape),
                       nni_resample_map{ t, nni_at(d.from), nni_at(d.to), from[1], from[2], to[1], to[2],
                                         to[3], d.back && nni_adds(s, 0) });
}

/* Of both directions. */
template <class M>
static inline int nni_resample_ready(nn_step *s, const M &map, int (*launch)(const nn_step *, void *))
{
    nni_sides d = nni_sides_of(s);
    double taps = 1;

    for (int k = 0; k < 2; k++) {
        nni_axis axis = nni_axis_of(d, k);
        int64_t longest = 0;

        for (int64_t r = 0; r < d.to->shape.dim[1 + k]; r++) {
            nni_span span = nni_reads(map, axis, d.back, r);

            longest = span.end - span.begin > longest ? span.end - span.begin : longest;
        }
        taps *= static_cast<double>(longest);
        s->choice[0] = longest > s->choice[0] ? longest : s->choice[0];
    }
    s->scratch_bytes = nni_tables_of(s, d).bytes;
    s->flops = 2 * taps * static_cast<double>(nn_shape_count(d.to->shape));
    s->launch = launch;
    return NN_OK;
}

#endif
