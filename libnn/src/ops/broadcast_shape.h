/* SPDX-License-Identifier: MIT
 *
 * The geometry of broadcast.h alone, which every device's kernels need.
 */
#ifndef NNI_BROADCAST_SHAPE_H
#define NNI_BROADCAST_SHAPE_H

#include "cpu/function.h"

#include <stdbool.h>

/* Result dimensions from outer to inner, and the operands' steps along them (0 where they repeat; along the
 * innermost 0 or 1). */
struct nni_broadcast {
    int rank; /* at least 1 */
    int64_t dim[NN_MAX_RANK], step[NNI_OPERANDS][NN_MAX_RANK];
};

/* The common shape; false when there is none. */
bool nni_broadcast_shape(nn_shape a, nn_shape b, nn_shape *out);
void nni_broadcast_of(nn_shape a, nn_shape b, struct nni_broadcast *out);
/* Of up to NNI_OPERANDS shapes that have a common one. */
void nni_broadcast_all(const nn_shape *shape, int count, struct nni_broadcast *out);

#endif
