/* SPDX-License-Identifier: MIT
 *
 * GELU: y = x*P(x), P being the normal distribution function and p its density, or the form with a tanh that
 * stands for it in many published networks:
 *
 *     exact        dx = dy*(P(x) + x*p(x))
 *     approximate  y = x*s(u), u = 2*sqrt(2/pi)*(x + 0.044715*x^3), s the logistic function, because
 *                  (1 + tanh(u/2))/2 = s(u);   dx = dy*(s + x*s*(1 - s)*u')
 *
 * Source: Hendrycks, Gimpel: "Gaussian error linear units", 2016; torch.nn.GELU.
 */
#include "cuda/if_cuda.h"
#include "ops/unary.h"

const nn_op nn_op_gelu = {
    .abi = NN_OP_ABI,
    .name = "gelu",
    .inputs = 1,
    .reads = NN_IN(0),
    .alias = NN_ALIAS_FORWARD | NN_ALIAS_BACKWARD0,
    .flags = NN_OP_CHEAP,
    .attrs_bytes = sizeof(struct nni_formula),
    .infer = nni_unary_infer,
    .forward = { nni_unary_forward, NNI_IF_CUDA(nni_cuda_unary_forward) },
    .backward = { nni_unary_backward, NNI_IF_CUDA(nni_cuda_unary_backward) },
};

nn_tensor *nn_gelu(nn_graph *g, nn_tensor *x, int approximate)
{
    struct nni_formula f = { .f = approximate ? NNI_GELU_TANH : NNI_GELU };

    return nn_apply(g, &nn_op_gelu, &f, &x, 1);
}
