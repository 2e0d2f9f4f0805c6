/* SPDX-License-Identifier: MIT
 *
 * The general convolution: any kernel, stride, dilation, padding and number of groups,
 *
 *     y[n,p,q,o] = b[o] + sum_{i,j,c} x[n, p*stride-top+i*dilation, q*stride-left+j*dilation, c] w[o,c,i,j]
 *
 * How it and its gradients are computed is in patches.c.
 */
#include "cuda/if_cuda.h"
#include "ops/patches.h"

enum { X, WEIGHT };

static int forward(nn_step *s) { return nni_patches_forward(s, NNI_IMAGE_TO_MAP); }
static int backward(nn_step *s) { return nni_patches_backward(s, NNI_IMAGE_TO_MAP); }

static int infer(nn_node *node)
{
    nni_conv_geometry g;
    int status =
        nni_conv_infer(node, node->attrs, nn_shape_get(node->in[X]), nn_shape_get(node->in[WEIGHT]), &g);

    return status ? status : nni_patches_infer(node, NN_SHAPE4(g.n, g.oh, g.ow, g.o));
}

const nn_op nn_op_conv2d = {
    .abi = NN_OP_ABI,
    .name = "conv2d",
    .inputs = 2,
    .optional = NN_IN(2) | NN_OUT(1) | NN_OUT(2),
    .reads = NN_IN(X) | NN_IN(WEIGHT) | NN_OUT(1),
    .flags = NN_OP_COMPUTE,
    .narrow = NN_IN(X),
    .slot = { [NN_SLOT_MOMENTS] = 1 },
    .attrs_bytes = sizeof(nn_conv_opts),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_conv2d_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_conv2d_backward) },
};

nn_tensor *nn_conv2d(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias, nn_conv_opts opts)
{
    nn_tensor *in[3] = { x, weight, bias };
    nn_shape w = nn_shape_get(weight), s = nn_shape_get(x);

    if (s.rank == 4 && w.rank == 4 && w.dim[2] == w.dim[3]) {
        int one = opts.groups == 0 || opts.groups == 1;
        int known = opts.dilation >= 0 && opts.padding >= NN_PAD_AUTO && opts.padding <= NN_PAD_EXPLICIT;

        if (w.dim[2] == 1 && one && known && (opts.stride == 0 || opts.stride == 1) && !opts.pad)
            return nn_conv1x1(g, x, weight, bias);
        if (!one && opts.groups == s.dim[3] && opts.groups == w.dim[0])
            return nn_depthwise(g, x, weight, bias, opts);
    }
    return nn_apply(g, &nn_op_conv2d, &opts, in, 3);
}
