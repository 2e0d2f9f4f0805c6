/* SPDX-License-Identifier: MIT
 *
 * Attributes of ops that have kernels on several devices: each device's file reads them.
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
};

#endif
