/* SPDX-License-Identifier: MIT
 *
 * Cross entropy of a probability t and the logistic function s of a logit x, with weight w of the positive
 * class:
 *
 *     l = -w*t*log(s(x)) - (1-t)*log(1 - s(x))
 *       = (1-t)*x + (1 + (w-1)*t)*p,  p = log(1 + exp(-x)) = max(-x, 0) + log(1 + exp(-|x|))
 *     dx = (1 + (w-1)*t)*s(x) - w*t;  dt = (w-1)*p - x
 *
 * The second form neither overflows nor loses what is small.
 */
#include "cuda/if_cuda.h"
#include "ops/loss.h"

const nn_op nn_op_bce_with_logits = {
    .abi = NN_OP_ABI,
    .name = "bce_with_logits",
    .inputs = 2,
    .optional = NN_IN(2),
    .reads = NN_IN(0) | NN_IN(1) | NN_IN(2),
    .attrs_bytes = sizeof(struct nni_loss),
    .infer = nni_loss_infer,
    .forward = { nni_loss_forward, NNI_IF_CUDA(nni_cuda_loss_forward) },
    .backward = { nni_loss_backward, NNI_IF_CUDA(nni_cuda_loss_backward) },
};

nn_tensor *nn_bce_with_logits(nn_graph *g, nn_tensor *x, nn_tensor *t, nn_tensor *pos_weight, nn_reduction r)
{
    struct nni_loss loss = { { .f = NNI_BCE }, r };
    nn_tensor *in[3] = { x, t, pos_weight ? nn_detach(g, pos_weight) : NULL };

    return nn_apply(g, &nn_op_bce_with_logits, &loss, in, 3);
}
