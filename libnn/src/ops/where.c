/* SPDX-License-Identifier: MIT
 *
 * y = a where the mask is not 0, else b, with NumPy broadcasting of all three; da = dy and db = 0 where the
 * mask is set, else the other way round, summed where an element was repeated. The mask is a constant.
 */
#include "cuda/if_cuda.h"
#include "ops/elementwise.h"

#include <nn/ops.h>

const nn_op nn_op_where = {
    .abi = NN_OP_ABI,
    .name = "where",
    .inputs = 3,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = nni_elementwise_infer,
    .forward = { nni_elementwise_forward, NNI_IF_CUDA(nni_cuda_elementwise_forward) },
    .backward = { nni_elementwise_backward, NNI_IF_CUDA(nni_cuda_elementwise_backward) },
};

nn_tensor *nn_where(nn_graph *g, nn_tensor *mask, nn_tensor *a, nn_tensor *b)
{
    struct nni_formula f = { .f = NNI_WHERE };

    if (nn_type_get(mask) == NN_U8)
        mask = nn_cast(g, mask, NN_REAL);
    if (mask)
        mask = nn_detach(g, mask);
    return nn_apply(g, &nn_op_where, &f, (nn_tensor *[]){ mask, a, b }, 3);
}
