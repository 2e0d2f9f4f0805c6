/* SPDX-License-Identifier: MIT
 *
 * elementwise.c on the GPU.
 */
#include "cuda/elementwise.h"
#include "cuda/formula.h"

namespace
{

nni_formula_map formula_of(const nn_step *s) { return { *static_cast<const nni_formula *>(s->attrs) }; }

int forward_launch(const nn_step *s, void *stream)
{
    return nni_elementwise_values(s, stream, s->op->inputs, formula_of(s));
}

int backward_launch(const nn_step *s, void *stream)
{
    return nni_elementwise_grads(s, stream, s->op->inputs, formula_of(s));
}

} // namespace

int nni_cuda_elementwise_forward(nn_step *s)
{
    s->flops = static_cast<double>(nn_shape_count(s->out[0].shape));
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_elementwise_backward(nn_step *s)
{
    for (int o = 0; o < s->op->inputs; o++)
        s->flops += 2 * static_cast<double>(nn_has(&s->din[o]) * nn_shape_count(s->dout[0].shape));
    s->scratch_bytes = nni_elementwise_scratch(s, s->op->inputs);
    s->launch = backward_launch;
    return NN_OK;
}
