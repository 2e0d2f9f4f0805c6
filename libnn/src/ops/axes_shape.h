/* SPDX-License-Identifier: MIT
 *
 * The geometry of axes.h alone, which every device's kernels need.
 */
#ifndef NNI_AXES_SHAPE_H
#define NNI_AXES_SHAPE_H

#include <nn/ops.h>

struct nni_axes {
    nn_reduce_opts opts;
    int64_t correction; /* variance */
    nn_real sign;       /* max: 1, min: -1 */
};

/* The shape of x with the reduced dimensions as 1, and how many elements make one of the result. */
nn_shape nni_axes_kept(nn_shape x, uint32_t axes);
int64_t nni_axes_count(nn_shape x, uint32_t axes);

#endif
