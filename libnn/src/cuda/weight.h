/* SPDX-License-Identifier: MIT
 *
 * Weights as products take them. Parameters are float; a product of bfloat16 wants both its matrices in that
 * type, and rows that begin at multiples of 16 bytes. So where activations are bfloat16 a step keeps a
 * rounded copy, made before the step runs or, where the parameter cannot change, once (nn_step.derived).
 * cuDNN wants channels last, in either type.
 *
 * The weight is in[1] of every op that has one: a matrix of dim[0] rows.
 */
#ifndef NNI_WEIGHT_H
#define NNI_WEIGHT_H

#include "cuda/kernel.h"

enum { NNI_WEIGHT = 1 };

/* Elements between rows of so many columns. */
static inline int64_t nni_stride_of(nn_dtype type, int64_t cols)
{
    return type == NN_BF16 ? nni_up(cols, 8) * 8 : cols;
}
/* For prepare functions: the step will ask for nni_weight, */
void nni_need_weight(nn_step *s);        /* in the type of in[0], with rows as nni_stride_of says */
void nni_need_weight_images(nn_step *s); /* in that type, [O,KH,KW,C/groups] instead of [O,C/groups,KH,KW] */
static inline const void *nni_weight(const nn_step *s)
{
    return s->derived.bytes ? s->derived.at : s->in[NNI_WEIGHT].at;
}

#endif
