/* SPDX-License-Identifier: MIT
 *
 * The descriptors of all ops there are: for fusion, for other backends, and for tests that must know each.
 */
#ifndef NNI_OPS_LIST_H
#define NNI_OPS_LIST_H

#include <nn/op.h>

NN_C_BEGIN

// clang-format off
#define NNI_OP_LIST(X)                                                                                       \
    X(conv2d) X(conv_transpose2d) X(conv1x1) X(depthwise) X(linear) X(matmul) X(expand_depthwise)            \
    X(moments) X(bn_coeff) X(affine) X(bn_track) X(normalize) X(layer_norm) X(group_norm)                    \
    X(silu) X(relu) X(relu6) X(sigmoid)                                                                      \
    X(exp) X(log) X(sqrt) X(tanh) X(sin) X(cos) X(abs) X(pow) X(softplus) X(elu) X(gelu) X(mish)             \
    X(hardsigmoid) X(hardswish) X(leaky_relu) X(clamp)                                                       \
    X(add) X(sub) X(mul) X(div) X(where) X(scale) X(cast)                                                    \
    X(reshape) X(permute) X(pad) X(concat) X(slice) X(gather)                                                \
    X(sum) X(mean) X(max) X(min) X(variance) X(global_avg_pool) X(softmax) X(log_softmax)                    \
    X(max_pool2d) X(avg_pool2d) X(adaptive_avg_pool2d) X(upsample)                                           \
    X(cross_entropy) X(mse) X(l1) X(smooth_l1) X(huber) X(kl_div) X(bce_with_logits) X(keep_mask)
// clang-format on
#define X(name) extern const nn_op nn_op_##name;
NNI_OP_LIST(X)
#undef X

NN_C_END

#endif
