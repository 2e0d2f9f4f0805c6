/* SPDX-License-Identifier: MIT
 *
 * y = min(max(x, low), high); dx = dy where low < x < high, else 0: at the ends too, as in torch 2.15 and as
 * for relu6. An end that is infinite limits nothing. A NaN stays one, and has no gradient.
 */
#include "cuda/if_cuda.h"
#include "cpu/cpu.h"
#include "ops/unary.h"

#include <math.h>

static int infer(nn_node *n)
{
    const struct nni_formula *f = n->attrs;
    double low = (double)f->k[0];
    int rc = nni_infer_constant(n, "low", low, -INFINITY, INFINITY);

    if (!rc)
        rc = nni_infer_constant(n, "high", (double)f->k[1], low, INFINITY);
    return rc ? rc : nni_unary_infer(n);
}

const nn_op nn_op_clamp = {
    .abi = NN_OP_ABI,
    .name = "clamp",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = infer,
    .forward = { nni_unary_forward, NNI_IF_CUDA(nni_cuda_unary_forward) },
    .backward = { nni_unary_backward, NNI_IF_CUDA(nni_cuda_unary_backward) },
};

nn_tensor *nn_clamp(nn_graph *g, nn_tensor *x, double low, double high)
{
    struct nni_formula f = { .f = NNI_CLAMP, .k = { (nn_real)low, (nn_real)high } };

    return nn_apply(g, &nn_op_clamp, &f, &x, 1);
}
