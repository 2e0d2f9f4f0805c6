/* SPDX-License-Identifier: MIT
 *
 * Broadcasting on the GPU: a thread of a map finds its operands from the index of its result. The gradient of
 * an operand that was repeated is a sum: threads add up pieces of it, which are merged in order.
 */
#ifndef NNI_CUDA_BROADCAST_H
#define NNI_CUDA_BROADCAST_H

#include "cuda/kernel.h"

extern "C" {
#include "ops/broadcast_shape.h"
}

/* Where the operands of result i lie. */
static __device__ inline void nni_locate(const nni_broadcast &g, int64_t i, int64_t *a, int64_t *b)
{
    *a = *b = 0;
    for (int d = g.rank - 1; d >= 0; d--) {
        int64_t at = d ? i % g.dim[d] : i;

        *a += at * g.step[0][d];
        *b += at * g.step[1][d];
        i /= g.dim[d];
    }
}

/* The gradient of the first operand of `g`, of `kept` elements, each used `repeats` times. */
struct nni_repeated {
    enum { PIECE = 64 };
    nni_broadcast g;
    int64_t kept, repeats, chunks;
};

static inline nni_repeated nni_repeated_of(nn_shape shape, nn_shape result)
{
    nni_repeated r = {};

    nni_broadcast_of(shape, result, &r.g);
    r.kept = nn_shape_count(shape);
    r.repeats = r.kept > 0 ? nn_shape_count(result) / r.kept : 0;
    r.chunks = nni_up(r.repeats, nni_repeated::PIECE);
    return r;
}

/* One element's share of one piece: the sum of dy, or of dy*other. */
template <class T> struct nni_piece {
    nni_repeated r;
    nni_broadcast other_of; /* result and the other operand */
    const T *dy, *other;
    float *partial;

    __device__ void operator()(int64_t i) const
    {
        int64_t k = i % r.kept, first = i / r.kept * nni_repeated::PIECE;
        int64_t end = first + nni_repeated::PIECE < r.repeats ? first + nni_repeated::PIECE : r.repeats;
        float sum = 0;

        for (int64_t j = first; j < end; j++) {
            int64_t at = 0, step = 1, from_kept = k, from_repeats = j, a, b;

            for (int d = r.g.rank - 1; d >= 0; d--) {
                int64_t *index = r.g.step[0][d] ? &from_kept : &from_repeats;

                at += *index % r.g.dim[d] * step;
                *index /= r.g.dim[d];
                step *= r.g.dim[d];
            }
            if (other) {
                nni_locate(other_of, at, &a, &b);
                sum += static_cast<float>(dy[at]) * static_cast<float>(other[b]);
            } else {
                sum += static_cast<float>(dy[at]);
            }
        }
        partial[i] = sum;
    }
};

/* Leaves the pieces in `partial` [chunks][kept]; other NULL: the sum of dy alone. */
template <class T>
static inline int nni_pieces(void *stream, const nni_repeated &r, const T *dy, const T *other,
                             nn_shape result, nn_shape other_shape, float *partial)
{
    nni_piece<T> f = { r, {}, dy, other, partial };

    nni_broadcast_of(result, other_shape, &f.other_of);
    return nni_map(stream, r.kept * r.chunks, f);
}

template <class T> struct nni_merge_pieces {
    T *to;
    bool add;

    __device__ void operator()(int64_t, int64_t c, const double *sum) const { nni_put(to + c, add, sum[0]); }
};

#endif
