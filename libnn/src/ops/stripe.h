/* SPDX-License-Identifier: MIT
 *
 * A part of a tensor along one axis, for concat and slice: seen as matrices, [outer, count] in columns
 * first.. of [outer, whole]. Elements are moved whatever their type; work is divided by elements of the
 * part, so that it does not matter which axis it is.
 */
#ifndef NNI_STRIPE_H
#define NNI_STRIPE_H

#include "cpu/cpu.h"

#include <string.h>

enum { NNI_STRIPE_TILE = 1 << 14 }; /* elements */

struct nni_stripe {
    int64_t whole, first, count;
};

/* `length` from `begin` on along `axis` of a whole of this shape. */
static inline struct nni_stripe nni_stripe_of(nn_shape whole, int axis, int64_t begin, int64_t length)
{
    int64_t inner = 1;

    for (int k = axis + 1; k < whole.rank; k++)
        inner *= whole.dim[k];
    return (struct nni_stripe){ whole.dim[axis] * inner, begin * inner, length * inner };
}

static inline int64_t nni_stripe_tiles(nn_shape part)
{
    return nni_parts(nn_shape_count(part), NNI_STRIPE_TILE);
}

/* Tile `tile` of the part, out of the whole (to_part) or into it; `add` is for NN_REAL. */
static inline void nni_stripe_move(const struct nni_stripe *s, nn_operand part, nn_operand whole,
                                   bool to_part, bool add, int64_t tile)
{
    struct nni_part p = nni_part_of(tile, NNI_STRIPE_TILE, nn_shape_count(part.shape));
    size_t size = nn_dtype_size(part.type);

    for (int64_t e = p.begin, some; e < p.begin + p.count; e += some) {
        int64_t at = e / s->count * s->whole + s->first + e % s->count;
        int64_t to = to_part ? e : at, from = to_part ? at : e;
        void *dst = to_part ? part.at : whole.at, *src = to_part ? whole.at : part.at;

        some = s->count - e % s->count;
        if (some > p.begin + p.count - e)
            some = p.begin + p.count - e;
        if (add)
            for (int64_t i = 0; i < some; i++)
                ((nn_real *)dst)[to + i] += ((const nn_real *)src)[from + i];
        else
            memcpy((char *)dst + (size_t)to * size, (const char *)src + (size_t)from * size,
                   (size_t)some * size);
    }
}

/* An axis counted from 0, or from -1 at the end; -1 when there is none. */
static inline int nni_axis(int rank, int axis)
{
    return axis >= 0 && axis < rank ? axis : axis < 0 && axis >= -rank ? axis + rank : -1;
}

#endif
