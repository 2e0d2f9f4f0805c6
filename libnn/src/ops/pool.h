/* SPDX-License-Identifier: MIT
 *
 * The windows of max_pool2d and avg_pool2d, resolved once from options and shapes.
 */
#ifndef NNI_OPS_POOL_H
#define NNI_OPS_POOL_H

#include <nn/ops.h>

/* Output pixel o covers input pixels o*stride - pad + [0,k), as far as they exist. */
struct nni_pooling {
    int64_t k, stride, pad;
};
struct nni_pooling nni_pooling_of(const nn_pool_opts *opts);

/* The part [begin,end) of window o that lies in [0,size). */
static inline int64_t nni_window_begin(const struct nni_pooling *p, int64_t o)
{
    return o * p->stride > p->pad ? o * p->stride - p->pad : 0;
}
static inline int64_t nni_window_end(const struct nni_pooling *p, int64_t size, int64_t o)
{
    int64_t end = o * p->stride - p->pad + p->k;

    return end < size ? end : size;
}

/* Checks input 0 [N,H,W,C] and the options of a node, and gives the shape of the result. */
int nni_pooling_infer(nn_node *node, nn_shape *out);

#endif
