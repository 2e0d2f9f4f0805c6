/* SPDX-License-Identifier: MIT
 *
 * slice.c on the GPU.
 */
#include "cuda/strided.h"
#include "ops/attrs.h"

namespace
{

nni_strided stripe_of(const nn_step *s, nn_shape whole)
{
    const nni_slice *a = static_cast<const nni_slice *>(s->attrs);

    return nni_stripe_of(whole, a->axis, a->begin, a->length);
}

int forward_launch(const nn_step *s, void *stream)
{
    nni_strided stripe = stripe_of(s, s->in[0].shape);

    return nni_cuda_move(stream, &stripe, &s->in[0], &s->out[0], false);
}

int backward_launch(const nn_step *s, void *stream)
{
    nni_strided stripe = nni_turned(stripe_of(s, s->din[0].shape));
    int e = nni_adds(s, 0) ? 0 : nni_cuda_zero(stream, &s->din[0]);

    return e ? e : nni_cuda_move(stream, &stripe, &s->dout[0], &s->din[0], nni_adds(s, 0));
}

} // namespace

int nni_cuda_slice_forward(nn_step *s)
{
    s->launch = forward_launch;
    return NN_OK;
}

int nni_cuda_slice_backward(nn_step *s)
{
    if (s->din[0].type != NN_F32 || s->dout[0].type != NN_F32)
        return NN_EUNSUPPORTED;
    s->launch = backward_launch;
    return NN_OK;
}
