/* SPDX-License-Identifier: MIT
 *
 * expand_depthwise.c on the GPU: the two ops that it stands for, one after the other, as steps of their own,
 *
 *     e = conv1x1(x, w1)        y = depthwise(act(scale*(e - mean) + beta), w2)
 *
 * with e in scratch. Backward makes e again.
 */
#include "cuda/parts.h"

namespace
{

enum { X, EXPAND, MEAN, SCALE, BETA, WEIGHT };
enum { DEPTHWISE_MEAN = 3 }; /* of depthwise's inputs: e, weight, bias, mean, scale, beta */

const nn_expand_opts *opts_of(const nn_step *s) { return static_cast<const nn_expand_opts *>(s->attrs); }

bool wants_expanded(const nn_step *s) { return nn_has(&s->din[X]) || nn_has(&s->din[EXPAND]); }

nn_step expand_of(const nn_step *s, const nn_operand &e)
{
    nn_step part = nni_beside(s, &nn_op_conv1x1, nullptr);

    part.in[0] = s->in[X];
    part.in[1] = s->in[EXPAND];
    part.out[0] = e;
    return part;
}

nn_step expand_back_of(const nn_step *s, const nn_operand &de)
{
    nn_step part = nni_beside(s, &nn_op_conv1x1, nullptr);

    part.in[0] = s->in[X];
    part.in[1] = s->in[EXPAND];
    part.dout[0] = de;
    nni_give_gradient(&part, 0, s, X);
    nni_give_gradient(&part, 1, s, EXPAND);
    return part;
}

nn_step reduce_of(const nn_step *s, const nn_operand &e)
{
    nn_step part = nni_beside(s, &nn_op_depthwise, &opts_of(s)->conv);

    part.act = static_cast<uint8_t>(opts_of(s)->act);
    part.in[0] = e;
    part.in[1] = s->in[WEIGHT];
    for (int k = 0; k < 3; k++)
        part.in[DEPTHWISE_MEAN + k] = s->in[MEAN + k];
    part.out[0] = s->out[0];
    return part;
}

nn_step reduce_back_of(const nn_step *s, const nn_operand &e, const nn_operand &de)
{
    nn_step part = reduce_of(s, e);

    part.out[0] = {};
    part.dout[0] = s->dout[0];
    if (wants_expanded(s))
        part.din[0] = de;
    nni_give_gradient(&part, 1, s, WEIGHT);
    for (int k = 0; k < 3; k++)
        nni_give_gradient(&part, DEPTHWISE_MEAN + k, s, MEAN + k);
    return part;
}

nn_operand expanded(const nn_step *s, nni_layout *l)
{
    nn_operand like = s->in[X];

    like.shape.dim[3] = s->in[EXPAND].shape.dim[0];
    return nni_in_scratch<float>(like, l);
}

int forward_parts(const nn_step *s, nni_parts *p)
{
    nni_layout l = nni_scratch(s);
    nn_operand e = expanded(s, &l);

    *p = { { expand_of(s, e), reduce_of(s, e) }, 2, 0 };
    return nni_parts_ready(p, &l);
}

int backward_parts(const nn_step *s, nni_parts *p)
{
    nni_layout l = nni_scratch(s);
    nn_operand e = expanded(s, &l), de = wants_expanded(s) ? expanded(s, &l) : nn_operand{};

    *p = { { expand_of(s, e), reduce_back_of(s, e, de), {} }, 2, 0 };
    if (wants_expanded(s))
        p->step[p->count++] = expand_back_of(s, de);
    return nni_parts_ready(p, &l);
}

int forward_launch(const nn_step *s, void *stream)
{
    nni_parts p;

    return forward_parts(s, &p) ? cudaErrorInvalidValue : nni_parts_launch(&p, stream);
}

int backward_launch(const nn_step *s, void *stream)
{
    nni_parts p;

    return backward_parts(s, &p) ? cudaErrorInvalidValue : nni_parts_launch(&p, stream);
}

} // namespace

int nni_cuda_expand_depthwise_forward(nn_step *s)
{
    nni_parts p;
    int rc = forward_parts(s, &p);

    nni_parts_account(s, &p);
    s->launch = forward_launch;
    return rc;
}

int nni_cuda_expand_depthwise_backward(nn_step *s)
{
    nni_parts p;
    int rc = backward_parts(s, &p);

    nni_parts_account(s, &p);
    s->launch = backward_launch;
    return rc;
}
