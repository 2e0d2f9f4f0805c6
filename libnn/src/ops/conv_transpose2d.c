/* SPDX-License-Identifier: MIT
 *
 * The transposed convolution of torch.nn.ConvTranspose2d: each pixel of x writes the kernel, times its value,
 * into the output, pixels of x being `stride` apart there,
 *
 *     y[n, p*stride-pad+i*dilation, q*stride-pad+j*dilation, o] += sum_c x[n,p,q,c] w[c,o,i,j]
 *
 * which is the gradient of a convolution with the weight w by its input. How it and its gradients are
 * computed is in patches.c.
 */
#include "cuda/if_cuda.h"
#include "ops/patches.h"

enum { X, WEIGHT };

static int forward(nn_step *s) { return nni_patches_forward(s, NNI_MAP_TO_IMAGE); }
static int backward(nn_step *s) { return nni_patches_backward(s, NNI_MAP_TO_IMAGE); }

static int infer(nn_node *node)
{
    nni_conv_geometry g;
    int status = nni_conv_transpose_infer(node, node->attrs, &g);

    return status ? status : nni_patches_infer(node, NN_SHAPE4(g.n, g.h, g.w, g.c));
}

const nn_op nn_op_conv_transpose2d = {
    .abi = NN_OP_ABI,
    .name = "conv_transpose2d",
    .inputs = 2,
    .optional = NN_IN(2),
    .reads = NN_IN(X) | NN_IN(WEIGHT),
    .flags = NN_OP_COMPUTE,
    .narrow = NN_IN(X),
    .attrs_bytes = sizeof(nn_conv_transpose_opts),
    .infer = infer,
    .forward = { forward, NNI_IF_CUDA(nni_cuda_conv_transpose2d_forward) },
    .backward = { backward, NNI_IF_CUDA(nni_cuda_conv_transpose2d_backward) },
};

nn_tensor *nn_conv_transpose2d(nn_graph *g, nn_tensor *x, nn_tensor *weight, nn_tensor *bias,
                               nn_conv_transpose_opts opts)
{
    nn_tensor *in[3] = { x, weight, bias };

    return nn_apply(g, &nn_op_conv_transpose2d, &opts, in, 3);
}
