/* SPDX-License-Identifier: MIT
 *
 * Layer normalisation over the last dimension: norm.h with each row a sample of its own.
 *
 * Source: Ba, Kiros, Hinton: "Layer Normalization", 2016.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/norm.h"

#include <nn/ops.h>

static int infer(nn_node *node) { return nni_norm_infer(node, 1); }

const nn_op nn_op_layer_norm = {
    .abi = NN_OP_ABI,
    .name = "layer_norm",
    .inputs = 1,
    .optional = NN_IN(1) | NN_IN(2),
    .reads = NN_IN(0) | NN_IN(1),
    .attrs_bytes = sizeof(struct nni_norm_attrs),
    .infer = infer,
    .forward = { nni_norm_forward, NNI_IF_CUDA(nni_cuda_norm_forward) },
    .backward = { nni_norm_backward, NNI_IF_CUDA(nni_cuda_norm_backward) },
};

nn_tensor *nn_layer_norm(nn_graph *g, nn_tensor *x, nn_tensor *gamma, nn_tensor *beta, double eps)
{
    struct nni_norm_attrs a = { .places = 1, .groups = 1, .eps = eps };
    nn_tensor *in[3] = { x, gamma, beta };

    return nn_apply(g, &nn_op_layer_norm, &a, in, 3);
}
