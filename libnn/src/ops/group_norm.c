/* SPDX-License-Identifier: MIT
 *
 * Group normalisation: norm.h with the first dimension as the samples. One group is layer norm over
 * whole samples, as many groups as channels is instance norm.
 *
 * Source: Wu, He: "Group Normalization", ECCV 2018.
 */
#include "cpu/cpu.h"
#include "cuda/if_cuda.h"
#include "ops/norm.h"

#include <nn/ops.h>

static int infer(nn_node *node) { return nni_norm_infer(node, 2); }

const nn_op nn_op_group_norm = {
    .abi = NN_OP_ABI,
    .name = "group_norm",
    .inputs = 1,
    .optional = NN_IN(1) | NN_IN(2),
    .reads = NN_IN(0) | NN_IN(1),
    .attrs_bytes = sizeof(struct nni_norm_attrs),
    .infer = infer,
    .forward = { nni_norm_forward, NNI_IF_CUDA(nni_cuda_norm_forward) },
    .backward = { nni_norm_backward, NNI_IF_CUDA(nni_cuda_norm_backward) },
};

nn_tensor *nn_group_norm(nn_graph *g, nn_tensor *x, nn_tensor *gamma, nn_tensor *beta,
                         nn_group_norm_opts opts)
{
    nn_shape shape = nn_shape_get(x);
    struct nni_norm_attrs a = { .places = 1, .groups = opts.groups, .eps = opts.eps };
    nn_tensor *in[3] = { x, gamma, beta };

    for (int k = 1; k < shape.rank - 1; k++)
        a.places *= shape.dim[k];
    return nn_apply(g, &nn_op_group_norm, &a, in, 3);
}
