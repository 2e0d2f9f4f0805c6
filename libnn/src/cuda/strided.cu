/* SPDX-License-Identifier: MIT
 *
 * See strided.h. Values are moved whatever they mean, by their size.
 */
#include "cuda/strided.h"

namespace
{

__device__ inline void locate(const nni_strided &b, int64_t i, int64_t *from, int64_t *to)
{
    *from = b.from_at;
    *to = b.to_at;
    for (int d = b.rank - 1; d >= 0; d--) {
        int64_t index = d ? i % b.dim[d] : i;

        *from += index * b.from[d];
        *to += index * b.to[d];
        if (d)
            i /= b.dim[d];
    }
}

template <class T> struct mover {
    nni_strided block;
    const T *from;
    T *to;

    __device__ void operator()(int64_t i) const
    {
        int64_t p, q;

        locate(block, i, &p, &q);
        to[q] = from[p];
    }
};

struct adder {
    nni_strided block;
    const float *from;
    float *to;

    __device__ void operator()(int64_t i) const
    {
        int64_t p, q;

        locate(block, i, &p, &q);
        to[q] += from[p];
    }
};

int64_t count_of(const nni_strided *b)
{
    int64_t n = 1;

    for (int d = 0; d < b->rank; d++)
        n *= b->dim[d];
    return n;
}

template <class T> int move(void *stream, const nni_strided *b, const nn_operand *from, const nn_operand *to)
{
    return nni_map(stream, count_of(b),
                   mover<T>{ *b, static_cast<const T *>(from->at), static_cast<T *>(to->at) });
}

} // namespace

int nni_cuda_move(void *stream, const nni_strided *b, const nn_operand *from, const nn_operand *to, bool add)
{
    if (add)
        return nni_map(stream, count_of(b), adder{ *b, nni_at(from), nni_at(to) });
    switch (nn_dtype_size(to->type)) {
    case 1: return move<uint8_t>(stream, b, from, to);
    case 2: return move<uint16_t>(stream, b, from, to);
    case 4: return move<uint32_t>(stream, b, from, to);
    default: return move<uint64_t>(stream, b, from, to);
    }
}

int nni_cuda_zero(void *stream, const nn_operand *to)
{
    size_t bytes = static_cast<size_t>(nn_shape_count(to->shape)) * nn_dtype_size(to->type);

    return static_cast<int>(cudaMemsetAsync(to->at, 0, bytes, static_cast<cudaStream_t>(stream)));
}

nni_strided nni_stripe_of(nn_shape whole, int axis, int64_t begin, int64_t length)
{
    nni_strided b = {};
    int64_t inner = 1, outer = 1;

    for (int k = 0; k < axis; k++)
        outer *= whole.dim[k];
    for (int k = axis + 1; k < whole.rank; k++)
        inner *= whole.dim[k];
    b.rank = 2;
    b.dim[0] = outer;
    b.dim[1] = length * inner;
    b.from[0] = whole.dim[axis] * inner;
    b.to[0] = length * inner;
    b.from[1] = b.to[1] = 1;
    b.from_at = begin * inner;
    return b;
}

nni_strided nni_turned(nni_strided b)
{
    nni_strided t = b;

    for (int d = 0; d < b.rank; d++) {
        t.from[d] = b.to[d];
        t.to[d] = b.from[d];
    }
    t.from_at = b.to_at;
    t.to_at = b.from_at;
    return t;
}
