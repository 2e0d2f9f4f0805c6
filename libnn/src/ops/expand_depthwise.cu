/* SPDX-License-Identifier: MIT
 *
 * expand_depthwise.c on the GPU: the two ops that it stands for, one after the other, as steps of their own,
 *
 *     e = conv1x1(x, w1)        y = depthwise(act(scale*(e - mean) + beta), w2)
 *
 * with e in scratch. Backward makes e again.
 */
#include "cuda/kernel.h"

namespace
{

enum { X, EXPAND, MEAN, SCALE, BETA, WEIGHT };
enum { DEPTHWISE_MEAN = 3 }; /* of depthwise's inputs: e, weight, bias, mean, scale, beta */

const nn_expand_opts *opts_of(const nn_step *s) { return static_cast<const nn_expand_opts *>(s->attrs); }

/* A step beside s, with nothing but what it is. */
nn_step beside(const nn_step *s, const nn_op *op, const void *attrs)
{
    nn_step part = {};

    part.op = op;
    part.attrs = attrs;
    part.device = s->device;
    part.name = s->name;
    part.now = s->now;
    return part;
}

/* Gives a part the gradient of input `i` of s, as that of its own input `own`. */
void give_gradient(nn_step *part, int own, const nn_step *s, int i)
{
    part->din[own] = s->din[i];
    part->accumulate |= static_cast<uint32_t>(nni_adds(s, i)) << own;
}

bool wants_expanded(const nn_step *s) { return nn_has(&s->din[X]) || nn_has(&s->din[EXPAND]); }

nn_step expand_of(const nn_step *s, const nn_operand &e)
{
    nn_step part = beside(s, &nn_op_conv1x1, nullptr);

    part.in[0] = s->in[X];
    part.in[1] = s->in[EXPAND];
    part.out[0] = e;
    return part;
}

nn_step expand_back_of(const nn_step *s, const nn_operand &de)
{
    nn_step part = beside(s, &nn_op_conv1x1, nullptr);

    part.in[0] = s->in[X];
    part.in[1] = s->in[EXPAND];
    part.dout[0] = de;
    give_gradient(&part, 0, s, X);
    give_gradient(&part, 1, s, EXPAND);
    return part;
}

nn_step reduce_of(const nn_step *s, const nn_operand &e)
{
    nn_step part = beside(s, &nn_op_depthwise, &opts_of(s)->conv);

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
    give_gradient(&part, 1, s, WEIGHT);
    for (int k = 0; k < 3; k++)
        give_gradient(&part, DEPTHWISE_MEAN + k, s, MEAN + k);
    return part;
}

/* Prepares the steps and puts them with their operands into scratch; they share what they need themselves. */
struct parts {
    nn_step step[3];
    int count;
    size_t bytes;
};

nn_operand expanded(const nn_step *s, nni_layout *l)
{
    nn_operand o = s->in[X];

    o.shape.dim[3] = s->in[EXPAND].shape.dim[0];
    o.base = NN_BASE_ACT;
    o.at = l->take<float>(nn_shape_count(o.shape));
    return o;
}

int finish(parts *p, nni_layout *l)
{
    size_t most = 0;
    void *room = l->base ? l->base + l->bytes : nullptr;

    for (int i = 0; i < p->count; i++) {
        nn_step *part = &p->step[i];
        bool back = nn_has(&part->dout[0]);
        int rc = (back ? part->op->backward : part->op->forward)[NN_DEVICE_CUDA](part);

        if (rc)
            return rc;
        most = part->scratch_bytes > most ? part->scratch_bytes : most;
        part->scratch = room;
    }
    p->bytes = l->bytes + most;
    return NN_OK;
}

int forward_parts(const nn_step *s, parts *p)
{
    nni_layout l = nni_scratch(s);
    nn_operand e = expanded(s, &l);

    *p = { { expand_of(s, e), reduce_of(s, e) }, 2, 0 };
    return finish(p, &l);
}

int backward_parts(const nn_step *s, parts *p)
{
    nni_layout l = nni_scratch(s);
    nn_operand e = expanded(s, &l), de = wants_expanded(s) ? expanded(s, &l) : nn_operand{};

    *p = { { expand_of(s, e), reduce_back_of(s, e, de), {} }, 2, 0 };
    if (wants_expanded(s))
        p->step[p->count++] = expand_back_of(s, de);
    return finish(p, &l);
}

int launch_all(const parts *p, void *stream)
{
    int e = 0;

    for (int i = 0; !e && i < p->count; i++)
        e = p->step[i].launch(&p->step[i], stream);
    return e;
}

/* What was prepared at compile time is prepared again, with addresses. */
int forward_launch(const nn_step *s, void *stream)
{
    parts p;

    return forward_parts(s, &p) ? cudaErrorInvalidValue : launch_all(&p, stream);
}

int backward_launch(const nn_step *s, void *stream)
{
    parts p;

    return backward_parts(s, &p) ? cudaErrorInvalidValue : launch_all(&p, stream);
}

int account(nn_step *s, const parts &p, int (*launch)(const nn_step *, void *))
{
    for (int i = 0; i < p.count; i++)
        s->flops += p.step[i].flops;
    s->scratch_bytes = p.bytes;
    s->launch = launch;
    return NN_OK;
}

} // namespace

int nni_cuda_expand_depthwise_forward(nn_step *s)
{
    parts p;
    int rc = forward_parts(s, &p);

    return rc ? rc : account(s, p, forward_launch);
}

int nni_cuda_expand_depthwise_backward(nn_step *s)
{
    parts p;
    int rc = backward_parts(s, &p);

    return rc ? rc : account(s, p, backward_launch);
}
