/* SPDX-License-Identifier: MIT
 *
 * Folds: sums or maxima over some dimensions of a tensor. Each result is made of many elements; threads join
 * pieces of them, and the pieces are joined in order, in double, by one thread for each result. A piece takes
 * every so-manieth element, so that neighbouring threads read neighbouring addresses. Everything about it
 * follows from shapes.
 */
#ifndef NNI_CUDA_FOLD_H
#define NNI_CUDA_FOLD_H

#include "cuda/kernel.h"

extern "C" {
#include "ops/broadcast_shape.h"
}

/* Where the operands of result i lie. */
static __device__ inline void nni_locate(const nni_broadcast &g, int64_t i, int64_t *at)
{
    for (int o = 0; o < NNI_OPERANDS; o++)
        at[o] = 0;
    for (int d = g.rank - 1; d >= 0; d--) {
        int64_t index = d ? i % g.dim[d] : i;

        for (int o = 0; o < NNI_OPERANDS; o++)
            at[o] += index * g.step[o][d];
        if (d)
            i /= g.dim[d];
    }
}

/* Of the tensor with g's dimensions, into the shape of operand `of`: `kept` results of `repeats` elements. */
struct nni_fold {
    nni_broadcast g;
    int of;
    int64_t kept, repeats, chunks;

    int64_t partials() const { return kept * chunks; }
    /* Is the innermost dimension one of the results'? */
    __host__ __device__ bool by_columns() const { return g.step[of][g.rank - 1] != 0; }
    /* The element that is repetition j of result k. */
    __device__ int64_t element(int64_t k, int64_t j) const
    {
        int64_t at = 0, step = 1;

        for (int d = g.rank - 1; d >= 0; d--) {
            int64_t *index = g.step[of][d] ? &k : &j;

            at += (d ? *index % g.dim[d] : *index) * step;
            step *= g.dim[d];
            if (d)
                *index /= g.dim[d];
        }
        return at;
    }
};

static inline nni_fold nni_fold_of(const nni_broadcast &g, int of)
{
    nni_fold f = { g, of, 1, 1, 0 };
    int64_t piece = 64;

    for (int d = 0; d < g.rank; d++)
        (g.step[of][d] ? f.kept : f.repeats) *= g.dim[d];
    while (piece * piece < f.repeats)
        piece *= 2;
    f.chunks = nni_up(f.repeats, piece);
    return f;
}

struct nni_adding {
    static __device__ double start() { return 0; }
    static __device__ double join(double a, double b) { return a + b; }
};
/* A NaN is larger than everything. */
struct nni_largest {
    static __device__ double start() { return -HUGE_VAL; }
    static __device__ double join(double a, double b) { return a > b || isnan(a) ? a : b; }
};

/* F: float operator()(int64_t element, int64_t k), what is joined. */
template <class J, class F> struct nni_fold_piece {
    nni_fold fold;
    F f;
    double *partial;

    __device__ void operator()(int64_t i) const
    {
        int64_t k = fold.by_columns() ? i % fold.kept : i / fold.chunks;
        int64_t chunk = fold.by_columns() ? i / fold.kept : i % fold.chunks;
        double all = J::start();

        for (int64_t j = chunk; j < fold.repeats; j += fold.chunks)
            all = J::join(all, static_cast<double>(f(fold.element(k, j), k)));
        partial[chunk * fold.kept + k] = all;
    }
};

/* G: void operator()(int64_t k, double joined). */
template <class J, class G> struct nni_fold_merger {
    const double *partial;
    int64_t kept, chunks;
    G g;

    __device__ void operator()(int64_t k) const
    {
        double all = J::start();

        for (int64_t c = 0; c < chunks; c++)
            all = J::join(all, partial[c * kept + k]);
        g(k, all);
    }
};

template <class J, class F>
static inline int nni_fold_pieces(void *stream, const nni_fold &fold, F f, double *partial)
{
    return nni_map(stream, fold.partials(), nni_fold_piece<J, F>{ fold, f, partial });
}

template <class J, class G>
static inline int nni_fold_merge(void *stream, const nni_fold &fold, const double *partial, G g)
{
    return nni_map(stream, fold.kept, nni_fold_merger<J, G>{ partial, fold.kept, fold.chunks, g });
}

template <class J, class F, class G>
static inline int nni_fold_all(void *stream, const nni_fold &fold, double *partial, F f, G g)
{
    int e = nni_fold_pieces<J>(stream, fold, f, partial);

    return e ? e : nni_fold_merge<J>(stream, fold, partial, g);
}

#endif
