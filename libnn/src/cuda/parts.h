/* SPDX-License-Identifier: MIT
 *
 * Ops that are other ops, one after the other, on the GPU: a step is carried out by steps of its own, which
 * are made and prepared when it is prepared, and again, with addresses, when it is launched.
 */
#ifndef NNI_CUDA_PARTS_H
#define NNI_CUDA_PARTS_H

#include "cuda/kernel.h"

struct nni_parts {
    nn_step step[3];
    int count;
    size_t bytes; /* of scratch */
};

/* A step beside s, with nothing but what it is. */
static inline nn_step nni_beside(const nn_step *s, const nn_op *op, const void *attrs)
{
    nn_step part = {};

    part.op = op;
    part.attrs = attrs;
    part.device = s->device;
    part.name = s->name;
    part.now = s->now;
    return part;
}

/* Gives a part the gradient of input `i` of s as that of its own input `own`. */
static inline void nni_give_gradient(nn_step *part, int own, const nn_step *s, int i)
{
    part->din[own] = s->din[i];
    part->accumulate |= static_cast<uint32_t>(nni_adds(s, i)) << own;
}

/* An operand like another one, in scratch. */
template <class T> static inline nn_operand nni_in_scratch(nn_operand like, nni_layout *l)
{
    like.base = NN_BASE_ACT;
    like.at = l->take<T>(nn_shape_count(like.shape));
    return like;
}

/* Prepares the steps and gives them scratch behind what was taken of it: all the same, as they run one after
 * another. */
static inline int nni_parts_ready(nni_parts *p, const nni_layout *l)
{
    size_t most = 0;

    for (int i = 0; i < p->count; i++) {
        nn_step *part = &p->step[i];
        bool back = nn_has(&part->dout[0]);
        int rc = (back ? part->op->backward : part->op->forward)[NN_DEVICE_CUDA](part);

        if (rc)
            return rc;
        most = part->scratch_bytes > most ? part->scratch_bytes : most;
        part->scratch = l->base ? l->base + l->bytes : nullptr;
    }
    p->bytes = l->bytes + most;
    return NN_OK;
}

static inline int nni_parts_launch(const nni_parts *p, void *stream)
{
    int e = 0;

    for (int i = 0; !e && i < p->count; i++)
        e = p->step[i].launch(&p->step[i], stream);
    return e;
}

/* For prepare functions: what the parts need is what the step needs. */
static inline void nni_parts_account(nn_step *s, const nni_parts *p)
{
    for (int i = 0; i < p->count; i++)
        s->flops += p->step[i].flops;
    s->scratch_bytes = p->bytes;
}

#endif
