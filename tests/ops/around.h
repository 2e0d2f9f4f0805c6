/* SPDX-License-Identifier: MIT
 *
 * What the tests of convolutions and of ops with an affine slot share: activations, recorded and as the
 * oracle computes them, and the windows of a kernel. Not every test uses all of it.
 */
#ifndef AROUND_H
#define AROUND_H

#include "op_test.h"

#include <math.h>

__attribute__((unused)) static nn_tensor *record_act(nn_graph *g, nn_tensor *x, int act)
{
    switch (act) {
    case NN_ACT_RELU: return nn_relu(g, x);
    case NN_ACT_RELU6: return nn_relu6(g, x);
    case NN_ACT_SILU: return nn_silu(g, x);
    case NN_ACT_SIGMOID: return nn_sigmoid(g, x);
    default: return x;
    }
}

__attribute__((unused)) static double act_of(int act, double z)
{
    switch (act) {
    case NN_ACT_RELU: return fmax(z, 0);
    case NN_ACT_RELU6: return fmin(fmax(z, 0), 6);
    case NN_ACT_SILU: return z / (1 + exp(-z));
    case NN_ACT_SIGMOID: return 1 / (1 + exp(-z));
    default: return z;
    }
}

/* The number of outputs along an axis of `in` pixels, and the first input pixel of output 0. */
__attribute__((unused)) static int64_t axis(const nn_conv_opts *o, int64_t in, int64_t k, int64_t *first)
{
    int64_t stride = o->stride ? o->stride : 1, extent = (o->dilation ? o->dilation : 1) * (k - 1) + 1, n = 0;
    int64_t before = 0, after = 0;

    if (o->padding == NN_PAD_SAME) {
        int64_t all = ((in + stride - 1) / stride - 1) * stride + extent - in;

        before = all > 0 ? all / 2 : 0;
        after = all > 0 ? all - before : 0;
    } else if (o->padding != NN_PAD_VALID) {
        before = after = o->padding == NN_PAD_AUTO ? (extent - 1) / 2 : o->pad;
    }
    for (int64_t at = -before; at + extent <= in + after; at += stride)
        n++;
    *first = -before;
    return n;
}

#endif
