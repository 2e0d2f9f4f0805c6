/* SPDX-License-Identifier: MIT
 *
 * The part of loss.h that every device's kernels need.
 */
#ifndef NNI_LOSS_ATTRS_H
#define NNI_LOSS_ATTRS_H

#include "cpu/function.h"

#include <nn/ops.h>

struct nni_loss {
    struct nni_formula formula;
    nn_reduction reduction;
};

/* What the sum over a prediction of shape x is divided by. */
static inline double nni_loss_divisor(const struct nni_loss *loss, nn_shape x)
{
    switch (loss->reduction) {
    case NN_REDUCE_MEAN: return (double)nn_shape_count(x);
    case NN_REDUCE_BATCH_MEAN: return (double)x.dim[0];
    default: return 1;
    }
}

#endif
