/* SPDX-License-Identifier: MIT
 *
 * permute.c on the GPU.
 */
#include "cuda/strided.h"
#include "ops/attrs.h"

namespace
{

void steps_of(nn_shape shape, int64_t *step)
{
    int64_t dense = 1;

    for (int k = shape.rank; k-- > 0;) {
        step[k] = dense;
        dense *= shape.dim[k];
    }
}

/* x to y, by the dimensions of y. */
nni_strided turn_of(const nn_step *s, nn_shape x, nn_shape y)
{
    const nni_permute *a = static_cast<const nni_permute *>(s->attrs);
    int64_t step[NN_MAX_RANK];
    nni_strided b = {};

    b.rank = y.rank;
    steps_of(x, step);
    steps_of(y, b.to);
    for (int k = 0; k < y.rank; k++) {
        b.dim[k] = y.dim[k];
        b.from[k] = step[a->order[k]];
    }
    return b;
}

int forward_launch(const nn_step *s, void *stream)
{
    nni_strided turn = turn_of(s, s->in[0].shape, s->out[0].shape);

    return nni_cuda_move(stream, &turn, &s->in[0], &s->out[0], false);
}

int backward_launch(const nn_step *s, void *stream)
{
    nni_strided turn = nni_turned(turn_of(s, s->din[0].shape, s->dout[0].shape));

    return nni_cuda_move(stream, &turn, &s->dout[0], &s->din[0], nni_adds(s, 0));
}

} // namespace

int nni_cuda_permute_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_permute_backward(nn_step *s)
{
    if (s->din[0].type != NN_F32 || s->dout[0].type != NN_F32)
        return NN_EUNSUPPORTED;
    s->launch = backward_launch;
    return NN_OK;
}
