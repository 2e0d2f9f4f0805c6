/* SPDX-License-Identifier: MIT
 *
 * gather.c on the GPU. The gradient of an entry that was chosen several times is added up in the order of the
 * choices: first each choice finds the next one of the same entry, then the first one's threads follow that
 * chain.
 */
#include "cuda/element.h"
#include "cuda/strided.h"
#include "ops/attrs.h"

namespace
{

enum { X, INDEX };

/* x [outer, entries, inner], index [chosen]. */
struct layout {
    int64_t outer, entries, inner, chosen;
};

layout layout_of(const nn_step *s, nn_shape x)
{
    int axis = static_cast<const nni_gather *>(s->attrs)->axis;
    layout l = { 1, x.dim[axis], 1, nn_shape_count(s->in[INDEX].shape) };

    for (int k = 0; k < axis; k++)
        l.outer *= x.dim[k];
    for (int k = axis + 1; k < x.rank; k++)
        l.inner *= x.dim[k];
    return l;
}

struct indices {
    const int32_t *narrow; /* or */
    const int64_t *wide;

    __device__ int64_t operator[](int64_t k) const { return wide ? wide[k] : narrow[k]; }
};

indices indices_of(const nn_step *s)
{
    const void *at = s->in[INDEX].at;

    if (s->in[INDEX].type == NN_I64)
        return { nullptr, static_cast<const int64_t *>(at) };
    return { static_cast<const int32_t *>(at), nullptr };
}

struct gatherer {
    layout l;
    indices index;
    const void *x;
    void *y;
    nn_dtype type;

    __device__ void operator()(int64_t i) const
    {
        int64_t r = i / l.inner, v = index[r % l.chosen];
        int64_t from = (r / l.chosen * l.entries + v) * l.inner + i % l.inner;

        nni_set(y, type, i, v >= 0 && v < l.entries ? nni_get(x, type, from) : nan(""));
    }
};

int forward_launch(const nn_step *s, void *stream)
{
    return nni_map(
        stream, nn_shape_count(s->out[0].shape),
        gatherer{ layout_of(s, s->in[X].shape), indices_of(s), s->in[X].at, s->out[0].at, s->in[X].type });
}

/* first[k]: is choice k the first one of its entry; following[k]: the next one of the same, `chosen` at the
 * end. */
struct chainer {
    layout l;
    indices index;
    int64_t *first, *following;

    __device__ void operator()(int64_t k) const
    {
        int64_t before = 0, after = k + 1, v = index[k];

        while (before < k && index[before] != v)
            before++;
        while (after < l.chosen && index[after] != v)
            after++;
        first[k] = before == k && v >= 0 && v < l.entries;
        following[k] = after;
    }
};

struct adder {
    layout l;
    indices index;
    const int64_t *first, *following;
    const float *dy;
    float *dx;

    __device__ void operator()(int64_t i) const
    {
        int64_t r = i / l.inner, o = r / l.chosen, k = r % l.chosen, at;
        float sum;

        if (!first[k])
            return;
        at = (o * l.entries + index[k]) * l.inner + i % l.inner;
        sum = dx[at];
        for (; k < l.chosen; k = following[k])
            sum += dy[(o * l.chosen + k) * l.inner + i % l.inner];
        dx[at] = sum;
    }
};

int backward_launch(const nn_step *s, void *stream)
{
    layout l = layout_of(s, s->din[X].shape);
    int64_t *first = static_cast<int64_t *>(s->scratch), *following = first + l.chosen;
    int e = nni_map(stream, l.chosen, chainer{ l, indices_of(s), first, following });

    if (!e && !nni_adds(s, X))
        e = nni_cuda_zero(stream, &s->din[X]);
    return e ? e
             : nni_map(stream, l.outer * l.chosen * l.inner,
                       adder{ l, indices_of(s), first, following, nni_at(&s->dout[0]), nni_at(&s->din[X]) });
}

} // namespace

int nni_cuda_gather_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_gather_backward(nn_step *s)
{
    if (s->dout[0].type != NN_F32)
        return NN_EUNSUPPORTED;
    s->scratch_bytes = static_cast<size_t>(2 * layout_of(s, s->din[X].shape).chosen) * sizeof(int64_t);
    s->launch = backward_launch;
    return NN_OK;
}
