/* SPDX-License-Identifier: MIT
 *
 * Elements from one place to another, for ops that only arrange: concat, slice, permute, pad.
 */
#ifndef NNI_CUDA_STRIDED_H
#define NNI_CUDA_STRIDED_H

#include "cuda/kernel.h"

/* A block of elements with these dimensions, and how it lies in two tensors: elements between neighbours
 * along each dimension, and where it begins. */
struct nni_strided {
    int rank;
    int64_t dim[NN_MAX_RANK], from[NN_MAX_RANK], to[NN_MAX_RANK], from_at, to_at;
};

/* Moves the block; `add` is for gradients. */
int nni_cuda_move(void *stream, const nni_strided *block, const nn_operand *from, const nn_operand *to,
                  bool add);
/* Zeros everywhere. */
int nni_cuda_zero(void *stream, const nn_operand *to);

/* `length` from `begin` on along `axis` of a whole of this shape, as a part of its own: whole to part. */
nni_strided nni_stripe_of(nn_shape whole, int axis, int64_t begin, int64_t length);
/* The same block the other way. */
nni_strided nni_turned(nni_strided block);

#endif
