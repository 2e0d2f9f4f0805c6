/* SPDX-License-Identifier: MIT
 *
 * What layer_norm and group_norm share: normalisation over a set of elements of one sample, which
 * needs no other sample and no state,
 *
 *     y = gamma[c]*(x - mean)/sqrt(variance + eps) + beta[c]
 *
 * A set is a group of neighbouring channels at all places of a sample; layer_norm is the case of one place
 * and one group.
 */
#ifndef NNI_NORM_H
#define NNI_NORM_H

#include <nn/op.h>

struct nni_norm_attrs {
    int64_t places, groups; /* of a sample: x is [samples, places, channels] */
    double eps;
};

int nni_norm_infer(nn_node *node, int least_rank);
int nni_norm_forward(nn_step *s);
int nni_norm_backward(nn_step *s);

#endif
