/* SPDX-License-Identifier: MIT
 *
 * What all convolutions share: from options and shapes to one resolved geometry. Padding is turned
 * into the two numbers a kernel needs (rows above, columns to the left) here and nowhere else, so
 * that forward, both gradients and the depthwise kernels cannot disagree about where a tap lies.
 */
#ifndef NNI_CONV_H
#define NNI_CONV_H

#include <nn/ops.h>

/* Input [n,h,w,c], output [n,oh,ow,o]. Output pixel (y,x), tap (i,j) reads input pixel
 * (y*stride - pad_top + i*dilation, x*stride - pad_left + j*dilation), zero outside. Padding below
 * and to the right is whatever the output size makes of it. */
typedef struct nni_conv_geometry {
    int64_t n, h, w, c; /* input */
    int64_t oh, ow, o;  /* output */
    int64_t kh, kw;     /* kernel */
    int64_t stride, dilation;
    int64_t pad_top, pad_left;
    int64_t groups;
} nni_conv_geometry;

/* The geometry of x [N,H,W,I] with weight w [O,I/groups,kh,kw], with nothing checked: for forward(),
 * backward() and tiles, whose shapes infer has seen. Zero options mean their defaults. */
nni_conv_geometry nni_conv_of(const nn_conv_opts *opts, nn_shape x, nn_shape w);

/* That of the convolution whose image is what the transposed one makes of x [N,H,W,O] (the map), with weight
 * w [O,C/groups,kh,kw]. */
nni_conv_geometry nni_conv_transpose_of(const nn_conv_transpose_opts *opts, nn_shape x, nn_shape w);
int nni_conv_transpose_infer(nn_node *node, const nn_conv_transpose_opts *opts, nni_conv_geometry *out);

/* The same with everything checked; for infer. A depthwise convolution passes opts with groups set
 * to the number of channels. On failure the node has the message and its status is returned. */
int nni_conv_infer(nn_node *node, const nn_conv_opts *opts, nn_shape x, nn_shape w, nni_conv_geometry *out);

#endif
