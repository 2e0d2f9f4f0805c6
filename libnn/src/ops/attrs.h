/* SPDX-License-Identifier: MIT
 *
 * Attributes of ops that are read outside of the op's own file: by kernels of other devices, and by the
 * writer of ONNX models (io/onnx.c).
 */
#ifndef NNI_ATTRS_H
#define NNI_ATTRS_H

#include <nn/base.h>

struct nni_bn_coeff {
    double eps;
};
struct nni_bn_track {
    double momentum;
    int64_t count;
};
struct nni_keep_mask {
    nn_shape shape;
    double p;
};
struct nni_normalize {
    double mean[3], std[3], maximum;
};
struct nni_scale {
    double factor, shift;
};
struct nni_cross_entropy {
    double smoothing;
    int ignore;
    int32_t ignore_index;
};
struct nni_cast {
    nn_dtype type;
};
struct nni_pad {
    int64_t top, bottom, left, right;
};
struct nni_permute {
    int order[NN_MAX_RANK];
};
struct nni_concat {
    int axis, count;
};
struct nni_slice {
    int axis;
    int64_t begin, length;
};
struct nni_gather {
    int axis;
};

#endif
