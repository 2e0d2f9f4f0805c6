/* SPDX-License-Identifier: MIT
 *
 * unary.c on the GPU.
 */
#include "cuda/elementwise.h"
#include "cuda/formula.h"

namespace
{

nni_formula_map formula_of(const nn_step *s) { return { *static_cast<const nni_formula *>(s->attrs) }; }

int forward_launch(const nn_step *s, void *stream)
{
    return nni_elementwise_values(s, stream, 1, formula_of(s));
}

/* Of the result where that is what backward reads. */
int backward_launch(const nn_step *s, void *stream)
{
    const nn_operand *of = nn_has(&s->out[0]) ? &s->out[0] : &s->in[0];
    nni_grad_map<float, nni_formula_map> map = { { nni_geometry(of, 1), { nni_at(of) } },
                                                 formula_of(s),
                                                 nni_at(&s->dout[0]),
                                                 1,
                                                 1,
                                                 { nni_at(&s->din[0]) },
                                                 { nni_adds(s, 0) } };

    return nni_map(stream, nn_shape_count(s->din[0].shape), map);
}

} // namespace

int nni_cuda_unary_forward(nn_step *s)
{
    s->flops = static_cast<double>(nn_shape_count(s->in[0].shape));
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_unary_backward(nn_step *s)
{
    s->flops = 2 * static_cast<double>(nn_shape_count(s->din[0].shape));
    s->launch = backward_launch;
    return NN_OK;
}
