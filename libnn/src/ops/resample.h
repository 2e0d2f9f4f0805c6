/* SPDX-License-Identifier: MIT
 *
 * One map along height, another along width, the same for all channels:
 *
 *     y[n,p,q,c] = sum over i, j of A[p,i] B[q,j] x[n,i,j,c]
 *
 * where a row of A or B is not zero in one stretch of neighbours only. That is average pooling, adaptive
 * pooling and every interpolation; an op says what its rows look like and has both directions, the
 * gradient being the same with A and B transposed.
 */
#ifndef NNI_RESAMPLE_H
#define NNI_RESAMPLE_H

#include "ops/spans.h"

struct nni_resampling {
    /* The inputs that output o reads; neither end may decrease with o. */
    struct nni_span (*span)(const void *attrs, const struct nni_axis *axis, int64_t o);
    /* The weight of one of them. */
    double (*weight)(const void *attrs, const struct nni_axis *axis, int64_t o, int64_t i);
};

/* Prepares a step of in[0] [N,H,W,C] -> out[0], or its backward step. `tables` is a tile function of the
 * op's own that calls nni_resample_tables with the same map. */
int nni_resample_prepare(nn_step *s, const struct nni_resampling *map, nn_tile *tables);
void nni_resample_tables(const nn_step *s, const struct nni_resampling *map, int64_t tile);
/* Checks in[0] and declares [N,height,width,C]. */
int nni_resample_infer(nn_node *node, int64_t height, int64_t width);

#endif
